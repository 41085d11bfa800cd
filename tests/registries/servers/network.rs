//! Networks in which packets can be lost: what a test sends is gone, and
//! nobody is told.
//!
//! They are network namespaces without a name, so the kernel takes them down
//! with the last process in them, however that ends. All of a test runs in one
//! that [`is_inside`] makes; a [`Namespace`] is another machine beside it.

use std::{
    env,
    fs::{self, File},
    net::Ipv4Addr,
    process::{Command, Stdio},
};

use rustix::{
    fd::AsFd,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use super::Server;

/// Names a file that says to the test outside that the one inside has run.
const MARK: &str = "PORTOLAN_INSIDE";

/// Whether the test `name`, which calls this, has a network of its own. If not,
/// it is run once more in a process that has, and must pass there.
///
/// # Panics
///
/// When it does not, or no network can be made here.
#[track_caller]
pub(crate) fn is_inside(name: &str) -> bool {
    if let Some(mark) = env::var_os(MARK) {
        fs::write(mark, name).expect("a mark");
        run("ip", &["link", "set", "lo", "up"]);
        return true;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mark = folder.path().join("inside");
    let mut command = Command::new("unshare");
    command.args(how()).args(["--", "setpriv", "--pdeathsig", "KILL", "--"]);
    command.arg(env::current_exe().expect("a path")).args(["--exact", name]);
    // Figures go where they always go.
    let output = command.env(MARK, &mark).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.expect("unshare");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "on a network of its own: {}\n{said}", output.status);
    assert_eq!(fs::read_to_string(&mark).ok().as_deref(), Some(name), "there is no such test");
    false
}

/// How `unshare` makes a network here.
#[track_caller]
fn how() -> &'static [&'static str] {
    let ways: [&[&str]; 2] = [&["--net"], &["--user", "--map-root-user", "--net"]];
    let works = |way: &[&str]| {
        let output = Command::new("unshare").args(way).arg("true").output();
        output.expect("unshare: run scripts/install-registries").status.success()
    };
    let Some(way) = ways.into_iter().find(|way| works(way)) else {
        panic!(
            "no network namespace can be made here: run this as root (in a container with \
             CAP_SYS_ADMIN), or allow unprivileged user namespaces (sysctl \
             user.max_net_namespaces, kernel.unprivileged_userns_clone, \
             kernel.apparmor_restrict_unprivileged_userns)"
        )
    };
    if way.len() > 1 {
        say!("not root: the network is one of a user namespace");
    }
    way
}

/// A machine of its own.
#[derive(Debug)]
pub(crate) struct Namespace {
    holder: Server,
}

impl Namespace {
    /// A machine without a cable.
    #[track_caller]
    pub(crate) fn new() -> Self {
        let mut holder = Server::start("unshare", &["--net", "sleep", "infinity"]);
        let own = fs::read_link("/proc/thread-self/ns/net").expect("a namespace");
        let there = format!("/proc/{}/ns/net", holder.id());
        holder.wait_until(|| fs::read_link(&there).is_ok_and(|it| it != own));
        let namespace = Self { holder };
        namespace.run("ip", &["link", "set", "lo", "up"]);
        namespace
    }

    /// What leads there.
    pub(crate) fn door(&self) -> Door {
        Door(format!("/proc/{}/ns/net", self.holder.id()))
    }

    #[track_caller]
    fn run(&self, program: &str, arguments: &[&str]) {
        let net = format!("--net={}", self.door().0);
        run("nsenter", &[&[&net, "--", program], arguments].concat());
    }

    /// Adds to this one a line to `other`, each end with its name.
    #[track_caller]
    fn plug(&self, name: &str, other: &Self, far: &str) {
        let holder = other.holder.id().to_string();
        let peer = ["type", "veth", "peer", "name", far, "netns", &holder];
        self.run("ip", &[&["link", "add", name], &peer[..]].concat());
        self.run("ip", &["link", "set", name, "up"]);
        other.run("ip", &["link", "set", far, "up"]);
    }
}

/// The way into a namespace.
#[derive(Clone, Debug)]
pub(crate) struct Door(String);

impl Door {
    /// What goes before a command of a shell that is to run there.
    pub(crate) fn shell(&self) -> String {
        format!("nsenter --net={} --", self.0)
    }

    /// Moves this thread there, for good: what it opens from now on is there.
    #[track_caller]
    pub(crate) fn enter(&self) {
        let there = File::open(&self.0).expect("a namespace");
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(there.as_fd(), kind).expect("moved");
    }
}

/// A cable between the network of the test and a namespace. There is a switch
/// in it, on a machine of its own, so that neither end sees that it is cut.
#[derive(Debug)]
pub(crate) struct Cable {
    switch: Namespace,
}

impl Cable {
    /// Lays the cable `name` to `there`, with an address at each end: `near` is
    /// that of the test.
    #[track_caller]
    pub(crate) fn lay(name: &str, near: Ipv4Addr, far: Ipv4Addr, there: &Namespace) -> Self {
        let switch = Namespace::new();
        let holder = switch.holder.id().to_string();
        let [near, far] = [near, far].map(|it| format!("{it}/24"));
        run("ip", &["link", "add", name, "type", "veth", "peer", "name", "near", "netns", &holder]);
        run("ip", &["addr", "add", &near, "dev", name]);
        run("ip", &["link", "set", name, "up"]);
        switch.run("ip", &["link", "set", "near", "up"]);
        switch.plug("far", there, name);
        there.run("ip", &["addr", "add", &far, "dev", name]);
        switch.run("ip", &["link", "add", "switch", "type", "bridge", "stp_state", "0"]);
        switch.run("ip", &["link", "set", "switch", "up"]);
        switch.run("ip", &["link", "set", "far", "master", "switch"]);
        let cable = Self { switch };
        cable.mend();
        cable
    }

    /// Loses every packet, in both directions.
    #[track_caller]
    pub(crate) fn cut(&self) {
        self.switch.run("ip", &["link", "set", "near", "nomaster"]);
    }

    /// Loses none any more.
    #[track_caller]
    pub(crate) fn mend(&self) {
        self.switch.run("ip", &["link", "set", "near", "master", "switch"]);
    }
}

#[track_caller]
fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output =
        output.unwrap_or_else(|error| panic!("{program}: {error}: run scripts/install-registries"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}
