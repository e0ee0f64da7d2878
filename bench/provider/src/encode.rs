//! Content encodings: replies that come compressed, requests that arrived so.
//!
//! Each write of a compressed reply is flushed, so that a reader can decode it
//! as it arrives, the way providers compress event streams.

use std::io::{self, Read, Write};

use bytes::Bytes;

use crate::script::Encoding;

/// The most that a request's body may decode to.
const DECODED_LIMIT: u64 = 256 << 20;

/// Window and quality: a stand-in has nothing to win by compressing well.
const BROTLI_BUFFER: usize = 4096;
const BROTLI_QUALITY: u32 = 1;
const BROTLI_WINDOW: u32 = 18;

/// The name of the encoding in a header.
pub(crate) fn name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Gzip => "gzip",
        Encoding::Deflate => "deflate",
        Encoding::Br => "br",
        Encoding::Zstd => "zstd",
    }
}

/// The same writes, compressed as one stream.
pub(crate) fn encode(encoding: Encoding, writes: &[Bytes]) -> io::Result<Vec<Bytes>> {
    let level = flate2::Compression::fast();
    let out = Vec::new();
    match encoding {
        Encoding::Gzip => {
            let writer = flate2::write::GzEncoder::new(out, level);
            compress(
                writes,
                writer,
                |w| w.get_mut(),
                flate2::write::GzEncoder::finish,
            )
        }
        Encoding::Deflate => {
            let writer = flate2::write::ZlibEncoder::new(out, level);
            compress(
                writes,
                writer,
                |w| w.get_mut(),
                flate2::write::ZlibEncoder::finish,
            )
        }
        Encoding::Br => {
            let writer =
                brotli::CompressorWriter::new(out, BROTLI_BUFFER, BROTLI_QUALITY, BROTLI_WINDOW);
            compress(writes, writer, |w| w.get_mut(), |w| Ok(w.into_inner()))
        }
        Encoding::Zstd => {
            let writer = zstd::stream::write::Encoder::new(out, 1)?;
            compress(
                writes,
                writer,
                |w| w.get_mut(),
                zstd::stream::write::Encoder::finish,
            )
        }
    }
}

fn compress<W: Write>(
    writes: &[Bytes],
    mut writer: W,
    output: fn(&mut W) -> &mut Vec<u8>,
    finish: fn(W) -> io::Result<Vec<u8>>,
) -> io::Result<Vec<Bytes>> {
    let mut encoded = Vec::with_capacity(writes.len() + 1);
    for bytes in writes {
        writer.write_all(bytes)?;
        writer.flush()?;
        encoded.push(Bytes::from(std::mem::take(output(&mut writer))));
    }
    encoded.push(Bytes::from(finish(writer)?));
    encoded.retain(|bytes| !bytes.is_empty());
    Ok(encoded)
}

/// A request's body as its `content-encoding` says; unknown encodings stay as they are.
pub(crate) fn decode(encoding: Option<&str>, body: &Bytes) -> io::Result<Bytes> {
    let reader: Box<dyn Read + '_> = match encoding {
        Some("gzip") => Box::new(flate2::read::MultiGzDecoder::new(body.as_ref())),
        Some("deflate") => Box::new(flate2::read::ZlibDecoder::new(body.as_ref())),
        Some("br") => Box::new(brotli::Decompressor::new(body.as_ref(), BROTLI_BUFFER)),
        Some("zstd") => Box::new(zstd::stream::read::Decoder::new(body.as_ref())?),
        _ => return Ok(body.clone()),
    };
    let mut decoded = Vec::new();
    reader.take(DECODED_LIMIT).read_to_end(&mut decoded)?;
    Ok(Bytes::from(decoded))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{decode, encode, name};
    use crate::script::Encoding;

    #[test]
    fn every_encoding_decodes_again_and_each_write_carries_something() {
        let writes = ["event: a\n\n", "event: b\n\n", "end"].map(Bytes::from);
        for encoding in [
            Encoding::Gzip,
            Encoding::Deflate,
            Encoding::Br,
            Encoding::Zstd,
        ] {
            let encoded = encode(encoding, &writes).unwrap();
            assert!(encoded.len() >= writes.len());
            let whole = Bytes::from(encoded.concat());
            let decoded = decode(Some(name(encoding)), &whole).unwrap();
            assert_eq!(decoded, writes.concat());
        }
    }
}
