//! Attacks by HTTP/1.1, and before it.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use crate::pressure::Attack;

const KIB: u64 = 1 << 10;

/// Time between two bytes of somebody slow.
const DRIP: Duration = Duration::from_millis(50);

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
        attack!("silence", 10_000, 8 * KIB, |mut stream| async move {
            stream.read_u8().await.map(drop)
        }),
        attack!("slow head", 10_000, 24 * KIB, |mut stream| async move {
            stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n").await?;
            loop {
                stream.write_all(b"x-a: b\r\n").await?;
                is_there(&stream)?;
                sleep(DRIP).await;
            }
        }),
        attack!("heads of 60 KB without an end", 2000, 200 * KIB, |mut stream| async move {
            stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nx-a: ").await?;
            stream.write_all(&[b'a'; 60_000]).await?;
            stream.read_u8().await.map(drop)
        }),
        attack!("heads of many tiny fields", 200, 300 * KIB, |mut stream| async move {
            stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n").await?;
            stream.write_all(&b"a:\r\n".repeat(15_000)).await?;
            stream.write_all(b"\r\n").await?;
            read_out(stream).await
        }),
        attack!(
            "heads of as many fields as there may be",
            200,
            300 * KIB,
            |mut stream| async move {
                let head = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "a:\r\n".repeat(95));
                loop {
                    stream.write_all(head.as_bytes()).await?;
                    read_some(&mut stream).await?;
                }
            }
        ),
        attack!("slow body", 2000, 100 * KIB, |mut stream| async move {
            let head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n";
            stream.write_all(head).await?;
            loop {
                stream.write_all(b"x").await?;
                sleep(DRIP).await;
            }
        }),
        attack!("chunks of one byte", 200, 300 * KIB, |mut stream| async move {
            let head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(head).await?;
            let piece = b"1\r\nx\r\n".repeat(1000);
            for _ in 0..100 {
                stream.write_all(&piece).await?;
            }
            stream.write_all(b"0\r\n\r\n").await?;
            read_some(&mut stream).await
        }),
        attack!("chunks of extensions", 200, 300 * KIB, |mut stream| async move {
            let head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(head).await?;
            let piece = [b"1;".as_slice(), &[b'a'; 1000], b"\r\nx\r\n"].concat();
            loop {
                stream.write_all(&piece).await?;
            }
        }),
        attack!("trailers without an end", 200, 300 * KIB, |mut stream| async move {
            let head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n";
            stream.write_all(head).await?;
            loop {
                stream.write_all(b"x-a: b\r\n").await?;
            }
        }),
        attack!("slow read", 2000, 500 * KIB, |mut stream| async move {
            stream.write_all(b"GET /big HTTP/1.1\r\nhost: a\r\n\r\n").await?;
            loop {
                stream.read_u8().await?;
                sleep(DRIP).await;
            }
        }),
        attack!("zero window", 2000, 500 * KIB, |mut stream| async move {
            stream.write_all(b"GET /big HTTP/1.1\r\nhost: a\r\n\r\n").await?;
            loop {
                // Until the proxy gives up, which shows when writing.
                sleep(Duration::from_millis(500)).await;
                stream.write_all(b"x").await?;
            }
        }),
        attack!("requests ahead, no answer read", 200, 500 * KIB, |mut stream| async move {
            let many = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(1000);
            loop {
                stream.write_all(&many).await?;
            }
        }),
        attack!("connections that come and go", 200, 100 * KIB, |mut stream| async move {
            stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await?;
            Ok(())
        }),
        Attack {
            listener: "proxy_protocol = { from = ['127.0.0.0/8'] }",
            greeting: b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n",
            ..attack!("half a PROXY header", 10_000, 16 * KIB, |mut stream| async move {
                stream.write_all(b"PROXY TCP4 192.0.2.7 ").await?;
                stream.read_u8().await.map(drop)
            })
        },
    ]
}

/// An error if the other side has ended.
fn is_there(stream: &TcpStream) -> std::io::Result<()> {
    match stream.try_read(&mut [0; 1024]) {
        Ok(0) => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

async fn read_some(stream: &mut TcpStream) -> std::io::Result<()> {
    match stream.read(&mut [0; 4096]).await? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

async fn read_out(mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        read_some(&mut stream).await?;
    }
}
