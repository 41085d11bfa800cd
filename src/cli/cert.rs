//! `portolan cert dev`: a CA of one's own and a certificate from it.

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;

use super::{
    output::{FormatArgs, Output},
    text::{BOLD, DIM},
};
use crate::tls::dev::{self, DevFiles};

/// What `cert` can do.
#[derive(Debug, Subcommand)]
pub(super) enum CertVerb {
    /// Make a local CA, once, and a certificate for some names
    #[command(after_help = "\
Examples:
  portolan cert dev                              for localhost, 127.0.0.1 and ::1
  portolan cert dev shop.localhost '*.shop.localhost'
  portolan cert dev --client orders              for a client that has to show one

The CA is made once and goes on: trust it once, by `curl --cacert DIR/ca.pem`, in the browser, or
in the store of the system. Whoever has DIR/ca.key can pass as any server to whoever trusts it, so
this is for trying things out.")]
    Dev(DevArgs),
}

/// Arguments of `cert dev`.
#[derive(Debug, clap::Args)]
pub(super) struct DevArgs {
    /// DNS names and IP addresses; the first one names the files
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Where to put the files
    #[arg(long, value_name = "DIR", default_value = "certs")]
    dir: PathBuf,
    /// Make it for a client and not for a server
    #[arg(long)]
    client: bool,
    /// How long it holds
    #[arg(long, value_name = "DAYS", default_value_t = 397)]
    days: u32,
    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Debug, Serialize)]
struct CertView {
    ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
    toml: String,
}

impl CertVerb {
    pub(super) fn perform(&self) -> anyhow::Result<Output> {
        let Self::Dev(args) = self;
        let mut names = args.names.clone();
        if names.is_empty() {
            names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
        }
        let made = dev::make(&args.dir, &names, args.client, args.days)?;
        let view = view(&made, args.client);
        Output::of(args.format.format, &view, || text(&view, &made, &names, args.client))
    }
}

fn view(made: &DevFiles, client: bool) -> CertView {
    let show = |path: &PathBuf| format!("{:?}", path.display().to_string());
    let (cert, key, ca) = (show(&made.cert), show(&made.key), show(&made.ca));
    let toml = if client {
        format!("tls = {{ ca = {ca}, cert = {cert}, key = {key} }}")
    } else {
        format!("tls = {{ certificates = [{{ cert = {cert}, key = {key} }}] }}")
    };
    CertView { ca: made.ca.clone(), cert: made.cert.clone(), key: made.key.clone(), toml }
}

fn text(view: &CertView, made: &DevFiles, names: &[String], client: bool) -> String {
    let ca = view.ca.display();
    let which = if made.known_ca { "the CA that was there" } else { "a new CA" };
    let place =
        if client { "a [service.NAME] whose instances ask for it" } else { "a [[listener]]" };
    let name = names.first().map_or("localhost", String::as_str).replace('*', "www");
    let mut text = format!(
        "{BOLD}{}{BOLD:#}   for {}, by {which}, {ca}\n\n\
         {DIM}# In {place} of proxy.toml:{DIM:#}\n{}\n\n\
         {DIM}# To trust it:{DIM:#}\n",
        view.cert.display(),
        names.join(", "),
        view.toml,
    );
    if client {
        text += &format!(
            "client_ca = {:?}   {DIM}# in `tls` of the listener that asks{DIM:#}\n",
            ca.to_string()
        );
        text += &format!(
            "curl --cert {} --key {} https://...\n",
            view.cert.display(),
            view.key.display()
        );
    } else {
        text += &format!("curl --cacert {ca} https://{name}:8443/\n");
        text += &format!(
            "sudo cp {ca} /usr/local/share/ca-certificates/portolan-dev.crt && sudo update-ca-certificates\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn keys_are_for_their_owner_and_the_ca_is_made_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("certs");
        let names = |name: &str| vec![name.to_owned()];
        let first = dev::make(&dir, &names("*.shop.localhost"), false, 30).expect("made");
        assert!(!first.known_ca);
        assert_eq!(first.cert.file_name().expect("a name"), "_.shop.localhost.pem");
        let ca = std::fs::read(&first.ca).expect("a file");
        let second = dev::make(&dir, &names("orders"), true, 30).expect("made");
        assert!(second.known_ca);
        assert_eq!(std::fs::read(&second.ca).expect("a file"), ca);
        for key in [dir.join("ca.key"), first.key.clone(), second.key.clone()] {
            assert_eq!(std::fs::metadata(key).expect("a file").mode() & 0o777, 0o600);
        }
        let shown = view(&first, false).toml;
        let settings: toml::Table = shown.parse().expect("TOML");
        assert!(settings["tls"]["certificates"][0]["cert"].is_str());
    }
}
