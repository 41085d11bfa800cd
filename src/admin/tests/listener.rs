//! The listener, over real sockets.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::*;
use crate::admin::serve;

async fn started() -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>, TestPlane) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    let (_, receiver) = watch::channel(Arc::new(AdminSettings::default()));
    let log = AuditLog::open(None).expect("an audit log");
    let plane = TestPlane::start("").await;
    let state = AdminState::new(plane.control.clone(), receiver, address, log);
    let (stop, stopped) = oneshot::channel();
    let (_, relayed) = mpsc::channel(1);
    let served = tokio::spawn(serve(listener, Arc::default(), state, relayed, async {
        let _ = stopped.await;
    }));
    (address, stop, served, plane)
}

async fn send(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(text.as_bytes()).await.expect("writes");
    stream
}

async fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    // A reset is an end, too.
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8(text).expect("UTF-8")
}

#[tokio::test]
async fn requests_are_answered_until_it_is_told_to_stop() {
    let (address, stop, served, _plane) = started().await;
    let get = format!("GET /livez HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let answer = rest(send(address, &get).await).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nok\n"), "{answer}");
    let mut idle = send(address, &get.replace("Connection: close\r\n", "")).await;
    let mut head = [0; 15];
    idle.read_exact(&mut head).await.expect("a head");
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    stop.send(()).expect("listens");
    served.await.expect("ends");
    assert!(rest(idle).await.ends_with("ok\n"));
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_port_is_taken_at_the_address_of_the_caller() {
    let (address, _stop, _served, _plane) = started().await;
    let body = r#"{"port": 3000}"#;
    let put = format!(
        "PUT {INSTANCE} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = rest(send(address, &put).await).await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert!(answer.contains("\"origin\":\"http://127.0.0.1:3000\""), "{answer}");
}

#[tokio::test]
async fn an_event_stream_does_not_hold_up_the_end() {
    let (address, stop, served, _plane) = started().await;
    let get = format!("GET /api/v1/events HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let mut stream = send(address, &get).await;
    let mut head = [0; 15];
    stream.read_exact(&mut head).await.expect("a head");
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    stop.send(()).expect("listens");
    served.await.expect("ends");
    assert!(rest(stream).await.ends_with("0\r\n\r\n"));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_ends_the_connection() {
    let (address, _stop, _served, _plane) = started().await;
    let start = tokio::time::Instant::now();
    rest(send(address, "GET /livez HTTP/1.1\r\n").await).await;
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let (address, _stop, _served, _plane) = started().await;
    let put = format!(
        "PUT {INSTANCE} HTTP/1.1\r\nHost: {address}\r\n\
         Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{{"
    );
    let answer = rest(send(address, &put).await).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}
