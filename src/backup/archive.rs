//! The archive itself: tar in zstd, written and read front to back.
//!
//! Owns: the order of entries, and what is believed of an archive: nothing that is not checked. In: files. Out: an archive;
//! or the other way, each file only when its name, size and hash are what the manifest says.
//! Must not know: state directories.

use super::NAMES;
use super::manifest::{Entry, FORMAT, Manifest};
use super::place::private;
use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};
use tar::{Archive, Builder, EntryType, Header};

const MANIFEST: &str = "manifest.json";
/// Longest manifest.
const MANIFEST_BYTES: u64 = 1 << 20;
/// Bodies are compressed already, records are not.
const LEVEL: i32 = 3;

/// Why an archive can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    /// In words.
    #[error("{0}")]
    Bad(String),
    /// Its bytes.
    #[error("it can't be read to its end ({0}); it is damaged, or was cut off")]
    Unreadable(#[from] io::Error),
    /// A file that it is unpacked into.
    #[error("{0}")]
    Place(io::Error),
}

fn bad(why: impl Into<String>) -> Unusable {
    Unusable::Bad(why.into())
}

/// Writes the manifest and the files that it names.
pub(super) fn write(out: &File, manifest: &Manifest, work: &Path) -> io::Result<()> {
    let mut compressor = zstd::stream::write::Encoder::new(out, LEVEL)?;
    compressor.include_checksum(true)?;
    let mut builder = Builder::new(compressor);
    let text = serde_json::to_vec_pretty(manifest)?;
    append(&mut builder, MANIFEST, text.len() as u64, text.as_slice())?;
    for entry in &manifest.files {
        let file = File::open(work.join(&entry.name))?;
        append(
            &mut builder,
            &entry.name,
            entry.bytes,
            file.take(entry.bytes),
        )?;
    }
    builder.into_inner()?.finish()?.flush()
}

fn append(
    builder: &mut Builder<impl Write>,
    name: &str,
    bytes: u64,
    content: impl Read,
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o600);
    header.set_size(bytes);
    builder.append_data(&mut header, name, content)
}

/// Reads an archive to its end. `approve` sees the manifest before anything is unpacked and says where to: none = nowhere,
/// it is only checked. A file that `wanted` does not name is checked and left out.
pub(super) fn read<'a, E: From<Unusable>>(
    input: impl Read,
    approve: impl FnOnce(&Manifest) -> Result<Option<&'a Path>, E>,
    wanted: impl Fn(&str) -> bool,
) -> Result<Manifest, E> {
    let decoder = zstd::stream::read::Decoder::new(input).map_err(Unusable::from)?;
    let mut archive = Archive::new(decoder);
    let mut entries = archive.entries().map_err(Unusable::from)?;
    let mut first = next(&mut entries)?.ok_or_else(|| bad("it is empty"))?;
    if name_of(&first)? != MANIFEST {
        return Err(bad("it was not made by aperture backup").into());
    }
    let mut text = Vec::new();
    (&mut first)
        .take(MANIFEST_BYTES)
        .read_to_end(&mut text)
        .map_err(Unusable::from)?;
    drop(first);
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| bad(format!("its manifest can't be read: {error}")))?;
    sound(&manifest)?;
    let into = approve(&manifest)?;
    for expected in &manifest.files {
        let entry =
            next(&mut entries)?.ok_or_else(|| bad(format!("{} is missing", expected.name)))?;
        if name_of(&entry)? != expected.name || entry.header().entry_type() != EntryType::Regular {
            return Err(bad(format!("{} is not where the manifest says", expected.name)).into());
        }
        let target = into
            .filter(|_| wanted(&expected.name))
            .map(|dir| dir.join(&expected.name));
        unpack(entry, expected, target.as_deref())?;
    }
    if next(&mut entries)?.is_some() {
        return Err(bad("it holds more than its manifest says").into());
    }
    // What follows is padding; the decoder checks its own checksum at the end.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(Unusable::from)?;
    Ok(manifest)
}

fn next<'a, R: Read>(
    entries: &mut tar::Entries<'a, R>,
) -> Result<Option<tar::Entry<'a, R>>, Unusable> {
    Ok(entries.next().transpose()?)
}

fn name_of<R: Read>(entry: &tar::Entry<'_, R>) -> Result<String, Unusable> {
    Ok(entry.path()?.to_string_lossy().into_owned())
}

/// What a manifest must say before anything else in the archive is looked at.
fn sound(manifest: &Manifest) -> Result<(), Unusable> {
    if manifest.format != FORMAT {
        return Err(bad(format!(
            "its form is {}, this build knows {FORMAT}: use the aperture that made it ({})",
            manifest.format, manifest.version
        )));
    }
    let mut places = manifest
        .files
        .iter()
        .map(|entry| NAMES.iter().position(|name| *name == entry.name));
    let Some(Some(0)) = places.next() else {
        return Err(bad("it has no database"));
    };
    let mut last = 0;
    for place in places {
        match place {
            Some(place) if place > last => last = place,
            _ => return Err(bad("its manifest names files that no backup has")),
        }
    }
    Ok(())
}

/// Copies one file, or only looks at it, and checks that it is what the manifest says.
fn unpack(mut from: impl Read, expected: &Entry, target: Option<&Path>) -> Result<(), Unusable> {
    let file = target.map(private).transpose().map_err(Unusable::Place)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    let mut bytes = 0;
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        if bytes > expected.bytes {
            return Err(bad(format!(
                "{} is longer than the manifest says",
                expected.name
            )));
        }
        hasher.update(&buffer[..read]);
        if let Some(mut file) = file.as_ref() {
            file.write_all(&buffer[..read]).map_err(Unusable::Place)?;
        }
    }
    if bytes != expected.bytes || hasher.finalize().to_hex().as_str() != expected.blake3 {
        return Err(bad(format!(
            "{} is not what it was when the backup was made",
            expected.name
        )));
    }
    file.map_or(Ok(()), |file| file.sync_all().map_err(Unusable::Place))
}
