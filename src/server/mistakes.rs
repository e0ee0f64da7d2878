//! Clients that do what can't work, or what nobody should do, remembered for `doctor`.
//!
//! Owns: [`Mistakes`], a bounded list by kind and caller. In: who, and what they spoke. Out: the list, and whether a line in the
//! log is due. Must not know: how it was found out, what is answered.

use crate::{identity::Caller, record::Timestamp};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Callers that are remembered; who was last seen the longest ago is forgotten first.
const KEPT: usize = 64;

/// Between two lines in the log about the same caller and mistake, or about anybody while many make them.
const SILENCE: Duration = Duration::from_mins(1);

/// Lines in the log in one such time.
const LINES: usize = 20;

/// What a client did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TLS, on the port for plain HTTP.
    TlsOnHttp,
    /// Plain HTTP, on the port for TLS.
    HttpOnTls,
    /// TLS, but the client ended the handshake: most often it does not trust the certificate, or calls by another name.
    Untrusted,
    /// A web page of another site called.
    ForeignOrigin,
    /// A page was asked for under a name that is not the gateway's.
    ForeignHost,
    /// A key was sent that looks like a real one, and that nobody needs.
    OwnKey,
}

/// One caller's mistake.
#[derive(Clone, Debug)]
pub struct Mistake {
    /// What was done.
    pub kind: Kind,
    /// Who: a login and a node; empty when the tailnet does not know.
    pub login: Arc<str>,
    /// The node's name.
    pub node_name: Arc<str>,
    /// What the client said, in its own words, if it said something.
    pub words: String,
    /// How often.
    pub count: u64,
    /// When last.
    pub last: Timestamp,
}

/// The mistakes of late. Clones are the same list.
#[derive(Clone, Debug, Default)]
pub struct Mistakes(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    /// The latest last.
    entries: Vec<(Mistake, Instant)>,
    /// When the present time of silence began, and the lines in it.
    lines: Option<(Instant, usize)>,
}

// === impl Kind ===

impl Kind {
    /// As metrics label it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TlsOnHttp => "tls_on_http",
            Self::HttpOnTls => "http_on_tls",
            Self::Untrusted => "handshake_refused",
            Self::ForeignOrigin => "foreign_origin",
            Self::ForeignHost => "foreign_host",
            Self::OwnKey => "own_key",
        }
    }
}

// === impl Mistakes ===

impl Mistakes {
    /// Remembers one; returns whether it should be logged.
    pub(super) fn note(&self, kind: Kind, caller: Option<&Caller>, words: String) -> bool {
        let (login, node_name) = caller.map_or_else(Default::default, |caller| {
            (Arc::clone(&caller.login), Arc::clone(&caller.node_name))
        });
        let now = Instant::now();
        let mut book = self.0.lock();
        let known = book.entries.iter().position(|(entry, _)| {
            entry.kind == kind && entry.login == login && entry.node_name == node_name
        });
        let (count, logged) = match known.map(|at| book.entries.remove(at)) {
            Some((entry, logged)) => (entry.count, Some(logged)),
            None => (0, None),
        };
        let due =
            logged.is_none_or(|logged| now.duration_since(logged) >= SILENCE) && book.may_log(now);
        if book.entries.len() >= KEPT {
            book.entries.remove(0);
        }
        let mistake = Mistake {
            kind,
            login,
            node_name,
            words,
            count: count + 1,
            last: Timestamp::now(),
        };
        let logged = if due { now } else { logged.unwrap_or(now) };
        book.entries.push((mistake, logged));
        due
    }

    /// All of them, the latest first.
    pub fn all(&self) -> Vec<Mistake> {
        let book = self.0.lock();
        book.entries
            .iter()
            .rev()
            .map(|(entry, _)| entry.clone())
            .collect()
    }
}

// === impl Book ===

impl Book {
    /// Many callers, or one whose entry keeps being forgotten, must not fill the log.
    fn may_log(&mut self, now: Instant) -> bool {
        let (since, lines) = match self.lines {
            Some((since, lines)) if now.duration_since(since) < SILENCE => (since, lines),
            _ => (now, 0),
        };
        self.lines = Some((since, lines + 1));
        lines < LINES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_caller_is_logged_once_a_minute_and_counted_always() {
        let (mistakes, alice) = (Mistakes::default(), Caller::named("alice@example.com"));
        let note = || mistakes.note(Kind::TlsOnHttp, Some(&alice), String::new());
        assert!(note());
        assert!(!note());
        assert!(mistakes.note(Kind::HttpOnTls, Some(&alice), String::new()));
        tokio::time::advance(SILENCE).await;
        assert!(note());
        let all = mistakes.all();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].kind, all[0].count), (Kind::TlsOnHttp, 3));
        assert_eq!(&*all[0].login, "alice@example.com");
    }

    #[tokio::test(start_paused = true)]
    async fn many_callers_fill_neither_the_list_nor_the_log() {
        let mistakes = Mistakes::default();
        let logged = (0..10 * KEPT)
            .filter(|number| {
                let caller = Caller::named(&format!("user{number}@example.com"));
                mistakes.note(Kind::TlsOnHttp, Some(&caller), String::new())
            })
            .count();
        assert_eq!(logged, LINES);
        let all = mistakes.all();
        assert_eq!(all.len(), KEPT);
        assert_eq!(
            &*all[0].login,
            &format!("user{}@example.com", 10 * KEPT - 1)
        );
    }
}
