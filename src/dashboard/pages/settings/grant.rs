//! `/ui/settings/grant`: a form that adds a grant.

use super::{described, heading, mistake};
use crate::dashboard::{form::TOKEN, format, route::Route, settings::view::GrantForm};
use maud::{Markup, html};

/// People who can be ticked.
const PEOPLE: usize = 24;

/// The form.
pub(in crate::dashboard) fn render(page: &GrantForm<'_>) -> Markup {
    let wrong = &page.mistakes;
    let entry = page.entry;
    let ticked = |value: &str| entry.who.iter().any(|who| who == value);
    let people = page
        .people
        .iter()
        .filter(|login| login.contains('@') || login.starts_with("tag:"));
    let people: Vec<&String> = people.take(PEOPLE).collect();
    let others = entry
        .who
        .iter()
        .filter(|who| *who != "*" && !people.contains(who));
    let globs: Vec<String> = page.providers.iter().map(|id| format!("{id}/**")).collect();
    let patterns = entry
        .models
        .iter()
        .filter(|glob| !globs.contains(glob) && *glob != "**");
    html! {
        (heading("Add a grant", &Route::AddGrant))
        p.prose.lead { "Grants add up: nothing is allowed unless one allows it, and none takes away what another gives." }
        form #settings-grant.sheet-form method="post" action=(Route::AddGrant.path()) {
            input type="hidden" name=(TOKEN) value=(page.token);
            fieldset.field {
                legend { "Who" }
                div {
                    label.tick { input type="checkbox" name="who" value="*" checked[ticked("*")]; " Everyone " code { "*" } }
                    @if !people.is_empty() {
                        details.pick open[people.iter().any(|login| ticked(login))] {
                            summary { "Those who were here: " (people.len()) }
                            div.ticks.many {
                                @for login in &people {
                                    label.tick { input type="checkbox" name="who" value=(login) checked[ticked(login)]; " " bdi { (format::clip(login, 60)) } }
                                }
                            }
                        }
                    }
                    textarea #grant-who.after name="who" rows="3" spellcheck="false" autocomplete="off" aria-label="Others, one a line"
                        placeholder="alice@example.com\ngroup:engineering\ntag:ci" aria-describedby=[described(wrong, "who")] {
                        "\n" @for who in others { (who) "\n" }
                    }
                    (mistake(wrong, "who"))
                    span.note {
                        "One a line: a login, " code { "group:NAME" } ", or a node's tags such as " code { "tag:ci" }
                        ". Groups need the visible groups of the tailnet policy."
                    }
                }
            }
            fieldset.field {
                legend { "Role" }
                div.ticks {
                    @for (role, label, about) in [
                        ("user", "user", "sends requests, sees their own data"),
                        ("admin", "admin", "sees everyone's data, changes this document"),
                        ("none", "none", "adds models to a role that another grant gives"),
                    ] {
                        @let chosen = if entry.role.is_empty() { "none" } else { &entry.role };
                        label.tick { input type="radio" name="role" value=(role) checked[chosen == role]; " " strong { (label) } " " span.note { (about) } }
                    }
                    (mistake(wrong, "role"))
                }
            }
            fieldset.field {
                legend { "Models" }
                div.ticks {
                    @for (scope, label) in [("all", "all of them"), ("none", "none"), ("some", "these:")] {
                        label.tick { input type="radio" name="scope" value=(scope) checked[page.scope == scope]; " " (label) }
                    }
                    div.inner {
                        div.ticks.many {
                            @for (id, glob) in page.providers.iter().zip(&globs) {
                                label.tick {
                                    input type="checkbox" name="models" value=(glob) checked[entry.models.contains(glob)];
                                    " all of " (format::clip(id, 40))
                                }
                            }
                        }
                        textarea #grant-models name="models" rows="2" spellcheck="false" autocomplete="off" aria-label="Patterns, one a line"
                            placeholder="anthropic/claude-haiku*" aria-describedby=[described(wrong, "models")] {
                            "\n" @for glob in patterns { (glob) "\n" }
                        }
                        (mistake(wrong, "models"))
                        span.note { "Patterns on provider/model, one a line: " code { "*" } " is within one part, " code { "**" } " any number of parts." }
                    }
                }
            }
            div.bar {
                button #grant-review.primary type="submit" name="do" value="review" { "Review changes" }
                a.clear href=(Route::Settings.path()) { "Cancel" }
            }
        }
    }
}
