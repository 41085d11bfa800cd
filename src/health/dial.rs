//! A connection to the address of an instance, if that address is allowed.
//!
//! The rules are held against what a name resolves to now, between the lookup
//! and the connect, so that a name cannot pass as one address and connect as
//! another.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, lookup_host},
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use super::{
    Target,
    failure::{Failure, is_exhausted, is_out_of_ports},
};
use crate::model::{AddressGuard, Host};

/// Lookups under way at once. The system resolver blocks a thread each and
/// cannot be interrupted: without a bound of their own, names that hang would
/// take all the threads there are.
const MAX_LOOKUPS: usize = 64;

/// Where and by which rules to connect, shared by all probes.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    lookups: Arc<Semaphore>,
}

/// When a probe must be over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    /// The instant.
    pub(super) at: Instant,
    /// The timeout it came from.
    pub(super) within: Duration,
}

impl Dialer {
    pub(super) fn new() -> Self {
        Self { lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)) }
    }

    /// Connects to the first address of `target` that is allowed and accepts.
    pub(super) async fn dial(
        &self,
        target: &Target,
        guard: &AddressGuard,
        deadline: Deadline,
    ) -> Result<TcpStream, Failure> {
        let addresses = self.resolve(target, deadline).await?;
        let mut failure = None;
        for (index, address) in addresses.iter().enumerate() {
            // An address that swallows packets must leave time for the others.
            let left = deadline.at.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            match connect(target, guard, *address, Instant::now() + share, deadline).await {
                Ok(stream) => return Ok(stream),
                Err(Failure::Connect(error)) if is_exhausted(&error) => {
                    return Err(Failure::Connect(error));
                }
                // That one family of addresses has no way out of this machine
                // says less than what another address answered.
                Err(Failure::Connect(error)) if is_out_of_ports(&error) => {
                    failure = failure.or(Some(Failure::Connect(error)));
                }
                // A broken rule is what a person must hear of.
                Err(error) if !matches!(failure, Some(Failure::Denied(_))) => failure = Some(error),
                Err(_) => {}
            }
        }
        Err(failure.unwrap_or_else(|| no_address(target)))
    }

    async fn resolve(
        &self,
        target: &Target,
        deadline: Deadline,
    ) -> Result<Vec<SocketAddr>, Failure> {
        let port = target.port();
        let name = match &target.address.host {
            Host::Ip(ip) => return Ok(vec![SocketAddr::new(*ip, port)]),
            Host::Name(name) => Arc::clone(name),
        };
        let permit = timeout_at(deadline.at, Arc::clone(&self.lookups).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return Err(Failure::ResolverBusy { name }) };
        // A task of its own, so that the permit stays taken until the lookup
        // ends, and not only until this probe gives up on it.
        let asked = Arc::clone(&name);
        let lookup = tokio::spawn(async move {
            let _permit = permit;
            lookup_host((&*asked, port)).await.map(Vec::from_iter)
        });
        match timeout_at(deadline.at, lookup).await {
            Ok(Ok(Ok(addresses))) => Ok(addresses),
            Ok(Ok(Err(source))) => Err(Failure::Resolve { name, source }),
            // The task panicked, or the runtime is going down.
            Ok(Err(_)) => Err(Failure::ResolverBusy { name }),
            Err(_) => Err(Failure::ResolveTimeout { name, within: deadline.within }),
        }
    }
}

async fn connect(
    target: &Target,
    guard: &AddressGuard,
    address: SocketAddr,
    until: Instant,
    deadline: Deadline,
) -> Result<TcpStream, Failure> {
    guard.check_from(target.provenance, address).map_err(Failure::Denied)?;
    let mut stream = timeout_at(until, TcpStream::connect(address))
        .await
        .map_err(|_| Failure::ConnectTimeout { within: deadline.within })?
        .map_err(Failure::Connect)?;
    // Where nobody listens on a local port out of the range that we connect
    // from, a connection may by chance get that port and meet itself.
    if stream.local_addr().is_ok_and(|local| local == address) {
        return Err(Failure::Connect(io::ErrorKind::ConnectionRefused.into()));
    }
    // A new socket has room for so little.
    stream.write_all(target.check.header()).await.map_err(Failure::Connect)?;
    Ok(stream)
}

fn no_address(target: &Target) -> Failure {
    let source = io::Error::new(io::ErrorKind::NotFound, "no address");
    Failure::Resolve { name: target.address.host.to_string().into(), source }
}
