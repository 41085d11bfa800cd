//! `explain`: reads the question out of the query and puts it to the live
//! table.

use axum::{Json, extract::State};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};

use super::{problem::Problem, request::Params, state::AdminState};
use crate::control::{Question, view::ExplanationView};

pub(super) async fn explain(
    State(admin): State<AdminState>,
    params: Params,
) -> Result<Json<ExplanationView>, Problem> {
    Ok(Json(admin.control().explain(&question(&params)?)))
}

fn question(params: &Params) -> Result<Question, Problem> {
    let method = params.parsed("method")?.unwrap_or(Method::GET);
    let mut headers = HeaderMap::new();
    for text in params.all("header") {
        let field = text.split_once(':').and_then(|(name, value)| {
            let name: HeaderName = name.trim().parse().ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        });
        let Some((name, value)) = field else {
            let detail = format!("{text:?} is not a header; write \"Name: value\"");
            return Err(Params::refused("header", detail));
        };
        headers.append(name, value);
    }
    let url = params.one("url")?;
    let refused = |detail: String| Err(Params::refused("url", detail));
    let Some(url) = url else {
        return refused("is needed: the URL of the request to explain".to_owned());
    };
    let url = url.split_once('#').map_or(url, |(url, _)| url);
    // "shop.example/orders" is what people type.
    let with_scheme = match url {
        url if url.starts_with('/') || url.contains("://") => url.to_owned(),
        url => format!("http://{url}"),
    };
    let uri = match with_scheme.parse::<Uri>() {
        Ok(uri) => uri,
        Err(error) => {
            return refused(format!(
                "{url:?} is not a URL ({error}); percent-encode odd characters"
            ));
        }
    };
    let host = match (headers.get(header::HOST), uri.authority()) {
        // As in a real request: the field is what is routed by.
        (Some(host), _) => host.to_str().unwrap_or_default().to_owned(),
        (None, Some(authority)) => {
            let text = authority.as_str();
            text.rsplit_once('@').map_or(text, |(_, host)| host).to_owned()
        }
        (None, None) => {
            return refused(format!(
                "{url:?} has no host; write \"http://shop.example{url}\", or add header=Host:..."
            ));
        }
    };
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
    Ok(Question { method, host, target, headers })
}
