//! The normal form of a turn, as a hash.
//!
//! Clients do not repeat their history byte for byte: they move cache marks, turn block lists into strings, drop
//! thinking, and put reminders into the user's text. Two renderings of the same turn must hash alike, or a conversation
//! falls apart; so a turn is its role, its visible text, its tool calls (name and arguments) and its tool results, and
//! nothing else. In: parts, or fragments of them as they stream. Out: one number a turn; [`chain`] links them.
//! The numbers are kept in records, so this form is fixed: a change of it splits conversations that are under way.

use blake3::Hasher;
use std::borrow::Cow;

/// Who speaks in a turn. Tool results are the user's side; system texts are no turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The person, or the program that answers for them.
    User,
    /// The model.
    Assistant,
}

/// The hash of a conversation that goes on from `before` with one more turn.
pub fn chain(before: u64, turn: u64) -> u64 {
    let mut both = [0; 16];
    both[..8].copy_from_slice(&before.to_le_bytes());
    both[8..].copy_from_slice(&turn.to_le_bytes());
    first64(&blake3::hash(&both))
}

/// The first eight bytes of a hash, as a number.
pub(crate) fn first64(hash: &blake3::Hash) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// Collects the parts of one turn.
#[derive(Clone, Debug, Default)]
pub(super) struct TurnHash {
    text: TextHash,
    calls: Vec<u64>,
    results: TextHash,
    result_count: u64,
    /// Bytes of texts.
    size: usize,
}

/// Bytes from which a reply's text is like no other.
const LONG: usize = 80;

impl TurnHash {
    /// A whole text, or a fragment of the one that is open.
    pub(super) fn text(&mut self, fragment: &str) {
        self.size = self.size.saturating_add(fragment.len());
        self.text.fragment(fragment);
    }

    /// Whether its texts are long enough to be told from every other turn's.
    pub(super) fn is_long(&self) -> bool {
        self.size >= LONG
    }

    /// The open text ends: white space around it does not count.
    pub(super) fn end_text(&mut self) {
        self.text.end_part();
    }

    /// Something that is not text (an image), by its kind alone.
    pub(super) fn other(&mut self, kind: &str) {
        self.text.fragment("\u{1}");
        self.text.fragment(kind);
        self.text.end_part();
    }

    /// A finished call.
    pub(super) fn call(&mut self, call: u64) {
        self.calls.push(call);
    }

    /// The result of a call.
    pub(super) fn result(&mut self, text: &str) {
        self.results.fragment(text);
        self.results.end_part();
        self.result_count += 1;
    }

    /// Whether nothing visible was said.
    pub(super) fn is_empty(&self) -> bool {
        !self.text.any && self.calls.is_empty() && self.result_count == 0
    }

    /// The turn's hash.
    pub(super) fn finish(&self, role: Role) -> u64 {
        let mut hasher = Hasher::new();
        hasher.update(&[match role {
            Role::User => 0,
            Role::Assistant => 1,
        }]);
        hasher.update(self.text.digest().as_bytes());
        for call in &self.calls {
            hasher.update(&call.to_le_bytes());
        }
        if self.result_count > 0 {
            hasher.update(&self.result_count.to_le_bytes());
            hasher.update(self.results.digest().as_bytes());
        }
        first64(&hasher.finalize())
    }
}

/// Texts one after the other, each without the white space around it.
#[derive(Clone, Debug, Default)]
struct TextHash {
    hasher: Option<Box<Hasher>>,
    /// White space that counts only if more text follows in the same part.
    pending: String,
    open: bool,
    any: bool,
}

impl TextHash {
    /// White space inside a text is remembered up to here; what lies beyond does not count.
    const PENDING: usize = 4096;

    fn fragment(&mut self, fragment: &str) {
        let text = if self.open {
            fragment
        } else {
            fragment.trim_start()
        };
        let body = text.trim_end();
        if !body.is_empty() {
            let hasher = self.hasher.get_or_insert_default();
            hasher.update(self.pending.as_bytes());
            self.pending.clear();
            hasher.update(body.as_bytes());
            self.open = true;
            self.any = true;
        }
        if self.open {
            let room = Self::PENDING - self.pending.len();
            self.pending
                .push_str(super::clip(&text[body.len()..], room));
        }
    }

    fn end_part(&mut self) {
        self.pending.clear();
        self.open = false;
    }

    fn digest(&self) -> blake3::Hash {
        match &self.hasher {
            Some(hasher) => hasher.finalize(),
            None => blake3::hash(b""),
        }
    }
}

/// One tool call: its name and its arguments, JSON without the white space between tokens.
#[derive(Clone, Debug)]
pub(super) struct CallHash {
    hasher: Box<Hasher>,
    in_string: bool,
    escaped: bool,
    any: bool,
}

impl CallHash {
    /// A call of that tool.
    pub(super) fn new(name: &str) -> Self {
        let mut hasher = Box::new(Hasher::new());
        hasher.update(name.as_bytes());
        hasher.update(&[0xff]);
        Self {
            hasher,
            in_string: false,
            escaped: false,
            any: false,
        }
    }

    /// The next piece of the arguments.
    pub(super) fn arguments(&mut self, fragment: &str) {
        let bytes = fragment.as_bytes();
        let mut kept = 0;
        for (at, byte) in bytes.iter().enumerate() {
            if self.in_string {
                if self.escaped {
                    self.escaped = false;
                } else if *byte == b'\\' {
                    self.escaped = true;
                } else if *byte == b'"' {
                    self.in_string = false;
                }
            } else if *byte == b'"' {
                self.in_string = true;
            } else if byte.is_ascii_whitespace() {
                self.hasher.update(&bytes[kept..at]);
                self.any |= at > kept;
                kept = at + 1;
            }
        }
        self.hasher.update(&bytes[kept..]);
        self.any |= bytes.len() > kept;
    }

    /// The call's hash; no arguments at all are an empty object.
    pub(super) fn finish(&self) -> u64 {
        if self.any {
            return first64(&self.hasher.finalize());
        }
        let mut hasher = self.hasher.clone();
        hasher.update(b"{}");
        first64(&hasher.finalize())
    }
}

/// Elements that clients put into the user's text and rewrite from turn to turn.
const WRAPPERS: [&str; 5] = [
    "system-reminder",
    "session_context",
    "environment_context",
    "info-msg",
    "current_datetime",
];

/// Beginnings of texts that clients write themselves when they want a title.
const MACHINE_TEXTS: [&str; 2] = [
    "Generate a title for this conversation:",
    "---BEGIN USER MESSAGES---",
];

/// What of a user's text is theirs: wrapped context and the white space around it taken out.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    let mut rest = text.trim();
    if MACHINE_TEXTS.iter().any(|text| rest.starts_with(text)) {
        return Cow::Borrowed("");
    }
    let mut kept = String::new();
    let mut from = 0;
    while let Some(found) = rest[from..].find('<') {
        let at = from + found;
        if let Some(length) = wrapper(&rest[at..]) {
            kept.push_str(&rest[..at]);
            rest = &rest[at + length..];
            from = 0;
        } else {
            from = at + 1;
        }
    }
    if kept.is_empty() {
        Cow::Borrowed(rest.trim())
    } else {
        kept.push_str(rest);
        Cow::Owned(kept.trim().to_owned())
    }
}

/// The length of the wrapper that `text` begins with; one that does not end goes to the end.
fn wrapper(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('<')?;
    let name = WRAPPERS.iter().find(|name| {
        inner
            .strip_prefix(**name)
            .is_some_and(|after| after.starts_with(['>', ' ', '\n']))
    })?;
    let mut from = 0;
    while let Some(found) = text[from..].find("</") {
        let at = from + found + 2;
        if let Some(after) = text[at..].strip_prefix(name)
            && after.starts_with('>')
        {
            return Some(at + name.len() + 1);
        }
        from = at;
    }
    Some(text.len())
}
