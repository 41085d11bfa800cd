//! A new process that does not come to it leaves everything as it is.

use super::*;

/// A proxy with one instance, and a client that has been answered.
fn scene() -> (Portolan, Steered, Connection) {
    let proxy = spawned(SELDOM);
    let one = Steered::start("one");
    proxy.put("app/one", "?wait=routable", &one.body(""));
    let mut client = proxy.connect();
    assert_eq!(client.exchange(GET).text(), "one");
    (proxy, one, client)
}

/// Everything works, over connections that were open too.
#[track_caller]
fn goes_on(proxy: &mut Portolan, client: &mut Connection, old: u32) {
    assert_eq!(proxy.pid(), old);
    assert_eq!(client.exchange(GET).text(), "one");
    assert_eq!(proxy.get("/").text(), "one");
    assert_eq!(
        proxy.put("app/more", "", r#"{"port": 1, "health": {"kind": "ttl"}}"#).status(),
        201
    );
    assert_eq!(proxy.heartbeat("app/more").status(), 200);
    assert_eq!(proxy.delete("app/more", "?wait=drained").status(), 200);
    assert_eq!(proxy.status()["store"]["state"], "writable");
    assert!(proxy.happened_at_all("upgrade_refused"));
    assert!(proxy.has_logged("no other process took over"));
}

impl Portolan {
    fn happened_at_all(&self, kind: &str) -> bool {
        kinds(self).iter().any(|happened| happened == kind)
    }
}

#[test]
fn a_config_that_is_refused() {
    let (mut proxy, _one, mut client) = scene();
    let old = proxy.pid();
    let good = std::fs::read_to_string(proxy.config_file()).expect("a file");
    std::fs::write(proxy.config_file(), "shutdwn_timeout = '1s'\n").expect("written");
    let answer = proxy.try_upgrade();
    assert_eq!(
        (answer.status(), problem(&answer).as_str()),
        (409, "upgrade_refused"),
        "{answer:?}"
    );
    assert!(answer.json()["problems"].as_str().expect("text").contains("shutdwn_timeout"));
    goes_on(&mut proxy, &mut client, old);
    std::fs::write(proxy.config_file(), good).expect("written");
    assert_ne!(proxy.upgrade(), old);
    assert_eq!(client.exchange(GET).text(), "one");
}

#[test]
fn a_program_that_cannot_be_started_or_ends_at_once() {
    let (mut proxy, _one, mut client) = scene();
    let old = proxy.pid();
    proxy.replace_program("exit 3");
    let answer = proxy.try_upgrade();
    assert_eq!(answer.status(), 409, "{answer:?}");
    assert!(answer.json()["why"].as_str().expect("text").contains("exit status: 3"), "{answer:?}");
    std::fs::remove_file(proxy.folder().join(crate::support::PROGRAM)).expect("removed");
    let answer = proxy.try_upgrade();
    assert_eq!(answer.status(), 409, "{answer:?}");
    assert!(answer.json()["why"].as_str().expect("text").contains("cannot start"), "{answer:?}");
    goes_on(&mut proxy, &mut client, old);
}

#[test]
fn an_address_that_cannot_be_bound() {
    let (mut proxy, _one, mut client) = scene();
    let old = proxy.pid();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let config = SELDOM.replace("upgrade_timeout = '20s'\n", "");
    proxy.write(&format!("[[listener]]\n[[listener]]\naddress = '{address}'\n{config}"));
    let answer = proxy.try_upgrade();
    assert_eq!(answer.status(), 409, "{answer:?}");
    assert!(answer.json()["why"].as_str().expect("text").contains("cannot listen"), "{answer:?}");
    goes_on(&mut proxy, &mut client, old);
}

#[test]
fn a_store_that_cannot_be_opened() {
    let (mut proxy, _one, mut client) = scene();
    let old = proxy.pid();
    // Another store, which is damaged: only who opens it finds out.
    let other = proxy.folder().join("other");
    std::fs::create_dir(&other).expect("a folder");
    std::fs::write(other.join("registry.db"), "no database").expect("written");
    proxy.write(&format!("{SELDOM}[registry]\ndata_dir = '{}'\n", other.display()));
    let answer = proxy.try_upgrade();
    assert_eq!(answer.status(), 409, "{answer:?}");
    assert!(answer.json()["why"].as_str().expect("text").contains("damaged"), "{answer:?}");
    goes_on(&mut proxy, &mut client, old);
}

/// The words of a new process, as a shell prints them on its socket.
fn say(message: &str) -> String {
    format!("printf '\\000\\000\\000\\{:03o}%s' '{message}' >&0\n", message.len())
}

#[test]
fn a_program_that_ends_once_it_may_have_the_store() {
    let (mut proxy, _one, mut client) = scene();
    let old = proxy.pid();
    proxy.replace_program(&format!(
        "{}exec cat >/dev/null 2>&1 </dev/null",
        say(r#"{"Ready":{"dropped":[]}}"#)
    ));
    let answer = proxy.try_upgrade();
    assert_eq!(answer.status(), 409, "{answer:?}");
    assert!(answer.json()["why"].as_str().expect("text").contains("ended"), "{answer:?}");
    goes_on(&mut proxy, &mut client, old);
}

#[test]
fn a_program_that_speaks_of_something_else() {
    let (mut proxy, _one, mut client) = scene();
    let old = proxy.pid();
    for words in [r#"{"Prepared":{"program":"9"}}"#, r#"{"Nonsense":1}"#, "nonsense"] {
        proxy.replace_program(&format!("{}exec sleep 600", say(words)));
        let answer = proxy.try_upgrade();
        assert_eq!(answer.status(), 409, "{answer:?}");
    }
    goes_on(&mut proxy, &mut client, old);
}

#[test]
fn a_new_process_goes_on_without_the_one_that_started_it() {
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let message = b"\0\0\0\x1a{\"Offered\":{\"protocol\":2}}";
    std::io::Write::write_all(&mut ours, message).expect("written");
    let listening = std::thread::spawn(move || {
        // It says that it is ready, and hears nothing more.
        let mut length = [0; 4];
        std::io::Read::read_exact(&mut ours, &mut length).expect("a message");
    });
    let one = Steered::start("one");
    let proxy = Portolan::spawned(SELDOM, |command, _| {
        command.env("PORTOLAN_HANDOVER", "1");
        command.stdin(std::process::Stdio::from(std::os::fd::OwnedFd::from(theirs)));
    });
    listening.join().expect("no panic");
    proxy.put("app/one", "?wait=routable", &one.body(""));
    assert_eq!(proxy.get("/").text(), "one");
}

#[test]
fn a_stop_ends_a_new_process_that_hangs() {
    let (mut proxy, _one, mut client) = scene();
    let old = proxy.pid();
    let mark = proxy.folder().join("hangs");
    proxy.replace_program(&format!(
        "echo $$ > {0}.new; mv {0}.new {0}; exec sleep 600",
        mark.display()
    ));
    crate::support::signal(old, rustix::process::Signal::USR2);
    eventually(|| mark.exists());
    assert_eq!(client.exchange(GET).text(), "one");
    assert_eq!(proxy.put("app/more", "", r#"{"port": 1}"#).status(), 201, "nothing is held back");
    crate::support::signal(old, rustix::process::Signal::TERM);
    assert_eq!(proxy.exit().code(), Some(0));
    let hung: i32 = std::fs::read_to_string(mark).expect("a file").trim().parse().expect("an id");
    let hung = rustix::process::Pid::from_raw(hung).expect("an id");
    eventually(|| rustix::process::test_kill_process(hung).is_err());
}

#[test]
fn a_proxy_that_is_part_of_another_program_says_so() {
    let proxy = Portolan::start("");
    let answer = proxy.admin("POST", "/api/v1/upgrade", "");
    assert_eq!((answer.status(), problem(&answer).as_str()), (409, "upgrade_refused"));
}

#[test]
fn a_version_that_hands_over_otherwise() {
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let message = b"\0\0\0\x1a{\"Offered\":{\"protocol\":9}}";
    std::io::Write::write_all(&mut ours, message).expect("written");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_portolan"))
        .args(["run", "--config", "/nowhere"])
        .env("PORTOLAN_HANDOVER", "1")
        .stdin(std::os::fd::OwnedFd::from(theirs))
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("hands over by protocol 9"), "{said}");
}

#[test]
fn heartbeats_are_taken_while_a_new_process_hangs() {
    let (proxy, _one, mut client) = scene();
    let live = r#"{"port": 1, "ttl": "2s", "health": {"kind": "ttl"}}"#;
    assert_eq!(proxy.put("app/live", "", live).status(), 201);
    // It says that it is ready, and never opens the store.
    proxy.replace_program(&format!("{}exec sleep 600", say(r#"{"Ready":{"dropped":[]}}"#)));
    let upgrading = std::thread::scope(|scope| {
        let upgrading = scope.spawn(|| proxy.try_upgrade());
        while !upgrading.is_finished() {
            assert_eq!(proxy.heartbeat("app/live").status(), 200);
            std::thread::sleep(Duration::from_millis(500));
        }
        upgrading.join().expect("no panic")
    });
    assert_eq!(upgrading.status(), 409, "{upgrading:?}");
    assert!(!proxy.happened_at_all("lease_expired"));
    assert_eq!(client.exchange(GET).text(), "one");
}

#[test]
fn a_stop_in_the_middle_of_an_upgrade_leaves_nobody() {
    for pause in [0, 20, 40, 80, 160] {
        let mut proxy = spawned(SELDOM);
        let (old, address) = (proxy.pid(), proxy.address());
        crate::support::signal(old, rustix::process::Signal::USR2);
        std::thread::sleep(Duration::from_millis(pause));
        let late = proxy.has_exited();
        if !late {
            crate::support::signal(old, rustix::process::Signal::TERM);
            proxy.exit();
        }
        if late || !proxy.has_logged("stopping: requests in flight may finish") {
            // It had been replaced by then.
            let new = proxy.pid();
            proxy.took_over(new);
            continue;
        }
        eventually(|| std::net::TcpStream::connect(address).is_err());
    }
}
