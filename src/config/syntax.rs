//! From text to a JSON value, remembering where everything stands.
//!
//! Owns: [`Source`] (the value and its places) and the rule of what is `HuJSON`: JSON, comments, trailing commas.
//! In: text. Out: a value, a place for every key path, and notes on syntax and duplicate keys. When the syntax is broken
//! in a way that can be guessed, the guess is read on, so that the other mistakes are reported too.
//! Must not know: which keys exist.

use super::finding::{Class, Notes, element, member};
use jsonc_parser::{
    CollectOptions, ParseOptions, ast,
    common::Ranged,
    errors::{ParseError, ParseErrorKind},
    parse_to_ast,
};
use serde_json::Value;
use std::{borrow::Cow, collections::HashMap, str::FromStr};

/// Largest document that is read, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 4 << 20;
/// What all values of a document may take with their key paths, which repeat every key above them: one long key with many
/// values below it would fill the memory. Documents of people need a hundredth of it.
const MAX_PATH_BYTES: usize = 32 << 20;
/// What is kept of each value besides its path.
const ENTRY_BYTES: usize = 64;
/// Missing commas that are guessed before giving up.
const MAX_GUESSES: usize = 50;

/// A document's text, read.
pub(crate) struct Source {
    /// The value; none when nothing could be read.
    pub(crate) value: Option<Value>,
    /// Where everything stands.
    pub(crate) places: Places,
}

/// Where key paths stand in the text.
pub(crate) struct Places {
    /// Byte offset of key and value, by key path.
    offsets: HashMap<String, (usize, usize)>,
    /// The text, for columns.
    text: String,
    /// Byte offset of each line's begin.
    lines: Vec<usize>,
    room: Room,
}

/// What is left for key paths.
pub(crate) struct Room {
    left: usize,
    full: bool,
}

/// Reads a text.
pub(crate) fn parse(text: &str, notes: &mut Notes) -> Source {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut places = Places::new(text);
    if text.len() > MAX_DOCUMENT_BYTES {
        let message =
            format!("the document is larger than {MAX_DOCUMENT_BYTES} bytes and is not read");
        notes.add(Class::Broken, "", message);
        return Source {
            value: None,
            places,
        };
    }
    let (text, lenient) = guess(text, notes);
    let value = match parse_to_ast(&text, &CollectOptions::default(), &options(lenient)) {
        Ok(parsed) => {
            let root = parsed
                .value
                .map(|root| convert(root, "", &mut places, notes));
            if root.is_none() {
                notes.add(Class::Broken, "", "config must not be empty");
            }
            if places.room.is_full() {
                let message = "the document has too many values, or too long keys above them, and is not read";
                notes.add(Class::Broken, "", message);
            }
            root.filter(|_| !places.room.is_full())
        }
        // Reported by `guess`.
        Err(_) => None,
    };
    Source { value, places }
}

/// Line and column of the value at a key path, or of the nearest key above it.
pub fn place_of(text: &str, path: &str) -> (usize, usize) {
    parse(text, &mut Notes::default()).places.value(path)
}

/// The value of a document as far as it can be read, without judging it.
pub fn outline(text: &str) -> Value {
    let source = parse(text, &mut Notes::default());
    source.value.unwrap_or(Value::Null)
}

/// Reports broken syntax; returns the nearest text that may parse, with every byte at its place, and how to parse it.
fn guess<'a>(text: &'a str, notes: &mut Notes) -> (Cow<'a, str>, bool) {
    let mut text = Cow::Borrowed(text);
    for _ in 0..MAX_GUESSES {
        let Err(error) = parse_to_ast(&text, &CollectOptions::default(), &options(false)) else {
            return (text, false);
        };
        let start = error.range().start;
        let note = notes.add(Class::Broken, "", reason(&error));
        note.on_byte(start);
        if let Some(hint) = advice(error.kind()) {
            note.hint(hint);
        }
        let blank = text
            .as_bytes()
            .get(start)
            .is_some_and(u8::is_ascii_whitespace);
        if !(matches!(error.kind(), ParseErrorKind::ExpectedComma) && blank) {
            break;
        }
        text.to_mut().replace_range(start..=start, ",");
    }
    (text, true)
}

/// What `HuJSON` permits; leniently, what people write when they are wrong.
fn options(lenient: bool) -> ParseOptions {
    ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: lenient,
        allow_missing_commas: lenient,
        allow_single_quoted_strings: lenient,
        allow_hexadecimal_numbers: lenient,
        allow_unary_plus_numbers: lenient,
        allow_bare_decimal_point_numbers: lenient,
        allow_non_finite_numbers: lenient,
        allow_extended_string_escapes: lenient,
    }
}

/// The parser's reason, in our style and without any of the document's text.
fn reason(error: &ParseError) -> String {
    let text = match error.kind() {
        ParseErrorKind::ExpectedComma => "expected a comma".to_owned(),
        ParseErrorKind::String(
            jsonc_parser::ParseStringErrorKind::InvalidUnicodeEscapeSequence(_),
        ) => "invalid unicode escape sequence".to_owned(),
        other => other.to_string(),
    };
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_lowercase().chain(letters).collect())
        .unwrap_or_default()
}

/// What to do about broken syntax.
fn advice(kind: &ParseErrorKind) -> Option<&'static str> {
    Some(match kind {
        ParseErrorKind::ExpectedComma => "add a comma between the two values",
        ParseErrorKind::SingleQuotedStringsNotAllowed | ParseErrorKind::UnexpectedWord => {
            "write texts in double quotes"
        }
        ParseErrorKind::ExpectedStringObjectProperty => "write keys in double quotes",
        ParseErrorKind::UnterminatedObject => "a closing } is missing",
        ParseErrorKind::UnterminatedArray => "a closing ] is missing",
        ParseErrorKind::MultipleRootJsonValues => "the document is one object in braces",
        _ => return None,
    })
}

/// Turns a syntax node into a value; the last of duplicate keys counts, as everywhere.
fn convert(node: ast::Value<'_>, path: &str, places: &mut Places, notes: &mut Notes) -> Value {
    let start = node.start();
    if !places.room.take(path) {
        return Value::Null;
    }
    places
        .offsets
        .entry(path.to_owned())
        .or_insert((start, start))
        .1 = start;
    match node {
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::BooleanLit(literal) => Value::Bool(literal.value),
        ast::Value::StringLit(literal) => Value::String(literal.value.into_owned()),
        ast::Value::NumberLit(literal) => {
            if let Ok(number) = serde_json::Number::from_str(literal.value) {
                return Value::Number(number);
            }
            notes.damage(path);
            notes.add(Class::Mistake, path, "this number is not usable");
            Value::Null
        }
        ast::Value::Array(array) => {
            let mut values = Vec::new();
            for (index, node) in array.elements.into_iter().enumerate() {
                if places.room.is_full() {
                    break;
                }
                values.push(convert(node, &element(path, index), places, notes));
            }
            Value::Array(values)
        }
        ast::Value::Object(object) => {
            let mut map = serde_json::Map::new();
            for property in object.properties {
                if places.room.is_full() {
                    break;
                }
                let key_start = property.start();
                let key = property.name.into_string();
                let path = member(path, &key);
                if map.contains_key(&key) {
                    notes
                        .add(
                            Class::Mistake,
                            path.clone(),
                            format!("duplicate config key {key:?}"),
                        )
                        .hint("the last one counts; remove the others")
                        .on_byte(key_start);
                }
                places.offsets.insert(path.clone(), (key_start, key_start));
                let value = convert(property.value, &path, places, notes);
                map.insert(key, value);
            }
            Value::Object(map)
        }
    }
}

// === impl Room ===

impl Default for Room {
    fn default() -> Self {
        Self {
            left: MAX_PATH_BYTES,
            full: false,
        }
    }
}

impl Room {
    /// Takes room for a value; false when there is none, from then on.
    pub(crate) fn take(&mut self, path: &str) -> bool {
        let left = self.left.checked_sub(path.len() + ENTRY_BYTES);
        self.full |= left.is_none();
        self.left = left.unwrap_or(0);
        !self.full
    }

    /// Whether something had no room.
    pub(crate) const fn is_full(&self) -> bool {
        self.full
    }
}

// === impl Places ===

impl Places {
    fn new(text: &str) -> Self {
        let begins = text.match_indices('\n').map(|(newline, _)| newline + 1);
        Self {
            offsets: HashMap::new(),
            text: text.to_owned(),
            lines: std::iter::once(0).chain(begins).collect(),
            room: Room::default(),
        }
    }

    /// Line and column of the value at a path, or of the nearest key above it.
    pub(crate) fn value(&self, path: &str) -> (usize, usize) {
        match self.offsets.get(path) {
            Some(&(_, value)) => self.line_column(value),
            None => self.key(path),
        }
    }

    /// Line and column of the key at a path, or of the nearest key above it.
    pub(crate) fn key(&self, path: &str) -> (usize, usize) {
        let mut path = path;
        loop {
            if let Some(&(key, _)) = self.offsets.get(path) {
                return self.line_column(key);
            }
            let Some(cut) = path.rfind(['.', '[']) else {
                return match self.offsets.get("") {
                    Some(&(root, _)) => self.line_column(root),
                    None => (1, 1),
                };
            };
            path = &path[..cut];
        }
    }

    /// Line and column of a byte, from 1; columns count characters.
    pub(crate) fn line_column(&self, offset: usize) -> (usize, usize) {
        let offset = offset.min(self.text.len());
        let line = self.lines.partition_point(|&begin| begin <= offset);
        let begin = self.lines[line - 1];
        let column = self
            .text
            .get(begin..offset)
            .map_or(offset - begin, |head| head.chars().count());
        (line, column + 1)
    }
}
