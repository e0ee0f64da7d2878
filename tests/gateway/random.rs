//! Random requests and responses, the same for the same seed.

use super::wire::Lines;
use std::io::Write as _;

/// Splitmix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// Cuts bytes into pieces: few, many, or each byte by itself.
    pub fn cut<'a>(&mut self, bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let most = match self.below(4) {
            0 => 1,
            1 => 3,
            2 => 20,
            _ if bytes.len() < 400 => return bytes.chunks(1).collect(),
            _ => 60,
        };
        let mut cuts: Vec<usize> = (0..self.below(most))
            .map(|_| self.below(bytes.len() + 1))
            .collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        cuts.dedup();
        cuts.windows(2)
            .map(|pair| &bytes[pair[0]..pair[1]])
            .collect()
    }

    /// A body in chunks of random sizes, some with extensions.
    pub fn chunked(&mut self, body: &[u8], trailers: &Lines) -> Vec<u8> {
        let mut wire = Vec::new();
        for piece in self.cut(body) {
            if piece.is_empty() {
                continue;
            }
            let extension = self.of(&["", "", ";name=value"]);
            write!(wire, "{:x}{extension}\r\n", piece.len()).unwrap();
            wire.extend_from_slice(piece);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n");
        wire.extend(lines(trailers));
        wire.extend_from_slice(b"\r\n");
        wire
    }

    /// Header lines that nobody knows: any bytes that may stand in one, some names more than once.
    pub fn header_lines(&mut self) -> Lines {
        let count = self.below(12);
        (0..count)
            .map(|_| {
                let name = format!("x-random-{}", self.below(8));
                let length = self.below(40);
                let value: Vec<u8> = (0..length)
                    .map(|_| match self.below(12) {
                        0 => b' ',
                        1 => 0x80 + self.next().to_le_bytes()[0] % 0x80,
                        _ => b'!' + self.next().to_le_bytes()[0] % 94,
                    })
                    .collect();
                (name, value.trim_ascii().to_vec())
            })
            .collect()
    }

    /// Text between the parts of a JSON document.
    fn space(&mut self) -> &'static str {
        self.of(&["", "", "", " ", "\n", "\t ", "\r\n  "])
    }

    /// A JSON string with odd escapes.
    pub fn json_string(&mut self) -> String {
        let length = match self.below(40) {
            0 => 20_000 + self.below(100_000),
            1..4 => self.below(2_000),
            _ => self.below(20),
        };
        let mut text = String::from("\"");
        while text.len() <= length {
            text.push_str(self.of(&[
                "a",
                "Z ",
                "\\n",
                "\\u00e9",
                "é",
                "\\ud83d\\ude00",
                "😀",
                "\\\"",
                "\\\\",
                "\\/",
                "{",
                "]",
                ",",
                "\\u0000",
                "data: ",
                "\\r\\n",
                "\u{2028}",
                "\\\"model\\\":",
                "lorem ipsum dolor sit amet ",
            ]));
        }
        text.push('"');
        text
    }

    fn json_value(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 5 } else { 8 }) {
            0 => "null".into(),
            1 => self.of(&["true", "false"]).to_string(),
            2 => self
                .of(&[
                    "0",
                    "-0",
                    "1e400",
                    "1.000",
                    "-12.5E-3",
                    "123456789012345678901234567890",
                ])
                .to_string(),
            3 | 4 => self.json_string(),
            5 | 6 => {
                let items: Vec<_> = (0..self.below(4))
                    .map(|_| self.json_value(depth - 1))
                    .collect();
                self.joined('[', &items, ']')
            }
            _ => {
                let items: Vec<_> = (0..self.below(4))
                    .map(|_| {
                        let (key, value) = (self.json_string(), self.json_value(depth - 1));
                        format!("{key}{}:{}{value}", self.space(), self.space())
                    })
                    .collect();
                self.joined('{', &items, '}')
            }
        }
    }

    fn joined(&mut self, open: char, items: &[String], close: char) -> String {
        let mut text = String::from(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(self.space());
            text.push_str(item);
            text.push_str(self.space());
        }
        text.push(close);
        text
    }

    /// A JSON object with these members somewhere among others: unknown keys, some twice, in any order.
    pub fn json_object(&mut self, members: &[(&str, String)]) -> String {
        let mut all: Vec<String> = members
            .iter()
            .map(|(key, value)| format!("\"{key}\"{}:{}{value}", self.space(), self.space()))
            .collect();
        for _ in 0..self.below(8) {
            let key = self
                .of(&[
                    "\"messages\"",
                    "\"input\"",
                    "\"metadata\"",
                    "\"x_unknown\"",
                    "\"tools\"",
                    "\"temperature\"",
                    "\"mod\\u0065ls_\"",
                    "\"\"",
                    "\"system\"",
                    "\"é\"",
                ])
                .to_string();
            let value = self.json_value(3);
            let at = self.below(all.len() + 1);
            all.insert(at, format!("{key}{}:{}{value}", self.space(), self.space()));
        }
        let first = self.below(all.len());
        all.rotate_left(first);
        let (before, after) = (self.space(), self.space());
        format!("{before}{}{after}", self.joined('{', &all, '}'))
    }
}

/// Header lines as they stand on the wire.
pub fn lines(lines: &Lines) -> Vec<u8> {
    let mut wire = Vec::new();
    for (name, value) in lines {
        write!(wire, "{name}: ").unwrap();
        wire.extend_from_slice(value);
        wire.extend_from_slice(b"\r\n");
    }
    wire
}
