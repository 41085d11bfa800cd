//! One route, ready to be matched and applied.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    uri::{InvalidUri, PathAndQuery},
};

use super::{HeaderEdits, HostPattern, PathPrefix, RouteSettings};
use crate::{model::ServiceName, telemetry::RouteMetrics};

/// The place of a service in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub(super) u32);

/// What a route does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Forward to a service.
    Forward {
        /// The service.
        service: ServiceName,
        /// Its place in the table.
        slot: Slot,
    },
    /// Answer with a redirect.
    Redirect {
        /// What the rest of the path is appended to.
        to: String,
        /// 301, 302, 303, 307 or 308.
        status: u16,
    },
}

/// Header edits, parsed.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, HeaderValue)>,
}

impl Edits {
    fn new(settings: &HeaderEdits) -> Self {
        Self {
            remove: settings.remove.iter().map(super::HeaderNameText::parsed).collect(),
            set: settings.set.iter().map(|(name, value)| (name.parsed(), value.parsed())).collect(),
        }
    }

    /// Removes the fields that some would take for one that is edited: they
    /// read `_` as `-`.
    #[cold]
    pub fn remove_disguises(&self, headers: &mut HeaderMap) {
        let edited = self.remove.iter().chain(self.set.iter().map(|(name, _)| name));
        let edited: Vec<_> = edited.map(|name| name.as_str().replace('_', "-")).collect();
        let disguised = |name: &&HeaderName| {
            name.as_str().contains('_') && edited.contains(&name.as_str().replace('_', "-"))
        };
        let disguised: Vec<HeaderName> = headers.keys().filter(disguised).cloned().collect();
        for name in disguised {
            headers.remove(name);
        }
    }

    /// Removes, then sets.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
    }
}

/// One route.
#[derive(Debug)]
pub struct Route {
    /// How it is called.
    pub name: Arc<str>,
    /// Its line in the config file, if it came from one.
    pub line: Option<u32>,
    /// As configured.
    pub settings: RouteSettings,
    /// What it does.
    pub action: Action,
    /// For the whole request, in place of the service's own.
    pub timeout: Option<Duration>,
    /// Edits of the request.
    pub request_edits: Edits,
    /// Edits of the response.
    pub response_edits: Edits,
    /// What it counts, kept across tables.
    pub metrics: Arc<RouteMetrics>,
    /// The route with `{service}` that it was written out of, if it was.
    pub template: Option<Arc<RouteSettings>>,
    methods: Vec<Method>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Route {
    /// A route called `name`, in line `line` of the config file.
    #[must_use]
    pub fn new(
        settings: RouteSettings,
        name: &str,
        line: Option<u32>,
        action: Action,
        metrics: Arc<RouteMetrics>,
    ) -> Self {
        let header = settings.header.iter();
        Self {
            name: name.into(),
            line,
            action,
            timeout: settings.timeout.map(Into::into),
            request_edits: Edits::new(&settings.request_headers),
            response_edits: Edits::new(&settings.response_headers),
            metrics,
            template: None,
            methods: settings.method.0.iter().map(super::MethodName::parsed).collect(),
            headers: header.map(|(name, value)| (name.parsed(), value.parsed())).collect(),
            settings,
        }
    }

    /// The same, as one of those that `template` stands for.
    #[must_use]
    pub fn written_out_of(self, template: Arc<RouteSettings>) -> Self {
        Self { template: Some(template), ..self }
    }

    /// The hosts it serves; none means any.
    #[must_use]
    pub fn hosts(&self) -> &[HostPattern] {
        &self.settings.host.0
    }

    /// The path it serves.
    #[must_use]
    pub fn path(&self) -> &PathPrefix {
        &self.settings.path
    }

    /// How many predicates it has beside host and path.
    #[must_use]
    pub fn predicates(&self) -> usize {
        usize::from(!self.methods.is_empty()) + self.headers.len()
    }

    /// Whether its predicates hold.
    #[must_use]
    pub fn accepts(&self, method: &Method, headers: &HeaderMap) -> bool {
        (self.methods.is_empty() || self.methods.contains(method))
            && self
                .headers
                .iter()
                .all(|(name, value)| headers.get_all(name).iter().any(|found| found == value))
    }

    /// The predicate that does not hold, in words.
    #[must_use]
    pub fn refusal(&self, method: &Method, headers: &HeaderMap) -> String {
        if !self.methods.is_empty() && !self.methods.contains(method) {
            return "method differs".to_owned();
        }
        let differing = self
            .headers
            .iter()
            .find(|(name, value)| headers.get_all(name).iter().all(|found| found != value));
        differing.map_or_else(String::new, |(name, _)| format!("header {name} differs"))
    }

    /// The path that the service sees for `path`, both canonical; `None` if it
    /// is the same.
    #[must_use]
    pub fn rewrite(&self, path: &str) -> Option<String> {
        let prefix = self.settings.path.as_str();
        let stripped = match path.strip_prefix(prefix) {
            Some(rest) if self.settings.strip_prefix => rest,
            _ => path,
        };
        let added = self.settings.add_prefix.as_ref().map_or("", PathPrefix::as_str);
        if stripped.len() == path.len() && added.is_empty() {
            return None;
        }
        let slash = if stripped.starts_with('/') { "" } else { "/" };
        Some([added, slash, stripped].concat())
    }

    /// Where a redirect leads for `path`, canonical, and `query`.
    #[must_use]
    pub fn location(to: &str, prefix: &PathPrefix, path: &str, query: Option<&str>) -> String {
        let rest = path.strip_prefix(prefix.as_str()).unwrap_or(path);
        let base = if rest.starts_with('/') { to.strip_suffix('/').unwrap_or(to) } else { to };
        let (mark, query) = query.map_or(("", ""), |query| ("?", query));
        // "//host" would be another host to a browser (RFC 3986 section 4.2).
        let rest = if base.is_empty() {
            format!("/{}", rest.trim_start_matches('/'))
        } else {
            rest.to_owned()
        };
        format!("{base}{rest}{mark}{query}")
    }
}

/// `path` and the query of `target` as one.
///
/// # Errors
///
/// When they are too long together, or not valid in a target.
pub fn join(mut path: String, query: Option<&str>) -> Result<PathAndQuery, InvalidUri> {
    if let Some(query) = query {
        path.reserve_exact(query.len() + 1);
        path.push('?');
        path.push_str(query);
    }
    PathAndQuery::from_maybe_shared(Bytes::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(settings: &str) -> Route {
        let settings = toml::from_str(settings).expect("a route");
        let action = Action::Redirect { to: String::new(), status: 308 };
        Route::new(settings, "r", None, action, RouteMetrics::new(1))
    }

    #[test]
    fn prefixes_are_stripped_and_added() {
        let seen = |settings: &str, path| route(settings).rewrite(path);
        let strip = "path = '/api'\nstrip_prefix = true";
        assert_eq!(seen(strip, "/api"), Some("/".into()));
        assert_eq!(seen(strip, "/api/"), Some("/".into()));
        assert_eq!(seen(strip, "/api/x"), Some("/x".into()));
        assert_eq!(seen(strip, "/api//x"), Some("//x".into()));
        let add = "path = '/api'\nadd_prefix = '/v1'";
        assert_eq!(seen(add, "/api/x"), Some("/v1/api/x".into()));
        let both = "path = '/api'\nadd_prefix = '/v1'\nstrip_prefix = true";
        assert_eq!(seen(both, "/api"), Some("/v1/".into()));
        assert_eq!(seen(both, "/api/x"), Some("/v1/x".into()));
        assert_eq!(seen("path = '/api'", "/api/x"), None);
        assert_eq!(seen("strip_prefix = true", "/x"), None);
    }

    #[test]
    fn redirects_keep_the_rest_and_the_query() {
        let to = |to: &str, path: &str, query| {
            Route::location(to, &"/old".parse().expect("a prefix"), path, query)
        };
        assert_eq!(to("https://a/new", "/old/x", Some("q=1")), "https://a/new/x?q=1");
        assert_eq!(to("/new/", "/old/x", None), "/new/x");
        assert_eq!(to("/new", "/old", None), "/new");
        assert_eq!(to("/", "/old//evil", None), "/evil");
    }

    #[test]
    fn predicates_all_have_to_hold() {
        let route = route("method = ['GET', 'HEAD']\nheader = { X-Canary = '1' }");
        let mut headers = HeaderMap::new();
        assert_eq!(route.predicates(), 2);
        assert!(!route.accepts(&Method::GET, &headers));
        assert_eq!(route.refusal(&Method::GET, &headers), "header x-canary differs");
        headers.insert("x-canary", HeaderValue::from_static("1"));
        assert!(route.accepts(&Method::GET, &headers));
        assert!(!route.accepts(&Method::POST, &headers));
        assert_eq!(route.refusal(&Method::POST, &headers), "method differs");
    }
}
