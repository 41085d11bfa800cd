//! `portolan source`: the registries of others that instances come from.

use clap::Subcommand;
use http::Method;

use super::{
    client::{Client, TIMEOUT, escape},
    explain::standing,
    output::{FormatArgs, Output},
    text::{BAD, Cell, Columns, DIM, GOOD, WARN, count, plain, span, styled},
};
use crate::control::view::{SourceDetailView, SourceView, SourcesView};

/// The verbs of `source`.
#[derive(Debug, Subcommand)]
pub(super) enum SourceVerb {
    /// List sources, how current they are, and what they have that cannot be used
    List {
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Show one source, and how its instances stand
    Show {
        /// The name of the source
        name: String,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Believe a source that so many instances are gone
    Accept {
        /// The name of the source
        name: String,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Have a source read all that it has again
    Resync {
        /// The name of the source
        name: String,
        #[command(flatten)]
        format: FormatArgs,
    },
}

impl SourceVerb {
    pub(super) async fn ask(&self, client: &Client) -> anyhow::Result<Output> {
        let (name, format, what) = match self {
            Self::List { format } => {
                let (view, json) = client.view::<SourcesView>("/api/v1/sources").await?;
                return Output::of(format.format, &json, || list(&view.sources));
            }
            Self::Show { name, format } => {
                let path = format!("/api/v1/sources/{}", escape(name));
                let (view, json) = client.view::<SourceDetailView>(&path).await?;
                return Output::of(format.format, &json, || shown(&view));
            }
            Self::Accept { name, format } => (name, format, "accept"),
            Self::Resync { name, format } => (name, format, "resync"),
        };
        let path = format!("/api/v1/sources/{}/{what}", escape(name));
        let answer = client.call(Method::POST, &path, None, TIMEOUT).await?;
        let Some(view) = answer.read::<SourceView>() else {
            return Err(answer.json().map_or_else(|error| error, |_| answer.problem()).into());
        };
        Output::of(format.format, &view, || list(std::slice::from_ref(&view)))
    }
}

fn list(sources: &[SourceView]) -> String {
    if sources.is_empty() {
        return "no sources; instances register here or stand in proxy.toml\n".to_owned();
    }
    let mut rows = Columns::headed(["SOURCE", "KIND", "", "INSTANCES", "HEARD", "FAILURES"]);
    for view in sources {
        rows.push([
            view.source.as_str().into(),
            view.kind.as_str().into(),
            state(view),
            Cell::number(view.instances as u64),
            view.heard_ms.map_or("never".into(), |age| format!("{} ago", span(age)).into()),
            Cell::number(view.failures),
        ]);
    }
    let mut text = rows.to_string();
    for view in sources {
        text += &details(view);
    }
    text
}

fn shown(view: &SourceDetailView) -> String {
    let mut text = list(std::slice::from_ref(&view.source));
    if view.has.is_empty() {
        return text;
    }
    let mut rows = Columns::headed(["INSTANCE", "ADDRESS", "", "WHY"]);
    for view in &view.has {
        rows.push([
            format!("{}/{}", view.instance.service, view.instance.id).into(),
            view.instance.origin.to_string().into(),
            standing(view),
            format!("for {}: {}", span(view.since_ms), view.why).into(),
        ]);
    }
    text += &format!("\n{rows}");
    if view.source.instances > view.has.len() {
        text += &format!("and {} more\n", view.source.instances - view.has.len());
    }
    text
}

/// In one word.
fn state(view: &SourceView) -> Cell {
    match (view.connected, &view.held) {
        (true, None) => Cell::styled(GOOD, "connected"),
        (true, Some(_)) => Cell::styled(WARN, "held"),
        (false, _) if view.lost_ms.is_none() => Cell::styled(WARN, "not heard yet"),
        (false, _) => Cell::styled(BAD, "LOST"),
    }
}

fn details(view: &SourceView) -> String {
    let mut lines = Vec::new();
    if let (Some(since), Some(error)) = (view.lost_ms, &view.last_error) {
        lines.push(format!("lost for {}: {error}", span(since)));
    }
    if let Some(held) = &view.held {
        let some = held.some.join(", ");
        let more = if held.missing > held.some.len() { ", …" } else { "" };
        lines.push(format!(
            "held for another {}: {} are missing all at once and stay ({some}{more})",
            span(held.left_ms),
            count(held.missing, "instance"),
        ));
    }
    for rejected in &view.rejected {
        lines.push(format!(
            "left out {} ago: {}: {}",
            span(rejected.ago_ms),
            rejected.what,
            rejected.why
        ));
    }
    if let Some(why) = &view.disk {
        lines.push(format!("not kept on disk: {why}"));
    }
    if lines.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{}\n", styled(DIM, &view.source));
    for line in lines {
        text += &format!("  {}\n", plain(&line));
    }
    text
}

/// A line of `portolan status`.
pub(super) fn line(view: &SourceView) -> Cell {
    let heard = match view.heard_ms {
        Some(age) => format!("heard {} ago", span(age)),
        None => "never heard".to_owned(),
    };
    let text = format!("{}, {}, {heard}", view.source, count(view.instances, "instance"));
    match (view.connected, &view.held) {
        (true, None) => text.into(),
        (true, Some(held)) => Cell::styled(WARN, format!("{text}, {} of them held", held.missing)),
        (false, _) if view.lost_ms.is_none() => Cell::styled(WARN, text),
        (false, _) => Cell::styled(BAD, format!("{text}, LOST")),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::unstyled, *};

    #[test]
    fn sources_stand_in_a_table_and_what_is_wrong_below() {
        let view: SourcesView = serde_json::from_str(
            r#"{"sources":[
              {"source":"east","kind":"consul","connected":true,"instances":12,"heard_ms":400,
               "listed_ms":9000,"failures":0,"rejections":1,
               "rejected":[{"what":"orders/a","why":"no port","ago_ms":9000}]},
              {"source":"file","kind":"file","connected":false,"instances":3,"heard_ms":90000,
               "lost_ms":80000,"last_error":"cannot read a.json","failures":8,"rejections":0},
              {"source":"old","kind":"eureka","connected":true,"instances":20,"heard_ms":400,
               "held":{"missing":2,"some":["a/1"],"left_ms":12000},"failures":0,"rejections":0}]}"#,
        )
        .expect("a view");
        insta::assert_snapshot!(unstyled(&list(&view.sources)), @r"
        SOURCE  KIND               INSTANCES  HEARD           FAILURES
        east    consul  connected         12  400 ms ago             0
        file    file    LOST               3  1 min 30 s ago         8
        old     eureka  held              20  400 ms ago             0

        east
          left out 9 s ago: orders/a: no port

        file
          lost for 1 min 20 s: cannot read a.json

        old
          held for another 12 s: 2 instances are missing all at once and stay (a/1, …)
        ");
    }

    #[test]
    fn one_source_is_shown_with_its_instances() {
        let view: SourceDetailView = serde_json::from_str(
            r#"{"source":"east","kind":"consul","connected":true,"instances":3,"heard_ms":400,
              "failures":0,"rejections":0,"has":[
              {"service":"orders","id":"a","origin":"http://10.0.0.5:8080","weight":100,"health":{},
               "source":"east","state":"healthy","since_ms":9000,"why":"connect: accepted",
               "routable":true,"generation":1,"in_flight":0,"requests":0,"failures":0},
              {"service":"orders","id":"b","origin":"http://10.0.0.6:8080","weight":100,"health":{},
               "source":"east","reported":"down","state":"unhealthy","since_ms":400,
               "why":"east says DOWN","routable":false,"generation":1,"in_flight":0,"requests":0,
               "failures":0}]}"#,
        )
        .expect("a view");
        insta::assert_snapshot!(unstyled(&shown(&view)), @r"
        SOURCE  KIND               INSTANCES  HEARD       FAILURES
        east    consul  connected          3  400 ms ago         0

        INSTANCE  ADDRESS                       WHY
        orders/a  http://10.0.0.5:8080  ok      for 9 s: connect: accepted
        orders/b  http://10.0.0.6:8080  DOWN    for 400 ms: east says DOWN
        and 1 more
        ");
    }
}
