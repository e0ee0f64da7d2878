//! A JSON array that arrives piece by piece: the same elements in any split, and those that a JSON parser sees.
#![no_main]

use aperture::tap::{ArrayItem, ArraySplitter};
use serde_json::value::RawValue;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((size, bytes)) = input.split_last() else {
        return;
    };
    let size = usize::from(*size) + 1;
    for limit in [64, 8 << 20] {
        assert_eq!(elements(limit, bytes.chunks(size)), elements(limit, [bytes]));
    }
    if let Ok(expected) = serde_json::from_slice::<Vec<&RawValue>>(bytes) {
        let expected: Vec<_> = expected.iter().map(|raw| raw.get().as_bytes().to_vec()).collect();
        assert_eq!(elements(8 << 20, [bytes]), expected);
    }
});

fn elements<'a>(limit: usize, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut splitter = ArraySplitter::with_limit(limit);
    let mut seen = Vec::new();
    for chunk in chunks {
        splitter.feed(chunk, |item| {
            seen.push(match item {
                ArrayItem::Element(bytes) => {
                    assert!(bytes.len() <= limit);
                    bytes.to_vec()
                }
                ArrayItem::TooLarge => b"too large".to_vec(),
            });
        });
    }
    seen
}
