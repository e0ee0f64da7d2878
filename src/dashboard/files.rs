//! What pages offer as files: bodies as they passed, a request as JSON, people as CSV.
//!
//! In: an id or a selection, and who asks. Out: attachments, of the caller's scope only; what concerns others goes to the
//! audit trail. Must not know: HTML.

use super::{
    Dashboard, Missing, body, choices,
    layout::Frame,
    response::file,
    route::{Query, Side},
    scope,
    source::Scope,
    view::{Selection, Whose},
};
use crate::{
    record::RequestId,
    store::{AuditAction, capture_json, csv_text},
};
use bytes::Bytes;
use http::Response;
use serde_json::json;
use std::fmt::Write as _;

/// A captured body as it passed, never as something that a browser would show or run.
pub(super) async fn body(
    dashboard: &Dashboard,
    frame: &Frame<'_>,
    id: RequestId,
    side: Side,
) -> Result<Response<Bytes>, Missing> {
    let source = &dashboard.source;
    let record = source.record(&Scope::of(frame), id).await?;
    let record = record.ok_or(Missing::NotFound)?;
    let capture = source.capture(frame.caller, &record, frame.now).await?;
    let capture = capture.ok_or(Missing::NotFound)?;
    let (word, head, captured) = match side {
        Side::Request => ("request", capture.request_head, capture.request),
        Side::Response => ("response", capture.response_head, capture.response),
    };
    let bytes = captured.chunks.concat();
    if bytes.is_empty() {
        return Err(Missing::NotFound);
    }
    let name = format!("{id}-{word}{}", body::suffix(&head));
    Ok(file("application/octet-stream", &name, bytes))
}

/// A record with what was captured of it.
pub(super) async fn json(
    dashboard: &Dashboard,
    frame: &Frame<'_>,
    id: RequestId,
) -> Result<Response<Bytes>, Missing> {
    let source = &dashboard.source;
    let record = source.record(&Scope::of(frame), id).await?;
    let record = record.ok_or(Missing::NotFound)?;
    let capture = source.capture(frame.caller, &record, frame.now).await?;
    let capture = capture.map(|capture| capture_json(id, &capture));
    let whole = json!({ "record": record, "capture": capture });
    Ok(file(
        "application/json",
        &format!("{id}.json"),
        whole.to_string(),
    ))
}

/// The people of the adoption page, all of them, with figures that add up: tokens in ones, cost in dollars.
pub(super) async fn people(
    dashboard: &Dashboard,
    frame: &Frame<'_>,
    query: &Query,
) -> Result<Response<Bytes>, Missing> {
    const PICO_PER_MICRO: u64 = 1_000_000;
    let source = &dashboard.source;
    let selection = Selection::parse(|name| query.get(name));
    let scope = scope(dashboard, frame, &selection).await?;
    let period = selection.period();
    let view = source.adoption(&scope, selection, choices(frame), frame.now);
    let view = view.await?;
    let mut out = String::from(
        "login,requests,failed,input,cache_read,cache_write,output,cost_usd,unpriced_requests,active\n",
    );
    for person in &view.people {
        let (totals, usage) = (&person.totals, &person.totals.usage);
        let micros = totals.cost / PICO_PER_MICRO;
        let _ = writeln!(
            out,
            "{},{},{},{},{},{},{},{}.{:06},{},{}",
            csv_text(&person.login),
            totals.requests,
            totals.failed,
            usage.input,
            usage.cache_read,
            usage.cache_write.saturating_add(usage.cache_write_1h),
            usage.output,
            micros / 1_000_000,
            micros % 1_000_000,
            totals.unpriced,
            person.active_bars,
        );
    }
    if view.whose != Whose::Own {
        let detail = format!("people and their use, {}", period.label());
        let action = AuditAction::Exported;
        source.audit(frame.caller, action, "people.csv".into(), detail, frame.now);
    }
    let name = format!("aperture-people-{}.csv", period.as_str());
    Ok(file("text/csv; charset=utf-8", &name, out))
}
