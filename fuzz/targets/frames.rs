//! The binary event stream: the same frames in any split, whatever is damaged.
#![no_main]

use aperture::tap::{FrameDecoder, FrameItem};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((size, bytes)) = input.split_last() else {
        return;
    };
    let size = usize::from(*size) + 1;
    for limit in [64, 8 << 20] {
        assert_eq!(frames(limit, bytes.chunks(size)), frames(limit, [bytes]));
    }
});

fn frames<'a>(limit: usize, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut decoder = FrameDecoder::with_limit(limit);
    let mut seen = Vec::new();
    for chunk in chunks {
        decoder.feed(chunk, |item| {
            seen.push(match item {
                FrameItem::Event { kind, payload } => {
                    assert!(kind.len() + payload.len() <= limit);
                    [kind.as_bytes(), b"\n", payload].concat()
                }
                FrameItem::Exception { kind, payload } => [kind.as_bytes(), b"!", payload].concat(),
                FrameItem::Unreadable => b"unreadable".to_vec(),
            });
        });
    }
    seen
}
