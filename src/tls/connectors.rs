//! The connectors of all services: those that ask for the same have the same.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Connector, TlsError};
use crate::model::ClientTlsSettings;

/// The connectors of all services, by what was asked for.
#[derive(Clone, Debug, Default)]
pub struct Connectors(Arc<Mutex<HashMap<ClientTlsSettings, Connector>>>);

impl Connectors {
    /// The connector for `settings`. One that cannot be made refuses to
    /// connect, until it can be. Reads files the first time.
    #[must_use]
    pub fn of(&self, settings: &ClientTlsSettings) -> Connector {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connector) = known.get(settings) {
            return connector.clone();
        }
        let connector = Connector::load(settings.clone()).unwrap_or_else(|error| {
            tracing::error!("no TLS towards instances: {error}");
            Connector::closed(settings.clone())
        });
        known.insert(settings.clone(), connector.clone());
        connector
    }

    /// Forgets those that `are_wanted` does not name.
    pub fn keep(&self, are_wanted: impl Fn(&ClientTlsSettings) -> bool) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|settings, _| are_wanted(settings));
    }

    /// Reads all files again. Answers with what is wrong with those that stay
    /// as they were. Blocks.
    #[must_use]
    pub fn refresh(&self) -> Vec<TlsError> {
        let all: Vec<Connector> = {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.values().cloned().collect()
        };
        all.iter().filter_map(|connector| connector.refresh().err()).collect()
    }
}
