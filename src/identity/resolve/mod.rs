//! From an address to a caller, through a cache that is never more than a second stale.
//!
//! Owns: [`Resolver`]: one question at a time per address, and what its answer may be used for.
//! In: the peer's address and the node that the connection was accepted from. Out: the caller, or why there is none.
//! Invariant: no request is judged by what was true more than [`MAX_AGE`] before it arrived, or before the last flush.
//! The age counts from the moment of the *question*: a change of capabilities sends no notice, so this limit is what
//! makes the cache right. A failure is a refusal, never an older answer.
//! Must not know: requests, the bus, connections.

use super::{Caller, NodeId, Unidentified, WhoIs, grants, watch::Touched};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::OnceCell, time::Instant};

/// For how long after its question an answer serves requests that arrive.
pub const MAX_AGE: Duration = Duration::from_secs(1);

/// How long a question may take before it counts as failed.
pub const QUESTION_DEADLINE: Duration = Duration::from_secs(5);

/// Addresses that are remembered; beyond them each request asks for itself.
pub const MAX_ADDRESSES: usize = 16_384;

type Answer = Result<Arc<Caller>, Unidentified>;

/// Resolves peers.
#[derive(Debug)]
pub struct Resolver<W> {
    whois: W,
    capabilities: RwLock<Arc<[String]>>,
    cache: Mutex<Cache>,
    lookups: AtomicU64,
    questions: AtomicU64,
    failures: AtomicU64,
}

/// What the resolver has counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Callers resolved or refused.
    pub lookups: u64,
    /// Those that needed no question of their own.
    pub hits: u64,
    /// Questions that were not answered, or not understandably.
    pub failures: u64,
}

#[derive(Debug)]
struct Cache {
    slots: HashMap<IpAddr, Arc<Slot>>,
    /// When outdated slots were last thrown out to make room.
    purged: Instant,
}

/// One question, asked or under way. It enters the cache when it is asked, so a flush also forgets the answers to come.
#[derive(Debug)]
struct Slot {
    asked: Instant,
    answer: OnceCell<Answer>,
}

// === impl Cache ===

impl Cache {
    /// The slot that may serve a request which arrives now.
    fn fresh(&self, ip: IpAddr, now: Instant) -> Option<Arc<Slot>> {
        self.slots
            .get(&ip)
            .filter(|slot| now.duration_since(slot.asked) <= MAX_AGE)
            .cloned()
    }

    /// A new slot, remembered if there is room.
    fn ask(&mut self, ip: IpAddr, now: Instant) -> Arc<Slot> {
        let full = self.slots.len() >= MAX_ADDRESSES;
        if full && now.duration_since(self.purged) > MAX_AGE {
            self.purged = now;
            self.slots
                .retain(|_, slot| now.duration_since(slot.asked) <= MAX_AGE);
        }
        let slot = Arc::new(Slot {
            asked: now,
            answer: OnceCell::new(),
        });
        if self.slots.len() < MAX_ADDRESSES || self.slots.contains_key(&ip) {
            self.slots.insert(ip, slot.clone());
        }
        slot
    }
}

// === impl Resolver ===

impl<W: WhoIs> Resolver<W> {
    /// The caller of that login as it was last answered: for pages that explain, never for a decision.
    pub fn last_known(&self, login: &str) -> Option<Arc<Caller>> {
        let cache = self.cache.lock();
        let answered = cache.slots.values().filter_map(|slot| {
            let caller = slot.answer.get()?.as_ref().ok()?;
            (*caller.login == *login).then_some((slot.asked, caller))
        });
        let (_, caller) = answered.max_by_key(|(asked, _)| *asked)?;
        Some(Arc::clone(caller))
    }

    /// Resolves by these answers; `capabilities` are the names of our capability in the tailnet policy.
    pub fn new(whois: W, capabilities: Vec<String>) -> Self {
        Self {
            whois,
            capabilities: RwLock::new(capabilities.into()),
            cache: Mutex::new(Cache {
                slots: HashMap::new(),
                purged: Instant::now(),
            }),
            lookups: AtomicU64::new(0),
            questions: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    /// Takes other capability names, after a reload of the configuration.
    pub fn set_capabilities(&self, capabilities: Vec<String>) {
        *self.capabilities.write() = capabilities.into();
        self.flush();
    }

    /// Who the peer is, asked for every request.
    ///
    /// `accepted_as` is the node that this connection was accepted from: bytes that one node sent are never attributed to
    /// the next owner of its address. `None` is for questions about who is there, never for requests. Cancel safe: another
    /// waiter asks on.
    pub async fn resolve(
        &self,
        peer: IpAddr,
        accepted_as: Option<&NodeId>,
    ) -> Result<Arc<Caller>, Unidentified> {
        let ip = peer.to_canonical();
        let now = Instant::now();
        let slot = {
            let mut cache = self.cache.lock();
            match cache.fresh(ip, now) {
                Some(slot) => slot,
                None => cache.ask(ip, now),
            }
        };
        let caller = self.answer(ip, &slot).await?;
        match accepted_as {
            Some(node) if *node != caller.node => {
                // The answer may be about who had the address before.
                let now = self.recheck(ip).await?;
                (*node == now.node)
                    .then_some(now)
                    .ok_or(Unidentified::Reassigned)
            }
            _ => Ok(caller),
        }
    }

    /// Who has the address now, by a question that is asked after this call.
    pub async fn recheck(&self, peer: IpAddr) -> Result<Arc<Caller>, Unidentified> {
        let ip = peer.to_canonical();
        let slot = self.cache.lock().ask(ip, Instant::now());
        self.answer(ip, &slot).await
    }

    /// Forgets every answer, and those to questions under way.
    pub fn flush(&self) {
        self.cache.lock().slots.clear();
    }

    /// Forgets the answers that a change may have made wrong, and all those to questions under way.
    pub fn forget(&self, touched: &Touched) {
        self.cache
            .lock()
            .slots
            .retain(|ip, slot| match slot.answer.get() {
                Some(Ok(caller)) => !touched.covers(*ip, Some(&caller.node)),
                Some(Err(_)) => !touched.covers(*ip, None),
                None => touched.is_nothing(),
            });
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        let questions = self.questions.load(Ordering::Relaxed);
        let lookups = self.lookups.load(Ordering::Relaxed);
        Counts {
            lookups,
            hits: lookups.saturating_sub(questions),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }

    async fn answer(&self, ip: IpAddr, slot: &Arc<Slot>) -> Answer {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let answer = slot.answer.get_or_init(|| self.ask(ip)).await.clone();
        if matches!(answer, Err(Unidentified::Failed(_))) {
            // Those who waited share the failure; the next request asks again.
            let mut cache = self.cache.lock();
            if cache
                .slots
                .get(&ip)
                .is_some_and(|kept| Arc::ptr_eq(kept, slot))
            {
                cache.slots.remove(&ip);
            }
        }
        answer
    }

    async fn ask(&self, ip: IpAddr) -> Answer {
        self.questions.fetch_add(1, Ordering::Relaxed);
        let capabilities = self.capabilities.read().clone();
        let question = tokio::time::timeout(QUESTION_DEADLINE, self.whois.whois(ip)).await;
        let answer = match question {
            Ok(Ok(Some(whois))) => grants::caller(whois, &capabilities, self.whois.is_dev()),
            Ok(Ok(None)) => Err(Unidentified::UnknownPeer),
            Ok(Err(reason)) => Err(Unidentified::Failed(reason)),
            Err(_) => Err(Unidentified::Failed(format!(
                "no answer within {QUESTION_DEADLINE:?}"
            ))),
        };
        if matches!(answer, Err(Unidentified::Failed(_))) {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        answer.map(Arc::new)
    }
}

#[cfg(test)]
mod tests;
