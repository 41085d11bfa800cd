//! Servers of services in a key-value store of Traefik, by their URLs.

use super::url;
use crate::sources::{Found, draft::Draft};

/// `SERVICE/loadbalancer/servers/N/url`; what else Traefik keeps there holds
/// nothing.
pub(super) fn read(key: &str, value: &[u8]) -> Result<Vec<Found>, String> {
    let segments: Vec<_> = key.split('/').collect();
    let [service, balancer, servers, number, "url"] = segments[..] else { return Ok(Vec::new()) };
    let is_server =
        balancer.eq_ignore_ascii_case("loadbalancer") && servers.eq_ignore_ascii_case("servers");
    if !is_server {
        return Ok(Vec::new());
    }
    let text = std::str::from_utf8(value).map_err(|_| "it is no text".to_owned())?;
    match url::parse(text.trim())? {
        ("http" | "https" | "h2c", origin) => {
            Ok(vec![Draft::new(service, Some(number)).on(origin)?])
        }
        (scheme, _) => Err(format!("it speaks {scheme:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_found_by_their_urls() {
        let key = "myservice/loadbalancer/servers/0/url";
        let found = read(key, b"http://10.0.0.1/").expect("an instance").remove(0).instance;
        assert_eq!(found.key().to_string(), "myservice/0");
        assert_eq!(found.origin.to_string(), "http://10.0.0.1:80");
        let others = [
            "myservice/loadbalancer/servers/0/weight",
            "myservice/loadbalancer/sticky/cookie/name",
            "myservice/weighted/services/0/name",
            "",
        ];
        for other in others {
            assert_eq!(read(other, b"1"), Ok(Vec::new()), "{other}");
        }
        for bad in ["", "10.0.0.1:80", "tcp://h:1", "http://h/path", "\u{0}"] {
            assert!(read(key, bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(read(key, b"\xff").is_err());
    }
}
