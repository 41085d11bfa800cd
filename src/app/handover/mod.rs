//! Handing over to another process: the same program, or a newer one at the
//! same path, without a connection refused or lost.
//!
//! The old process starts the new one with a socket as its standard input and
//! sends its listening sockets. The new one reads the config file, binds what
//! is new in it, and says that it is ready. Until then nothing has changed. The
//! old one then holds changes back, closes the store and sends what it knows;
//! the new one opens the store, routes by what it was told, and says so; the
//! old one answers that it serves from now on. That answer is the point of no
//! return: before it, whatever goes wrong ends the new process and the old one
//! goes on.
//!
//! `give` is the side of the old process, `take` that of the new one, `link`
//! what they have to say to each other afterwards.

mod give;
mod link;
mod take;
mod wire;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

pub(super) use give::{Given, Refusal, give};
pub(super) use link::{Heir, follow, lead};
pub(super) use take::Arrival;
pub(super) use wire::Wire;

use super::inherited::Role;
use crate::control::{InFlightReport, Inheritance, Leaver};

/// Which messages there are and what is in them. Counted up when a program of
/// the version before would not understand them.
const PROTOCOL: u32 = 2;

/// What the old process says.
#[derive(Debug, Serialize, Deserialize)]
enum FromOld {
    /// One listening socket, which comes with it.
    Socket { configured: SocketAddr, role: Role },
    /// Those were all. What is said from here on is said by [`PROTOCOL`].
    Offered { protocol: u32 },
    /// The store is closed, and this is known beside it.
    Inheritance(Inheritance),
    /// Serve from now on.
    Serve,
    /// What is in flight in the old process.
    InFlight(InFlightReport),
    /// A client connection, which comes with it, whom a load balancer has
    /// named as its client, and what was read of it.
    Client { listener: SocketAddr, announced: Option<SocketAddr>, ahead: Vec<u8> },
    /// A call of the admin API or of a front; the socket to answer it on comes with it.
    Call { peer: SocketAddr, local: SocketAddr },
}

/// What the new process says.
#[derive(Debug, Serialize, Deserialize)]
enum FromNew {
    /// It could take over. It does not want the listeners at these addresses.
    Ready { dropped: Vec<SocketAddr> },
    /// It cannot.
    Refused { why: String, problems: String },
    /// It has the store and a table; this is the version of its program.
    Prepared { program: String },
    /// An instance is leaving.
    Leaver(Leaver),
}
