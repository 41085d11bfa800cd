//! `portolan healthcheck`: for `HEALTHCHECK` lines of containers that hold
//! nothing but the program.

use std::time::Duration;

use http::Method;
use serde_json::Value;

use super::{
    client::{Answer, Client},
    exit::Exit,
    output::Output,
    text::{BAD, GOOD, plain, styled},
};

const TIMEOUT: Duration = Duration::from_secs(2);

/// Whether the proxy is ready. That it cannot be reached is a no like any
/// other: container engines know only yes and no.
pub(super) async fn ask(client: &Client) -> anyhow::Result<Output> {
    let reason = match client.call(Method::GET, "/readyz", None, TIMEOUT).await {
        Ok(answer) if answer.status.is_success() => {
            return Ok(Output::ok(format!("{}\n", styled(GOOD, "ready"))));
        }
        Ok(answer) => why_not(&answer),
        Err(error) => format!("{:#}", anyhow::Error::from(error)),
    };
    let err = format!("{}: {}\n", styled(BAD, "not ready"), plain(&reason));
    Ok(Output { out: String::new(), err, exit: Exit::No })
}

fn why_not(answer: &Answer) -> String {
    let json = answer.read::<Value>().unwrap_or_default();
    let list = |key: &str| {
        let reasons = json[key].as_array()?.iter().filter_map(Value::as_str).collect::<Vec<_>>();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    };
    list("waiting_for")
        .or_else(|| list("reasons"))
        .or_else(|| json["detail"].as_str().map(str::to_owned))
        .unwrap_or_else(|| {
            let body = String::from_utf8_lossy(&answer.body);
            format!("status {}: {}", answer.status.as_u16(), body.trim())
        })
}

#[cfg(test)]
mod tests {
    use super::{super::testing::*, *};

    async fn check(status: u16, body: &'static str) -> (Exit, String) {
        let admin = FakeAdmin::start(move |_| (status, body.to_owned())).await;
        let said = ask(&admin.client).await.expect("an answer");
        assert_eq!(admin.asked()[0].0, "GET /readyz Bearer secret");
        (said.exit, unstyled(&format!("{}{}", said.out, said.err)))
    }

    #[tokio::test]
    async fn ready_is_yes() {
        assert_eq!(check(200, "ok").await, (Exit::Ok, "ready\n".to_owned()));
    }

    #[tokio::test]
    async fn not_ready_says_why() {
        let waiting = r#"{"ready":false,"waiting_for":["first probes","the store"]}"#;
        let said = "not ready: first probes; the store\n".to_owned();
        assert_eq!(check(503, waiting).await, (Exit::No, said));
        let said = "not ready: status 503: draining\n".to_owned();
        assert_eq!(check(503, "draining\n").await, (Exit::No, said));
    }
}
