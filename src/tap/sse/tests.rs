use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Event(String, Vec<u8>),
    TooLarge,
}

fn own(item: SseItem<'_>) -> Item {
    match item {
        SseItem::Event { name, data } => {
            Item::Event(String::from_utf8_lossy(name).into_owned(), data.to_vec())
        }
        SseItem::TooLarge => Item::TooLarge,
    }
}

fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, limit: usize) -> Vec<Item> {
    let mut items = Vec::new();
    let mut decoder = SseDecoder::with_limit(limit);
    for chunk in chunks {
        decoder.feed(chunk, |item| items.push(own(item)));
    }
    decoder.finish(|item| items.push(own(item)));
    items
}

fn event(name: &str, data: &str) -> Item {
    Item::Event(name.to_owned(), data.as_bytes().to_vec())
}

/// The events of a text, by the plainest reading of the format.
fn reference(text: &[u8]) -> Vec<Item> {
    let text = text.strip_prefix(BOM).unwrap_or(text);
    let mut lines = vec![Vec::new()];
    let mut bytes = text.iter().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\r' => {
                bytes.next_if(|next| **next == b'\n');
                lines.push(Vec::new());
            }
            b'\n' => lines.push(Vec::new()),
            other => lines.last_mut().unwrap().push(*other),
        }
    }
    lines.push(Vec::new());
    let (mut items, mut name, mut data) = (Vec::new(), Vec::new(), Vec::<Vec<u8>>::new());
    for line in lines {
        if line.is_empty() {
            if !data.is_empty() {
                let name = String::from_utf8_lossy(&name).into_owned();
                items.push(Item::Event(name, data.join(&b'\n')));
            }
            name.clear();
            data.clear();
            continue;
        }
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let field = parts.next().unwrap();
        let value = parts.next().unwrap_or(b"");
        let value = value.strip_prefix(b" ").unwrap_or(value).to_vec();
        match field {
            b"data" => data.push(value),
            b"event" => name = value,
            _ => {}
        }
    }
    items
}

#[test]
fn the_format() {
    let cases: [(&str, Vec<Item>); 9] = [
        ("data: a\n\n", vec![event("", "a")]),
        (
            "event: x\r\ndata:a\r\ndata: b\r\n\r\n",
            vec![event("x", "a\nb")],
        ),
        (
            "data: a\r\rdata: b\r\r",
            vec![event("", "a"), event("", "b")],
        ),
        (
            ": comment\n\ndata:  two spaces\n\n",
            vec![event("", " two spaces")],
        ),
        ("\u{feff}data: a\n\n", vec![event("", "a")]),
        ("event: only\n\ndata: b\n\n", vec![event("", "b")]),
        (
            "data\n\nid: 1\nretry: 2\ndata: x\n\n",
            vec![event("", ""), event("", "x")],
        ),
        ("data: no empty line", vec![event("", "no empty line")]),
        ("\n\n\r\n", vec![]),
    ];
    for (text, expected) in cases {
        assert_eq!(decode([text.as_bytes()], EVENT), expected, "{text:?}");
        assert_eq!(reference(text.as_bytes()), expected, "{text:?}");
    }
}

#[test]
fn an_event_over_the_limit_is_passed_over_and_said_to_be() {
    let text = b"data: 0123456789\n\ndata: 0\ndata: 1\ndata: 2\n\ndata: ok\n\ndata: 0123456789";
    let expected = vec![
        Item::TooLarge,
        Item::TooLarge,
        event("", "ok"),
        Item::TooLarge,
    ];
    assert_eq!(decode([&text[..]], 15), expected);
    assert_eq!(decode(text.chunks(1), 15), expected);
}

#[test]
fn the_buffers_stay_within_the_limit() {
    let mut decoder = SseDecoder::with_limit(1000);
    for _ in 0..10_000 {
        decoder.feed(&[b'x'; 100], |_| {});
        assert!(decoder.line.capacity() + decoder.data.capacity() <= 4096);
    }
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"data: ".to_vec()),
        Just(b"data".to_vec()),
        Just(b"event: ".to_vec()),
        Just(b":".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\n\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(BOM.to_vec()),
        Just("héllo 🌍".as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..40),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn the_same_events_however_the_bytes_are_split(
        text in stream(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
        limit in 1..60_usize,
    ) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let chunks = || cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]);
        prop_assert_eq!(decode(chunks(), EVENT), reference(&text));
        prop_assert_eq!(decode(chunks(), limit), decode([&text[..]], limit));
        prop_assert_eq!(decode(text.chunks(1), limit), decode([&text[..]], limit));
    }
}
