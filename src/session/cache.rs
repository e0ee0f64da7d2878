//! The prompt-cache watch: whether a cache that should have been read was read, and if not, what in the prefix changed.
//!
//! Owns: [`Caches`], which remembers the last prompt of each line of requests of a session as hashes, and what the provider
//! then had in its cache. In: the prompt of a request and the usage of its reply. Out: a [`CacheMiss`], at most one a
//! request. A session has a few lines: the conversation itself, and side calls with prompts of their own.
//! What the provider does is only seen in its counts, so this says what must have been cached because it was read or
//! written the time before, never what could have been.
//! Must not know: prices, dialects.

use super::memory::Recent;
use crate::{
    record::{CacheMiss, MissCause, SessionId, Timestamp, Usage},
    tap::Prefix,
};

/// Tokens below which nothing is cached anywhere.
const LEAST: u64 = 1024;
/// Lines of one session, the newest.
const LINES: usize = 4;
/// Sessions that are watched.
const SESSIONS: usize = 4096;
/// How long a cache lives after its last use, in milliseconds.
const SHORT: u64 = 5 * 60_000;
/// The same, when it was written for an hour.
const LONG: u64 = 3_600_000;

/// What the caches of the latest sessions hold.
#[derive(Debug)]
pub(super) struct Caches(Recent<SessionId, Vec<Line>>);

/// One line of requests whose prompts grow.
#[derive(Debug)]
struct Line {
    model: u64,
    prefix: Prefix,
    /// Tokens that were read from the cache or written to it.
    cached: u64,
    /// It was written for an hour.
    long: bool,
    /// When the provider last used it: the start of its request.
    used: Timestamp,
    /// When the reply was there: what began earlier could not read it.
    ready: Timestamp,
}

/// One answered request, as far as its cache goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prompt<'a> {
    /// A hash of provider and model.
    pub(super) model: u64,
    pub(super) prefix: &'a Prefix,
    pub(super) usage: &'a Usage,
    pub(super) started: Timestamp,
    pub(super) now: Timestamp,
}

impl Caches {
    pub(super) fn new(capacity: usize) -> Self {
        Self(Recent::new(capacity.min(SESSIONS)))
    }

    /// Judges an answered request, and remembers it.
    pub(super) fn see(&mut self, session: SessionId, prompt: Prompt<'_>) -> Option<CacheMiss> {
        let mut lines = self
            .0
            .get(&session, prompt.now)
            .map(std::mem::take)
            .unwrap_or_default();
        let same = lines.iter().rposition(|line| line.goes_on_as(&prompt));
        let before = same.map(|at| lines.remove(at));
        let miss = before.as_ref().and_then(|before| before.miss(&prompt));
        let usage = prompt.usage;
        let mut next = Line {
            model: prompt.model,
            prefix: prompt.prefix.clone(),
            cached: (usage.cache_read)
                .saturating_add(usage.cache_write)
                .saturating_add(usage.cache_write_1h),
            long: usage.cache_write_1h > 0,
            used: prompt.started,
            ready: prompt.now,
        };
        if let Some(before) = before {
            // A cache that is only read stays what it was written for.
            next.long |= before.long && usage.cache_read > 0;
            // Of two at the same time the one that began later counts.
            if before.used > next.used {
                next = before;
            }
        }
        if lines.len() == LINES {
            lines.remove(0);
        }
        lines.push(next);
        self.0.insert(session, lines, prompt.now);
        miss
    }
}

impl Line {
    /// Whether the prompt is the next one of this line: it begins with the same message and differs in one thing at most;
    /// or it has other messages and the rest is the same.
    fn goes_on_as(&self, prompt: &Prompt<'_>) -> bool {
        let (old, new) = (&self.prefix, prompt.prefix);
        let first = old.messages.first() == new.messages.first();
        let same = [
            self.model == prompt.model,
            old.tools == new.tools,
            old.system == new.system,
        ];
        let others = same.into_iter().filter(|same| !same).count();
        others + usize::from(!first) <= 1
    }

    fn miss(&self, prompt: &Prompt<'_>) -> Option<CacheMiss> {
        // What began before the cache was there, or before it was last used, is no evidence.
        if prompt.started < self.ready {
            return None;
        }
        let expected = self.cached.min(prompt.usage.input_all());
        let read = prompt.usage.cache_read;
        if expected < LEAST || read.saturating_mul(2) >= expected {
            return None;
        }
        let idle = prompt.started.0.saturating_sub(self.used.0);
        let (cause, message) = self.difference(prompt).unwrap_or_else(|| {
            let expired = idle > if self.long { LONG } else { SHORT };
            let cause = if expired {
                MissCause::Expired
            } else {
                MissCause::Unknown
            };
            (cause, None)
        });
        Some(CacheMiss {
            expected_tokens: expected,
            read_tokens: read,
            cause,
            message,
            idle_ms: idle,
        })
    }

    /// The first thing in the prefix that is not as it was.
    fn difference(&self, prompt: &Prompt<'_>) -> Option<(MissCause, Option<u32>)> {
        let (old, new) = (&self.prefix, prompt.prefix);
        if self.model != prompt.model {
            return Some((MissCause::Model, None));
        }
        if old.tools != new.tools {
            return Some((MissCause::Tools, None));
        }
        if old.system != new.system {
            return Some((MissCause::System, None));
        }
        let mut pairs = old.messages.iter().zip(&new.messages);
        let at = pairs.position(|(old, new)| old != new).or_else(|| {
            // A history that became shorter ends before the cache's last mark.
            (new.messages.len() < old.messages.len()).then_some(new.messages.len())
        })?;
        Some((MissCause::Message, u32::try_from(at + 1).ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionId = SessionId(1);

    fn prefix(tools: u32, system: u32, messages: &[u32]) -> Prefix {
        Prefix {
            tools,
            system,
            messages: messages.to_vec(),
        }
    }

    fn usage(read: u64, write: u64) -> Usage {
        Usage {
            input: 10,
            cache_read: read,
            cache_write: write,
            ..Usage::default()
        }
    }

    /// Sends a prompt at a second; its reply takes one.
    fn see(
        caches: &mut Caches,
        second: u64,
        model: u64,
        prefix: &Prefix,
        usage: &Usage,
    ) -> Option<CacheMiss> {
        let prompt = Prompt {
            model,
            prefix,
            usage,
            started: Timestamp(second * 1000),
            now: Timestamp(second * 1000 + 1000),
        };
        caches.see(SESSION, prompt)
    }

    #[test]
    fn the_first_difference_is_named() {
        let first = prefix(1, 2, &[10, 11, 12]);
        for (model, next, cause, message) in [
            (1, prefix(9, 2, &[10, 11, 12, 13]), MissCause::Tools, None),
            (1, prefix(1, 9, &[10, 11, 12, 13]), MissCause::System, None),
            (
                1,
                prefix(1, 2, &[10, 99, 12, 13]),
                MissCause::Message,
                Some(2),
            ),
            (1, prefix(1, 2, &[99]), MissCause::Message, Some(1)),
            (1, prefix(1, 2, &[10, 11]), MissCause::Message, Some(3)),
            (9, prefix(1, 2, &[10, 11, 12, 13]), MissCause::Model, None),
            (1, prefix(1, 2, &[10, 11, 12, 13]), MissCause::Unknown, None),
        ] {
            let mut caches = Caches::new(10);
            assert_eq!(see(&mut caches, 1, 1, &first, &usage(0, 5000)), None);
            let miss = see(&mut caches, 10, model, &next, &usage(0, 6000)).unwrap();
            let found = (miss.cause, miss.message, miss.expected_tokens, miss.idle_ms);
            assert_eq!(found, (cause, message, 5000, 9000));
            assert_eq!(
                see(&mut caches, 20, model, &next, &usage(6000, 0)),
                None,
                "the new one is remembered"
            );
        }
    }

    #[test]
    fn a_cache_lives_five_minutes_or_an_hour_from_its_last_use() {
        let hour = Usage {
            cache_write_1h: 5000,
            ..usage(0, 0)
        };
        let prompt = prefix(1, 2, &[10]);
        for (wrote, second, cause) in [
            (usage(0, 5000), 299, MissCause::Unknown),
            (usage(0, 5000), 400, MissCause::Expired),
            (hour, 400, MissCause::Unknown),
            (hour, 4000, MissCause::Expired),
        ] {
            let mut caches = Caches::new(10);
            see(&mut caches, 0, 1, &prompt, &wrote);
            let miss = see(&mut caches, second, 1, &prompt, &usage(0, 5000));
            assert_eq!(miss.unwrap().cause, cause, "after {second} s");
        }
    }

    #[test]
    fn what_needs_no_cache_misses_none() {
        let prompt = prefix(1, 2, &[10]);
        let mut caches = Caches::new(10);
        see(&mut caches, 1, 1, &prompt, &usage(0, 1023));
        assert_eq!(
            see(&mut caches, 5, 1, &prompt, &usage(0, 5000)),
            None,
            "too little was cached"
        );
        assert_eq!(
            see(&mut caches, 10, 1, &prompt, &usage(4000, 0)),
            None,
            "most was read"
        );
        see(&mut caches, 15, 1, &prompt, &usage(4000, 0));
        assert_eq!(
            see(&mut caches, 15, 1, &prompt, &usage(0, 4000)),
            None,
            "at the same time"
        );
        let side = prefix(0, 7, &[70]);
        assert_eq!(
            see(&mut caches, 20, 3, &side, &usage(0, 0)),
            None,
            "a side call"
        );
        assert_eq!(see(&mut caches, 25, 1, &prompt, &usage(4000, 0)), None);
        assert!(
            see(&mut caches, 30, 1, &prompt, &usage(0, 4000)).is_some(),
            "it was not forgotten"
        );
    }

    #[test]
    fn lines_of_a_session_are_bounded() {
        let mut caches = Caches::new(10);
        for number in 0..100 {
            see(
                &mut caches,
                1,
                number.into(),
                &prefix(number, number, &[number]),
                &usage(0, 5000),
            );
        }
        assert_eq!(caches.0.get(&SESSION, Timestamp(0)).unwrap().len(), LINES);
    }
}
