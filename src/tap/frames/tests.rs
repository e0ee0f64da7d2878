use super::*;
use proptest::prelude::*;

/// A frame with text headers.
pub(in crate::tap) fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(u8::try_from(name.len()).unwrap());
        block.extend_from_slice(name.as_bytes());
        block.push(7);
        block.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        block.extend_from_slice(value.as_bytes());
    }
    let length = |length: usize| u32::try_from(length).unwrap().to_be_bytes();
    let mut frame = Vec::new();
    frame.extend(length(PRELUDE + block.len() + payload.len() + CHECKSUM));
    frame.extend(length(block.len()));
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame.extend(block);
    frame.extend_from_slice(payload);
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame
}

/// An event, as Bedrock frames it.
pub(in crate::tap) fn event(kind: &str, payload: &[u8]) -> Vec<u8> {
    let headers = [
        (":event-type", kind),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    frame(&headers, payload)
}

/// The events; none for what is no event.
fn decode<'a>(
    limit: usize,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<Result<(String, Vec<u8>), &'static str>> {
    let mut decoder = FrameDecoder::with_limit(limit);
    let mut items = Vec::new();
    for chunk in chunks {
        decoder.feed(chunk, |item| {
            items.push(match item {
                FrameItem::Event { kind, payload } => Ok((kind.to_owned(), payload.to_vec())),
                FrameItem::Exception { kind, payload } => {
                    assert!(kind.is_empty() || kind == "throttlingException", "{kind}");
                    assert!(payload.is_empty() || payload == b"{\"message\":\"slow\"}");
                    Err("exception")
                }
                FrameItem::Unreadable => Err("unreadable"),
            });
        });
    }
    items
}

/// What is read of a frame, or why nothing is.
type Read = Result<(String, Vec<u8>), &'static str>;

#[expect(
    clippy::unnecessary_wraps,
    reason = "compared with what may also be an error"
)]
fn named(kind: &str, payload: &[u8]) -> Read {
    Ok((kind.to_owned(), payload.to_vec()))
}

/// The first frame of a reply that real clients accepted, byte by byte.
#[test]
fn the_accepted_frame_is_what_it_is() {
    let bytes = b"\0\0\0\x83\0\0\0\x52\x16\x01\x25\xf3\x0b:event-type\x07\0\x0cmessageStart\r:content-type\x07\0\x10application/json\r:message-type\x07\0\x05event{\"role\": \"assistant\", \"p\": \"abc\"}\xdf\x43\xe8\x95";
    let payload = b"{\"role\": \"assistant\", \"p\": \"abc\"}";
    assert_eq!(event("messageStart", payload), bytes);
    assert_eq!(decode(131, [&bytes[..]]), [named("messageStart", payload)]);
}

#[test]
fn damage_costs_one_frame_and_a_bad_length_the_rest() {
    let (one, two) = (event("a", b"1"), event("b", b"22"));
    let both = [&one[..], &two[..]].concat();
    let good = [named("a", b"1"), named("b", b"22")];
    assert_eq!(decode(1000, [&both[..]]), good);

    let mut payload = both.clone();
    payload[one.len() - 5] ^= 1;
    assert_eq!(
        decode(1000, [&payload[..]]),
        [Err("unreadable"), named("b", b"22")]
    );
    let mut length = both.clone();
    length[3] ^= 1;
    assert_eq!(decode(1000, [&length[..]]), [Err("unreadable")]);
    let large = [&event("c", &[b'x'; 500])[..], &two[..]].concat();
    assert_eq!(
        decode(200, large.chunks(3)),
        [Err("unreadable"), named("b", b"22")]
    );
    let mut short = vec![0, 0, 0, 13, 0, 0, 0, 0];
    short.extend(crc32fast::hash(&short).to_be_bytes());
    assert_eq!(decode(200, [&short[..]]), [Err("unreadable")]);
}

#[test]
fn exceptions_are_told_from_events() {
    let exception = frame(
        &[
            (":exception-type", "throttlingException"),
            (":message-type", "exception"),
        ],
        b"{\"message\":\"slow\"}",
    );
    let error = frame(&[(":message-type", "error")], b"");
    let plain = frame(&[], b"x");
    assert_eq!(
        decode(1000, [&exception[..], &error[..], &plain[..]]),
        [Err("exception"), Err("exception"), named("", b"x")]
    );
}

/// A length that promises gigabytes takes what has come, and no more.
#[test]
fn a_promise_takes_no_memory() {
    let mut decoder = FrameDecoder::default();
    let mut prelude = vec![0, 0x7f, 0xff, 0xff, 0, 0, 0, 0];
    prelude.extend(crc32fast::hash(&prelude).to_be_bytes());
    decoder.feed(&prelude, |_| unreachable!());
    assert!(decoder.held.capacity() < 100);
    let mut unreadable = 0;
    for _ in 0..100 {
        decoder.feed(&vec![0; 1 << 20], |_| unreadable += 1);
        assert!(decoder.held.capacity() <= 2 * FRAME);
    }
    assert!(unreadable > 0);
}

proptest! {
    #[test]
    fn frames_come_back_in_any_split(
        events in proptest::collection::vec(("[a-z]{0,9}", proptest::collection::vec(any::<u8>(), 0..60)), 0..8),
        size in 1..50_usize,
    ) {
        let bytes: Vec<u8> = events.iter().flat_map(|(kind, payload)| event(kind, payload)).collect();
        let expected: Vec<_> = events.iter().map(|(kind, payload)| named(kind, payload)).collect();
        prop_assert_eq!(decode(1000, bytes.chunks(size)), expected);
    }

    #[test]
    fn damaged_frames_give_the_same_items_in_any_split(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        size in 1..50_usize,
        limit in 0..200_usize,
    ) {
        let mut bytes = [event("a", b"one"), event("bc", b"{}"), event("d", &[7; 90])].concat();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        prop_assert_eq!(decode(limit, bytes.chunks(size)), decode(limit, [&bytes[..]]));
    }
}
