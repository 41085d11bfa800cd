//! Keeps web pages away from the admin address.
//!
//! A page that somebody has open can make their browser send requests here:
//! directly, or by a name of its own that it lets point here (DNS rebinding).
//! The first is told by `Origin` and `Sec-Fetch-Site`, the second by a `Host`
//! that is not ours. An IP address as `Host` is harmless when it is the one
//! connected to: a page cannot have been loaded from it unless we served it.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, Uri, header};

use super::problem::{Kind, Problem};
use crate::routing::host;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a request that came in on `local` is meant for us and was not sent
/// by a foreign web page.
pub(crate) fn check(
    headers: &HeaderMap,
    uri: &Uri,
    local: SocketAddr,
    allowed_hosts: &[String],
) -> Result<(), Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next().map(|host| host.to_str()), hosts.next()) {
        (Some(Ok(host)), None) => host,
        (None, _) => return Err(Problem::new(Kind::BadRequest, "the request has no Host")),
        _ => return Err(Problem::new(Kind::BadRequest, "the request has more than one Host")),
    };
    for authority in [Some(host), uri.authority().map(http::uri::Authority::as_str)] {
        if let Some(authority) = authority
            && !host_allowed(authority, local, allowed_hosts)
        {
            let detail = format!(
                "{authority:?} is not a name of this address; if it should be, add it to \
                 admin.allowed_hosts in proxy.toml"
            );
            return Err(Problem::new(Kind::HostNotAllowed, detail));
        }
    }
    if headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "cross-site") {
        let detail = "a browser says that a page of another site sent this";
        return Err(Problem::new(Kind::CrossOrigin, detail));
    }
    let foreign = |origin: &http::HeaderValue| !same_origin(origin.as_bytes(), host.as_bytes());
    match headers.get_all(header::ORIGIN).iter().find(|origin| foreign(origin)) {
        None => Ok(()),
        Some(origin) => {
            let detail = format!("{origin:?} is not the origin of this address, {host:?} is");
            Err(Problem::new(Kind::CrossOrigin, detail))
        }
    }
}

/// The port does not matter to a rebinding page, and behind a forwarded port
/// it is not ours: only an entry that names one holds a request to it.
fn host_allowed(authority: &str, local: SocketAddr, allowed_hosts: &[String]) -> bool {
    let Some(name) = host::of_authority(authority.as_bytes()) else { return false };
    if let Some(ip) = ip_of(name.as_str()) {
        let ip = ip.to_canonical();
        if ip.is_loopback() || ip == local.ip().to_canonical() {
            return true;
        }
    }
    if name.as_str() == "localhost" {
        return true;
    }
    allowed_hosts.iter().any(|allowed| {
        // An IPv6 address may be written without its brackets.
        let bare = allowed.parse::<IpAddr>().ok().filter(IpAddr::is_ipv6);
        let allowed = bare.map_or_else(|| allowed.clone(), |ip| format!("[{ip}]"));
        host::of_authority(allowed.as_bytes())
            .is_some_and(|known| known.as_bytes() == name.as_bytes())
            && port_of(&allowed).is_none_or(|port| port_of(authority).unwrap_or("80") == port)
    })
}

fn ip_of(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

fn port_of(authority: &str) -> Option<&str> {
    let (host, port) = authority.rsplit_once(':')?;
    (!port.is_empty() && (!host.contains(':') || host.ends_with(']'))).then_some(port)
}

fn same_origin(origin: &[u8], host: &[u8]) -> bool {
    let default_ports: [(&[u8], &[u8]); 2] = [(b"http://", b":80"), (b"https://", b":443")];
    default_ports.into_iter().any(|(scheme, port)| {
        let strip = |authority: &'_ [u8]| authority.strip_suffix(port).unwrap_or(authority).len();
        origin.strip_prefix(scheme).is_some_and(|origin| {
            origin[..strip(origin)].eq_ignore_ascii_case(&host[..strip(host)])
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(local: &str, allowed: &[&str], headers: &[(&str, &str)]) -> Result<(), Kind> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a name");
            map.append(name, value.parse().expect("a value"));
        }
        let allowed: Vec<_> = allowed.iter().map(ToString::to_string).collect();
        let local = local.parse().expect("an address");
        check(&map, &Uri::from_static("/livez"), local, &allowed).map_err(|problem| problem.kind())
    }

    #[test]
    fn only_our_own_names_are_taken_as_host() {
        let refused = Err(Kind::HostNotAllowed);
        let allowed = ["proxy.internal", "admin.example:9900", "2001:db8::1"];
        for (local, host, expected) in [
            ("127.0.0.1:9900", "127.0.0.1:9900", Ok(())),
            ("127.0.0.1:9900", "localhost:9900", Ok(())),
            ("127.0.0.1:9900", "LOCALHOST.", Ok(())),
            ("127.0.0.1:9900", "localhost:12345", Ok(())),
            ("127.0.0.1:9900", "[::1]:9900", Ok(())),
            ("127.0.0.1:9900", "[::ffff:127.0.0.1]", Ok(())),
            ("127.0.0.1:9900", "evil.example:9900", refused),
            ("127.0.0.1:9900", "localhost.evil.example", refused),
            ("127.0.0.1:9900", "127.0.0.1.evil.example", refused),
            ("127.0.0.1:9900", "localhost@evil.example", refused),
            ("127.0.0.1:9900", "10.0.0.5:9900", refused),
            ("127.0.0.1:9900", "", refused),
            ("10.0.0.5:9900", "10.0.0.5:9900", Ok(())),
            ("10.0.0.5:9900", "10.0.0.6:9900", refused),
            ("[::ffff:10.0.0.5]:9900", "10.0.0.5:9900", Ok(())),
            ("10.0.0.5:9900", "proxy.internal", Ok(())),
            ("10.0.0.5:9900", "Proxy.Internal:1234", Ok(())),
            ("10.0.0.5:9900", "admin.example:9900", Ok(())),
            ("10.0.0.5:9900", "admin.example:9901", refused),
            ("10.0.0.5:9900", "admin.example", refused),
            ("10.0.0.5:9900", "[2001:db8::1]:9900", Ok(())),
            ("10.0.0.5:9900", "[2001:db8::2]:9900", refused),
        ] {
            assert_eq!(checked(local, &allowed, &[("host", host)]), expected, "{host} on {local}");
        }
    }

    #[test]
    fn one_host_is_needed_and_the_target_is_held_to_the_same_rule() {
        let bad = Err(Kind::BadRequest);
        assert_eq!(checked("127.0.0.1:9900", &[], &[]), bad);
        let twice = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(checked("127.0.0.1:9900", &[], &twice), bad);
        let mut headers = HeaderMap::new();
        headers.insert("host", "localhost".parse().expect("a value"));
        let uri = Uri::from_static("http://evil.example/livez");
        let local = "127.0.0.1:9900".parse().expect("an address");
        assert!(check(&headers, &uri, local, &[]).is_err());
    }

    #[test]
    fn requests_of_foreign_pages_are_refused() {
        let refused = Err(Kind::CrossOrigin);
        for (host, name, value, expected) in [
            ("localhost:9900", "origin", "http://localhost:9900", Ok(())),
            ("localhost:9900", "origin", "HTTP://localhost:9900", refused),
            ("localhost:9900", "origin", "https://localhost:9900", Ok(())),
            ("localhost:9900", "origin", "http://localhost:3000", refused),
            ("localhost:9900", "origin", "http://127.0.0.1:9900", refused),
            ("localhost:9900", "origin", "http://evil.example", refused),
            ("localhost:9900", "origin", "null", refused),
            ("localhost:80", "origin", "http://localhost", Ok(())),
            ("localhost", "origin", "http://localhost:80", Ok(())),
            ("localhost", "origin", "https://localhost:443", Ok(())),
            ("localhost", "origin", "http://localhost:8", refused),
            ("localhost:9900", "sec-fetch-site", "cross-site", refused),
            ("localhost:9900", "sec-fetch-site", "same-origin", Ok(())),
            ("localhost:9900", "sec-fetch-site", "none", Ok(())),
        ] {
            let headers = [("host", host), (name, value)];
            let found = checked("127.0.0.1:9900", &[], &headers);
            assert_eq!(found, expected, "{name}: {value} at {host}");
        }
    }
}
