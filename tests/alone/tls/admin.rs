//! The admin address over TLS, and the command line that talks to it.

use std::process::Command;

use super::OK;
use crate::support::{Backend, Portolan, tls::Authority};

#[test]
fn the_admin_address_speaks_tls_and_the_command_line_does_too() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    let pair = authority.issue("admin", &["localhost", "127.0.0.1"]);
    let portolan = Portolan::start(&format!(
        "[admin]\ntls = {{ certificates = [{{ {pair} }}] }}\n\
         [service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'",
        backend.address
    ));
    let mut session = authority.client().connect(portolan.admin, "localhost");
    let answer = session.connection.exchange("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert_eq!(answer.status(), 200);

    let url = format!("https://{}", portolan.admin);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
        command.args(arguments).args(["--admin", &url]).output().expect("it runs")
    };
    let ca = authority.ca();
    let status = run(&["status", "--ca", &ca]);
    let out = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.status.success(), "{out} {}", String::from_utf8_lossy(&status.stderr));
    assert!(out.contains("admin.pem"), "{out}");
    // Whom nobody vouches for is not told a token.
    let stranger = run(&["status", "--ca", &Authority::new().ca()]);
    assert_eq!(stranger.status.code(), Some(3));
    let said = String::from_utf8_lossy(&stranger.stderr).into_owned();
    assert!(said.contains("no CA that is trusted"), "{said}");
    assert!(said.contains("--ca"), "{said}");
}
