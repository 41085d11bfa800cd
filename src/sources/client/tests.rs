//! What servers answer, and what the client makes of it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

const SOON: Duration = Duration::from_secs(20);

/// A client of a server that answers each request on a connection with the
/// next of `answers`, and closes after the last. Counts connections.
async fn client(answers: &'static [&'static str]) -> (Client, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/base", listener.local_addr().expect("an address"));
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream, answers));
        }
    });
    let url = url.parse().expect("a URL");
    (Client::new(url, &ClientTlsSettings::default()).expect("a client"), connections)
}

async fn serve(mut stream: TcpStream, answers: &[&str]) {
    for answer in answers {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        assert!(head.starts_with(b"GET /base/x HTTP/1.1\r\n"), "{head:?}");
        assert!(!String::from_utf8_lossy(&head).to_lowercase().contains("accept-encoding"));
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        if answer.ends_with("...") {
            while stream.write_all(b".").await.is_ok() {
                tokio::task::yield_now().await;
            }
        } else if answer.ends_with("…") {
            tokio::time::sleep(SOON * 2).await;
        }
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":1}";

#[tokio::test]
async fn connections_are_kept_and_replaced_when_they_have_ended() {
    let (client, connections) = client(&[OK, OK]).await;
    for _ in 0..4 {
        let answer = client.get("/x", SOON).await.expect("an answer");
        assert_eq!(answer.json::<Value>().await.expect("JSON")["a"], 1);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

async fn failure(mut client: Client) -> String {
    (client.longest_body, client.body_time) = (100_000, Duration::from_millis(50));
    let answered = async { client.get("/x", SOON).await?.json::<Value>().await };
    answered.await.expect_err("no answer").to_string()
}

#[tokio::test]
async fn an_endless_body_ends() {
    let endless = &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7fffffff\r\n..."];
    let (mut client, _) = client(endless).await;
    client.longest_body = 100_000;
    let error = client.get("/x", SOON).await.expect_err("no answer");
    assert!(error.to_string().contains("longer than 100000 bytes"), "{error}");
}

#[tokio::test]
async fn what_is_no_answer_is_said_in_words() {
    let cases: [(&'static [&'static str], &str); 8] = [
        (&["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{…"], "no end of the answer within 50ms"),
        (&["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"], "broken"),
        (&["HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 0\r\n\r\n"], "\"gzip\""),
        (&["HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>"], "not understood"),
        (&["HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>"], ": <html>"),
        (&["HTTP/1.1 500 No\r\ncontent-length: 17\r\n\r\nNo cluster leader"], "500: No cluster"),
        (&["HTTP/1.1 302 Go\r\nlocation: /y\r\ncontent-length: 0\r\n\r\n"], "status 302"),
        (&["SSH-2.0-OpenSSH\r\n"], "broken"),
    ];
    for (answers, expected) in cases {
        let error = failure(client(answers).await.0).await;
        assert!(error.contains(expected), "{error} lacks {expected}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let (client, _) = client(&["…"]).await;
    let within = Duration::from_millis(20);
    let error = client.get("/x", within).await.expect_err("no answer").to_string();
    // Whatever comes first, bytes that are no HTTP or the end of the time.
    assert!(error.contains("within 20ms") || error.contains("broken"), "{error}");
}
