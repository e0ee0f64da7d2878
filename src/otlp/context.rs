//! Who else traces a request: the `traceparent` and `tracestate` that a client sent.
//!
//! Owns: [`Parent`], and which requests are exported. In: a request's head. Out: the span that ours hangs below. The lines are
//! read and never changed. They come from the client: they say nothing of who it is.
//! Must not know: records beyond their id.

use crate::{config::Otlp, record::RequestId};
use http::HeaderMap;

/// Bytes of `tracestate` that are passed on; a longer one is left out, as W3C Trace Context allows.
const STATE: usize = 512;

/// The client's span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its trace.
    pub(super) trace: u128,
    /// Itself.
    pub(super) span: u64,
    /// Whether the client's side exports it.
    pub(super) sampled: bool,
    /// What tracing systems noted along the way.
    pub(super) state: String,
}

impl Parent {
    /// Reads a request's head; none when it names no span that could be one.
    pub fn of(head: &HeaderMap) -> Option<Self> {
        let mut lines = head.get_all("traceparent").iter();
        let line = lines.next()?.to_str().ok()?;
        // Two of them name two spans.
        if lines.next().is_some() {
            return None;
        }
        let (trace, span, flags) = parse(line)?;
        let states = head.get_all("tracestate").iter();
        let states: Vec<&str> = states.filter_map(|line| line.to_str().ok()).collect();
        let state = states.join(",");
        Some(Self {
            trace,
            span,
            sampled: flags & 1 == 1,
            state: if state.len() <= STATE {
                state
            } else {
                String::new()
            },
        })
    }
}

/// The trace, the span and the flags.
fn parse(line: &str) -> Option<(u128, u64, u8)> {
    let mut fields = line.split('-');
    let mut hex = |digits: usize| {
        let field = fields.next()?;
        let lower = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        (field.len() == digits && field.bytes().all(lower)).then_some(field)
    };
    let version = u8::from_str_radix(hex(2)?, 16).ok()?;
    let trace = u128::from_str_radix(hex(32)?, 16).ok()?;
    let span = u64::from_str_radix(hex(16)?, 16).ok()?;
    let flags = u8::from_str_radix(hex(2)?, 16).ok()?;
    // Later versions may add fields; this one has none.
    let more = fields.next().is_some();
    let valid = version != 0xff && trace != 0 && span != 0 && !(version == 0 && more);
    valid.then_some((trace, span, flags))
}

/// Whether a request is exported: as its client's span is, else by chance, which its id decides once and for all.
pub(super) fn is_sampled(id: RequestId, parent: Option<&Parent>, sample_ppm: u32) -> bool {
    if let Some(parent) = parent {
        return parent.sampled;
    }
    sample_ppm >= Otlp::ALL || chance(id) % u64::from(Otlp::ALL) < u64::from(sample_ppm)
}

/// A number that is spread evenly, whatever ids look like.
fn chance(id: RequestId) -> u64 {
    first64(&blake3::derive_key(
        "aperture otlp sample",
        &id.0.to_be_bytes(),
    ))
}

/// The id of a request's own span: the same whenever it is asked.
pub(super) fn span_id(id: RequestId) -> u64 {
    // Zero would be no span.
    first64(&blake3::derive_key(
        "aperture otlp span",
        &id.0.to_be_bytes(),
    ))
    .max(1)
}

fn first64(hash: &[u8; 32]) -> u64 {
    let (first, _) = hash
        .split_first_chunk()
        .expect("invariant: 32 bytes have 8");
    u64::from_be_bytes(*first)
}
