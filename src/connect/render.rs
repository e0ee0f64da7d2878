//! The table as text: for a terminal, as JSON, and as docs/clients.md.
//!
//! Owns: the layouts. In: clients, what is known of a gateway. Out: text. Must not know: files, networks.

use super::{
    fill::{Facts, fill},
    table::{CLIENTS, Client, Setup},
};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The list of clients.
pub(super) fn list(facts: &Facts) -> String {
    let mut text = String::new();
    for client in CLIENTS {
        let offered = client.setups.iter().any(|setup| facts.offers(setup));
        let hint = if offered { "" } else { "  (no model for it)" };
        let _ = writeln!(text, "{:<16}{}{hint}", client.id, client.name);
    }
    text.push_str(
        "\n`aperture connect CLIENT` shows how, `aperture connect CLIENT --apply` does it.\n",
    );
    text
}

/// How one client is set up, by one setup or by all of them.
pub(super) fn client(client: &Client, only: Option<&Setup>, facts: &Facts) -> String {
    let mut text = format!("{}\n", client.name);
    for setup in client.setups {
        if only.is_some_and(|only| only.id != setup.id) {
            continue;
        }
        let place = setup.file.map(|file| format!(" in ~/{file}"));
        let _ = writeln!(text, "\n{}{}:", setup.id, place.unwrap_or_default());
        if !facts.offers(setup) {
            let formats: Vec<_> = setup.dialects.iter().map(|it| it.as_str()).collect();
            let formats = formats.join(" or ");
            let _ = writeln!(text, "  you may use no model that is served as {formats}");
            continue;
        }
        for line in fill(setup, facts).lines() {
            let _ = writeln!(text, "{}", format!("  {line}").trim_end());
        }
    }
    for note in client.notes {
        let _ = write!(text, "\n{note}\n");
    }
    text
}

/// The same for programs.
pub(super) fn json(clients: &[&Client], facts: &Facts) -> Value {
    let setup = |setup: &Setup| {
        json!({
            "id": setup.id,
            "file": setup.file,
            "format": setup.format.as_str(),
            "offered": facts.offers(setup),
            "text": fill(setup, facts),
        })
    };
    let rows: Vec<_> = clients
        .iter()
        .map(|client| {
            let setups: Vec<_> = client.setups.iter().map(setup).collect();
            json!({"id": client.id, "name": client.name, "setups": setups, "notes": client.notes})
        })
        .collect();
    json!({
        "gateway": facts.host,
        "answered": facts.models.is_some(),
        "clients": rows,
    })
}

/// docs/clients.md.
pub fn render_markdown() -> String {
    let facts = Facts::new("http://ai").expect("a URL of a gateway");
    let mut text = String::from(
        "# Clients\n\nGenerated from the code (`aperture docs --write`). `aperture connect CLIENT` prints these for your gateway, with a \
         model that you may use, and `aperture connect CLIENT --apply` merges them into the client's own file.\n\n\
         A client needs its base URL and nothing else. Where it insists on a key, give `-` or any other text: it is dropped. \
         `http://ai` stands for your gateway; where MagicDNS is off, use its full name, `http://ai.<tailnet>.ts.net`. It is `http://`, but \
         for clients that insist on https, which need a gateway that runs with `--tls`. A model may be written `provider/model` where \
         several providers serve the same name.\n\n\
         What is refused looks different in each client: [clients-notes.md](clients-notes.md). All paths are in \
         [endpoints.md](endpoints.md).\n",
    );
    for client in CLIENTS {
        let _ = write!(text, "\n## {}\n", client.name);
        for setup in client.setups {
            let format = setup.format.as_str();
            let place = match setup.file {
                Some(file) => format!("`~/{file}`"),
                None => format!("`{format}`"),
            };
            let _ = write!(
                text,
                "\n{} ({place}):\n\n```{format}\n{}```\n",
                setup.id,
                fill(setup, &facts)
            );
        }
        for note in client.notes {
            let _ = write!(text, "\n{note}\n");
        }
    }
    text
}
