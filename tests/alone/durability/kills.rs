//! SIGKILL at any moment, under registrations from several clients.

use std::{
    sync::atomic::{AtomicU16, Ordering},
    thread,
    time::Duration,
};

use rustix::process::Signal;

use super::{PLAIN, history::History, path, ports, registry_ok};
use crate::support::{Connection, Portolan};

const ROUNDS: usize = 200;
/// At a time, each on a store of its own.
const LANES: usize = 2;
const CLIENTS: usize = 4;
/// Few, so that clients meet.
const IDS: u16 = 6;

/// Snapshots are made all the time, so that kills meet them too.
const CONFIG: &str = "[registry]\nsnapshot_every = '100ms'\nsnapshots_kept = 3\n";

#[test]
fn what_was_acknowledged_survives_200_kills() {
    let acknowledged: usize = thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(|| survive(ROUNDS / LANES))).collect();
        lanes.into_iter().map(|lane| lane.join().expect("no loss")).sum()
    });
    println!("{ROUNDS} kills, {acknowledged} acknowledged operations, none lost");
}

fn survive(rounds: usize) -> usize {
    let mut proxy = Portolan::under(CONFIG, PLAIN);
    let mut history = History::default();
    let numbers = AtomicU16::new(1);
    let mut acknowledged = 0;
    for _ in 0..rounds {
        let before = history.acknowledged();
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| Connection::open(proxy.admin)).collect();
            for client in clients {
                scope.spawn(|| change_until_gone(client, &proxy, &history, &numbers));
            }
            thread::sleep(Duration::from_millis(fastrand::u64(10..120)));
            proxy.signal(Signal::KILL);
        });
        acknowledged += history.acknowledged() - before;
        proxy = proxy.kill_and_start(PLAIN);
        history.check(&ports(&proxy));
    }
    proxy.signal(Signal::TERM);
    proxy.wait();
    let found = registry_ok(&proxy, &["verify"]);
    assert!(found.contains("snapshots/"), "{found}");
    acknowledged
}

/// Registers and deregisters, one after the other, until no answer comes.
fn change_until_gone(
    mut client: Connection,
    proxy: &Portolan,
    history: &History,
    numbers: &AtomicU16,
) {
    loop {
        let id = fastrand::u16(..IDS).to_string();
        // Each its own, so that what is found tells who has done it.
        let port = numbers.fetch_add(1, Ordering::Relaxed).max(1);
        let result = (fastrand::u8(..3) > 0).then_some(port);
        let (method, body) = match result {
            Some(port) => ("PUT", format!("{{\"address\": \"127.0.0.1:{port}\"}}")),
            None => ("DELETE", String::new()),
        };
        let number = history.ask(&id, result);
        client.send(format!(
            "{method} {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            path(&id),
            proxy.admin,
            body.len()
        ));
        let Ok(mut answer) = client.read_head() else { return };
        match answer.status() {
            200 | 201 => history.acknowledge(&id, number),
            // It was gone again before it could be shown; another client's
            // doing, of which this one is told nothing.
            404 => {}
            _ => panic!("{answer:?}"),
        }
        client.read_body(&mut answer, false);
        if !answer.complete {
            return;
        }
    }
}
