//! The sources of the config file, as the admin API shows them, and what it
//! may ask of them.

use tokio::time::Instant;

use super::{
    Control, ControlError,
    catalog::{Catalog, SourceState},
    entry::Source,
    reconciler::Command,
    show::millis,
    view::{HeldView, RejectedView, SourceDetailView, SourceView, SourcesView},
};
use crate::sources::SourceName;

/// Instances that are named of those that are held.
const SOME: usize = 10;

/// Instances of one source that are shown at once.
const MOST: usize = 1000;

impl Control {
    /// All sources, in the order in which they count.
    #[must_use]
    pub fn sources(&self) -> SourcesView {
        SourcesView { sources: views(&self.shared.catalog()) }
    }

    /// One source with what it has.
    ///
    /// # Errors
    ///
    /// There is no such source.
    pub fn source_in_detail(&self, name: &SourceName) -> Result<SourceDetailView, ControlError> {
        let catalog = self.shared.catalog();
        let state = catalog.sources.all.get(name);
        let state = state.ok_or_else(|| ControlError::NoSource(name.clone()))?;
        let of = Source::Outside(name.clone());
        let entries = state.instances.keys().filter_map(|key| {
            catalog.services.get(&key.service)?.entries.get(&(key.id.clone(), of.clone()))
        });
        let has = entries.take(MOST).map(|entry| self.instance_view(entry)).collect();
        Ok(SourceDetailView { source: view(&catalog, name, state), has })
    }

    /// Believes the list of a source that is held. Answers with the source as
    /// it stands then.
    ///
    /// # Errors
    ///
    /// There is no such source.
    pub async fn accept(&self, source: &SourceName) -> Result<SourceView, ControlError> {
        self.source(source)?;
        self.ask(|answer| Command::Accept(source.clone(), answer)).await;
        self.source(source)
    }

    /// Has a source read all that it has again, soon.
    ///
    /// # Errors
    ///
    /// There is no such source.
    pub async fn resync(&self, source: &SourceName) -> Result<SourceView, ControlError> {
        self.source(source)?;
        self.ask(|answer| Command::Resync(source.clone(), answer)).await;
        self.source(source)
    }

    fn source(&self, name: &SourceName) -> Result<SourceView, ControlError> {
        let catalog = self.shared.catalog();
        let state = catalog.sources.all.get(name);
        let state = state.ok_or_else(|| ControlError::NoSource(name.clone()))?;
        Ok(view(&catalog, name, state))
    }
}

fn views(catalog: &Catalog) -> Vec<SourceView> {
    let mut all: Vec<_> = catalog.sources.all.iter().collect();
    all.sort_by_key(|(_, state)| state.order);
    all.into_iter().map(|(name, state)| view(catalog, name, state)).collect()
}

fn view(catalog: &Catalog, name: &SourceName, state: &SourceState) -> SourceView {
    let now = Instant::now();
    let since = |at: Instant| millis(now.duration_since(at));
    SourceView {
        source: name.to_string(),
        kind: state.kind.to_owned(),
        connected: state.is_connected(),
        instances: state.instances.len(),
        heard_ms: state.age(now).map(millis),
        listed_ms: state.listed.map(since),
        lost_ms: state.lost.as_ref().map(|lost| since(lost.since)),
        held: state.held.as_ref().map(|held| HeldView {
            missing: held.missing.len(),
            some: held.missing.iter().take(SOME).map(ToString::to_string).collect(),
            left_ms: millis(held.left(now)),
        }),
        last_error: state.last_error.as_ref().map(|(error, _)| error.clone()),
        failures: state.failures,
        rejections: state.rejections,
        rejected: state
            .rejected
            .iter()
            .map(|rejected| RejectedView {
                what: rejected.what.clone(),
                why: rejected.why.clone(),
                ago_ms: since(rejected.at),
            })
            .collect(),
        disk: catalog.sources.memory_failures.get(name).cloned(),
    }
}

/// What needs a person.
pub(super) fn complaints(catalog: &Catalog) -> Vec<String> {
    let mut sentences = Vec::new();
    let now = Instant::now();
    let span = |duration: std::time::Duration| {
        humantime::format_duration(std::time::Duration::from_secs(duration.as_secs()))
    };
    for (name, state) in &catalog.sources.all {
        if let Some(lost) = &state.lost {
            let count = state.instances.len();
            let since = span(now.duration_since(lost.since));
            let known = match state.age(now) {
                Some(age) => format!("its {count} instances stay as they were {} ago", span(age)),
                None => "nothing is known of its instances".to_owned(),
            };
            sentences.push(format!(
                "source {name} has not been reached for {since} ({}): {known}",
                lost.why
            ));
        }
        if let Some(held) = &state.held {
            sentences.push(format!(
                "source {name} lacks {} of {} instances all at once, which stay until it says so \
                 again; `portolan source accept {name}` believes it",
                held.missing.len(),
                state.instances.len()
            ));
        }
        if state.rejected.iter().any(|rejected| state.is_current(rejected)) {
            let count = state.rejected.iter().filter(|one| state.is_current(one)).count();
            sentences.push(format!(
                "source {name} has {count} entries that cannot be instances; see `portolan source list`"
            ));
        }
        if let Some(why) = catalog.sources.memory_failures.get(name) {
            sentences.push(format!("what source {name} has is not kept on disk: {why}"));
        }
    }
    sentences
}

/// The sources that readiness waits for.
pub(super) fn unheard(catalog: &Catalog) -> Vec<String> {
    let all = catalog.sources.all.iter().filter(|(_, state)| !state.is_known());
    all.map(|(name, _)| format!("the first list of source {name}")).collect()
}
