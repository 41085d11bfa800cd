//! A new instance beside one that has served for a while gets less at first,
//! then its share.

use std::{thread, time::Duration};

use crate::support::{Backend, Portolan, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

const BALANCERS: [&str; 3] = ["round_robin", "random", "least_request"];

#[test]
fn the_share_of_a_new_instance_grows() {
    let sections = BALANCERS.map(|balance| {
        format!(
            "[service.{balance}]\nbalance = '{balance}'\nslow_start = '10s'\n\
             [[route]]\npath = '/{balance}'\nservice = '{balance}'\n"
        )
    });
    let portolan = Portolan::start(&sections.concat());
    let old = BALANCERS.map(|_| Backend::answering(OK));
    let new = BALANCERS.map(|_| Backend::answering(OK));
    for (service, old) in BALANCERS.iter().zip(&old) {
        portolan.register(&format!("{service}/old"), old.address);
    }
    // Until they have their full share.
    thread::sleep(Duration::from_millis(10_500));
    let mut client = portolan.connect();
    for ((service, old), new) in BALANCERS.iter().zip(&old).zip(&new) {
        portolan.register(&format!("{service}/new"), new.address);
        let mut send = |count: usize| {
            let before = (old.requests().len(), new.requests().len());
            for _ in 0..count {
                let get = format!("GET /{service} HTTP/1.1\r\nhost: test\r\n\r\n");
                assert_eq!(client.exchange(get).status(), 200);
            }
            (old.requests().len() - before.0, new.requests().len() - before.1)
        };
        let (to_old, to_new) = send(100);
        assert!(to_new < 35 && to_old > 65, "{service}: {to_old} and {to_new}");
        // Ten more at a time, so that a share of ten is half.
        eventually(|| send(20).1 >= 10);
    }
}
