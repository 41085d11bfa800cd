//! What a worker serves a client connection with, and counts of it.

use std::{future::Future, rc::Rc};

use http::{Request, Response};
use hyper::body::Incoming;

use crate::{
    listener::http1::{self, Refusal},
    model::Reason,
    proxy::{ClientService, Proxy, ResponseBody},
};

/// The service of one client connection.
pub(super) struct Serving(pub(super) ClientService);

impl Serving {
    /// Records that hyper has refused what was let through to it.
    #[cold]
    pub(super) fn note_breach(&self, error: &hyper::Error) {
        let reason = if error.is_parse_too_large() {
            Reason::HeadTooLarge
        } else if error.is_parse() {
            Reason::RequestInvalid
        } else {
            return;
        };
        tracing::error!(%error, "a request was let through that cannot be parsed");
        drop(self.0.refuse(&Request::new(()), reason, "the request cannot be parsed"));
    }
}

impl http1::Service for Serving {
    type Body = ResponseBody;

    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<ResponseBody>> {
        self.0.answer(request)
    }

    fn refuse(&self, refusal: &Refusal) -> Response<ResponseBody> {
        let Refusal { reason, detail, request } = refusal;
        self.0.refuse(request, *reason, detail)
    }
}

/// Counts an open connection.
pub(super) struct Open {
    proxy: Rc<Proxy>,
    listener: usize,
}

impl Open {
    pub(super) fn begin(proxy: Rc<Proxy>, listener: usize) -> Self {
        proxy.metrics.worker(proxy.worker).connection_opened(listener);
        Self { proxy, listener }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.proxy.metrics.worker(self.proxy.worker).connection_closed(self.listener);
    }
}
