//! `/ui/settings/`: what is read for its pages, and what their forms do.
//!
//! Owns: which page or form does what. `edit` is the way of an edit: text → review with the difference → save; `forms` make one
//! (`entry`, of kinds in `preset`); `history` puts versions back; `view` is what pages are made of. In: an admin whom the tailnet
//! has identified, and a form whose token holds. Out: a page, a part of one, or the address to go to. Every change goes
//! through the editor, which judges it again. A form's text is never lost: whatever stands against it comes back with it.
//! Must not know: files, how pages look.

mod edit;
pub(super) mod entry;
mod forms;
mod history;
pub(super) mod preset;
pub(super) mod view;

use super::{
    Dashboard, Missing,
    form::{Form, TOKEN},
    layout::Frame,
    pages::settings as pages,
    route::{Query, Route},
};
use crate::{
    config::splice,
    diff,
    editor::{Author, Through},
};
use edit::{edit, editing, just_saved, make_admin, spliced};
use entry::{GrantEntry, Mistakes, ProviderEntry};
use forms::{grant, provider, taken};
use history::{past, revert};
use http::StatusCode;
use maud::Markup;
use preset::preset;
use view::{Draft, Editing, ProviderForm, notice};

/// Versions on a page of the history.
const VERSIONS: usize = 50;

/// What a form came to.
pub(super) enum Done {
    /// A page.
    Page(StatusCode, &'static str, Markup),
    /// A part of one.
    Part(Markup),
    /// Something was saved: where to look.
    Saved(String),
}

fn author(frame: &Frame<'_>) -> Author {
    Author {
        caller: frame.caller.clone(),
        through: Through::Page,
    }
}

/// A page of the settings, as somebody opens it.
pub(super) async fn open(
    dashboard: &Dashboard,
    frame: &Frame<'_>,
    route: &Route,
    query: &Query,
) -> Result<(&'static str, Markup), Missing> {
    let editor = &dashboard.editor;
    let token = dashboard.tokens.of(frame.caller);
    Ok(match route {
        Route::History => {
            let before = query.get("before").and_then(|text| text.parse().ok());
            let mut versions = editor.history(before, VERSIONS + 1).await?;
            let more = versions.len() > VERSIONS;
            versions.truncate(VERSIONS);
            let document = editor.document().await;
            let page = pages::history::render(frame, &versions, more, &document);
            ("History", page)
        }
        Route::Version(number) => {
            let show = query.get("show").unwrap_or_default();
            (
                "Version",
                past(dashboard, frame, *number, show, None).await?,
            )
        }
        Route::AddProvider => {
            let Some(preset) = query.get("kind").and_then(preset) else {
                return Ok(("Add a provider", pages::provider::kinds()));
            };
            let config = &frame.state.config;
            let form = ProviderForm {
                entry: &ProviderEntry::blank(preset, &taken(config)),
                mistakes: Mistakes::new(),
                tried: None,
                token,
            };
            ("Add a provider", pages::provider::form(&form))
        }
        Route::AddGrant => {
            let entry = GrantEntry {
                role: "user".into(),
                ..GrantEntry::default()
            };
            let page = grant(dashboard, frame, &entry, Mistakes::new(), "all").await?;
            ("Add a grant", page)
        }
        Route::MakeAdmin => ("Make me the admin", make_admin(dashboard, frame).await),
        _ => {
            let document = editor.document().await;
            let draft = Draft::of(&document);
            let review = editor.validate(draft.text.clone(), author(frame)).await;
            let notice = just_saved(dashboard, &document, query).await;
            let page = Editing {
                document: &document,
                draft: &draft,
                review: &review,
                notice,
                token,
            };
            ("Settings", pages::editor::render(frame, &page))
        }
    })
}

/// What a form does; its token has been looked at.
pub(super) async fn take(
    dashboard: &Dashboard,
    frame: &Frame<'_>,
    route: &Route,
    form: &Form,
) -> Result<Done, Missing> {
    match route {
        Route::Check => {
            let draft = Draft::read(form);
            let editor = &dashboard.editor;
            let review = editor.validate(draft.text.clone(), author(frame)).await;
            let changed = diff::count(&draft.base, &draft.text);
            Ok(Done::Part(pages::problems::part(&review, changed)))
        }
        Route::AddProvider => provider(dashboard, frame, form).await,
        Route::AddGrant => {
            let entry = GrantEntry::read(form);
            let mistakes = entry.mistakes(form);
            if !mistakes.is_empty() {
                let page = grant(dashboard, frame, &entry, mistakes, form.get("scope")).await?;
                return Ok(Done::Page(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "Add a grant",
                    page,
                ));
            }
            let edit = |text: &str| splice::add_element(text, "grants", &entry.piece());
            Ok(spliced(dashboard, frame, edit).await)
        }
        Route::Version(number) => revert(dashboard, frame, *number, form).await,
        _ => edit(dashboard, frame, form).await,
    }
}

/// A form whose token does not hold: nothing is done, and what was typed comes back.
pub(super) async fn stale_form(
    dashboard: &Dashboard,
    frame: &Frame<'_>,
    route: &Route,
    form: &Form,
) -> Result<Done, Missing> {
    let said = notice(
        "Nothing was changed.",
        "This page was made before the gateway was started again, or for somebody else. Look at what is here, and send it again.",
    );
    let status = StatusCode::FORBIDDEN;
    let token = dashboard.tokens.of(frame.caller);
    Ok(match route {
        Route::AddProvider => {
            let preset = preset(form.get("kind")).ok_or(Missing::NotFound)?;
            let page = ProviderForm {
                entry: &ProviderEntry::read(preset, form),
                mistakes: vec![("id", said.text)],
                tried: None,
                token,
            };
            Done::Page(status, "Add a provider", pages::provider::form(&page))
        }
        Route::AddGrant => {
            let entry = GrantEntry::read(form);
            let mistakes = vec![("who", said.text)];
            let page = grant(dashboard, frame, &entry, mistakes, form.get("scope")).await?;
            Done::Page(status, "Add a grant", page)
        }
        Route::Version(number) => {
            let page = past(dashboard, frame, *number, "", Some(said)).await?;
            Done::Page(status, "Version", page)
        }
        _ => {
            let document = dashboard.editor.document().await;
            let draft = Draft::read(form);
            let review = dashboard
                .editor
                .validate(draft.text.clone(), author(frame))
                .await;
            editing(
                dashboard,
                frame,
                status,
                &document,
                &draft,
                &review,
                Some(said),
            )
        }
    })
}

/// The token of a form.
pub(super) fn token(form: &Form) -> &str {
    form.get(TOKEN)
}
