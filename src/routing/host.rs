//! One spelling for each host (RFC 9110 section 4.2.3, RFC 3986 section 3.2.2).
//!
//! Lower case, no trailing dot, no port. Both the routes and the requests are
//! brought into this form, so that a comparison of bytes is enough.

use std::fmt;

/// A host in canonical form, held without an allocation.
#[derive(Clone)]
pub struct CanonicalHost {
    bytes: [u8; Self::LIMIT],
    length: u8,
}

impl CanonicalHost {
    /// The longest DNS name (RFC 1035 section 2.3.4), which also fits any IP
    /// literal.
    pub const LIMIT: usize = 253;

    /// The host as bytes; always ASCII.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The host as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl fmt::Display for CanonicalHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for CanonicalHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The host in `authority` (a `Host` field or the authority of a target), its
/// port checked and dropped. `None` for what is not a host with an optional
/// port: empty, user information, bad characters, a port above 65535.
#[must_use]
pub fn of_authority(authority: &[u8]) -> Option<CanonicalHost> {
    let host_end = match authority.first()? {
        b'[' => authority.iter().position(|byte| *byte == b']')? + 1,
        _ => authority.iter().position(|byte| *byte == b':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host_end);
    if let [b':', digits @ ..] = port {
        let valid = digits.is_empty()
            || (digits.iter().all(u8::is_ascii_digit)
                && std::str::from_utf8(digits).ok()?.parse::<u16>().is_ok());
        if !valid {
            return None;
        }
    } else if !port.is_empty() {
        return None;
    }
    canonical(host)
}

/// `host` (no port) in canonical form, or `None` if it is not a host.
#[must_use]
pub fn canonical(host: &[u8]) -> Option<CanonicalHost> {
    let mut bytes = [0; CanonicalHost::LIMIT];
    if let [b'[', inner @ .., b']'] = host {
        let text = std::str::from_utf8(inner).ok()?;
        let ip: std::net::Ipv6Addr = text.parse().ok()?;
        let text = format!("[{ip}]");
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        return Some(CanonicalHost { bytes, length: u8::try_from(text.len()).ok()? });
    }
    let host = host.strip_suffix(b".").unwrap_or(host);
    if host.is_empty() || host.len() > CanonicalHost::LIMIT {
        return None;
    }
    let mut previous = b'.';
    for (target, byte) in bytes.iter_mut().zip(host) {
        let byte = byte.to_ascii_lowercase();
        let allowed = match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => true,
            b'.' => previous != b'.',
            _ => false,
        };
        if !allowed {
            return None;
        }
        *target = byte;
        previous = byte;
    }
    // One dot at the end is the root; before it there is a name.
    if previous == b'.' {
        return None;
    }
    Some(CanonicalHost { bytes, length: u8::try_from(host.len()).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_for_each_host() {
        let host = |text: &str| of_authority(text.as_bytes()).map(|host| host.to_string());
        assert_eq!(host("Shop.Example"), Some("shop.example".into()));
        assert_eq!(host("shop.example.:8080"), Some("shop.example".into()));
        assert_eq!(host("shop.example:"), Some("shop.example".into()));
        assert_eq!(host("[0:0::1]:80"), Some("[::1]".into()));
        assert_eq!(host("127.0.0.1:80"), Some("127.0.0.1".into()));
    }

    #[test]
    fn what_is_not_a_host_is_refused() {
        let long = "a".repeat(254);
        for bad in [
            "",
            ".",
            ":80",
            "a:x",
            "a:65536",
            "a:-1",
            "a b",
            "user@a",
            "a/b",
            "a..b",
            "a..",
            "a..:80",
            ".a",
            "[::1",
            "[::1]x",
            "[a]",
            "a,b",
            "é",
            long.as_str(),
        ] {
            assert!(of_authority(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
