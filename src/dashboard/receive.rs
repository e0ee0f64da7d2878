//! Forms that pages send back.
//!
//! Owns: what must hold before a form does anything: an admin, a page of our own origin, a form's type, bounds, and its token; in
//! this order, and each alone stops it. In: a request with a body. Out: a whole response. Must not know: what forms do.

use super::{
    Dashboard, Missing,
    form::Form,
    layout::Frame,
    pages, refusal,
    response::{document, part, plain, see},
    route::Route,
    settings::{self, Done},
};
use crate::{
    config::grant::Role,
    whole_body::{self, Unread},
};
use bytes::Bytes;
use http::{
    HeaderName, Response, StatusCode,
    header::{CONTENT_TYPE, ORIGIN},
    request,
};
use http_body::Body;
use std::time::Duration;

/// How long a browser may take to send a form.
const DEADLINE: Duration = Duration::from_secs(30);

/// Bytes of a form: a document in the browser's spelling, and the one that it was made from.
const LARGEST: usize = 16 << 20;

/// Takes a form.
pub(super) async fn receive<B>(
    dashboard: &Dashboard,
    frame: &Frame<'_>,
    route: &Route,
    req: &request::Parts,
    body: B,
) -> Response<Bytes>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if frame.role < Role::Admin {
        return refusal(frame, &Missing::AdminsOnly);
    }
    if !is_ours(req, frame.host) {
        tracing::warn!(login = %frame.caller.login, "a form of another origin was refused");
        return plain(
            StatusCode::FORBIDDEN,
            "forms of other pages are not taken\n",
        );
    }
    let form = match read(req, body).await {
        Ok(form) => form,
        Err((status, why)) => return plain(status, why),
    };
    let holds = dashboard.tokens.hold(frame.caller, settings::token(&form));
    let done = if holds && *route == Route::NodeLogin {
        Ok(pages::login::take(&dashboard.node, frame).await)
    } else if holds {
        settings::take(dashboard, frame, route, &form).await
    } else if req.headers.contains_key(ORIGIN) && route.of_settings() && *route != Route::Check {
        settings::stale_form(dashboard, frame, route, &form).await
    } else {
        // What a browser does not vouch for is not shown either.
        return plain(
            StatusCode::FORBIDDEN,
            "this form was not made by this gateway: reload the page\n",
        );
    };
    match done {
        Ok(Done::Page(status, title, page)) => document(status, frame, title, route, &page),
        Ok(Done::Part(markup)) => part(markup),
        Ok(Done::Saved(path)) => see(&path),
        Err(missing) => refusal(frame, &missing),
    }
}

/// Whether the page that sends it is of this gateway, as far as the browser says. The server has asked the same of `Origin`.
fn is_ours(req: &request::Parts, host: &str) -> bool {
    let text = |name: &HeaderName| {
        req.headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default())
    };
    let site = HeaderName::from_static("sec-fetch-site");
    if text(&site).is_some_and(|site| site != "same-origin") {
        return false;
    }
    let mut origins = req.headers.get_all(ORIGIN).iter();
    let one = origins.next().is_none() || origins.next().is_none();
    let own = |origin: &str| {
        [("http://", ":80"), ("https://", ":443")]
            .iter()
            .any(|(scheme, port)| {
                let bare = |authority: &str| {
                    authority
                        .strip_suffix(port)
                        .unwrap_or(authority)
                        .to_ascii_lowercase()
                };
                origin
                    .strip_prefix(scheme)
                    .is_some_and(|authority| bare(authority) == bare(host))
            })
    };
    one && text(&ORIGIN).is_none_or(own)
}

/// The form, when it is one and within its bounds.
async fn read<B>(req: &request::Parts, body: B) -> Result<Form, (StatusCode, &'static str)>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let kind = req
        .headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    if !kind
        .trim()
        .eq_ignore_ascii_case("application/x-www-form-urlencoded")
    {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "this takes a form\n"));
    }
    let bytes = whole_body::read(body, LARGEST, DEADLINE)
        .await
        .map_err(|why| match why {
            Unread::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "the document is too large for a page: edit the file\n",
            ),
            Unread::BrokeOff => (StatusCode::BAD_REQUEST, "the form broke off\n"),
            Unread::Late => (
                StatusCode::REQUEST_TIMEOUT,
                "the form did not come in time\n",
            ),
        })?;
    Form::parse(&bytes).ok_or((StatusCode::BAD_REQUEST, "the form can't be read\n"))
}
