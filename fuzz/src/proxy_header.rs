//! The PROXY protocol: the client that is found is the one that a naive reader
//! finds, and the pieces in which a header comes make no difference.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use portolan::listener::proxy_protocol::{Parsed, parse};

/// Reads a header in one piece and in all others.
pub fn check(data: &[u8]) {
    let whole = parse(data);
    let mut part_until = 0;
    for end in 1..data.len() {
        match (parse(&data[..end]), &whole) {
            (Ok(Parsed::Part), _) => {
                assert_eq!(part_until + 1, end, "it was refused or whole, and is not any more");
                part_until = end;
            }
            // What is whole stays so, whatever follows.
            (Ok(found), Ok(whole)) => assert_eq!(found, *whole),
            (Err(_), Err(_)) => {}
            (found, whole) => panic!("{found:?} after {end} bytes, and then {whole:?}"),
        }
    }
    assert!(part_until < 536, "nobody waits for more than that");
    let Ok(Parsed::Whole { length, client }) = whole else { return };
    assert!(length <= data.len().min(536));
    assert_eq!(client, naive(&data[..length]), "{:?}", &data[..length]);
}

/// The client in a header that is known to be good.
fn naive(header: &[u8]) -> Option<SocketAddr> {
    if let Some(line) = header.strip_prefix(b"PROXY ") {
        let line = std::str::from_utf8(line).expect("text").strip_suffix("\r\n").expect("a line");
        let words: Vec<_> = line.split(' ').collect();
        if words[0] == "UNKNOWN" {
            return None;
        }
        let [family, source, destination, port, other] = words[..] else { panic!("{line:?}") };
        let (source, destination): (IpAddr, IpAddr) =
            (source.parse().expect("an address"), destination.parse().expect("an address"));
        assert_eq!(family == "TCP4", source.is_ipv4() && destination.is_ipv4());
        let is_number = |word: &str| word.parse::<u16>().is_ok_and(|it| it.to_string() == word);
        assert!(is_number(port) && is_number(other), "{line:?}");
        return Some((source, port.parse().expect("a port")).into());
    }
    let rest = &header[16..];
    assert_eq!(rest.len(), usize::from(u16::from_be_bytes([header[14], header[15]])));
    let port = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
    match (header[12], header[13]) {
        (0x21, 0x11) => {
            let source: [u8; 4] = rest[..4].try_into().expect("four bytes");
            Some((Ipv4Addr::from(source), port(8)).into())
        }
        (0x21, 0x21) => {
            let source: [u8; 16] = rest[..16].try_into().expect("sixteen bytes");
            Some((Ipv6Addr::from(source), port(32)).into())
        }
        _ => None,
    }
}
