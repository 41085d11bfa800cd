//! What sources are called, and whether their settings make sense.

use std::collections::HashMap;

use crate::{config::tree::Place, sources::SourceKind};

use super::{Code, Config, Diagnostic, zero};

pub(super) fn check(config: &Config, sources: Place<'_>, found: &mut Vec<Diagnostic>) {
    let mut named = HashMap::new();
    for (index, source) in config.source.iter().enumerate() {
        let place = sources.item(index);
        let name = source.name();
        if let Some(earlier) = named.insert(name.clone(), index) {
            // Where the name was taken out, this may not be what it is called.
            let at = if place.key("name").is_there() { "name" } else { "kind" };
            if !place.is_damaged() {
                let message = format!("two sources are called \"{name}\"");
                found.push(
                    Diagnostic::new(Code::SameSource, place.key(at).span(), message)
                        .label("the second one")
                        .related(sources.item(earlier).span(), "the first one")
                        .help("give it a `name` of its own"),
                );
            }
        }
        match &source.kind {
            SourceKind::File(settings) if settings.interval.0.is_zero() => {
                found.push(zero(place.key("interval"), "an `interval`"));
            }
            _ => {}
        }
    }
}
