//! Who is let in, with which token, to do what.

use http::HeaderValue;

use super::*;

fn token(name: &str, scope: Scope) -> TokenSettings {
    TokenSettings {
        name: name.to_owned(),
        sha256: hex(&Sha256::digest(format!("{name}-secret"))),
        scope,
        services: vec!["orders".to_owned(), "team-*".to_owned()],
        addresses: Vec::new(),
    }
}

fn settings() -> AdminSettings {
    let token = vec![
        token("viewer", Scope::Read),
        token("service", Scope::Register),
        TokenSettings { services: Vec::new(), ..token("operator", Scope::Admin) },
    ];
    AdminSettings { token, ..AdminSettings::default() }
}

fn with(authorization: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in authorization {
        headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

fn identity(reach: Reach, name: &str) -> Identity {
    let headers = with(&[&format!("Bearer {name}-secret")]);
    authenticate(&settings(), reach, &headers).expect("a known token")
}

fn service(name: &str) -> ServiceName {
    name.parse().expect("a name")
}

fn origin(text: &str) -> Origin {
    text.parse().expect("an origin")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn loopback_needs_no_token_but_holds_a_request_to_the_one_it_names() {
    let found = authenticate(&settings(), Reach::Loopback, &with(&[])).expect("open");
    assert_eq!((found.name(), found.scope), ("loopback", Scope::Admin));
    let viewer = identity(Reach::Loopback, "viewer");
    assert_eq!((viewer.name(), viewer.scope), ("viewer", Scope::Read));
    assert!(authenticate(&settings(), Reach::Loopback, &with(&["Bearer wrong"])).is_err());
}

#[test]
fn the_network_needs_a_token_that_is_known() {
    for headers in [
        &[][..],
        &["Bearer wrong"],
        &["Bearer "],
        &["Bearer"],
        &["viewer-secret"],
        &["Basic dmlld2VyLXNlY3JldA=="],
        &["Bearer viewer-secret", "Bearer viewer-secret"],
    ] {
        let refused = authenticate(&settings(), Reach::Network, &with(headers));
        assert_eq!(refused.expect_err("refused").kind(), Kind::Unauthorized, "{headers:?}");
    }
    assert_eq!(identity(Reach::Network, "viewer").name(), "viewer");
    let lower = authenticate(&settings(), Reach::Network, &with(&["bearer viewer-secret"]));
    assert!(lower.is_ok());
}

#[test]
fn a_digest_may_be_written_in_upper_case_and_a_bad_one_matches_nothing() {
    let mut settings = settings();
    settings.token[0].sha256.make_ascii_uppercase();
    settings.token[1].sha256 = String::new();
    let viewer = with(&["Bearer viewer-secret"]);
    assert!(authenticate(&settings, Reach::Network, &viewer).is_ok());
    let service = with(&["Bearer service-secret"]);
    assert!(authenticate(&settings, Reach::Network, &service).is_err());
}

#[test]
fn insecure_opens_the_network_only_while_there_are_no_tokens() {
    let mut settings = settings();
    settings.insecure = true;
    assert!(authenticate(&settings, Reach::Network, &with(&[])).is_err());
    settings.token.clear();
    let anyone = authenticate(&settings, Reach::Network, &with(&[])).expect("open");
    assert_eq!((anyone.name(), anyone.scope), ("anyone", Scope::Admin));
    settings.insecure = false;
    assert!(authenticate(&settings, Reach::Network, &with(&[])).is_err());
}

#[test]
fn each_scope_holds_those_before_it() {
    use Scope::{Admin, Read, Register};
    for (name, has) in [("viewer", Read), ("service", Register), ("operator", Admin)] {
        for needed in [Read, Register, Admin] {
            let allowed = identity(Reach::Network, name).need(needed);
            assert_eq!(allowed.is_ok(), has >= needed, "{name} {needed:?}");
        }
    }
}

#[test]
fn a_register_token_is_limited_to_its_services() {
    let token = Caller::Token("service".to_owned());
    let registrant = identity(Reach::Network, "service");
    assert_eq!(registrant.caller(&service("orders")), Ok(token.clone()));
    assert_eq!(registrant.caller(&service("team-a")), Ok(token));
    for other in ["orders-v2", "team", "payments", "my-team-a"] {
        let refused = registrant.caller(&service(other)).expect_err(other);
        assert_eq!(refused.kind(), Kind::Forbidden, "{other}");
    }
    assert!(identity(Reach::Network, "viewer").caller(&service("orders")).is_err());
    let operator = identity(Reach::Network, "operator").caller(&service("payments"));
    assert_eq!(operator, Ok(Caller::Admin(Some("operator".to_owned()))));
    let local = authenticate(&settings(), Reach::Loopback, &with(&[])).expect("open");
    assert_eq!(local.caller(&service("payments")), Ok(Caller::Admin(None)));
}

#[test]
fn patterns_match_whole_names() {
    for (pattern, name, expected) in [
        ("orders", "orders", true),
        ("orders", "orders-v2", false),
        ("*", "anything", true),
        ("orders*", "orders", true),
        ("orders*", "orders-v2", true),
        ("orders*", "my-orders", false),
        ("*-v2", "orders-v2", true),
        ("*-v2", "orders-v2-old", false),
        ("a*b*c", "abc", true),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "acb", false),
        ("a*a", "a", false),
        ("ab*ba", "aba", false),
        ("**", "x", true),
        ("", "x", false),
    ] {
        assert_eq!(matches_name(pattern, name), expected, "{pattern} {name}");
    }
}

#[test]
fn from_the_network_an_instance_has_the_address_it_registers_from() {
    let peer = ip("::ffff:10.0.0.7");
    for name in ["service", "operator"] {
        let remote = identity(Reach::Network, name);
        assert_eq!(remote.may_register_at(&origin("10.0.0.7:80"), peer), Ok(()));
        for bad in ["10.0.0.8:80", "[::1]:80", "orders.internal:80"] {
            let refused = remote.may_register_at(&origin(bad), peer).expect_err(bad);
            assert_eq!(refused.kind(), Kind::AddressNotYours, "{bad}");
            assert_eq!(refused.errors()[0].pointer, "/address");
        }
    }
    let local = identity(Reach::Loopback, "service");
    assert_eq!(local.may_register_at(&origin("orders.internal:80"), ip("127.0.0.1")), Ok(()));
    assert_eq!(local.may_register_at(&origin("10.0.0.8:80"), ip("127.0.0.1")), Ok(()));
}

#[test]
fn a_token_with_networks_registers_within_them_and_nowhere_else() {
    for reach in [Reach::Loopback, Reach::Network] {
        let mut remote = identity(reach, "service");
        remote.addresses = vec!["10.1.0.0/16".parse().expect("a network")];
        let peer = ip("10.0.0.7");
        assert_eq!(remote.may_register_at(&origin("10.1.2.3:80"), peer), Ok(()));
        assert_eq!(remote.may_register_at(&origin("[::ffff:10.1.2.3]:80"), peer), Ok(()));
        for bad in ["10.0.0.7:80", "10.2.0.1:80", "orders.internal:80"] {
            assert!(remote.may_register_at(&origin(bad), peer).is_err(), "{bad}");
        }
    }
}
