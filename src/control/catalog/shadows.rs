//! One address of one service that several sources have: only one of them is
//! asked.
//!
//! `proxy.toml` counts before the registry, and that before the sources in
//! the order of the file. Who counts more has to be there: an instance that no
//! probe has passed yet, one that leaves, and one whose lease has expired let
//! the other go on, so that an instance can move from one registry to another
//! without a gap.

use std::collections::HashMap;

use super::sourced::Sources;
use crate::{
    control::{
        entry::{Entry, EntryId, ServiceEntry, Source},
        happening::Happening,
    },
    model::{Address, InstanceState, ServiceName},
};

/// Works out who stands in the shadow of whom in one service. Answers with
/// what has changed.
pub(super) fn cast(
    name: &ServiceName,
    service: &mut ServiceEntry,
    sources: &Sources,
) -> Vec<Happening> {
    let mut happened = Vec::new();
    let mut all = service.entries.keys().map(|(_, source)| source);
    let first = all.next();
    let strongest = if all.all(|source| Some(source) == first) {
        HashMap::new()
    } else {
        strongest(service, sources)
    };
    for ((id, source), entry) in &mut service.entries {
        let by = strongest.get(&entry.endpoint.address).map(|(_, strongest)| strongest);
        let by = by.filter(|by| *by != source).cloned();
        if by == entry.shadowed_by {
            continue;
        }
        happened.push(match &by {
            Some(by) => {
                let detail = format!("{} has it at the same address", by.as_str());
                Happening::new("shadowed", name, id, format!("{}: {detail}", source.as_str()))
            }
            None => {
                let detail = "nobody who counts before has it any more";
                Happening::new("unshadowed", name, id, format!("{}: {detail}", source.as_str()))
            }
        });
        entry.shadowed_by = by;
    }
    happened
}

/// Who counts most at each address.
fn strongest(
    service: &ServiceEntry,
    sources: &Sources,
) -> HashMap<Address, ((bool, usize), Source)> {
    let mut strongest: HashMap<Address, ((bool, usize), Source)> = HashMap::new();
    let there = service.entries.iter().filter(|(_, entry)| is_there(entry));
    for ((_, source), entry) in there {
        let rank = (entry.is_expired(), sources.rank(source));
        let best = strongest.entry(entry.endpoint.address.clone());
        let best = best.or_insert_with(|| (rank, source.clone()));
        if rank < best.0 {
            *best = (rank, source.clone());
        }
    }
    strongest
}

fn is_there(entry: &Entry) -> bool {
    entry.state != InstanceState::Starting && !entry.draining
}

/// The entries of a service that belong to `source`.
pub(super) fn of_source(service: &ServiceEntry, source: &Source) -> Vec<EntryId> {
    service.entries.keys().filter(|(_, of)| of == source).cloned().collect()
}
