//! One of four instances takes half a second longer: what clients see of it,
//! with and without what Portolan does about it.

use std::time::Duration;

use tokio::time::sleep;

use super::{Context, PROBED};
use crate::{
    fleet::Fleet,
    generator::{Generator, Mix},
    ledger::{self, Comparison},
    proxy::Proxy,
    report::Verdict,
};

/// Settings of the service to compare, the last ones being what is meant to
/// help.
const SETTINGS: [(&str, &str); 2] = [
    ("round robin", "balance = 'round_robin'"),
    (
        "least request, outliers by latency",
        "balance = 'least_request'\n\
         outlier = { latency = 5, window = '2s', base_ejection = '30s' }",
    ),
];

pub(super) async fn run(context: &Context) -> anyhow::Result<Verdict> {
    let mut verdict = Verdict::new("slow");
    let mut shares = Vec::new();
    for (name, settings) in SETTINGS {
        let service = format!("{PROBED}\n{settings}");
        let proxy = Proxy::start(&context.program, &service).await?;
        let mut fleet = Fleet::new(&proxy.folder())?;
        let mut instances = Vec::new();
        for nth in 0..4 {
            fleet.tell(if nth == 0 { &["--slow", "500"] } else { &[] });
            let instance = fleet.start().await?;
            instance.register(&proxy, serde_json::json!({})).await?;
            instances.push(instance);
        }
        let load = Generator::start(proxy.address, context.rate(), Mix::Gets);
        sleep(Duration::from_secs(context.seconds(8, 60))).await;
        let tally = load.stop().await;
        let slow = instances[0].stats().await?.requests;
        let millis = |share| tally.percentile(share).as_millis();
        verdict.figure(format!(
            "{name}: p50 {} ms, p99 {} ms, {slow} of {} to the slow one",
            millis(0.5),
            millis(0.99),
            tally.sent()
        ));
        verdict.hold(format!("{name}: nothing failed"), tally.failures.is_empty());
        verdict.hold(format!("{name}: there was load"), tally.ok() > 0);
        ledger::check(&proxy, &tally, Comparison::Whole, &mut verdict).await?;
        shares.push(slow as f64 / tally.sent().max(1) as f64);
        if !verdict.passed() {
            tally.failures_in_words().into_iter().for_each(|line| verdict.note(line));
            verdict.note(proxy.log());
        }
        proxy.stop().await?;
    }
    verdict.hold("the slow one got fewer requests with it", shares[1] < shares[0] / 2.0);
    Ok(verdict)
}
