//! `/ui/settings/`: the configuration file, secrets taken out, with what is wrong with it. Read-only.

use crate::{
    config::{Finding, Severity, Strictness},
    dashboard::{
        Document, format,
        layout::{self, Frame},
    },
};
use maud::{Markup, html};

/// The page.
pub(in crate::dashboard) fn render(frame: &Frame<'_>, document: &Document) -> Markup {
    let state = frame.state;
    let config = &state.config;
    html! {
        div.heading {
            h1 { "Settings" }
            p.whose { "read-only" }
        }
        dl.facts {
            div.wide { dt { "File" } dd.id { (format::shown(&document.file)) } }
            div { dt { "Version" } dd.id { (format::clip(&config.hash, 12)) } }
            div { dt { "Providers" } dd { (config.providers.len()) } }
            div { dt { "Grants" } dd { (config.grants.len()) } }
            div { dt { "Store" } dd { @if state.store_degraded { span.bad { "can't write" } } @else { "writing" } } }
            div {
                dt { "Node key" }
                dd {
                    @match state.key_expiry {
                        Some(at) => { "expires " time datetime=(format::iso(at)) { (format::time(at)) } }
                        None => "does not expire",
                    }
                }
            }
        }
        section {
            h2 { "Findings" }
            @if let Some(reason) = &state.reload_failure {
                p.banner.bad role="note" { strong { "Not taken: " } (format::clip(reason, 600)) }
            }
            @if document.findings.is_empty() {
                (layout::nothing("None."))
            } @else {
                (findings(&document.findings))
            }
        }
        section {
            h2 { "To change it" }
            p.prose {
                "Edit the file on the gateway's host, then run " code { "aperture check " (format::shown(&document.file)) }
                ": it names every mistake with its line. The gateway takes over a saved file within a few seconds, or at once on "
                code { "SIGHUP" } "; a file with errors is not taken, and every page says so."
            }
        }
        section {
            h2 { "File" }
            p.note {
                "As it is on disk, without its secrets."
                @if state.reload_failure.is_some() { " It is not in force: the last good one is." }
            }
            pre.body.config tabindex="0" role="region" aria-label="Configuration" { (numbered(&document.text)) }
        }
    }
}

fn findings(findings: &[Finding]) -> Markup {
    layout::table(
        "Findings",
        &html! {
            th.num scope="col" { "Line" }
            th scope="col" { "Where" }
            th.most scope="col" { "What" }
        },
        &html! {
            @for finding in findings {
                @let error = finding.severity(Strictness::Save) == Severity::Error;
                tr {
                    td.num { a href={ "#L" (finding.line) } { (finding.line) } }
                    td.id { (format::clip(&finding.path, 80)) }
                    td {
                        span.state.bad[error].half[!error] { @if error { "error" } @else { "warning" } }
                        " " (format::clip(&finding.message, 300))
                        @if let Some(hint) = &finding.hint { p.sub { (format::clip(hint, 300)) } }
                    }
                }
            }
        },
    )
}

/// The text with numbered lines that findings can point at.
fn numbered(text: &str) -> Markup {
    html! {
        @for (at, line) in text.lines().enumerate() {
            span.line id={ "L" (at + 1) } data-line=(at + 1) { (format::shown(line)) "\n" }
        }
    }
}
