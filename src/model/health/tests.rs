//! How settings become a check, and what is known a state.

use super::*;

#[test]
fn the_narrowest_layer_wins_value_by_value() {
    let path = |path: &str| Some(path.to_owned());
    let instance = HealthSettings { kind: Some(ProbeKind::Tcp), ..Default::default() };
    let service = HealthSettings {
        path: path("/healthz"),
        interval: Some(HumanDuration::from_secs(1)),
        ..Default::default()
    };
    let check = HealthCheck::resolve(&[&instance, &service]);
    assert_eq!(check.probe, Probe::Tcp);
    assert_eq!(check.interval, Duration::from_secs(1));
    assert_eq!(check.timeout, Duration::from_secs(2));
    let check = HealthCheck::resolve(&[&HealthSettings::default(), &service]);
    assert!(matches!(check.probe, Probe::Http { path, .. } if path == "/healthz"));
}

#[test]
fn defaults_are_those_of_the_docs() {
    let check = HealthCheck::resolve(&[]);
    assert_eq!(check.probe, Probe::Tcp);
    assert_eq!(check.interval, Duration::from_secs(5));
    assert_eq!((check.healthy_after, check.unhealthy_after), (1, 3));
    let http = HealthSettings { kind: Some(ProbeKind::Http), ..Default::default() };
    let Probe::Http { path, expect_status, .. } = HealthCheck::resolve(&[&http]).probe else {
        panic!("asked for http");
    };
    assert_eq!(path, "/");
    assert!(expect_status.contains(302) && !expect_status.contains(404));
}

#[test]
fn states_follow_from_probe_lease_and_drain() {
    use InstanceState as S;
    let http = HealthCheck::resolve(&[&HealthSettings {
        kind: Some(ProbeKind::Http),
        ..Default::default()
    }])
    .probe;
    let minute = Duration::from_secs(60);
    let live = LeaseStatus::Live { renewed: true };
    let fresh = LeaseStatus::Live { renewed: false };
    let expired = |seconds| LeaseStatus::Expired(Duration::from_secs(seconds));
    let state = |probe: &Probe, verdict, lease| S::of(probe, verdict, lease, false, minute);

    assert_eq!(state(&http, Verdict::Unknown, live), S::Starting);
    assert_eq!(state(&http, Verdict::Passing, LeaseStatus::Unleased), S::Healthy);
    assert_eq!(state(&http, Verdict::Failing, live), S::Unhealthy);
    assert_eq!(state(&http, Verdict::Passing, expired(59)), S::Suspect);
    assert_eq!(state(&http, Verdict::Passing, expired(60)), S::Unhealthy);
    assert_eq!(state(&http, Verdict::Unknown, expired(1)), S::Unhealthy);
    assert_eq!(state(&Probe::Tcp, Verdict::Passing, expired(1)), S::Unhealthy);
    assert_eq!(state(&Probe::Ttl, Verdict::Unknown, fresh), S::Starting);
    assert_eq!(state(&Probe::Ttl, Verdict::Unknown, live), S::Healthy);
    assert_eq!(state(&Probe::Ttl, Verdict::Unknown, expired(0)), S::Unhealthy);
    assert_eq!(state(&Probe::None, Verdict::Unknown, LeaseStatus::Unleased), S::Healthy);
    assert_eq!(S::of(&http, Verdict::Passing, live, true, minute), S::Draining);
}
