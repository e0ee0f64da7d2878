//! Looks into JSON text without building a tree.
//!
//! Owns: walking one level of an object or array as spans of the original text. In: JSON text. Out: keys and values,
//! duplicates included, borrowed; a value of an unexpected kind is simply not there.
//! `serde_json` reads the outermost object, and with that validates all of the text. What lies inside is then only
//! skipped through, from quote to quote, since a history is walked four levels deep and mostly long strings: measured on
//! histories of half a megabyte, that takes half the time of asking `serde_json` again at every level.

use serde::de::{Deserializer as _, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt, marker::PhantomData};

/// One value, as it stands in a text that was validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Raw<'a>(&'a str);

impl<'a> Raw<'a> {
    /// Its text.
    pub(super) fn get(self) -> &'a str {
        self.0
    }
}

/// The value that `text` is.
pub(super) fn parse(text: &str) -> Result<Raw<'_>, serde_json::Error> {
    serde_json::from_str(text).map(|raw: &RawValue| Raw(raw.get()))
}

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
pub(super) fn members<'a>(raw: Raw<'a>, mut each: impl FnMut(&str, Raw<'a>)) {
    let mut scan = Scan::inside(raw, b'{');
    while let Some(key) = scan.next() {
        let Some(value) = scan.next() else { return };
        if let Some(key) = string(key) {
            each(&key, value);
        }
    }
}

/// Calls `each` with every element, if the value is an array.
pub(super) fn elements<'a>(raw: Raw<'a>, each: impl FnMut(Raw<'a>)) {
    Scan::inside(raw, b'[').for_each(each);
}

/// Calls `each` with every element, or with the one object that stands for a list of one (protobuf in JSON).
pub(super) fn one_or_many<'a>(raw: Raw<'a>, mut each: impl FnMut(Raw<'a>)) {
    if is_object(raw) {
        each(raw);
    } else {
        elements(raw, each);
    }
}

/// The values inside a container, one after the other; the keys of an object are values too.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn inside(raw: Raw<'a>, open: u8) -> Self {
        let begins = raw.0.as_bytes().first() == Some(&open);
        Self {
            text: raw.0,
            at: if begins { 1 } else { raw.0.len() },
        }
    }

    /// Behind the string whose first character is at `at`.
    fn string_end(&self, mut at: usize) -> usize {
        let bytes = self.text.as_bytes();
        while let Some(found) = bytes
            .get(at..)
            .and_then(|rest| memchr::memchr2(b'"', b'\\', rest))
        {
            at += found;
            if bytes[at] == b'"' {
                return at + 1;
            }
            at += 2;
        }
        bytes.len()
    }

    /// Behind the object or array that begins at `at`.
    fn container_end(&self, mut at: usize) -> usize {
        let mut depth = 0_usize;
        while let Some(byte) = self.text.as_bytes().get(at) {
            at += 1;
            match byte {
                b'"' => at = self.string_end(at),
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        return at;
                    }
                }
                _ => {}
            }
        }
        at
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Raw<'a>;

    fn next(&mut self) -> Option<Raw<'a>> {
        let bytes = self.text.as_bytes();
        let between = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':');
        while bytes.get(self.at).is_some_and(between) {
            self.at += 1;
        }
        let begin = self.at;
        self.at = match bytes.get(begin)? {
            b'"' => self.string_end(begin + 1),
            b'{' | b'[' => self.container_end(begin),
            b'}' | b']' => return None,
            _ => {
                let ends = |byte: &u8| between(byte) || matches!(byte, b'}' | b']');
                let rest = &bytes[begin..];
                begin + rest.iter().position(ends).unwrap_or(rest.len())
            }
        };
        self.text.get(begin..self.at).map(Raw)
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
    if memchr::memchr(b'\\', inner.as_bytes()).is_some() {
        serde_json::from_str(raw.get()).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// The value as it is written in least space: no white space between tokens, and no escapes that need not be (`\u003c` is
/// `<`). Programs differ in both.
pub(super) fn plain(raw: Raw<'_>) -> Cow<'_, str> {
    let text = raw.get();
    if memchr::memchr3(b'\\', b' ', b'\n', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let (scan, mut at) = (Scan { text, at: 0 }, 0);
    let between = |plain: &mut String, text: &str| {
        plain.extend(text.split_ascii_whitespace());
    };
    while let Some(found) = memchr::memchr(b'"', &text.as_bytes()[at..]) {
        let begin = at + found;
        let end = scan.string_end(begin + 1);
        let token = Raw(&text[begin..end]);
        between(&mut plain, &text[at..begin]);
        match string(token).filter(|_| token.0.contains('\\')) {
            Some(string) => plain.push_str(&serde_json::Value::from(string).to_string()),
            None => plain.push_str(token.0),
        }
        at = end;
    }
    between(&mut plain, &text[at..]);
    Cow::Owned(plain)
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

struct Members<'a, F>(F, PhantomData<&'a ()>);

impl<'a, F: FnMut(&str, Raw<'a>)> Visitor<'a> for Members<'a, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(mut self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<Key<'a>>()? {
            let value: &'a RawValue = map.next_value()?;
            (self.0)(&key.0, Raw(value.get()));
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<i32>().prop_map(|quarters| Value::from(f64::from(quarters) / 4.0)),
            "[a-z\"\\\\/{}\\[\\],: \néü🌍]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::vec(("[a-z\"\\\\]{0,4}", inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// Puts a value together again from what the walkers see of it.
    fn rebuild(raw: Raw<'_>) -> Value {
        match raw.get().as_bytes()[0] {
            b'{' => {
                let mut object = serde_json::Map::new();
                members(raw, |key, value| {
                    object.insert(key.to_owned(), rebuild(value));
                });
                Value::Object(object)
            }
            b'[' => {
                let mut list = Vec::new();
                elements(raw, |element| list.push(rebuild(element)));
                Value::Array(list)
            }
            b'"' => Value::from(string(raw).unwrap()),
            _ => serde_json::from_str(raw.get()).unwrap(),
        }
    }

    proptest! {
        #[test]
        fn the_walkers_see_what_serde_json_sees(json in any_json(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) }.unwrap();
            prop_assert_eq!(rebuild(parse(&text).unwrap()), json.clone());
            let mut seen = serde_json::Map::new();
            let whole = object(&text, |key, value| {
                seen.insert(key.to_owned(), rebuild(value));
            });
            prop_assert_eq!(whole.is_ok().then_some(Value::Object(seen)), json.is_object().then_some(json));
        }
    }

    #[test]
    fn escapes_and_spaces_that_need_not_be_are_gone() {
        for (escaped, text) in [
            (
                r#"{"a\u003c":"\u003cb\u003e \"\n\u00e9\/", "n":1}"#,
                r#"{"a<":"<b> \"\né/","n":1}"#,
            ),
            (
                r#"["\ud83c\udf0d","\ud800","\\"]"#,
                r#"["🌍","\ud800","\\"]"#,
            ),
            ("{\n  \"a b\": [1, true]\n}", r#"{"a b":[1,true]}"#),
            (r#"{"a":"b"}"#, r#"{"a":"b"}"#),
        ] {
            assert_eq!(plain(parse(escaped).unwrap()), text);
        }
    }

    #[test]
    fn other_kinds_are_not_there() {
        let raw = parse(r#"{"a":1,"b":[true,null],"a":"x\u0041","c":12.0,"d":-1}"#).unwrap();
        assert_eq!(
            get(raw, "a").and_then(string).as_deref(),
            Some("xA"),
            "the last one"
        );
        assert_eq!(get(raw, "c").and_then(count), Some(12));
        assert_eq!(get(raw, "d").and_then(count), None);
        assert_eq!(get(raw, "b").and_then(string), None);
        assert_eq!(get(get(raw, "b").unwrap(), "a"), None);
        elements(raw, |_| unreachable!("an object has no elements"));
    }
}
