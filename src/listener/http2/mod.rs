//! One HTTP/2 client connection, from its preface to its last stream.
//!
//! hyper serves it, and each stream in a task of its own on this worker. Such
//! a connection cannot move to another process: its streams are in the middle
//! of something more often than not, and its compression state is not to be
//! had. It is told to go away instead, and ends with its last stream.

mod activity;
mod clock;
mod frames;
mod io;

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures_util::TryFutureExt;
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use self::{
    activity::{Activity, Streams, Tracked},
    clock::Clock,
    io::ClientIo,
};
use super::{Farewell, ListenerSettings};
use crate::{
    deadline::{Remaining, Tagged},
    model::Reason,
};

pub use frames::Abuse;

/// Streams that a client may begin and cancel before they are looked at (CVE
/// 2023-44487).
const MOST_CANCELLED_UNSEEN: usize = 20;

/// How much more of a head is read than may be: what is read is refused by us,
/// who log and count it, and what is above that by the library, which does not.
const LIST_READ: usize = 2;

/// Streams that a client may bring us to reset (CVE 2025-8671).
const MOST_BROKEN: usize = 1024;

const MAX_WINDOW: u32 = i32::MAX as u32;

/// How a connection ended.
#[derive(Debug)]
pub enum End {
    /// As it should.
    Closed,
    /// It was idle, or did not read.
    TimedOut,
    /// It began a head, or the preface, and took too long to end it.
    TimedOutInPart,
    /// The client does too much of something.
    Refused(Abuse),
    /// hyper gave up on it.
    Broken(hyper::Error),
}

impl End {
    /// What the client was refused for, if it was: by us, or by the library
    /// beneath before there was a request.
    #[must_use]
    pub fn refused_for(&self) -> Option<Reason> {
        let error = match self {
            Self::Closed | Self::TimedOut => return None,
            Self::TimedOutInPart => return Some(Reason::HeadTimeout),
            Self::Refused(_) => return Some(Reason::Flood),
            Self::Broken(error) => std::error::Error::source(error)?.downcast_ref::<h2::Error>()?,
        };
        if !error.is_library() {
            return None;
        }
        match error.reason()? {
            h2::Reason::ENHANCE_YOUR_CALM => Some(Reason::Flood),
            _ => Some(Reason::RequestInvalid),
        }
    }
}

/// Serves one connection, of which `ahead` was read already, with `service`
/// until it ends.
pub async fn serve<T, S, F, B, E>(
    stream: T,
    ahead: Bytes,
    settings: &ListenerSettings,
    service: S,
    shutdown: impl Future<Output = Farewell>,
) -> End
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Fn(Request<Incoming>) -> F,
    F: Future<Output = Result<Response<B>, E>> + 'static,
    B: Body<Data = Bytes> + Tagged + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
{
    let bounds = &settings.http2;
    let (head, idle) = (settings.head_timeout.into(), settings.idle_timeout.into());
    let activity = Activity::new(head, idle, bounds.max_cancels.get());
    let io = ClientIo { stream, ahead, activity: Rc::clone(&activity) };
    let service = service_fn(|request: Request<Incoming>| {
        let stream = activity.begin();
        let patience = activity.patience();
        service(request).map_ok(move |response| {
            let rest = response.extensions().get::<Remaining>().copied();
            stream.bound(rest, response.body().tag());
            response.map(|body| Tracked { body, stream, patience })
        })
    });
    let mut connection = builder(settings, &activity).serve_connection(TokioIo::new(io), service);
    let mut shutdown = pin!(shutdown);
    let mut told = false;
    poll_fn(|context| {
        loop {
            match Pin::new(&mut connection).poll(context) {
                Poll::Ready(ended) => {
                    return Poll::Ready(match (activity.abuse(), ended) {
                        (Some(abuse), _) => End::Refused(abuse),
                        (None, Ok(())) => End::Closed,
                        (None, Err(_)) if activity.is_closing() => End::Closed,
                        (None, Err(error)) => End::Broken(error),
                    });
                }
                Poll::Pending => {}
            }
            // Only then: a request that is there already is to be answered.
            let leaves = !told && shutdown.as_mut().poll(context).is_ready();
            told |= leaves;
            let over = activity.poll_over(context).is_ready();
            if activity.is_closing() || !(leaves || over) {
                return if over { Poll::Ready(timed_out(&activity)) } else { Poll::Pending };
            }
            if over && !activity.is_idle() {
                return Poll::Ready(timed_out(&activity));
            }
            // An idle client is told before it is left.
            activity.leave();
            Pin::new(&mut connection).graceful_shutdown();
        }
    })
    .await
}

/// How a connection ends that has been as it is for too long.
fn timed_out(activity: &Activity) -> End {
    if activity.is_in_part() { End::TimedOutInPart } else { End::TimedOut }
}

fn builder(settings: &ListenerSettings, activity: &Rc<Activity>) -> http2::Builder<Streams> {
    let bounds = &settings.http2;
    // RFC 9113 section 6.9.1 has no larger window.
    let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).clamp(1, MAX_WINDOW);
    let mut builder = http2::Builder::new(Streams(Rc::clone(activity)));
    builder
        .timer(Clock)
        .max_concurrent_streams(bounds.max_streams.get())
        .initial_stream_window_size(size(bounds.stream_window.bytes()))
        .initial_connection_window_size(size(bounds.connection_window.bytes()))
        .max_send_buf_size(size(bounds.send_buffer.bytes()) as usize)
        .max_header_list_size(size(LIST_READ.saturating_mul(bounds.max_header_list.bytes())))
        .max_pending_accept_reset_streams(MOST_CANCELLED_UNSEEN)
        .max_local_error_reset_streams(MOST_BROKEN)
        .keep_alive_interval(Duration::from(bounds.ping_interval))
        .keep_alive_timeout(bounds.ping_timeout.into())
        .enable_connect_protocol();
    builder
}
