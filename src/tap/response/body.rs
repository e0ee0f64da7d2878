//! A response body that is one JSON object.
//!
//! Owns: [`JsonBody`]. In: bytes in any split. Out: what the dialect reads of it. Of a body that is too large to keep, the end
//! is kept, and searched for its usage.

use super::dialect;
use crate::{
    endpoint::Dialect,
    tap::{json, reply::Reply},
};
use serde_json::value::RawValue;

/// Bytes of a JSON body that are kept.
pub(super) const BODY: usize = 8 << 20;
/// Bytes of a larger body's end that are kept.
const TAIL: usize = 64 << 10;

/// A JSON body: all of it, or the end of a large one.
#[derive(Debug, Default)]
pub(super) struct JsonBody {
    bytes: Vec<u8>,
    /// The beginning is gone.
    cut: bool,
}

impl JsonBody {
    /// Whether nothing came.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next bytes.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        if !self.cut && self.bytes.len() + bytes.len() <= BODY {
            self.bytes.extend_from_slice(bytes);
            return;
        }
        self.cut = true;
        let bytes = &bytes[bytes.len().saturating_sub(TAIL)..];
        if self.bytes.len() + bytes.len() > 2 * TAIL {
            let gone = self.bytes.len().saturating_sub(TAIL);
            self.bytes.drain(..gone);
            self.bytes.shrink_to(3 * TAIL);
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Reads what there is; whether it was all that matters.
    pub(super) fn read(&self, dialect: Dialect, reply: &mut Reply) -> bool {
        if self.cut {
            return self.usage_at_end(dialect, reply);
        }
        let Ok(text) = std::str::from_utf8(&self.bytes) else {
            return false;
        };
        let Ok(raw) = json::parse(text) else {
            return false;
        };
        if !json::is_object(raw) {
            return false;
        }
        dialect::whole(dialect, reply, raw);
        true
    }

    /// Looks for the last usage object that is no part of a text (there its quotes would be escaped).
    fn usage_at_end(&self, dialect: Dialect, reply: &mut Reply) -> bool {
        let tail = String::from_utf8_lossy(&self.bytes);
        for (at, key) in tail.rmatch_indices(dialect::usage_key(dialect)) {
            let after = tail[at + key.len()..].trim_start();
            let Some(object) = after.strip_prefix(':') else {
                continue;
            };
            let mut values = serde_json::Deserializer::from_str(object).into_iter();
            let Some(Ok(Some(raw))) = values.next().map(|value: Result<&RawValue, _>| {
                value.map(|value| json::parse(value.get()).ok())
            }) else {
                continue;
            };
            dialect::usage(dialect, reply, raw);
            if reply.counts.any() {
                return true;
            }
        }
        false
    }
}
