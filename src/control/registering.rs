//! Registering: an instance is on disk, and whoever asked learns when every
//! worker routes to it, or what is missing.

use std::time::Duration;

use tokio::sync::SemaphorePermit;

use super::{
    Control, ControlError, RegisterRequest, fellows,
    view::{InstanceView, RegisteredView},
};
use crate::{
    model::InstanceKey,
    registry::{Registered, Until},
};

/// An instance that is registered, on disk too. What is left is to wait.
#[derive(Debug)]
#[must_use]
pub struct Registering<'a> {
    /// What the registry made of it.
    pub registered: Registered,
    control: &'a Control,
    wait: Option<Duration>,
    _place: Option<SemaphorePermit<'a>>,
}

impl Control {
    /// Registers or updates an instance.
    ///
    /// # Errors
    ///
    /// Says why it was not registered.
    pub async fn register(
        &self,
        request: RegisterRequest,
    ) -> Result<Registering<'_>, ControlError> {
        let RegisterRequest { instance, caller, wait } = request;
        if instance.service.of_source().is_some() {
            let detail =
                "what stands behind the '@' of a service is a source, and nothing registers there";
            return Err(ControlError::Invalid(detail.to_owned()));
        }
        if let Some(address) = instance.origin.address.socket_addr() {
            self.check_address(address)?;
        }
        let place = self.place_to_wait(wait)?;
        let registered = self.registry.register(instance, caller).await?;
        Ok(Registering { registered, control: self, wait, _place: place })
    }

    /// Waits until every worker routes by a table that holds the instance.
    pub(super) async fn routable(&self, key: &InstanceKey) -> Result<InstanceView, ControlError> {
        let mut published = self.shared.published.subscribe();
        loop {
            let version = published.borrow_and_update().0;
            // Many may wait, and each table wakes all of them.
            let routable = self.shared.catalog().entry(key).map(|entry| entry.routable);
            if routable.ok_or_else(|| ControlError::NotFound(key.clone()))?
                && let Some(view) = self.instance(key).filter(|view| view.routable)
            {
                // The catalog is written before the table is published.
                let version = version.max(self.settle().await);
                self.watcher.wait_for(version).await;
                return Ok(view);
            }
            published.changed().await.map_err(|_| ControlError::Closed)?;
        }
    }

    /// The workers that do not route by the current table yet.
    fn lagging(&self) -> Option<String> {
        let version = self.version();
        let lagging = self.watcher.lagging(version);
        (lagging > 0).then(|| {
            let workers = self.watcher.workers();
            format!("{lagging} of {workers} workers, to route by table {version}")
        })
    }
}

impl Registering<'_> {
    /// Waits, for as long as was asked for, until every worker routes by a
    /// table that holds the instance; here and in all other proxies that share
    /// the registry.
    ///
    /// # Errors
    ///
    /// When it is gone again.
    pub async fn end(self) -> Result<RegisteredView, ControlError> {
        let Self { registered, control, wait, .. } = self;
        let key = registered.registration.instance.key();
        control.settle().await;
        let generation = registered.registration.generation;
        let others = control.everywhere(&key, Some(generation), Until::Routable);
        let waited = match wait {
            Some(patience) => {
                let both = async {
                    // Who is not routable here ends it.
                    let (view, ()) = tokio::try_join!(control.routable(&key), async {
                        others.confirmed().await;
                        Ok::<_, ControlError>(())
                    })?;
                    Ok::<_, ControlError>(view)
                };
                control.patiently(patience, both).await.transpose()?
            }
            None => None,
        };
        let routed = waited.is_some();
        let instance = match waited {
            Some(view) => view,
            None => control.instance(&key).ok_or(ControlError::NotFound(key))?,
        };
        let (unconfirmed, elsewhere) = match wait.is_some() && !routed {
            true => fellows::unconfirmed(&others.answers()),
            false => (Vec::new(), None),
        };
        let waiting_for = (wait.is_some() && !routed).then(|| match control.lagging() {
            Some(lagging) if instance.routable => lagging,
            _ if instance.routable => elsewhere.unwrap_or_else(|| instance.why.clone()),
            _ => instance.why.clone(),
        });
        let (created, version) = (registered.created, control.version());
        Ok(RegisteredView { created, routed, waiting_for, unconfirmed, version, instance })
    }
}
