//! Server-sent events: the same events in any split, and a filter that takes out its own chunk and nothing else.
#![no_main]

use aperture::tap::{SseDecoder, SseItem, UsageChunkFilter};
use bytes::Bytes;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((size, bytes)) = input.split_last() else {
        return;
    };
    let size = usize::from(*size) + 1;
    for limit in [64, 8 << 20] {
        assert_eq!(events(limit, bytes.chunks(size)), events(limit, [bytes]));
    }
    let whole = filter([bytes]);
    assert_eq!(filter(bytes.chunks(size)), whole);
    assert!(whole.len() <= bytes.len());
    assert_eq!(filter([&whole[..]]).len() <= whole.len(), true);
});

fn events<'a>(limit: usize, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut decoder = SseDecoder::with_limit(limit);
    let mut seen = Vec::new();
    let mut see = |item: SseItem<'_>| {
        seen.push(match item {
            SseItem::Event { name, data } => {
                assert!(name.len() + data.len() <= limit);
                [name, b"\n", data].concat()
            }
            SseItem::TooLarge => b"too large".to_vec(),
        });
    };
    for chunk in chunks {
        decoder.feed(chunk, &mut see);
    }
    decoder.finish(&mut see);
    seen
}

fn filter<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut filter = UsageChunkFilter::default();
    let mut out = Vec::new();
    for chunk in chunks {
        for piece in filter.push(&Bytes::copy_from_slice(chunk)) {
            out.extend_from_slice(&piece);
        }
    }
    out.extend_from_slice(&filter.finish().unwrap_or_default());
    out
}
