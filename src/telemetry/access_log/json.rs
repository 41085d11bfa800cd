//! The access log for machines: one JSON object a line.
//!
//! Fields stand in one order and never change their type. What is not known is
//! left out: it makes lines shorter, and `jq` and its like read a field that
//! is not there as null.

use std::{
    borrow::Cow,
    fmt::Display,
    io::{self, Write},
    time::Duration,
};

use http::HeaderValue;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::ser::Formatter;

use super::{escape::is_treacherous, record::AccessRecord, text};

/// Appends one line.
pub(super) fn write(line: &mut Vec<u8>, record: &AccessRecord, with_query: bool) {
    let start = line.len();
    let mut serializer = serde_json::Serializer::with_formatter(&mut *line, Plain);
    match (Line { record, with_query }).serialize(&mut serializer) {
        Ok(()) => line.push(b'\n'),
        // Writing to memory does not fail, and every key is a string.
        Err(_) => line.truncate(start),
    }
}

struct Line<'a> {
    record: &'a AccessRecord,
    with_query: bool,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = self.record;
        let endpoint = record.endpoint.as_deref();
        let mut map = Fields(serializer.serialize_map(None)?);
        map.text("time", text::time(record))?;
        map.some("request_id", Some(&record.request_id).filter(|id| !id.is_empty()))?;
        map.text("client", record.client)?;
        map.text("peer", record.peer)?;
        map.some("method", Some(record.method.as_str()))?;
        map.some("scheme", Some(record.scheme))?;
        map.some("host", Some(&record.host).filter(|host| !host.is_empty()))?;
        map.some("path", Some(&record.path))?;
        map.some("query", record.query.as_ref().filter(|_| self.with_query))?;
        map.some("protocol", Some(text::protocol(record.protocol)))?;
        map.some("tls_version", record.tls_version)?;
        map.some("sni", record.sni.as_deref())?;
        map.some("status", Some(record.status))?;
        map.some("reason", Some(record.reason))?;
        map.some("route", record.route.as_deref())?;
        map.some("service", record.service.as_ref())?;
        map.some("endpoint", endpoint.map(|endpoint| &endpoint.instance.id))?;
        map.some("address", endpoint.map(|endpoint| endpoint.address.to_string()))?;
        map.some("attempts", Some(record.attempts))?;
        map.some("retry", record.retry)?;
        map.some("upstream_status", record.upstream_status)?;
        map.some("duration_ms", Some(millis(record.duration)))?;
        map.some("upstream_ms", record.upstream.map(millis))?;
        map.some("connect_ms", record.connect.map(millis))?;
        map.some("bytes_in", Some(record.bytes_in))?;
        map.some("bytes_out", Some(record.bytes_out))?;
        map.some("conn_reused", endpoint.map(|_| record.conn_reused))?;
        map.some("user_agent", record.user_agent.as_ref().map(lossy))?;
        map.some("referer", record.referer.as_ref().map(lossy))?;
        map.0.end()
    }
}

struct Fields<M>(M);

impl<M: SerializeMap> Fields<M> {
    fn some(&mut self, key: &'static str, value: Option<impl Serialize>) -> Result<(), M::Error> {
        value.map_or(Ok(()), |value| self.0.serialize_entry(key, &value))
    }

    fn text(&mut self, key: &'static str, value: impl Display) -> Result<(), M::Error> {
        self.0.serialize_entry(key, &value.to_string())
    }
}

/// Milliseconds to the microsecond.
pub(super) fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

pub(super) fn lossy(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

/// Compact JSON in which no string holds a treacherous character as itself.
/// JSON asks for that below U+0020 only.
struct Plain;

impl Formatter for Plain {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(found) = rest.find(is_treacherous) {
            let (before, after) = rest.split_at(found);
            writer.write_all(before.as_bytes())?;
            let mut chars = after.chars();
            if let Some(c) = chars.next() {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}
