//! From a change in a registry to a change of traffic: Portolan beside another
//! proxy that reads the same registry, both asked at the same moments.
//! `scripts/side-by-side` runs it in full and shows the figures; a usual run
//! makes one round and sees only that all arrive.

use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    routed::named,
    servers::{Server, consul::Consul, eureka::Eureka, free_port, http, installed},
    support::Portolan,
};

/// Far longer than the slowest takes with its defaults.
const PATIENCE: Duration = Duration::from_secs(180);

/// How often each is asked.
const PACE: Duration = Duration::from_millis(5);

/// How often an instance comes and goes: `PORTOLAN_ROUNDS`, or once.
fn rounds() -> Option<usize> {
    env::var("PORTOLAN_ROUNDS").ok().map(|text| text.parse().expect("a number"))
}

fn portolan(source: &str) -> Portolan {
    Portolan::start(&format!(
        "[[source]]\n{source}\nallow_loopback = true\n[defaults]\nhealth = {{ kind = 'tcp' }}\n\
         [[route]]\npath = '/orders'\nservice = 'orders'\n"
    ))
}

/// A server that answers at `port`, whatever it answers.
#[track_caller]
fn peer(
    program: impl AsRef<std::path::Path>,
    arguments: &[&str],
    port: u16,
) -> (Server, SocketAddr) {
    let address = (Ipv4Addr::LOCALHOST, port).into();
    let mut server = Server::start(program, arguments);
    server.wait_until(|| http::call(address, "GET", "/", "").is_ok());
    (server, address)
}

/// Has an instance come and go, and prints how long each of `proxies` took to
/// follow.
#[track_caller]
fn measure(proxies: &[(&str, SocketAddr)], register: &dyn Fn(SocketAddr), remove: &dyn Fn()) {
    let backend = named("orders");
    let mut took = vec![[vec![], vec![]]; proxies.len()];
    for _ in 0..rounds().unwrap_or(1) {
        for (way, comes) in [true, false].into_iter().enumerate() {
            // Not in step with whoever asks at intervals.
            thread::sleep(Duration::from_millis(fastrand::u64(500..1500)));
            let begun = Instant::now();
            if comes {
                register(backend.address);
            } else {
                remove();
            }
            let all: Vec<_> = (proxies.iter())
                .map(|(name, address)| {
                    let (name, address) = ((*name).to_owned(), *address);
                    thread::spawn(move || {
                        let is_there = || {
                            http::call(address, "GET", "/orders", "")
                                .is_ok_and(|answer| answer.status == 200)
                        };
                        while is_there() != comes {
                            assert!(begun.elapsed() < PATIENCE, "{name} does not follow");
                            thread::sleep(PACE);
                        }
                        begun.elapsed()
                    })
                })
                .collect();
            for (one, took) in all.into_iter().zip(&mut took) {
                took[way].push(one.join().expect("it followed"));
            }
        }
    }
    for ((name, _), took) in proxies.iter().zip(&mut took) {
        for (what, times) in ["registered", "removed"].into_iter().zip(took) {
            times.sort_unstable();
            let (least, most) = (times[0], times[times.len() - 1]);
            say!("{name}: {what} in {least:.0?} to {most:.0?}, mean {:.0?}", mean(times));
        }
    }
}

fn mean(times: &[Duration]) -> Duration {
    times.iter().sum::<Duration>() / u32::try_from(times.len()).expect("few")
}

#[test]
fn traefik_and_portolan_on_consul() {
    let consul = Consul::start();
    let own = portolan(&format!("kind = 'consul'\nurl = '{}'", consul.url()));
    let traefik = |more: &str| {
        let port = free_port();
        let entry = format!("--entrypoints.web.address=127.0.0.1:{port}");
        let endpoint = format!("--providers.consulcatalog.endpoint.address={}", consul.address);
        let rule = "--providers.consulcatalog.defaultRule=PathPrefix(`/{{ .Name }}`)";
        let mut all = vec![&*entry, "--providers.consulcatalog=true", &endpoint, rule];
        all.extend(["--global.checknewversion=false", "--global.sendanonymoususage=false", more]);
        peer(installed("traefik/traefik"), &all, port)
    };
    let (_usual, usual) = traefik("--log.level=ERROR");
    let (_watching, watching) = traefik("--providers.consulcatalog.watch=true");
    let proxies = [
        ("portolan", own.address()),
        ("traefik, as it comes", usual),
        ("traefik, watch = true", watching),
    ];
    let register = |address| consul.register("orders", "a", address, &json!({}));
    measure(&proxies, &register, &|| consul.deregister("a"));
}

#[test]
fn a_spring_cloud_gateway_and_portolan_on_eureka() {
    // With the server's own defaults in full, what it shows is up to 30 s old.
    let eureka = Eureka::start();
    let source = |interval: &str| {
        portolan(&format!("kind = 'eureka'\nurls = ['{}']\n{interval}", eureka.url()))
    };
    let (own, own_fast) = (source(""), source("interval = '1s'"));
    let zone = format!("--eureka.client.service-url.defaultZone={}/", eureka.url());
    let jar = installed("gateway/gateway.jar").display().to_string();
    let gateway = |more: &[&str]| {
        let port = free_port();
        let listen = format!("--server.port={port}");
        let mut all = vec!["-Xmx160m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar", &jar];
        all.extend([&*listen, "--server.address=127.0.0.1", &zone]);
        all.extend(["--eureka.client.register-with-eureka=false"]);
        all.extend(["--spring.application.name=gateway"]);
        all.extend(["--spring.cloud.gateway.routes[0].id=orders"]);
        all.extend(["--spring.cloud.gateway.routes[0].uri=lb://orders"]);
        all.extend(["--spring.cloud.gateway.routes[0].predicates[0]=Path=/orders"]);
        all.extend(more);
        peer("java", &all, port)
    };
    let fast = gateway(&[
        "--eureka.client.registry-fetch-interval-seconds=1",
        "--spring.cloud.loadbalancer.cache.enabled=false",
    ]);
    let mut proxies = vec![
        ("portolan", own.address()),
        ("portolan, interval = 1s", own_fast.address()),
        ("gateway, fetches each second, no cache", fast.1),
    ];
    // Takes minutes.
    let usual = rounds().map(|_| gateway(&[]));
    proxies.extend(usual.iter().map(|(_, address)| ("gateway, as it comes", *address)));
    let register = |address| eureka.register("orders", "a", address, &json!({}));
    measure(&proxies, &register, &|| eureka.deregister("orders", "a"));
}
