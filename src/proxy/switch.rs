//! The head of an instance's answer, and whether it agrees to speak another
//! protocol from here on.

use http::{
    HeaderValue, Response, StatusCode, Version,
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, UPGRADE, VIA},
};
use hyper::upgrade::OnUpgrade;

use super::{failure::Failure, headers, pseudo, websocket::Asked};
use crate::{model::Reason, upstream::Incoming};

/// Cleans the head of an answer. A switch of protocols counts only if the
/// client asked for it and the instance names the same one (RFC 9110 section
/// 7.8); any other 101 is a breach.
pub(super) fn accept(
    response: &mut Response<Incoming>,
    client: Option<OnUpgrade>,
    asked: Option<Asked>,
) -> Result<Option<OnUpgrade>, Failure> {
    let switching = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let to_websocket = response
        .headers()
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    headers::to_client(response.headers_mut());
    // RFC 9110 section 7.6.3.
    let via = pseudo::via(response.version());
    response.headers_mut().append(VIA, via);
    *response.version_mut() = Version::HTTP_11;
    if !switching {
        // By CONNECT it would be an agreement (RFC 9110 section 9.3.6).
        if asked.is_some() && response.status().is_success() {
            let detail = "the instance answered, and did not switch protocols";
            return Err(Failure::new(Reason::UpstreamProtocolError, detail));
        }
        return Ok(None);
    }
    if client.is_none() || !to_websocket {
        let detail = "the instance switched to a protocol that was not asked for";
        return Err(Failure::new(Reason::UpstreamProtocolError, detail));
    }
    if let Some(asked) = asked {
        if !asked.is_answered(response.headers()) {
            let detail = "the instance does not speak the protocol that it switched to";
            return Err(Failure::new(Reason::UpstreamProtocolError, detail));
        }
        response.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
        *response.status_mut() = StatusCode::OK;
        return Ok(client);
    }
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    Ok(client)
}
