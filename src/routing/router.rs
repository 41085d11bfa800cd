//! From host and path to a route.
//!
//! The answer is identical to that of a linear scan for the best of all
//! routes that match, where better means: an exact host before a wildcard
//! host, the longer wildcard before the shorter, any wildcard before no host;
//! then the longer path; then more predicates; then one of the file before one
//! that was written out of a template; then the order of the file. A property
//! test holds the two together. What it costs does not depend on how many
//! routes there are: one look-up for each label of the host and each segment of
//! the path, no deeper than the deepest route.

use std::{hash::BuildHasher, sync::Arc};

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use http::{HeaderMap, Method};

use super::{HostPattern, Route};

/// What a request is matched by. Host and path are canonical.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a> {
    /// The host; empty if the request has none.
    pub host: &'a str,
    /// The path.
    pub path: &'a str,
    /// The method.
    pub method: &'a Method,
    /// The header fields.
    pub headers: &'a HeaderMap,
}

/// All routes, indexed.
#[derive(Debug, Default)]
pub struct Router {
    routes: Vec<Arc<Route>>,
    exact: HashMap<Box<str>, Paths, FixedState>,
    wildcard: HashMap<Box<str>, Paths, FixedState>,
    any: Paths,
}

/// The routes of one host pattern by path.
#[derive(Debug, Default)]
struct Paths {
    /// The most segments of any prefix.
    depth: usize,
    prefixes: HashTable<Prefix>,
    hasher: FixedState,
}

#[derive(Debug)]
struct Prefix {
    path: Box<str>,
    /// Places in `Router::routes`, best first.
    routes: Vec<u32>,
}

impl Router {
    /// Indexes `routes`, given in the order of the file.
    #[must_use]
    pub fn new(routes: Vec<Arc<Route>>) -> Self {
        let mut router = Self { routes, ..Self::default() };
        for (index, route) in (0..).zip(&router.routes) {
            if route.hosts().is_empty() {
                router.any.insert(route.path().as_str(), index);
            }
            for host in route.hosts() {
                let (map, key) = match host {
                    HostPattern::Exact(host) => (&mut router.exact, host),
                    HostPattern::Wildcard(suffix) => (&mut router.wildcard, suffix),
                };
                map.entry((&**key).into()).or_default().insert(route.path().as_str(), index);
            }
        }
        let every =
            router.exact.values_mut().chain(router.wildcard.values_mut()).chain([&mut router.any]);
        for prefix in every.flat_map(|paths| paths.prefixes.iter_mut()) {
            prefix.routes.dedup();
            prefix.routes.sort_by_key(|index| {
                let route = &router.routes[*index as usize];
                (std::cmp::Reverse(route.predicates()), route.template.is_some())
            });
        }
        router
    }

    /// The routes in the order of the file.
    #[must_use]
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The best route that matches.
    #[must_use]
    pub fn find(&self, lookup: &Lookup<'_>) -> Option<&Arc<Route>> {
        self.candidates(lookup.host, lookup.path)
            .find(|route| route.accepts(lookup.method, lookup.headers))
    }

    /// Every route whose host and path match, best first, predicates not yet
    /// asked. [`Self::find`] takes the first of these whose predicates hold,
    /// so an explanation that walks them cannot differ from it.
    pub fn candidates<'r, 'q>(
        &'r self,
        host: &'q str,
        path: &'q str,
    ) -> impl Iterator<Item = &'r Arc<Route>> + use<'r, 'q> {
        let exact = self.exact.get(host);
        let wildcard = (!self.wildcard.is_empty()).then(|| suffixes(host)).into_iter().flatten();
        let wildcard = wildcard.filter_map(|suffix| self.wildcard.get(suffix));
        let hosts = exact.into_iter().chain(wildcard).chain([&self.any]);
        hosts.flat_map(move |paths| paths.matching(path)).map(|index| &self.routes[*index as usize])
    }
}

impl Paths {
    fn insert(&mut self, path: &str, route: u32) {
        let depth = path.bytes().filter(|byte| *byte == b'/').count();
        self.depth = self.depth.max(depth);
        let hasher = &self.hasher;
        let entry = self.prefixes.entry(
            hasher.hash_one(path),
            |prefix| *prefix.path == *path,
            |prefix| hasher.hash_one(&*prefix.path),
        );
        let new = || Prefix { path: path.into(), routes: Vec::new() };
        entry.or_insert_with(new).into_mut().routes.push(route);
    }

    /// Routes whose prefix matches, longest prefix first.
    fn matching<'r, 'q>(&'r self, path: &'q str) -> impl Iterator<Item = &'r u32> + use<'r, 'q> {
        let longest = if self.prefixes.is_empty() { None } else { Some(self.deepest(path)) };
        std::iter::successors(longest, |prefix| Some(&prefix[..prefix.rfind('/')?]))
            .filter_map(|prefix| {
                self.prefixes.find(self.hasher.hash_one(prefix), |entry| *entry.path == *prefix)
            })
            .flat_map(|prefix| &prefix.routes)
    }

    /// `path` cut at the depth of the deepest route.
    fn deepest<'q>(&self, path: &'q str) -> &'q str {
        let mut slashes = path.bytes().enumerate().filter(|(_, byte)| *byte == b'/');
        slashes.nth(self.depth).map_or(path, |(end, _)| &path[..end])
    }
}

/// `.b.c` and `.c` for `a.b.c`.
fn suffixes(host: &str) -> impl Iterator<Item = &str> {
    host.match_indices('.').map(|(dot, _)| &host[dot..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{routing::Action, routing::RouteSettings, telemetry::RouteMetrics};

    fn router(settings: Vec<RouteSettings>) -> Router {
        let metrics = RouteMetrics::new(1);
        let routes = settings.into_iter().enumerate().map(|(index, settings)| {
            let action = Action::Redirect { to: index.to_string(), status: 308 };
            let name = index.to_string();
            let is_written_out = settings.strip_prefix;
            let route = Route::new(settings, &name, None, action, Arc::clone(&metrics));
            Arc::new(match is_written_out {
                true => route.written_out_of(Arc::default()),
                false => route,
            })
        });
        Router::new(routes.collect())
    }

    /// The definition: the best of all routes that match.
    fn scan<'a>(routes: &'a [Arc<Route>], lookup: &Lookup<'_>) -> Option<&'a Arc<Route>> {
        let host_rank = |route: &Route| {
            if route.hosts().is_empty() {
                return Some(0);
            }
            let ranks = route.hosts().iter().filter_map(|host| match host {
                HostPattern::Exact(host) => (**host == *lookup.host).then_some(usize::MAX),
                HostPattern::Wildcard(suffix) => {
                    let inner = lookup.host.len() > suffix.len();
                    (inner && lookup.host.ends_with(&**suffix)).then_some(suffix.len())
                }
            });
            ranks.max()
        };
        let rank = |(index, route): (usize, &'a Arc<Route>)| {
            let host = host_rank(route)?;
            let matches =
                route.path().matches(lookup.path) && route.accepts(lookup.method, lookup.headers);
            let order = std::cmp::Reverse(index);
            let path = route.path().as_str().len();
            let is_own = route.template.is_none();
            matches.then_some(((host, path, route.predicates(), is_own, order), route))
        };
        let best = routes.iter().enumerate().filter_map(rank).max_by_key(|(rank, _)| *rank);
        best.map(|(_, route)| route)
    }

    fn host() -> impl Strategy<Value = String> {
        "(\\*\\.)?[ab](\\.[ab]){0,2}"
    }

    fn route() -> impl Strategy<Value = RouteSettings> {
        let path = "(/[ab]{0,2}){1,4}";
        let hosts = prop::collection::vec(host(), 0..3);
        let method = prop::option::of("GET|POST");
        let header = prop::option::of("1|2");
        let rest = (method, header, any::<bool>());
        (hosts, path, rest).prop_map(|(hosts, path, (method, header, strip_prefix))| {
            let path = path.parse().expect("a prefix");
            // What is stripped is taken for written out here.
            let mut settings = RouteSettings { path, strip_prefix, ..RouteSettings::default() };
            settings.host.0.extend(hosts.iter().map(|host| host.parse().expect("a host")));
            settings.method.0.extend(method.map(|method| method.parse().expect("a method")));
            let header =
                header.map(|value| ("x".parse().expect("a name"), value.parse().expect("a value")));
            settings.header.extend(header);
            settings
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        /// 10,000 tables, 12 requests each: 120,000 cases.
        #[test]
        fn identical_to_a_linear_scan(
            settings in prop::collection::vec(route(), 0..24),
            requests in prop::collection::vec(
                ("[ab](\\.[ab]){0,3}|", "(/[ab]{0,2}){1,5}", "GET|POST|PUT", prop::option::of("1|2")),
                12,
            ),
        ) {
            let router = router(settings);
            for (host, path, method, header) in &requests {
                let mut headers = HeaderMap::new();
                if let Some(value) = header {
                    headers.insert("x", value.parse().expect("a value"));
                }
                let method: Method = method.parse().expect("a method");
                let lookup = Lookup { host, path, method: &method, headers: &headers };
                let found = router.find(&lookup).map(|route| &route.name);
                let expected = scan(router.routes(), &lookup).map(|route| &route.name);
                prop_assert_eq!(found, expected, "{} {}", host, path);
            }
        }
    }

    #[test]
    fn the_more_specific_wins_whatever_the_order() {
        let texts = [
            "path = '/'",
            "host = '*.example'",
            "host = 'shop.example'",
            "host = 'shop.example'\npath = '/api'",
            "host = 'shop.example'\npath = '/api'\nmethod = 'POST'",
            "host = '*.deep.example'",
        ];
        let router =
            router(texts.iter().map(|text| toml::from_str(text).expect("a route")).collect());
        let headers = HeaderMap::new();
        let find = |method: &Method, host, path| {
            let lookup = Lookup { host, path, method, headers: &headers };
            router.find(&lookup).map(|route| route.name.to_string())
        };
        let get = |host, path| find(&Method::GET, host, path);
        assert_eq!(get("elsewhere", "/"), Some("0".into()));
        assert_eq!(get("", "/"), Some("0".into()));
        assert_eq!(get("example", "/"), Some("0".into()));
        assert_eq!(get("a.example", "/x"), Some("1".into()));
        assert_eq!(get("a.deep.example", "/x"), Some("5".into()));
        assert_eq!(get("shop.example", "/apix"), Some("2".into()));
        assert_eq!(get("shop.example", "/api/x/y"), Some("3".into()));
        assert_eq!(find(&Method::POST, "shop.example", "/api"), Some("4".into()));
    }
}
