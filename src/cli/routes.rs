//! `portolan routes`: the routes of the running proxy, in the order of the file.

use super::{
    client::Client,
    output::{FormatArgs, Output},
    text::{Cell, Columns, DIM},
};
use crate::control::view::{RouteView, RoutesView};

/// Arguments of `routes`.
#[derive(Debug, clap::Args)]
pub(super) struct RoutesArgs {
    #[command(flatten)]
    format: FormatArgs,
}

impl RoutesArgs {
    pub(super) async fn ask(&self, client: &Client) -> anyhow::Result<Output> {
        let (view, json) = client.view::<RoutesView>("/api/v1/routes").await?;
        Output::of(self.format.format, &json, || text(&view.routes))
    }
}

fn text(routes: &[RouteView]) -> String {
    if routes.is_empty() {
        return "no routes; every request is answered 404 no_route\n".to_owned();
    }
    let mut rows = Columns::headed(["ROUTE", "HOST", "PATH", "ONLY", "TO", "LINE"]);
    for view in routes {
        let hosts = if view.hosts.is_empty() { "any".to_owned() } else { view.hosts.join(", ") };
        let only: Vec<_> = view.methods.iter().chain(&view.headers).cloned().collect();
        let to = match (&view.service, &view.redirect) {
            (Some(service), _) => service.clone(),
            (None, Some(redirect)) => format!("redirect to {redirect}"),
            (None, None) => String::new(),
        };
        rows.push([
            view.name.as_str().into(),
            hosts.into(),
            view.path.as_str().into(),
            only.join(", ").into(),
            to.into(),
            Cell::styled(DIM, view.line.map(|line| line.to_string()).unwrap_or_default()),
        ]);
    }
    rows.to_string()
}

#[cfg(test)]
mod tests {
    use super::{super::testing::unstyled, *};

    #[test]
    fn routes_stand_in_a_table() {
        let view: RoutesView = serde_json::from_str(
            r#"{"version":3,"routes":[
              {"name":"api","hosts":["shop.test"],"path":"/api","methods":["GET"],
               "headers":["x-beta: 1"],"service":"catalog","line":30},
              {"name":"old","hosts":[],"path":"/","redirect":"https://shop.test"}]}"#,
        )
        .expect("a view");
        insta::assert_snapshot!(unstyled(&text(&view.routes)), @r"
        ROUTE  HOST       PATH  ONLY            TO                             LINE
        api    shop.test  /api  GET, x-beta: 1  catalog                        30
        old    any        /                     redirect to https://shop.test
        ");
    }

    #[test]
    fn no_routes_says_what_that_means() {
        assert!(text(&[]).contains("404 no_route"));
    }
}
