//! What changes, as server-sent events.
//!
//! The `id` of an event is `RUN-NUMBER`. A client that comes back with the
//! last one it saw gets what it missed; if that is no longer kept, or was of
//! another run, it gets `reset` and should read everything anew.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, StreamExt, stream};
use http::HeaderMap;
use tokio::sync::{
    OwnedSemaphorePermit,
    broadcast::{Receiver, error::RecvError},
};

use super::{
    problem::{Kind, Problem},
    request::Params,
    state::AdminState,
};
use crate::control::{Control, EventId, HistoryGone, Replay, view::EventView};

const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) async fn events(
    State(admin): State<AdminState>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let after = match headers.get("last-event-id") {
        Some(id) => Some(id.to_str().unwrap_or_default()),
        None => params.one("after")?,
    };
    let permit = admin.streams().try_acquire_owned().map_err(|_| {
        Problem::new(Kind::LimitReached, "too many event streams are open").retry_after(5)
    })?;
    let feed = Feed::open(admin.control().clone(), after.map(parse_id), permit);
    let events = feed.into_events().take_until(admin.closing().clone().cancelled_owned());
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive");
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

/// An id that cannot be one of ours is of a history that is gone.
fn parse_id(text: &str) -> Result<EventId, HistoryGone> {
    let parsed = text.split_once('-').and_then(|(run, number)| {
        Some(EventId { run: run.parse().ok()?, number: number.parse().ok()? })
    });
    parsed.ok_or(HistoryGone)
}

/// Where one client stands in the events.
struct Feed {
    control: Control,
    /// Absent once the control plane is gone.
    live: Option<Receiver<EventView>>,
    /// Events to send before those of `live`.
    past: VecDeque<EventView>,
    reset: bool,
    run: u64,
    /// The number of the event sent last.
    last: Option<u64>,
    _permit: OwnedSemaphorePermit,
}

impl Feed {
    fn open(
        control: Control,
        after: Option<Result<EventId, HistoryGone>>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let mut feed = Self {
            control,
            live: None,
            past: VecDeque::new(),
            reset: false,
            run: 0,
            last: None,
            _permit: permit,
        };
        let after = after.transpose();
        feed.subscribe(after);
        // Where it stands even if it is slow to read the first one.
        let seen = after.ok().flatten().filter(|seen| !feed.reset && seen.run == feed.run);
        feed.last = seen.map(|seen| seen.number);
        feed
    }

    fn subscribe(&mut self, after: Result<Option<EventId>, HistoryGone>) {
        let replay = after.and_then(|after| self.control.events_after(after));
        self.reset = replay.is_err();
        let replay = replay.or_else(|HistoryGone| self.control.events_after(None));
        self.live = None;
        if let Ok(Replay { run, past, live }) = replay {
            (self.run, self.past, self.live) = (run, past.into(), Some(live));
        }
    }

    fn into_events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut feed| async {
            let event = feed.next().await?;
            Some((Ok(event), feed))
        })
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if std::mem::take(&mut self.reset) {
                return Some(Event::default().event("reset").data("{}"));
            }
            if let Some(event) = self.past.pop_front() {
                return Some(self.sent(&event));
            }
            match self.live.as_mut()?.recv().await {
                Ok(event) if self.last.is_some_and(|last| event.number <= last) => {}
                Ok(event) => return Some(self.sent(&event)),
                Err(RecvError::Closed) => return None,
                // This client is slow; what it missed may still be kept.
                Err(RecvError::Lagged(_)) => {
                    let run = self.run;
                    let seen = self.last.map(|number| EventId { run, number });
                    self.subscribe(seen.ok_or(HistoryGone).map(Some));
                }
            }
        }
    }

    fn sent(&mut self, event: &EventView) -> Event {
        self.last = Some(event.number);
        // A view has no keys that JSON cannot have.
        let data = serde_json::to_string(event).unwrap_or_default();
        Event::default().id(format!("{}-{}", self.run, event.number)).event(&event.kind).data(data)
    }
}
