//! The counters: what one finished record adds, under which keys, and how rows of them are kept.
//!
//! Owns: [`UsageKey`], [`Counters`], [`Histogram`], the tool counters and their row layout. In: a finished record. Out:
//! what `/metrics`, the pages and `export` add up; all three read the same rows.
//! Sums saturate: whatever a record says, its batch can be written.
//! Must not know: transactions, threads.

use super::codec::{Varints, put_varint};
use super::schema::{HourlyParts, UsageParts};
use crate::record::{CostState, End, Record, Usage};
use serde::{Deserialize, Serialize};

/// The class of a status, as a label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StatusClass {
    /// No response head was sent.
    #[default]
    None,
    /// 100 to 199.
    Informational,
    /// 200 to 299.
    Success,
    /// 300 to 399.
    Redirection,
    /// 400 to 499.
    ClientError,
    /// 500 and above.
    ServerError,
}

impl StatusClass {
    /// Every class, for tables and tests.
    pub const ALL: [Self; 6] = [
        Self::None,
        Self::Informational,
        Self::Success,
        Self::Redirection,
        Self::ClientError,
        Self::ServerError,
    ];

    /// The class of a status.
    pub const fn of(status: Option<u16>) -> Self {
        match status {
            None => Self::None,
            Some(..200) => Self::Informational,
            Some(200..300) => Self::Success,
            Some(300..400) => Self::Redirection,
            Some(400..500) => Self::ClientError,
            Some(500..) => Self::ServerError,
        }
    }

    /// The name in keys, metrics and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
        }
    }
}

/// A text as part of a key: cut, so that no key can grow without bound.
pub(super) fn part(text: &str) -> &str {
    const LONGEST: usize = 200;
    if text.len() <= LONGEST {
        return text;
    }
    &text[..text.floor_char_boundary(LONGEST)]
}

/// Under what a finished request is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UsageKey {
    /// Hours since 1970 in which the request began; 0 in totals.
    pub hour: u32,
    /// The stable key of the caller.
    pub user: String,
    /// The provider's id, or empty.
    pub provider: String,
    /// The model as configured, or empty.
    pub model: String,
    /// The client's short name.
    pub client: String,
    /// The endpoint's name.
    pub endpoint: String,
    /// The class of the status.
    pub class: StatusClass,
    /// How it ended.
    pub end: End,
    /// Whether a price was known.
    pub cost: CostState,
}

impl UsageKey {
    /// The key under which a record counts.
    pub fn of(record: &Record) -> Self {
        let text = |text: &Option<String>| part(text.as_deref().unwrap_or_default()).to_owned();
        Self {
            hour: record.started.hour(),
            user: part(&record.who.user).to_owned(),
            provider: text(&record.provider),
            model: text(&record.model),
            client: part(&record.client.name).to_owned(),
            endpoint: record.endpoint.as_str().to_owned(),
            class: StatusClass::of(record.status),
            end: record.end,
            cost: record.cost.state,
        }
    }

    pub(super) fn parts(&self) -> UsageParts<'_> {
        (
            &self.user,
            &self.provider,
            &self.model,
            &self.client,
            &self.endpoint,
            self.class.as_str(),
            self.end.as_str(),
            self.cost.as_str(),
        )
    }

    pub(super) fn hourly_parts(&self) -> HourlyParts<'_> {
        let (user, provider, model, client, endpoint, class, end, cost) = self.parts();
        (
            self.hour, user, provider, model, client, endpoint, class, end, cost,
        )
    }

    pub(super) fn from_parts(hour: u32, parts: UsageParts<'_>) -> Self {
        let (user, provider, model, client, endpoint, class, end, cost) = parts;
        Self {
            hour,
            user: user.to_owned(),
            provider: provider.to_owned(),
            model: model.to_owned(),
            client: client.to_owned(),
            endpoint: endpoint.to_owned(),
            class: named(StatusClass::ALL, StatusClass::as_str, class),
            end: named(End::ALL, End::as_str, end),
            cost: named(CostState::ALL, CostState::as_str, cost),
        }
    }

    pub(super) fn from_hourly(parts: HourlyParts<'_>) -> Self {
        let (hour, user, provider, model, client, endpoint, class, end, cost) = parts;
        Self::from_parts(
            hour,
            (user, provider, model, client, endpoint, class, end, cost),
        )
    }
}

/// A [`UsageKey`] as it lies in a row, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageRow<'a> {
    /// Hours since 1970 in which the request began.
    pub hour: u32,
    /// The stable key of the caller.
    pub user: &'a str,
    /// The provider's id, or empty.
    pub provider: &'a str,
    /// The model as configured, or empty.
    pub model: &'a str,
    /// The client's short name.
    pub client: &'a str,
    /// The endpoint's name.
    pub endpoint: &'a str,
    /// The class of the status.
    pub class: StatusClass,
    /// How it ended.
    pub end: End,
    /// Whether a price was known.
    pub cost: CostState,
}

impl<'a> UsageRow<'a> {
    /// Whether its requests count as errors; those that are counted here have ended.
    pub fn failed(&self) -> bool {
        let bad_end = matches!(
            self.end,
            End::Refused | End::UpstreamError | End::Timeout | End::Interrupted
        );
        let bad_class = matches!(
            self.class,
            StatusClass::ClientError | StatusClass::ServerError
        );
        bad_end || bad_class
    }

    pub(super) fn of(key: &'a UsageKey) -> Self {
        Self {
            hour: key.hour,
            user: &key.user,
            provider: &key.provider,
            model: &key.model,
            client: &key.client,
            endpoint: &key.endpoint,
            class: key.class,
            end: key.end,
            cost: key.cost,
        }
    }

    pub(super) fn from_hourly(parts: HourlyParts<'a>) -> Self {
        let (hour, user, provider, model, client, endpoint, class, end, cost) = parts;
        Self {
            hour,
            user,
            provider,
            model,
            client,
            endpoint,
            class: named(StatusClass::ALL, StatusClass::as_str, class),
            end: named(End::ALL, End::as_str, end),
            cost: named(CostState::ALL, CostState::as_str, cost),
        }
    }
}

/// The member of a closed set by its name on disk.
fn named<T: Copy + Default, const N: usize>(
    all: [T; N],
    name: fn(T) -> &'static str,
    text: &str,
) -> T {
    all.into_iter()
        .find(|one| name(*one) == text)
        .unwrap_or_default()
}

/// How often something took how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Microseconds, all together.
    pub sum_us: u64,
    /// Observations at most as long as the bound, and longer than the one before; the last has no bound.
    pub buckets: [u64; Self::BOUNDS_US.len() + 1],
}

impl Histogram {
    /// The upper bounds of all buckets but the last, in microseconds.
    pub const BOUNDS_US: [u64; 15] = [
        10_000,
        25_000,
        50_000,
        100_000,
        250_000,
        500_000,
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        30_000_000,
        60_000_000,
        120_000_000,
        300_000_000,
        900_000_000,
    ];

    /// The bound below which that share of the observations lies, in percent; none without any, or beyond all bounds.
    pub fn below_us(&self, percent: u64) -> Option<u64> {
        let wanted = u128::from(self.count()) * u128::from(percent);
        let mut seen = 0_u128;
        for (bucket, bound) in self.buckets.iter().zip(Self::BOUNDS_US) {
            seen += u128::from(*bucket);
            if seen > 0 && seen * 100 >= wanted {
                return Some(bound);
            }
        }
        None
    }

    /// How many were observed.
    pub fn count(&self) -> u64 {
        self.buckets
            .iter()
            .fold(0, |sum, bucket| sum.saturating_add(*bucket))
    }

    fn observe(&mut self, us: u64) {
        add(&mut self.sum_us, us);
        let bucket = Self::BOUNDS_US.partition_point(|bound| *bound < us);
        add(&mut self.buckets[bucket], 1);
    }

    fn add(&mut self, other: &Self) {
        add(&mut self.sum_us, other.sum_us);
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            add(mine, theirs);
        }
    }
}

/// Sums of estimates of what figures left out; apart from all other sums.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(default)]
pub struct Estimated {
    /// Requests with an estimate.
    pub requests: u64,
    /// Input tokens.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Pico-dollars of those with a known price.
    pub cost_pico: u64,
}

impl Estimated {
    /// What one record adds.
    pub fn of(record: &Record) -> Self {
        let Some(estimate) = &record.estimate else {
            return Self::default();
        };
        Self {
            requests: 1,
            input: estimate.input,
            output: estimate.output,
            cost_pico: estimate.cost.pico,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds another sum.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.fields().into_iter().zip({ *other }.fields()) {
            add(sum, *more);
        }
    }

    /// Takes away what was added.
    pub(super) fn subtract(&mut self, other: &Self) {
        for (sum, less) in self.fields().into_iter().zip({ *other }.fields()) {
            *sum = sum.saturating_sub(*less);
        }
    }

    /// In the order of rows on disk.
    fn fields(&mut self) -> [&mut u64; 4] {
        let Self {
            requests,
            input,
            output,
            cost_pico,
        } = self;
        [requests, input, output, cost_pico]
    }
}

/// What is counted of finished requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests.
    pub requests: u64,
    /// Tokens by kind.
    pub usage: Usage,
    /// Pico-dollars of the priced ones.
    pub cost_pico: u64,
    /// What figures left out, by the bytes that passed; in none of the other sums.
    pub estimated: Estimated,
    /// Bytes of request bodies.
    pub request_bytes: u64,
    /// Bytes of response bodies.
    pub response_bytes: u64,
    /// Time to the first byte of the response body, of those that had one.
    pub first_byte: Histogram,
    /// Time to the end.
    pub total: Histogram,
}

impl Counters {
    /// What one finished record adds.
    pub fn of(record: &Record) -> Self {
        let mut counters = Self {
            requests: 1,
            usage: record.usage,
            cost_pico: record.cost.pico,
            estimated: Estimated::of(record),
            request_bytes: record.bytes.request,
            response_bytes: record.bytes.response,
            ..Self::default()
        };
        if record.timings.first_byte_us > 0 {
            counters.first_byte.observe(record.timings.first_byte_us);
        }
        counters.total.observe(record.timings.total_us);
        counters
    }

    /// Adds another row.
    pub fn add(&mut self, other: &Self) {
        add(&mut self.requests, other.requests);
        add_usage(&mut self.usage, &other.usage);
        add(&mut self.cost_pico, other.cost_pico);
        self.estimated.add(&other.estimated);
        add(&mut self.request_bytes, other.request_bytes);
        add(&mut self.response_bytes, other.response_bytes);
        self.first_byte.add(&other.first_byte);
        self.total.add(&other.total);
    }

    /// The row; a later version appends its numbers at the end.
    pub(super) fn to_row(mut self) -> Vec<u8> {
        let mut row = Vec::with_capacity(112);
        for number in self.numbers() {
            put_varint(&mut row, *number);
        }
        row
    }

    pub(super) fn from_row(row: &[u8]) -> Self {
        let mut row = Varints(row);
        let mut counters = Self::default();
        for number in counters.numbers() {
            *number = row.next();
        }
        counters
    }

    /// Takes away what was added.
    pub(super) fn subtract(&mut self, other: &Self) {
        let mut other = *other;
        for (sum, less) in self.numbers().zip(other.numbers()) {
            *sum = sum.saturating_sub(*less);
        }
    }

    /// All numbers in the order of the row.
    fn numbers(&mut self) -> impl Iterator<Item = &mut u64> {
        fn histogram(histogram: &mut Histogram) -> impl Iterator<Item = &mut u64> {
            std::iter::once(&mut histogram.sum_us).chain(&mut histogram.buckets)
        }
        // The kinds that rows began with, and those that were added.
        let [
            input,
            read,
            write,
            write_1h,
            output,
            reasoning,
            searches,
            added @ ..,
        ] = self.usage.kinds_mut();
        let first = [input, read, write, write_1h, output, reasoning, searches];
        std::iter::once(&mut self.requests)
            .chain(first)
            .chain([
                &mut self.cost_pico,
                &mut self.request_bytes,
                &mut self.response_bytes,
            ])
            .chain(histogram(&mut self.first_byte))
            .chain(histogram(&mut self.total))
            .chain(added)
            .chain(self.estimated.fields())
    }
}

/// Adds a number; a sum that would overflow stays at its greatest.
pub(super) fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

/// Adds tokens, kind by kind.
pub(super) fn add_usage(sum: &mut Usage, more: &Usage) {
    for (sum, more) in sum.kinds_mut().into_iter().zip(more.kinds()) {
        add(sum, more);
    }
}

/// Takes tokens away again, kind by kind.
pub(super) fn subtract_usage(sum: &mut Usage, less: &Usage) {
    for (sum, less) in sum.kinds_mut().into_iter().zip(less.kinds()) {
        *sum = sum.saturating_sub(less);
    }
}

/// Under what tool calls are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ToolKey {
    /// Hours since 1970 in which the request began.
    pub hour: u32,
    /// The stable key of the caller.
    pub user: String,
    /// The tool's name.
    pub tool: String,
    /// The model as configured; empty when none was found, and in rows of older gateways.
    pub model: String,
    /// The provider's id; empty likewise.
    pub provider: String,
    /// The client's short name; empty likewise.
    pub client: String,
}

/// A row of tool calls as it is read, without a copy of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToolRow<'a> {
    /// Hours since 1970 in which the request began.
    pub hour: u32,
    /// The stable key of the caller.
    pub user: &'a str,
    /// The tool's name.
    pub tool: &'a str,
    /// The model as configured; empty when none was found, and in rows of older gateways.
    pub model: &'a str,
    /// The provider's id; empty likewise.
    pub provider: &'a str,
    /// The client's short name; empty likewise.
    pub client: &'a str,
}

/// What stands between the parts of [`ToolKey::called`].
const BETWEEN: char = '\u{1f}';

impl ToolKey {
    /// The last part of its key in the table: the tool, and behind it in whose answer it was called and for which client.
    pub(super) fn called(&self) -> String {
        let parts = [&*self.tool, &self.model, &self.provider, &self.client];
        parts.join(BETWEEN.encode_utf8(&mut [0; 4]))
    }
}

impl<'a> ToolRow<'a> {
    /// The parts of a key in the table. Rows of older gateways have the tool alone.
    pub(super) fn of((hour, user, called): (u32, &'a str, &'a str)) -> Self {
        let mut parts = called.split(BETWEEN);
        let mut next = || parts.next().unwrap_or("");
        Self {
            hour,
            user,
            tool: next(),
            model: next(),
            provider: next(),
            client: next(),
        }
    }

    /// With a copy of its key.
    pub(super) fn to_key(self) -> ToolKey {
        ToolKey {
            hour: self.hour,
            user: self.user.to_owned(),
            tool: self.tool.to_owned(),
            model: self.model.to_owned(),
            provider: self.provider.to_owned(),
            client: self.client.to_owned(),
        }
    }
}

/// What is counted of tool calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ToolCounters {
    /// Calls that the model made.
    pub calls: u64,
    /// Results that reported an error.
    pub errors: u64,
    /// Bytes of arguments.
    pub argument_bytes: u64,
    /// Results.
    pub results: u64,
    /// Bytes of results.
    pub result_bytes: u64,
    /// Results of which the duration is known.
    pub timed: u64,
    /// Their durations, all together, in milliseconds.
    pub duration_ms: u64,
}

impl ToolCounters {
    /// What a finished record adds, tool by tool.
    pub fn of(record: &Record) -> impl Iterator<Item = (ToolKey, Self)> + '_ {
        // Names come from strangers: none may look like two.
        let whole = |text: &str| part(text).replace(BETWEEN, "\u{fffd}");
        let known = move |text: Option<&str>| whole(text.unwrap_or(""));
        record.tools.iter().map(move |tool| {
            let key = ToolKey {
                hour: record.started.hour(),
                user: part(&record.who.user).to_owned(),
                tool: whole(&tool.name),
                model: known(record.model.as_deref()),
                provider: known(record.provider.as_deref()),
                client: whole(&record.client.name),
            };
            let counters = Self {
                calls: u64::from(tool.result_error.is_none()),
                errors: u64::from(tool.result_error == Some(true)),
                argument_bytes: tool.argument_bytes,
                results: u64::from(tool.result_error.is_some()),
                result_bytes: tool.result_bytes,
                timed: u64::from(tool.duration_ms.is_some()),
                duration_ms: tool.duration_ms.unwrap_or(0),
            };
            (key, counters)
        })
    }

    /// Adds another row.
    pub fn add(&mut self, other: &Self) {
        add(&mut self.calls, other.calls);
        add(&mut self.errors, other.errors);
        add(&mut self.argument_bytes, other.argument_bytes);
        add(&mut self.results, other.results);
        add(&mut self.result_bytes, other.result_bytes);
        add(&mut self.timed, other.timed);
        add(&mut self.duration_ms, other.duration_ms);
    }

    pub(super) fn to_row(self) -> Vec<u8> {
        let mut row = Vec::with_capacity(20);
        for number in [
            self.calls,
            self.errors,
            self.argument_bytes,
            self.results,
            self.result_bytes,
            self.timed,
            self.duration_ms,
        ] {
            put_varint(&mut row, number);
        }
        row
    }

    pub(super) fn from_row(row: &[u8]) -> Self {
        let mut row = Varints(row);
        Self {
            calls: row.next(),
            errors: row.next(),
            argument_bytes: row.next(),
            results: row.next(),
            result_bytes: row.next(),
            timed: row.next(),
            duration_ms: row.next(),
        }
    }
}
