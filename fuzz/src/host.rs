//! One spelling for each host, which is found again in itself.

use portolan::routing::host::of_authority;

/// Holds the canonical host against the authority that it was found in.
pub fn check(data: &[u8]) {
    let Some(host) = of_authority(data) else { return };
    let host = host.as_str().to_owned();
    let again = of_authority(host.as_bytes()).map(|host| host.as_str().to_owned());
    assert_eq!(again.as_ref(), Some(&host), "a fixed point");
    assert!((1..=253).contains(&host.len()), "{host:?}");
    assert!(!host.bytes().any(|byte| byte.is_ascii_uppercase() || byte <= b' '), "{host:?}");
    let text = std::str::from_utf8(data).expect("hosts are ASCII");
    // To the library that reads targets it is an authority too, and no more
    // than a host and a port.
    let authority: http::uri::Authority = text.parse().expect("an authority");
    assert!(!text.contains('@'), "{text:?}");
    let named = authority.host().to_ascii_lowercase();
    let named = named.strip_suffix('.').unwrap_or(&named);
    let is_address = host.starts_with('[');
    assert!(is_address || named == host, "{text:?}: {named:?}, {host:?}");
    let mut with_port = host.clone();
    with_port.push_str(":65535");
    let again = of_authority(with_port.as_bytes()).map(|host| host.as_str().to_owned());
    assert_eq!(again, Some(host), "a port changes nothing");
}
