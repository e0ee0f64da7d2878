//! Responses and the headers that all of them carry.
//!
//! In: a status and a body. Out: a whole response under the policy of the pages. Must not know: what the body says.

use super::{
    layout::{self, Frame},
    route::Route,
};
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION,
        REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    },
};
use maud::Markup;

/// Nothing is loaded but what we serve ourselves, and no script or style stands in a page; no frame, no foreign form.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A page as a response.
pub(super) fn document(
    status: StatusCode,
    frame: &Frame<'_>,
    title: &str,
    current: &Route,
    body: &Markup,
) -> Response<Bytes> {
    html(
        status,
        layout::page(frame, title, current, body).into_string(),
    )
}

/// A document's text as a response.
pub(super) fn html(status: StatusCode, text: String) -> Response<Bytes> {
    let mut rsp = Response::new(Bytes::from(text));
    *rsp.status_mut() = status;
    set(&mut rsp, CONTENT_TYPE, "text/html; charset=utf-8");
    rsp
}

/// A part of a page, for the script that puts it there.
pub(super) fn part(markup: Markup) -> Response<Bytes> {
    let mut rsp = Response::new(Bytes::from(markup.into_string()));
    set(&mut rsp, CONTENT_TYPE, "text/html; charset=utf-8");
    rsp
}

/// Where to look now: after a form has done something, so that a reload does not do it again.
pub(super) fn see(path: &str) -> Response<Bytes> {
    let mut rsp = plain(StatusCode::SEE_OTHER, "");
    set(&mut rsp, LOCATION, path);
    rsp
}

/// A line of text.
pub(super) fn plain(status: StatusCode, text: &'static str) -> Response<Bytes> {
    let mut rsp = Response::new(Bytes::from_static(text.as_bytes()));
    *rsp.status_mut() = status;
    set(&mut rsp, CONTENT_TYPE, "text/plain; charset=utf-8");
    rsp
}

/// A file to keep, never something that a browser would show or run.
pub(super) fn file(kind: &str, name: &str, bytes: impl Into<Bytes>) -> Response<Bytes> {
    let mut rsp = Response::new(bytes.into());
    set(&mut rsp, CONTENT_TYPE, kind);
    let name = format!("attachment; filename=\"{name}\"");
    set(&mut rsp, CONTENT_DISPOSITION, &name);
    rsp
}

/// Something that everybody gets, under an address that changes with it.
pub(super) fn asset(kind: &str, text: &'static str) -> Response<Bytes> {
    let mut rsp = Response::new(Bytes::from_static(text.as_bytes()));
    set(&mut rsp, CONTENT_TYPE, kind);
    set(
        &mut rsp,
        CACHE_CONTROL,
        "public, max-age=31536000, immutable",
    );
    rsp
}

/// The headers that every answer carries; what is not an asset is private.
///
/// Windows are separated over TLS alone: under a plain-http name browsers ignore that line, and complain of it on every page.
pub(super) fn secure(rsp: &mut Response<Bytes>, over_tls: bool) {
    set(rsp, CONTENT_SECURITY_POLICY, POLICY);
    set(rsp, X_CONTENT_TYPE_OPTIONS, "nosniff");
    // Not "no-referrer": under that a browser sends a form of ours with an origin of null, like a foreign one.
    set(rsp, REFERRER_POLICY, "same-origin");
    set(
        rsp,
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    );
    if over_tls {
        set(
            rsp,
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        );
    }
    if !rsp.headers().contains_key(CACHE_CONTROL) {
        set(rsp, CACHE_CONTROL, "no-store");
    }
}

/// Sets one of our own header lines.
pub(super) fn set(rsp: &mut Response<Bytes>, name: HeaderName, value: &str) {
    let value = HeaderValue::from_str(value).expect("invariant: our own header values are ASCII");
    rsp.headers_mut().insert(name, value);
}
