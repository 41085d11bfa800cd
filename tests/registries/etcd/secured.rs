//! Users and certificates.

use std::time::Duration;

use super::*;
use crate::{
    servers::etcd::{etcdctl, try_etcdctl},
    support::tls::Authority,
};
use portolan::etcd::{Client, ClientSettings};

fn with_a_user(etcd: &Etcd) {
    etcd.call("/v3/auth/user/add", &json!({ "name": "root", "password": "secret" }));
    etcd.call("/v3/auth/role/add", &json!({ "name": "root" }));
    etcd.call("/v3/auth/user/grant", &json!({ "user": "root", "role": "root" }));
    etcd.call("/v3/auth/enable", &json!({}));
}

#[test]
fn a_user_reads_by_its_password_and_nobody_else_does() {
    let (etcd, one, two) = (Etcd::start(Version::Packaged), named("one"), named("two"));
    etcd.put("/apps/orders/a", &entry(one.address));
    with_a_user(&etcd);
    let portolan = before(&etcd);
    let says = |text: &str| {
        eventually(|| source(&portolan, "etcd")["last_error"].to_string().contains(text));
    };
    says("set username and password");
    let config = |password: &str| {
        let user = format!("username = 'root'\npassword = '{password}'");
        format!("{}{AROUND}", section(&[etcd.url()], &user))
    };
    portolan.reload(&config("wrong"));
    says("authentication failed");
    portolan.reload(&config("secret"));
    routed(&portolan, "with the password", "one");
    let endpoints = format!("--endpoints={}", etcd.address);
    etcdctl(&[&endpoints, "--user=root:secret", "put", "/apps/orders/a", &entry(two.address)]);
    routed(&portolan, "changed", "two");
}

#[test]
fn a_token_that_is_over_is_replaced() {
    let etcd = Etcd::with(Version::Newer, &["--auth-token-ttl", "1"]);
    with_a_user(&etcd);
    let client = Client::new(ClientSettings {
        endpoints: vec![etcd.url().parse().expect("an address")],
        username: Some("root".to_owned()),
        password: Some("secret".to_owned()),
        tls: Default::default(),
    });
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        for _ in 0..2 {
            client.list(b"/").await.expect("a list");
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        let ttls = async { client.keep_alive(&[7]).await };
        assert_eq!(ttls.await.expect("an answer"), [0]);
    });
}

#[test]
fn certificates_of_both_sides_are_shown_and_checked() {
    let authority = Authority::new();
    authority.issue("server", &["127.0.0.1"]);
    authority.issue("client", &["portolan"]);
    let path = |name: &str| authority.path(name).display().to_string();
    let etcd = Etcd::secured(&authority.ca(), &path("server.pem"), &path("server.key"));
    let one = named("one");
    let endpoints = format!("--endpoints=https://{}", etcd.address);
    let (ca, cert, key) = (
        format!("--cacert={}", authority.ca()),
        format!("--cert={}", path("client.pem")),
        format!("--key={}", path("client.key")),
    );
    let put = entry(one.address);
    eventually(|| try_etcdctl(&[&endpoints, &ca, &cert, &key, "put", "/apps/orders/a", &put]));
    let config = |tls: &str| {
        let url = format!("https://{}", etcd.address);
        format!("{}{AROUND}", section(&[url], tls))
    };
    let identity = format!("cert = '{}', key = '{}'", path("client.pem"), path("client.key"));
    let portolan = Portolan::start(&config(&format!("tls = {{ {identity} }}")));
    eventually(|| {
        let why = source(&portolan, "etcd")["last_error"].to_string();
        why.contains("no CA that is trusted")
    });
    portolan.reload(&config(&format!("tls = {{ ca = '{}' }}", authority.ca())));
    eventually(|| source(&portolan, "etcd")["last_error"].to_string().contains("certificate"));
    portolan.reload(&config(&format!("tls = {{ ca = '{}', {identity} }}", authority.ca())));
    routed(&portolan, "over TLS", "one");
}
