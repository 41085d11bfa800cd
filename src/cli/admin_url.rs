//! Where the admin API is: `http://HOST:PORT` or `https://HOST:PORT`, and who
//! one is to it.

use std::{fmt, path::Path, str::FromStr};

use anyhow::Context;
use http::{HeaderValue, Uri};

use super::exit::UsageError;
use crate::model::{Host, Scheme};

/// The address of an admin API. The scheme may be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AdminUrl {
    scheme: Scheme,
    authority: String,
    host: String,
    port: u16,
    prefix: String,
}

impl AdminUrl {
    /// Whether TLS is spoken there.
    pub(super) fn is_secure(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// Who has to be there, where TLS is spoken.
    pub(super) fn identity(&self) -> Host {
        match self.host.parse() {
            Ok(ip) => Host::Ip(ip),
            Err(_) => Host::Name(self.host.as_str().into()),
        }
    }

    /// The host to connect to, without the brackets of an IPv6 address.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The port to connect to.
    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is on this machine.
    pub(super) fn is_loopback(&self) -> bool {
        let ip = self.host.parse::<std::net::IpAddr>();
        self.host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback())
    }

    /// The value of `Host`.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// The request target for `path`, which begins with `/`.
    pub(super) fn target(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

impl FromStr for AdminUrl {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || format!("{text:?} is no URL of an admin API; write \"http://HOST:PORT\"");
        let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = full.parse().map_err(|_| refused())?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => {
                let how = "the admin API is reached by \"http\" or \"https\"";
                return Err(format!("{text:?}: {how}"));
            }
        };
        let authority = uri.authority().ok_or_else(refused)?;
        if authority.as_str().contains('@') {
            return Err("a token does not go into the URL; set PORTOLAN_TOKEN".to_owned());
        }
        Ok(Self {
            scheme,
            authority: authority.as_str().to_owned(),
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(scheme.port()),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for AdminUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.as_str(), self.authority, self.prefix)
    }
}

/// The value of `Authorization`: from `file` if it is given, else from the
/// variable PORTOLAN_TOKEN. No option takes the token itself: the arguments of
/// a process can be read by everybody on the machine.
pub(super) fn authorization(file: Option<&Path>) -> anyhow::Result<Option<HeaderValue>> {
    let token = match file {
        Some(file) => std::fs::read_to_string(file)
            .with_context(|| format!("cannot read the token file {}", file.display()))?,
        None => std::env::var("PORTOLAN_TOKEN").unwrap_or_default(),
    };
    bearer(&token)
}

fn bearer(token: &str) -> anyhow::Result<Option<HeaderValue>> {
    let token = token.trim();
    if token.is_empty() {
        return Ok(None);
    }
    let Ok(mut value) = HeaderValue::try_from(format!("Bearer {token}")) else {
        // Not what it holds: this may end up in a log.
        return Err(UsageError("the token has characters that no token has".to_owned()).into());
    };
    value.set_sensitive(true);
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_may_be_short() {
        let full: AdminUrl = "http://127.0.0.1:9900/".parse().expect("a URL");
        assert_eq!("127.0.0.1:9900".parse(), Ok(full.clone()));
        assert_eq!((full.host(), full.port()), ("127.0.0.1", 9900));
        assert_eq!(full.to_string(), "http://127.0.0.1:9900");

        let behind: AdminUrl = "http://ops.example/edge".parse().expect("a URL with a path");
        assert_eq!((behind.target("/readyz").as_str(), behind.port()), ("/edge/readyz", 80));

        let secure: AdminUrl = "https://ops.example".parse().expect("a secure URL");
        assert_eq!((secure.is_secure(), secure.port()), (true, 443));
        assert_eq!(secure.to_string(), "https://ops.example");

        let six: AdminUrl = "http://[::1]:9900".parse().expect("an IPv6 URL");
        assert_eq!((six.host(), six.authority()), ("::1", "[::1]:9900"));
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said() {
        let refused = |text: &str| text.parse::<AdminUrl>().expect_err(text);
        assert!(refused("ftp://a:1").contains("or \"https\""));
        assert!(refused("http://me:secret@a:1").contains("PORTOLAN_TOKEN"));
        assert!(refused("not a url").contains("write \"http://HOST:PORT\""));
    }

    #[test]
    fn a_token_is_trimmed_and_kept_out_of_debug_output() {
        assert_eq!(bearer(" \n").expect("empty is none"), None);
        let value = bearer("abc\n").expect("a token").expect("some");
        assert_eq!(value, "Bearer abc");
        assert_eq!(format!("{value:?}"), "Sensitive");
        let refused = bearer("s3cret\ns3cret").expect_err("a line end inside");
        assert!(!refused.to_string().contains("s3cret"));
    }
}
