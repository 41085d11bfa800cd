//! Users and certificates.

use super::*;
use crate::{servers::zookeeper::store, support::tls::Authority};

#[test]
fn nodes_of_a_user_are_read_by_its_password_and_not_without() {
    let (zookeeper, one) = (Zookeeper::start(), named("one"));
    let connector = Client::connector().with_auth("digest", b"portolan:secret");
    let registrar = Registrar::with(&[zookeeper.address], connector);
    let own = CreateMode::Persistent.with_acls(Acls::creator_all());
    registrar.create("orders", "a", one.address, &own);
    let users = RUNTIME.block_on(registrar.client().list_auth_users()).expect("users");
    assert!(users.iter().any(|user| user.scheme() == "digest"), "{users:?}");
    let portolan = before(&zookeeper);
    eventually(|| {
        source(&portolan, "zookeeper")["last_error"].to_string().contains("not authorized")
    });
    let user = "username = 'portolan'\npassword = 'secret'";
    let section = section(&[zookeeper.address.to_string()], user);
    portolan.reload(&format!("{section}{AROUND}"));
    routed(&portolan, "with the password", "one");
}

#[test]
fn tls_is_spoken_to_servers_whose_certificate_is_good() {
    let (authority, other) = (Authority::new(), Authority::new());
    authority.issue("server", &["127.0.0.1"]);
    let together = authority.path("store.pem");
    store(&authority.path("server.pem"), &authority.path("server.key"), &together);
    let (zookeeper, secure) = Zookeeper::secured(&together, &authority.path("ca.pem"));
    let one = named("one");
    Registrar::of(&[zookeeper.address]).put("orders", "a", one.address);
    let config = |ca: &str| {
        let section = section(&[secure.to_string()], &format!("tls = {{ ca = '{ca}' }}"));
        format!("{section}{AROUND}")
    };
    let portolan = Portolan::start(&config(&other.ca()));
    connected(&portolan, "zookeeper", false);
    portolan.reload(&config(&authority.ca()));
    routed(&portolan, "over TLS", "one");
}
