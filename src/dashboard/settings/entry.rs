//! What the two forms say, as entries of the document.
//!
//! Owns: [`ProviderEntry`] and [`GrantEntry`]: what a person has filled in, what is missing from it, and the [`Piece`] to insert. A key that
//! is only a reference to a stored one is not taken: it could be sent to any address. In: a form. Out: an entry, or mistakes by
//! field. Must not know: pages, the document's text.

use super::preset::{FLAGS, Pay, Preset};
use crate::{
    config::{DEFAULT_CAPABILITY, PLACEHOLDER, splice::Piece},
    dashboard::form::Form,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::fmt;

/// Types of authorization that a key can be sent with.
pub(in crate::dashboard) const SCHEMES: [&str; 4] = [
    "bearer",
    "x-api-key",
    "x-goog-api-key",
    "cf-aig-authorization",
];

/// What is wrong with a field: its name, and what to do.
pub(in crate::dashboard) type Mistakes = Vec<(&'static str, String)>;

/// A provider, as it was filled in.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::dashboard) struct ProviderEntry {
    pub(in crate::dashboard) preset: &'static Preset,
    pub(in crate::dashboard) id: String,
    pub(in crate::dashboard) name: String,
    pub(in crate::dashboard) baseurl: String,
    pub(in crate::dashboard) scheme: String,
    /// The key, or a key file's text.
    pub(in crate::dashboard) key: String,
    pub(in crate::dashboard) models: Vec<String>,
    pub(in crate::dashboard) flags: Vec<&'static str>,
    pub(in crate::dashboard) tailnet: bool,
}

/// A grant, as it was filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::dashboard) struct GrantEntry {
    pub(in crate::dashboard) who: Vec<String>,
    /// `admin`, `user` or nothing.
    pub(in crate::dashboard) role: String,
    pub(in crate::dashboard) models: Vec<String>,
}

impl fmt::Debug for ProviderEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderEntry")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl ProviderEntry {
    /// Not filled in yet. `taken` are the ids that there are.
    pub(in crate::dashboard) fn blank(
        preset: &'static Preset,
        taken: &dyn Fn(&str) -> bool,
    ) -> Self {
        let mut ids = (2..).map(|n| format!("{}-{n}", preset.kind));
        let id = if preset.kind == "other" {
            String::new()
        } else if taken(preset.kind) {
            ids.find(|id| !taken(id)).unwrap_or_default()
        } else {
            preset.kind.to_owned()
        };
        let scheme = match preset.pay {
            Pay::Key(scheme) => scheme,
            Pay::Perhaps | Pay::KeyFile => "bearer",
        };
        Self {
            preset,
            id,
            name: if preset.kind == "other" {
                String::new()
            } else {
                preset.name.to_owned()
            },
            baseurl: preset.baseurl.to_owned(),
            scheme: scheme.to_owned(),
            key: String::new(),
            models: Vec::new(),
            flags: preset.flags.to_vec(),
            tailnet: preset.tailnet,
        }
    }

    /// As the form has it: models that were written, then those that were ticked.
    pub(in crate::dashboard) fn read(preset: &'static Preset, form: &Form) -> Self {
        let mut models = form.lines("models");
        for offered in form.lines("offered") {
            if !models.contains(&offered) {
                models.push(offered);
            }
        }
        let flags = FLAGS.iter().map(|(flag, _)| *flag);
        Self {
            preset,
            id: form.get("id").trim().to_owned(),
            name: form.get("name").trim().to_owned(),
            baseurl: form.get("baseurl").trim().to_owned(),
            scheme: form.get("scheme").to_owned(),
            key: form.text("key").trim().to_owned(),
            models,
            flags: flags
                .filter(|flag| form.all("flag").any(|asked| asked == *flag))
                .collect(),
            tailnet: form.has("tailnet"),
        }
    }

    /// What has to be corrected before anything is done with it. `taken` are the ids that there are.
    pub(in crate::dashboard) fn mistakes(&self, taken: &dyn Fn(&str) -> bool) -> Mistakes {
        let mut wrong = Mistakes::new();
        if self.id.is_empty() || self.id.contains('/') || self.id.contains(char::is_whitespace) {
            wrong.push((
                "id",
                "A short name without spaces and slashes, such as openai.".into(),
            ));
        } else if taken(&self.id) {
            wrong.push((
                "id",
                format!(
                    "There is a provider {} already. Choose another id, or edit that one as text.",
                    self.id
                ),
            ));
        }
        let bare = self.baseurl.trim_end_matches('/');
        if !["http:", "https:"]
            .iter()
            .any(|scheme| bare.strip_prefix(scheme).is_some_and(|rest| rest.len() > 2))
        {
            wrong.push((
                "baseurl",
                "An address that begins with https:// (or http:// on the tailnet).".into(),
            ));
        }
        self.judge_key(&mut wrong);
        if self.flags.is_empty() {
            wrong.push(("flag", "Choose at least one format.".into()));
        }
        wrong
    }

    fn judge_key(&self, wrong: &mut Mistakes) {
        let key = self.key.as_str();
        let reference = ["env:", "file:", "keyfile::"]
            .iter()
            .any(|mark| key.starts_with(mark));
        if reference || key.contains(PLACEHOLDER) {
            let text = "Write the key itself. A reference to a stored one (env:NAME, file:NAME) can only be added in the file on \
                        the gateway's host, so that nobody can send it elsewhere from a page.";
            wrong.push(("key", text.into()));
            return;
        }
        match self.preset.pay {
            Pay::Key(_) if key.is_empty() => {
                wrong.push(("key", "The provider's key is needed.".into()));
            }
            Pay::KeyFile if !key.starts_with('{') => {
                wrong.push(("key", "The whole JSON file, which begins with {.".into()));
            }
            Pay::Key(_) | Pay::Perhaps if key.contains(char::is_whitespace) => {
                wrong.push(("key", "A key has no spaces or line breaks in it.".into()));
            }
            Pay::Key(_) | Pay::KeyFile | Pay::Perhaps => {}
        }
        if self.preset.pay != Pay::KeyFile && !SCHEMES.contains(&self.scheme.as_str()) {
            wrong.push(("scheme", "Choose how the key is sent.".into()));
        }
    }

    /// Its entry.
    pub(in crate::dashboard) fn piece(&self) -> Piece {
        let mut members: Vec<(&str, Piece)> = Vec::new();
        if !self.name.is_empty() {
            members.push(("name", Piece::text(&self.name)));
        }
        members.push(("baseurl", Piece::text(self.baseurl.trim_end_matches('/'))));
        if self.tailnet {
            members.push(("tailnet", Piece::Flag(true)));
        }
        if self.preset.pay == Pay::KeyFile {
            let file = STANDARD.encode(&self.key);
            let account = [
                ("type", "google-service-account"),
                ("keyfile", file.as_str()),
            ];
            let account = account.map(|(key, text)| (key, Piece::text(text)));
            members.push(("authorization", Piece::object(account)));
        } else if !self.key.is_empty() {
            members.push(("authorization", Piece::text(&self.scheme)));
            members.push(("apikey", Piece::text(&self.key)));
        }
        members.push(("models", Piece::texts(self.models.iter().cloned())));
        let flags = self.flags.iter().map(|flag| (*flag, Piece::Flag(true)));
        members.push(("compatibility", Piece::object(flags)));
        if !self.preset.cost_basis.is_empty() {
            members.push(("cost_basis", Piece::text(self.preset.cost_basis)));
        }
        Piece::object(members)
    }
}

impl GrantEntry {
    /// As the form has it.
    pub(in crate::dashboard) fn read(form: &Form) -> Self {
        let role = form.get("role");
        let models = match form.get("scope") {
            "all" => vec!["**".to_owned()],
            "some" => form.lines("models"),
            _ => Vec::new(),
        };
        Self {
            who: form.lines("who"),
            role: if ["admin", "user"].contains(&role) {
                role.to_owned()
            } else {
                String::new()
            },
            models,
        }
    }

    /// What has to be corrected before it is added.
    pub(in crate::dashboard) fn mistakes(&self, form: &Form) -> Mistakes {
        let mut wrong = Mistakes::new();
        let known = |who: &String| {
            who == "*"
                || who == "(loopback)"
                || who.contains('@')
                || who.starts_with("tag:")
                || who.starts_with("group:")
        };
        if self.who.is_empty() {
            wrong.push(("who", "Name at least one person, group or tag.".into()));
        } else if let Some(strange) = self.who.iter().find(|who| !known(who)) {
            let text = format!(
                "{strange} is none of them: a login has an @, a tag begins with tag:, a group with group:, and * is everyone."
            );
            wrong.push(("who", text));
        }
        if self.role == "admin" && self.who.iter().any(|who| who == "*") {
            let text = "Everyone would be an admin, read every conversation and change this document. Name people, or give the role user.";
            wrong.push(("role", text.into()));
        }
        if form.get("scope") == "some" && self.models.is_empty() {
            wrong.push((
                "models",
                "Tick a provider, or write a pattern such as anthropic/claude-*.".into(),
            ));
        } else if self.role.is_empty() && self.models.is_empty() {
            wrong.push((
                "role",
                "This grant would give nothing: choose a role, models, or both.".into(),
            ));
        }
        wrong
    }

    /// Its entry.
    pub(in crate::dashboard) fn piece(&self) -> Piece {
        let mut given = Vec::new();
        if !self.role.is_empty() {
            given.push(Piece::object([("role", Piece::text(&self.role))]));
        }
        let models = self.models.iter();
        given.extend(models.map(|glob| Piece::object([("models", Piece::text(glob))])));
        Piece::object([
            ("src", Piece::texts(self.who.iter().cloned())),
            (
                "app",
                Piece::object([(DEFAULT_CAPABILITY, Piece::List(given))]),
            ),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::{super::preset::PRESETS, *};
    use crate::config::{CheckOptions, Severity, Strictness, check, splice};

    fn filled(preset: &'static Preset) -> ProviderEntry {
        let mut entry = ProviderEntry::blank(preset, &|_| false);
        entry.id = "new".into();
        entry.models = vec!["m".into()];
        match preset.pay {
            Pay::KeyFile => entry.key = "{\"type\": \"service_account\"}".into(),
            Pay::Key(_) | Pay::Perhaps => entry.key = "key-0123456789abcdef".into(),
        }
        match preset.kind {
            "self-hosted" => entry.baseurl = "http://gpu-box.tail-scale.ts.net:8000".into(),
            "other" => entry.baseurl = "https://llm.example".into(),
            _ => {}
        }
        entry
    }

    #[test]
    fn every_kind_makes_a_provider_that_the_check_has_nothing_against() {
        for preset in &PRESETS {
            let entry = filled(preset);
            assert_eq!(entry.mistakes(&|_| false), [], "{}", preset.kind);
            let text = splice::add_member("{\"grants\": []}", "providers", "new", &entry.piece());
            let checked = check(&text.unwrap(), &CheckOptions::default());
            let config = checked.config.unwrap();
            let provider = &config.providers["new"];
            assert_eq!(
                provider.dialects.len(),
                preset.flags.len(),
                "{}",
                preset.kind
            );
            assert_eq!(provider.tailnet, preset.tailnet);
            if preset.pay == Pay::KeyFile {
                // The file of this test is none; its place is right.
                assert!(provider.missing_secret.is_some() && provider.credential.is_none());
                continue;
            }
            assert!(provider.credential.is_some());
            let errors: Vec<_> = checked
                .findings
                .iter()
                .filter(|f| {
                    f.path.starts_with("providers")
                        && f.severity(Strictness::Save) == Severity::Error
                })
                .collect();
            assert!(errors.is_empty(), "{}: {errors:?}", preset.kind);
        }
    }

    #[test]
    fn a_reference_to_a_stored_key_is_not_taken() {
        let mut entry = filled(&PRESETS[0]);
        for key in [
            "env:ANTHROPIC_API_KEY",
            "file:key",
            "keyfile::e30=",
            PLACEHOLDER,
            "",
            "two words",
        ] {
            entry.key = key.into();
            let mistakes = entry.mistakes(&|_| false);
            assert_eq!(
                mistakes.iter().map(|(field, _)| *field).collect::<Vec<_>>(),
                ["key"],
                "{key}"
            );
        }
        entry.key = "sk-ant-0123456789".into();
        assert_eq!(entry.mistakes(&|id| id == "new")[0].0, "id");
        assert!(!format!("{entry:?}").contains("sk-ant"));
    }

    #[test]
    fn ids_are_free_and_grants_give_something() {
        let taken = |id: &str| ["openai", "openai-2"].contains(&id);
        assert_eq!(ProviderEntry::blank(&PRESETS[1], &taken).id, "openai-3");

        let read = |body: &str| {
            let form = Form::parse(body.as_bytes()).unwrap();
            let entry = GrantEntry::read(&form);
            let mistakes = entry.mistakes(&form);
            (
                entry.piece().inline(),
                mistakes.iter().map(|(field, _)| *field).collect::<Vec<_>>(),
            )
        };
        assert_eq!(
            read("who=bob%40example.com%0D%0Atag%3Aci&role=user&scope=some&models=openai%2F**&models=x%2Fy"),
            (
                "{ \"src\": [\"bob@example.com\", \"tag:ci\"], \"app\": { \"tailscale.com/cap/aperture\": [{ \"role\": \"user\" }, \
                 { \"models\": \"openai/**\" }, { \"models\": \"x/y\" }] } }"
                    .to_owned(),
                vec![]
            )
        );
        assert_eq!(read("who=*&role=admin&scope=all").1, ["role"]);
        assert_eq!(read("who=bob&role=user").1, ["who"]);
        assert_eq!(read("role=user&scope=some").1, ["who", "models"]);
        assert_eq!(read("who=group%3Aeng&role=none&scope=none").1, ["role"]);
    }
}
