//! The file that is shipped.

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;

pub(super) const EXAMPLE: &str = include_str!("../../../proxy.toml");

#[test]
fn the_shipped_file_is_good_and_exposes_nothing() {
    let loaded = parse(EXAMPLE, "proxy.toml", &env).unwrap_or_else(|report| {
        panic!("{}", report.render(false));
    });
    assert!(loaded.warnings.is_empty(), "{}", loaded.report().render(false));
    let config = loaded.config;
    assert!(config.listener.iter().all(|listener| listener.address.0.ip().is_loopback()));
    assert!(config.admin.address.0.ip().is_loopback());
    assert_eq!(route_names(&config.route), ["*/files", "shop.localhost/orders"]);
}

/// Takes the comment sign off settings and headers, and leaves prose alone.
fn uncomment(text: &str) -> (String, usize) {
    let mut count = 0;
    let lines = text.lines().map(|line| {
        let setting = line.strip_prefix("# ").filter(|rest| {
            rest.split_once(" = ").is_some_and(|(key, _)| {
                key.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            })
        });
        let header = line.strip_prefix('#').filter(|rest| rest.starts_with('['));
        count += usize::from(setting.or(header).is_some());
        setting.or(header).unwrap_or(line)
    });
    (lines.collect::<Vec<_>>().join("\n"), count)
}

#[test]
fn what_is_commented_out_is_good_too() {
    let (text, count) = uncomment(EXAMPLE);
    assert!(count > 20, "only {count} commented settings were recognised");
    // What `portolan cert dev` makes.
    let folder = tempfile::tempdir().expect("a folder");
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let cert = params.self_signed(&key).expect("a certificate").pem();
    for (name, content) in [("localhost.pem", cert), ("localhost.key", key.serialize_pem())] {
        let path = folder.path().join(name);
        fs::write(&path, content).expect("a file");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a file");
    }
    let text = text.replace("certs/", &format!("{}/", folder.path().display()));
    match parse(&text, "proxy.toml", &env) {
        Ok(loaded) => assert!(loaded.warnings.is_empty(), "{}", loaded.report().render(false)),
        Err(report) => panic!("{}", report.render(false)),
    }
}

#[test]
fn what_is_commented_out_with_a_default_shows_the_default() {
    let with = |text: &str| parse(text, "proxy.toml", &env).expect("good").config;
    for line in
        ["max_connections", "head_timeout", "idle_timeout", "suspect_for", "shutdown_timeout"]
    {
        let commented = format!("# {line} = ");
        let text = EXAMPLE.replace(&commented, &format!("{line} = "));
        assert_ne!(text, EXAMPLE, "{line}");
        assert_eq!(with(&text), with(EXAMPLE), "{line}");
    }
}
