//! The driver against a server that answers as it is told.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use hickory_resolver::proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata},
};
use tokio::{
    net::UdpSocket,
    sync::{Notify, mpsc},
    time::timeout,
};

use super::*;
use crate::sources::SourceName;

/// What the server does with a question.
#[derive(Clone, Debug)]
enum Told {
    Records(Vec<RData>),
    Code(ResponseCode),
    Silence,
}

type Zone = Arc<Mutex<BTreeMap<(String, RecordType), Told>>>;

/// A server with a zone that can be changed; what is not in it does not exist.
async fn server() -> (SocketAddr, Zone) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
    let address = socket.local_addr().expect("an address");
    let zone = Zone::default();
    let known = Arc::clone(&zone);
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        loop {
            let (length, peer) = socket.recv_from(&mut buffer).await.expect("a question");
            let asked = Message::from_vec(&buffer[..length]).expect("a message");
            let query = asked.queries[0].clone();
            let key = (query.name().to_string().to_lowercase(), query.query_type());
            let told = known.lock().expect("not poisoned").get(&key).cloned();
            let mut answer = Message::response(asked.metadata.id, asked.metadata.op_code);
            answer.metadata.message_type = MessageType::Response;
            answer.add_query(query.clone());
            match told.unwrap_or(Told::Code(ResponseCode::NXDomain)) {
                Told::Records(all) => {
                    let record = |data| Record::from_rdata(query.name().clone(), 1, data);
                    answer.add_answers(all.into_iter().map(record));
                }
                Told::Code(code) => answer.metadata.response_code = code,
                Told::Silence => continue,
            }
            let bytes = answer.to_vec().expect("it can be written");
            socket.send_to(&bytes, peer).await.expect("sent");
        }
    });
    (address, zone)
}

fn set(zone: &Zone, name: &str, kind: RecordType, told: Told) {
    zone.lock().expect("not poisoned").insert((format!("{name}."), kind), told);
}

fn a(ips: &[[u8; 4]]) -> Told {
    Told::Records(ips.iter().map(|ip| RData::A(rdata::A((*ip).into()))).collect())
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> RData {
    let target = Name::from_utf8(target).expect("a name");
    RData::SRV(rdata::SRV::new(priority, weight, port, target))
}

/// Runs the driver, and answers with what it tells.
fn start(
    server: SocketAddr,
    services: &str,
) -> (mpsc::UnboundedReceiver<(SourceName, News)>, Arc<Notify>) {
    start_by(&[server], services)
}

/// The same, with several servers.
fn start_by(
    servers: &[SocketAddr],
    services: &str,
) -> (mpsc::UnboundedReceiver<(SourceName, News)>, Arc<Notify>) {
    let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
    let settings = format!(
        "servers = {servers:?}\ninterval = '1s'\ntimeout = '300ms'\n[services]\n{services}"
    );
    let settings: DnsSettings = toml::from_str(&settings).expect("settings");
    let (news, heard) = mpsc::unbounded_channel();
    let wanted = Arc::new(Notify::new());
    let feed = Feed::new("dns".parse().expect("a name"), news, Arc::clone(&wanted));
    tokio::spawn(run(settings, feed));
    (heard, wanted)
}

/// The next news that `wanted` takes.
async fn next<T>(
    heard: &mut mpsc::UnboundedReceiver<(SourceName, News)>,
    wanted: impl Fn(News) -> Option<T>,
) -> T {
    let found = async {
        loop {
            let (_, news) = heard.recv().await.expect("the driver goes on");
            if let Some(found) = wanted(news) {
                return found;
            }
        }
    };
    timeout(Duration::from_secs(30), found).await.expect("it is told")
}

fn listed(news: News) -> Option<Vec<String>> {
    let News::List(all) = news else { return None };
    let shown =
        |found: Found| format!("{} {}", found.instance.key(), found.instance.weight.value());
    Some(all.into_iter().map(shown).collect())
}

fn lost(news: News) -> Option<String> {
    match news {
        News::Lost(why) => Some(why),
        _ => None,
    }
}

#[tokio::test]
async fn addresses_are_instances_and_that_a_name_is_gone_is_an_answer() {
    let (server, zone) = server().await;
    set(&zone, "orders.test", RecordType::A, a(&[[10, 0, 0, 1], [10, 0, 0, 2]]));
    set(&zone, "orders.test", RecordType::AAAA, Told::Records(Vec::new()));
    let (mut heard, _wanted) = start(server, "orders = 'orders.test:80'");
    let first = next(&mut heard, listed).await;
    assert_eq!(first, ["orders/10.0.0.1:80 100", "orders/10.0.0.2:80 100"]);
    // The server is in trouble, then silent: nothing is known.
    for told in
        [Told::Code(ResponseCode::ServFail), Told::Silence, Told::Code(ResponseCode::Refused)]
    {
        set(&zone, "orders.test", RecordType::A, told);
        let why = next(&mut heard, |news| match news {
            News::Lost(why) => Some(Ok(why)),
            News::List(_) | News::Removed(_) => Some(Err(news)),
            _ => None,
        });
        let why = why.await.expect("nothing is taken away");
        assert!(why.starts_with("orders.test:80: "), "{why}");
    }
    set(&zone, "orders.test", RecordType::A, Told::Code(ResponseCode::NXDomain));
    set(&zone, "orders.test", RecordType::AAAA, Told::Code(ResponseCode::NXDomain));
    assert!(next(&mut heard, listed).await.is_empty());
}

#[tokio::test]
async fn srv_records_bring_ports_and_weights() {
    let (server, zone) = server().await;
    let records = vec![
        srv(1, 10, 8080, "a.test."),
        srv(1, 0, 8081, "b.test."),
        srv(2, 5, 8082, "spare.test."),
    ];
    set(&zone, "_http._tcp.orders.test", RecordType::SRV, Told::Records(records));
    set(&zone, "a.test", RecordType::A, a(&[[10, 0, 0, 1], [10, 0, 0, 2]]));
    set(&zone, "b.test", RecordType::A, a(&[[10, 0, 0, 3]]));
    let (mut heard, wanted) = start(server, "orders = '_http._tcp.orders.test'");
    let all = next(&mut heard, listed).await;
    assert_eq!(
        all,
        ["orders/10.0.0.1:8080 10", "orders/10.0.0.2:8080 10", "orders/10.0.0.3:8081 1"]
    );
    wanted.notify_one();
    assert_eq!(next(&mut heard, listed).await.len(), 3, "who asks for a list gets one");
    // RFC 2782: a target of "." says that there is decidedly none.
    set(&zone, "_http._tcp.orders.test", RecordType::SRV, Told::Records(vec![srv(0, 0, 0, ".")]));
    assert!(next(&mut heard, listed).await.is_empty());
}

#[tokio::test]
async fn a_name_that_fails_does_not_hold_up_the_others() {
    let (server, zone) = server().await;
    set(&zone, "good.test", RecordType::A, a(&[[10, 0, 0, 1]]));
    set(&zone, "bad.test", RecordType::A, Told::Code(ResponseCode::ServFail));
    let (mut heard, _wanted) = start(server, "good = 'good.test:80'\nbad = 'bad.test:80'");
    let upserted = next(&mut heard, |news| match news {
        News::Upserted(found) => Some(found.instance.key().to_string()),
        _ => None,
    });
    assert_eq!(upserted.await, "good/10.0.0.1:80");
    assert!(next(&mut heard, lost).await.contains("bad.test"));
    set(&zone, "good.test", RecordType::A, a(&[[10, 0, 0, 2]]));
    let removed = next(&mut heard, |news| match news {
        News::Removed(key) => Some(key.to_string()),
        _ => None,
    });
    assert_eq!(removed.await, "good/10.0.0.1:80");
    set(&zone, "bad.test", RecordType::A, a(&[[10, 0, 0, 9]]));
    let all = next(&mut heard, listed).await;
    assert_eq!(all, ["bad/10.0.0.9:80 100", "good/10.0.0.2:80 100"]);
    // What was answered once stands while it is not; what is gone is in a list
    // again, so that it is seen how much that is.
    set(&zone, "bad.test", RecordType::A, Told::Code(ResponseCode::ServFail));
    set(&zone, "good.test", RecordType::A, Told::Code(ResponseCode::NXDomain));
    assert_eq!(next(&mut heard, listed).await, ["bad/10.0.0.9:80 100"]);
    assert!(next(&mut heard, lost).await.contains("bad.test"));
}

#[tokio::test]
async fn the_next_priority_is_taken_where_the_first_has_no_address() {
    let (server, zone) = server().await;
    let records = vec![srv(1, 1, 80, "gone.test."), srv(2, 1, 81, "spare.test.")];
    set(&zone, "_http._tcp.orders.test", RecordType::SRV, Told::Records(records));
    set(&zone, "spare.test", RecordType::A, a(&[[10, 0, 0, 5]]));
    let (mut heard, _wanted) = start(server, "orders = '_http._tcp.orders.test'");
    assert_eq!(next(&mut heard, listed).await, ["orders/10.0.0.5:81 1"]);
    // A target that is not answered says nothing of how many there are.
    set(&zone, "gone.test", RecordType::A, Told::Code(ResponseCode::ServFail));
    assert!(next(&mut heard, lost).await.contains("_http._tcp.orders.test"));
}

#[tokio::test]
async fn another_server_is_asked_where_one_fails() {
    let ((silent, zone), (sound, good)) = (server().await, server().await);
    set(&zone, "orders.test", RecordType::A, Told::Silence);
    set(&zone, "orders.test", RecordType::AAAA, Told::Silence);
    set(&zone, "users.test", RecordType::A, Told::Code(ResponseCode::ServFail));
    set(&zone, "users.test", RecordType::AAAA, Told::Code(ResponseCode::Refused));
    set(&good, "orders.test", RecordType::A, a(&[[10, 0, 0, 1]]));
    set(&good, "users.test", RecordType::A, a(&[[10, 0, 0, 2]]));
    let (mut heard, _wanted) =
        start_by(&[silent, sound], "orders = 'orders.test:80'\nusers = 'users.test:80'");
    let all = next(&mut heard, listed).await;
    assert_eq!(all, ["orders/10.0.0.1:80 100", "users/10.0.0.2:80 100"]);
}
