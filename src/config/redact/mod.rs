//! The document without its secrets, and back.
//!
//! Owns: [`redact`] and, in [`restore()`], the way back with its rule: a stored secret goes nowhere it did not go before.
//! `rules` says which texts are secrets. In: text. Out: text with the same comments and layout.
//! Must not know: who reads or saves.

mod align;
mod comments;
mod destination;
mod restore;
mod rules;

pub use restore::{Restored, restore};

use super::{
    finding::{element, member},
    syntax::Room,
};
use jsonc_parser::{
    CollectOptions, CommentCollectionStrategy, ParseOptions, ast,
    common::{Range, Ranged},
    parse_to_ast,
};
use rules::Context;
use std::collections::{BTreeMap, BTreeSet};

/// How often a secret is looked for in a text: each in each, which no document of people makes much work of.
const MAX_SEARCHES: usize = 20_000_000;

/// What stands in the place of a secret.
pub const PLACEHOLDER: &str = "(secret, not shown)";

/// Takes the secrets out of a document: keys, header values, and what looks like them in texts and comments.
///
/// References (`env:NAME`, `file:NAME`) stay, since they are not secrets. A text that is no document comes back as a
/// comment that says so.
pub fn redact(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Some(document) = Sites::read(text) else {
        return "// not shown: this is not a readable document\n".to_owned();
    };
    let secrets = document.secrets();
    let mut edits: Vec<(Range, String)> = Vec::new();
    for site in &document.strings {
        let shown = match site.shown() {
            Some(shown) => rules::scrub(&shown, secrets.iter().filter(|secret| secret.len() >= 8)),
            None => PLACEHOLDER.to_owned(),
        };
        if shown != site.value {
            edits.push((site.range, quote(&shown)));
        }
    }
    for &range in &document.comments {
        let comment = &text[range.start..range.end];
        let shown = rules::scrub_comment(comment, secrets.iter());
        if shown != comment {
            edits.push((range, shown));
        }
    }
    splice(text, edits)
}

/// One string (or number) value of a document.
struct Site {
    range: Range,
    path: String,
    value: String,
    context: Context,
}

impl Site {
    /// The value as it may be shown; none = not at all.
    fn shown(&self) -> Option<String> {
        rules::shown(&self.value, self.context)
    }
}

/// The values and comments of a document.
#[derive(Default)]
struct Sites {
    strings: Vec<Site>,
    comments: Vec<Range>,
    room: Room,
}

impl Sites {
    /// Reads a text, as loosely as possible: redaction must not depend on validity. None = it can't be read, or not in bounds.
    fn read(text: &str) -> Option<Self> {
        let collect = CollectOptions {
            comments: CommentCollectionStrategy::Separate,
            tokens: false,
        };
        let parsed = parse_to_ast(text, &collect, &ParseOptions::default()).ok()?;
        let comments: BTreeMap<usize, Range> = parsed
            .comments
            .iter()
            .flat_map(std::collections::HashMap::values)
            .flat_map(|comments| comments.iter())
            .map(|comment| (comment.start(), comment.range()))
            .collect();
        let mut sites = Self {
            strings: Vec::new(),
            comments: comments.into_values().collect(),
            room: Room::default(),
        };
        if let Some(root) = &parsed.value {
            sites.walk(root, "", Context::Plain);
        }
        let texts = sites.strings.len() + sites.comments.len();
        let searches = texts.saturating_mul(sites.secrets().len());
        (!sites.room.is_full() && searches <= MAX_SEARCHES).then_some(sites)
    }

    /// The secrets themselves, long enough to be told from other words.
    fn secrets(&self) -> BTreeSet<&str> {
        self.strings
            .iter()
            .filter(|site| site.shown().as_deref() != Some(site.value.as_str()))
            .map(|site| rules::secret_part(&site.value))
            .filter(|secret| secret.len() >= 6)
            .collect()
    }

    fn walk(&mut self, node: &ast::Value<'_>, path: &str, context: Context) {
        if !self.room.take(path) {
            return;
        }
        let value = match node {
            ast::Value::Object(object) => {
                for property in &object.properties {
                    if self.room.is_full() {
                        return;
                    }
                    let key = property.name.as_str();
                    let inner =
                        context.inside(key, matches!(property.value, ast::Value::Object(_)));
                    self.walk(&property.value, &member(path, key), inner);
                }
                return;
            }
            ast::Value::Array(array) => {
                for (index, item) in array.elements.iter().enumerate() {
                    if self.room.is_full() {
                        return;
                    }
                    self.walk(item, &element(path, index), context);
                }
                return;
            }
            ast::Value::StringLit(literal) => literal.value.clone().into_owned(),
            ast::Value::NumberLit(literal) if context == Context::Secret => {
                literal.value.to_owned()
            }
            _ => return,
        };
        self.strings.push(Site {
            range: node.range(),
            path: path.to_owned(),
            value,
            context,
        });
    }
}

/// A JSON string.
fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Replaces ranges that do not overlap.
fn splice(text: &str, mut edits: Vec<(Range, String)>) -> String {
    edits.sort_by_key(|(range, _)| range.start);
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (range, replacement) in edits {
        out.push_str(&text[done..range.start]);
        out.push_str(&replacement);
        done = range.end;
    }
    out.push_str(&text[done..]);
    out
}

#[cfg(test)]
mod tests;
