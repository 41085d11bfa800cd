//! What routes are called in logs, metrics and explanations.

use std::collections::HashSet;

use crate::routing::RouteSettings;

/// A name for each route: its own, or else one made of host and path:
/// `shop.example/orders`, `*/files` for any host, `shop.example+1/orders` with
/// one more host. Of several that would be called the same, the later ones get
/// `#2`, `#3`.
#[must_use]
pub fn route_names(routes: &[RouteSettings]) -> Vec<String> {
    let mut taken: HashSet<String> = routes.iter().filter_map(|route| route.name.clone()).collect();
    let name = |route: &RouteSettings| {
        if let Some(name) = &route.name {
            return name.clone();
        }
        let plain = default_name(route);
        let mut name = plain.clone();
        let mut number = 1;
        while !taken.insert(name.clone()) {
            number += 1;
            name = format!("{plain}#{number}");
        }
        name
    };
    routes.iter().map(name).collect()
}

fn default_name(route: &RouteSettings) -> String {
    let path = &route.path;
    match &route.host.0[..] {
        [] => format!("*{path}"),
        [host] => format!("{host}{path}"),
        [host, more @ ..] => format!("{host}+{}{path}", more.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::OneOrMany;

    fn route(name: Option<&str>, hosts: &[&str], path: &str) -> RouteSettings {
        let host = hosts.iter().map(|host| host.parse().expect("a host")).collect();
        RouteSettings {
            name: name.map(str::to_owned),
            host: OneOrMany(host),
            path: path.parse().expect("a path"),
            ..Default::default()
        }
    }

    #[test]
    fn names_are_made_of_host_and_path_and_told_apart() {
        let routes = [
            route(None, &["shop.example"], "/orders"),
            route(None, &[], "/"),
            route(None, &["a.example", "b.example"], "/"),
            route(None, &["shop.example"], "/orders"),
            route(Some("*/x"), &[], "/"),
            route(None, &[], "/x"),
        ];
        assert_eq!(
            route_names(&routes),
            ["shop.example/orders", "*/", "a.example+1/", "shop.example/orders#2", "*/x", "*/x#2"]
        );
    }
}
