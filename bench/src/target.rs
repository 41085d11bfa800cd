//! The proxies side by side: how each is configured and started.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use crate::cpu;

/// Which proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// The limit: copies bytes.
    Relay,
    Portolan,
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
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
            Self::Traefik => "traefik",
            Self::Caddy => "caddy",
        }
    }
}

/// A running proxy. Ends with this.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) label: String,
    pub(crate) address: SocketAddr,
    /// Where it takes registrations, if it is one that does.
    pub(crate) admin: SocketAddr,
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
        let (address, admin) = (free_address()?, free_address()?);
        let folder = folder.join(label.replace(' ', "-"));
        fs::create_dir_all(&folder)?;
        let template = |text: &str| {
            let list = |each: &dyn Fn(usize, &SocketAddr) -> String| {
                origins
                    .iter()
                    .enumerate()
                    .map(|(index, origin)| each(index, origin))
                    .collect::<String>()
            };
            text.replace("{port}", &address.port().to_string())
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
                command.arg("relay").arg(address.to_string());
                command.args(origins.iter().map(ToString::to_string));
                command
            }
            Kind::Portolan => {
                let mut command = Command::new(program.context("which portolan? see --portolan")?);
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
        let target = Self { label: label.to_owned(), address, admin, child };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if begun.elapsed() > Duration::from_secs(20) {
                bail!("{label} does not listen; see {}", folder.join("log").display());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(target)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // nginx and HAProxy have children that go with a polite end.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        std::thread::sleep(Duration::from_millis(100));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
