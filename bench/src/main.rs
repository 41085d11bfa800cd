//! Portolan beside other proxies, on the same work, in one run.
//!
//! Every target runs on one core, load and origins on another. Targets take
//! turns in short slices; the first of a round rotates. What counts is the
//! processor time of a target's processes for each request, as a ratio to the
//! baseline in the same round: the machine drifts, the ratio does not. A
//! second baseline shows how far two equals seem apart.

mod cpu;
mod crowd;
mod dying;
mod http2;
mod idle;
mod instructions;
mod load;
mod machine;
mod message;
mod origin;
mod plot;
mod poll;
mod registrar;
mod relay;
mod report;
mod scenario;
mod slice;
mod target;
mod transport;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context;
use clap::Parser;

use load::Clients;
use scenario::Scenario;
use slice::Threads;
use target::{Kind, Place, Target, free_address};

const TARGET_CORE: usize = 0;
const LOAD_CORE: usize = 1;

#[derive(Debug, Parser)]
enum Cli {
    /// Measure the targets side by side
    Run(Run),
    /// The same with more and more connections
    Growth(Run),
    /// Measure what 100,000 instances and constant change cost a request
    Crowd {
        /// The program to measure
        #[arg(long)]
        portolan: PathBuf,
        #[command(flatten)]
        rounds: Rounds,
        #[command(flatten)]
        crowd: crowd::Crowd,
    },
    /// Measure what an idle connection holds
    Idle {
        /// The program to measure
        #[arg(long)]
        portolan: PathBuf,
        /// The targets beside it
        #[arg(long, value_delimiter = ',', default_value = "nginx,haproxy")]
        peers: Vec<Kind>,
        /// Connections
        #[arg(long, default_value_t = 8000)]
        connections: usize,
    },
    /// Measure what it costs that an origin dies every second
    Dying {
        /// The program to measure
        #[arg(long)]
        portolan: PathBuf,
        /// The targets beside it
        #[arg(long, value_delimiter = ',', default_value = "nginx,haproxy")]
        peers: Vec<Kind>,
        /// Rounds of each target
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// Ask for everything for a while, so that an instrumented program can be
    /// built anew with what it saw
    Train {
        /// The program to train
        #[arg(long)]
        portolan: PathBuf,
        /// Seconds of each scenario
        #[arg(long, default_value_t = 3)]
        seconds: u64,
    },
    /// Count the instructions of a request, and compare with what is recorded
    Instructions {
        /// The program to measure: a release build
        #[arg(long)]
        portolan: PathBuf,
        /// What is recorded
        #[arg(long)]
        recorded: PathBuf,
        /// Record what is counted
        #[arg(long)]
        record: bool,
        /// A folder to leave valgrind's files in, for callgrind_annotate
        #[arg(long)]
        keep: Option<PathBuf>,
    },
    /// Serve as the origins (started by run)
    Origin { addresses: Vec<SocketAddr> },
    /// Serve as the byte relay (started by run)
    Relay { address: SocketAddr, origins: Vec<SocketAddr> },
}

#[derive(Debug, clap::Args)]
struct Run {
    /// The program to measure; give several to compare them
    #[arg(long)]
    portolan: Vec<PathBuf>,
    /// The targets beside it
    #[arg(long, value_delimiter = ',', default_value = "relay,nginx,haproxy")]
    peers: Vec<Kind>,
    /// A file for a picture of the ratios (SVG)
    #[arg(long)]
    plot: Option<PathBuf>,
    #[command(flatten)]
    rounds: Rounds,
}

/// What is measured, and for how long.
#[derive(Debug, clap::Args)]
struct Rounds {
    /// Scenarios whose name contains one of these; all if none is given
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds of each scenario
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Milliseconds of a slice
    #[arg(long, default_value_t = 600)]
    slice: u64,
}

impl Rounds {
    fn wants(&self, scenario: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|word| scenario.contains(word.as_str()))
    }

    const fn length(&self) -> Duration {
        Duration::from_millis(self.slice)
    }
}

fn main() -> anyhow::Result<()> {
    match Cli::parse() {
        Cli::Run(run) => Bench::prepare()?.compare(&run, &scenario::all()?),
        Cli::Growth(run) => Bench::prepare()?.compare(&run, &scenario::growth()?),
        Cli::Crowd { portolan, rounds, crowd } => {
            let bench = Bench::prepare()?;
            crowd.measure(&rounds, &portolan, &bench.place())
        }
        Cli::Idle { portolan, peers, connections } => {
            Bench::prepare()?.idle(&portolan, &peers, connections)
        }
        Cli::Train { portolan, seconds } => {
            Bench::prepare()?.train(&portolan, Duration::from_secs(seconds))
        }
        Cli::Dying { portolan, peers, rounds } => {
            let bench = Bench::prepare()?;
            dying::measure(&portolan, &peers, rounds, &bench.place())
        }
        Cli::Instructions { portolan, recorded, record, keep } => {
            let bench = Bench::prepare()?;
            instructions::gate(&portolan, &recorded, record, keep.as_deref(), &bench.place())
        }
        Cli::Origin { addresses } => Ok(origin::serve(&addresses)?),
        Cli::Relay { address, origins } => Ok(relay::serve(address, &origins)?),
    }
}

/// The origins, and a folder for the targets' files. Ends with this.
struct Bench {
    folder: PathBuf,
    origins: Vec<SocketAddr>,
    origin: Child,
}

impl Bench {
    fn prepare() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("portolan-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let origins: Vec<SocketAddr> = (0..4).map(|_| free_address()).collect::<Result<_, _>>()?;
        cpu::stay_on(LOAD_CORE)?;
        let origin = Command::new(std::env::current_exe()?)
            .arg("origin")
            .args(origins.iter().map(ToString::to_string))
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start the origins")?;
        Ok(Self { folder, origins, origin })
    }

    fn place(&self) -> Place<'_> {
        Place {
            folder: &self.folder,
            origins: &self.origins,
            core: TARGET_CORE,
            load_core: LOAD_CORE,
        }
    }

    fn start(&self, kinds: &[Kind], programs: &[PathBuf]) -> anyhow::Result<Vec<Target>> {
        let mut targets = Vec::new();
        for (index, kind) in kinds.iter().enumerate() {
            let again = if kinds[..index].contains(kind) { " again" } else { "" };
            let label = format!("{}{again}", kind.name());
            targets.push(Target::start(*kind, &label, None, &self.place())?);
        }
        for (index, program) in programs.iter().enumerate() {
            let label =
                if index == 0 { "portolan".to_owned() } else { format!("portolan {}", index + 1) };
            targets.push(Target::start(Kind::Portolan, &label, Some(program), &self.place())?);
        }
        Ok(targets)
    }

    fn compare(&self, run: &Run, scenarios: &[Scenario]) -> anyhow::Result<()> {
        let mut kinds = run.peers.clone();
        let baseline = kinds.iter().position(|kind| *kind == Kind::Nginx).unwrap_or(0);
        // A second one of the same, to see how far equals seem apart.
        kinds.extend(kinds.get(baseline).copied());
        let targets = self.start(&kinds, &run.portolan)?;
        let baseline = targets.get(baseline).map(|target| target.label.clone());
        let note = format!("{}; {}", machine::kind(), machine::versions(&kinds, &run.portolan));
        println!("{note}");
        let mut rows = Vec::new();
        for scenario in scenarios.iter().filter(|each| run.rounds.wants(&each.name)) {
            let speaks = |target: &&Target| target.address(scenario.way).is_some();
            let targets: Vec<_> = targets.iter().filter(speaks).collect();
            let labels: Vec<String> = targets.iter().map(|target| target.label.clone()).collect();
            let baseline = labels.iter().position(|label| Some(label) == baseline.as_ref());
            let baseline = baseline.unwrap_or(0);
            let length = run.rounds.length();
            let (rounds, thrown_away) =
                slice::rounds(&targets, scenario, run.rounds.rounds, length, Threads::All)?;
            print!("{}", report::table(&scenario.name, &labels, &rounds, baseline, thrown_away));
            if !rounds.is_empty() {
                let ratio = |(index, label): (usize, &String)| {
                    (label.clone(), report::ratio(&rounds, index, baseline))
                };
                let ratios = labels.iter().enumerate().map(ratio).collect();
                rows.push(plot::Row { scenario: scenario.name.clone(), ratios });
            }
        }
        if let Some(file) = &run.plot {
            std::fs::write(file, plot::svg(&rows, &baseline.unwrap_or_default(), &note))?;
        }
        Ok(())
    }

    fn train(&self, program: &Path, length: Duration) -> anyhow::Result<()> {
        let label = Kind::Portolan.name();
        let target = Target::start(Kind::Portolan, label, Some(program), &self.place())?;
        for scenario in scenario::all()? {
            let address = target.address(scenario.way).context("it does not speak that")?;
            let outcome = Clients::open(address, scenario.work)?.run(length)?;
            println!("{}: {} answered", scenario.name, outcome.answered);
            anyhow::ensure!(outcome.failed == 0, "{} failed", outcome.failed);
        }
        target.end()
    }

    fn idle(&self, portolan: &PathBuf, peers: &[Kind], count: usize) -> anyhow::Result<()> {
        let targets = self.start(peers, std::slice::from_ref(portolan))?;
        let scenarios = scenario::all()?;
        println!("| {count} idle connections | | KiB each |\n| --- | --- | --- |");
        for name in ["small", "TLS"] {
            for scenario in scenarios.iter().filter(|scenario| scenario.name == name) {
                for target in targets.iter().filter(|each| each.address(scenario.way).is_some()) {
                    let cost = idle::cost(target, scenario, count)?;
                    println!("| {} | {name} | {cost:.2} |", target.label);
                }
            }
        }
        Ok(())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.origin.kill();
        let _ = self.origin.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
