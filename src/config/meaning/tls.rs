//! Certificates, keys and CAs: that they are there, fit together, and hold for
//! some time to come.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, SystemTime},
};

use super::{Code, Config, Diagnostic};
use crate::{
    config::tree::Place,
    model::{AlpnProtocol, ClientTlsSettings, Scheme, ServerTlsSettings},
    tls::{Automatic, Connector, Facts, ServerTls, TlsError},
};

/// With less time left than this, a certificate is worth a warning.
const SOON: Duration = Duration::from_secs(14 * 86_400);

pub(super) fn check(config: &Config, top: Place<'_>, found: &mut Vec<Diagnostic>) {
    for (index, listener) in config.listener.iter().enumerate() {
        let place = top.key("listener").item(index);
        let Some(tls) = &listener.tls else { continue };
        if listener.redirect_to_https {
            let message = "a listener that speaks TLS redirects to https";
            let span = place.key("redirect_to_https").span();
            let circle = Diagnostic::new(Code::RedirectCircle, span, message);
            found.push(circle.label("clients would go in circles"));
        }
        server(tls, listener.spoken_over_tls(), place.key("tls"), found);
        automatic(config, tls, place.key("tls").key("acme"), top, found);
    }
    if let Some(tls) = &config.admin.tls {
        server(&tls.into(), &[AlpnProtocol::Http1], top.key("admin").key("tls"), found);
    }
    for (index, front) in config.front.iter().enumerate() {
        if let Some(tls) = &front.tls {
            let place = top.key("front").item(index).key("tls");
            server(&tls.into(), &[AlpnProtocol::Http1], place, found);
        }
    }
    let defaults = &config.defaults.tls;
    client(defaults, &Default::default(), false, top.key("defaults").key("tls"), found);
    for (name, service) in &config.service {
        let speaks = service.endpoints.iter().any(|origin| origin.scheme == Scheme::Https);
        let place = top.key("service").key(name.as_str()).key("tls");
        client(&service.tls, defaults, speaks, place, found);
    }
}

fn server(
    tls: &ServerTlsSettings,
    speaks: &[AlpnProtocol],
    place: Place<'_>,
    found: &mut Vec<Diagnostic>,
) {
    if place.is_damaged() {
        return;
    }
    let hosts = place.key("host");
    let rules = tls.host.iter().enumerate().map(|(index, host)| {
        (hosts.item(index), host.client_ca.is_none(), host.client_auth.is_some())
    });
    let own = (place, tls.client_ca.is_none(), tls.client_auth.is_some());
    for (place, no_ca, asks) in [own].into_iter().chain(rules) {
        if no_ca && asks {
            let span = place.key("client_auth").span();
            let message = "`client_auth` without `client_ca`";
            let missing = Diagnostic::new(Code::MissingKey, span, message)
                .label("nobody could vouch for a client")
                .help("name the file with the CA's certificate as `client_ca`");
            found.push(missing);
        }
    }
    match ServerTls::load(tls, speaks, &Automatic::default(), None) {
        Err(error) => found.push(unusable(&error, place)),
        Ok(loaded) => {
            for (index, facts) in loaded.facts().iter().enumerate() {
                certificate(facts, place.key("certificates").item(index), found);
            }
        }
    }
    for (index, pair) in tls.certificates.iter().enumerate() {
        readable_key(&pair.key, place.key("certificates").item(index).key("key"), found);
    }
}

/// That there is somebody to obtain certificates from.
fn automatic(
    config: &Config,
    tls: &ServerTlsSettings,
    place: Place<'_>,
    top: Place<'_>,
    found: &mut Vec<Diagnostic>,
) {
    if tls.acme.is_empty() || top.key("acme").is_damaged() {
        return;
    }
    let problem = match &config.acme {
        None => ("`acme` without a section [acme]", place.span()),
        Some(acme) if !acme.accept_terms => {
            ("the terms of the CA are not accepted", top.key("acme").key("accept_terms").span())
        }
        Some(acme) if acme.challenges.is_empty() => {
            ("no challenge may be used", top.key("acme").key("challenges").span())
        }
        Some(_) => return,
    };
    let (message, span) = problem;
    found.push(
        Diagnostic::new(Code::NoIssuer, span, message)
            .label("no certificate can be obtained like this")
            .help("read the terms of the CA and write accept_terms = true in [acme]"),
    );
}

fn unusable(error: &TlsError, place: Place<'_>) -> Diagnostic {
    Diagnostic::new(Code::TlsFiles, place.span(), error.to_string()).label("no TLS without it")
}

fn certificate(facts: &Facts, place: Place<'_>, found: &mut Vec<Diagnostic>) {
    let (now, file) = (SystemTime::now(), facts.path.display());
    let place = place.key("cert");
    let expires = humantime::format_rfc3339_seconds(facts.not_after);
    let message = match facts.left(now) {
        None => Some(format!("the certificate in {file} has expired: {expires}")),
        Some(_) if facts.not_before > now => {
            Some(format!("the certificate in {file} does not hold yet"))
        }
        Some(left) if left < SOON => {
            Some(format!("the certificate in {file} expires in {} days", facts.days_left(now)))
        }
        Some(_) => None,
    };
    if let Some(message) = message {
        found.push(
            Diagnostic::new(Code::CertificateTime, place.span(), message)
                .label("clients refuse it before and after its time"),
        );
    }
    if facts.names.is_empty() {
        let message = format!("the certificate in {file} has no name");
        found.push(
            Diagnostic::new(Code::CertificateNames, place.span(), message)
                .label("no subject alternative name"),
        );
    }
}

/// Warns of a key that every user of the machine can read.
fn readable_key(path: &Path, place: Place<'_>, found: &mut Vec<Diagnostic>) {
    let Ok(metadata) = fs::metadata(path) else { return };
    if metadata.mode() & 0o007 == 0 {
        return;
    }
    let message = format!("every user may use the key in {}", path.display());
    found.push(
        Diagnostic::new(Code::KeyForAll, place.span(), message)
            .label("only its owner should")
            .help(format!("chmod o= {}", path.display())),
    );
}

fn client(
    tls: &ClientTlsSettings,
    defaults: &ClientTlsSettings,
    speaks: bool,
    place: Place<'_>,
    found: &mut Vec<Diagnostic>,
) {
    let says = *tls != ClientTlsSettings::default();
    if place.is_damaged() || !(says || speaks) {
        return;
    }
    if tls.verify == Some(false) {
        let message = "certificates of instances are not verified";
        found.push(
            Diagnostic::new(Code::Unverified, place.key("verify").span(), message)
                .label("anybody in between can read and change what is sent"),
        );
    }
    let resolved = tls.resolve(defaults);
    // Without an instance that speaks TLS, nobody asks for the CAs of the
    // system.
    let names_files = resolved.ca.is_some() || resolved.cert.is_some() || resolved.key.is_some();
    if (names_files || speaks)
        && let Err(error) = Connector::load(resolved)
    {
        found.push(unusable(&error, place));
    }
    if let Some(key) = &tls.key {
        readable_key(key, place.key("key"), found);
    }
}
