//! What a splice inserts, and how it is written.
//!
//! In: a value of ours, in the order in which people read it. Out: its text on one line, or over several.
//! Must not know: where it goes.

use super::layout::Style;

/// Columns within which a value stays on one line.
const WIDTH: usize = 96;
/// Bytes of an entry that goes to one line because its neighbour does.
pub(super) const LONG: usize = 160;

/// A value to insert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A text.
    Text(String),
    /// `true` or `false`.
    Flag(bool),
    /// An array.
    List(Vec<Piece>),
    /// An object, in this order.
    Object(Vec<(String, Piece)>),
}

impl Piece {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// An array of texts.
    pub fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::List(texts.into_iter().map(Self::text).collect())
    }

    /// An object of these members.
    pub fn object<K: Into<String>>(members: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Object(
            members
                .into_iter()
                .map(|(key, value)| (key.into(), value))
                .collect(),
        )
    }

    /// On one line.
    pub fn inline(&self) -> String {
        match self {
            Self::Text(text) => quote(text),
            Self::Flag(flag) => flag.to_string(),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(Self::inline).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Object(members) if members.is_empty() => "{}".to_owned(),
            Self::Object(members) => {
                let member =
                    |(key, value): &(String, Self)| format!("{}: {}", quote(key), value.inline());
                let members: Vec<_> = members.iter().map(member).collect();
                format!("{{ {} }}", members.join(", "))
            }
        }
    }

    /// Over several lines where it is long, or holds objects that hold something; `indent` is that of its first line.
    pub(super) fn written(&self, style: &Style, indent: &str) -> String {
        let inline = self.inline();
        let fits = indent.chars().count() + inline.chars().count() <= WIDTH;
        let large = matches!(self, Self::Object(members) if members.len() > 2);
        if matches!(self, Self::Text(_) | Self::Flag(_)) || fits && !large {
            inline
        } else {
            self.spread(style, indent, false)
        }
    }

    /// As an entry of a container over several lines: an object has its members on lines of their own.
    pub(super) fn spread_entry(&self, style: &Style, indent: &str) -> String {
        match self {
            Self::Object(members) if !members.is_empty() => self.spread(style, indent, false),
            _ => self.written(style, indent),
        }
    }

    /// Over several lines; `deeply` = its members, too.
    pub(super) fn spread(&self, style: &Style, indent: &str, deeply: bool) -> String {
        let inner = format!("{indent}{}", style.unit);
        let write = |value: &Self| match value {
            Self::Object(members) if deeply && !members.is_empty() => {
                value.spread(style, &inner, false)
            }
            _ => value.written(style, &inner),
        };
        let (open, close, lines) = match self {
            Self::Text(_) | Self::Flag(_) => return self.inline(),
            Self::List(items) => ('[', ']', items.iter().map(write).collect::<Vec<_>>()),
            Self::Object(members) => {
                let line =
                    |(key, value): &(String, Self)| format!("{}: {}", quote(key), write(value));
                ('{', '}', members.iter().map(line).collect())
            }
        };
        if lines.is_empty() {
            return self.inline();
        }
        let mut out = String::from(open);
        for (at, line) in lines.iter().enumerate() {
            out.push_str(style.newline);
            out.push_str(&inner);
            out.push_str(line);
            if style.trailing || at + 1 < lines.len() {
                out.push(',');
            }
        }
        out.push_str(style.newline);
        out.push_str(indent);
        out.push(close);
        out
    }
}

/// A JSON string.
pub(super) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
