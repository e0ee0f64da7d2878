//! Frames of an AWS event stream: lengths, headers, payload and two checksums.
//!
//! Comes in: headers and a payload. Goes out: one frame. All numbers are big
//! endian; the first checksum covers the two lengths, the second everything
//! before it. Knows no dialect.

use bytes::Bytes;

/// Two lengths and their checksum.
const PRELUDE: usize = 12;

/// The checksum at the end.
const TRAILER: usize = 4;

/// The type of a header whose value is a text.
const TEXT: u8 = 7;

/// One frame.
pub(crate) fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Bytes {
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(u8::try_from(name.len()).expect("names of headers are short"));
        head.extend_from_slice(name.as_bytes());
        head.push(TEXT);
        let length = u16::try_from(value.len()).expect("values of headers are short");
        head.extend_from_slice(&length.to_be_bytes());
        head.extend_from_slice(value.as_bytes());
    }
    let total = PRELUDE + head.len() + payload.len() + TRAILER;
    let length = |bytes: usize| {
        u32::try_from(bytes)
            .expect("frames are small")
            .to_be_bytes()
    };
    let mut frame = Vec::with_capacity(total);
    frame.extend_from_slice(&length(total));
    frame.extend_from_slice(&length(head.len()));
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(&head);
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    Bytes::from(frame)
}

#[cfg(test)]
mod tests {
    use super::frame;

    /// The first frame of a stream that the SDKs accepted.
    const ACCEPTED: &str = "0000008300000052160125f30b3a6576656e742d7479706507000c6d657373616765\
        53746172740d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573\
        736167652d747970650700056576656e747b22726f6c65223a2022617373697374616e74222c202270223a\
        2022616263227ddf43e895";

    #[test]
    fn a_frame_is_the_one_that_clients_accepted() {
        let headers = [
            (":event-type", "messageStart"),
            (":content-type", "application/json"),
            (":message-type", "event"),
        ];
        let frame = frame(&headers, br#"{"role": "assistant", "p": "abc"}"#);
        let accepted = ACCEPTED.as_bytes().chunks(2).map(|digits| {
            let digits = std::str::from_utf8(digits).unwrap();
            u8::from_str_radix(digits, 16).unwrap()
        });
        assert!(accepted.eq(frame.iter().copied()));
    }
}
