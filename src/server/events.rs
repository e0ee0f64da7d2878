//! What a page that is open gets to know: events, until it is closed, the gateway drains, or a minute has passed.
//!
//! In: the first event, and who asked for it. Out: a body that goes on with the next ones. The role is decided anew before
//! each event, and the page comes back after a minute, so that nobody is answered for long by what was true before.
//! Must not know: what events say.

use crate::{
    config::Live,
    dashboard::{Dashboard, Followed},
    identity::Caller,
    policy,
    proxy::body::Events,
    shutdown::Tasks,
};
use bytes::Bytes;
use futures_util::stream;
use http::request::Parts;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// How long a page is told of news before it must ask again.
const LIFE: Duration = Duration::from_mins(1);
/// How often there may be news: as often as the counts of running requests are written.
const EVERY: Duration = Duration::from_secs(2);

/// A page that is followed.
pub(super) struct Page {
    pub(super) dashboard: Arc<Dashboard>,
    pub(super) live: Live,
    pub(super) tasks: Tasks,
    pub(super) caller: Arc<Caller>,
    pub(super) parts: Parts,
    pub(super) followed: Followed,
}

/// How far it has been told.
struct Told {
    page: Page,
    since: Instant,
    first: Option<Bytes>,
    last: Bytes,
}

impl Told {
    async fn next(mut self) -> Option<(Bytes, Self)> {
        if let Some(first) = self.first.take() {
            return Some((first, self));
        }
        while self.since.elapsed() < LIFE {
            tokio::select! {
                () = self.page.tasks.draining.cancelled() => return None,
                () = sleep(EVERY) => {}
            }
            let event = self.page.next().await?;
            if event != self.last {
                self.last = event.clone();
                return Some((event, self));
            }
        }
        None
    }
}

impl Page {
    /// The body: this event, then those that differ from the one before.
    pub(super) fn events(self, first: Bytes) -> Events {
        Events::new(stream::unfold(
            Told {
                page: self,
                since: Instant::now(),
                first: Some(first.clone()),
                last: first,
            },
            Told::next,
        ))
    }

    async fn next(&self) -> Option<Bytes> {
        // Read here, so that the count of open pages holds as long as the body does.
        let Followed { .. } = &self.followed;
        let (role, _) = policy::role(&self.live.current(), &self.caller)?;
        self.dashboard
            .next_event(&self.caller, role, &self.parts)
            .await
    }
}
