//! Where the command listens: as it is told, or on a port that is found for it.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    num::NonZeroU16,
    str::FromStr,
};

use super::super::{exit::UsageError, register::Place};

/// `--address` and `--port` of `exec`.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(super) struct PlaceArgs {
    /// Where it listens: 10.0.0.5:8080, or 10.0.0.5 with --port [default: the
    /// address that the proxy is called from]
    #[arg(short, long)]
    address: Option<String>,
    /// The port; `auto` finds a free one and hands it over in PORT
    #[arg(short, long, value_name = "PORT|auto")]
    port: Option<PortChoice>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PortChoice {
    Auto,
    Number(NonZeroU16),
}

impl FromStr for PortChoice {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let refused = || format!("{text:?} is no port; write a number from 1 to 65535, or auto");
        text.parse().map(Self::Number).map_err(|_| refused())
    }
}

impl PlaceArgs {
    /// Where the instance is registered, and the port that was found for it.
    /// `local`: the proxy is on this machine.
    pub(super) fn choose(&self, local: bool) -> anyhow::Result<(Place, Option<NonZeroU16>)> {
        let found = match self.port {
            Some(PortChoice::Auto) => Some(free_port()?),
            _ => None,
        };
        let port = match self.port {
            Some(PortChoice::Number(port)) => Some(port),
            _ => found,
        };
        let place = match (&self.address, port) {
            (Some(address), port) => Place::named(address, port)?,
            // A proxy called by a name may be reached over IPv6, on which a
            // program that listens on 127.0.0.1 does not.
            (None, Some(port)) if local => {
                Place::named(&Ipv4Addr::LOCALHOST.to_string(), Some(port))?
            }
            (None, Some(port)) => Place::Port(port),
            (None, None) => {
                let sentence = "where does it listen? give --port PORT, --port auto or --address";
                return Err(UsageError(sentence.to_owned()).into());
            }
        };
        Ok((place, found))
    }
}

/// A port that nobody listens on. Somebody else may take it before the command
/// does; the system hands them out in turn, which makes that unlikely.
fn free_port() -> io::Result<NonZeroU16> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let port = listener.local_addr()?.port();
    NonZeroU16::new(port).ok_or_else(|| io::Error::other("the system gave port 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(address: Option<&str>, port: Option<&str>, local: bool) -> anyhow::Result<String> {
        let port = port.map(|port| port.parse().expect("a port"));
        let args = PlaceArgs { address: address.map(str::to_owned), port };
        Ok(match args.choose(local)?.0 {
            Place::At(origin) => origin.to_string(),
            Place::Port(port) => format!("port {port}"),
        })
    }

    #[test]
    fn a_port_alone_is_that_of_this_machine() {
        let chosen = |address, port, local| place(address, port, local).expect("a place");
        assert_eq!(chosen(None, Some("80"), true), "http://127.0.0.1:80");
        assert_eq!(chosen(None, Some("80"), false), "port 80");
        assert_eq!(chosen(Some("10.0.0.5"), Some("80"), true), "http://10.0.0.5:80");
        assert_eq!(chosen(Some("10.0.0.5:80"), None, true), "http://10.0.0.5:80");
        assert!(place(None, None, true).is_err());
        assert!(place(Some("10.0.0.5:80"), Some("80"), true).is_err());
    }

    #[test]
    fn a_port_that_is_found_is_free() {
        let args = PlaceArgs { address: None, port: Some(PortChoice::Auto) };
        let (place, found) = args.choose(false).expect("a place");
        let port = found.expect("a port");
        assert_eq!(place, Place::Port(port));
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port.get())).is_ok());
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for text in ["0", "65536", "any", ""] {
            assert!(text.parse::<PortChoice>().is_err(), "{text:?}");
        }
    }
}
