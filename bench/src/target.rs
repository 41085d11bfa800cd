//! The proxies side by side: how each is configured and started.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use crate::{cpu, scenario::Way};

/// Which proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// The limit: copies bytes.
    Relay,
    Portolan,
    /// On valgrind, which counts its instructions.
    Counted,
    Nginx,
    Haproxy,
    Envoy,
    Traefik,
    Caddy,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Relay => "byte relay",
            Self::Portolan => "portolan",
            Self::Counted => "portolan counted",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
            Self::Traefik => "traefik",
            Self::Caddy => "caddy",
        }
    }
}

impl Kind {
    const fn speaks_tls(self) -> bool {
        matches!(self, Self::Portolan | Self::Counted | Self::Nginx | Self::Haproxy)
    }
}

/// A running proxy. Ends with this.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) label: String,
    /// Where it listens, plain, with TLS, and for HTTP/2 without.
    plain: SocketAddr,
    tls: SocketAddr,
    h2c: SocketAddr,
    /// Where it takes registrations, if it is one that does.
    pub(crate) admin: SocketAddr,
    kind: Kind,
    folder: PathBuf,
    child: Child,
}

/// Where targets run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// For their files.
    pub(crate) folder: &'a Path,
    /// What stands behind them.
    pub(crate) origins: &'a [SocketAddr],
    /// The core they share.
    pub(crate) core: usize,
    /// The core of everything else.
    pub(crate) load_core: usize,
}

fn counted_in(folder: &Path) -> PathBuf {
    folder.join("counted")
}

/// An address on the loopback interface that is free now.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

impl Target {
    /// Starts a proxy of `kind`.
    pub(crate) fn start(
        kind: Kind,
        label: &str,
        program: Option<&Path>,
        place: &Place<'_>,
    ) -> anyhow::Result<Self> {
        let Place { folder, origins, core, load_core } = *place;
        let (plain, admin) = (free_address()?, free_address()?);
        let (tls, h2c) = (free_address()?, free_address()?);
        let folder = folder.join(label.replace(' ', "-"));
        fs::create_dir_all(&folder)?;
        let key = rcgen::generate_simple_self_signed(["bench.test".to_owned()])?;
        let (certificate, key) = (key.cert.pem(), key.signing_key.serialize_pem());
        fs::write(folder.join("cert.pem"), &certificate)?;
        fs::write(folder.join("key.pem"), &key)?;
        fs::write(folder.join("both.pem"), certificate + &key)?;
        let template = |text: &str| {
            let list = |each: &dyn Fn(usize, &SocketAddr) -> String| {
                origins
                    .iter()
                    .enumerate()
                    .map(|(index, origin)| each(index, origin))
                    .collect::<String>()
            };
            text.replace("{port}", &plain.port().to_string())
                .replace("{tls_port}", &tls.port().to_string())
                .replace("{h2c_port}", &h2c.port().to_string())
                .replace("{admin}", &admin.port().to_string())
                .replace("{dir}", &folder.display().to_string())
                .replace(
                    "{nginx_origins}",
                    &list(&|_, origin| format!("        server {origin} max_fails=0;\n")),
                )
                .replace(
                    "{haproxy_origins}",
                    &list(&|index, origin| format!("    server o{index} {origin}\n")),
                )
                .replace(
                    "{haproxy_h2_origins}",
                    &list(&|index, origin| format!("    server o{index} {origin} proto h2\n")),
                )
                .replace("{portolan_origins}", &list(&|_, origin| format!("'{origin}', ")))
                .replace(
                    "{envoy_origins}",
                    &list(&|_, origin| format!(
                        "              - endpoint: {{ address: {{ socket_address: {{ address: {}, port_value: {} }} }} }}\n",
                        origin.ip(),
                        origin.port()
                    )),
                )
                .replace(
                    "{traefik_origins}",
                    &list(&|_, origin| format!(
                        "[[http.services.origins.loadBalancer.servers]]\nurl = \"http://{origin}\"\n"
                    )),
                )
                .replace(
                    "{caddy_origins}",
                    list(&|_, origin| format!("{{ \"dial\": \"{origin}\" }},")).trim_end_matches(','),
                )
        };
        let configured = |name: &str, text: &str| -> anyhow::Result<PathBuf> {
            let path = folder.join(name);
            fs::write(&path, template(text))?;
            Ok(path)
        };
        let mut command = match kind {
            Kind::Relay => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("relay").arg(plain.to_string());
                command.args(origins.iter().map(ToString::to_string));
                command
            }
            Kind::Portolan | Kind::Counted => {
                let program = program.context("which portolan? see --portolan")?;
                let mut command = Command::new(program);
                if kind == Kind::Counted {
                    command = Command::new("valgrind");
                    command.args(["--tool=callgrind", "--separate-threads=yes", "--quiet"]);
                    let counted = counted_in(&folder);
                    command.arg(format!("--callgrind-out-file={}", counted.display()));
                    command.arg(program);
                }
                command.args(["run", "--config"]);
                let config = include_str!("../peers/portolan.toml");
                command.arg(configured("proxy.toml", config)?);
                command
            }
            Kind::Nginx => {
                let mut command = Command::new("nginx");
                command
                    .arg("-c")
                    .arg(configured("nginx.conf", include_str!("../peers/nginx.conf"))?);
                command
            }
            Kind::Haproxy => {
                let mut command = Command::new("haproxy");
                let config = include_str!("../peers/haproxy.cfg");
                command.arg("-q").arg("-f").arg(configured("haproxy.cfg", config)?);
                command
            }
            Kind::Envoy => {
                let mut command = Command::new("envoy");
                let config = include_str!("../peers/envoy.yaml");
                command.args(["--concurrency", "1", "--disable-hot-restart", "-l", "error"]);
                command.arg("-c").arg(configured("envoy.yaml", config)?);
                command
            }
            Kind::Traefik => {
                let mut command = Command::new("traefik");
                configured("routes.toml", include_str!("../peers/traefik-routes.toml"))?;
                let config = configured("traefik.toml", include_str!("../peers/traefik.toml"))?;
                command.arg(format!("--configFile={}", config.display()));
                command
            }
            Kind::Caddy => {
                let mut command = Command::new("caddy");
                let config = include_str!("../peers/caddy.json");
                command.args(["run", "--config"]).arg(configured("caddy.json", config)?);
                command
            }
        };
        // The last two run as many threads as they see cores.
        command.env("GOMAXPROCS", "1");
        let log = fs::File::create(folder.join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // A child runs where its parent does when it is started.
        cpu::stay_on(core)?;
        let child = command.spawn().with_context(|| format!("cannot start {}", kind.name()));
        cpu::stay_on(load_core)?;
        let child = child?;
        let target = Self { label: label.to_owned(), plain, tls, h2c, admin, kind, folder, child };
        let begun = Instant::now();
        while TcpStream::connect(plain).is_err() {
            if begun.elapsed() > Duration::from_secs(60) {
                bail!("{label} does not listen; see {}", target.folder.join("log").display());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(target)
    }

    /// Where it is to be asked; none if it does not speak that, or is not set
    /// up for it here.
    pub(crate) fn address(&self, way: Way) -> Option<SocketAddr> {
        match way {
            Way::Plain => Some(self.plain),
            Way::Tls if self.kind.speaks_tls() => Some(self.tls),
            Way::H2c | Way::Grpc if self.kind.speaks_tls() => Some(self.h2c),
            Way::Tls | Way::H2c | Way::Grpc => None,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where [`Kind::Counted`] leaves what it counted: in files of which this
    /// is the beginning of the name.
    pub(crate) fn counted(&self) -> PathBuf {
        counted_in(&self.folder)
    }
}

impl Target {
    fn ask_to_end(&self) {
        // nginx and HAProxy have children that go with a polite end.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }

    /// Ends it, and waits until it has done what it does at its end.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        self.ask_to_end();
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "{}: {status}", self.label);
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.ask_to_end();
        std::thread::sleep(Duration::from_millis(100));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
