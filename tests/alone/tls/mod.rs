//! TLS on listeners, on the admin address and towards instances.

mod admin;
mod carried;
mod client_certificates;
mod handshakes;
mod http2;
mod http2_upstream;
mod reload;
mod upstream;

use crate::support::{Backend, Portolan, tls::Authority};

/// An answer of an instance.
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A request.
const GET: &str = "GET / HTTP/1.1\r\nhost: a.example\r\n\r\n";

/// A proxy whose listener speaks TLS as `tls` says, before `backend`.
#[track_caller]
fn started(tls: &str, backend: &Backend) -> Portolan {
    Portolan::start(&text(tls, "", backend))
}

/// Its config file, with `more` in the table of the listener.
fn text(tls: &str, more: &str, backend: &Backend) -> String {
    format!(
        "[[listener]]\ntls = {{ {tls} }}\n{more}\n\
         [service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'\n",
        backend.address
    )
}

/// A proxy with one certificate, for `a.example`.
#[track_caller]
fn plain(authority: &Authority, backend: &Backend) -> Portolan {
    let pair = authority.issue("a", &["a.example"]);
    started(&format!("certificates = [{{ {pair} }}]"), backend)
}
