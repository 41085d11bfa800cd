//! Spring Cloud's Eureka server, and what its clients do with it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
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
        let mut eureka = Self::launch(free_port(), arguments);
        eureka.wait();
        eureka
    }

    /// One that speaks TLS alone, with this certificate and key (PEM both).
    #[track_caller]
    pub(crate) fn secured(cert: &Path, key: &Path) -> Self {
        let cert = format!("--server.ssl.certificate={}", cert.display());
        let key = format!("--server.ssl.certificate-private-key={}", key.display());
        Self::with(&[&cert, &key])
    }

    /// One that wants this user and password.
    #[track_caller]
    pub(crate) fn guarded(user: &str, password: &str) -> Self {
        let user = format!("--spring.security.user.name={user}");
        let password = format!("--spring.security.user.password={password}");
        Self::with(&["--spring.profiles.active=secured", &user, &password])
    }

    /// Two that replicate each other.
    #[track_caller]
    pub(crate) fn pair() -> [Self; 2] {
        // A server takes another one on the host of its own name for itself.
        let (ports, hosts) = ([free_port(), free_port()], ["127.0.0.1", "localhost"]);
        let mut pair = [0, 1].map(|own| {
            let other = 1 - own;
            let name = format!("--eureka.instance.hostname={}", hosts[own]);
            let url = format!("http://{}:{}/eureka/", hosts[other], ports[other]);
            let url = format!("--eureka.client.service-url.defaultZone={url}");
            Self::launch(ports[own], &[&name, &url])
        });
        pair.iter_mut().for_each(Self::wait);
        pair
    }

    #[track_caller]
    fn launch(port: u16, arguments: &[&str]) -> Self {
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
        Self { address: (Ipv4Addr::LOCALHOST, port).into(), server }
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
            // One that speaks TLS answers with 400, one with a password with 401.
            http::call(address, "GET", "/eureka/apps", "")
                .is_ok_and(|answer| matches!(answer.status, 200 | 400 | 401))
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
        let answer = register_at(self.address, app, id, address, more);
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    /// As [`Self::register`], with one that speaks TLS by any certificate.
    #[track_caller]
    pub(crate) fn register_by_tls(&self, app: &str, id: &str, address: SocketAddr) {
        let url = format!("https://{}/eureka/apps/{}", self.address, app.to_uppercase());
        let body = registration(app, id, address, &json!({}));
        let mut curl = Command::new("curl");
        curl.args(["-fsSk", "-H", "content-type: application/json", "-d", &body]);
        assert!(curl.arg(url).status().expect("curl").success());
    }

    /// As [`Self::register`], as `user`, which is `NAME:PASSWORD`.
    #[track_caller]
    pub(crate) fn register_as(&self, user: &str, app: &str, id: &str, address: SocketAddr) {
        let url = format!("{}/apps/{}", self.url(), app.to_uppercase());
        let body = registration(app, id, address, &json!({}));
        let mut curl = Command::new("curl");
        curl.args(["-fsS", "-u", user, "-H", "content-type: application/json", "-d", &body]);
        assert!(curl.arg(url).status().expect("curl").success());
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

/// Registers as [`Eureka::register`] does with whoever listens at `server`.
pub(crate) fn register_at(
    server: SocketAddr,
    app: &str,
    id: &str,
    address: SocketAddr,
    more: &Value,
) -> Answer {
    let path = format!("/eureka/apps/{}", app.to_uppercase());
    http::call(server, "POST", &path, &registration(app, id, address, more)).expect("an answer")
}

fn registration(app: &str, id: &str, address: SocketAddr, more: &Value) -> String {
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
    json!({ "instance": instance }).to_string()
}
