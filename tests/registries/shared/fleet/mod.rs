//! Three proxies in processes of their own on a cluster of three etcd, under
//! load, while two hundred instances register, renew and leave: a proxy is
//! killed, the leader of etcd is, the packets of a proxy to etcd are lost, and
//! there is no etcd at all for a while (`PORTOLAN_FULL=1`: a minute).

mod scene;

use std::{
    sync::atomic::Ordering::SeqCst,
    thread,
    time::{Duration, Instant},
};

use self::scene::{STEADY, Scene};
use super::{
    severed::{HERE, Severed, soon},
    *,
};
use crate::servers::network;

fn pause_for(short: u64, full: u64) {
    let full = std::env::var_os("PORTOLAN_FULL").is_some().then_some(full);
    thread::sleep(Duration::from_secs(full.unwrap_or(short)));
}

#[test]
fn nobody_is_lost_whatever_breaks() {
    if !network::is_inside("shared::fleet::nobody_is_lost_whatever_breaks") {
        return;
    }
    let c = Severed::machine();
    // 3.5.1 loses data when all of it is killed under load: etcd#13766.
    let mut etcd = Etcd::cluster_at(Version::Packaged, c.near());
    let urls: Vec<_> = etcd.iter().map(Etcd::url).collect();
    let start = || Portolan::spawned(&config(&urls), |_, _| {});
    // In a vector, so that the scope does not own it: it outlives its clients.
    let mut killed = vec![start()];
    let (b, c) = (start(), c.start(&etcd));
    let place = |it: &Portolan| (Some(it.address()), Some(it.admin));
    let places = [place(&killed[0]), place(&b), (Some(c.proxy.address()), Some(c.admin()))];
    let scene = &Scene::new(HERE, places);
    thread::scope(|scope| {
        // Also when an assertion fails: what runs in the scope is waited for.
        let ends = Ends(scene);
        for some in scene.services.chunks(25) {
            scope.spawn(move || scene.heartbeats(some));
        }
        for (number, service) in scene.services.iter().enumerate().take(STEADY) {
            scene.register(service, number);
        }
        scene.agree("150 registered");
        for some in scene.services[STEADY..].chunks(5) {
            scope.spawn(move || scene.change(some));
        }
        for number in 0..3 {
            scope.spawn(move || scene.ask(number, "/steady"));
            scope.spawn(move || scene.ask(number, "/steady"));
        }
        scene.counts.unknown.store(0, SeqCst);
        scene.watched.store(true, SeqCst);
        scope.spawn(move || scene.look());
        pause_for(3, 10);

        // A proxy is killed.
        scene.places.lock().expect("no panic")[0].0 = None;
        thread::sleep(Duration::from_millis(300));
        let a = killed.remove(0);
        a.signal(rustix::process::Signal::KILL);
        scene.places.lock().expect("no panic")[0].1 = None;
        pause_for(2, 20);
        killed.push(a.kill_and_start("exec \"$0\" \"$@\""));
        scene.places.lock().expect("no panic")[0].1 = Some(killed[0].admin);
        scene.pause();
        scene.agree("a proxy was killed and is back");
        scene.places.lock().expect("no panic")[0] = place(&killed[0]);
        scene.paused.store(false, SeqCst);
        pause_for(1, 10);

        // The leader is.
        eventually(|| etcd.iter().any(Etcd::leads));
        let leader = etcd.iter().position(Etcd::leads).expect("there is one");
        etcd[leader].server.kill();
        pause_for(4, 20);
        etcd[leader].restart();
        pause_for(1, 10);

        // A proxy is cut off: what it sends is lost, and what it is sent.
        let begun = Instant::now();
        c.line.cut();
        eventually(|| !scene.is_writable(2));
        say!("a proxy is cut off: it knows after {:?}", begun.elapsed());
        pause_for(6, 20);
        scene.pause();
        thread::sleep(Duration::from_secs(1));
        c.line.mend();
        soon(scene.agree("a proxy was cut off"));
        scene.paused.store(false, SeqCst);
        pause_for(2, 10);

        // There is none.
        etcd.iter_mut().for_each(|member| member.server.kill());
        eventually(|| (0..3).all(|number| !scene.is_writable(number)));
        pause_for(9, 60);
        scene.pause();
        Etcd::restart_all(&mut etcd);
        let begun = Instant::now();
        eventually(|| (0..3).all(|number| scene.is_writable(number)));
        say!("etcd is back: all proxies take writes after {:?}", begun.elapsed());
        scene.agree("there was no etcd");
        scene.paused.store(false, SeqCst);
        // Longer than a lease in etcd: nothing is lost afterwards either.
        pause_for(9, 30);

        scene.pause();
        eventually(|| scene.busy.load(SeqCst) == 0);
        scene.agree("at the end");
        for (number, table) in scene.tables().iter().enumerate() {
            for service in &scene.services {
                let is_there = table.get(&service.name).is_some_and(|it| it.ends_with("true"));
                let said = service.is_registered.load(SeqCst);
                assert_eq!(is_there, said, "{} at proxy {number}", service.name);
            }
        }
        drop(ends);
    });
    scene.told();
}

struct Ends<'a>(&'a Scene);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, SeqCst);
    }
}
