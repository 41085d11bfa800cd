//! The access log for people: what matters most in columns, the rest as
//! `key=value`.

use std::{
    fmt::Display,
    io::Write,
    time::{Duration, UNIX_EPOCH},
};

use http::Version;

use super::{
    escape::{Bare, Quoted},
    json::{lossy, millis},
    record::AccessRecord,
};

/// Appends one line.
pub(super) fn write(line: &mut Vec<u8>, record: &AccessRecord, with_query: bool) {
    // Writing to memory does not fail.
    let _ = write_line(line, record, with_query);
    line.push(b'\n');
}

fn write_line(line: &mut Vec<u8>, record: &AccessRecord, with_query: bool) -> std::io::Result<()> {
    let time = time(record);
    let duration = format!("{:.1}ms", millis(record.duration));
    let AccessRecord { status, reason, method, .. } = record;
    let method = method.as_str(); // its `Display` does not pad
    write!(line, "{time}  {status:03}  {reason:<21}  {duration:>9}  {method:<7}")?;
    write!(line, " {}://{}{}", record.scheme, Bare(&record.host), Bare(&record.path))?;
    if let Some(query) = record.query.as_deref().filter(|_| with_query) {
        write!(line, "?{}", Bare(query))?;
    }
    write!(line, " {}", protocol(record.protocol))?;
    if let Some(endpoint) = &record.endpoint {
        write!(line, " -> {} {}", endpoint.instance, endpoint.address)?;
    } else if let Some(service) = &record.service {
        write!(line, " -> {service}")?;
    }
    if let Some(route) = &record.route {
        write!(line, " route={}", Bare(route))?;
    }
    write!(line, " attempts={}", record.attempts)?;
    if let Some(retry) = record.retry {
        write!(line, " retry={retry}")?;
    }
    if let Some(status) = record.upstream_status {
        write!(line, " upstream_status={status}")?;
    }
    if record.endpoint.is_some() {
        write!(line, " reused={}", record.conn_reused)?;
    }
    if let Some(upstream) = record.upstream {
        write!(line, " upstream={:.1}ms", millis(upstream))?;
    }
    if let Some(connect) = record.connect {
        write!(line, " connect={:.1}ms", millis(connect))?;
    }
    write!(line, " in={} out={}", record.bytes_in, record.bytes_out)?;
    write!(line, " client={} peer={}", record.client, record.peer)?;
    if let Some(version) = record.tls_version {
        write!(line, " tls={version}")?;
    }
    if let Some(sni) = &record.sni {
        write!(line, " sni={}", Bare(sni))?;
    }
    if !record.request_id.is_empty() {
        write!(line, " id={}", Bare(&record.request_id))?;
    }
    if let Some(user_agent) = &record.user_agent {
        write!(line, " agent={}", Quoted(&lossy(user_agent)))?;
    }
    if let Some(referer) = &record.referer {
        write!(line, " referer={}", Quoted(&lossy(referer)))?;
    }
    Ok(())
}

/// When the request came, in UTC. A clock that is set to before 1970 or after
/// the year 9999 cannot be written down, and gives the nearest time that can.
pub(super) fn time(record: &AccessRecord) -> impl Display + use<> {
    let last = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_millis(record.time.clamp(UNIX_EPOCH, last))
}

/// As in the request line.
pub(super) fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP",
    }
}
