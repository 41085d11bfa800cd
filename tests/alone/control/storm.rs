//! An operator, or a script gone wild, who edits the config file ten times a
//! second while requests come in: nobody notices.

use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use super::{drain::tunnel, *};
use crate::support::{Backend, Connection};

#[test]
fn constant_edits_under_load_disturb_nobody() {
    let proxy = Portolan::start(PROBED);
    let (one, two) = (Steered::start("one"), Steered::start("two"));
    proxy.put("app/one", "?wait=routable", &one.body(""));
    proxy.put("app/two", "?wait=routable", &two.body(""));
    let dead = format!("{{\"address\": \"{}\"}}", Backend::refusing());
    assert_eq!(proxy.put("app/dead", "", &dead).status(), 201);
    let mut tunnel = tunnel(&proxy);

    let end = Instant::now() + length(Duration::from_secs(6), Duration::from_secs(30));
    let (over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let failed = thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|index| {
                let (proxy, over, served) = (&proxy, &over, &served);
                scope.spawn(move || {
                    let mut failed = Vec::new();
                    let mut client = proxy.connect();
                    while !over.load(Ordering::Relaxed) {
                        // Half of them over new connections.
                        if index % 2 == 0 {
                            client = Connection::open(proxy.address());
                        }
                        let answer = client.exchange("GET /x HTTP/1.1\r\nhost: test\r\n\r\n");
                        if answer.status() == 200 {
                            served.fetch_add(1, Ordering::Relaxed);
                        } else {
                            failed.push(answer);
                            client = proxy.connect();
                        }
                        thread::sleep(Duration::from_millis(1));
                    }
                    failed
                })
            })
            .collect();
        let mut edits = 0;
        while Instant::now() < end {
            edits += 1;
            let text = format!(
                "{PROBED}[service.s{}]\n[[route]]\nhost = 'h{edits}.test'\nservice = 'app'\n",
                edits % 7
            );
            if edits % 2 == 0 {
                proxy.write(&text);
            } else {
                // As by an editor that does not care.
                proxy.write(&text);
                let whole = fs::read(proxy.config_file()).expect("a file");
                fs::write(proxy.config_file(), [&whole[..], b"\n# edited\n"].concat())
                    .expect("written");
            }
            thread::sleep(Duration::from_millis(100));
        }
        over.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect::<Vec<_>>()
    });
    assert!(failed.is_empty(), "{} failed, the first with {:?}", failed.len(), failed[0]);
    assert!(served.load(Ordering::Relaxed) > 100, "there was load");
    assert!(proxy.metric("portolan_config_reloads_total{result=\"ok\"}") > 5.0);
    assert_eq!(proxy.metric("portolan_config_reloads_total{result=\"failed\"}"), 0.0);
    tunnel.send("still there");
    assert_eq!(tunnel.read_exact(11).expect("an echo"), b"still there");
    for instance in ["one", "two"] {
        let happened = proxy.happened(instance);
        let kinds: Vec<_> =
            happened.iter().map(|(kind, detail)| (kind.as_str(), detail.as_str())).collect();
        assert_eq!(kinds.len(), 2, "registered, then healthy, then nothing: {kinds:?}");
        assert_eq!(kinds[1], ("state", "starting -> healthy"));
    }
}
