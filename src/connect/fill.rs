//! What is put into the texts of the table.
//!
//! Owns: [`Facts`] and [`fill`]. In: a setup, what is known of a gateway. Out: the text for that gateway. Names come from a
//! gateway and end up in shells and files, so only names of plain letters are put in. Must not know: how facts are found.

use super::{ConnectError, table::Setup};
use crate::endpoint::Dialect;

/// A model that the caller may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Its name.
    pub model: String,
    /// How it may be spoken to.
    pub dialects: Vec<Dialect>,
}

/// What is known of a gateway.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its URL, without a slash at the end.
    pub host: String,
    /// The same for clients that insist on https.
    pub https: String,
    /// What the caller may use; none when the gateway was not asked or did not answer.
    pub models: Option<Vec<Offered>>,
}

/// What stands for a part of a name that is not known.
pub(super) const UNKNOWN: &str = "<tailnet>";

// === impl Facts ===

impl Facts {
    /// Of a gateway that was not asked yet.
    pub fn new(url: &str) -> Result<Self, ConnectError> {
        let bad = || ConnectError::BadUrl(url.to_owned());
        let host = url.trim_end_matches('/').to_owned();
        let uri: http::Uri = host.parse().map_err(|_| bad())?;
        let (scheme, authority) = (uri.scheme_str(), uri.authority().ok_or_else(bad)?);
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        let whole = matches!(scheme, Some("http" | "https"))
            && uri.path() == "/"
            && uri.query().is_none()
            && authority.as_str().chars().all(plain);
        if !whole {
            return Err(bad());
        }
        let name = authority.host();
        let number = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        // For loopback these clients take http, too.
        let loopback = name == "localhost" || number.is_ok_and(|ip| ip.is_loopback());
        let https = if scheme == Some("https") || loopback {
            host.clone()
        } else if name.contains('.') {
            format!("https://{name}")
        } else {
            format!("https://{name}.{UNKNOWN}.ts.net")
        };
        Ok(Self {
            host,
            https,
            models: None,
        })
    }

    /// Whether the caller may use a model in one of the formats of a setup, as far as is known.
    pub fn offers(&self, setup: &Setup) -> bool {
        self.models.is_none() || !self.models_of(setup).is_empty()
    }

    /// The names for a setup; without a gateway, the one of the table.
    fn models_of(&self, setup: &Setup) -> Vec<&str> {
        let Some(models) = &self.models else {
            return vec![setup.model];
        };
        let speaks = |model: &&Offered| {
            let mut dialects = model.dialects.iter();
            dialects.any(|dialect| setup.dialects.contains(dialect)) && is_plain(&model.model)
        };
        let mut names: Vec<&str> = Vec::new();
        for model in models.iter().filter(speaks) {
            if !names.contains(&model.model.as_str()) {
                names.push(&model.model);
            }
        }
        names
    }
}

/// Whether a name may stand in a shell, a program and a document alike.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('-')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-._:/@+".contains(c))
}

/// The text of a setup for a gateway.
pub fn fill(setup: &Setup, facts: &Facts) -> String {
    let names = facts.models_of(setup);
    let usual = names.iter().find(|name| **name == setup.model);
    let model = usual.or(names.first()).copied().unwrap_or(setup.model);
    // Newer names sort later.
    let mut sorted = names.clone();
    sorted.sort_unstable_by(|one, other| other.cmp(one));
    let family = |word: &str| {
        let mut names = sorted.iter();
        names
            .find(|name| name.to_ascii_lowercase().contains(word))
            .copied()
            .unwrap_or(model)
    };
    let objects: Vec<_> = names
        .iter()
        .map(|name| format!("{{\"id\": \"{name}\"}}"))
        .collect();
    setup
        .text
        .replace("@HOST@", &facts.host)
        .replace("@HTTPS@", &facts.https)
        .replace("@MODEL@", model)
        .replace("@MODELS@", &objects.join(", "))
        .replace("@OPUS@", family("opus"))
        .replace("@SONNET@", family("sonnet"))
        .replace("@HAIKU@", family("haiku"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::{CLIENTS, Format};

    fn setup(client: &str, setup: &str) -> &'static Setup {
        let client = CLIENTS.iter().find(|known| known.id == client).unwrap();
        client
            .setups
            .iter()
            .find(|known| known.id == setup)
            .unwrap()
    }

    #[test]
    fn urls_are_judged_and_completed() {
        for (url, https) in [
            ("http://ai", "https://ai.<tailnet>.ts.net"),
            ("http://ai/", "https://ai.<tailnet>.ts.net"),
            ("http://ai.example.ts.net:8080", "https://ai.example.ts.net"),
            ("https://ai.example.ts.net", "https://ai.example.ts.net"),
            ("http://127.0.0.1:99", "http://127.0.0.1:99"),
            ("http://localhost:99", "http://localhost:99"),
        ] {
            assert_eq!(Facts::new(url).unwrap().https, https, "{url}");
        }
        for url in [
            "ai",
            "ftp://ai",
            "http://",
            "http://ai/v1",
            "http://ai?x=1",
            "http://me@ai",
            "http://a'$(id)",
            "",
        ] {
            assert!(Facts::new(url).is_err(), "{url}");
        }
    }

    #[test]
    fn models_are_those_of_the_format_and_odd_names_are_left_out() {
        let mut facts = Facts::new("http://ai").unwrap();
        let aider = setup("aider", "chat");
        assert!(fill(aider, &facts).contains("openai/gpt-4o"));
        let offered = |model: &str, dialect| Offered {
            model: model.into(),
            dialects: vec![dialect],
        };
        facts.models = Some(vec![
            offered("claude-haiku-4-5", Dialect::AnthropicMessages),
            offered("a; rm -rf $HOME", Dialect::OpenaiChat),
            offered("-x", Dialect::OpenaiChat),
            offered("qwen/qwen3-235b", Dialect::OpenaiChat),
            offered("gpt-5.4", Dialect::OpenaiChat),
        ]);
        let text = fill(aider, &facts);
        assert!(
            text.contains("openai/qwen/qwen3-235b") && !text.contains("rm"),
            "{text}"
        );
        let pi = fill(setup("pi", "chat"), &facts);
        assert!(
            pi.contains(r#"[{"id": "qwen/qwen3-235b"}, {"id": "gpt-5.4"}]"#),
            "{pi}"
        );
        assert!(facts.offers(aider) && !facts.offers(setup("codex", "config")));
        facts.models = Some(vec![offered("a b", Dialect::OpenaiChat)]);
        assert!(!facts.offers(aider));
    }

    #[test]
    fn the_families_of_claude_are_the_newest_of_each() {
        let mut facts = Facts::new("http://ai").unwrap();
        let names = [
            "a.claude-opus-4-1",
            "a.claude-opus-4-7",
            "a.claude-haiku-4-5",
        ];
        let models = names.map(|name| Offered {
            model: name.into(),
            dialects: vec![Dialect::BedrockModelInvoke],
        });
        facts.models = Some(models.to_vec());
        let text = fill(setup("claude-code", "bedrock"), &facts);
        for (key, name) in [
            ("OPUS", names[1]),
            ("SONNET", names[0]),
            ("HAIKU", names[2]),
        ] {
            let line = format!("\"ANTHROPIC_DEFAULT_{key}_MODEL\": \"{name}\"");
            assert!(text.contains(&line), "{text}");
        }
    }

    #[test]
    fn every_setup_is_filled_whole_and_parses() {
        let facts = Facts::new("https://ai.example.ts.net").unwrap();
        let mut ids = std::collections::BTreeSet::new();
        for client in CLIENTS {
            assert!(ids.insert(client.id), "{}", client.id);
            let mut setups = std::collections::BTreeSet::new();
            for setup in client.setups {
                let at = format!("{} {}", client.id, setup.id);
                assert!(
                    setups.insert(setup.id) && !setup.dialects.is_empty(),
                    "{at}"
                );
                let text = fill(setup, &facts);
                for left in [
                    "HOST", "HTTPS", "MODEL", "MODELS", "OPUS", "SONNET", "HAIKU",
                ] {
                    assert!(!text.contains(&format!("@{left}@")), "{at}: {left}");
                }
                match setup.format {
                    Format::Json => {
                        let value: serde_json::Value = serde_json::from_str(&text).expect(&at);
                        assert!(value.is_object(), "{at}");
                    }
                    Format::Toml => drop(text.parse::<toml_edit::DocumentMut>().expect(&at)),
                    Format::Yaml => crate::connect::merge::tests::yaml(&text, &at),
                    Format::Shell | Format::Python | Format::JavaScript => {
                        assert!(text.contains("https://ai.example.ts.net"), "{at}");
                        assert_eq!(setup.file, None, "{at}");
                    }
                }
                assert!(text.ends_with('\n') && !text.contains('\t'), "{at}");
                if let Some(file) = setup.file {
                    assert!(file.starts_with('.') && !file.contains(".."), "{at}");
                    assert!(
                        !file.contains("auth") && !file.contains("credential"),
                        "{at}"
                    );
                }
            }
        }
    }
}
