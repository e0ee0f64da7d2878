//! Undoes `content-encoding` on a copy.
//!
//! Owns: [`Decoder`], which writes what it decodes into a sink as it arrives. In: encoded bytes in any split. Out: plain
//! bytes in the sink, at most `limit` of them, so that a small body can't unpack into all of memory.
//! Must not know: what the bytes mean.

use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, header::CONTENT_ENCODING};
use std::io::{self, Write};

/// One coding, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// As it is.
    Identity,
    /// `gzip`
    Gzip,
    /// `deflate`: zlib, or raw as some servers send it.
    Deflate,
    /// `br`
    Brotli,
    /// `zstd`
    Zstd,
}

impl Coding {
    /// The coding that a head states; none when it is unknown, or several are stacked.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(CONTENT_ENCODING).iter();
        let coding = match lines.next() {
            None => Self::Identity,
            Some(line) => {
                let name = line.to_str().ok()?.trim();
                [
                    ("identity", Self::Identity),
                    ("", Self::Identity),
                    ("gzip", Self::Gzip),
                    ("x-gzip", Self::Gzip),
                    ("deflate", Self::Deflate),
                    ("br", Self::Brotli),
                    ("zstd", Self::Zstd),
                ]
                .into_iter()
                .find(|(known, _)| name.eq_ignore_ascii_case(known))?
                .1
            }
        };
        lines.next().is_none().then_some(coding)
    }
}

/// Decodes into `W`.
pub(super) struct Decoder<W: Write>(Inner<W>);

enum Inner<W: Write> {
    Identity(Capped<W>),
    Gzip(Box<MultiGzDecoder<Capped<W>>>),
    /// `deflate` before its first byte, which tells zlib from raw.
    Undecided(Capped<W>),
    Zlib(Box<ZlibDecoder<Capped<W>>>),
    Raw(Box<DeflateDecoder<Capped<W>>>),
    Brotli(Box<brotli::DecompressorWriter<Capped<W>>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Capped<W>>>),
    /// Between two states, and after a decoder could not be made.
    Gone,
}

impl<W: Write> std::fmt::Debug for Decoder<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decoder")
    }
}

impl<W: Write> Decoder<W> {
    /// A decoder that writes at most `limit` bytes to `sink`.
    pub(super) fn new(coding: Coding, sink: W, limit: u64) -> io::Result<Self> {
        const BUFFER: usize = 16 << 10;
        let sink = Capped { sink, left: limit };
        Ok(Self(match coding {
            Coding::Identity => Inner::Identity(sink),
            Coding::Gzip => Inner::Gzip(Box::new(MultiGzDecoder::new(sink))),
            Coding::Deflate => Inner::Undecided(sink),
            Coding::Brotli => {
                Inner::Brotli(Box::new(brotli::DecompressorWriter::new(sink, BUFFER)))
            }
            Coding::Zstd => Inner::Zstd(Box::new(zstd::stream::write::Decoder::new(sink)?)),
        }))
    }

    /// The next encoded bytes. After an error the decoder is of no more use, but its sink is.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let (Inner::Undecided(_), Some(first)) = (&self.0, bytes.first())
            && let Inner::Undecided(sink) = std::mem::replace(&mut self.0, Inner::Gone)
        {
            // The low four bits of a zlib stream are 8; a raw stream would begin with a reserved or rare block there.
            self.0 = if first & 0x0f == 8 {
                Inner::Zlib(Box::new(ZlibDecoder::new(sink)))
            } else {
                Inner::Raw(Box::new(DeflateDecoder::new(sink)))
            };
        }
        match &mut self.0 {
            Inner::Identity(sink) | Inner::Undecided(sink) => sink.write_all(bytes),
            Inner::Gzip(decoder) => write_through(decoder, bytes),
            Inner::Zlib(decoder) => write_through(decoder, bytes),
            Inner::Raw(decoder) => write_through(decoder, bytes),
            Inner::Brotli(decoder) => write_through(decoder, bytes),
            Inner::Zstd(decoder) => write_through(decoder, bytes),
            Inner::Gone => Err(io::ErrorKind::Other.into()),
        }
    }

    /// What was decoded so far.
    pub(super) fn sink(&self) -> Option<&W> {
        Some(match &self.0 {
            Inner::Identity(sink) | Inner::Undecided(sink) => &sink.sink,
            Inner::Gzip(decoder) => &decoder.get_ref().sink,
            Inner::Zlib(decoder) => &decoder.get_ref().sink,
            Inner::Raw(decoder) => &decoder.get_ref().sink,
            Inner::Brotli(decoder) => &decoder.get_ref().sink,
            Inner::Zstd(decoder) => &decoder.get_ref().sink,
            Inner::Gone => return None,
        })
    }

    /// What was decoded so far, to change it.
    pub(super) fn sink_mut(&mut self) -> Option<&mut W> {
        Some(match &mut self.0 {
            Inner::Identity(sink) | Inner::Undecided(sink) => &mut sink.sink,
            Inner::Gzip(decoder) => &mut decoder.get_mut().sink,
            Inner::Zlib(decoder) => &mut decoder.get_mut().sink,
            Inner::Raw(decoder) => &mut decoder.get_mut().sink,
            Inner::Brotli(decoder) => &mut decoder.get_mut().sink,
            Inner::Zstd(decoder) => &mut decoder.get_mut().sink,
            Inner::Gone => return None,
        })
    }
}

/// Writes all and flushes, so that a stream is decoded as far as it has come.
fn write_through(decoder: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    decoder.write_all(bytes)?;
    decoder.flush()
}

/// A sink that refuses more than so many bytes.
struct Capped<W> {
    sink: W,
    left: u64,
}

impl<W: Write> Write for Capped<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len() as u64;
        if length > self.left {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.left -= length;
        self.sink.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
