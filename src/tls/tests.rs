//! Which certificate is shown, which files are refused, and what a client's
//! certificate comes to.

use std::{fs, path::PathBuf, time::SystemTime};

use rcgen::{CertificateParams, DnType, KeyPair};
use tempfile::TempDir;

use super::*;
use crate::model::{CertificateFiles, ClientTlsSettings, Host, ServerTlsSettings, TlsVersion};

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("written");
        path
    }

    fn pair(&self, file: &str, names: &[&str]) -> CertificateFiles {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let params = CertificateParams::new(names).expect("names");
        let cert = params.self_signed(&key).expect("a certificate");
        CertificateFiles {
            cert: self.write(&format!("{file}.pem"), &cert.pem()),
            key: self.write(&format!("{file}.key"), &key.serialize_pem()),
        }
    }
}

fn settings(certificates: Vec<CertificateFiles>) -> ServerTlsSettings {
    let admin = crate::model::AdminTlsSettings {
        certificates,
        min_version: TlsVersion::V12,
        client_ca: None,
        client_auth: None,
    };
    (&admin).into()
}

#[test]
fn a_name_is_found_exactly_then_by_one_star() {
    let files = Files::new();
    let names = [&["a.example", "*.b.example"][..], &["x.b.example"], &["*.example", "192.0.2.1"]];
    let pairs: Vec<_> =
        names.iter().zip(["0", "1", "2"]).map(|(names, file)| files.pair(file, names)).collect();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let load = |pair| certificate::Identity::load(pair, &provider).expect("a pair");
    let identities: Vec<_> = pairs.iter().map(load).collect();
    let by_name = names::Names::new(&identities, true);
    for (name, expected) in [
        ("a.example", Some(0)),
        ("A.Example.", Some(0)),
        ("y.b.example", Some(0)),
        ("x.b.example", Some(1)),
        ("c.example", Some(2)),
        ("z.c.example", None),
        ("example", None),
        ("other", None),
    ] {
        let found = by_name.of(name).first();
        let expected = expected.map(|index: usize| &identities[index].key);
        assert_eq!(found.map(Arc::as_ptr), expected.map(Arc::as_ptr), "{name}");
    }
    assert!(!by_name.has(None) && by_name.has(Some("a.example")));
    assert!(names::Names::new(&identities, false).has(Some("other")));
    assert_eq!(identities[2].facts.names, ["*.example", "192.0.2.1"]);
}

#[test]
fn what_cannot_be_used_is_refused() {
    let files = Files::new();
    let (one, other) = (files.pair("one", &["a"]), files.pair("other", &["a"]));
    let load =
        |pair| ServerTls::load(&settings(vec![pair]), &[], &Automatic::default(), None).map(drop);
    assert!(load(one.clone()).is_ok());
    let mixed = CertificateFiles { cert: one.cert.clone(), key: other.key };
    assert!(matches!(load(mixed), Err(TlsError::Mismatch { .. })));
    let swapped = CertificateFiles { cert: one.key.clone(), key: one.cert.clone() };
    assert!(matches!(load(swapped), Err(TlsError::Lacks { .. })));
    let gone = CertificateFiles { cert: "/nowhere".into(), key: one.key.clone() };
    assert!(matches!(load(gone), Err(TlsError::Read { .. })));
    assert!(matches!(
        ServerTls::load(&settings(Vec::new()), &[], &Automatic::default(), None),
        Err(TlsError::NoCertificate)
    ));
    let mut asking = settings(vec![one.clone()]);
    asking.client_ca = Some("/nowhere".into());
    assert!(matches!(
        ServerTls::load(&asking, &[], &Automatic::default(), None),
        Err(TlsError::Read { .. })
    ));
    asking.client_ca = Some(files.write("empty.pem", ""));
    assert!(matches!(
        ServerTls::load(&asking, &[], &Automatic::default(), None),
        Err(TlsError::Lacks { .. })
    ));

    let half = ClientTlsSettings { cert: Some(one.cert), ..Default::default() };
    let half = ClientTlsSettings { verify: Some(false), ..half };
    assert!(matches!(Connector::load(half.clone()), Err(TlsError::Half)));
    let host = Host::Name("a".into());
    assert!(Connector::closed(half).for_host(&host).is_none());
}

#[test]
fn a_client_certificate_cannot_forge_the_fields_it_becomes() {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).expect("names");
    params.distinguished_name.push(DnType::CommonName, "a\r\nx-admin: 1");
    let uri = "spiffe://a/b,DNS:admin".try_into().expect("a URI");
    params.subject_alt_names.push(rcgen::SanType::URI(uri));
    let cert = params.self_signed(&key).expect("a certificate");
    let client = of_client(cert.der()).expect("readable");
    assert!(client.subject.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
    assert_eq!(client.names, ["DNS:a.example", "URI:spiffe://a/b%2cDNS:admin"]);
    assert_eq!(client.fingerprint.len(), 64);
}

#[test]
fn days_are_counted_down_and_below() {
    let files = Files::new();
    let pair = files.pair("one", &["a"]);
    let tls =
        ServerTls::load(&settings(vec![pair]), &[], &Automatic::default(), None).expect("a pair");
    let facts = &tls.facts()[0];
    let day = std::time::Duration::from_secs(86_400);
    assert_eq!(facts.days_left(facts.not_after - day * 3), 3);
    assert_eq!(facts.days_left(facts.not_after - day / 2), 0);
    assert_eq!(facts.days_left(facts.not_after + day / 2), -1);
    assert!(facts.left(SystemTime::now()).is_some());
}
