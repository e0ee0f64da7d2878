//! Common edits of a document, made in its text: everything else of it stays byte for byte.
//!
//! Owns: [`add_member`], [`add_element`] and, in `admin`, [`make_admin`]. `layout` finds where a new entry goes and how it is
//! indented, `piece` writes it. In: a text (with its comments, commas, line ends) and what is to come. Out: the text with it
//! inserted, or why it can't be. Must not know: what the keys mean, but for `admin`; who edits.

mod admin;
mod layout;
mod piece;

pub use admin::make_admin;
pub use piece::Piece;

use jsonc_parser::{CollectOptions, CommentCollectionStrategy, ParseOptions, ast, parse_to_ast};
use layout::{Comments, Container, Style};

/// Why a text can't be edited this way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpliceError {
    /// It is not a document.
    #[error("the document can't be read: correct it as text first")]
    Unreadable,
    /// Something else stands where the entry would go.
    #[error("{0} is not what it should be: correct it as text first")]
    Occupied(String),
    /// The key is there already.
    #[error("{0} is there already")]
    Exists(String),
    /// There is nothing to do.
    #[error("nothing has to be changed")]
    Nothing,
}

/// One text in the place of a range of the old one.
struct Edit {
    start: usize,
    end: usize,
    text: String,
}

/// A document's text, parsed.
struct Source<'a> {
    text: &'a str,
    /// Bytes before what was parsed: a byte order mark.
    skipped: usize,
    root: Option<ast::Value<'a>>,
    comments: Comments,
}

/// Adds a member to a top-level object, which is made where there is none.
///
/// # Errors
/// When the text can't be read, the key is there, or `object` is no object.
pub fn add_member(
    text: &str,
    object: &str,
    key: &str,
    value: &Piece,
) -> Result<String, SpliceError> {
    let source = Source::read(text)?;
    let member = Piece::object([(key, value.clone())]);
    match source.member(object)? {
        None => source.add_to_root(object, &member),
        Some(ast::Value::Object(found)) => {
            if found.properties.iter().any(|p| p.name.as_str() == key) {
                return Err(SpliceError::Exists(format!("{object}.{key}")));
            }
            let entry = (Some(key), value);
            Ok(source.insert(&Container::object(found), entry))
        }
        Some(_) => Err(SpliceError::Occupied(object.to_owned())),
    }
}

/// Adds an element to a top-level array, which is made where there is none.
///
/// # Errors
/// When the text can't be read, or `array` is no array.
pub fn add_element(text: &str, array: &str, value: &Piece) -> Result<String, SpliceError> {
    let source = Source::read(text)?;
    match source.member(array)? {
        None => source.add_to_root(array, &Piece::List(vec![value.clone()])),
        Some(ast::Value::Array(found)) => {
            Ok(source.insert(&Container::array(found), (None, value)))
        }
        Some(_) => Err(SpliceError::Occupied(array.to_owned())),
    }
}

impl<'a> Source<'a> {
    fn read(text: &'a str) -> Result<Self, SpliceError> {
        let parsed = text.strip_prefix('\u{feff}').unwrap_or(text);
        let collect = CollectOptions {
            comments: CommentCollectionStrategy::Separate,
            tokens: false,
        };
        let options = ParseOptions {
            allow_comments: true,
            allow_trailing_commas: true,
            allow_loose_object_property_names: false,
            allow_missing_commas: false,
            allow_single_quoted_strings: false,
            allow_hexadecimal_numbers: false,
            allow_unary_plus_numbers: false,
            allow_bare_decimal_point_numbers: false,
            allow_non_finite_numbers: false,
            allow_extended_string_escapes: false,
        };
        let found =
            parse_to_ast(parsed, &collect, &options).map_err(|_| SpliceError::Unreadable)?;
        Ok(Self {
            text: parsed,
            skipped: text.len() - parsed.len(),
            comments: Comments::of(parsed, &found),
            root: found.value,
        })
    }

    /// The value of a top-level key; of several, the last, which is the one that counts.
    fn member(&self, key: &str) -> Result<Option<&ast::Value<'a>>, SpliceError> {
        match &self.root {
            None => Ok(None),
            Some(ast::Value::Object(root)) => Ok(last(root, key)),
            Some(_) => Err(SpliceError::Occupied("the document".to_owned())),
        }
    }

    /// Adds a key to the document, which may be empty.
    fn add_to_root(&self, key: &str, value: &Piece) -> Result<String, SpliceError> {
        match &self.root {
            Some(ast::Value::Object(root)) => {
                Ok(self.insert(&Container::object(root), (Some(key), value)))
            }
            Some(_) => Err(SpliceError::Occupied("the document".to_owned())),
            None => {
                let style = Style::of(self.text);
                let whole = Piece::object([(key, value.clone())]);
                let begin = if self.text.is_empty() || self.text.ends_with('\n') {
                    String::new()
                } else {
                    style.newline.to_owned()
                };
                let whole = whole.spread(&style, "", true);
                let at = self.text.len();
                let text = format!("{begin}{whole}{}", style.newline);
                Ok(self.apply(vec![Edit {
                    start: at,
                    end: at,
                    text,
                }]))
            }
        }
    }

    fn insert(&self, container: &Container, entry: (Option<&str>, &Piece)) -> String {
        self.apply(layout::insertion(
            self.text,
            container,
            &self.comments,
            entry,
        ))
    }

    /// Replaces ranges that do not overlap, counted without the byte order mark.
    fn apply(&self, mut edits: Vec<Edit>) -> String {
        edits.sort_by_key(|edit| edit.start);
        let mut out = String::with_capacity(self.text.len() + 512);
        if self.skipped > 0 {
            out.push('\u{feff}');
        }
        let mut done = 0;
        for edit in edits {
            out.push_str(&self.text[done..edit.start]);
            out.push_str(&edit.text);
            done = edit.end;
        }
        out.push_str(&self.text[done..]);
        out
    }
}

/// The last member of that name.
fn last<'o, 'a>(object: &'o ast::Object<'a>, key: &str) -> Option<&'o ast::Value<'a>> {
    let mut members = object.properties.iter().rev();
    members
        .find(|member| member.name.as_str() == key)
        .map(|member| &member.value)
}

#[cfg(test)]
mod tests;
