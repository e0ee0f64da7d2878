//! The document as text: reviewed, saved, or in a conflict.
//!
//! In: a draft, or an edit of the document's text. Out: the page that comes next. Must not know: where an edit came from.

use super::{
    Done, author,
    view::{Conflict, Draft, Editing, Notice, unix},
};
use crate::{
    config::{Class, Finding, splice},
    dashboard::{
        Dashboard, Missing,
        form::Form,
        layout::Frame,
        pages::settings as pages,
        route::{Query, Route, link},
    },
    diff,
    editor::{Document, EditError, Etag, Kind, Review},
};
use http::StatusCode;
use maud::Markup;

/// The document as text: looked at, or saved.
pub(super) async fn edit(
    dashboard: &Dashboard,
    frame: &Frame<'_>,
    form: &Form,
) -> Result<Done, Missing> {
    let editor = &dashboard.editor;
    let draft = Draft::read(form);
    let document = editor.document().await;
    if form.get("do") == "edit" {
        let review = editor.validate(draft.text.clone(), author(frame)).await;
        return Ok(editing(
            dashboard,
            frame,
            StatusCode::OK,
            &document,
            &draft,
            &review,
            None,
        ));
    }
    let expected = Etag::parse(&draft.etag).filter(|etag| *etag == document.etag);
    let Some(expected) = expected else {
        return Ok(conflict(dashboard, frame, &document, &draft).await);
    };
    if form.get("do") != "save" {
        return Ok(reviewed(dashboard, frame, &document, &draft).await);
    }
    let saved = editor.save(draft.text.clone(), expected, author(frame), frame.now);
    match saved.await {
        Ok(saved) => Ok(Done::Saved(saved_at(&saved.document.etag))),
        Err(EditError::Stale { current }) => Ok(conflict(dashboard, frame, &current, &draft).await),
        Err(EditError::NotAdmin) => Err(Missing::AdminsOnly),
        Err(error) => {
            let (review, status, notice) = match error {
                EditError::Refused(review) => {
                    let notice = against(frame, &review);
                    (review, StatusCode::UNPROCESSABLE_ENTITY, notice)
                }
                error => {
                    let review = editor.validate(draft.text.clone(), author(frame)).await;
                    let (status, notice) = failed(&error);
                    (review, status, notice)
                }
            };
            Ok(editing(
                dashboard,
                frame,
                status,
                &document,
                &draft,
                &review,
                Some(notice),
            ))
        }
    }
}

/// The page before a save: the difference, or what stands against it.
pub(super) async fn reviewed(
    dashboard: &Dashboard,
    frame: &Frame<'_>,
    document: &Document,
    draft: &Draft,
) -> Done {
    let editor = &dashboard.editor;
    let review = editor.validate(draft.text.clone(), author(frame)).await;
    if draft.text == unix(&document.text) {
        let notice = Notice {
            against: false,
            title: "Nothing to save.".into(),
            text: "The text is the document as it is.".into(),
        };
        return editing(
            dashboard,
            frame,
            StatusCode::OK,
            document,
            draft,
            &review,
            Some(notice),
        );
    }
    if review.blocked() {
        let notice = against(frame, &review);
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return editing(
            dashboard,
            frame,
            status,
            document,
            draft,
            &review,
            Some(notice),
        );
    }
    let page = Editing {
        document,
        draft,
        review: &review,
        notice: None,
        token: dashboard.tokens.of(frame.caller),
    };
    Done::Page(
        StatusCode::OK,
        "Review changes",
        pages::review::render(&page),
    )
}

pub(super) fn editing(
    dashboard: &Dashboard,
    frame: &Frame<'_>,
    status: StatusCode,
    document: &Document,
    draft: &Draft,
    review: &Review,
    notice: Option<Notice>,
) -> Done {
    let page = Editing {
        document,
        draft,
        review,
        notice,
        token: dashboard.tokens.of(frame.caller),
    };
    Done::Page(status, "Settings", pages::editor::render(frame, &page))
}

/// The document has changed since the text was begun.
pub(super) async fn conflict(
    dashboard: &Dashboard,
    frame: &Frame<'_>,
    current: &Document,
    draft: &Draft,
) -> Done {
    let theirs = unix(&current.text);
    let newest = dashboard.editor.history(None, 1).await.unwrap_or_default();
    let newest = newest.into_iter().next();
    let page = Conflict {
        current,
        draft,
        merged: (!draft.base.is_empty())
            .then(|| diff::merge(&draft.base, &draft.text, &theirs))
            .flatten()
            .filter(|merged| *merged != theirs && *merged != draft.text),
        theirs: newest.filter(|version| version.etag == current.etag.as_str()),
        token: dashboard.tokens.of(frame.caller),
    };
    Done::Page(
        StatusCode::CONFLICT,
        "Changed meanwhile",
        pages::conflict::render(frame, &page),
    )
}

/// Why a text can't be saved, in a sentence.
pub(super) fn against(frame: &Frame<'_>, review: &Review) -> Notice {
    let blocking = review.problems.iter().filter(|problem| problem.blocks);
    let count = blocking.clone().count();
    let secrets = blocking
        .filter(|problem| problem.kind == Kind::Secret)
        .count();
    let (title, text) = if review.locks_out() {
        let login = &frame.caller.login;
        (
            "You would lock yourself out.".to_owned(),
            format!(
                "With this text {login} is not an admin any more, and could not change it back here. Keep a grant that gives {login} the role admin."
            ),
        )
    } else if count > 0 && secrets == count {
        (
            "A secret is needed anew.".to_owned(),
            "A stored secret stays where it is while its address and type stay as they are. At the marked lines write the secret \
             itself in the place of the placeholder, or put the address back."
                .to_owned(),
        )
    } else {
        (
            "Not saved yet.".to_owned(),
            match count {
                1 => "One mistake stands against this text: correct it, then review again."
                    .to_owned(),
                _ => format!(
                    "{count} mistakes stand against this text: correct them, then review again."
                ),
            },
        )
    };
    Notice {
        against: true,
        title,
        text,
    }
}

/// Why a save failed that the text is not to blame for.
pub(super) fn failed(error: &EditError) -> (StatusCode, Notice) {
    let (status, title) = match error {
        EditError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "Too large."),
        EditError::Unwritable { .. } => (StatusCode::FORBIDDEN, "The file can't be written here."),
        EditError::NotInForce { .. } => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "Written, but not in force.",
        ),
        EditError::NoVersion(_) => (StatusCode::NOT_FOUND, "No such version."),
        EditError::NotAdmin
        | EditError::Stale { .. }
        | EditError::Refused(_)
        | EditError::History(_)
        | EditError::Ended => (StatusCode::SERVICE_UNAVAILABLE, "Not saved."),
    };
    tracing::warn!(%error, "the configuration was not saved on the page");
    let notice = Notice {
        against: true,
        title: title.to_owned(),
        text: format!("{error}."),
    };
    (status, notice)
}

/// Where to look after a save.
pub(super) fn saved_at(etag: &Etag) -> String {
    link(&Route::Settings, &[("saved", &etag.as_str()[..12])])
}

/// What is said after a save: only while what was saved is what is there.
pub(super) async fn just_saved(
    dashboard: &Dashboard,
    document: &Document,
    query: &Query,
) -> Option<Notice> {
    let saved = query.get("saved")?;
    if saved.len() < 12 || !document.etag.as_str().starts_with(saved) {
        return None;
    }
    let newest = dashboard.editor.history(None, 1).await.unwrap_or_default();
    let noted = newest
        .first()
        .filter(|version| version.etag == document.etag.as_str());
    let title = if document.in_force {
        "Saved, and in force."
    } else {
        "Saved."
    };
    Some(Notice {
        against: false,
        title: title.to_owned(),
        text: match noted {
            Some(version) => format!("Version {}: {}.", version.number, version.summary),
            None => "The history does not have it yet; the store goes on trying.".to_owned(),
        },
    })
}

/// The document with an edit, ready for review; or why it can't be edited so.
pub(super) async fn spliced(
    dashboard: &Dashboard,
    frame: &Frame<'_>,
    edit: impl Fn(&str) -> Result<String, splice::SpliceError>,
) -> Done {
    let document = dashboard.editor.document().await;
    let base = unix(&document.text);
    // A file that is no document is shown as a comment that says so: an edit of that would take the file's place.
    let broken = |finding: &Finding| finding.class == Class::Broken;
    let edited = if document.exists && !document.findings.iter().any(broken) {
        edit(&base)
    } else {
        Err(splice::SpliceError::Unreadable)
    };
    match edited {
        Ok(text) => {
            let draft = Draft::with(&document, text);
            reviewed(dashboard, frame, &document, &draft).await
        }
        Err(error) => {
            let draft = Draft::of(&document);
            let review = dashboard.editor.validate(base, author(frame)).await;
            let nothing = error == splice::SpliceError::Nothing;
            let said = Notice {
                against: !nothing,
                title: if nothing {
                    "Nothing to do."
                } else {
                    "Not added."
                }
                .to_owned(),
                text: if nothing {
                    "No grant of the document makes everyone an admin.".to_owned()
                } else {
                    format!("{error}.")
                },
            };
            let status = if nothing {
                StatusCode::OK
            } else {
                StatusCode::CONFLICT
            };
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
    }
}

/// The edit that ends "everyone is an admin", for review.
pub(super) async fn make_admin(dashboard: &Dashboard, frame: &Frame<'_>) -> Markup {
    let capability = &frame.state.config.gateway.capability;
    let edit = |text: &str| splice::make_admin(text, &frame.caller.login, capability);
    match spliced(dashboard, frame, edit).await {
        Done::Page(_, _, page) | Done::Part(page) => page,
        Done::Saved(_) => unreachable!("a splice is reviewed before it is saved"),
    }
}
