//! `/ui/access/`: what somebody may do, and which grant says so, by the function that decides requests.

use crate::{
    dashboard::{format, layout, route::Route, view::Access},
    endpoint::Endpoint,
};
use maud::{Markup, html};

/// The page.
pub(in crate::dashboard) fn render(view: &Access) -> Markup {
    html! {
        div.heading { h1 { "Access" } p.whose { "what somebody may do, and which grant says so" } }
        (question(view))
        @if view.who.is_empty() {
            p.nothing {
                "Name a login, or a set of tags as " code { "tag:ci,tag:prod" }
                ". The answer comes from the same function that decides requests, under the configuration in force."
            }
        } @else {
            (answer(view))
        }
    }
}

fn question(view: &Access) -> Markup {
    html! {
        form.filter method="get" action=(Route::Access.path()) {
            label.wide {
                span { "Login or tags" }
                input type="search" name="who" value=(format::shown(&view.who)) list="logins" required placeholder="bob@example.com";
                datalist #logins { @for user in &view.users { option value=(user) { (format::clip(user, 60)) } } }
            }
            label { span { "Model" } (layout::choice("model", &view.model, &view.all_models)) }
            label {
                span { "Path" }
                select name="endpoint" {
                    option value="" { "the first that serves it" }
                    @for endpoint in Endpoint::ALL {
                        option value=(endpoint.as_str()) selected[!view.model.is_empty() && view.endpoint == endpoint.as_str()] { (endpoint.path()) }
                    }
                }
            }
            button type="submit" { "Ask" }
        }
    }
}

fn answer(view: &Access) -> Markup {
    html! {
        @if !view.known {
            p.note {
                "Asked by name alone: groups, and grants in the tailnet policy, count only for people whom the gateway has met "
                "since it started."
            }
        }
        section {
            h2 { "Role" }
            @match &view.role {
                Some((role, grant)) => p { strong { (role) } span.muted { " by " } span.id { (format::clip(grant, 200)) } },
                None => p { span.state.bad { "none" } " No grant gives a role, so every request is refused with 403." },
            }
        }
        @if !view.lines.is_empty() {
            section {
                h2 { "Why " bdi { (format::clip(&view.model, 80)) } " over " (view.endpoint.replace('_', " ")) }
                (lines(view))
            }
        }
        section {
            h2 { "Models" }
            @if view.models.is_empty() {
                (layout::nothing("No grant opens a model."))
            } @else {
                (layout::table(
                    "Models that they may use",
                    &html! { th scope="col" { "Model" } th.most scope="col" { "Opened by" } },
                    &html! {
                        @for (model, grant) in &view.models {
                            tr { td.id { bdi { (format::clip(model, 120)) } } td.id { (format::clip(grant, 200)) } }
                        }
                    },
                ))
            }
        }
    }
}

fn lines(view: &Access) -> Markup {
    layout::table(
        "How it was decided",
        &html! {
            th scope="col" { "Where" }
            th scope="col" { "Speaks for it" }
            th.most scope="col" { "What it says" }
        },
        &html! {
            @for line in &view.lines {
                tr.decision[line.place == "decision"] {
                    td.id { (format::clip(&line.place, 80)) }
                    td { @if line.holds { span.state.good { "yes" } } @else { span.muted { "no" } } }
                    td { (format::clip(&line.why, 400)) }
                }
            }
        },
    )
}
