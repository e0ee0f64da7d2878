//! Names of providers, looked up.
//!
//! Owns: [`Names`], which asks the host's resolver, and [`Resolver`], the rule of what may come of it. In: a name. Out: its
//! addresses, or why there are none. The host's resolver blocks a thread for as long as it likes, so a name is asked for once at a
//! time: a name server that hangs holds one thread for each name, however many requests wait for it, and nobody who asks for
//! another one. Must not know: providers, connections.

use super::blame::Unresolved;
use crate::config::address::is_local;
use hyper_util::client::legacy::connect::dns::Name;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fmt,
    future::Future,
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::watch;
use tower_service::Service;

/// Names that are looked up at a time, a thread each: well below what the runtime has for whatever blocks.
const AT_ONCE: usize = 128;

/// What came of a question, for all who wait for it.
type Found = Result<Vec<SocketAddr>, (io::ErrorKind, String)>;

type Ask = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// The host's resolver, asked for each name once at a time.
#[derive(Clone)]
pub(super) struct Names {
    ask: Arc<Ask>,
    asked: Arc<Mutex<HashMap<Name, watch::Receiver<Option<Found>>>>>,
}

impl Names {
    /// By what the host is configured to ask.
    pub(super) fn of_host() -> Self {
        Self::asking(|name| Ok((name, 0).to_socket_addrs()?.collect()))
    }

    fn asking(ask: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Self {
        Self {
            ask: Arc::new(ask),
            asked: Arc::default(),
        }
    }

    /// The addresses of a name. Cancel safe: the question goes on for whoever else waits.
    async fn find(&self, name: Name) -> io::Result<Vec<SocketAddr>> {
        let mut answer = self.question(name)?;
        let found = answer
            .wait_for(Option::is_some)
            .await
            .map_err(|_| io::Error::other("the lookup ended without an answer"))?;
        match found.as_ref().expect("it was waited for") {
            Ok(addresses) => Ok(addresses.clone()),
            Err((kind, text)) => Err(io::Error::new(*kind, text.clone())),
        }
    }

    /// The question that is under way for that name, or a new one.
    fn question(&self, name: Name) -> io::Result<watch::Receiver<Option<Found>>> {
        let mut asked = self.asked.lock();
        if let Some(answer) = asked.get(&name) {
            return Ok(answer.clone());
        }
        if asked.len() >= AT_ONCE {
            return Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                format!("{AT_ONCE} other names are being looked up: does the name server answer?"),
            ));
        }
        let (sender, answer) = watch::channel(None);
        asked.insert(name.clone(), answer.clone());
        let this = self.clone();
        tokio::task::spawn_blocking(move || {
            let found =
                (this.ask)(name.as_str()).map_err(|error| (error.kind(), error.to_string()));
            // Whoever comes from now on asks anew: nothing is remembered here.
            this.asked.lock().remove(&name);
            sender.send_replace(Some(found));
        });
        Ok(answer)
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names")
            .field("asked", &self.asked.lock().len())
            .finish_non_exhaustive()
    }
}

/// Resolves names, and refuses the host's own addresses unless they are allowed.
#[derive(Clone)]
pub(super) struct Resolver {
    pub(super) allow_local: bool,
    pub(super) names: Names,
    /// How long a name may take.
    pub(super) limit: Duration,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (allow_local, limit) = (self.allow_local, self.limit);
        let names = self.names.clone();
        Box::pin(async move {
            let found = tokio::time::timeout(limit, names.find(name)).await;
            let (allowed, refused): (Vec<_>, Vec<_>) = found
                .unwrap_or_else(|_| {
                    let text = format!("the name server did not answer within {limit:?}");
                    Err(io::Error::new(io::ErrorKind::TimedOut, text))
                })
                .map_err(|error| Unresolved::error(&error))?
                .into_iter()
                .partition(|addr| allow_local || !is_local(addr.ip()));
            if allowed.is_empty() && !refused.is_empty() {
                return Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    "the name points to the gateway's own host; start with --allow-local-upstreams to permit that",
                ));
            }
            Ok(allowed.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering::Relaxed},
    };

    const HERE: &str = "192.0.2.7:0";

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    /// Names that begin with `slow` hang until the barrier opens; the count of questions about them.
    fn hanging(threads: usize) -> (Names, Arc<Barrier>, Arc<AtomicUsize>) {
        let (gate, asked) = (Arc::new(Barrier::new(threads + 1)), Arc::default());
        let (wait, count) = (Arc::clone(&gate), Arc::clone(&asked));
        let names = Names::asking(move |name| {
            if name.starts_with("slow") && AtomicUsize::fetch_add(&count, 1, Relaxed) < threads {
                wait.wait();
            }
            Ok(vec![HERE.parse().unwrap()])
        });
        (names, gate, asked)
    }

    #[tokio::test]
    async fn a_name_that_hangs_holds_one_thread_and_nobody_who_asks_for_another() {
        let (names, gate, asked) = hanging(1);
        let mut resolver = Resolver {
            allow_local: false,
            names: names.clone(),
            limit: Duration::from_millis(20),
        };
        let waiting: Vec<_> = (0..300).map(|_| resolver.call(name("slow"))).collect();
        for answer in join_all(waiting).await {
            let error = answer.unwrap_err();
            assert!(
                error.to_string().contains("did not answer within 20ms"),
                "{error}"
            );
            assert_eq!(
                super::super::blame::stage(&error),
                super::super::Stage::Name
            );
        }
        assert_eq!(asked.load(Relaxed), 1, "one question for all of them");
        // Meanwhile others get theirs.
        assert_eq!(
            names.find(name("quick")).await.unwrap(),
            [HERE.parse().unwrap()]
        );
        // What comes late is given to whoever still waits, and the next one asks anew.
        let opens = async { gate.wait() };
        let (late, _) = tokio::join!(names.find(name("slow")), opens);
        assert_eq!(late.unwrap(), [HERE.parse().unwrap()]);
        while !names.asked.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        names.find(name("slow")).await.unwrap();
        assert_eq!(asked.load(Relaxed), 2);
    }

    #[tokio::test]
    async fn names_that_hang_are_bounded() {
        let (names, gate, _) = hanging(AT_ONCE);
        let slow: Vec<_> = (0..AT_ONCE)
            .map(|n| names.question(name(&format!("slow{n}"))).unwrap())
            .collect();
        let error = names.find(name("one-more")).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        // One that is asked for already is no more.
        names.question(name("slow3")).unwrap();
        gate.wait();
        for mut answer in slow {
            answer.wait_for(Option::is_some).await.unwrap();
        }
        names.find(name("one-more")).await.unwrap();
    }

    #[tokio::test]
    async fn what_the_resolver_says_is_passed_on() {
        let names = Names::asking(|name| Err(io::Error::other(format!("no {name}"))));
        let error = names.find(name("nowhere")).await.unwrap_err();
        assert_eq!(error.to_string(), "no nowhere");
        let error = Names::of_host().find(name("no such name")).await;
        assert!(error.is_err());
    }
}
