//! Addresses as others write them: URLs, with or without a port.

use crate::model::{Origin, Scheme};

/// The scheme, the origin and the query of `text`, whose scheme is any. What
/// is neither `https` nor said to be secure by the query (`isSecure=true`, as
/// kratos writes it) is in the clear. A path is refused unless it is `/`.
pub(super) fn parse(text: &str) -> Result<(&str, Origin), String> {
    let (scheme, rest) = text.split_once("://").ok_or_else(|| format!("{text:?} is no URL"))?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let is_secure = scheme == "https" || query.split('&').any(|pair| pair == "isSecure=true");
    let spoken = if is_secure { Scheme::Https } else { Scheme::Http };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let address = match has_port {
        true => authority.parse(),
        false => format!("{authority}:{}", spoken.port()).parse(),
    };
    let address = address.map_err(|error| format!("{error}"))?;
    Ok((scheme, Origin { address, scheme: spoken }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_a_scheme_and_maybe_a_port() {
        let read = |text| parse(text).map(|(scheme, origin)| (scheme, origin.to_string()));
        assert_eq!(read("http://h/"), Ok(("http", "http://h:80".into())));
        assert_eq!(read("https://[::1]"), Ok(("https", "https://[::1]:443".into())));
        assert_eq!(read("grpc://h:9000?isSecure=false"), Ok(("grpc", "http://h:9000".into())));
        assert_eq!(read("grpc://h:9000?isSecure=true"), Ok(("grpc", "https://h:9000".into())));
        for bad in ["h:80", "http://", "http://h/path", "http://h:x", "http://u@h"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
