//! A response of any dialect: nothing panics, and the facts are the same in any split. `FUZZ_DIALECT` chooses the dialect.
#![no_main]

use aperture::{
    endpoint::{Dialect, Endpoint},
    tap::{ResponseFacts, ResponseTap},
};
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use std::sync::LazyLock;

static ENDPOINT: LazyLock<Endpoint> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_DIALECT").unwrap_or_default();
    let dialect = Dialect::ALL.into_iter().find(|it| it.as_str() == name);
    dialect.unwrap_or_else(|| panic!("FUZZ_DIALECT={name:?} is no dialect")).main_endpoint()
});

const KINDS: [&str; 4] = [
    "application/json",
    "text/event-stream",
    "application/vnd.amazon.eventstream",
    "",
];

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((control, bytes)) = input.split_last() else {
        return;
    };
    let kind = KINDS[usize::from(control >> 6)];
    let complete = control & 1 == 0;
    let size = usize::from(control & 63) + 1;
    let whole = read(kind, [bytes], complete);
    assert_eq!(read(kind, bytes.chunks(size), complete), whole);
    assert!(whole.usage.kinds().iter().all(|count| *count <= 1 << 30));
});

fn read<'a>(
    kind: &'static str,
    chunks: impl IntoIterator<Item = &'a [u8]>,
    complete: bool,
) -> ResponseFacts {
    let head = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
    let mut tap = ResponseTap::new(*ENDPOINT, 200, &head);
    for chunk in chunks {
        tap.feed(chunk);
        tap.snapshot();
        tap.unstated();
    }
    tap.finish(complete)
}
