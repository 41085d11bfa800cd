//! One call of a front: who makes it, what they may do, what it did. The one
//! way from a language to the registry.

use std::{
    borrow::Cow,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, StatusCode, header, request::Parts};

use super::{FrontState, refusal::Refusal, settings::FrontSettings};
use crate::{
    admin::{
        AuditEntry, Connection, Identity, Kind, Problem, Scope, Unknown, bearer, identify,
        same_origin,
    },
    control::{Control, Extent, RegisterRequest, Resident},
    model::{FrontApi, Instance, InstanceKey, Origin, ServiceName},
    registry::Caller,
};

/// The longest that an answer to one who leaves may wait.
const LONGEST_LEAVE: Duration = Duration::from_secs(60);

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) front: FrontState,
    pub(super) settings: std::sync::Arc<FrontSettings>,
    pub(super) ends: Connection,
    api: FrontApi,
    identity: Identity,
    /// The pairs of the query, decoded.
    query: Vec<(String, String)>,
    /// What it may be answered as, in lower case.
    accept: String,
    trace: Mutex<Trace>,
}

/// What a call has done, for the audit log.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace {
    target: Option<InstanceKey>,
    before: Option<u64>,
    after: Option<u64>,
    /// Whether anything was written.
    wrote: bool,
}

impl Call {
    /// A call in the language `api` by a request that came with `parts`.
    ///
    /// # Errors
    ///
    /// When it is not meant for us, or it is not known who asks.
    pub(super) fn of(
        front: &FrontState,
        api: FrontApi,
        ends: Connection,
        parts: &Parts,
    ) -> Result<Self, Refusal> {
        let settings = front.settings();
        from_a_program(front, &settings, ends, parts)?;
        let query = parts.uri.query().unwrap_or_default();
        let query: Vec<(String, String)> =
            query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect();
        let refused = |unknown| unidentified(front, api, ends, unknown);
        // Where everybody may do everything, passwords are for somebody else.
        let secret = match settings.token.is_empty() {
            true => None,
            false => secret(&parts.headers, &query).map_err(refused)?,
        };
        let identity =
            identify(&settings.token, settings.insecure, front.reach(), secret.as_deref())
                .map_err(refused)?;
        let accept = parts.headers.get_all(header::ACCEPT).iter();
        let accept: Vec<_> =
            accept.map(|field| String::from_utf8_lossy(field.as_bytes())).collect();
        let accept = accept.join(",").to_ascii_lowercase();
        let (front, trace) = (front.clone(), Mutex::default());
        Ok(Self { front, settings, ends, api, identity, query, accept, trace })
    }

    /// Whether `Accept` names `kind`.
    pub(super) fn accepts(&self, kind: &str) -> bool {
        self.accept.contains(kind)
    }

    /// The first value of a parameter of the query.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.params().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The parameters of the query, without a token.
    pub(super) fn params(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.query.iter().filter(|(name, _)| name != "token");
        pairs.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(super) fn control(&self) -> &Control {
        self.front.control()
    }

    /// How the audit log calls who asks.
    pub(super) fn who(&self) -> &str {
        self.identity.name()
    }

    /// The machine that calls, as Consul would call it: its address.
    pub(super) fn node(&self) -> String {
        self.ends.peer.ip().to_canonical().to_string()
    }

    /// What is registered under `key`, in this language or another.
    pub(super) fn registered(&self, key: &InstanceKey) -> Option<Resident> {
        self.control().registered(key)
    }

    /// Which instances are shown.
    pub(super) fn extent(&self) -> Extent {
        if self.settings.read_all { Extent::All } else { Extent::Registered }
    }

    /// On whose behalf instances of `service` are changed.
    ///
    /// # Errors
    ///
    /// When the token does not allow it.
    pub(super) fn caller(&self, service: &ServiceName) -> Result<Caller, Refusal> {
        Ok(self.identity.caller(service)?)
    }

    /// Whether what is registered may be read.
    ///
    /// # Errors
    ///
    /// When it may not.
    pub(super) fn may_read(&self) -> Result<(), Refusal> {
        if !self.settings.read {
            let text = "this front takes registrations; what is registered is read where \
                        `read = true` is set in its [[front]]";
            return Err(Refusal::new(StatusCode::FORBIDDEN, text));
        }
        Ok(self.identity.need(Scope::Read)?)
    }

    /// Names the instance that the call is about.
    pub(super) fn about(&self, key: &InstanceKey) {
        let before = self.registered(key).map(|resident| resident.generation);
        *self.trace() = Trace { target: Some(key.clone()), before, after: before, wrote: false };
    }

    /// Registers `instance`, or what has changed of it, and waits until it is
    /// in the catalog.
    ///
    /// # Errors
    ///
    /// When the caller may not, or it cannot be taken as it is.
    pub(super) async fn register(&self, instance: Instance) -> Result<(), Refusal> {
        let key = instance.key();
        let caller = self.caller(&key.service)?;
        let before = self.registered(&key);
        // Who changes its status may be another than who registers it.
        if before.as_ref().is_none_or(|before| before.instance.origin != instance.origin) {
            self.may_be_at(&instance.origin)?;
        }
        let request = RegisterRequest { instance, caller, wait: None };
        let registering = self.control().register(request).await?;
        let made = &registering.registered;
        let generation = Some(made.registration.generation);
        self.wrote_down(generation, made.changed);
        registering.end().await?;
        Ok(())
    }

    fn wrote_down(&self, generation: Option<u64>, changed: bool) {
        let mut trace = self.trace();
        (trace.after, trace.wrote) = (generation, changed);
    }

    fn may_be_at(&self, origin: &Origin) -> Result<(), Refusal> {
        Ok(self.identity.may_register_at(origin, self.ends.peer.ip())?)
    }

    /// Notes a sign of life. False if there is no such instance.
    ///
    /// # Errors
    ///
    /// When it is somebody else's.
    pub(super) fn renew(&self, key: &InstanceKey) -> Result<bool, Refusal> {
        let caller = self.caller(&key.service)?;
        match self.control().heartbeat(key, None, &caller) {
            Ok(_) => Ok(true),
            Err(crate::control::ControlError::NotFound(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes an instance out, and waits for a while until what it has in flight
    /// is finished. False if there is none.
    ///
    /// # Errors
    ///
    /// When it is somebody else's, or the store cannot be written.
    pub(super) async fn leave(&self, key: &InstanceKey) -> Result<bool, Refusal> {
        let caller = self.caller(&key.service)?;
        let wait = Duration::from(self.settings.leave_wait).min(LONGEST_LEAVE);
        let leave = self.control().deregister(key, None, &caller, Some(wait)).await?;
        self.trace().after = None;
        Ok(leave.end().await.found)
    }

    /// The line of the audit log for a change called `what`.
    pub(super) fn entry(&self, what: &'static str) -> AuditEntry {
        let Trace { target, before, after, .. } = self.trace().clone();
        let target = target.map(|key| key.to_string()).unwrap_or_default();
        AuditEntry { target: AuditEntry::bounded(&target), before, after, ..self.blank(what) }
    }

    /// Whether it has changed what is written down.
    pub(super) fn wrote(&self) -> bool {
        self.trace().wrote
    }

    fn blank(&self, what: &'static str) -> AuditEntry {
        blank(self.api, self.ends, self.who().to_owned(), what)
    }

    fn trace(&self) -> MutexGuard<'_, Trace> {
        // Nothing in it is left half done by a panic.
        self.trace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The line of the audit log for a change that nobody has made yet.
pub(super) fn blank(
    api: FrontApi,
    ends: Connection,
    who: String,
    what: &'static str,
) -> AuditEntry {
    AuditEntry {
        time: AuditEntry::now(),
        who,
        from: ends.peer.to_string(),
        what,
        front: Some(api),
        target: String::new(),
        status: 0,
        problem: None,
        before: None,
        after: None,
        lost: 0,
    }
}

/// Keeps web pages away: no client of these languages is one.
fn from_a_program(
    front: &FrontState,
    settings: &FrontSettings,
    ends: Connection,
    parts: &Parts,
) -> Result<(), Refusal> {
    let headers = &parts.headers;
    if headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site") {
        let text = "a web page sent this, and none may register here";
        return Err(Problem::new(Kind::CrossOrigin, text).into());
    }
    if front.reach() == crate::admin::Reach::Loopback {
        // Whose reach is this machine, a page could have its browser reach.
        let allowed = &settings.allowed_hosts;
        same_origin::check(headers, &parts.uri, ends.local, allowed)?;
    }
    Ok(())
}

fn unidentified(front: &FrontState, api: FrontApi, ends: Connection, unknown: Unknown) -> Refusal {
    if !front.attempts().count(ends.peer.ip(), Instant::now()) {
        let text = "too many failed authentications from your address in the last minute";
        return Problem::new(Kind::TooManyAttempts, text).into();
    }
    let text = match unknown {
        Unknown::NoToken => "a token is needed; see [[front.token]]",
        Unknown::BadToken => "the token is not known here",
    };
    let refusal = Refusal::from(Problem::new(Kind::Unauthorized, text));
    match api {
        FrontApi::Eureka => refusal,
        // What its clients know.
        FrontApi::Consul => Refusal {
            status: StatusCode::FORBIDDEN,
            text: format!("Permission denied: {text}"),
            ..refusal
        },
    }
}

/// The token, by whichever of the ways that clients have: one, or all the same.
fn secret(headers: &HeaderMap, query: &[(String, String)]) -> Result<Option<Vec<u8>>, Unknown> {
    let mut found: Option<Vec<u8>> = None;
    let mut add = |secret: Vec<u8>| match &found {
        Some(known) if *known != secret => Err(Unknown::BadToken),
        _ => {
            found = Some(secret);
            Ok(())
        }
    };
    for field in headers.get_all(header::AUTHORIZATION) {
        let field = field.as_bytes();
        let secret = bearer(field).map(<[u8]>::to_vec).or_else(|| password(field));
        add(secret.ok_or(Unknown::BadToken)?)?;
    }
    for field in headers.get_all("x-consul-token") {
        if !field.is_empty() {
            add(field.as_bytes().to_vec())?;
        }
    }
    for (_, value) in query.iter().filter(|(name, value)| name == "token" && !value.is_empty()) {
        add(value.clone().into_bytes())?;
    }
    Ok(found)
}

/// The password of Basic authentication (RFC 7617), or the user if there is
/// none.
fn password(field: &[u8]) -> Option<Vec<u8>> {
    let (scheme, encoded) = field.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let pair = BASE64_STANDARD.decode(encoded.trim_ascii()).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    let (user, password) = (&pair[..colon], &pair[colon + 1..]);
    let secret = if password.is_empty() { user } else { password };
    (!secret.is_empty()).then(|| secret.to_vec())
}

fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (decoded(name), decoded(value))
}

fn decoded(text: &str) -> String {
    let text = text.replace('+', " ");
    let text = percent_encoding::percent_decode_str(&text).decode_utf8_lossy();
    match text {
        Cow::Borrowed(text) => text.to_owned(),
        Cow::Owned(text) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(
        fields: &[(&'static str, &str)],
        query: &[(&str, &str)],
    ) -> Result<Option<String>, Unknown> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().expect("a value"));
        }
        let query: Vec<_> = query.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
        Ok(secret(&headers, &query)?.map(|secret| String::from_utf8(secret).expect("text")))
    }

    #[test]
    fn a_token_comes_by_each_of_the_ways_that_clients_have() {
        let token = Ok(Some("s3cret".to_owned()));
        assert_eq!(told(&[("authorization", "Bearer s3cret")], &[]), token);
        assert_eq!(told(&[("authorization", "basic dXNlcjpzM2NyZXQ=")], &[]), token);
        assert_eq!(told(&[("authorization", "Basic czNjcmV0Og==")], &[]), token);
        assert_eq!(told(&[("x-consul-token", "s3cret")], &[]), token);
        assert_eq!(told(&[], &[("token", "s3cret"), ("wait", "1s")]), token);
        let both = [("x-consul-token", "s3cret")];
        assert_eq!(told(&both, &[("token", "s3cret")]), token);
        assert_eq!(told(&both, &[("token", "other")]), Err(Unknown::BadToken));
        assert_eq!(told(&[("x-consul-token", "")], &[("token", "")]), Ok(None));
        assert_eq!(told(&[], &[]), Ok(None));
        for odd in ["Basic", "Basic ?", "Basic Og==", "Digest x", "Bearer "] {
            assert_eq!(told(&[("authorization", odd)], &[]), Err(Unknown::BadToken), "{odd}");
        }
    }

    #[test]
    fn a_query_is_decoded() {
        assert_eq!(pair("a%20b=c+d%26"), ("a b".to_owned(), "c d&".to_owned()));
        assert_eq!(pair("enable"), ("enable".to_owned(), String::new()));
    }
}
