//! `portolan events`: what changed, and with `--follow`, what is changing.
//!
//! A broken stream is taken up again where it ended, so nothing is missed and
//! nothing is told twice.

use std::{io, time::Duration};

use http_body_util::BodyExt;

use super::{
    client::{Client, ClientError},
    output::{self, Format, FormatArgs, Output},
    sse::{Frame, Frames},
    text::{BAD, DIM, GOOD, PLAIN, WARN, plain, styled},
};
use crate::control::view::EventView;

/// Arguments of `events`.
#[derive(Debug, clap::Args)]
pub(super) struct EventsArgs {
    /// Go on with what happens from now on
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    format: FormatArgs,
}

/// How long to leave a proxy alone that has just gone away.
const PAUSE: Duration = Duration::from_secs(1);

/// An id before that of any event: everything that is kept comes after it.
/// Without an id the stream begins with what is new.
const BEFORE_ALL: &str = "0-0";

const MISSED: &str = "some events are no longer kept; going on with the oldest that are\n";

/// Without `--follow`: this long without an event means that the past is told.
const QUIET: Duration = Duration::from_millis(500);

impl EventsArgs {
    pub(super) async fn ask(&self, client: &Client) -> anyhow::Result<Output> {
        let mut last = None;
        let mut first = true;
        loop {
            match self.listen(client, &mut last).await {
                Ok(End::ReaderGone) => return Ok(Output::ok("")),
                Ok(End::Told) => return Ok(told(last.is_some())),
                Ok(End::Broken) if !self.follow => return Ok(told(last.is_some())),
                Err(error) if first || !self.follow || is_final(&error) => {
                    return Err(error.into());
                }
                Err(_) => {}
                Ok(End::Broken) => {
                    let note = styled(DIM, "the stream ended; taking it up again");
                    output::print_diagnostics(&format!("{note}\n")).ok();
                }
            }
            first = false;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn listen(&self, client: &Client, last: &mut Option<String>) -> Result<End, ClientError> {
        let after = last.as_deref().unwrap_or(BEFORE_ALL);
        let mut body = client.stream("/api/v1/events", Some(after)).await?;
        let mut frames = Frames::default();
        loop {
            let next = if self.follow {
                body.frame().await
            } else {
                match tokio::time::timeout(QUIET, body.frame()).await {
                    Ok(next) => next,
                    Err(_) => return Ok(End::Told),
                }
            };
            let Some(Ok(piece)) = next else { return Ok(End::Broken) };
            let Ok(data) = piece.into_data() else { continue };
            for frame in frames.push(&data) {
                let told = match frame.event.as_str() {
                    // Before the first event that we ever got, nothing was missed.
                    "reset" if last.is_some() => output::print_diagnostics(MISSED),
                    "reset" => Ok(()),
                    _ => self.tell(&frame),
                };
                if told.is_err() {
                    return Ok(End::ReaderGone);
                }
                if !frame.id.is_empty() {
                    *last = Some(frame.id);
                }
            }
        }
    }

    fn tell(&self, frame: &Frame) -> io::Result<()> {
        match serde_json::from_str::<EventView>(&frame.data) {
            Ok(_) if self.format.format == Format::Json => {
                output::print(&format!("{}\n", frame.data.replace('\n', " ")))
            }
            Ok(event) => output::print(&line(&event)),
            Err(_) => Ok(()),
        }
    }
}

/// The end of the past, which may have been empty.
fn told(anything: bool) -> Output {
    let err = if anything { "" } else { "nothing is kept; --follow waits for what is new\n" };
    Output { err: err.to_owned(), ..Output::ok("") }
}

/// Whether asking again would bring the same refusal. A proxy that is starting
/// or stopping refuses by a 5xx.
fn is_final(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused(problem) if problem.status < 500)
}

enum End {
    /// All of the past is told.
    Told,
    /// The stream ended by itself.
    Broken,
    /// Nobody reads our output any more.
    ReaderGone,
}

fn line(event: &EventView) -> String {
    let style = match event.kind.as_str() {
        "registered" | "drained" | "config_reloaded" | "panic_over" | "returned"
        | "circuit_closed" | "upgraded" | "source_back" | "registry_back" => GOOD,
        "lease_expired" | "draining" | "drain_timeout" | "left" | "deregistered" | "refused"
        | "ejected" | "source_held" => WARN,
        "config_refused" | "panic" | "circuit_open" | "upgrade_refused" | "source_lost"
        | "registry_lost" => BAD,
        _ => PLAIN,
    };
    let whom = match (&event.service, &event.instance) {
        (Some(service), Some(instance)) => format!("{service}/{instance}  "),
        (Some(service), None) => format!("{service}  "),
        _ => String::new(),
    };
    format!(
        "{}  {style}{:<15}{style:#}  {}{}\n",
        styled(DIM, &event.time),
        plain(&event.kind),
        plain(&whom),
        plain(&event.detail)
    )
}

#[cfg(test)]
mod tests {
    use super::{
        super::{exit::Exit, testing::FakeAdmin},
        *,
    };

    const EVENT: &str = r#"{"number":1,"time":"2027-01-01T00:00:00Z","kind":"registered","service":"orders","instance":"a","detail":"at 10.0.0.1:80"}"#;

    #[test]
    fn a_line_says_when_what_who() {
        let event = serde_json::from_str(EVENT).expect("an event");
        insta::assert_snapshot!(super::super::testing::unstyled(&line(&event)),
            @"2027-01-01T00:00:00Z  registered       orders/a  at 10.0.0.1:80");
    }

    #[tokio::test]
    async fn without_follow_the_past_is_told_and_that_is_all() {
        let admin = FakeAdmin::start(|_| (200, format!("id: 5-1\ndata: {EVENT}\n\n"))).await;
        let args = EventsArgs { follow: false, format: FormatArgs::default() };
        assert_eq!(args.ask(&admin.client).await.expect("told").exit, Exit::Ok);
        assert_eq!(admin.asked()[0].0, "GET /api/v1/events Bearer secret");
    }

    #[tokio::test]
    async fn an_empty_past_is_told_too() {
        let admin = FakeAdmin::start(|_| (200, "event: reset\ndata: {}\n\n".to_owned())).await;
        let args = EventsArgs { follow: false, format: FormatArgs::default() };
        assert!(args.ask(&admin.client).await.expect("told").err.contains("--follow"));
    }

    #[tokio::test]
    async fn the_last_id_is_kept_for_the_next_try() {
        let admin = FakeAdmin::start(|_| (200, format!("id: 5-1\ndata: {EVENT}\n\n"))).await;
        let args = EventsArgs { follow: true, format: FormatArgs::default() };
        let mut last = None;
        let end = args.listen(&admin.client, &mut last).await.expect("a stream");
        assert!(matches!(end, End::Broken));
        assert_eq!(last.as_deref(), Some("5-1"));
    }
}
