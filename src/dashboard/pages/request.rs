//! `/ui/requests/<id>`: one record in full, with what was captured of its heads and bodies.

use crate::{
    dashboard::{
        body::{self, Shown},
        chart, format,
        layout::{self, Frame},
        route::{Route, Side},
        view::{RequestPage, Totals},
    },
    record::{Capture, CaptureMode, CapturedBody, CostState, Record, Timings, UsageState},
};
use maud::{Markup, html};
use std::fmt::Write as _;

/// Tool calls that are listed.
const TOOLS_SHOWN: usize = 200;

/// The page.
pub(in crate::dashboard) fn render(frame: &Frame<'_>, view: &RequestPage) -> Markup {
    let record = &view.record;
    html! {
        nav.trail aria-label="Trail" {
            a href=(Route::Logs.path()) { "Logs" }
            @if let Some(session) = record.session {
                " / " a href=(Route::Session(session).path()) { "session" }
            }
            " / request"
        }
        h1.text { bdi { (format::clip(&record.path, 120)) } " " (layout::end(record)) }
        p.actions {
            @if let Some(session) = record.session {
                a href={ (Route::Session(session).path()) "#" (record.id) } { "In its conversation" }
            }
            a href=(Route::Json(record.id).path()) download { "Download as JSON" }
            @if view.capture.is_some() { a href="#curl" { "As a curl command" } }
        }
        div.columns {
            section { h2 { "Request" } (facts(record)) }
            section { h2 { "Use" } (usage(record)) (timings(&record.timings)) }
        }
        @if !record.tools.is_empty() { section { h2 { "Tools" } (tools(record)) } }
        (captured(frame, view))
    }
}

fn text(name: &str, value: Option<&str>) -> Markup {
    html! {
        @if let Some(value) = value.filter(|value| !value.is_empty()) {
            div { dt { (name) } dd { bdi { (format::clip(value, 200)) } } }
        }
    }
}

fn facts(record: &Record) -> Markup {
    let who = &record.who;
    let node = match (who.node_name.as_str(), who.node.as_str()) {
        ("", node) => node.to_owned(),
        (name, "") => name.to_owned(),
        (name, node) => format!("{name} ({node})"),
    };
    let client = format!("{} {}", record.client.name, record.client.version);
    html! {
        dl.facts.rows {
            div { dt { "Id" } dd.id { (record.id) } }
            div { dt { "Began" } dd { time datetime=(format::iso(record.started)) { (format::time(record.started)) } } }
            div { dt { "User" } dd { bdi { (format::shown(&who.login)) } span.muted { " " bdi { (format::clip(&who.user, 80)) } } } }
            (text("Node", Some(&node)))
            (text("Tags", Some(&who.tags.join(", "))))
            (text("Client", Some(client.trim())))
            (text("Model asked", record.model_asked.as_deref()))
            (text("Model routed", record.model.as_deref()))
            (text("Model served", record.model_served.as_deref()))
            (text("Provider", record.provider.as_deref()))
            (text("Provider's id", record.provider_request_id.as_deref()))
            (text("Allowed by", record.grant.as_deref()))
            (text("Endpoint", Some(record.endpoint.as_str())))
            div { dt { "Kind" } dd { @if record.streamed { "stream" } @else { "single response" } } }
            div { dt { "End" } dd { (layout::end(record)) } }
            (text("Failure", record.failure.as_deref()))
            (text("Stop reason", record.stop_reason.as_deref()))
            @if let Some(session) = record.session {
                div { dt { "Session" } dd.id { a href=(Route::Session(session).path()) { (session) } } }
            }
            @if let Some(parent) = record.parent_session {
                div { dt { "Started by" } dd.id { a href=(Route::Session(parent).path()) { (parent) } } }
            }
            (text("Agent", record.agent.as_deref()))
        }
    }
}

fn usage(record: &Record) -> Markup {
    let usage = &record.usage;
    let rows = [
        ("Input", usage.input),
        ("From cache", usage.cache_read),
        ("Into cache", usage.cache_write),
        ("Into cache, one hour", usage.cache_write_1h),
        ("Output", usage.output),
        ("of it reasoning", usage.reasoning),
        ("Audio in", usage.audio_input),
        ("Images in", usage.image_input),
        ("Audio out", usage.audio_output),
        ("Images out", usage.image_output),
        ("Web searches", usage.web_searches),
        ("Web fetches", usage.web_fetches),
        ("File searches", usage.file_searches),
        ("Other calls of the provider's tools", usage.server_tools),
    ];
    let state = match record.usage_state {
        UsageState::None => "The provider reported no tokens.",
        UsageState::Reported => "As the provider reported them at the end.",
        UsageState::Partial => "The stream ended early: counted up to there.",
        UsageState::Estimated => "The stream ended early, before the provider stated any tokens.",
        UsageState::Unknown => "The response could not be read, so tokens are not known.",
    };
    let always = ["Input", "Output"];
    html! {
        dl.facts.rows {
            @for (name, n) in rows {
                @if n > 0 || always.contains(&name) { div { dt { (name) } dd.num { (format::count(n)) } } }
            }
            div { dt { "Cost" } dd.num { (layout::cost(&Totals::of(record))) } }
            @if !record.cost.basis.is_empty() {
                (text("Priced as", Some(&record.cost.basis)))
            }
            (text("Price table", Some(&record.cost.prices)))
            div { dt { "Request body" } dd.num { (format::bytes(record.bytes.request)) } }
            div { dt { "Response body" } dd.num { (format::bytes(record.bytes.response)) } }
        }
        p.note { (state) }
        @if let Some(estimate) = &record.estimate {
            p.note {
                "By the bytes that passed, about "
                @if estimate.input > 0 { (format::count(estimate.input)) " tokens in and " }
                (format::count(estimate.output)) " out were used beyond that"
                @match estimate.cost.state {
                    CostState::Priced => { ", for about " (format::dollars(estimate.cost.pico)) }
                    CostState::Unpriced => { ", at an unknown price" }
                    CostState::None => {}
                }
                ". That estimate is in no sum of tokens or cost."
            }
        }
    }
}

/// Where the time went, as a line of four stretches and in words.
fn timings(timings: &Timings) -> Markup {
    let marks = [
        ("gateway", "sent", timings.sent_us),
        ("head", "head", timings.head_us),
        ("wait", "first byte", timings.first_byte_us),
        ("stream", "end", timings.total_us),
    ];
    let all = timings.total_us;
    html! {
        @if all > 0 {
            h3 { "Time" }
            svg.timeline viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label="Where the time went" {
                @let ends: Vec<u64> = marks.iter().map(|(.., at)| chart::share(*at, all, 1_000)).collect();
                @for (at, (class, ..)) in marks.iter().enumerate() {
                    @let from = ends[..at].iter().copied().max().unwrap_or_default();
                    @if ends[at] > from {
                        rect class=(class) x=(from) y="0" width=(ends[at] - from) height="10" {}
                    }
                }
            }
            dl.facts.rows {
                @for (class, name, at) in marks {
                    @if at > 0 { div { dt { span class={ "key " (class) } {} (name) } dd.num { (format::duration(at)) } } }
                }
            }
        }
    }
}

fn tools(record: &Record) -> Markup {
    html! {
        (layout::table(
            "Tools",
            &html! {
                th scope="col" { "Tool" }
                th scope="col" { "What" }
                th.num scope="col" { "Arguments" }
                th.opt scope="col" { "Call" }
            },
            &html! {
                @for call in record.tools.iter().take(TOOLS_SHOWN) {
                    tr {
                        td { bdi.tool { (format::clip(&call.name, 80)) } }
                        td {
                            @match call.result_error {
                                None => "called",
                                Some(false) => "result",
                                Some(true) => span.bad { "result: error" },
                            }
                        }
                        td.num { @if call.result_error.is_none() { (format::bytes(call.argument_bytes)) } }
                        td.opt.id { (format::clip(&call.call, 60)) }
                    }
                }
            },
        ))
        @if record.tools.len() > TOOLS_SHOWN {
            p.note { (format::count((record.tools.len() - TOOLS_SHOWN) as u64)) " more are not listed." }
        }
    }
}

fn captured(frame: &Frame<'_>, view: &RequestPage) -> Markup {
    let record = &view.record;
    let Some(capture) = &view.capture else {
        let why = match (&record.capture_lost, record.capture) {
            (Some(why), _) => format!("The bodies were not kept: {}.", format::clip(why, 120)),
            (None, CaptureMode::Full) if record.end == crate::record::End::InFlight => {
                "The bodies are kept when the request has ended.".into()
            }
            (None, CaptureMode::Full) => {
                "No bodies are kept of this request (too old, or there was no room).".into()
            }
            (None, CaptureMode::Metadata | CaptureMode::None) => {
                "Bodies are not captured for this provider or grant.".into()
            }
        };
        return html! { section { h2 { "Captured" } (layout::nothing(&why)) } };
    };
    let others = *record.who.user != *frame.caller.user;
    html! {
        @if others { p.note.audit { "These are another person's texts: that you opened them is in the audit trail." } }
        (side(record, capture, Side::Request))
        (side(record, capture, Side::Response))
        @if let Some(why) = &record.capture_lost { p.note { "Not all was kept: " (format::clip(why, 120)) "." } }
        section #curl {
            h2 { "As a curl command" }
            (layout::copyable("curl-text", &curl(frame.base, record, capture)))
            p.note { "It holds no key: the gateway knows who asks, and adds the provider's credential itself." }
        }
    }
}

/// The request again, as a command. Only header lines that say how to read it go along, never one that could hold a secret.
fn curl(base: &str, record: &Record, capture: &Capture) -> String {
    const PLAIN: [&str; 6] = [
        "content-type",
        "content-encoding",
        "accept",
        "anthropic-version",
        "anthropic-beta",
        "openai-beta",
    ];
    const INLINE: usize = 6 << 10;
    let (method, path) = record
        .path
        .split_once(' ')
        .unwrap_or(("POST", &record.path));
    let mut out = format!(
        "curl -sS -X {} {}",
        quoted(method),
        quoted(&format!("{base}{path}"))
    );
    for (name, value) in capture.request_head.iter() {
        if PLAIN.iter().any(|plain| name.eq_ignore_ascii_case(plain)) {
            out.push_str(" \\\n  -H ");
            out.push_str(&quoted(&format!("{name}: {value}")));
        }
    }
    let body = capture.request.chunks.concat();
    match String::from_utf8(body) {
        Ok(text) if text.is_empty() => {}
        Ok(text) if text.len() <= INLINE && !capture.request.truncated => {
            out.push_str(" \\\n  --data-binary ");
            out.push_str(&quoted(&text));
        }
        Ok(_) | Err(_) => {
            let name = body::suffix(&capture.request_head);
            let _ = write!(out, " \\\n  --data-binary @{}-request{name}", record.id);
        }
    }
    out
}

/// One word of a shell, whatever is in it.
fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:@".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

fn side(record: &Record, capture: &Capture, side: Side) -> Markup {
    let (title, head, captured): (_, _, &CapturedBody) = match side {
        Side::Request => (
            "Sent by the client",
            &capture.request_head,
            &capture.request,
        ),
        Side::Response => ("Answered", &capture.response_head, &capture.response),
    };
    let kept: u64 = captured.chunks.iter().map(|chunk| chunk.len() as u64).sum();
    html! {
        section {
            h2 { (title) }
            details.lines open[head.len() <= 12] {
                summary { (format::plural(head.len() as u64, "header line", "header lines")) }
                (layout::table(
                    "Header lines",
                    &html! { th scope="col" { "Name" } th scope="col" { "Value" } },
                    &html! {
                        @for (name, value) in head.iter() {
                            tr { th.id scope="row" { (format::clip(name, 80)) } td.id { bdi { (format::clip(value, 400)) } } }
                        }
                    },
                ))
            }
            @match body::show(captured, head) {
                Shown::Empty => (layout::nothing("No body.")),
                Shown::Opaque(why) => p.note { "The body is not shown: " (why) "." },
                Shown::Text { text, cut, framed } => {
                    pre.body tabindex="0" role="region" aria-label={ (title) ", body" } dir="auto" { (format::shown(&text)) }
                    @if framed { p.note { "Binary frames, shown as the events in them." } }
                    @if cut { p.note { "Only the first " (format::bytes(body::SHOWN_BYTES as u64)) " are shown." } }
                }
            }
            @if kept > 0 {
                p.note {
                    a href=(Route::Body(record.id, side).path()) download { "Download the body" }
                    ", " (format::bytes(kept)) " as it passed"
                    @if captured.truncated {
                        "; it was cut there, and had " (format::bytes(captured.size))
                    }
                    "."
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{endpoint::Endpoint, record::RequestId};

    #[test]
    fn a_command_is_one_command_and_holds_no_secret() {
        let mut record = Record::new(RequestId(1), Endpoint::AnthropicMessages);
        record.path = "POST /v1/messages?x='; rm -rf ~".into();
        let head = [
            ("Content-Type", "application/json"),
            ("authorization", "Bearer secret"),
            ("x-api-key", "secret"),
            ("cookie", "secret"),
            ("anthropic-beta", "a,b $(id)"),
        ];
        let mut capture = Capture {
            request_head: head.into_iter().collect(),
            ..Capture::default()
        };
        capture.request.chunks = vec!["{\"text\":\"it's `id` $HOME\"}".into()];
        let command = curl("http://ai", &record, &capture);
        assert!(!command.contains("secret"), "{command}");
        let expected = "curl -sS -X POST 'http://ai/v1/messages?x='\\''; rm -rf ~' \\\n  \
            -H 'Content-Type: application/json' \\\n  -H 'anthropic-beta: a,b $(id)' \\\n  \
            --data-binary '{\"text\":\"it'\\''s `id` $HOME\"}'";
        assert_eq!(command, expected);
        capture.request.chunks = vec![vec![b'x'; 10_000].into()];
        let command = curl("http://ai", &record, &capture);
        assert!(
            command.ends_with("--data-binary @req_00000000000000000000000000000001-request.json")
        );
    }
}
