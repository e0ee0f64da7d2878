//! The forms that add a provider and a grant, and the trial of a provider.
//!
//! In: what was filled in. Out: the form again with what is wrong, or the edit for review. Must not know: the document's text.

use super::{
    Done,
    edit::spliced,
    entry::{GrantEntry, Mistakes, ProviderEntry},
    preset::preset,
    view::{GrantForm, ProviderForm, Tried},
};
use crate::{
    config::{CheckOptions, Config, check, splice},
    dashboard::{Dashboard, Missing, form::Form, layout::Frame, pages::settings as pages},
};
use http::StatusCode;
use maud::Markup;

/// Whether there is a provider of that id.
pub(super) fn taken(config: &Config) -> impl Fn(&str) -> bool {
    |id| config.providers.contains_key(id)
}

pub(super) async fn provider(
    dashboard: &Dashboard,
    frame: &Frame<'_>,
    form: &Form,
) -> Result<Done, Missing> {
    let preset = preset(form.get("kind")).ok_or(Missing::NotFound)?;
    let entry = ProviderEntry::read(preset, form);
    let mut mistakes = entry.mistakes(&taken(&frame.state.config));
    let trial = form.get("do") == "test";
    if !trial && entry.models.is_empty() {
        let text = "At least one model, by the name that the provider gives it. Test the key to be shown what it has.";
        mistakes.push(("models", text.into()));
    }
    let status = if mistakes.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    if mistakes.is_empty() && !trial {
        let edit = |text: &str| splice::add_member(text, "providers", &entry.id, &entry.piece());
        return Ok(spliced(dashboard, frame, edit).await);
    }
    let tried = if trial && mistakes.is_empty() {
        Some(attempt(dashboard, &entry).await)
    } else {
        None
    };
    let form = ProviderForm {
        entry: &entry,
        mistakes,
        tried,
        token: dashboard.tokens.of(frame.caller),
    };
    let page = pages::provider::form(&form);
    Ok(Done::Page(status, "Add a provider", page))
}

/// Asks a provider that is not in the document yet: with the key of the form and nothing that is stored.
pub(super) async fn attempt(dashboard: &Dashboard, entry: &ProviderEntry) -> Tried {
    let Ok(text) = splice::add_member("", "providers", &entry.id, &entry.piece()) else {
        return Tried::Not("the form does not make a provider".into());
    };
    // Neither an environment nor a directory of secrets: nothing that is stored can get in.
    let options = CheckOptions {
        allow_local_upstreams: dashboard.allow_local,
        ..CheckOptions::default()
    };
    let checked = check(&text, &options);
    let provider = checked
        .config
        .as_ref()
        .and_then(|config| config.providers.get(entry.id.as_str()));
    let Some(provider) = provider else {
        let path = format!("providers.{}", entry.id);
        let mut found = checked
            .findings
            .iter()
            .filter(|finding| finding.path.starts_with(&path));
        let why = found
            .next()
            .map_or("it can't be used as it is", |finding| &finding.message);
        return Tried::Not(why.to_owned());
    };
    if let Some(missing) = &provider.missing_secret {
        return Tried::Not(missing.clone());
    }
    let Ok(_running) = dashboard.trials.try_acquire() else {
        return Tried::Not(
            "others are being tried at the moment: try again in a few seconds".into(),
        );
    };
    Tried::Asked((dashboard.probe)(provider.clone()).await)
}

pub(super) async fn grant(
    dashboard: &Dashboard,
    frame: &Frame<'_>,
    entry: &GrantEntry,
    mistakes: Mistakes,
    scope: &str,
) -> Result<Markup, Missing> {
    let form = GrantForm {
        entry,
        mistakes,
        providers: frame
            .state
            .config
            .providers
            .keys()
            .map(ToString::to_string)
            .collect(),
        people: dashboard.source.logins().await?,
        scope,
        token: dashboard.tokens.of(frame.caller),
    };
    Ok(pages::grant::render(&form))
}
