//! Posting lists: which requests have a value of a facet, in order of their ids.
//!
//! Owns: the rows of `postings`. A list is kept in blocks of ids, each under the oldest of its ids, so that a batch of
//! requests with the same user, model or word changes one row, and not one for each of them. In: what is added and taken,
//! gathered over a batch in [`Changes`]. Out: ids. Must not know: records, filters.

use super::schema::{Facet, POSTINGS, REQUESTS_BY};
use redb::{ReadableTable, StorageError, Table, WriteTransaction};
use std::collections::BTreeMap;

/// (facet, value, oldest id of the block).
pub(super) type Key = (u8, &'static str, u128);
/// Ids in order, 16 bytes each, most significant first.
type Block = &'static [u8];

/// Ids of a full block: a quarter of a page.
const FULL: usize = 64;
/// Bytes of an id.
const ID: usize = size_of::<u128>();

/// What a batch adds to lists and takes from them.
#[derive(Debug, Default)]
pub(super) struct Changes(BTreeMap<(Facet, String), BTreeMap<u128, bool>>);

impl Changes {
    /// The list gets that id.
    pub(super) fn add(&mut self, facet: Facet, value: String, id: u128) {
        self.change(facet, value, id, true);
    }

    /// The list has that id no more.
    pub(super) fn take(&mut self, facet: Facet, value: String, id: u128) {
        self.change(facet, value, id, false);
    }

    fn change(&mut self, facet: Facet, value: String, id: u128, stays: bool) {
        let list = self.0.entry((facet, value)).or_default();
        list.insert(id, stays);
    }

    /// Writes them.
    pub(super) fn apply(self, write: &WriteTransaction) -> Result<(), redb::Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut table = write.open_table(POSTINGS)?;
        for ((facet, value), changes) in self.0 {
            change(&mut table, facet as u8, &value, changes)?;
        }
        Ok(())
    }
}

fn change(
    table: &mut Table<'_, Key, Block>,
    facet: u8,
    value: &str,
    changes: BTreeMap<u128, bool>,
) -> Result<(), StorageError> {
    let mut changes = changes.into_iter().peekable();
    while let Some(&(id, _)) = changes.peek() {
        let block = block_of(table, facet, value, id)?;
        let first = block.first().copied();
        let after = first.unwrap_or(0).max(id).saturating_add(1);
        let next = table
            .range((facet, value, after)..=(facet, value, u128::MAX))?
            .next()
            .transpose()?
            .map(|(key, _)| key.value().2);
        let mut ids = block;
        while let Some((id, stays)) = changes.next_if(|(id, _)| next.is_none_or(|next| *id < next))
        {
            match (ids.binary_search(&id), stays) {
                (Err(place), true) => ids.insert(place, id),
                (Ok(place), false) => drop(ids.remove(place)),
                (Ok(_), true) | (Err(_), false) => {}
            }
        }
        if let Some(first) = first.filter(|first| ids.first() != Some(first)) {
            table.remove((facet, value, first))?;
        }
        // The last block is filled before another begins. One in the middle that is split leaves room in both halves.
        let pieces = ids.len().div_ceil(FULL).max(1);
        let size = match next {
            None => FULL,
            Some(_) => ids.len().div_ceil(pieces).max(1),
        };
        for piece in ids.chunks(size) {
            let bytes: Vec<u8> = piece.iter().flat_map(|id| id.to_be_bytes()).collect();
            table.insert((facet, value, piece[0]), bytes.as_slice())?;
        }
    }
    Ok(())
}

/// The ids of the block that has that id or should: the last that does not begin after it, else the first of the list.
fn block_of(
    table: &Table<'_, Key, Block>,
    facet: u8,
    value: &str,
    id: u128,
) -> Result<Vec<u128>, StorageError> {
    let before = table
        .range((facet, value, 0)..=(facet, value, id))?
        .next_back();
    let row = match before {
        None => table
            .range((facet, value, 0)..=(facet, value, u128::MAX))?
            .next(),
        row => row,
    };
    Ok(row
        .transpose()?
        .map_or_else(Vec::new, |(_, block)| ids(block.value()).collect()))
}

fn ids(block: &[u8]) -> impl DoubleEndedIterator<Item = u128> + '_ {
    let (ids, _) = block.as_chunks::<ID>();
    ids.iter().map(|id| u128::from_be_bytes(*id))
}

/// The newest id of the list that is not newer than `most`.
pub(super) fn newest(
    table: &impl ReadableTable<Key, Block>,
    facet: Facet,
    value: &str,
    most: u128,
) -> Result<Option<u128>, StorageError> {
    let facet = facet as u8;
    let row = table
        .range((facet, value, 0)..=(facet, value, most))?
        .next_back();
    let Some((_, block)) = row.transpose()? else {
        return Ok(None);
    };
    let (ids, _) = block.value().as_chunks::<ID>();
    let not_newer = ids.partition_point(|id| u128::from_be_bytes(*id) <= most);
    Ok(ids[..not_newer].last().map(|id| u128::from_be_bytes(*id)))
}

/// The oldest ids of the list, at most `count`, from `least` on.
pub(super) fn oldest(
    table: &impl ReadableTable<Key, Block>,
    facet: Facet,
    value: &str,
    least: u128,
    count: usize,
) -> Result<Vec<u128>, StorageError> {
    let facet = facet as u8;
    // The block before may reach beyond `least`.
    let begin = table
        .range((facet, value, 0)..=(facet, value, least))?
        .next_back()
        .transpose()?
        .map_or(least, |(key, _)| key.value().2);
    let mut found = Vec::new();
    for row in table.range((facet, value, begin)..=(facet, value, u128::MAX))? {
        let (_, block) = row?;
        found.extend(ids(block.value()).filter(|id| *id >= least));
        if found.len() >= count {
            found.truncate(count);
            break;
        }
    }
    Ok(found)
}

/// Takes over the table of schema 1, which had a row for each posting, in this order.
pub(super) fn migrate(write: &WriteTransaction) -> Result<(), redb::Error> {
    {
        let (old, mut new) = (write.open_table(REQUESTS_BY)?, write.open_table(POSTINGS)?);
        let mut begun: Option<(u8, String, u128)> = None;
        let mut block = Vec::with_capacity(FULL * ID);
        for row in old.iter()? {
            let (key, _) = row?;
            let (facet, value, id) = key.value();
            let goes_on = begun
                .as_ref()
                .is_some_and(|(of, has, _)| (*of, has.as_str()) == (facet, value));
            if !goes_on || block.len() == FULL * ID {
                if let Some((facet, value, first)) = begun.replace((facet, value.to_owned(), id)) {
                    new.insert((facet, value.as_str(), first), block.as_slice())?;
                }
                block.clear();
            }
            block.extend_from_slice(&id.to_be_bytes());
        }
        if let Some((facet, value, first)) = begun {
            new.insert((facet, value.as_str(), first), block.as_slice())?;
        }
    }
    write.delete_table(REQUESTS_BY)?;
    Ok(())
}
