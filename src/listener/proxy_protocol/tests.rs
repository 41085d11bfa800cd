//! Headers as bytes, without a socket.

use proptest::prelude::*;

use super::*;

fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("short");
    [BINARY, &[command, family], &length.to_be_bytes(), rest].concat()
}

const V4: &[u8] = &[192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 1, 0xbb];

fn v6() -> Vec<u8> {
    let mut rest = vec![0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    rest.extend([0; 16]);
    rest.extend([0x30, 0x39, 1, 0xbb]);
    rest
}

fn client(bytes: &[u8]) -> Option<String> {
    match parse(bytes) {
        Ok(Parsed::Whole { length, client }) if length == bytes.len() => {
            client.map(|client| client.to_string())
        }
        other => panic!("{bytes:?}: {other:?}"),
    }
}

#[test]
fn the_client_is_the_source() {
    let four = Some("192.0.2.7:12345".to_owned());
    let six = Some("[2001:db8::7]:12345".to_owned());
    assert_eq!(client(b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n"), four);
    assert_eq!(client(b"PROXY TCP6 2001:db8::7 :: 12345 443\r\n"), six);
    assert_eq!(client(&binary(0x21, 0x11, V4)), four);
    assert_eq!(client(&binary(0x21, 0x21, &v6())), six);
    // With a TLV after the addresses, and the longest there may be.
    assert_eq!(client(&binary(0x21, 0x11, &[V4, &[4, 0, 2, 9, 9]].concat())), four);
    let noop = LONGEST - 16 - V4.len() - 3;
    let tlv = [&[4, 1, u8::try_from(noop - 256).expect("fits")][..], &vec![0; noop]].concat();
    assert_eq!(client(&binary(0x21, 0x11, &[V4, &tlv].concat())), four);
}

#[test]
fn what_is_local_or_unknown_names_nobody() {
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 1.2.3.4 5.6.7.8 1 2\r\n".to_vec(),
        binary(0x20, 0x00, &[]),
        binary(0x20, 0x11, V4),
        binary(0x20, 0x77, b"?"),
        binary(0x21, 0x00, &[]),
        // A datagram, and a unix socket.
        binary(0x21, 0x12, V4),
        binary(0x21, 0x31, &[0; 216]),
    ] {
        assert_eq!(client(&header), None, "{header:?}");
    }
}

#[test]
fn what_breaks_the_rules_is_refused() {
    for bytes in [
        &b"PROXY TCP4 192.0.2.7 10.0.0.1 12345\r\n"[..],
        b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 443 5\r\n",
        b"PROXY TCP4  192.0.2.7 10.0.0.1 12345 443\r\n",
        b"PROXY TCP4 192.0.2.07 10.0.0.1 12345 443\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 012345 443\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 +12345 443\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 65536 443\r\n",
        b"PROXY TCP4 ::1 ::1 12345 443\r\n",
        b"PROXY TCP6 192.0.2.7 10.0.0.1 12345 443\r\n",
        b"PROXY TCP5 192.0.2.7 10.0.0.1 12345 443\r\n",
        b"PROXY UDP4 192.0.2.7 10.0.0.1 12345 443\r\n",
        b"PROXY UNKNOWNS\r\n",
        b"PROXY \r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\rGET",
        &[b"PROXY TCP4 ", &[b'1'; 200][..]].concat(),
        &binary(0x11, 0x11, V4),
        &binary(0x22, 0x11, V4),
        &binary(0x21, 0x41, V4),
        &binary(0x21, 0x13, V4),
        // Too short for its addresses, and for its TLV.
        &binary(0x21, 0x11, &V4[..11]),
        &binary(0x21, 0x11, &[V4, &[4, 0, 3, 9, 9]].concat()),
        &binary(0x21, 0x11, &[V4, &[4]].concat()),
    ] {
        assert!(matches!(parse(bytes), Err(HeaderError::Invalid)), "{bytes:?}: {:?}", parse(bytes));
    }
    for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"proxy TCP4", b"PROXYTCP4", b"\r\n\r\nGET", b"\x16"]
    {
        assert!(matches!(parse(bytes), Err(HeaderError::Missing)), "{bytes:?}");
    }
    let long = binary(0x21, 0x11, &[0; 521]);
    assert!(matches!(parse(&long[..16]), Err(HeaderError::TooLong)));
}

proptest! {
    /// However much of it is there already, a header is what it will be.
    #[test]
    fn a_header_is_the_same_in_pieces(
        header in prop_oneof![
            "PROXY (TCP4 1.2.3.4 5.6.7.8|TCP6 ::1 ::2|UNKNOWN) [0-9]{1,5} [0-9]{1,5}\r\n"
                .prop_map(String::into_bytes),
            (0x20_u8..0x22, prop_oneof![Just(0x11_u8), Just(0x21), Just(0)])
                .prop_map(|(command, family)| binary(command, family, &v6())),
        ],
        after in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let whole = parse(&header);
        for end in 1..header.len() {
            match (parse(&header[..end]), &whole) {
                (Ok(Parsed::Part), _) | (Err(_), Err(_)) => {}
                (other, whole) => prop_assert!(false, "{end}: {other:?}, then {whole:?}"),
            }
        }
        if let Ok(whole) = whole {
            let followed = parse(&[header, after].concat());
            prop_assert_eq!(followed.ok(), Some(whole));
        }
    }
}
