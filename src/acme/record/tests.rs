//! What is used of what stands in a storage, and what is refused.

use rcgen::{CertificateParams, KeyPair};

use super::*;

const FILE: &str = "a.example.pem";

/// A certificate for `name` from so many seconds after `now` to so many.
pub(in crate::acme) fn issued(name: &str, now: SystemTime, from: i64, to: i64) -> String {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    let at = |seconds: i64| {
        let moment = match u64::try_from(seconds) {
            Ok(later) => now + Duration::from_secs(later),
            Err(_) => now - Duration::from_secs(seconds.unsigned_abs()),
        };
        moment.into()
    };
    (params.not_before, params.not_after) = (at(from), at(to));
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    format!("{}{}", key.serialize_pem(), certificate.pem())
}

fn read(pem: &str, now: SystemTime) -> Result<Offer, Refusal> {
    let value = Offer::value("proxy-1\n", pem.to_owned()).expect("JSON");
    Offer::read(&value, "A.example", Path::new(FILE), now)
}

#[test]
fn a_certificate_that_can_be_used_is_offered() {
    let now = SystemTime::now();
    let pem = issued("a.example", now, -100, 1000);
    let offer = read(&pem, now).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!((offer.by.as_str(), offer.pem == pem), ("proxy-1 ", true));
    assert_eq!(offer.certificate.0.path.as_ref(), Path::new(FILE));
}

#[test]
fn a_certificate_that_cannot_be_used_is_refused() {
    let now = SystemTime::now();
    let refused = |pem: &str| read(pem, now).err().map(|why| why.to_string()).unwrap_or_default();
    assert_eq!(refused(&issued("b.example", now, -100, 1000)), "it is not for the name");
    assert_eq!(refused(&issued("a.example", now, -100, -10)), "it has expired");
    assert_eq!(refused(&issued("a.example", now, 7200, 9000)), "it does not hold yet");
    let (one, other) = (issued("a.example", now, 0, 9), issued("a.example", now, 0, 9));
    let (key, _) = one.split_once("-----BEGIN CERTIFICATE").expect("both");
    let (_, chain) = other.split_once("-----BEGIN CERTIFICATE").expect("both");
    let mixed = refused(&format!("{key}-----BEGIN CERTIFICATE{chain}"));
    assert!(mixed.contains("is not that of the certificate"), "{mixed}");
    for half in [key, "", "\u{0}"] {
        assert!(refused(half).contains("has no certificate"), "{half}");
    }
    assert!(refused(&format!("-----BEGIN CERTIFICATE{chain}")).contains("has no key"));
    for value in [&b""[..], b"{}", b"\xff", b"[1]", b"{\"v\":1,\"by\":\"\",\"pem\":7}"] {
        let read = Offer::read(value, "a.example", Path::new(FILE), now);
        assert!(matches!(read, Err(Refusal::Form(_))));
    }
}

#[test]
fn the_one_that_was_issued_later_counts() {
    let at = |from: u64, to: u64| {
        let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Some((time(from), time(to)))
    };
    assert!(is_later(at(10, 100), None) && !is_later(None, at(10, 100)));
    assert!(is_later(at(20, 110), at(10, 100)) && !is_later(at(10, 100), at(20, 110)));
    assert!(!is_later(at(10, 100), at(10, 100)));
    // In the same second: the one that holds longer.
    assert!(is_later(at(10, 101), at(10, 100)));
    // A shorter profile.
    assert!(is_later(at(20, 30), at(10, 100)));
}

#[test]
fn a_proof_is_bounded() {
    let proofs = Proofs::default();
    let refused = |shown: Shown| shown.put_up("a.example", &proofs).is_err();
    assert!(!refused(Shown::by_request("tok-en_1", "tok-en_1.thumb")));
    for (token, text) in [
        ("token", "other.thumb"),
        ("token", "token"),
        ("token", "token."),
        ("", ".thumb"),
        ("../etc", "../etc.thumb"),
        ("token", "token.th\r\numb"),
        ("token", &format!("token.{}", "x".repeat(300))),
    ] {
        assert!(refused(Shown::by_request(token, text)), "{token} {text}");
    }
    assert!(!refused(Shown::by_handshake(&[7; 32])));
    assert!(refused(Shown::by_handshake(&[7; 31])));
    assert!(refused(Shown::TlsAlpn01 { digest: "!".repeat(43) }));
}

#[test]
fn keys_are_apart() {
    let keys = Keys::new(&AcmeSettings::default());
    let proof = keys.proof("a.example");
    assert_eq!(proof, "acme-v02.api.letsencrypt.org_directory/proofs/a.example");
    assert_eq!(proved(&proof), Some("a.example"));
    for key in [keys.certificate("a.example"), keys.turn("a.example"), keys.account()] {
        assert_eq!(proved(&key), None);
    }
    assert_eq!(proved("ca/proofs/"), None);
    assert_eq!(proved("ca/proofs/a/b"), None);
}
