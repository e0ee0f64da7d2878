//! Looking for marked texts in bytes of any kind, and in whatever is compressed within them.

use std::{io::Read as _, path::Path};

/// How each frame of zstd begins.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Bytes of a frame that are looked at.
const UNPACKED: u64 = 64 << 20;

/// The marks that are in there.
pub fn found<'a>(marks: &[&'a str], bytes: &[u8]) -> Vec<&'a str> {
    let mut places = vec![bytes.to_vec()];
    let mut found = Vec::new();
    while let Some(bytes) = places.pop() {
        let here = marks
            .iter()
            .filter(|mark| memchr::memmem::find(&bytes, mark.as_bytes()).is_some());
        found.extend(here);
        // A database keeps compressed values, an archive keeps databases.
        for at in memchr::memmem::find_iter(&bytes, &ZSTD) {
            let Ok(frame) = zstd::stream::read::Decoder::new(&bytes[at..]) else {
                continue;
            };
            let mut unpacked = Vec::new();
            // What is no frame ends early; what came before counts.
            let _ = frame
                .single_frame()
                .take(UNPACKED)
                .read_to_end(&mut unpacked);
            if !unpacked.is_empty() {
                places.push(unpacked);
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Every file below a directory, with its bytes.
pub fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.symlink_metadata().unwrap().file_type();
        if kind.is_dir() {
            all.extend(files(&path));
        } else if kind.is_file() {
            all.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    all
}
