//! `/ui/connect/`: how the caller's own clients reach this gateway, and one small request to see that they do.
//!
//! The clients and their settings are `crate::connect`'s table, filled with the caller's models and the address by which they
//! came. Must not know: what a client wants to be told.

use super::trial;
use crate::{
    connect::{CLIENTS, Client, Facts, Format, Offered, Setup, fill},
    dashboard::{
        layout::{self, Frame},
        route::Route,
        view::Model,
    },
};
use maud::{Markup, html};

/// The page.
pub(in crate::dashboard) fn render(frame: &Frame<'_>, models: &[Model]) -> Markup {
    let mine: Vec<&Model> = models.iter().filter(|model| model.mine).collect();
    let facts = facts(frame, &mine);
    let (open, closed): (Vec<&Client>, Vec<&Client>) = CLIENTS.iter().partition(|client| {
        let mut setups = client.setups.iter();
        setups.any(|setup| facts.offers(setup))
    });
    html! {
        div.heading { h1 { "Connect" } p.whose { "no key is needed: the tailnet says who you are" } }
        @if mine.is_empty() {
            (layout::nothing("No grant opens a model for you yet, so a client would be refused. Ask an admin of this gateway."))
        } @else {
            (trial::render(&mine))
        }
        div.prose {
            p {
                "A client needs its base URL and nothing else. Where it insists on a key, give " code { "-" } ": it is dropped. "
                a href=(Route::Models.path()) { "Models" } " lists what you may use."
            }
            (layout::copyable("base-url", &facts.host))
            p.note {
                "A terminal says the same, and writes it into the client's own file: "
                code { "aperture connect claude-code --gateway " (facts.host) " --apply" }
            }
        }
        div.beside {
            nav.toc aria-label="Clients" {
                ul { @for client in &open { li { a href={ "#" (client.id) } { (client.name) } } } }
                @if !closed.is_empty() { p { a href="#others" { (closed.len()) " more without a model" } } }
            }
            div {
                @for client in &open { (section(client, &facts)) }
                @if !closed.is_empty() { (others(&closed)) }
            }
        }
    }
}

/// What the texts are filled with. A name that can't stand in one is not asked for by it.
fn facts(frame: &Frame<'_>, mine: &[&Model]) -> Facts {
    let facts = Facts::new(frame.base).or_else(|_| Facts::new("http://ai"));
    let mut facts = facts.expect("invariant: http://ai is a URL");
    let offered = |model: &&Model| Offered {
        model: model.reached_as(),
        dialects: model.dialects.clone(),
    };
    facts.models = Some(mine.iter().map(offered).collect());
    facts
}

fn section(client: &Client, facts: &Facts) -> Markup {
    let (offered, refused): (Vec<&Setup>, Vec<&Setup>) =
        client.setups.iter().partition(|setup| facts.offers(setup));
    html! {
        section id=(client.id) {
            h2 { (client.name) }
            @for (at, setup) in offered.iter().enumerate() {
                @if at == 0 {
                    p.note.place { (place(setup)) @if offered.len() > 1 { " · " (word(setup)) } }
                    (text(client, setup, facts))
                } @else {
                    details.setup {
                        summary { (word(setup)) span.muted { " · " (place(setup)) } }
                        (text(client, setup, facts))
                    }
                }
            }
            @if !refused.is_empty() {
                p.note { "Without a model for you: " (refused.iter().map(|setup| word(setup)).collect::<Vec<_>>().join(", ")) "." }
            }
            @for note in client.notes { p.note { (marked(note, &facts.host)) } }
        }
    }
}

fn text(client: &Client, setup: &Setup, facts: &Facts) -> Markup {
    let id = format!("{}-{}-text", client.id, setup.id);
    layout::copyable(&id, fill(setup, facts).trim_end())
}

/// A setup's name as a word.
fn word(setup: &Setup) -> String {
    setup.id.replace('-', " ")
}

/// Where a setup's text goes.
fn place(setup: &Setup) -> String {
    match (setup.file, setup.format) {
        (Some(file), _) => format!("~/{file}"),
        (None, Format::Shell) => "in a terminal".into(),
        (None, Format::Python) => "Python".into(),
        (None, Format::JavaScript) => "JavaScript".into(),
        (None, Format::Json | Format::Toml | Format::Yaml) => "in its settings".into(),
    }
}

/// Clients that speak no format of a model that the caller may use.
fn others(clients: &[&Client]) -> Markup {
    html! {
        section #others {
            h2 { "Without a model for you" }
            p.note { "These speak formats that no model has which you may use." }
            dl.facts.rows {
                @for client in clients {
                    div { dt { (client.name) } dd.muted { (formats(client).join(", ")) } }
                }
            }
        }
    }
}

/// The formats that a client can speak, each once.
fn formats(client: &Client) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for dialect in client.setups.iter().flat_map(|setup| setup.dialects) {
        let word = dialect.as_str().replace('_', " ");
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

/// A note of the table: what stands between backticks is code, and the gateway is this one.
fn marked(note: &str, host: &str) -> Markup {
    let note = note.replace("http://ai", host);
    html! {
        @for (at, piece) in note.split('`').enumerate() {
            @if at % 2 == 1 { code { (piece) } } @else { (piece) }
        }
    }
}
