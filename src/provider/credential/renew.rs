//! A credential that ends: kept, and renewed ahead of its end.
//!
//! Owns: [`Renewed`]. One renewal runs at a time, in a task of its own, so that a client that leaves does not end it for the
//! others; whoever needs its result waits for that one. While the last value is valid nobody waits, and a renewal that fails
//! costs nothing; a value past its end is never handed out.
//! Must not know: what the credential is, how it is minted.

use super::MintError;
use crate::shutdown::Tasks;
use parking_lot::Mutex;
use std::{
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{sync::watch, time::Instant};

/// How long before its end a value is renewed, unless it lives only a few times as long.
const AHEAD: Duration = Duration::from_mins(5);
/// How long before its end a value is no longer sent: requests take time, and clocks differ.
const MARGIN: Duration = Duration::from_secs(10);
/// How long after an attempt ahead of the end the next one may be made.
const AGAIN: Duration = Duration::from_secs(10);
/// How long one attempt may take.
const LIMIT: Duration = Duration::from_secs(10);

/// What was minted, and for how long it is good.
#[derive(Clone, Debug)]
pub(super) struct Lease<T> {
    pub(super) value: T,
    pub(super) lifetime: Duration,
}

/// A value that is renewed.
pub(super) struct Renewed<T>(Arc<Mutex<State<T>>>);

struct State<T> {
    held: Option<Held<T>>,
    running: Option<Running<T>>,
    not_before: Instant,
}

type Running<T> = watch::Receiver<Option<Result<T, MintError>>>;

struct Held<T> {
    value: T,
    due: Instant,
    end: Instant,
    /// The same end by the wall clock: the other one stands still while a machine sleeps.
    wall_end: SystemTime,
}

impl<T> Held<T> {
    fn new(lease: Lease<T>) -> Self {
        let (now, wall) = (Instant::now(), SystemTime::now());
        // Of a short life, most must be left to use.
        let margin = MARGIN.min(lease.lifetime / 10);
        let ahead = AHEAD.min(lease.lifetime / 4).max(margin);
        Self {
            value: lease.value,
            due: now + lease.lifetime.saturating_sub(ahead),
            end: now + lease.lifetime.saturating_sub(margin),
            wall_end: wall + lease.lifetime.saturating_sub(margin),
        }
    }

    fn is_valid(&self) -> bool {
        Instant::now() < self.end && SystemTime::now() < self.wall_end
    }
}

// === impl Renewed ===

impl<T: Clone + Send + Sync + 'static> Renewed<T> {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            held: None,
            running: None,
            not_before: Instant::now(),
        })))
    }

    /// A valid value, minted by `mint` if there is none.
    pub(super) async fn get<F>(
        &self,
        tasks: &Tasks,
        mint: impl FnOnce() -> F,
    ) -> Result<T, MintError>
    where
        F: Future<Output = Result<Lease<T>, MintError>> + Send + 'static,
    {
        let mut running = {
            let mut state = self.0.lock();
            // A renewal whose task was lost tells nothing any more.
            if state
                .running
                .as_ref()
                .is_some_and(|running| running.has_changed().is_err())
            {
                state.running = None;
            }
            let valid = state.held.as_ref().filter(|held| held.is_valid());
            if let Some((value, due)) = valid.map(|held| (held.value.clone(), held.due)) {
                let now = Instant::now();
                if now >= due && now >= state.not_before && state.running.is_none() {
                    self.start(&mut state, tasks, mint());
                }
                return Ok(value);
            }
            state.held = None;
            match &state.running {
                Some(running) => running.clone(),
                None => self.start(&mut state, tasks, mint()),
            }
        };
        let minted = running.wait_for(Option::is_some).await;
        let result = minted.ok().and_then(|result| result.clone());
        result.unwrap_or(Err(MintError::Interrupted))
    }

    /// Starts a renewal; the caller has seen that none runs.
    fn start<F>(&self, state: &mut State<T>, tasks: &Tasks, mint: F) -> Running<T>
    where
        F: Future<Output = Result<Lease<T>, MintError>> + Send + 'static,
    {
        let (tell, running) = watch::channel(None);
        state.running = Some(running.clone());
        let (shared, ended) = (Arc::clone(&self.0), tasks.ended.clone());
        tasks.spawn(async move {
            let minted = tokio::select! {
                () = ended.cancelled() => Err(MintError::Interrupted),
                () = tokio::time::sleep(LIMIT) => Err(MintError::Timeout(LIMIT.as_secs())),
                minted = mint => minted,
            };
            let result = {
                let mut state = shared.lock();
                state.running = None;
                state.not_before = Instant::now() + AGAIN;
                minted.map(|lease| {
                    let value = lease.value.clone();
                    state.held = Some(Held::new(lease));
                    value
                })
            };
            // Nobody may be waiting.
            drop(tell.send(Some(result)));
        });
        running
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Semaphore;

    /// Mints 1, 2, 3 … when it is let, and fails when it is told to.
    #[derive(Clone, Default)]
    struct Mint {
        calls: Arc<AtomicU32>,
        failing: Arc<AtomicU32>,
    }

    impl Mint {
        fn calls(&self) -> u32 {
            self.calls.load(Ordering::Relaxed)
        }

        fn fail(&self, yes: bool) {
            self.failing.store(u32::from(yes), Ordering::Relaxed);
        }

        fn now(&self, lifetime: u64) -> Result<Lease<u32>, MintError> {
            let value = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
            if self.failing.load(Ordering::Relaxed) == 1 {
                return Err(MintError::Unusable("told to fail"));
            }
            Ok(Lease {
                value,
                lifetime: Duration::from_secs(lifetime),
            })
        }
    }

    async fn get(renewed: &Renewed<u32>, mint: &Mint, lifetime: u64) -> Result<u32, MintError> {
        let tasks = Tasks::default();
        let result = renewed
            .get(&tasks, || std::future::ready(mint.now(lifetime)))
            .await;
        // A renewal ahead of the end has run, too, before the next step.
        tasks.drain(Duration::from_mins(1)).await;
        result
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_kept_and_renewed_ahead_of_its_end_without_waiting() {
        let (renewed, mint) = (Renewed::new(), Mint::default());
        assert_eq!(get(&renewed, &mint, 3_600).await, Ok(1));
        tokio::time::advance(Duration::from_secs(3_290)).await;
        assert_eq!(get(&renewed, &mint, 3_600).await, Ok(1));
        assert_eq!(mint.calls(), 1);
        tokio::time::advance(Duration::from_secs(20)).await;
        // The one who finds it due gets the old one; the next gets the new one.
        assert_eq!(get(&renewed, &mint, 3_600).await, Ok(1));
        assert_eq!(get(&renewed, &mint, 3_600).await, Ok(2));
        assert_eq!(mint.calls(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_renewal_keeps_the_valid_value_and_never_one_past_its_end() {
        let (renewed, mint) = (Renewed::new(), Mint::default());
        assert_eq!(get(&renewed, &mint, 3_600).await, Ok(1));
        mint.fail(true);
        tokio::time::advance(Duration::from_secs(3_400)).await;
        assert_eq!(get(&renewed, &mint, 3_600).await, Ok(1));
        assert_eq!(mint.calls(), 2);
        // Not again at every request.
        assert_eq!(get(&renewed, &mint, 3_600).await, Ok(1));
        assert_eq!(mint.calls(), 2);
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(get(&renewed, &mint, 3_600).await, Ok(1));
        assert_eq!(mint.calls(), 3);
        tokio::time::advance(Duration::from_mins(3)).await;
        let failed = Err(MintError::Unusable("told to fail"));
        assert_eq!(get(&renewed, &mint, 3_600).await, failed);
        mint.fail(false);
        assert_eq!(get(&renewed, &mint, 3_600).await, Ok(5));
    }

    #[tokio::test(start_paused = true)]
    async fn all_wait_for_one_renewal_even_when_the_first_leaves() {
        let renewed = Arc::new(Renewed::new());
        let tasks = Tasks::default();
        let mint = Mint::default();
        let gate = Arc::new(Semaphore::new(0));
        let gated = || {
            let (gate, mint) = (Arc::clone(&gate), mint.clone());
            async move {
                let permit = gate.acquire().await.expect("the gate stays");
                permit.forget();
                mint.now(3_600)
            }
        };
        let mut first = Box::pin(renewed.get(&tasks, gated));
        let poll = futures_util::poll!(&mut first);
        assert!(poll.is_pending());
        drop(first);
        let others: Vec<_> = (0..50).map(|_| renewed.get(&tasks, gated)).collect();
        gate.add_permits(50);
        for result in futures_util::future::join_all(others).await {
            assert_eq!(result, Ok(1));
        }
        assert_eq!(mint.calls(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_mint_that_hangs_is_given_up_for_all() {
        let renewed: Renewed<u32> = Renewed::new();
        let tasks = Tasks::default();
        let waiting: Vec<_> = (0..3)
            .map(|_| renewed.get(&tasks, std::future::pending))
            .collect();
        for result in futures_util::future::join_all(waiting).await {
            assert_eq!(result, Err(MintError::Timeout(10)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_life_is_used_for_most_of_it() {
        let (renewed, mint) = (Renewed::new(), Mint::default());
        assert_eq!(get(&renewed, &mint, 40).await, Ok(1));
        tokio::time::advance(Duration::from_secs(29)).await;
        assert_eq!(get(&renewed, &mint, 40).await, Ok(1));
        assert_eq!(mint.calls(), 1);
        tokio::time::advance(Duration::from_secs(8)).await;
        assert_eq!(get(&renewed, &mint, 40).await, Ok(2));
    }
}
