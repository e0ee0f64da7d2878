//! Earlier versions: looked at, and put back.
//!
//! Must not know: how the history is kept.

use super::{
    Done, author,
    edit::{against, editing, failed, saved_at},
    view::{Draft, Notice, Past, notice, unix},
};
use crate::{
    dashboard::{Dashboard, Missing, form::Form, layout::Frame, pages::settings as pages},
    editor::{EditError, Etag},
};
use http::StatusCode;
use maud::Markup;

/// A version's page.
pub(super) async fn past(
    dashboard: &Dashboard,
    frame: &Frame<'_>,
    number: u64,
    show: &str,
    notice: Option<Notice>,
) -> Result<Markup, Missing> {
    let editor = &dashboard.editor;
    let found = editor.version(number).await?;
    let (version, text) = found.ok_or(Missing::NotFound)?;
    let earlier = editor.history(Some(number), 1).await?;
    let before = match earlier.first() {
        Some(earlier) => editor.version(earlier.number).await?,
        None => None,
    };
    let page = Past {
        version: &version,
        text: &unix(&text),
        document: &editor.document().await,
        before: before.map(|(version, text)| (version.number, unix(&text))),
        show,
        notice,
        token: dashboard.tokens.of(frame.caller),
    };
    Ok(pages::history::version(frame, &page))
}

/// Puts a version back, or opens its text for editing.
pub(super) async fn revert(
    dashboard: &Dashboard,
    frame: &Frame<'_>,
    number: u64,
    form: &Form,
) -> Result<Done, Missing> {
    let editor = &dashboard.editor;
    if form.get("do") == "edit" {
        let found = editor.version(number).await?;
        let (_, text) = found.ok_or(Missing::NotFound)?;
        let document = editor.document().await;
        let draft = Draft::with(&document, unix(&text));
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
    let Some(expected) = Etag::parse(form.get("etag")) else {
        return Err(Missing::NotFound);
    };
    let (status, notice) = match editor
        .revert(number, expected, author(frame), frame.now)
        .await
    {
        Ok(saved) => return Ok(Done::Saved(saved_at(&saved.document.etag))),
        Err(EditError::NotAdmin) => return Err(Missing::AdminsOnly),
        Err(EditError::NoVersion(_)) => return Err(Missing::NotFound),
        Err(EditError::Stale { .. }) => {
            let text = "Nothing was put back. The difference below is to the document as it is now: look at it again.";
            let title = "The document has changed meanwhile.";
            (StatusCode::CONFLICT, notice(title, text))
        }
        Err(EditError::Refused(review)) => {
            let why = against(frame, &review);
            let first = review.problems.iter().find(|problem| problem.blocks);
            let first = first.map_or_else(String::new, |problem| {
                format!(
                    " Line {}: {}.",
                    problem.finding.line, problem.finding.message
                )
            });
            let text = format!("{}{first} Edit this version's text instead.", why.text);
            (StatusCode::UNPROCESSABLE_ENTITY, notice(&why.title, &text))
        }
        Err(error) => failed(&error),
    };
    let page = past(dashboard, frame, number, "", Some(notice)).await?;
    Ok(Done::Page(status, "Version", page))
}
