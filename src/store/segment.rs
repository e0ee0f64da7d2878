//! Bodies as segments: where a body is cut, so that bodies that share a beginning share storage.
//!
//! Owns: the rule of the cuts. Agents send the whole history again with every turn; a body is cut at its message borders,
//! so that each message is stored once. In: a captured body. Out: its pieces, in order; put together they are the body.
//! Must not know: hashes, tables.

use crate::record::CapturedBody;
use std::ops::Range;

/// Messages below this size are kept together with the next ones.
const SMALL: usize = 1 << 10;
/// Longer messages are cut into pieces of this size.
pub(super) const LARGEST: usize = 256 << 10;

/// The ranges of the segments, ascending and without gaps.
///
/// Whether a border is a cut depends on the bytes before it only, and a message of [`SMALL`] or more always stands
/// alone: so equal beginnings give equal segments, and after a difference the cuts meet again at the next such message.
pub(super) fn cuts(length: usize, borders: &[usize]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let (mut start, mut piece) = (0, 0);
    let ends = borders.iter().copied().chain([length]);
    for end in ends {
        // A truncated body may have borders past its end.
        if end <= piece || end > length {
            continue;
        }
        let long = end - piece >= SMALL;
        if long && start < piece {
            ranges.push(start..piece);
            start = piece;
        }
        piece = end;
        if long || piece - start >= SMALL {
            push(&mut ranges, start..piece);
            start = piece;
        }
    }
    if start < length {
        push(&mut ranges, start..length);
    }
    ranges
}

fn push(ranges: &mut Vec<Range<usize>>, range: Range<usize>) {
    let mut start = range.start;
    while range.end - start > LARGEST {
        ranges.push(start..start + LARGEST);
        start += LARGEST;
    }
    ranges.push(start..range.end);
}

/// Calls `each` with the bytes of every segment, in order; one segment at a time is in memory a second time.
pub(super) fn each_segment(body: &CapturedBody, mut each: impl FnMut(&[u8])) {
    let length = body.chunks.iter().map(bytes::Bytes::len).sum();
    let mut chunks = body.chunks.iter();
    let mut rest: &[u8] = &[];
    let mut gathered = Vec::new();
    for range in cuts(length, &body.borders) {
        let mut missing = range.len();
        if rest.len() >= missing {
            let (segment, after) = rest.split_at(missing);
            each(segment);
            rest = after;
            continue;
        }
        gathered.clear();
        while missing > 0 {
            if rest.is_empty() {
                rest = chunks
                    .next()
                    .expect("invariant: the cuts end with the chunks");
            }
            let (part, after) = rest.split_at(missing.min(rest.len()));
            gathered.extend_from_slice(part);
            missing -= part.len();
            rest = after;
        }
        each(&gathered);
    }
}
