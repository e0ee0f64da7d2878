//! `/ui/settings/provider`: a form that adds a provider, with a trial of its key.

use super::{described, heading, mistake, sentence};
use crate::{
    dashboard::{
        form::TOKEN,
        format,
        route::{Route, link},
        settings::{
            entry::{ProviderEntry, SCHEMES},
            preset::{FLAGS, PRESETS, Pay},
            view::{ProviderForm, Tried},
        },
    },
    provider::probe::{self, Answer},
};
use http::StatusCode;
use maud::{Markup, html};

/// Models of a provider that can be ticked.
const OFFERED: usize = 120;

/// The choice of a kind.
pub(in crate::dashboard) fn kinds() -> Markup {
    html! {
        (heading("Add a provider", &Route::AddProvider))
        p.prose.lead { "Which kind? It fills in what is the same for everyone; all of it can be changed." }
        ul #settings-kinds.kinds {
            @for preset in &PRESETS {
                li {
                    a href=(link(&Route::AddProvider, &[("kind", preset.kind)])) {
                        strong { (preset.name) }
                        span { (preset.about) }
                    }
                }
            }
        }
    }
}

/// The form.
pub(in crate::dashboard) fn form(page: &ProviderForm<'_>) -> Markup {
    let entry = page.entry;
    let wrong = &page.mistakes;
    html! {
        (heading(&format!("Add a provider: {}", entry.preset.name), &Route::AddProvider))
        form #settings-provider.sheet-form method="post" action=(Route::AddProvider.path()) {
            input type="hidden" name=(TOKEN) value=(page.token);
            input type="hidden" name="kind" value=(entry.preset.kind);
            (field("id", "Id", "How grants and clients name it: id/model.", wrong, &html! {
                input #provider-id name="id" value=(entry.id) required maxlength="80" aria-describedby=[described(wrong, "id")];
            }))
            (field("name", "Name", "Shown to people. May stay empty.", wrong, &html! {
                input #provider-name name="name" value=(entry.name) maxlength="120";
            }))
            (field("baseurl", "Address", entry.preset.address_note, wrong, &html! {
                input #provider-baseurl name="baseurl" type="url" value=(entry.baseurl) required aria-describedby=[described(wrong, "baseurl")];
            }))
            @if entry.tailnet || entry.preset.tailnet || entry.preset.kind == "other" {
                div.field {
                    span {}
                    label.tick { input type="checkbox" name="tailnet" value="1" checked[entry.tailnet]; " It is on the tailnet: reach it through the node only" }
                }
            }
            (key(page))
            div.field.trial-line {
                span {}
                div {
                    button #provider-test type="submit" name="do" value="test" { "Test it" }
                    " " span.note { "Asks the provider for its list of models. Nothing is saved." }
                    @if let Some(tried) = &page.tried { (outcome(entry, tried)) }
                }
            }
            (models(page))
            fieldset.field {
                legend { "Formats" }
                div.ticks {
                    @for (flag, about) in FLAGS {
                        label.tick {
                            input type="checkbox" name="flag" value=(flag) checked[entry.flags.contains(&flag)];
                            " " code { (flag) } " " span.note { (about) }
                        }
                    }
                    (mistake(wrong, "flag"))
                }
            }
            div.bar {
                button #provider-review.primary type="submit" name="do" value="review" { "Review changes" }
                a.clear href=(Route::AddProvider.path()) { "Another kind" }
            }
        }
    }
}

fn field(
    id: &str,
    label: &str,
    note: &str,
    wrong: &crate::dashboard::settings::entry::Mistakes,
    input: &Markup,
) -> Markup {
    html! {
        div.field {
            label for={ "provider-" (id) } { (label) }
            div { (input) (mistake(wrong, id)) @if !note.is_empty() { span.note { (note) } } }
        }
    }
}

fn key(page: &ProviderForm<'_>) -> Markup {
    let entry = page.entry;
    let wrong = &page.mistakes;
    html! {
        @if entry.preset.pay == Pay::KeyFile {
            (field("key", "Key file", entry.preset.key_note, wrong, &html! {
                textarea #provider-key name="key" rows="6" spellcheck="false" autocomplete="off" placeholder="{ \"type\": \"service_account\", … }"
                    aria-describedby=[described(wrong, "key")] { "\n" (entry.key) }
            }))
        } @else {
            (field("key", "Key", entry.preset.key_note, wrong, &html! {
                input #provider-key name="key" type="password" value=(entry.key) autocomplete="off" spellcheck="false"
                    aria-describedby=[described(wrong, "key")];
            }))
            (field("scheme", "Sent as", "", wrong, &html! {
                select #provider-scheme name="scheme" {
                    @for scheme in SCHEMES { option value=(scheme) selected[scheme == entry.scheme] { (scheme) } }
                }
            }))
        }
    }
}

fn models(page: &ProviderForm<'_>) -> Markup {
    let entry = page.entry;
    let placeholder = entry.preset.models;
    let offered = match &page.tried {
        Some(Tried::Asked(Answer::Said { models, .. })) => models.as_slice(),
        _ => &[],
    };
    html! {
        (field("models", "Models", "One a line, exactly as the provider names them.", &page.mistakes, &html! {
            textarea #provider-models name="models" rows=(entry.models.len().clamp(3, 12)) spellcheck="false" autocomplete="off"
                placeholder=(placeholder) aria-describedby=[described(&page.mistakes, "models")] {
                "\n" @for model in &entry.models { (model) "\n" }
            }
        }))
        @if !offered.is_empty() {
            fieldset.field #provider-offered {
                legend { "It has" }
                div.ticks.many {
                    @for model in offered.iter().filter(|model| !entry.models.contains(model)).take(OFFERED) {
                        label.tick { input type="checkbox" name="offered" value=(model); " " code { (format::clip(model, 80)) } }
                    }
                    @if offered.len() > OFFERED { span.note { (offered.len() - OFFERED) " more" } }
                }
            }
        }
    }
}

/// What came of the trial, and what to do.
fn outcome(entry: &ProviderEntry, tried: &Tried) -> Markup {
    let (class, title, text) = words(entry, tried);
    let said = match tried {
        Tried::Asked(Answer::Said { words, .. }) => words.as_str(),
        _ => "",
    };
    html! {
        p #provider-outcome.outcome role="status" {
            span.state.good[class == "good"].half[class == "half"].bad[class == "bad"] { (title) } " " (format::shown(&sentence(&text)))
            @if !said.is_empty() { " It says: " q { (format::shown(said)) } }
        }
    }
}

fn words(entry: &ProviderEntry, tried: &Tried) -> (&'static str, &'static str, String) {
    let answer = match tried {
        Tried::Not(why) => return ("bad", "Not tried.", why.clone()),
        Tried::Asked(answer) => answer,
    };
    match answer {
        Answer::Unaskable => ("bad", "Not tried.", "The address can't be called.".into()),
        Answer::NoCredential(why) => ("bad", "No credential.", why.clone()),
        Answer::Silent => {
            let seconds = probe::LIMIT.as_secs();
            (
                "bad",
                "No answer.",
                format!(
                    "Nothing came within {seconds} s. Is the address right, and may this host reach it?"
                ),
            )
        }
        Answer::Unreachable(why) => (
            "bad",
            "Not reached.",
            format!(
                "{why}. Is the address right, and may this host (or, on the tailnet, this node) reach it?"
            ),
        ),
        Answer::Said {
            status,
            models,
            to_anybody,
            ..
        } => {
            let code = status.as_u16();
            if status.is_success() {
                let has = format::plural(models.len() as u64, "model", "models");
                return if *to_anybody && !entry.key.is_empty() {
                    (
                        "half",
                        "It answers.",
                        format!(
                            "It lists {has} to anybody, so this does not show that the key is good."
                        ),
                    )
                } else if entry.key.is_empty() {
                    (
                        "good",
                        "It answers.",
                        format!("It lists {has}, and asks for no key."),
                    )
                } else {
                    (
                        "good",
                        "The key works.",
                        format!("The provider lists {has}."),
                    )
                };
            }
            match *status {
                StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => (
                    "half",
                    "It answers.",
                    format!(
                        "It has no list of models to ask for ({code}), so this does not show that the key is good."
                    ),
                ),
                status if probe::refuses(status) => (
                    "bad",
                    "The key is refused.",
                    format!(
                        "The provider answers {code}: is it the right key, and sent as the provider wants it?"
                    ),
                ),
                status if status.is_server_error() => (
                    "half",
                    "It has trouble.",
                    format!("The provider answers {code}."),
                ),
                _ => ("bad", "Refused.", format!("The provider answers {code}.")),
            }
        }
    }
}
