//! Rules: which script answers which request, set before the request comes.
//!
//! Comes in: rules from a test or the control endpoint, and the head of a
//! request. Goes out: the first rule that fits and has uses left. A rule keeps
//! the replies that its script fixed completely, so that a benchmark's requests
//! cost no rendering. Knows no HTTP beyond header names.

use std::sync::Arc;

use bytes::Bytes;
use hyper::HeaderMap;
use parking_lot::Mutex;
use serde::Deserialize;

use crate::conversation::Head;
use crate::dialect::Operation;
use crate::script::Script;

/// Replies kept by one rule; more than any sensible number of model names.
const PREPARED_LIMIT: usize = 64;

/// Which requests a rule is for: all conditions that are set must hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Matcher {
    /// A part of the path and query.
    pub path: Option<String>,
    /// The exact model name.
    pub model: Option<String>,
    /// A header's name and its exact value.
    pub header: Option<(String, String)>,
    /// A part of the body.
    pub body: Option<String>,
}

impl Matcher {
    /// Matches every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// Matches requests for that model.
    pub fn model(model: impl Into<String>) -> Self {
        Self {
            model: Some(model.into()),
            ..Self::default()
        }
    }

    /// Matches requests whose path and query contain that text.
    pub fn path(part: impl Into<String>) -> Self {
        Self {
            path: Some(part.into()),
            ..Self::default()
        }
    }

    /// Matches requests whose body contains that text.
    pub fn body(part: impl Into<String>) -> Self {
        Self {
            body: Some(part.into()),
            ..Self::default()
        }
    }

    fn fits(&self, request: &Facts<'_>) -> bool {
        let path = self
            .path
            .as_ref()
            .is_none_or(|part| request.target.contains(part));
        let model = self
            .model
            .as_ref()
            .is_none_or(|model| request.model == Some(model));
        let header = self.header.as_ref().is_none_or(|(name, value)| {
            request
                .headers
                .get_all(name)
                .iter()
                .any(|found| found.as_bytes() == value.as_bytes())
        });
        path && model
            && header
            && self
                .body
                .as_ref()
                .is_none_or(|part| contains(request.body, part.as_bytes()))
    }
}

/// Which rules are for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matching {
    /// All that fit.
    Any,
    /// Those that name the path: a rule for models shall not be used up by a list of them.
    Named,
}

/// What a rule can look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) target: &'a str,
    pub(crate) model: Option<&'a str>,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

/// What makes two replies of a complete script the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplyKey {
    pub(crate) dialect: &'static str,
    pub(crate) operation: Operation,
    pub(crate) model: String,
    /// Without what changes nothing.
    pub(crate) head: Head,
}

/// A script in force, with the replies it has fixed.
#[derive(Debug)]
pub(crate) struct Rule {
    matcher: Matcher,
    pub(crate) script: Script,
    prepared: Mutex<Vec<(ReplyKey, Arc<[Bytes]>)>>,
}

impl Rule {
    /// The reply of that key, rendered at most once while there is room.
    pub(crate) fn prepared(
        &self,
        key: ReplyKey,
        render: impl FnOnce() -> Arc<[Bytes]>,
    ) -> Arc<[Bytes]> {
        let mut prepared = self.prepared.lock();
        if let Some((_, writes)) = prepared.iter().find(|(known, _)| *known == key) {
            return Arc::clone(writes);
        }
        let writes = render();
        if prepared.len() < PREPARED_LIMIT {
            prepared.push((key, Arc::clone(&writes)));
        }
        writes
    }
}

#[derive(Debug)]
struct Slot {
    id: u64,
    left: Option<u64>,
    rule: Arc<Rule>,
}

/// All rules in force, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    slots: Mutex<(u64, Vec<Slot>)>,
}

impl Rules {
    /// Puts a rule in force for that many requests, or for all; answers its id.
    pub(crate) fn add(&self, matcher: Matcher, script: Script, times: Option<u64>) -> u64 {
        let mut slots = self.slots.lock();
        slots.0 += 1;
        let id = slots.0;
        if times == Some(0) {
            return id;
        }
        let rule = Arc::new(Rule {
            matcher,
            script,
            prepared: Mutex::default(),
        });
        slots.1.push(Slot {
            id,
            left: times,
            rule,
        });
        id
    }

    /// Takes the rule out of force, if it still is.
    pub(crate) fn remove(&self, id: u64) {
        self.slots.lock().1.retain(|slot| slot.id != id);
    }

    pub(crate) fn clear(&self) {
        self.slots.lock().1.clear();
    }

    /// The first rule for that request, one use of it taken.
    pub(crate) fn take(&self, request: &Facts<'_>, matching: Matching) -> Option<Arc<Rule>> {
        let mut slots = self.slots.lock();
        let fits = |matcher: &Matcher| {
            (matching == Matching::Any || matcher.path.is_some()) && matcher.fits(request)
        };
        let place = slots.1.iter().position(|slot| fits(&slot.rule.matcher))?;
        let slot = &mut slots.1[place];
        let rule = Arc::clone(&slot.rule);
        if let Some(left) = &mut slot.left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                slots.1.remove(place);
            }
        }
        Some(rule)
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    needle.is_empty()
        || haystack
            .windows(needle.len())
            .any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;

    use super::{Facts, Matcher, Matching, Rules};
    use crate::script::Script;

    #[test]
    fn the_first_fitting_rule_answers_until_it_is_used_up() {
        let rules = Rules::default();
        rules.add(Matcher::model("m"), Script::text("once"), Some(1));
        rules.add(Matcher::any(), Script::text("always"), None);
        let headers = HeaderMap::new();
        let ask = |model| {
            let facts = Facts {
                target: "/v1/messages",
                model,
                headers: &headers,
                body: b"{}",
            };
            let rule = rules.take(&facts, Matching::Any);
            assert!(rules.take(&facts, Matching::Named).is_none());
            rule.unwrap().script.text.clone().unwrap()
        };
        assert_eq!(ask(Some("n")), "always");
        assert_eq!(ask(Some("m")), "once");
        assert_eq!(ask(Some("m")), "always");
    }

    #[test]
    fn every_condition_must_hold() {
        let matcher = Matcher {
            path: Some("messages".into()),
            model: Some("m".into()),
            header: Some(("x-a".into(), "1".into())),
            body: Some("needle".into()),
        };
        let mut headers = HeaderMap::new();
        headers.insert("x-a", "1".parse().unwrap());
        let facts = Facts {
            target: "/v1/messages",
            model: Some("m"),
            headers: &headers,
            body: b"a needle b",
        };
        assert!(matcher.fits(&facts));
        assert!(!matcher.fits(&Facts {
            target: "/v1/responses",
            ..facts
        }));
        assert!(!matcher.fits(&Facts {
            model: None,
            ..facts
        }));
        assert!(!matcher.fits(&Facts {
            body: b"hay",
            ..facts
        }));
        assert!(!matcher.fits(&Facts {
            headers: &HeaderMap::new(),
            ..facts
        }));
    }
}
