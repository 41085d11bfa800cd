//! The control plane as a whole, without sockets and workers.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    ControlError, RegisterRequest,
    testing::TestPlane,
    view::{LeavingView, RegisteredView},
};
use crate::{
    model::{Ending, HealthSettings, InFlight, Instance, InstanceKey, InstanceState, ProbeKind},
    registry::Caller,
};

const ANYONE: Caller = Caller::Admin(None);

fn key(text: &str) -> InstanceKey {
    text.parse().expect("a key")
}

fn instance(name: &str, address: &str, kind: ProbeKind) -> Instance {
    let InstanceKey { service, id } = key(name);
    Instance {
        service,
        id,
        origin: format!("http://{address}").parse().expect("an origin"),
        weight: crate::model::Weight::default(),
        zone: None,
        version: None,
        tags: Vec::new(),
        metadata: std::collections::BTreeMap::new(),
        ttl: None,
        health: HealthSettings { kind: Some(kind), ..HealthSettings::default() },
        foreign: None,
    }
}

impl TestPlane {
    async fn registers(&self, instance: Instance) -> RegisteredView {
        let wait = Some(Duration::ZERO);
        let request = RegisterRequest { instance, caller: ANYONE, wait };
        self.register(request).await.expect("registered").end().await.expect("still there")
    }

    async fn leaves(&self, name: &str, wait: Option<Duration>) -> LeavingView {
        self.deregister(&key(name), None, &ANYONE, wait).await.expect("left").end().await
    }

    async fn drains(&self, name: &str, wait: Option<Duration>) -> LeavingView {
        self.drain(&key(name), None, &ANYONE, wait).await.expect("draining").end().await
    }

    fn begins(&self, name: &str) -> InFlight {
        let catalog = self.shared.catalog();
        InFlight::begin(&catalog.entry(&key(name)).expect("there").endpoint)
    }

    fn state(&self, name: &str) -> InstanceState {
        self.instance(&key(name)).expect("there").state
    }
}

#[tokio::test]
async fn a_repeated_goodbye_waits_for_what_the_first_one_left_behind() {
    let plane = TestPlane::start("").await;
    plane.registers(instance("orders/a", "10.0.0.1:80", ProbeKind::None)).await;
    let request = plane.begins("orders/a");
    let first = plane.leaves("orders/a", None).await;
    assert!(first.found && !first.drained);
    assert_eq!(first.in_flight, 1);
    let moment = Some(Duration::from_millis(50));
    let second = plane.leaves("orders/a", moment).await;
    assert_eq!((second.found, second.drained, second.in_flight), (false, false, 1));
    let long = Some(Duration::from_secs(60));
    let (third, ()) = tokio::join!(plane.leaves("orders/a", long), async { drop(request) });
    assert_eq!((third.drained, third.in_flight, third.completed), (true, 0, 1));
}

/// A worker has loaded a table and picked an endpoint from it, and has not
/// counted itself in flight yet: nothing is in flight, and it is not safe to
/// exit.
#[tokio::test]
async fn a_request_between_table_and_count_does_not_slip_past_a_drain() {
    let (plane, mut workers) = TestPlane::with_workers("", 2).await;
    let (held, idle) = (workers.remove(0), workers.remove(0));
    plane.registers(instance("orders/a", "10.0.0.1:80", ProbeKind::None)).await;
    let (picked, has_picked) = std::sync::mpsc::channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
    let slot = plane.shared.catalog().services[&key("orders/a").service].slot;
    let worker = std::thread::spawn(move || {
        held.acknowledge();
        let request = held.with(|table| {
            let service = table.services.get(slot).expect("there");
            let endpoint = service.balancer.pick(&service.state.memory, &[]).expect("there");
            picked.send(()).expect("the test is there");
            may_go_on.recv().expect("the test is there");
            InFlight::begin(endpoint)
        });
        held.acknowledge();
        (request, held)
    });
    has_picked.recv().expect("it has picked");
    idle.acknowledge();

    let drained = plane.drains("orders/a", Some(Duration::from_secs(60)));
    let mut drained = std::pin::pin!(drained);
    let moment = Duration::from_millis(300);
    let early = timeout(moment, drained.as_mut()).await;
    assert!(early.is_err(), "nothing is in flight, and one is coming: {early:?}");
    idle.acknowledge();
    let early = timeout(moment, drained.as_mut()).await;
    assert!(early.is_err(), "one worker has not looked yet: {early:?}");
    go_on.send(()).expect("the worker is there");
    let (request, _held) = worker.join().expect("no panic");
    let early = timeout(moment, drained.as_mut()).await;
    assert!(early.is_err(), "now it is in flight: {early:?}");
    drop(request);
    let view = drained.await;
    assert_eq!((view.drained, view.in_flight, view.completed), (true, 0, 1));
}

#[tokio::test]
async fn routable_is_said_when_every_worker_routes_by_it() {
    let (plane, workers) = TestPlane::with_workers("", 2).await;
    for worker in &workers {
        worker.acknowledge();
    }
    let known = plane.registers(instance("orders/known", "10.0.0.2:80", ProbeKind::None)).await;
    let waits_for = format!("2 of 2 workers, to route by table {}", known.version);
    assert_eq!((known.routed, known.waiting_for), (false, Some(waits_for)));
    let wait = Some(Duration::from_secs(60));
    let instance = instance("orders/a", "10.0.0.1:80", ProbeKind::None);
    let request = RegisterRequest { instance, caller: ANYONE, wait };
    let registered = async { plane.register(request).await.expect("registered").end().await };
    let mut registered = std::pin::pin!(registered);
    let moment = Duration::from_millis(300);
    assert!(timeout(moment, registered.as_mut()).await.is_err(), "nobody has looked yet");
    workers[0].acknowledge();
    assert!(timeout(moment, registered.as_mut()).await.is_err(), "one has not looked yet");
    workers[1].acknowledge();
    assert!(registered.await.expect("registered").routed);
}

#[tokio::test]
async fn who_asks_late_is_told_the_same_and_a_deploy_can_be_read() {
    let plane = TestPlane::start("").await;
    plane.registers(instance("orders/a", "10.0.0.1:80", ProbeKind::None)).await;
    drop(plane.begins("orders/a"));
    let (mut moved, mut lost) = (plane.begins("orders/a"), plane.begins("orders/a"));
    plane.registers(instance("orders/b", "10.0.0.2:80", ProbeKind::None)).await;
    plane.drains("orders/a", None).await;
    let slipped = plane.begins("orders/a");
    moved.moves();
    lost.ends(Ending::Failed);
    drop((moved, lost, slipped));
    let long = Some(Duration::from_secs(60));
    for _ in 0..2 {
        let view = plane.leaves("orders/a", long).await;
        assert_eq!((view.drained, view.completed, view.retried, view.cut), (true, 1, 1, 1));
    }
    let departures = plane.status().departures;
    assert_eq!(departures.len(), 1);
    assert_eq!(departures[0].summary, "a → b: 4 requests, 1 retried, 1 lost");
    assert_eq!((departures[0].completed, departures[0].client_gone), (1, 0));
}

#[tokio::test]
async fn a_goodbye_is_for_one_generation() {
    let plane = TestPlane::start("").await;
    plane.registers(instance("orders/a", "10.0.0.1:80", ProbeKind::None)).await;
    let _old = plane.begins("orders/a");
    plane.drains("orders/a", None).await;
    let new = plane.registers(instance("orders/a", "10.0.0.1:80", ProbeKind::None)).await;
    assert_eq!((new.created, new.routed, new.instance.generation), (false, true, 2));
    let left = plane.leaves("orders/a", Some(Duration::from_secs(60))).await;
    assert_eq!((left.drained, left.in_flight), (true, 0), "the old one has nothing to do with it");
}

#[tokio::test]
async fn an_endpoint_of_the_file_with_the_same_id_is_left_alone() {
    let config = "[service.orders]\nendpoints = ['10.0.0.9:80']\nhealth = { kind = 'none' }\n";
    let plane = TestPlane::start(config).await;
    let name = "orders/10.0.0.9:80";
    let fixed = plane.begins(name);
    plane.registers(instance(name, "10.0.0.1:80", ProbeKind::None)).await;
    let drained = plane.drains(name, Some(Duration::from_secs(60))).await;
    assert!(drained.drained, "not what is in flight on the other one");
    assert!(plane.leaves(name, Some(Duration::from_secs(60))).await.drained);
    assert!(!fixed.endpoint().is_retired());
    let error = plane.drain(&key(name), None, &ANYONE, None).await.expect_err("not registered");
    assert!(matches!(error, ControlError::NotFound(_)));
    let nobody = plane.leaves(name, Some(Duration::from_secs(60))).await;
    assert!(!nobody.found && nobody.drained);
}

#[tokio::test]
async fn what_was_leaving_before_a_restart_is_leaving_after_it() {
    let plane = TestPlane::start("").await;
    plane.registers(instance("orders/a", "10.0.0.1:80", ProbeKind::None)).await;
    plane.registers(instance("orders/b", "10.0.0.1:81", ProbeKind::None)).await;
    plane.registers(instance("orders/c", "10.0.0.1:82", ProbeKind::Ttl)).await;
    plane.heartbeat(&key("orders/c"), None, &ANYONE).expect("renewed");
    plane.drains("orders/a", None).await;
    let plane = plane.restart("").await;
    assert_eq!(plane.state("orders/a"), InstanceState::Draining);
    assert_eq!(plane.state("orders/b"), InstanceState::Healthy);
    assert_eq!(plane.state("orders/c"), InstanceState::Starting, "it has to report again");
}

#[tokio::test]
async fn who_reports_by_heartbeats_is_believed_again_after_any_edit() {
    let plane = TestPlane::start("").await;
    let mut edited = instance("orders/a", "10.0.0.1:80", ProbeKind::Ttl);
    for ttl in [None, Some(1), None, Some(60)] {
        edited.ttl = ttl.map(crate::model::HumanDuration::from_secs);
        plane.registers(edited.clone()).await;
        plane.heartbeat(&key("orders/a"), None, &ANYONE).expect("renewed");
        let healthy = async {
            while plane.state("orders/a") != InstanceState::Healthy {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(30), healthy).await.expect("it is believed");
    }
}

#[tokio::test]
async fn a_thousand_registrations_at_once_are_a_few_tables() {
    let plane = TestPlane::start("").await;
    let before = plane.version();
    let registrations = (0..1000).map(|index| {
        let name = format!("orders/{index}");
        let instance = instance(&name, "10.0.0.1:80", ProbeKind::None);
        let wait = Some(Duration::from_secs(30));
        let plane = &plane;
        async move {
            let request = RegisterRequest { instance, caller: ANYONE, wait };
            plane.register(request).await?.end().await
        }
    });
    let views = futures_util::future::try_join_all(registrations).await.expect("registered");
    assert!(views.iter().all(|view| view.created && view.routed));
    let tables = plane.version() - before;
    assert!((1..500).contains(&tables), "{tables} tables");
    let service = plane.service(&"orders".parse().expect("a name")).expect("there");
    assert_eq!((service.routable, service.instances.len()), (1000, 1000));
}

#[tokio::test]
async fn what_needs_a_person_is_said_once() {
    let config = "[service.orders]\n[[route]]\nservice = 'orders'\n";
    let plane = TestPlane::start(config).await;
    assert_eq!(plane.status().attention, ["orders: nothing has registered"]);
    plane.registers(instance("orders/a", "10.0.0.1:80", ProbeKind::Ttl)).await;
    assert_eq!(plane.status().attention, ["orders: no instance is healthy"]);
    plane.registers(instance("orders/b", "10.0.0.1:80", ProbeKind::None)).await;
    assert!(plane.status().attention.is_empty(), "one is starting, the other serves");
    plane.leaves("orders/a", None).await;
    plane.drains("orders/b", None).await;
    assert_eq!(plane.status().attention, ["orders: all instances are leaving"]);
    plane.reload_failed("2 errors".to_owned(), "there and there".to_owned());
    assert!(plane.status().attention[0].contains("the config file on disk has problems"));
    for index in 0..100 {
        plane.registers(instance(&format!("x{index}/a"), "10.0.0.1:80", ProbeKind::Ttl)).await;
    }
    let attention = plane.status().attention;
    assert_eq!(attention.len(), 21);
    assert_eq!(attention[20], "and 82 more services");
}

#[tokio::test]
async fn a_new_file_changes_what_it_changes() {
    let plane = TestPlane::start("[service.orders]\nendpoints = ['10.0.0.9:80']\n").await;
    plane.configure("[[route]]\nhost = 'shop.example'\nservice = 'orders'\n").await;
    assert_eq!(plane.routes().routes[0].hosts, ["shop.example"]);
    assert!(plane.instance(&key("orders/10.0.0.9:80")).is_none());
    assert_eq!(plane.status().services, 1);
    plane.configure("").await;
    assert_eq!((plane.status().services, plane.status().routes), (0, 0));
    let text = std::fs::read_to_string(plane.file()).expect("a file");
    assert!(plane.check_config(Some(text)).await.ok);
    assert!(!plane.check_config(Some("[service".to_owned())).await.ok);
}
