//! A task that wakes itself.
//!
//! Owns: [`Settled`]: polls a future again at once when it was woken while it was being polled. In: a connection's future.
//! Out: the same. Must not know: what the future does.
//!
//! Halves of a connection talk to each other within one task (the reader hands a body's chunk to the handler and wakes
//! it), and a task that is woken while it runs goes to the end of the worker's queue: the worker calls another thread to help
//! with a queue that is not empty, which costs more than the poll itself.

use futures_util::task::AtomicWaker;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// The future is being polled.
const POLLED: u8 = 1;
/// It was woken.
const WOKEN: u8 = 2;

/// Polls in a row at most: others have their turn, too.
const ROUNDS: usize = 4;

/// Whom wakes go to.
#[derive(Debug, Default)]
struct Door {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Wake for Door {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Whoever polls looks at it afterwards; a task that was woken already need not be again.
        if self.state.fetch_or(WOKEN, Ordering::AcqRel) == 0 {
            self.task.wake();
        }
    }
}

/// A future that waits only once nothing of it has woken it.
pub(super) struct Settled<F> {
    future: Pin<Box<F>>,
    door: Arc<Door>,
    /// The door's.
    waker: Waker,
}

/// The same future.
pub(super) fn settle<F: Future>(future: F) -> Settled<F> {
    let door = Arc::new(Door::default());
    Settled {
        future: Box::pin(future),
        waker: Waker::from(Arc::clone(&door)),
        door,
    }
}

impl<F: Future> Future for Settled<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self {
            future,
            door,
            waker,
        } = &mut *self;
        door.task.register(cx.waker());
        for _ in 0..ROUNDS {
            door.state.store(POLLED, Ordering::Release);
            let polled = future.as_mut().poll(&mut Context::from_waker(waker));
            if polled.is_ready() {
                return polled;
            }
            if door.state.swap(0, Ordering::AcqRel) & WOKEN == 0 {
                return Poll::Pending;
            }
            // Without budget nothing would come of it.
            if !tokio::task::coop::has_budget_remaining() {
                break;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::noop_waker;
    use std::{
        future::poll_fn,
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
    };

    /// Counts its wakes.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn a_future_that_wakes_itself_is_polled_again_at_once_and_nobody_else_is_woken() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut left = ROUNDS - 1;
        let mut settled = settle(poll_fn(|cx| {
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        }));
        let polled = Pin::new(&mut settled).poll(&mut Context::from_waker(&waker));
        assert_eq!((polled, woken.0.load(Relaxed)), (Poll::Ready(()), 0));
    }

    #[test]
    fn one_that_never_stops_waking_itself_waits_for_its_turn() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut polls = 0;
        let mut settled = settle(poll_fn(|cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        }));
        let polled = Pin::new(&mut settled).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        drop(settled);
        assert_eq!((polls, woken.0.load(Relaxed)), (ROUNDS, 1));
    }

    #[test]
    fn a_wake_from_outside_reaches_the_task_that_polled_last() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let inner = Arc::new(AtomicWaker::new());
        let mut settled = settle(poll_fn(|cx| {
            inner.register(cx.waker());
            Poll::<()>::Pending
        }));
        let mut poll = |waker: &Waker| {
            let polled = Pin::new(&mut settled).poll(&mut Context::from_waker(waker));
            assert!(polled.is_pending());
        };
        poll(&noop_waker());
        poll(&waker);
        assert_eq!(woken.0.load(Relaxed), 0);
        inner.wake();
        assert_eq!(woken.0.load(Relaxed), 1);
        // It has been told; a second time would change nothing.
        inner.wake();
        poll(&waker);
        inner.wake();
        assert_eq!(woken.0.load(Relaxed), 2);
    }
}
