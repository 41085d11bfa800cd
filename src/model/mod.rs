//! The vocabulary: what a service, an instance, a probe and a reason are.
//!
//! Plain data and pure functions, known to every other folder; this one
//! knows nobody. A type here cannot hold a bad value: parsing is the only
//! way in, so nothing behind it validates again.

mod address;
mod address_guard;
mod endpoint;
mod foreign;
mod health;
mod instance;
mod name;
mod name_pattern;
mod network;
mod outcome;
mod peer;
mod policy;
mod provenance;
mod quantity;
mod reason;
mod reported;
mod status_set;
mod tls;

pub use address::{Address, Host, Origin, ParseAddressError, Scheme};
pub use address_guard::{AddressDenied, AddressGuard, SharedGuard};
pub use endpoint::{Ended, Endpoint, EndpointId, InFlight};
pub use foreign::{Foreign, FrontApi};
pub use health::{
    DeclaredProbe, HealthCheck, HealthSettings, InstanceState, LeaseStatus, Probe, ProbeKind,
    ProbeRequest, Verdict,
};
pub use instance::{Instance, InstanceKey, ParseWeightError, Weight};
pub use name::{InstanceId, ParseNameError, ServiceName};
pub use name_pattern::matches_name;
pub use network::{ListenAddress, Network};
pub use outcome::{Alarms, EjectionCause, Outcomes, Tally};
pub use peer::{ClientCertificate, Peer, TlsSession};
pub use policy::{
    BalancePolicy, BreakerPolicy, BreakerSettings, LimitSettings, OutlierPolicy, OutlierSettings,
    Protocol, ProxyProtocol, RepeatedMethod, RetriedStatus, RetryPolicy, RetrySettings,
    ServicePolicy, ServiceSettings, TimeoutSettings, Timeouts, Trials,
};
pub use provenance::Provenance;
pub use quantity::{ByteSize, HumanDuration, ParseQuantityError, Percent};
pub use reason::{Ending, Reason};
pub use reported::Reported;
pub use status_set::StatusSet;
pub use tls::{
    AdminTlsSettings, AlpnProtocol, CertificateFiles, ClientAuth, ClientTlsSettings,
    HandshakeFailure, HostRules, HostTlsSettings, ServerTlsSettings, TlsVersion,
};
