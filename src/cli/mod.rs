//! The command line: its verbs, and what each of them prints.
//!
//! One file for each verb or noun. A verb gives back an `Output` and prints
//! nothing itself (`events`, `exec`, `run` and `demo`, which go on, aside); what makes
//! text from a view is pure. Only `run` and `demo` touch the proxy itself: the
//! other verbs read the config file or talk to the admin API, as any other
//! program could.

mod admin_url;
mod cert;
mod check;
mod client;
mod config_file;
mod demo;
mod departures;
mod events;
mod exec;
mod exit;
mod explain;
mod healthcheck;
mod help;
mod leave;
mod output;
mod register;
mod registry;
mod reload;
mod routes;
mod run;
mod schema;
mod services;
mod source;
mod sse;
mod status;
#[cfg(test)]
mod testing;
mod text;
mod token;
mod upgrade;
mod version;

use std::{ffi::OsString, io, path::PathBuf};

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::{app, config};
pub use exit::Exit;

use self::{
    admin_url::AdminUrl,
    client::Client,
    config_file::NoConfigFile,
    output::{Color, Output},
    text::{BAD, DIM, plain, styled},
};

/// A server-side discovery reverse proxy: services register, clients send
/// everything to one address
#[derive(Debug, Parser)]
#[command(name = "portolan", version, disable_help_subcommand = true, max_term_width = 100)]
#[command(after_help = "\
Examples:
  portolan demo                                  see it work, without a config file
  portolan check && portolan run                 start with ./proxy.toml
  portolan explain http://shop.test/api/orders   where would this request go, and why?
  portolan register orders/orders-7 --address 10.0.0.5:8080 --ttl 10s --wait

Exit codes: 0 yes, 1 no, 2 usage, 3 admin API not reachable, 78 config refused, 130 and 143 cut
short by a second signal")]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// The config file [default: ./proxy.toml, then /etc/portolan/proxy.toml]
    #[arg(short, long, global = true, env = "PORTOLAN_CONFIG", value_name = "FILE")]
    #[arg(hide_env_values = true)]
    config: Option<PathBuf>,
    /// The admin API of the running proxy
    #[arg(long, global = true, env = "PORTOLAN_ADMIN", value_name = "URL")]
    #[arg(hide_env_values = true, default_value = "http://127.0.0.1:9900")]
    admin: AdminUrl,
    /// The CA that vouches for the admin API at an https URL [default: those of the system]
    #[arg(long, global = true, env = "PORTOLAN_CA", value_name = "FILE", hide_env_values = true)]
    ca: Option<PathBuf>,
    /// A file with the token for the admin API [or the variable PORTOLAN_TOKEN]
    #[arg(long, global = true, env = "PORTOLAN_TOKEN_FILE", value_name = "FILE")]
    #[arg(hide_env_values = true)]
    token_file: Option<PathBuf>,
    /// When to use colour: auto, always or never
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    #[arg(hide_possible_values = true)]
    color: Color,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the proxy (what happens without a verb too)
    Run,
    /// Read the config file and say everything that is wrong with it
    #[command(visible_alias = "validate")]
    Check(check::CheckArgs),
    /// Run a proxy with three toy instances and show what to try
    Demo,
    /// Say where a request would go, and why
    #[command(after_help = "\
Examples:
  portolan explain http://shop.test/api/orders
  portolan explain POST shop.test/api/orders -H 'X-Beta: 1'

Exit code 1 if the proxy would answer with an error of its own.")]
    Explain(explain::ExplainArgs),
    /// Show the proxy on one screen, problems first
    Status(status::StatusArgs),
    /// List services, or show one with its instances
    Services(services::ServicesArgs),
    /// List routes
    Routes(routes::RoutesArgs),
    /// Tell what changed
    Events(events::EventsArgs),
    /// Register an instance, or update it
    #[command(after_help = "\
Examples:
  portolan register orders/orders-7 --address 10.0.0.5:8080 --health-path /healthz --wait
  portolan register orders/orders-7 --address 10.0.0.5 --port 8080 --ttl 10s --meta team=shop

Exit code 1 if --wait was given and no request can reach it yet.")]
    Register(register::RegisterArgs),
    /// Run a command as an instance: register it, renew it, drain before it stops
    #[command(after_help = "\
Examples:
  portolan exec orders/orders-7 --port 8080 --health-path /healthz -- ./orders
  portolan exec orders --port auto -- sh -c 'python3 -m http.server $PORT'

Exit code: that of the command, 128 and the signal that ended it, 127 or 126 if it cannot be started; 3 if the proxy cannot be reached at the start.")]
    Exec(exec::ExecArgs),
    /// Renew the lease of an instance
    Heartbeat(register::HeartbeatArgs),
    /// Send nothing new to an instance, keep it registered
    #[command(after_help = "Exit code 1 if --wait was given and requests are still in flight.")]
    Drain(leave::LeaveArgs),
    /// Drain an instance and take it out of the registry
    #[command(after_help = "Exit code 1 if --wait was given and requests are still in flight.")]
    Deregister(leave::LeaveArgs),
    /// Check, carry away, fill or restore the store of the registry
    #[command(subcommand)]
    Registry(registry::RegistryVerb),
    /// Look after the sources that instances come from
    #[command(subcommand)]
    Source(source::SourceVerb),
    /// Have the running proxy read its config file again
    Reload(reload::ReloadArgs),
    /// Have the running proxy start its program anew and hand over to it
    #[command(after_help = "\
What lies at the path that the proxy was started from takes over, without a connection refused or
lost. Exit code 1 if it does not; the running process goes on then.")]
    Upgrade(upgrade::UpgradeArgs),
    /// Exit with 0 if the proxy is ready and with 1 if it is not
    Healthcheck,
    /// Tell what goes into proxy.toml
    #[command(subcommand)]
    Config(schema::ConfigVerb),
    /// Make certificates for trying TLS out
    #[command(subcommand)]
    Cert(cert::CertVerb),
    /// Make a token for the admin API
    #[command(after_help = "\
Examples:
  portolan token
  portolan token --name deploy --scope register --service 'orders-*'")]
    Token(token::TokenArgs),
    /// Explain a diagnostic code such as P0101, or a verb
    Help(help::HelpArgs),
    /// Print the completion script of a shell
    Completions {
        /// bash, elvish, fish, powershell or zsh
        #[arg(hide_possible_values = true)]
        shell: Shell,
    },
    /// Print the version
    Version(version::VersionArgs),
}

/// Does what `arguments` (the name of the program first) ask for.
pub fn main(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Exit {
    let output = answer(arguments);
    match output.print() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let error = anyhow::Error::from(error).context("cannot write the result");
            output::print_diagnostics(&complaint(&error)).ok();
            Exit::No
        }
        // A reader that has read enough (`| head`) is no failure.
        _ => output.exit,
    }
}

fn answer(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Output {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let text = error.render().ansi().to_string();
            return if error.use_stderr() {
                Output { out: String::new(), err: text, exit: Exit::Usage }
            } else {
                Output::ok(text)
            };
        }
    };
    cli.global.color.apply();
    cli.perform().unwrap_or_else(|error| Output {
        out: String::new(),
        err: complaint(&error),
        exit: Exit::of(&error),
    })
}

/// What went wrong and what to try.
fn complaint(error: &anyhow::Error) -> String {
    let mut text = format!("{}: {}\n", styled(BAD, "error"), plain(&format!("{error:#}")));
    for line in Exit::advice(error) {
        text += &format!("  {DIM}-{DIM:#} {}\n", plain(&line));
    }
    text
}

impl Cli {
    fn perform(&self) -> anyhow::Result<Output> {
        match self.verb.as_ref().unwrap_or(&Verb::Run) {
            Verb::Run => run::perform(self.global.config_file()),
            Verb::Check(args) => args.perform(&self.global.config_file()?),
            Verb::Demo => demo::perform(),
            Verb::Explain(args) => self.ask(async |client| args.ask(client).await),
            Verb::Status(args) => self.ask(async |client| args.ask(client).await),
            Verb::Services(args) => self.ask(async |client| args.ask(client).await),
            Verb::Routes(args) => self.ask(async |client| args.ask(client).await),
            Verb::Events(args) => self.ask(async |client| args.ask(client).await),
            Verb::Register(args) => self.ask(async |client| args.ask(client).await),
            Verb::Exec(args) => self.ask(async |client| args.run(client).await),
            Verb::Heartbeat(args) => self.ask(async |client| args.ask(client).await),
            Verb::Drain(args) => self.ask(async |client| args.drain(client).await),
            Verb::Deregister(args) => self.ask(async |client| args.deregister(client).await),
            Verb::Source(verb) => self.ask(async |client| verb.ask(client).await),
            Verb::Reload(args) => self.ask(async |client| args.ask(client).await),
            Verb::Upgrade(args) => self.ask(async |client| args.ask(client).await),
            Verb::Registry(verb) => verb.perform(self.global.config_file()),
            Verb::Healthcheck => self.ask(healthcheck::ask),
            Verb::Config(verb) => verb.perform(),
            Verb::Cert(verb) => verb.perform(),
            Verb::Token(args) => args.perform(),
            Verb::Help(args) => args.perform(),
            Verb::Completions { shell } => Ok(completions(*shell)),
            Verb::Version(args) => args.perform(),
        }
    }

    /// Has `question` answered by the running proxy.
    fn ask(
        &self,
        question: impl AsyncFnOnce(&Client) -> anyhow::Result<Output>,
    ) -> anyhow::Result<Output> {
        let client = self.global.client()?;
        runtime()?.block_on(question(&client))
    }
}

fn completions(shell: Shell) -> Output {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "portolan", &mut script);
    Output::ok(String::from_utf8_lossy(&script))
}

impl Global {
    fn config_file(&self) -> Result<PathBuf, NoConfigFile> {
        config_file::find(self.config.as_deref())
    }

    fn client(&self) -> anyhow::Result<Client> {
        let token = admin_url::authorization(self.token_file.as_deref())?;
        Ok(Client::new(self.admin.clone(), token).trusting(self.ca.as_deref())?)
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

#[cfg(test)]
mod tests;
