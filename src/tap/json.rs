//! Looks into JSON text without building a tree.
//!
//! Owns: walking one level of an object or array as spans of the original text (`serde_json`'s [`RawValue`]). In: JSON
//! text. Out: keys and raw values, duplicates included, borrowed; a value of an unexpected kind is simply not there.
//! The text is validated by the first walk over it: a value found inside a walked object is well formed.

use serde::de::{Deserializer as _, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt, marker::PhantomData};

/// One value, as it stands in the text.
pub(super) type Raw<'a> = &'a RawValue;

/// Calls `each` with every member of the object that `text` is, and nothing else is.
pub(super) fn object<'a>(
    text: &'a str,
    each: impl FnMut(&str, Raw<'a>),
) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_map(Members(each, PhantomData))?;
    json.end()
}

/// Calls `each` with every member, if the value is an object.
pub(super) fn members<'a>(raw: Raw<'a>, each: impl FnMut(&str, Raw<'a>)) {
    if raw.get().starts_with('{') {
        // It was validated when it was found; an error could only repeat what the walk above it would have said.
        let _ = object(raw.get(), each);
    }
}

/// Calls `each` with every element, if the value is an array.
pub(super) fn elements<'a>(raw: Raw<'a>, each: impl FnMut(Raw<'a>)) {
    if raw.get().starts_with('[') {
        let mut json = serde_json::Deserializer::from_str(raw.get());
        let _ = json.deserialize_seq(Elements(each, PhantomData));
    }
}

/// The last member of that name.
pub(super) fn get<'a>(raw: Raw<'a>, name: &str) -> Option<Raw<'a>> {
    let mut found = None;
    members(raw, |key, value| {
        if key == name {
            found = Some(value);
        }
    });
    found
}

/// The text of a string; none for other kinds, and for escapes that are no characters.
pub(super) fn string(raw: Raw<'_>) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(raw.get()).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// A count: a whole number, or one written with a fraction of zero.
pub(super) fn count(raw: Raw<'_>) -> Option<u64> {
    let text = raw.get();
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range is checked"
        )]
        (0.0..9e15).contains(&number).then_some(number as u64)
    })
}

/// Whether the value is `true`.
pub(super) fn is_true(raw: Raw<'_>) -> bool {
    raw.get() == "true"
}

/// Whether the value is `null`.
pub(super) fn is_null(raw: Raw<'_>) -> bool {
    raw.get() == "null"
}

/// Whether the value is an object.
pub(super) fn is_object(raw: Raw<'_>) -> bool {
    raw.get().starts_with('{')
}

/// Where the value stands in `text`, of which it must be a part.
pub(super) fn span(text: &str, raw: Raw<'_>) -> std::ops::Range<usize> {
    let start = raw.get().as_ptr().addr() - text.as_ptr().addr();
    start..start + raw.get().len()
}

struct Members<'a, F>(F, PhantomData<Raw<'a>>);

impl<'a, F: FnMut(&str, Raw<'a>)> Visitor<'a> for Members<'a, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(mut self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<Key<'a>>()? {
            (self.0)(&key.0, map.next_value()?);
        }
        Ok(())
    }
}

struct Elements<'a, F>(F, PhantomData<Raw<'a>>);

impl<'a, F: FnMut(Raw<'a>)> Visitor<'a> for Elements<'a, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<S: SeqAccess<'a>>(mut self, mut seq: S) -> Result<(), S::Error> {
        while let Some(element) = seq.next_element()? {
            (self.0)(element);
        }
        Ok(())
    }
}

/// A key: borrowed unless it is written with escapes.
struct Key<'a>(Cow<'a, str>);

impl<'a> serde::Deserialize<'a> for Key<'a> {
    fn deserialize<D: serde::Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'a> Visitor<'a> for Text {
            type Value = Key<'a>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<Key<'a>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Key<'a>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}
