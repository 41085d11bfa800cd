//! Signals to a process of its own: to reload, and to open the logs anew.

use rustix::process::Signal;

use crate::support::{Portolan, eventually};

const REDIRECT: &str = "[[route]]\nredirect = { to = '/x' }\n";

fn reloads(portolan: &Portolan, result: &str) -> f64 {
    portolan.metric(&format!("portolan_config_reloads_total{{result=\"{result}\"}}"))
}

/// The file is as it was, so nothing but the signal asks for a reload.
#[test]
fn a_hangup_reloads_the_file() {
    let portolan = Portolan::apart(REDIRECT, 256);
    assert_eq!(reloads(&portolan, "ok"), 0.0);
    portolan.signal(Signal::HUP);
    eventually(|| reloads(&portolan, "ok") == 1.0);
    portolan.signal(Signal::HUP);
    eventually(|| reloads(&portolan, "ok") == 2.0);
    assert_eq!(reloads(&portolan, "failed"), 0.0);
    assert_eq!(portolan.get("/").status(), 308, "it goes on");
}

#[test]
fn a_log_that_was_moved_away_is_opened_anew() {
    let portolan = Portolan::apart(REDIRECT, 256);
    portolan.get("/before");
    portolan.logged(1);
    let log = portolan.folder().join("access.log");
    let moved = portolan.folder().join("access.log.1");
    std::fs::rename(&log, &moved).expect("moved");
    portolan.get("/between");
    let lines = || std::fs::read_to_string(&moved).expect("reads").lines().count();
    eventually(|| lines() == 2);
    assert!(!log.exists(), "it writes to the file that it has open");
    portolan.signal(Signal::USR1);
    eventually(|| log.exists());
    portolan.get("/after");
    assert_eq!(portolan.logged(1)[0]["path"], "/after");
    assert_eq!(lines(), 2);
}
