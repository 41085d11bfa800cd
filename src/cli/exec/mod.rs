//! `portolan exec SERVICE/ID -- command`: runs a program that knows nothing of
//! Portolan as an instance.
//!
//! It registers, starts the command and renews the lease; when it is told to
//! stop it drains first and passes the signal on afterwards, so that the
//! command is stopped when nothing is on its way to it any more. It ends as
//! the command ends, with its exit code. Nothing that happens to the proxy
//! stops the command.

mod command;
mod leaving;
mod place;
mod registration;
mod signals;

use std::{ffi::OsString, io::IsTerminal, str::FromStr, time::Duration};

use rustix::process::Signal;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use self::{
    command::{Command, Surroundings},
    leaving::Drained,
    place::PlaceArgs,
    registration::{Registration, Standing},
    signals::Signals,
};
use super::{
    client::Client,
    exit::Exit,
    output::{self, Output},
    register::Description,
    text::plain,
};
use crate::model::{Address, HumanDuration, InstanceId, InstanceKey, ServiceName};

/// How long a drain waits for a registration that is being sent: one that
/// arrives after the drain would undo it.
const LAST_WORD: Duration = Duration::from_secs(2);

/// Arguments of `exec`.
#[derive(Debug, clap::Args)]
pub(super) struct ExecArgs {
    /// The instance, such as orders/orders-7; the id may be left out
    #[arg(value_name = "SERVICE[/ID]")]
    name: Name,
    #[command(flatten)]
    place: PlaceArgs,
    /// Forget it when no heartbeat comes for this long
    #[arg(long, default_value = "10s", value_name = "DURATION")]
    ttl: HumanDuration,
    #[command(flatten)]
    description: Description,
    /// Stop the command if it is not routable within --timeout
    #[arg(long)]
    wait: bool,
    /// How long it may take to become routable
    #[arg(long, default_value = "30s", value_name = "DURATION")]
    timeout: HumanDuration,
    /// How long to wait for a proxy that is not there at the start
    #[arg(long, default_value = "0s", value_name = "DURATION")]
    wait_for_proxy: HumanDuration,
    /// How long requests in flight may hold up a signal to stop
    #[arg(long, default_value = "30s", value_name = "DURATION")]
    drain_timeout: HumanDuration,
    /// What to run
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// `SERVICE/ID`, or a service whose instance gets an id of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    service: ServiceName,
    id: Option<InstanceId>,
}

impl FromStr for Name {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('/') {
            let InstanceKey { service, id } = text.parse()?;
            return Ok(Self { service, id: Some(id) });
        }
        let service = text.parse().map_err(|error| format!("{error}"))?;
        Ok(Self { service, id: None })
    }
}

impl Name {
    /// The instance; without an id of its own that of this process on `host`.
    fn key(&self, host: &str, process: u32) -> anyhow::Result<InstanceKey> {
        let service = self.service.clone();
        if let Some(id) = &self.id {
            return Ok(InstanceKey { service, id: id.clone() });
        }
        let fits = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        // A service name and a number leave this much.
        let host: String = host.chars().map(fits).take(48).collect();
        let id = format!("{service}-{host}-{process}").parse()?;
        Ok(InstanceKey { service, id })
    }
}

/// Tells what happens, beside what the command itself writes.
fn say(text: &str) {
    // Nobody listens, and the command goes on.
    output::print_diagnostics(&format!("portolan exec: {}\n", plain(text))).ok();
}

fn ended_by(signal: Signal) -> Output {
    let code = u8::try_from(signal.as_raw()).unwrap_or_default().saturating_add(128);
    Output::ok("").exit(Exit::Command(code))
}

impl ExecArgs {
    pub(super) async fn run(&self, client: &Client) -> anyhow::Result<Output> {
        let host = rustix::system::uname();
        let key = self.name.key(&host.nodename().to_string_lossy(), std::process::id())?;
        let terminal = std::io::stdin().is_terminal();
        let mut signals = Signals::listen(terminal)?;
        let (place, port) = self.place.choose(client.is_local())?;
        let body = self.description.body(&place, Some(self.ttl));
        let registration = Registration::new(client.clone(), &key, body, self.ttl.0);
        let begun = registration.begin(self.wait_for_proxy.0);
        let registered = tokio::select! {
            registered = begun => registered?,
            signal = signals.stop() => {
                registration.end().await;
                return Ok(ended_by(signal));
            }
        };
        let surroundings = Surroundings { key: &key, port, terminal };
        let command = match Command::start(&self.command, &surroundings) {
            Ok(command) => command,
            Err(error) => {
                registration.end().await;
                let shown = self.command[0].to_string_lossy();
                say(&format!("cannot start {shown}: {error}"));
                return Ok(Output::ok("").exit(Exit::Command(command::not_started(&error))));
            }
        };
        let at = registered.instance.instance.origin;
        let supervisor = Supervisor { key, registration, command, signals, terminal };
        let code = supervisor.run(self, at.address).await;
        Ok(Output::ok("").exit(Exit::Command(code)))
    }
}

/// What makes the command be stopped, or not.
enum Told {
    /// It ended by itself.
    Ended,
    /// Somebody wants it to end.
    Stop(Signal),
    /// It is not routable in time, and `--wait` was given.
    Unroutable,
}

struct Supervisor {
    key: InstanceKey,
    registration: Registration,
    command: Command,
    signals: Signals,
    terminal: bool,
}

impl Supervisor {
    /// Sees the command through to its end, and answers with its exit code.
    async fn run(mut self, args: &ExecArgs, address: Address) -> u8 {
        let leaving = CancellationToken::new();
        let (standing, mut seen) = watch::channel(Standing::default());
        let life = self.registration.clone().live(address, standing, leaving.clone());
        let mut life = tokio::spawn(life);
        let told = self.until_told(args, &mut seen).await;
        leaving.cancel();
        if timeout(LAST_WORD, &mut life).await.is_err() {
            life.abort();
        }
        match told {
            Told::Ended => {}
            Told::Stop(signal) => {
                let second = self.drain(signal, args.drain_timeout.0).await;
                // On a terminal the whole group got it when it was typed.
                if !(self.terminal && matches!(signal, Signal::INT | Signal::QUIT)) {
                    self.command.signal(second.unwrap_or(signal));
                }
            }
            Told::Unroutable => self.command.signal(Signal::TERM),
        }
        let code = self.until_ended().await;
        self.registration.end().await;
        if matches!(told, Told::Unroutable) { Exit::No.code() } else { code }
    }

    async fn until_told(&mut self, args: &ExecArgs, seen: &mut watch::Receiver<Standing>) -> Told {
        let mut late = std::pin::pin!(sleep(args.timeout.0));
        let mut watching = true;
        loop {
            tokio::select! {
                _ = self.command.ended() => return Told::Ended,
                signal = self.signals.next() => {
                    if signals::stops(signal) {
                        return Told::Stop(signal);
                    }
                    self.command.signal(signal);
                }
                changed = seen.changed(), if watching => {
                    watching = changed.is_ok() && !seen.borrow_and_update().routable;
                }
                () = &mut late, if watching => {
                    watching = false;
                    let why = seen.borrow().why.clone();
                    let span = humantime::format_duration(args.timeout.0);
                    let then = if args.wait { "stopping" } else { "it goes on" };
                    say(&format!("{} is not routable after {span}: {why}; {then}", self.key));
                    if args.wait {
                        return Told::Unroutable;
                    }
                }
            }
        }
    }

    /// Waits until nothing is on its way to the command. Answers with the
    /// second signal to stop, if one came meanwhile.
    async fn drain(&mut self, signal: Signal, patience: Duration) -> Option<Signal> {
        let name = signals::name(signal);
        say(&format!("{name}: draining {}", self.key));
        let mut drained = std::pin::pin!(self.registration.drain(patience));
        loop {
            tokio::select! {
                drained = &mut drained => {
                    match drained {
                        Drained::Safe => {}
                        Drained::Late { in_flight } => say(&format!(
                            "{in_flight} still in flight after {}; passing {name} on",
                            humantime::format_duration(patience)
                        )),
                        Drained::Unknown(error) => {
                            let error = anyhow::Error::from(error);
                            say(&format!("cannot drain: {error:#}; passing {name} on"));
                        }
                    }
                    return None;
                }
                _ = self.command.ended() => return None,
                next = self.signals.next() => {
                    if signals::stops(next) {
                        say(&format!("{} again: passing it on", signals::name(next)));
                        return Some(next);
                    }
                    self.command.signal(next);
                }
            }
        }
    }

    /// Passes on everything until the command has ended.
    async fn until_ended(&mut self) -> u8 {
        loop {
            tokio::select! {
                code = self.command.ended() => return code,
                signal = self.signals.next() => self.command.signal(signal),
            }
        }
    }
}

#[cfg(test)]
mod tests;
