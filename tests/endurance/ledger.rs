//! The proxy's own account of the requests, held against what the generator
//! has counted.

use std::time::Instant;

use serde_json::Value;
use tokio::time::sleep;

use crate::{
    proxy::{PATIENCE, POLL, Proxy},
    report::Verdict,
    tally::{Cause, Kind, Tally},
};

/// Whether the generator can count what the proxy has counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// One process has answered everything.
    Whole,
    /// Several have, one after the other.
    Parts,
}

/// Checks that every request that came in is accounted for, and no other.
pub(crate) async fn check(
    proxy: &Proxy,
    tally: &Tally,
    comparison: Comparison,
    verdict: &mut Verdict,
) -> anyhow::Result<()> {
    // The last byte is with the client before the request is counted.
    let begun = Instant::now();
    let ledger = loop {
        let ledger = proxy.status().await?["ledger"].take();
        if ledger["in_flight"] == 0 || begun.elapsed() > PATIENCE {
            break ledger;
        }
        sleep(POLL).await;
    };
    let count = |key: &str| ledger[key].as_u64().unwrap_or_default();
    let ends = ["completed", "client_gone", "refused", "failed", "in_flight"];
    let sum: u64 = ends.into_iter().map(count).sum();
    verdict.figure(format!("ledger {}", in_words(&ledger)));
    verdict.hold("the ledger adds up", ledger.is_object() && count("accepted") == sum);
    verdict.hold("nothing is in flight in the end", count("in_flight") == 0);
    if comparison == Comparison::Whole {
        let arrived =
            tally.sent() - tally.failed(|failure| matches!(failure.cause, Cause::Connect(_)));
        let accepted = count("accepted");
        verdict
            .hold(format!("accepted {accepted} is what arrived, {arrived}"), accepted == arrived);
        // A tunnel that an instance cuts has ended as any other may.
        let tunnels = tally.failed(|failure| failure.kind == Kind::WebSocket);
        let (completed, ok) = (count("completed"), tally.ok());
        let agrees = (ok..=ok + tunnels).contains(&completed);
        verdict.hold(format!("completed {completed} is what went well, {ok}"), agrees);
        verdict.hold("no client has gone", count("client_gone") == 0);
    }
    Ok(())
}

fn in_words(ledger: &Value) -> String {
    let pairs = ledger.as_object().into_iter().flatten();
    let words: Vec<_> = pairs.map(|(key, value)| format!("{key} {value}")).collect();
    words.join(", ")
}
