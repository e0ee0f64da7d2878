//! What the pages show, as plain values: pages are functions of these and of nothing else.
//!
//! Owns: the view models and the sums that they need. In: counters and records, from `source`. Out: values to render.
//! Must not know: the store, HTML.

use crate::{
    record::{Capture, CostState, Record, SessionId, Timestamp, Usage},
    store::{Estimated, failed},
};

const HOUR: u64 = 3_600_000;

/// Whose data a page shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The caller's own.
    Own,
    /// Everyone's: the caller is an admin.
    Everyone,
    /// One other person's, by login: the caller is an admin.
    Person(String),
}

impl Whose {
    /// Whether rows may belong to different people, so that they must say to whom.
    pub(super) const fn many(&self) -> bool {
        matches!(self, Self::Everyone)
    }
}

/// The stretch of time that a page covers, up to now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Period {
    /// 24 bars of an hour.
    Day,
    /// 7 bars of a day.
    #[default]
    Week,
    /// 30 bars of a day.
    Month,
    /// 90 bars of a day.
    Quarter,
}

impl Period {
    pub(super) const ALL: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::Quarter];

    /// The word in addresses.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
            Self::Quarter => "90d",
        }
    }

    /// The words on the page.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Day => "24 hours",
            Self::Week => "7 days",
            Self::Month => "30 days",
            Self::Quarter => "90 days",
        }
    }

    /// The period of that word; the default for any other.
    pub(super) fn parse(word: Option<&str>) -> Self {
        let found = Self::ALL.into_iter().find(|p| Some(p.as_str()) == word);
        found.unwrap_or_default()
    }

    /// How many bars it has.
    pub(super) const fn bars(self) -> usize {
        match self {
            Self::Day => 24,
            Self::Week => 7,
            Self::Month => 30,
            Self::Quarter => 90,
        }
    }

    /// Hours that a bar covers.
    pub(super) const fn step(self) -> u32 {
        match self {
            Self::Day => 1,
            Self::Week | Self::Month | Self::Quarter => 24,
        }
    }

    /// The hour (since 1970) at which the first bar begins; the last bar contains `now`.
    pub(super) fn first_hour(self, now: Timestamp) -> u32 {
        let last = now.hour() / self.step() * self.step();
        let back = u32::try_from(self.bars() - 1).unwrap_or_default() * self.step();
        last.saturating_sub(back)
    }

    /// When each bar begins.
    pub(super) fn starts(self, now: Timestamp) -> Vec<Timestamp> {
        let first = self.first_hour(now);
        let hours = (first..=now.hour()).step_by(self.step() as usize);
        hours
            .map(|hour| Timestamp(u64::from(hour) * HOUR))
            .collect()
    }

    /// The bar that an hour falls into.
    pub(super) fn bar(self, hour: u32, now: Timestamp) -> Option<usize> {
        let after = hour.checked_sub(self.first_hour(now))?;
        let bar = (after / self.step()) as usize;
        (bar < self.bars()).then_some(bar)
    }
}

/// Sums over requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Requests.
    pub(super) requests: u64,
    /// Those that did not end well.
    pub(super) failed: u64,
    /// Tokens.
    pub(super) usage: Usage,
    /// Cost of those that have a price, in pico-dollars.
    pub(super) cost: u64,
    /// Requests with tokens and without a price.
    pub(super) unpriced: u64,
    /// What the figures leave out of broken streams; in none of the other sums.
    pub(super) estimated: Estimated,
}

impl Totals {
    /// Adds another sum.
    pub(super) fn add(&mut self, other: &Self) {
        // Figures come from providers: sums stop at the highest number, they don't wrap.
        for (sum, part) in [
            (&mut self.requests, other.requests),
            (&mut self.failed, other.failed),
            (&mut self.cost, other.cost),
            (&mut self.unpriced, other.unpriced),
        ] {
            *sum = sum.saturating_add(part);
        }
        for (sum, part) in self.usage.kinds_mut().into_iter().zip(other.usage.kinds()) {
            *sum = sum.saturating_add(part);
        }
        self.estimated.add(&other.estimated);
    }

    /// What one record adds.
    pub(super) fn of(record: &Record) -> Self {
        Self {
            requests: 1,
            failed: u64::from(failed(record)),
            usage: record.usage,
            cost: match record.cost.state {
                CostState::Priced => record.cost.pico,
                CostState::None | CostState::Unpriced => 0,
            },
            unpriced: u64::from(record.cost.state == CostState::Unpriced),
            estimated: Estimated::of(record),
        }
    }

    /// Input that was not read from a cache.
    pub(super) const fn fresh(&self) -> u64 {
        let usage = &self.usage;
        usage.input_all().saturating_sub(usage.cache_read)
    }

    /// The sum of sums.
    pub(super) fn sum<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut total = Self::default();
        for part in parts {
            total.add(part);
        }
        total
    }
}

/// One bar of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    /// When it begins.
    pub(super) start: Timestamp,
    /// What happened in it.
    pub(super) totals: Totals,
}

/// A named part of a whole: a model, a client, a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Its name.
    pub(super) name: String,
    /// What it belongs to (a model's provider), or nothing.
    pub(super) of: String,
    /// Its share.
    pub(super) totals: Totals,
}

/// One session, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// Its id.
    pub(super) id: SessionId,
    /// The session that started it.
    pub(super) parent: Option<SessionId>,
    /// The sub-agent whose session it is.
    pub(super) agent: Option<String>,
    /// The working directory that the client states.
    pub(super) workspace: Option<String>,
    /// Requests that should have read a prompt cache and did not.
    pub(super) cache_misses: u64,
    /// Tokens that those should have read, and did not.
    pub(super) cache_missed_tokens: u64,
    /// Its first user text, cut.
    pub(super) title: Option<String>,
    /// Whose it is.
    pub(super) login: String,
    /// The program's short name.
    pub(super) client: String,
    /// Models used.
    pub(super) models: Vec<String>,
    /// Sums over its requests.
    pub(super) totals: Totals,
    /// Tool calls made.
    pub(super) tools: u64,
    /// Requests under way.
    pub(super) in_flight: u64,
    /// Start of its first request.
    pub(super) started: Timestamp,
    /// Its last sign of life.
    pub(super) last: Timestamp,
}

/// `/ui/` and `/ui/dashboard/<login>`
#[derive(Clone, Debug)]
pub(super) struct Overview {
    pub(super) whose: Whose,
    pub(super) period: Period,
    pub(super) bars: Vec<Bar>,
    pub(super) models: Vec<Part>,
    pub(super) people: Vec<Part>,
    pub(super) active: Vec<Session>,
    pub(super) errors: Vec<Record>,
}

/// What the list of sessions is narrowed to; empty = anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) text: String,
    pub(super) user: String,
    pub(super) model: String,
    /// Continue behind this place.
    pub(super) after: String,
}

/// `/ui/logs/`
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    pub(super) whose: Whose,
    pub(super) filter: Filter,
    pub(super) rows: Vec<Session>,
    /// Where the next page begins.
    pub(super) next: Option<String>,
    /// Logins and models to choose from.
    pub(super) users: Vec<String>,
    pub(super) models: Vec<String>,
}

/// `/ui/sessions/<id>`
#[derive(Clone, Debug)]
pub(super) struct SessionPage {
    pub(super) session: Session,
    /// Sub-agents and forks.
    pub(super) children: Vec<Session>,
    /// In order of their start.
    pub(super) requests: Vec<Record>,
    /// Where the next page begins.
    pub(super) next: Option<String>,
}

/// `/ui/requests/<id>`
#[derive(Clone, Debug)]
pub(super) struct RequestPage {
    pub(super) record: Record,
    pub(super) capture: Option<Capture>,
}

/// Calls of one tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) calls: u64,
    /// Logins that called it.
    pub(super) users: Vec<String>,
}

/// A session and its calls by tool, most calls first.
pub(super) type SessionTools = (Session, Vec<(String, u64)>);

/// `/ui/tool-use/`
#[derive(Clone, Debug)]
pub(super) struct Tools {
    pub(super) whose: Whose,
    pub(super) period: Period,
    /// Calls by bar.
    pub(super) bars: Vec<(Timestamp, u64)>,
    pub(super) rows: Vec<Tool>,
    /// Late sessions that called tools.
    pub(super) sessions: Vec<SessionTools>,
}

/// One person's row of the adoption page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) login: String,
    pub(super) totals: Totals,
    /// Tokens by model, in the order of the page's columns; the last one is all other models.
    pub(super) tokens: Vec<u64>,
    /// Bars in which they sent anything.
    pub(super) active_bars: usize,
}

/// `/ui/adoption/`
#[derive(Clone, Debug)]
pub(super) struct Adoption {
    pub(super) whose: Whose,
    pub(super) period: Period,
    /// People active in each bar.
    pub(super) bars: Vec<(Timestamp, u64)>,
    /// The models that have a column of their own.
    pub(super) models: Vec<String>,
    pub(super) people: Vec<Person>,
}

/// Prices of a model in pico-dollars for a million tokens; none = not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Input.
    pub input: Option<u64>,
    /// Input read from a prompt cache.
    pub cache_read: Option<u64>,
    /// Input written to a prompt cache.
    pub cache_write: Option<u64>,
    /// Output.
    pub output: Option<u64>,
}

/// One model that the caller may use, at one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) name: String,
    pub(super) provider: String,
    pub(super) provider_name: String,
    pub(super) description: String,
    /// Paths that serve it.
    pub(super) paths: Vec<&'static str>,
    /// Its prices, when the table knows it.
    pub(super) rates: Option<Rates>,
    /// Whether the plain name goes elsewhere, so that `provider/model` is needed.
    pub(super) shadowed: bool,
}
