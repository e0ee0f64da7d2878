//! The turns of a session as a conversation: who said what, with which tools, how long it took and what it cost.

use super::session::cache_miss;
use crate::{
    dashboard::{
        body, chart, format,
        layout::{self, Frame},
        route::Route,
        talk::{Call, Image, Outcome, Part, Text, Turn},
        view::Totals,
    },
    record::{End, Record},
};
use maud::{Markup, html};
use std::borrow::Cow;

/// Characters of a call's arguments that its line shows.
const GIST: usize = 90;

/// All turns; those of a sub-agent that follow each other are set apart together.
pub(in crate::dashboard) fn render(frame: &Frame<'_>, turns: &[Turn]) -> Markup {
    let others = turns
        .iter()
        .any(|turn| *turn.record.who.user != *frame.caller.user);
    let by_agent = turns.chunk_by(|a, b| a.record.agent == b.record.agent);
    html! {
        @if others { p.note.audit { "These are another person's texts: that you opened them is in the audit trail." } }
        div.talk {
            @for group in by_agent {
                @match group[0].record.agent.as_deref() {
                    None => @for turn in group { (one(turn)) },
                    Some(agent) => {
                        details.agent open {
                            summary {
                                "Sub-agent " bdi.id { (format::clip(agent, 60)) }
                                span.muted { " · " (format::plural(group.len() as u64, "request", "requests")) }
                            }
                            @for turn in group { (one(turn)) }
                        }
                    }
                }
            }
        }
    }
}

fn one(turn: &Turn) -> Markup {
    let record = &turn.record;
    html! {
        @if let Some(system) = &turn.system {
            details.turn.system {
                summary { "System prompt" span.muted { " · " (format::count(system.chars().count() as u64)) " characters" } }
                div.said { (format::shown(system)) }
            }
        }
        @if !turn.asked.is_empty() {
            div.turn.user {
                p.speaker {
                    "User"
                    @if turn.earlier > 0 && turn.system.is_some() {
                        span.muted { " · " (format::plural(turn.earlier as u64, "earlier message", "earlier messages")) " sent along" }
                    }
                }
                (parts(&turn.asked))
            }
        }
        @if turn.again { p.muted { "The same was asked again." } }
        article.turn.model id=(record.id) data-stop tabindex="-1" {
            (speaker(record))
            @if let Some(miss) = &record.cache_miss { p.mark { (cache_miss(miss)) } }
            (parts(&turn.answer))
            @for gap in &turn.gaps { p.muted { (gap) } }
            @match record.end {
                End::InFlight => p { span.state.live { "in flight" } },
                End::Complete if !crate::store::failed(record) => {},
                _ => p.mark {
                    (layout::end(record))
                    @if record.failure.is_some() { span.muted { " " (layout::failure(record)) } }
                    @if !turn.answer.is_empty() && record.end != End::Complete { span.muted { " · cut off here" } }
                },
            }
        }
    }
}

/// Who answered, when, and what it took.
fn speaker(record: &Record) -> Markup {
    let usage = &record.usage;
    let cached = chart::share(usage.cache_read, usage.input_all(), 100);
    let times = &record.timings;
    html! {
        p.speaker {
            (layout::model(record))
            span.meter-line {
                time datetime=(format::iso(record.started)) title=(format::time(record.started)) { (format::clock(record.started)) }
                @if times.total_us > 0 {
                    span title=[(times.first_byte_us > 0).then(|| format!("first byte after {}", format::duration(times.first_byte_us)))] {
                        (format::duration(times.total_us))
                    }
                }
                @if usage.input_all() > 0 {
                    span { (layout::tokens(usage.input_all())) " in"
                        @if usage.cache_read > 0 { ", " (cached) " % cached" } }
                }
                @if usage.output > 0 { span { (layout::tokens(usage.output)) " out" } }
                @if usage.total() > 0 { span { (layout::cost(&Totals::of(record))) } }
                a href=(Route::Request(record.id).path()) { "request" }
            }
        }
    }
}

fn parts(parts: &[Part]) -> Markup {
    html! {
        @for part in parts {
            @match part {
                Part::Text(text) => (said(text)),
                Part::Thinking(text) => details.thinking { summary { "Reasoning" } (said(text)) },
                Part::Call(call) => (tool(call)),
                Part::Outcome(outcome) => {
                    details.tool {
                        summary {
                            "Result of a call on an earlier page"
                            @if outcome.failed { " " span.state.bad { "error" } }
                        }
                        (result(outcome))
                    }
                }
                Part::Image(Image::Shown(url)) => img.picture src=(url) alt="An image of the conversation" loading="lazy";,
                Part::Image(Image::Named(what)) => p.muted { "Image: " (format::clip(what, 120)) },
                Part::Error(text) => div.mark { (said(text)) },
                Part::Other(kind) => p.muted { "(" bdi { (format::clip(kind, 60)) } ")" },
            }
        }
    }
}

fn said(text: &Text) -> Markup {
    html! {
        div.said dir="auto" { (format::shown(&text.text)) }
        @if text.left_out > 0 {
            p.muted { (format::bytes(text.left_out as u64)) " more; all of it is with the request." }
        }
    }
}

fn tool(call: &Call) -> Markup {
    html! {
        details.tool {
            summary {
                bdi.tool { (format::clip(&call.name, 80)) }
                " " bdi.gist { (format::clip(&gist(&call.arguments.text), GIST)) }
                @if let Some(outcome) = &call.outcome {
                    @if outcome.failed { " " span.state.bad { "error" } }
                    @if let Some(took) = outcome.took_ms { span.took { (format::duration(took.saturating_mul(1_000))) } }
                } @else {
                    span.took { "no result here" }
                }
            }
            @if !call.arguments.text.is_empty() {
                p.label { "Arguments" }
                pre.body tabindex="0" dir="auto" { (format::shown(&arguments(&call.arguments.text))) }
            }
            @if let Some(outcome) = &call.outcome { (result(outcome)) }
        }
    }
}

fn result(outcome: &Outcome) -> Markup {
    html! {
        p.label { @if outcome.failed { "Error" } @else { "Result" } }
        @if outcome.parts.is_empty() { p.muted { "Nothing." } }
        @for part in &outcome.parts {
            @match part {
                Part::Text(text) => {
                    pre.body tabindex="0" dir="auto" { (format::shown(&text.text)) }
                    @if text.left_out > 0 { p.muted { (format::bytes(text.left_out as u64)) " more" } }
                }
                other => (parts(std::slice::from_ref(other))),
            }
        }
    }
}

/// Arguments with line breaks, where they are JSON.
fn arguments(text: &str) -> Cow<'_, str> {
    if text.starts_with(['{', '[']) {
        body::indent(text).into()
    } else {
        text.into()
    }
}

/// The first value of the arguments: a command, a path, a pattern.
fn gist(arguments: &str) -> String {
    let value: Option<serde_json::Value> = serde_json::from_str(arguments).ok();
    let first = value.as_ref().and_then(|value| {
        let mut members = value.as_object()?.values();
        members.find_map(serde_json::Value::as_str)
    });
    first.unwrap_or(arguments).to_owned()
}
