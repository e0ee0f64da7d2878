//! One page of a list of models.
//!
//! Owns: how the dialects ask for a part of a list. In: the visible models, a query. Out: [`Page`], or what is wrong with
//! the query. A model that several providers serve is one model here: cursors are names.
//! Must not know: shapes.

use crate::{policy::VisibleModel, proxy::error::Failure};
use percent_encoding::percent_decode_str;

/// Models in one page at most, and where nothing is asked for: the lists are short, and not every client asks for more.
const LARGEST: usize = 1000;

/// A part of the list.
pub(super) struct Page<'a> {
    pub(super) models: Vec<&'a VisibleModel>,
    /// Whether there are more in the direction that was asked for.
    pub(super) has_more: bool,
}

impl<'a> Page<'a> {
    /// `limit`, `after_id`, `before_id`.
    pub(super) fn anthropic(models: &[&'a VisibleModel], query: &str) -> Result<Self, Failure> {
        let mut models = once(models);
        let limit = size(query, "limit")?;
        if let Some(id) = parameter(query, "before_id") {
            let end = place(&models, "before_id", &id)?;
            models.truncate(end);
            let start = end.saturating_sub(limit);
            return Ok(Self {
                models: models.split_off(start),
                has_more: start > 0,
            });
        }
        Self::after(models, limit, "after_id", parameter(query, "after_id"))
    }

    /// `pageSize`, `pageToken`.
    pub(super) fn google(models: &[&'a VisibleModel], query: &str) -> Result<Self, Failure> {
        let limit = size(query, "pageSize")?;
        Self::after(
            once(models),
            limit,
            "pageToken",
            parameter(query, "pageToken"),
        )
    }

    fn after(
        mut models: Vec<&'a VisibleModel>,
        limit: usize,
        key: &str,
        cursor: Option<String>,
    ) -> Result<Self, Failure> {
        if let Some(id) = cursor {
            let last = place(&models, key, &id)?;
            models.drain(..=last);
        }
        let has_more = models.len() > limit;
        models.truncate(limit);
        Ok(Self { models, has_more })
    }
}

/// The first of each name.
fn once<'a>(models: &[&'a VisibleModel]) -> Vec<&'a VisibleModel> {
    let mut seen = std::collections::BTreeSet::new();
    let mut models = models.to_vec();
    models.retain(|model| seen.insert(&*model.model));
    models
}

fn size(query: &str, key: &str) -> Result<usize, Failure> {
    let Some(text) = parameter(query, key) else {
        return Ok(LARGEST);
    };
    match text.parse::<usize>() {
        Ok(size @ 1..) => Ok(size.min(LARGEST)),
        _ => Err(Failure::BadRequest(format!(
            "{key} must be a number from 1 to {LARGEST}"
        ))),
    }
}

fn place(models: &[&VisibleModel], key: &str, id: &str) -> Result<usize, Failure> {
    let found = models.iter().position(|model| *model.model == *id);
    found.ok_or_else(|| Failure::BadRequest(format!("{key} names no model of this list")))
}

/// One parameter of a query, percent-decoded; an empty one is none.
fn parameter(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let wanted = key == name && !value.is_empty();
        wanted.then(|| percent_decode_str(value).decode_utf8_lossy().into_owned())
    })
}
