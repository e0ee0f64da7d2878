//! Captured bodies as a page can show them: decoded, indented, and never more than a bounded piece.
//!
//! In: a captured body and its head. Out: text to escape, and what was left out. A body that can't be decoded is only
//! offered for download. Must not know: HTML, the store.

use super::frames;
use crate::record::{CapturedBody, HeadLines};
use std::io::Read;

/// Bytes of decoded text that are shown of one body.
pub(super) const SHOWN_BYTES: usize = 128 << 10;

/// One body as a page shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// There is none.
    Empty,
    /// Text; `cut` when there is more of it, `framed` when it stands in binary frames.
    Text {
        text: String,
        cut: bool,
        framed: bool,
    },
    /// Not text, or an encoding that is not known: the reason.
    Opaque(String),
}

/// The first value of a header, in any case.
pub(super) fn header<'a>(head: &'a HeadLines, name: &str) -> Option<&'a str> {
    let found = head.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value)
}

/// The ending of a downloaded file's name, by what the head says of the body.
pub(super) fn suffix(head: &HeadLines) -> String {
    let kind = header(head, "content-type").unwrap_or_default();
    let kind = match kind.split(';').next().unwrap_or_default().trim() {
        "application/json" => ".json",
        "text/event-stream" => ".sse.txt",
        "application/vnd.amazon.eventstream" => ".eventstream",
        _ => ".bin",
    };
    let encoding = match header(head, "content-encoding").unwrap_or_default().trim() {
        "gzip" => ".gz",
        "deflate" => ".zz",
        "br" => ".br",
        "zstd" => ".zst",
        _ => "",
    };
    format!("{kind}{encoding}")
}

/// Decodes the first piece of a body.
pub(super) fn show(body: &CapturedBody, head: &HeadLines) -> Shown {
    if body.chunks.iter().all(bytes::Bytes::is_empty) {
        return Shown::Empty;
    }
    let framed = frames::are_in(head);
    // Frames are larger than the text in them, which base64 and checksums have made of it.
    let most = if framed { 4 * SHOWN_BYTES } else { SHOWN_BYTES } + 1;
    let mut decoded = match decoded(body, head, most) {
        Ok(decoded) => decoded,
        Err(why) => return Shown::Opaque(why.into()),
    };
    if framed {
        decoded = frames::read(&decoded).text().into_bytes();
        if decoded.is_empty() {
            return Shown::Opaque("no whole frame is in it".into());
        }
    }
    let cut = decoded.len() > SHOWN_BYTES;
    let piece = &decoded[..decoded.len().min(SHOWN_BYTES)];
    let text = match std::str::from_utf8(piece) {
        Ok(text) => text,
        // A character that the cut has split, not a body that isn't text.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&piece[..error.valid_up_to()]).expect("valid up to here")
        }
        Err(_) => return Shown::Opaque("it is not text".into()),
    };
    let json = header(head, "content-type").is_some_and(|value| value.contains("json"));
    let text = if json || text.trim_start().starts_with(['{', '[']) {
        indent(text)
    } else {
        text.to_owned()
    };
    Shown::Text { text, cut, framed }
}

/// The first `most` bytes of a body, decoded; nothing for no body, and the reason where it can't be decoded.
pub(super) fn decoded(
    body: &CapturedBody,
    head: &HeadLines,
    most: usize,
) -> Result<Vec<u8>, &'static str> {
    if body.chunks.iter().all(bytes::Bytes::is_empty) {
        return Ok(Vec::new());
    }
    let encoding = header(head, "content-encoding").unwrap_or("identity");
    let raw = Chunks {
        left: body.chunks.iter().map(AsRef::as_ref).collect(),
    };
    let decoded = match encoding.trim().to_ascii_lowercase().as_str() {
        "identity" | "" => piece(raw, most),
        "gzip" | "x-gzip" => piece(flate2::read::MultiGzDecoder::new(raw), most),
        "deflate" => piece(flate2::read::ZlibDecoder::new(raw), most),
        "br" => piece(brotli::Decompressor::new(raw, 4_096), most),
        "zstd" => match zstd::stream::read::Decoder::new(raw) {
            Ok(decoder) => piece(decoder, most),
            Err(_) => Vec::new(),
        },
        _ => return Err("its content encoding is not known"),
    };
    if decoded.is_empty() {
        return Err("it can't be decoded");
    }
    Ok(decoded)
}

/// Reads at most so many bytes; what was decoded before an error counts.
fn piece(mut from: impl Read, most: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut buffer = [0; 8_192];
    while out.len() < most {
        match from.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(read) => out.extend_from_slice(&buffer[..read]),
        }
    }
    out.truncate(most);
    out
}

/// The chunks of a body, one after the other.
struct Chunks<'a> {
    left: std::collections::VecDeque<&'a [u8]>,
}

impl Read for Chunks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while let Some(chunk) = self.left.front_mut() {
            if chunk.is_empty() {
                self.left.pop_front();
            } else {
                return chunk.read(buffer);
            }
        }
        Ok(0)
    }
}

/// JSON text with line breaks and indentation; tokens, order and any error in it stay as they are.
///
/// Depth is bounded, and so the output: what is nested deeper is indented no further.
pub(super) fn indent(json: &str) -> String {
    const DEEPEST: usize = 24;
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let (mut quoted, mut escaped) = (false, false);
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        for _ in 0..depth.min(DEEPEST) {
            out.push_str("  ");
        }
    };
    let mut chars = json.chars().peekable();
    while let Some(c) = chars.next() {
        if quoted {
            out.push(c);
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '"' => {
                quoted = true;
                out.push(c);
            }
            '{' | '[' => {
                out.push(c);
                while chars.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(close) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn body(bytes: &[u8]) -> CapturedBody {
        CapturedBody {
            chunks: bytes.chunks(7).map(bytes::Bytes::copy_from_slice).collect(),
            size: bytes.len() as u64,
            ..CapturedBody::default()
        }
    }

    fn head(encoding: &str) -> HeadLines {
        HeadLines::from_iter([
            ("Content-Type", "application/json"),
            ("Content-Encoding", encoding),
        ])
    }

    #[test]
    fn every_encoding_shows_the_same_text() {
        let text = br#"{"a":[1,{}],"b":"x, \"{y}\" \\"}"#;
        let gzip = {
            let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            to.write_all(text).unwrap();
            to.finish().unwrap()
        };
        let deflate = {
            let mut to = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            to.write_all(text).unwrap();
            to.finish().unwrap()
        };
        let br = {
            let mut to = brotli::CompressorWriter::new(Vec::new(), 4_096, 4, 20);
            to.write_all(text).unwrap();
            to.into_inner()
        };
        let zstd = zstd::stream::encode_all(&text[..], 1).unwrap();
        let expected = Shown::Text {
            text: "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": \"x, \\\"{y}\\\" \\\\\"\n}".into(),
            cut: false,
            framed: false,
        };
        for (encoding, bytes) in [
            ("identity", text.to_vec()),
            ("gzip", gzip),
            ("Deflate", deflate),
            ("br", br),
            ("zstd", zstd),
        ] {
            assert_eq!(show(&body(&bytes), &head(encoding)), expected, "{encoding}");
        }
    }

    #[test]
    fn what_cannot_be_shown_is_said() {
        assert_eq!(show(&body(b""), &HeadLines::default()), Shown::Empty);
        for (bytes, encoding) in [(&b"junk"[..], "gzip"), (b"junk", "lzma"), (b"\xff\xfe", "")] {
            assert!(matches!(
                show(&body(bytes), &head(encoding)),
                Shown::Opaque(_)
            ));
        }
    }

    #[test]
    fn a_bomb_shows_no_more_than_its_first_piece() {
        let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        for _ in 0..8 {
            to.write_all(&vec![b'a'; 1 << 20]).unwrap();
        }
        let bomb = to.finish().unwrap();
        let Shown::Text { text, cut, .. } = show(&body(&bomb), &head("gzip")) else {
            panic!("it is text");
        };
        assert!(cut && text.len() == SHOWN_BYTES);
        let deep = "[".repeat(SHOWN_BYTES);
        let Shown::Text { text, .. } = show(&body(deep.as_bytes()), &HeadLines::default()) else {
            panic!("it is text");
        };
        assert!(text.len() < 64 * SHOWN_BYTES);
    }

    #[test]
    fn binary_events_are_shown_as_text() {
        use crate::dashboard::frames::tests::chunk;
        let event = serde_json::json!({ "type": "message_start" });
        let frames = [chunk(&event), chunk(&event)].concat();
        let head = HeadLines::from_iter([("content-type", "application/vnd.amazon.eventstream")]);
        let line = "event: chunk\ndata: {\"type\":\"message_start\"}\n\n";
        let expected = Shown::Text {
            text: line.repeat(2),
            cut: false,
            framed: true,
        };
        assert_eq!(show(&body(&frames), &head), expected);
        assert!(suffix(&head).ends_with(".eventstream"));
        let Shown::Opaque(_) = show(&body(&frames[..20]), &head) else {
            panic!("there is no whole frame");
        };
    }

    #[test]
    fn a_cut_within_a_character_is_still_text() {
        let long = "é".repeat(SHOWN_BYTES);
        let odd = format!("x{long}");
        assert!(matches!(
            show(&body(odd.as_bytes()), &HeadLines::default()),
            Shown::Text { cut: true, .. }
        ));
    }
}
