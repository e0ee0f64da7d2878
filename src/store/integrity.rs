//! Whether the files are whole, without changing them.
//!
//! Owns: [`integrity`]. In: a directory that no gateway uses. Out: what each file is. redb repairs what it opens, so it opens an
//! [`Overlay`]: reads come from the file, writes stay in memory and are forgotten.
//! Must not know: what the rows mean.

use super::file::Chosen;
use super::schema::{self, FileName, VERSION};
use parking_lot::Mutex;
use redb::{Builder, DatabaseError, StorageBackend};
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::FileExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// A larger file is opened and not read as a whole: that would take minutes.
const WHOLE: u64 = 1 << 30;

/// Bytes of pages kept in memory.
const CACHE: usize = 16 << 20;

/// Bytes that are copied together.
const BLOCK: usize = 4096;

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Integrity {
    /// It is not there.
    Absent,
    /// It opens, and as far as it was read, its checksums are right.
    Sound {
        /// Its size.
        bytes: u64,
        /// Whether all of it was read.
        whole: bool,
    },
    /// The same, but it was not closed: the next start repairs it.
    Unclosed {
        /// Its size.
        bytes: u64,
    },
    /// It can't be used, and why.
    Bad(String),
}

/// Looks at both files.
pub fn integrity(directory: &Path) -> [(FileName, Integrity); 2] {
    [FileName::Main, FileName::Captures].map(|name| {
        let path = directory.join(name.as_str());
        let looked = catch_unwind(AssertUnwindSafe(|| look(name, &path)));
        let found = match looked {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => Integrity::Bad(error.to_string()),
            Err(_) => {
                Integrity::Bad("it is damaged: redb stopped at something that can't be".to_owned())
            }
        };
        (name, found)
    })
}

fn look(name: FileName, path: &Path) -> Result<Integrity, redb::Error> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Integrity::Absent),
        Err(error) => return Ok(Integrity::Bad(format!("it can't be read: {error}"))),
    };
    let bytes = file.metadata()?.len();
    if bytes == 0 {
        return Ok(Integrity::Absent);
    }
    let overlay = Overlay {
        file,
        length: Mutex::new(bytes),
        blocks: Mutex::default(),
        original: bytes,
    };
    let repaired = Arc::new(AtomicBool::new(false));
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE);
    let noted = Arc::clone(&repaired);
    builder.set_repair_callback(move |_| noted.store(true, Ordering::Relaxed));
    let mut database = match builder.create_with_backend(Chosen(Box::new(overlay))) {
        Ok(database) => database,
        Err(DatabaseError::RepairAborted) => {
            return Ok(Integrity::Bad("it can't be repaired".to_owned()));
        }
        Err(error) => {
            return Ok(Integrity::Bad(format!(
                "it is damaged, or no database of this gateway: {error}"
            )));
        }
    };
    match schema::version(name, &database)? {
        Some(version) if version > VERSION => {
            let why = format!(
                "a newer aperture wrote it (schema {version}, this build knows {VERSION}): run that version"
            );
            return Ok(Integrity::Bad(why));
        }
        Some(_) => {}
        None => {
            return Ok(Integrity::Bad(
                "it is no database of this gateway".to_owned(),
            ));
        }
    }
    if bytes > WHOLE {
        return Ok(Integrity::Sound {
            bytes,
            whole: false,
        });
    }
    let repaired = repaired.load(Ordering::Relaxed);
    match database.check_integrity() {
        Ok(true) if repaired => Ok(Integrity::Unclosed { bytes }),
        Ok(true) => Ok(Integrity::Sound { bytes, whole: true }),
        // It was repaired within the check: the next start does the same.
        Ok(false) => Ok(Integrity::Unclosed { bytes }),
        Err(error) => Ok(Integrity::Bad(format!("it is damaged: {error}"))),
    }
}

/// A file whose changes stay in memory.
#[derive(Debug)]
struct Overlay {
    file: fs::File,
    /// The length of the file itself.
    original: u64,
    length: Mutex<u64>,
    /// Changed blocks by their number.
    blocks: Mutex<BTreeMap<u64, Box<[u8]>>>,
}

impl Overlay {
    /// One block as the file has it; zeros behind its end.
    fn block(&self, number: u64) -> io::Result<Box<[u8]>> {
        let mut block = vec![0; BLOCK].into_boxed_slice();
        let at = number * BLOCK as u64;
        let there = self.original.saturating_sub(at).min(BLOCK as u64);
        let there = usize::try_from(there).expect("at most a block");
        self.file.read_exact_at(&mut block[..there], at)?;
        Ok(block)
    }
}

/// The blocks that a range covers: number, offset within it, and the part of the range.
fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == length {
            return None;
        }
        let at = offset + done as u64;
        let within = usize::try_from(at % BLOCK as u64).expect("less than a block");
        let count = (BLOCK - within).min(length - done);
        let part = done..done + count;
        done += count;
        Some((at / BLOCK as u64, within, part))
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(*self.length.lock())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset + out.len() as u64 > *self.length.lock() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let blocks = self.blocks.lock();
        for (number, within, part) in parts(offset, out.len()) {
            let count = part.len();
            match blocks.get(&number) {
                Some(block) => out[part].copy_from_slice(&block[within..within + count]),
                None => out[part].copy_from_slice(&self.block(number)?[within..within + count]),
            }
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        *self.length.lock() = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut blocks = self.blocks.lock();
        for (number, within, part) in parts(offset, data.len()) {
            let count = part.len();
            let block = match blocks.entry(number) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(self.block(number)?)
                }
            };
            block[within..within + count].copy_from_slice(&data[part]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{OpenOptions, Store};
    use std::time::Duration;

    #[tokio::test]
    async fn damage_is_found_and_nothing_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            integrity(dir.path())
                .iter()
                .all(|(_, found)| *found == Integrity::Absent)
        );
        let (_, writer, _) = Store::open(dir.path(), OpenOptions::default()).unwrap();
        writer.close(Duration::from_secs(10)).await;
        let path = dir.path().join("aperture.redb");
        let before = fs::read(&path).unwrap();
        for (name, found) in integrity(dir.path()) {
            assert!(
                matches!(found, Integrity::Sound { whole: true, .. }),
                "{name:?} {found:?}"
            );
        }
        assert_eq!(fs::read(&path).unwrap(), before);
        for damaged in [
            b"no database".to_vec(),
            before[..before.len() / 2].to_vec(),
            {
                let mut noise = before.clone();
                noise[4096..].fill(0xa5);
                noise
            },
        ] {
            fs::write(&path, &damaged).unwrap();
            let [(_, found), _] = integrity(dir.path());
            assert!(matches!(found, Integrity::Bad(_)), "{found:?}");
            assert_eq!(fs::read(&path).unwrap(), damaged);
        }
    }

    #[test]
    fn a_range_is_split_at_blocks() {
        let all: Vec<_> = parts(4090, 10).collect();
        assert_eq!(all, [(0, 4090, 0..6), (1, 0, 6..10)]);
        assert_eq!(parts(8192, 0).count(), 0);
    }
}
