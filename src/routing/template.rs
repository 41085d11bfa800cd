//! `{service}` in the host or path of a route, which stands for the name of
//! any service.
//!
//! Nothing is matched by a template: one route is written out of it for each
//! service, and requests find those as they find any other. In a host it
//! stands for one label, as `*` does in a certificate: who may register as
//! `login.shop` must not get `login.shop.example` by that.

use super::{HostPattern, OneOrMany, PathPrefix, RouteSettings};
use crate::model::{ServiceName, matches_name};

/// What stands for the name of any service in a route.
pub(super) const ANY_SERVICE: &str = "{service}";

/// A name in the place of [`ANY_SERVICE`], to see what becomes of the rest.
pub(super) const SOME_SERVICE: &str = "service";

impl HostPattern {
    /// Whether it stands for one host for each service.
    #[must_use]
    pub fn is_template(&self) -> bool {
        self.template().is_some()
    }

    /// What is before and behind `{service}`.
    fn template(&self) -> Option<(&str, &str)> {
        match self {
            Self::Exact(host) => host.split_once(ANY_SERVICE),
            Self::Wildcard(_) => None,
        }
    }

    /// The host for `service`; none if it is not one label of a host.
    fn for_service(&self, service: &str) -> Option<Self> {
        match self.template() {
            None => Some(self.clone()),
            Some(_) if service.contains('.') => None,
            Some((before, behind)) => format!("{before}{service}{behind}").parse().ok(),
        }
    }

    /// What `{service}` would stand for, for `host` to be served.
    fn asked<'h>(&self, host: &'h str) -> Option<&'h str> {
        let (before, behind) = self.template()?;
        let name = host.strip_prefix(before)?.strip_suffix(behind)?;
        (!name.is_empty() && !name.contains('.')).then_some(name)
    }
}

impl PathPrefix {
    /// Whether it stands for one path for each service.
    #[must_use]
    pub fn is_template(&self) -> bool {
        self.as_str().contains(ANY_SERVICE)
    }

    /// The path for `service`.
    fn for_service(&self, service: &str) -> Option<Self> {
        match self.as_str().split_once(ANY_SERVICE) {
            None => Some(self.clone()),
            Some((before, behind)) => format!("{before}{service}{behind}").parse().ok(),
        }
    }

    /// What `{service}` would stand for, for `path` to be served.
    fn asked<'p>(&self, path: &'p str) -> Option<&'p str> {
        let (before, behind) = self.as_str().split_once(ANY_SERVICE)?;
        let rest = path.strip_prefix(before)?;
        let segment = rest.split('/').next().unwrap_or(rest);
        let same_segment = behind.split('/').next().unwrap_or(behind);
        let name = segment.strip_suffix(same_segment).filter(|name| !name.is_empty())?;
        self.for_service(name).is_some_and(|written| written.matches(path)).then_some(name)
    }
}

impl RouteSettings {
    /// Whether it stands for one route for each service.
    #[must_use]
    pub fn is_template(&self) -> bool {
        self.path.is_template() || self.host.0.iter().any(HostPattern::is_template)
    }

    /// Whether `{service}` may stand for `service`.
    #[must_use]
    pub fn is_meant(&self, service: &str) -> bool {
        self.services.is_empty() || self.services.iter().any(|any| matches_name(any, service))
    }

    /// The route for `service`; none if it does not lead there.
    #[must_use]
    pub fn for_service(&self, service: &ServiceName) -> Option<Self> {
        let name = service.as_str();
        if !self.is_meant(name) {
            return None;
        }
        let hosts: Vec<_> = self.host.0.iter().filter_map(|host| host.for_service(name)).collect();
        if hosts.is_empty() && !self.host.is_empty() {
            return None;
        }
        Some(Self {
            host: OneOrMany(hosts),
            path: self.path.for_service(name)?,
            service: Some(service.clone()),
            ..self.clone()
        })
    }

    /// Which service a request for `host` and `path`, both canonical, asks for
    /// by this template, whether there is one of that name or not.
    #[must_use]
    pub fn asked<'r>(&self, host: &'r str, path: &'r str) -> Option<&'r str> {
        let hosts = &self.host.0;
        let by_host = hosts.iter().find_map(|pattern| pattern.asked(host));
        if self.path.is_template() {
            let name = self.path.asked(path)?;
            let is_served = hosts.is_empty()
                || by_host == Some(name)
                || hosts.iter().any(|pattern| !pattern.is_template() && pattern.matches(host));
            return is_served.then_some(name);
        }
        by_host.filter(|_| self.path.matches(path))
    }

    /// In what of a request `{service}` is, in words.
    #[must_use]
    pub fn place_of_service(&self) -> &'static str {
        match (self.host.0.iter().any(HostPattern::is_template), self.path.is_template()) {
            (true, true) => "host and path",
            (true, false) => "host",
            (false, _) => "path",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(text: &str) -> RouteSettings {
        toml::from_str(text).expect("a route")
    }

    fn written(text: &str, service: &str) -> Option<String> {
        let service = service.parse().expect("a name");
        let route = route(text).for_service(&service)?;
        assert!(!route.is_template() && route.service == Some(service));
        let hosts: Vec<_> = route.host.0.iter().map(ToString::to_string).collect();
        Some(format!("{}{}", hosts.join(","), route.path))
    }

    #[test]
    fn what_stands_for_any_service_is_written_out() {
        let host = "host = '{service}.Internal.'";
        assert_eq!(written(host, "orders"), Some("orders.internal/".into()));
        assert_eq!(written(host, "a_b-2"), Some("a_b-2.internal/".into()));
        assert_eq!(written("path = '/svc-{service}/api/'", "a.b"), Some("/svc-a.b/api".into()));
        assert_eq!(written("path = '/{service}'", "a..b"), Some("/a..b".into()));
        let both = "host = ['{service}.a', 'fixed.b']\npath = '/x/{service}'";
        assert_eq!(written(both, "s"), Some("s.a,fixed.b/x/s".into()));
        assert_eq!(written("host = '*.b'\npath = '/{service}'", "s"), Some("*.b/s".into()));
    }

    #[test]
    fn a_name_of_several_labels_has_no_host() {
        assert_eq!(written("host = '{service}.internal'", "login.shop"), None);
        let one_of_two = "host = ['{service}.internal', 'all.internal']";
        assert_eq!(written(one_of_two, "login.shop"), Some("all.internal/".into()));
    }

    #[test]
    fn services_can_be_named_by_pattern() {
        let text = "path = '/{service}'\nservices = ['public-*', 'orders']";
        assert!(written(text, "public-a").is_some() && written(text, "orders").is_some());
        assert!(written(text, "private").is_none() && written(text, "orders2").is_none());
    }

    #[test]
    fn the_service_that_a_request_asks_for_is_read_from_it() {
        let host = route("host = '{service}.internal'\npath = '/api'");
        assert_eq!(host.asked("orders.internal", "/api/x"), Some("orders"));
        for (other, path) in [
            ("internal", "/api"),
            (".internal", "/api"),
            ("a.b.internal", "/api"),
            ("orders.internal", "/apix"),
            ("orders.other", "/api"),
        ] {
            assert_eq!(host.asked(other, path), None, "{other}{path}");
        }
        let path = route("path = '/svc/v-{service}-x/api'");
        assert_eq!(path.asked("any", "/svc/v-orders-x/api/1"), Some("orders"));
        for other in ["/svc/v-orders-x", "/svc/v--x/api", "/svc/v-orders/api", "/svc/"] {
            assert_eq!(path.asked("any", other), None, "{other}");
        }
        let both = route("host = '{service}.a'\npath = '/{service}'");
        assert_eq!(both.asked("s.a", "/s/1"), Some("s"));
        assert_eq!(both.asked("s.a", "/t"), None, "the two must agree");
        assert_eq!(route("path = '/x'").asked("any", "/x"), None);
    }
}
