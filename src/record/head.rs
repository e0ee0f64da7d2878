//! The lines of a head, as they are kept.
//!
//! Owns: [`HeadLines`]. In: names and values. Out: the same, in order; serialised as a list of pairs.
//! Must not know: HTTP, which values are secret.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Header lines in two pieces of memory, however many there are: they are made while a request waits, and given back by
/// another thread.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HeadLines {
    /// All names and values, one behind the other.
    text: String,
    /// Where each name and each value ends.
    ends: Vec<(usize, usize)>,
}

impl HeadLines {
    /// Nothing yet, and room for so many lines of together so many bytes.
    pub fn with_capacity(lines: usize, bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
            ends: Vec::with_capacity(lines),
        }
    }

    /// The next line.
    pub fn push(&mut self, name: &str, value: &str) {
        self.text.push_str(name);
        let name = self.text.len();
        self.text.push_str(value);
        self.ends.push((name, self.text.len()));
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        let mut begin = 0;
        self.ends.iter().map(move |&(name, value)| {
            let line = (&self.text[begin..name], &self.text[name..value]);
            begin = value;
            line
        })
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes in memory, about.
    pub fn size(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<(usize, usize)>()
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for HeadLines {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(lines: I) -> Self {
        let mut head = Self::default();
        for (name, value) in lines {
            head.push(name.as_ref(), value.as_ref());
        }
        head
    }
}

impl fmt::Debug for HeadLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Serialize for HeadLines {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for HeadLines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<(String, String)>::deserialize(deserializer).map(Self::from_iter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [(&str, &str); 4] = [
        ("accept", "*/*"),
        ("x-empty", ""),
        ("x-twice", "one"),
        ("x-twice", "zwölf"),
    ];

    #[test]
    fn lines_come_back_as_they_went_in() {
        let head = HeadLines::from_iter(LINES);
        assert!(head.iter().eq(LINES));
        assert_eq!((head.len(), head.is_empty()), (4, false));
        assert!(HeadLines::default().is_empty());
        assert!(head.size() >= "accept*/*".len());
    }

    #[test]
    fn they_are_written_as_pairs() {
        let head = HeadLines::from_iter(LINES);
        let json = serde_json::to_value(&head).unwrap();
        assert_eq!(json, serde_json::to_value(LINES).unwrap());
        let packed = rmp_serde::to_vec_named(&LINES.to_vec()).unwrap();
        assert_eq!(rmp_serde::to_vec_named(&head).unwrap(), packed);
        assert_eq!(rmp_serde::from_slice::<HeadLines>(&packed).unwrap(), head);
    }
}
