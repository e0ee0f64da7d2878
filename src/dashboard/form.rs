//! What a page sends back: a form's fields, and the token that shows that a page of ours made the form.
//!
//! Owns: [`Form`] and [`Tokens`]. Identity is ambient on a tailnet, so a page of another origin could have a browser send a form
//! as its user. The server refuses foreign origins; the token holds where a browser says nothing of the origin. It is
//! bound to the caller and to this process. In: a body, a caller. Out: fields, byte for byte; a token, or whether one holds.
//! Must not know: what forms are for.

use crate::identity::Caller;
use percent_encoding::percent_decode;
use ring::{hmac, rand::SystemRandom};
use std::{fmt, fmt::Write as _};

/// Fields of a form that are read.
const FIELDS: usize = 2_000;

/// The field that carries the token.
pub(super) const TOKEN: &str = "token";

/// The fields of a form, in order.
#[derive(Clone, Default)]
pub(super) struct Form(Vec<(String, String)>);

/// Makes tokens, and knows its own.
pub(super) struct Tokens(hmac::Key);

impl Form {
    /// Reads a body; none when it is not UTF-8, or has too many fields.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let mut fields = Vec::new();
        for pair in body
            .split(|byte| *byte == b'&')
            .filter(|pair| !pair.is_empty())
        {
            if fields.len() == FIELDS {
                return None;
            }
            let at = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = pair.split_at(at.unwrap_or(pair.len()));
            fields.push((decode(name)?, decode(value.get(1..).unwrap_or_default())?));
        }
        Some(Self(fields))
    }

    /// The first value of that name; empty when there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// Whether there is a field of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// All values of that name.
    pub(super) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let fields = self.0.iter().filter(move |(field, _)| field == name);
        fields.map(|(_, value)| value.as_str())
    }

    /// A text of several lines, as a document has it: browsers make every line end CRLF.
    pub(super) fn text(&self, name: &str) -> String {
        self.get(name).replace("\r\n", "\n")
    }

    /// The words of a field with one a line, without doubles.
    pub(super) fn lines(&self, name: &str) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for line in self.all(name).flat_map(str::lines).map(str::trim) {
            if !line.is_empty() && !lines.iter().any(|known| known == line) {
                lines.push(line.to_owned());
            }
        }
        lines
    }
}

fn decode(bytes: &[u8]) -> Option<String> {
    let spaced: Vec<u8> = bytes
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    let decoded = percent_decode(&spaced).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

impl fmt::Debug for Form {
    /// The names alone: a form may hold a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

impl Tokens {
    /// With a key that this process alone has.
    pub(super) fn new() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        Self(key.expect("invariant: the system has random bytes"))
    }

    /// The caller's.
    pub(super) fn of(&self, caller: &Caller) -> String {
        let tag = hmac::sign(&self.0, &signed(caller));
        let mut text = String::with_capacity(64);
        for byte in tag.as_ref() {
            // Writing to a String can't fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// Whether a token is the caller's, in a time that says nothing of how much of it is right.
    pub(super) fn hold(&self, caller: &Caller, token: &str) -> bool {
        let pairs = token.as_bytes().chunks(2);
        let bytes: Option<Vec<u8>> = pairs
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        bytes.is_some_and(|tag| hmac::verify(&self.0, &signed(caller), &tag).is_ok())
    }
}

/// What a token is about: who, by the key that is never given to another.
fn signed(caller: &Caller) -> Vec<u8> {
    format!("settings\0{}\0{}", caller.user, caller.login).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_byte_for_byte() {
        let form =
            Form::parse(b"text=a+%2B%0D%0A%C3%BC%3D%26&text=2&empty=&bare&who=x%0d%0a+y+%0Ax")
                .unwrap();
        assert_eq!(form.get("text"), "a +\r\n\u{fc}=&");
        assert_eq!(form.text("text"), "a +\n\u{fc}=&");
        assert_eq!(
            form.all("text").collect::<Vec<_>>(),
            ["a +\r\n\u{fc}=&", "2"]
        );
        assert_eq!((form.get("empty"), form.get("none")), ("", ""));
        assert!(form.has("empty") && form.has("bare") && !form.has("none"));
        assert_eq!(form.lines("who"), ["x", "y"]);
        assert!(Form::parse(b"text=%ff").is_none());
        assert!(Form::parse(&b"a=&".repeat(FIELDS + 1)).is_none());
        let shown = format!("{:?}", Form::parse(b"apikey=sk-secret").unwrap());
        assert!(shown.contains("apikey") && !shown.contains("sk-secret"));
    }

    #[test]
    fn a_token_is_of_one_caller_and_one_process() {
        let tokens = Tokens::new();
        let (alice, bob) = (
            Caller::named("alice@example.com"),
            Caller::named("bob@example.com"),
        );
        let token = tokens.of(&alice);
        assert!(tokens.hold(&alice, &token));
        assert!(!tokens.hold(&bob, &token));
        assert!(!Tokens::new().hold(&alice, &token));
        for wrong in [
            "",
            "0",
            "zz",
            &token[1..],
            &format!("{token}00"),
            "\u{fc}\u{fc}",
        ] {
            assert!(!tokens.hold(&alice, wrong), "{wrong:?}");
        }
    }
}
