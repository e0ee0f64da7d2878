//! What the pages show, as plain values: pages are functions of these and of nothing else.
//!
//! Owns: the view models and the sums that they need. In: counters and records, from `source`. Out: values to render.
//! Must not know: the store, HTML.

use super::{order::Address, route::Route, talk::Turn};
use crate::{
    endpoint::Dialect,
    record::{Capture, CostState, End, Record, SessionId, Timestamp, Usage},
    store::{AuditAction, AuditEntry, Estimated, Histogram, StatusClass, failed},
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

    /// Milliseconds from its first bar to the end of its last.
    pub(super) const fn length(self) -> u64 {
        self.bars() as u64 * self.step() as u64 * HOUR
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
    pub(super) selection: Selection,
    pub(super) bars: Vec<Bar>,
    /// The sum of the period before this one.
    pub(super) before: Totals,
    pub(super) models: Vec<Part>,
    pub(super) people: Vec<Part>,
    pub(super) active: Vec<Session>,
    pub(super) errors: Vec<Record>,
    pub(super) choices: Choices,
}

/// A status that pages can be narrowed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// A class of status codes.
    Class(StatusClass),
    /// A way to end.
    End(End),
}

impl Status {
    /// Those to choose from, each with its word in addresses and its words on the page.
    pub(super) const CHOICES: [(Self, &'static str, &'static str); 9] = [
        (Self::Class(StatusClass::Success), "2xx", "2xx: answered"),
        (
            Self::Class(StatusClass::ClientError),
            "4xx",
            "4xx: refused or wrong",
        ),
        (Self::Class(StatusClass::ServerError), "5xx", "5xx: failed"),
        (Self::End(End::InFlight), "in_flight", "in flight"),
        (Self::End(End::Refused), "refused", "refused by the gateway"),
        (
            Self::End(End::UpstreamError),
            "upstream_error",
            "upstream error",
        ),
        (Self::End(End::Timeout), "timeout", "timed out"),
        (Self::End(End::ClientGone), "client_gone", "client gone"),
        (Self::End(End::Interrupted), "interrupted", "interrupted"),
    ];

    /// The word in addresses.
    pub(super) fn as_str(self) -> &'static str {
        let mut all = Self::CHOICES.into_iter();
        all.find(|(status, ..)| *status == self)
            .map_or("", |(_, word, _)| word)
    }

    fn parse(word: &str) -> Option<Self> {
        let mut all = Self::CHOICES.into_iter();
        all.find(|(_, known, _)| *known == word)
            .map(|(status, ..)| status)
    }

    /// Whether a row of counters has it.
    pub(super) fn holds(self, class: StatusClass, end: End) -> bool {
        match self {
            Self::Class(wanted) => wanted == class,
            Self::End(wanted) => wanted == end,
        }
    }
}

/// What an address narrows a page to; empty = anything. The whole state of a page is in its address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// The period that was asked for.
    pub(super) period: Option<Period>,
    /// The day (`2026-01-31`) with which it ends; none = now.
    pub(super) until: String,
    pub(super) text: String,
    /// A login.
    pub(super) user: String,
    pub(super) model: String,
    pub(super) provider: String,
    pub(super) client: String,
    pub(super) status: Option<Status>,
    /// A tool's name.
    pub(super) tool: String,
    /// The MCP server that offers a tool.
    pub(super) server: String,
    /// What was done, of the audit trail.
    pub(super) action: Option<AuditAction>,
    /// By what a table is ordered.
    pub(super) sort: String,
    /// Continue behind this place.
    pub(super) after: String,
}

/// Where in [`Selection::pairs`] the time ends, and where the order stands.
const TIMES: usize = 2;
const SORT: usize = 11;

impl Selection {
    /// Reads an address; what is not understood counts as absent.
    pub(super) fn parse<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Self {
        let field = |name| get(name).unwrap_or_default().to_owned();
        let until = get("until").filter(|day| day.len() == 10);
        Self {
            period: get("period").map(|word| Period::parse(Some(word))),
            until: until
                .filter(|day| Timestamp::parse(day).is_some())
                .unwrap_or_default()
                .to_owned(),
            text: field("q"),
            user: field("user"),
            model: field("model"),
            provider: field("provider"),
            client: field("client"),
            status: get("status").and_then(Status::parse),
            tool: field("tool"),
            server: field("server"),
            action: get("action").and_then(|word| {
                let mut all = AuditAction::ALL.into_iter();
                all.find(|action| action.as_str() == word)
            }),
            sort: field("sort"),
            after: field("after"),
        }
    }

    /// The page's address, for the heads of its tables.
    pub(super) fn address<'a>(&'a self, route: &'a Route) -> Address<'a> {
        Address {
            route,
            pairs: self.pairs()[..SORT].to_vec(),
            sort: &self.sort,
        }
    }

    /// The period of a page that always has one.
    pub(super) fn period(&self) -> Period {
        self.period.unwrap_or_default()
    }

    /// The last moment of the period.
    pub(super) fn end(&self, now: Timestamp) -> Timestamp {
        match Timestamp::parse(&self.until) {
            Some(day) if !self.until.is_empty() => Timestamp((day.0 + 24 * HOUR - 1).min(now.0)),
            _ => now,
        }
    }

    /// The names and values of an address that says the same, but for the place in the list.
    pub(super) fn pairs(&self) -> [(&'static str, &str); SORT + 1] {
        [
            ("period", self.period.map_or("", Period::as_str)),
            ("until", &self.until),
            ("q", &self.text),
            ("user", &self.user),
            ("model", &self.model),
            ("provider", &self.provider),
            ("client", &self.client),
            ("status", self.status.map_or("", Status::as_str)),
            ("tool", &self.tool),
            ("server", &self.server),
            ("action", self.action.map_or("", AuditAction::as_str)),
            ("sort", &self.sort),
        ]
    }

    /// The names and values of an address that has the same time, and nothing else.
    pub(super) fn times(&self) -> Vec<(&'static str, &str)> {
        self.pairs()[..TIMES].to_vec()
    }

    /// The same, narrowed by one value more.
    pub(super) fn with<'a>(
        &'a self,
        name: &'static str,
        value: &'a str,
    ) -> Vec<(&'static str, &'a str)> {
        let mut pairs = self.pairs().to_vec();
        for pair in pairs.iter_mut().filter(|pair| pair.0 == name) {
            pair.1 = value;
        }
        pairs
    }

    /// Whether a tool is one of those that it names.
    pub(super) fn has_tool(&self, name: &str) -> bool {
        let offers = || server_of(name) == Some(self.server.as_str());
        (self.tool.is_empty() || self.tool == name) && (self.server.is_empty() || offers())
    }

    /// Whether these are the model, provider and client that it names.
    pub(super) fn has_route(&self, model: &str, provider: &str, client: &str) -> bool {
        let is = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
        is(&self.model, model) && is(&self.provider, provider) && is(&self.client, client)
    }

    /// Whether anything but the time is narrowed.
    pub(super) fn narrows(&self) -> bool {
        let pairs = self.pairs();
        pairs[TIMES..SORT]
            .iter()
            .any(|(_, value)| !value.is_empty())
    }
}

/// What a page can be narrowed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Choices {
    /// Logins; empty for a user, who sees their own only.
    pub(super) users: Vec<String>,
    pub(super) models: Vec<String>,
    pub(super) providers: Vec<String>,
    pub(super) clients: Vec<String>,
    pub(super) tools: Vec<String>,
    /// MCP servers.
    pub(super) servers: Vec<String>,
}

/// `/ui/logs/`
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    pub(super) whose: Whose,
    pub(super) selection: Selection,
    pub(super) rows: Vec<Session>,
    /// Where the next page begins.
    pub(super) next: Option<String>,
    pub(super) choices: Choices,
}

/// `/ui/sessions/<id>`
#[derive(Clone, Debug)]
pub(super) struct SessionPage {
    /// By what the table is ordered.
    pub(super) sort: String,
    pub(super) session: Session,
    pub(super) requests: SessionRequests,
    /// Sessions that this one started.
    pub(super) children: Vec<Session>,
    /// Where the next page begins.
    pub(super) next: Option<String>,
}

impl SessionPage {
    /// Whose everything on the page is.
    pub(super) fn whose(&self) -> Whose {
        Whose::Person(self.session.login.clone())
    }
}

/// The requests of a session, in order of their start.
#[derive(Clone, Debug)]
pub(super) enum SessionRequests {
    /// As a table.
    Table(Vec<Record>),
    /// As a conversation.
    Talk(Vec<Turn>),
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
    /// Results that reported an error.
    pub(super) errors: u64,
    /// How long it took on average, in milliseconds, and of how many results.
    pub(super) took: Option<(u64, u64)>,
    /// Logins that called it.
    pub(super) users: Vec<String>,
}

/// The MCP server that offers a tool, by the way in which clients name such tools.
pub(super) fn server_of(tool: &str) -> Option<&str> {
    let (server, tool) = tool.strip_prefix("mcp__")?.split_once("__")?;
    (!server.is_empty() && !tool.is_empty()).then_some(server)
}

/// A session and its calls by tool, most calls first.
pub(super) type SessionTools = (Session, Vec<(String, u64)>);

/// `/ui/tool-use/`
#[derive(Clone, Debug)]
pub(super) struct Tools {
    pub(super) whose: Whose,
    pub(super) selection: Selection,
    /// Calls and errors by bar.
    pub(super) bars: Vec<(Timestamp, [u64; 2])>,
    pub(super) rows: Vec<Tool>,
    /// Late sessions that called tools.
    pub(super) sessions: Vec<SessionTools>,
    pub(super) choices: Choices,
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

/// People of one week.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Week {
    /// When it begins (Monday).
    pub(super) start: Timestamp,
    /// Who sent anything.
    pub(super) active: u64,
    /// Those whose first request ever was in it.
    pub(super) new: u64,
    /// Those who were active in the week before as well.
    pub(super) kept: u64,
    /// The week is not over, or the period begins in it.
    pub(super) partial: bool,
}

/// `/ui/adoption/`
#[derive(Clone, Debug)]
pub(super) struct Adoption {
    pub(super) whose: Whose,
    pub(super) selection: Selection,
    /// People active in each bar.
    pub(super) bars: Vec<(Timestamp, u64)>,
    pub(super) weeks: Vec<Week>,
    /// The models that have a column of their own.
    pub(super) models: Vec<String>,
    pub(super) people: Vec<Person>,
    /// Models and clients by the people who use them.
    pub(super) popular: Popular,
    pub(super) choices: Choices,
}

/// Names with how many people use them, and their sums; most people first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Popular {
    pub(super) models: Vec<(String, u64, Totals)>,
    pub(super) clients: Vec<(String, u64, Totals)>,
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) name: String,
    pub(super) provider: String,
    pub(super) provider_name: String,
    pub(super) description: String,
    /// Wire formats that its provider speaks, and the paths that serve it.
    pub(super) dialects: Vec<Dialect>,
    pub(super) paths: Vec<&'static str>,
    /// Its prices, when the table knows it.
    pub(super) rates: Option<Rates>,
    /// Whether the plain name goes elsewhere, so that `provider/model` is needed.
    pub(super) shadowed: bool,
    /// For admins: whom the document's grants open it to.
    pub(super) open_to: Vec<String>,
    /// Whether the caller may use it.
    pub(super) mine: bool,
}

impl Model {
    /// The name that reaches exactly this model.
    pub(super) fn reached_as(&self) -> String {
        if self.shadowed {
            format!("{}/{}", self.provider, self.name)
        } else {
            self.name.clone()
        }
    }
}

/// How one provider did, from the requests that it got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) provider: String,
    pub(super) requests: u64,
    /// It failed, or broke off, or was too slow.
    pub(super) failed: u64,
    /// It said that the gateway asks too much or wrongly: 4xx.
    pub(super) refused: u64,
    /// Time to the first byte.
    pub(super) first_byte: Histogram,
    /// Time to the end.
    pub(super) total: Histogram,
}

/// `/ui/models/`
#[derive(Clone, Debug)]
pub(super) struct Models {
    /// Whose requests the providers' figures are of.
    pub(super) whose: Whose,
    pub(super) selection: Selection,
    pub(super) admin: bool,
    pub(super) rows: Vec<Model>,
    /// By provider's id, in the order of the document.
    pub(super) health: Vec<Health>,
    pub(super) choices: Choices,
}

/// `/ui/audit/`
#[derive(Clone, Debug)]
pub(super) struct Audit {
    pub(super) selection: Selection,
    pub(super) rows: Vec<AuditEntry>,
    /// Where the next page begins.
    pub(super) next: Option<String>,
    pub(super) choices: Choices,
}

/// What an entry of the audit trail says that somebody did.
pub(super) const fn done(action: AuditAction) -> &'static str {
    match action {
        AuditAction::ViewedCapture => "opened texts",
        AuditAction::Exported => "exported",
        AuditAction::Erased => "erased",
        AuditAction::Repriced => "put other prices on requests",
        AuditAction::ConfigChanged => "changed the configuration",
    }
}

/// Who did it: the login of then, or what stands for nobody's.
pub(super) fn doer(entry: &AuditEntry) -> &str {
    if entry.login.is_empty() {
        &entry.who
    } else {
        &entry.login
    }
}

/// `/ui/access/`
#[derive(Clone, Debug, Default)]
pub(super) struct Access {
    /// The login or tags that were asked about.
    pub(super) who: String,
    /// The model, and the endpoint's name.
    pub(super) model: String,
    pub(super) endpoint: String,
    /// The role, and the grant that gives it.
    pub(super) role: Option<(&'static str, String)>,
    /// What they may use, and which grant says so.
    pub(super) models: Vec<(String, String)>,
    /// Why the model is open, or not.
    pub(super) lines: Vec<crate::policy::Line>,
    /// They are known with their groups and the tailnet policy's grants, not by name alone.
    pub(super) known: bool,
    pub(super) users: Vec<String>,
    pub(super) all_models: Vec<String>,
}
