//! One question, and what its answer stands for.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use futures_util::future::{try_join, try_join_all};
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, RecordType, rdata::SRV},
    },
    system_conf::read_system_conf,
};

use super::{DnsQuestion, DnsSettings};
use crate::{
    model::{
        Address, HealthSettings, Host, Instance, Origin, Reported, Scheme, ServiceName, Weight,
    },
    sources::Found,
};

/// Addresses and targets that one name may have.
const MOST: usize = 1000;

/// Targets of SRV records that are looked up at once.
const AT_ONCE: usize = 16;

/// What a name stands for.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) found: Vec<Found>,
    /// How long it holds.
    pub(super) ttl: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookupError {
    #[error("{0}")]
    Net(#[from] NetError),
    #[error("no answer in time")]
    Timeout,
    #[error("not a name: {0}")]
    Name(String),
}

/// Asks servers. Nothing is kept: that is the business of whoever asks.
#[derive(Debug)]
pub(super) struct Resolver {
    /// One for each server: of several, the library takes a failure of one for
    /// the answer of all.
    servers: Vec<TokioResolver>,
    /// Which of them answered last.
    good: AtomicUsize,
    ipv6: bool,
    /// For all that one question takes.
    patience: Duration,
}

/// Records, and how long they hold.
struct Records<T> {
    all: Vec<T>,
    ttl: Duration,
}

impl Resolver {
    pub(super) fn new(settings: &DnsSettings) -> Result<Self, NetError> {
        let (mut named, mut options) =
            (settings.servers().map(server).collect::<Vec<_>>(), ResolverOpts::default());
        if named.is_empty() {
            let (config, told) = read_system_conf()?;
            (named, options) = (config.name_servers, told);
        }
        (options.timeout, options.attempts) = (settings.timeout.0, 1);
        (options.cache_size, options.use_hosts_file) = (0, ResolveHosts::Never);
        let servers = named.into_iter().map(|server| {
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
            let provider = TokioRuntimeProvider::default();
            let mut builder = TokioResolver::builder_with_config(config, provider);
            *builder.options_mut() = options.clone();
            builder.build()
        });
        let servers = servers.collect::<Result<Vec<_>, _>>()?;
        // Each server may be silent once, and a target has to be found as well.
        let rounds = u32::try_from(servers.len()).unwrap_or(u32::MAX).saturating_add(2);
        let patience = settings.timeout.0.saturating_mul(rounds);
        Ok(Self { servers, good: AtomicUsize::new(0), ipv6: settings.ipv6, patience })
    }

    /// What `question` stands for, as instances of `service`.
    pub(super) async fn ask(
        &self,
        service: &ServiceName,
        question: &DnsQuestion,
    ) -> Result<Answer, LookupError> {
        let asked = async {
            match question {
                DnsQuestion::Addresses { name, port } => {
                    let Records { all, ttl } = self.addresses(&name_of(name)?).await?;
                    let found = all.into_iter().filter_map(|ip| {
                        let address = SocketAddr::new(ip, *port);
                        found(service, address, Weight::default())
                    });
                    Ok(Answer { found: found.collect(), ttl })
                }
                DnsQuestion::Services(name) => self.services(service, &name_of(name)?).await,
            }
        };
        tokio::time::timeout(self.patience, asked).await.map_err(|_| LookupError::Timeout)?
    }

    async fn addresses(&self, name: &Name) -> Result<Records<IpAddr>, LookupError> {
        let ip = |data: &RData| match data {
            RData::A(ip) => Some(IpAddr::V4(ip.0)),
            RData::AAAA(ip) => Some(IpAddr::V6(ip.0)),
            _ => None,
        };
        let v4 = self.records(name, RecordType::A, ip);
        if !self.ipv6 {
            return v4.await;
        }
        let v6 = self.records(name, RecordType::AAAA, ip);
        let (mut records, more) = try_join(v4, v6).await?;
        records.all.extend(more.all);
        records.ttl = records.ttl.min(more.ttl);
        Ok(records)
    }

    /// Those of the SRV records that are to be tried first (RFC 2782), each
    /// with every address of its target; the next where those have none.
    async fn services(&self, service: &ServiceName, name: &Name) -> Result<Answer, LookupError> {
        let srv = |data: &RData| match data {
            RData::SRV(record) => Some(record.clone()),
            _ => None,
        };
        let Records { all, mut ttl } = self.records(name, RecordType::SRV, srv).await?;
        let heaviest = all.iter().map(|record| record.weight).max().unwrap_or(0);
        let mut by_priority: BTreeMap<u16, Vec<SRV>> = BTreeMap::new();
        // The root as target: it is decidedly not offered.
        for record in all.into_iter().filter(|record| !record.target.is_root()) {
            by_priority.entry(record.priority).or_default().push(record);
        }
        let mut instances = BTreeMap::new();
        for records in by_priority.into_values() {
            for some in records.chunks(AT_ONCE) {
                let asked = some.iter().map(|record| self.addresses(&record.target));
                for (record, addresses) in some.iter().zip(try_join_all(asked).await?) {
                    ttl = ttl.min(addresses.ttl);
                    let weight = weight(record, heaviest);
                    let found = addresses.all.into_iter().filter_map(|ip| {
                        let address = SocketAddr::new(ip, record.port);
                        found(service, address, weight)
                    });
                    instances.extend(found.map(|found| (found.instance.id.clone(), found)));
                }
                if instances.len() > MOST {
                    break;
                }
            }
            if !instances.is_empty() {
                break;
            }
        }
        Ok(Answer { found: instances.into_values().collect(), ttl })
    }

    /// The records of one type, from the first server that does not fail; the
    /// one that answered last is asked first.
    async fn records<T>(
        &self,
        name: &Name,
        kind: RecordType,
        pick: impl Fn(&RData) -> Option<T>,
    ) -> Result<Records<T>, LookupError> {
        let (good, count) = (self.good.load(Relaxed), self.servers.len());
        let mut failed = NetError::NoConnections.into();
        for index in (0..count).map(|step| (good + step) % count) {
            let Some(server) = self.servers.get(index) else { continue };
            match records_of(server, name, kind, &pick).await {
                Ok(records) => {
                    self.good.store(index, Relaxed);
                    return Ok(records);
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

/// The records that one server has. That there are none is an answer too.
async fn records_of<T>(
    server: &TokioResolver,
    name: &Name,
    kind: RecordType,
    pick: impl Fn(&RData) -> Option<T>,
) -> Result<Records<T>, LookupError> {
    match server.lookup(name.clone(), kind).await {
        Ok(lookup) => {
            let ttl = lookup.answers().iter().map(|record| record.ttl).min().unwrap_or(0);
            let all = lookup.answers().iter().filter_map(|record| pick(&record.data));
            let ttl = Duration::from_secs(ttl.into());
            Ok(Records { all: all.take(MOST).collect(), ttl })
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(none)))
            if matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError) =>
        {
            let ttl =
                none.negative_ttl.map_or(Duration::MAX, |ttl| Duration::from_secs(ttl.into()));
            Ok(Records { all: Vec::new(), ttl })
        }
        Err(NetError::Dns(DnsError::ResponseCode(ResponseCode::NXDomain))) => {
            Ok(Records { all: Vec::new(), ttl: Duration::MAX })
        }
        Err(error) => Err(error.into()),
    }
}

fn server(address: SocketAddr) -> NameServerConfig {
    let at = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
    NameServerConfig::new(address.ip(), true, connections)
}

/// As it is: no domain is put behind it.
fn name_of(text: &str) -> Result<Name, LookupError> {
    Name::from_utf8(format!("{text}.")).map_err(|error| LookupError::Name(error.to_string()))
}

/// SRV weights go up to 65535, which `heaviest` brings down to ours; 0 is the
/// least of them.
fn weight(record: &SRV, heaviest: u16) -> Weight {
    let weight = u32::from(record.weight) * 1000 / u32::from(heaviest.max(1000));
    Weight::try_from(i64::from(weight.max(1))).unwrap_or_default()
}

fn found(service: &ServiceName, address: SocketAddr, weight: Weight) -> Option<Found> {
    let id = address.to_string().replace(['[', ']'], "");
    let address = Address { host: Host::Ip(address.ip()), port: address.port() };
    let instance = Instance {
        service: service.clone(),
        id: id.parse().ok()?,
        origin: Origin { address, scheme: Scheme::Http },
        weight,
        zone: None,
        version: None,
        tags: Vec::new(),
        metadata: BTreeMap::new(),
        ttl: None,
        health: HealthSettings::default(),
        foreign: None,
    };
    Some(Found { instance, reported: Reported::Up })
}
