//! What others call a service or an instance, in our words. Pure: the same
//! text always becomes the same name, whatever else is registered.
//!
//! What an instance carries beside its address is held to what registrations
//! are held to; what is beyond that is left out, since it decides nothing.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::model::{InstanceId, Origin, ParseNameError, Scheme, ServiceName, Weight};

/// Tags of one instance, and pairs of metadata.
const ENTRIES: usize = 64;

/// Bytes of a tag, a zone, a version or a metadata key.
const WORD: usize = 128;

/// Bytes of a metadata value.
const TEXT: usize = 512;

/// Characters of an id that are kept where it has to be changed.
const KEPT: usize = 100;

/// The service that is called `text`: the same in lower case.
///
/// # Errors
///
/// When it has other characters than a name may have, or too many.
pub(crate) fn service_name(text: &str) -> Result<ServiceName, ParseNameError> {
    text.to_ascii_lowercase().parse()
}

/// The instance that is called `text`: the same, if it may be an id. If not,
/// what may not stand there becomes `_`, and eight digits of its SHA-256 keep
/// it apart from others.
///
/// # Errors
///
/// When it is empty.
pub(crate) fn instance_id(text: &str) -> Result<InstanceId, ParseNameError> {
    let error = match text.parse() {
        Ok(id) => return Ok(id),
        Err(error @ ParseNameError::Empty { .. }) => return Err(error),
        Err(error) => error,
    };
    let fits = |char: &char| char.is_ascii_alphanumeric() || "-_.:@".contains(*char);
    let plain = text.chars().map(|char| if fits(&char) { char } else { '_' });
    let kept: String = plain.take(KEPT).collect();
    let sum = Sha256::digest(text.as_bytes());
    let sum: String = sum.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{kept}-{sum}").parse().map_err(|_| error)
}

/// Where an instance listens that says its host and its port.
///
/// # Errors
///
/// In words for a person.
pub(crate) fn origin(host: &str, port: Option<u64>, scheme: Scheme) -> Result<Origin, String> {
    let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
    let port = port.ok_or("it has no port")?;
    if host.is_empty() {
        return Err("it has no address".to_owned());
    }
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let address = format!("{host}:{port}").parse().map_err(|error| format!("{error}"))?;
    Ok(Origin { address, scheme })
}

/// The weight nearest to `weight` that an instance can have.
pub(crate) fn weight(weight: i64) -> Weight {
    Weight::try_from(weight.clamp(1, 1000)).unwrap_or_default()
}

/// `word` as a tag, a zone or a version, if it can be one.
pub(crate) fn word(word: &str) -> Option<String> {
    let fits = !word.is_empty() && word.len() <= WORD && !word.contains(char::is_control);
    fits.then(|| word.to_owned())
}

/// Those of `tags` that an instance may carry.
pub(crate) fn tags<'a>(tags: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    tags.into_iter().filter_map(word).take(ENTRIES).collect()
}

/// Those of `pairs` that an instance may carry.
pub(crate) fn pairs<'a>(
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> BTreeMap<String, String> {
    let fitting = pairs.into_iter().filter_map(|(key, value)| {
        let fits = value.len() <= TEXT && !value.contains(char::is_control);
        fits.then_some((word(key)?, value.to_owned()))
    });
    fitting.take(ENTRIES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_ours_or_are_refused() {
        assert_eq!(service_name("ORDERS").expect("a name").as_str(), "orders");
        assert!(service_name("a b").is_err() && service_name("").is_err());
        assert_eq!(instance_id("host:orders:80").expect("an id").as_str(), "host:orders:80");
        let changed = instance_id("a/b").expect("an id");
        assert!(changed.as_str().starts_with("a_b-") && changed.as_str().len() == 12, "{changed}");
        assert_ne!(changed, instance_id("a_b").expect("an id"));
        assert_ne!(changed, instance_id("a b").expect("an id"));
        let long = ["x".repeat(300), "x".repeat(301)].map(|text| instance_id(&text).expect("one"));
        assert_ne!(long[0], long[1]);
        assert!(instance_id("").is_err() && instance_id("..").is_ok());
    }

    #[test]
    fn an_address_needs_a_host_and_a_port() {
        let made = |host, port| origin(host, port, Scheme::Http).map(|origin| origin.to_string());
        assert_eq!(made("::1", Some(80)), Ok("http://[::1]:80".to_owned()));
        assert_eq!(made("a.example", Some(80)), Ok("http://a.example:80".to_owned()));
        for (host, port) in [("", Some(80)), ("a", None), ("a", Some(0)), ("a", Some(65_536))] {
            assert!(made(host, port).is_err(), "{host} {port:?}");
        }
        assert!(made("a/b", Some(1)).is_err() && made("a@b", Some(1)).is_err());
    }

    #[test]
    fn what_is_beyond_the_limits_is_left_out() {
        let long = "x".repeat(513);
        let read = pairs([("a", "1"), ("b", &long), ("c\n", "1"), ("", "1")]);
        assert_eq!(read, BTreeMap::from([("a".to_owned(), "1".to_owned())]));
        assert_eq!(tags(["a", "", "b\u{7}", &long]), ["a"]);
        assert_eq!(tags(std::iter::repeat_n("t", 100)).len(), ENTRIES);
        let weights = [weight(0), weight(-5), weight(7), weight(70_000)].map(Weight::value);
        assert_eq!(weights, [1, 1, 7, 1000]);
    }
}
