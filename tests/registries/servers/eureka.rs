//! Spring Cloud's Eureka server, and what its clients do with it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, Weak},
};

use serde_json::{Value, json};

use super::{
    Server, free_port,
    http::{self, Answer},
    installed,
};

/// A Eureka server.
#[derive(Debug)]
pub(crate) struct Eureka {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its process.
    pub(crate) server: Server,
}

impl Eureka {
    /// One for all tests that run now and neither stop nor stall it: it takes
    /// long to start. They have to use services of their own.
    #[track_caller]
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Eureka>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(eureka) = shared.upgrade() {
            return eureka;
        }
        let eureka = Arc::new(Self::start());
        *shared = Arc::downgrade(&eureka);
        eureka
    }

    /// Starts one of one's own and waits until it answers.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// As [`Self::start`], with further `arguments`, such as
    /// `--eureka.server.disable-delta=true`.
    #[track_caller]
    pub(crate) fn with(arguments: &[&str]) -> Self {
        let port = free_port();
        let jar = installed("eureka/server.jar").display().to_string();
        let listen = format!("--server.port={port}");
        let mut all = vec!["-Xmx192m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
        all.extend(["-Dspring.backgroundpreinitializer.ignore=true", "-jar", &jar, &listen]);
        all.extend(["--server.address=127.0.0.1", "--server.tomcat.threads.max=16"]);
        all.extend(["--eureka.client.register-with-eureka=false"]);
        all.extend(["--eureka.client.fetch-registry=false"]);
        all.extend(["--eureka.server.wait-time-in-ms-when-sync-empty=0"]);
        all.extend(["--eureka.server.eviction-interval-timer-in-ms=1000"]);
        all.extend(["--eureka.server.enable-self-preservation=false"]);
        // What is read is as old as that, in place of 30 s.
        all.extend(["--eureka.server.response-cache-update-interval-ms=200"]);
        all.extend(arguments);
        let server = Server::start("java", &all);
        let mut eureka = Self { address: (Ipv4Addr::LOCALHOST, port).into(), server };
        eureka.wait();
        eureka
    }

    /// Starts it again, with nothing in it: it keeps nothing.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.server.restart();
        self.wait();
    }

    fn wait(&mut self) {
        let address = self.address;
        self.server.wait_until(|| {
            http::call(address, "GET", "/eureka/apps", "").is_ok_and(|answer| answer.status == 200)
        });
    }

    /// Its URL, as clients are given it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/eureka", self.address)
    }

    /// A call of its API; `path` is what follows `/eureka/apps`.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        let path = format!("/eureka/apps{path}");
        http::call(self.address, method, &path, body).expect("an answer")
    }

    /// Registers the instance `id` of `app` at `address`, with what `more`
    /// says in place of what is usual. It lives an hour without a heartbeat.
    #[track_caller]
    pub(crate) fn register(&self, app: &str, id: &str, address: SocketAddr, more: &Value) {
        let mut instance = json!({
            "instanceId": id, "hostName": address.ip().to_string(), "app": app.to_uppercase(),
            "ipAddr": address.ip().to_string(), "status": "UP",
            "port": {"$": address.port(), "@enabled": "true"},
            "securePort": {"$": 443, "@enabled": "false"},
            "dataCenterInfo": {
                "@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo",
                "name": "MyOwn",
            },
            "leaseInfo": {"renewalIntervalInSecs": 30, "durationInSecs": 3600},
            "vipAddress": app, "secureVipAddress": app,
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            instance[key.as_str()] = value.clone();
        }
        let body = json!({ "instance": instance }).to_string();
        let answer = self.call("POST", &format!("/{}", app.to_uppercase()), &body);
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    /// Takes the instance `id` of `app` out.
    #[track_caller]
    pub(crate) fn deregister(&self, app: &str, id: &str) {
        let answer = self.call("DELETE", &format!("/{}/{id}", app.to_uppercase()), "");
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Overrides the status of an instance.
    #[track_caller]
    pub(crate) fn set_status(&self, app: &str, id: &str, status: &str) {
        let path = format!("/{}/{id}/status?value={status}", app.to_uppercase());
        let answer = self.call("PUT", &path, "");
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}
