//! `portolan demo`: a proxy and three toy instances in this process, and what
//! to type to see them at work.
//!
//! The toys are strangers to the proxy: they register and renew over its admin
//! API like any other service. Nothing is left behind.

mod registrar;
mod toy;

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use self::{registrar::Registration, toy::Toy};
use super::{
    admin_url::AdminUrl,
    app,
    client::Client,
    output::{self, Output},
    text::{BOLD, DIM},
};

/// The toys, as service and instance.
const CAST: [(&str, &str); 3] = [("hello", "hello-1"), ("hello", "hello-2"), ("clock", "clock-1")];

/// How long Ctrl-C waits for requests in flight.
const FAREWELL: Duration = Duration::from_secs(5);

pub(super) fn perform() -> anyhow::Result<Output> {
    let folder = Scratch::new()?;
    let config = folder.0.join("proxy.toml");
    fs::write(&config, config_text(&folder.0))?;
    // The proxy has runtimes of its own, so it starts and stops outside ours.
    let running = app::start(&config)?;
    let proxy = *running.listeners.first().context("the proxy has no listener")?;
    let shown = super::runtime()?.block_on(show(proxy, running.admin));
    running.stop();
    shown?;
    Ok(Output::ok("stopped\n"))
}

/// Port 0 asks the system for a free one.
fn config_text(folder: &Path) -> String {
    let data_dir = toml::Value::from(folder.join("data").display().to_string());
    format!(
        r#"[[listener]]
address = "127.0.0.1:0"

[admin]
address = "127.0.0.1:0"

[registry]
data_dir = {data_dir}

[defaults]
health = {{ path = "/healthz", interval = "1s", timeout = "500ms", unhealthy_after = 1 }}

[service.hello]

[service.clock]

[[route]]
path = "/hello"
service = "hello"
strip_prefix = true

[[route]]
path = "/clock"
service = "clock"
"#
    )
}

/// Runs the toys until somebody presses Ctrl-C.
async fn show(proxy: SocketAddr, admin: SocketAddr) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let url: AdminUrl = admin.to_string().parse().map_err(io::Error::other)?;
    let client = Client::new(url, None);

    let mut toys = Vec::new();
    let mut registrations = Vec::new();
    for (service, id) in CAST {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(Arc::new(Toy::new(service, id)).serve(listener));
        toys.push((id, address));
        registrations.push(Registration::begin(&client, service, id, address).await?);
    }
    output::print(&script(proxy, admin, &toys))?;

    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    output::print_diagnostics("draining\n")?;
    for registration in registrations {
        registration.end(FAREWELL).await;
    }
    Ok(())
}

/// What to type.
fn script(proxy: SocketAddr, admin: SocketAddr, toys: &[(&str, SocketAddr)]) -> String {
    let first = toys.first().map_or(proxy, |(_, address)| *address);
    let addresses: String =
        toys.iter().map(|(id, address)| format!("  {id:<9}  http://{address}\n")).collect();
    format!(
        "\
{BOLD}A proxy, and three toy instances that registered themselves{BOLD:#}

  proxy      http://{proxy}
  admin      http://{admin}
{addresses}
In another terminal:

  {DIM}# ask a few times: the two instances of hello share the work{DIM:#}
  curl http://{proxy}/hello/world

  {DIM}# another service, the same address{DIM:#}
  curl http://{proxy}/clock

  {DIM}# who is there, and where would a request go?{DIM:#}
  export PORTOLAN_ADMIN=http://{admin}
  portolan services hello
  portolan explain http://{proxy}/hello/world

  {DIM}# let hello-1 fail its probes, then ask again: nobody notices{DIM:#}
  curl -X POST http://{first}/fail
  curl http://{proxy}/hello/world
  portolan services hello
  curl -X POST http://{first}/recover

  {DIM}# watch it all happen{DIM:#}
  portolan events --follow

Ctrl-C drains and stops.
"
    )
}

/// A folder that goes when the demo does.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> io::Result<Self> {
        let name = format!("portolan-demo-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let path = std::env::temp_dir().join(name);
        // Fails if it is there already: nobody else's folder is taken over.
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed stays in the folder for temporary things.
        fs::remove_dir_all(&self.0).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_config_is_a_config() {
        let text = config_text(Path::new("/tmp/with \"quotes\""));
        let config: crate::config::Config = toml::from_str(&text).expect("a config");
        assert_eq!(config.registry.data_dir, Path::new("/tmp/with \"quotes\"/data"));
        assert_eq!((config.route.len(), config.service.len()), (2, 2));
        assert_eq!(config.listener[0].address.0.port(), 0);
    }

    #[test]
    fn every_address_is_shown() {
        let addr = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let text = script(addr(1), addr(2), &[("hello-1", addr(3))]);
        for needed in ["curl http://127.0.0.1:1/hello", "http://127.0.0.1:2", "127.0.0.1:3/fail"] {
            assert!(text.contains(needed), "{needed}");
        }
    }

    #[test]
    fn nothing_is_left_behind() {
        let folder = Scratch::new().expect("a folder");
        let path = folder.0.clone();
        fs::write(path.join("a"), "a").expect("written");
        drop(folder);
        assert!(!path.exists());
    }
}
