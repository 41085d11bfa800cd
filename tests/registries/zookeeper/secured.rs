//! Users and certificates.

use zookeeper_client::{Acl, AuthId, Permission};

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
        source(&portolan, "zookeeper")["rejected"].to_string().contains("not authorized")
    });
    let user = "username = 'portolan'\npassword = 'secret'";
    let section = section(&[zookeeper.address.to_string()], user);
    portolan.reload(&format!("{section}{AROUND}"));
    routed(&portolan, "with the password", "one");
}

#[test]
fn what_may_not_be_read_takes_nothing_from_the_rest() {
    let (zookeeper, one, two) = (Zookeeper::start(), named("one"), named("two"));
    let connector = Client::connector().with_auth("digest", b"owner:secret");
    let owner = Registrar::with(&[zookeeper.address], connector);
    owner.put("orders", "a", one.address);
    owner.put("steady", "a", two.address);
    let portolan = before(&zookeeper);
    routed(&portolan, "put", "one");
    let requests = Steady::begin(&portolan);
    let resync = || {
        let path = "/api/v1/sources/zookeeper/resync";
        assert_eq!(portolan.admin("POST", path, "").status(), 200);
    };
    // The node of an instance, then the list of the nodes of a service.
    for (count, what) in (3..).zip(["orders/a", "orders"]) {
        owner.let_read(&format!("/apps/services/{what}"), AuthId::authed());
        resync();
        let named = format!("\"what\":\"{what}\"");
        eventually(|| source(&portolan, "zookeeper")["rejected"].to_string().contains(&named));
        owner.put("steady", &format!("more-{count}"), two.address);
        eventually(|| source(&portolan, "zookeeper")["instances"] == count);
        let view = source(&portolan, "zookeeper");
        assert_eq!((&view["connected"], &view["failures"]), (&true.into(), &0.into()), "{view}");
        assert_eq!(portolan.get("/orders").text(), "one");
    }
    owner.let_read("/apps/services/orders", AuthId::anyone());
    owner.delete("orders", "a");
    resync();
    unrouted(&portolan, "deleted");
    requests.end();
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

impl Registrar {
    /// Has nobody but `who`, and its user, do anything with what is at `path`.
    #[track_caller]
    fn let_read(&self, path: &str, who: AuthId) {
        let acls = [Acl::new(Permission::ALL, who), Acl::new(Permission::ALL, AuthId::authed())];
        RUNTIME.block_on(self.client().set_acl(path, &acls, None)).expect("set");
    }
}
