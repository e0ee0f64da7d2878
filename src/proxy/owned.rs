//! Whose the objects are that providers store.
//!
//! All callers share a provider's account, so for the provider everything in it is everybody's: here it is its maker's.
//! Owns: [`Owned`]. In: ids that responses name, ids that requests build on. Out: whether an id is the caller's own; an id of
//! somebody else and one that nobody made here are answered alike. What was made is known at once, and kept by the store;
//! what can't be looked up is nobody's.
//! Must not know: paths, bodies.

use super::error::Failure;
use crate::store::{Store, Writer};
use parking_lot::Mutex;
use std::{collections::HashMap, fmt};

/// Ids that are remembered in memory, in two generations: those of the last moments are not in the file yet.
const GENERATION: usize = 20_000;

/// Whose stored objects are.
pub struct Owned {
    store: Store,
    writer: Writer,
    recent: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    young: HashMap<(String, String), String>,
    old: HashMap<(String, String), String>,
}

impl fmt::Debug for Owned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Owned")
    }
}

impl Owned {
    /// Over a store.
    pub fn new(store: Store, writer: Writer) -> Self {
        Self {
            store,
            writer,
            recent: Mutex::default(),
        }
    }

    /// The object is that user's from now on; call it before the id is passed on.
    pub(super) fn own(&self, provider: &str, id: &str, user: &str) {
        {
            let mut recent = self.recent.lock();
            if recent.young.len() >= GENERATION {
                recent.old = std::mem::take(&mut recent.young);
            }
            recent
                .young
                .insert((provider.to_owned(), id.to_owned()), user.to_owned());
        }
        self.writer.own(provider, id, user);
    }

    /// Whether the object is that user's.
    pub(super) async fn is_own(&self, provider: &str, id: &str, user: &str) -> bool {
        let key = (provider.to_owned(), id.to_owned());
        {
            let recent = self.recent.lock();
            if let Some(owner) = recent.young.get(&key).or_else(|| recent.old.get(&key)) {
                return owner == user;
            }
        }
        let read = self.store.ask(move |store| store.owner(&key.0, &key.1));
        match read.await {
            Ok(owner) => owner.as_deref() == Some(user),
            Err(error) => {
                tracing::warn!(%error, "the owner of a stored object can't be read: it is taken for nobody's");
                false
            }
        }
    }

    /// Every one of the ids must be that user's.
    pub(super) async fn check(
        &self,
        provider: &str,
        ids: &[String],
        user: &str,
    ) -> Result<(), Failure> {
        for id in ids {
            if !self.is_own(provider, id, user).await {
                return Err(Failure::NotYours(id.clone()));
            }
        }
        Ok(())
    }
}
