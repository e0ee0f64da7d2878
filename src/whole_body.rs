//! Reading a small body whole: a form, or the JSON of an API call.
//!
//! Owns: [`read`]. In: a body, its limit, the time that it may take. Out: its bytes, or why not. One that is too large is read on
//! and let go of, up to [`DISCARDED`]: many clients look for an answer only when all is sent, and would see a broken pipe
//! instead of the words that say what is wrong. A leaf. Must not know: what the bytes mean.

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;
use std::{pin::pin, time::Duration};

/// Bytes beyond the limit that are taken from a client before it is left alone with them.
pub const DISCARDED: usize = 64 << 20;

/// Why there are no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// There are more than may be.
    TooLarge,
    /// The client stopped sending, or sent what is no body.
    BrokeOff,
    /// It did not come in time.
    Late,
}

/// The bytes of a body of at most `limit` bytes that comes within `deadline`.
pub async fn read<B>(body: B, limit: usize, deadline: Duration) -> Result<Bytes, Unread>
where
    B: Body<Data = Bytes>,
{
    tokio::time::timeout(deadline, gather(body, limit))
        .await
        .unwrap_or(Err(Unread::Late))
}

async fn gather<B: Body<Data = Bytes>>(body: B, limit: usize) -> Result<Bytes, Unread> {
    let mut body = pin!(body);
    let mut all = BytesMut::new();
    let mut size = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::BrokeOff)?.into_data() else {
            continue;
        };
        size = size.saturating_add(data.len());
        if size <= limit {
            all.extend_from_slice(&data);
        } else if size - limit > DISCARDED {
            break;
        } else {
            all = BytesMut::new();
        }
    }
    if size > limit {
        return Err(Unread::TooLarge);
    }
    Ok(all.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use std::{convert::Infallible, io};

    const MINUTE: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn a_body_that_is_too_large_is_taken_to_its_end_and_a_bound() {
        let taken = async |pieces: usize| {
            let mut taken = 0;
            let frames = (0..pieces).map(|_| {
                taken += 1;
                Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'x'; 1 << 20])))
            });
            let read = read(StreamBody::new(stream::iter(frames)), 2 << 20, MINUTE).await;
            (read.map(|bytes| bytes.len()), taken)
        };
        assert_eq!(taken(2).await, (Ok(2 << 20), 2));
        assert_eq!(taken(9).await, (Err(Unread::TooLarge), 9));
        let bound = 2 + (DISCARDED >> 20) + 1;
        assert_eq!(taken(500).await, (Err(Unread::TooLarge), bound));
    }

    #[tokio::test(start_paused = true)]
    async fn what_breaks_off_or_does_not_come_is_told_apart() {
        let broken = stream::iter([Err::<Frame<Bytes>, _>(io::Error::other("gone"))]);
        let broken = read(StreamBody::new(broken), 9, MINUTE).await;
        assert_eq!(broken, Err(Unread::BrokeOff));
        let never = stream::pending::<Result<Frame<Bytes>, Infallible>>();
        let never = read(StreamBody::new(never), 9, MINUTE).await;
        assert_eq!(never, Err(Unread::Late));
    }
}
