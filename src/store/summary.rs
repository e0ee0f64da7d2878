//! The running summary of a session, and what one record adds to it.
//!
//! Owns: [`Session`], [`User`] and the arithmetic that keeps a summary equal to the sum of its records while they start,
//! are checkpointed, finish and go. Must not know: tables, threads.

use super::usage::{Estimated, add, add_usage, subtract_usage};
use crate::record::{CostState, End, Record, RequestId, SessionId, Timestamp, Usage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Models that one summary names; further ones are only counted as requests.
const MODELS: usize = 32;

/// One conversation, as the pages list it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// When its first request began.
    pub first: Timestamp,
    /// When anything last happened in it.
    pub last: Timestamp,
    /// Its newest request.
    pub newest: RequestId,
    /// The stable key of the caller.
    pub user: String,
    /// The login name at its newest request.
    pub login: String,
    /// The client's short name.
    pub client: String,
    /// Its title, where a request had one.
    #[serde(default)]
    pub title: Option<String>,
    /// The request that the title is from: the oldest that had one.
    #[serde(default)]
    pub titled_by: Option<RequestId>,
    /// The session that started it.
    #[serde(default)]
    pub parent: Option<SessionId>,
    /// Requests, those under way included.
    pub requests: u64,
    /// Requests under way.
    pub in_flight: u64,
    /// Requests that failed or were refused.
    pub errors: u64,
    /// Tokens, so far.
    pub usage: Usage,
    /// Pico-dollars, so far.
    pub cost_pico: u64,
    /// What figures left out, in none of the other sums.
    #[serde(default, skip_serializing_if = "Estimated::is_empty")]
    pub estimated: Estimated,
    /// Requests with tokens but without a known price.
    pub unpriced: u64,
    /// Requests by model.
    #[serde(default)]
    pub models: BTreeMap<String, u64>,
    /// Tool calls that the models made.
    #[serde(default)]
    pub tools: u64,
    /// The sub-agent whose session it is.
    #[serde(default)]
    pub agent: Option<String>,
    /// The working directory that the client stated last.
    #[serde(default)]
    pub workspace: Option<String>,
    /// Requests that should have read a prompt cache and did not.
    #[serde(default)]
    pub cache_misses: u64,
    /// Tokens that those should have read, and did not.
    #[serde(default)]
    pub cache_missed_tokens: u64,
}

/// Whether a request counts as an error.
pub fn failed(record: &Record) -> bool {
    match record.end {
        End::Refused | End::UpstreamError | End::Timeout | End::Interrupted => true,
        End::InFlight | End::Complete | End::ClientGone => {
            record.status.is_some_and(|status| status >= 400)
        }
    }
}

fn tool_calls(record: &Record) -> u64 {
    let calls = record
        .tools
        .iter()
        .filter(|tool| tool.result_error.is_none());
    calls.count() as u64
}

/// Tokens that should have been read from a cache.
fn missed(record: &Record) -> u64 {
    let miss = record.cache_miss.as_ref();
    miss.map_or(0, |miss| {
        miss.expected_tokens.saturating_sub(miss.read_tokens)
    })
}

impl Session {
    /// An empty summary for the session of `record`; [`Session::add`] makes it count.
    pub(super) fn empty(id: SessionId, record: &Record) -> Self {
        Self {
            id,
            first: record.started,
            last: record.started,
            newest: record.id,
            user: record.who.user.clone(),
            login: record.who.login.clone(),
            client: record.client.name.clone(),
            title: None,
            titled_by: None,
            parent: None,
            requests: 0,
            in_flight: 0,
            errors: 0,
            usage: Usage::default(),
            cost_pico: 0,
            estimated: Estimated::default(),
            unpriced: 0,
            models: BTreeMap::new(),
            tools: 0,
            agent: None,
            workspace: None,
            cache_misses: 0,
            cache_missed_tokens: 0,
        }
    }

    /// Counts a record in.
    pub(super) fn add(&mut self, record: &Record) {
        self.first = self.first.min(record.started);
        let end = Timestamp(
            record
                .started
                .0
                .saturating_add(record.timings.total_us / 1000),
        );
        self.last = self.last.max(end);
        if record.id >= self.newest {
            self.newest = record.id;
            self.user.clone_from(&record.who.user);
            self.login.clone_from(&record.who.login);
            self.client.clone_from(&record.client.name);
            if record.workspace.is_some() {
                self.workspace.clone_from(&record.workspace);
            }
        }
        if self.agent.is_none() {
            self.agent.clone_from(&record.agent);
        }
        if record.title.is_some() && self.titled_by.is_none_or(|by| record.id <= by) {
            self.title.clone_from(&record.title);
            self.titled_by = Some(record.id);
        }
        self.parent = self.parent.or(record.parent_session);
        self.requests += 1;
        self.in_flight += u64::from(record.end == End::InFlight);
        self.errors += u64::from(failed(record));
        add_usage(&mut self.usage, &record.usage);
        add(&mut self.cost_pico, record.cost.pico);
        self.estimated.add(&Estimated::of(record));
        self.unpriced += u64::from(record.cost.state == CostState::Unpriced);
        if let Some(model) = &record.model
            && (self.models.len() < MODELS || self.models.contains_key(model))
        {
            *self.models.entry(model.clone()).or_default() += 1;
        }
        self.tools += tool_calls(record);
        self.cache_misses += u64::from(record.cache_miss.is_some());
        add(&mut self.cache_missed_tokens, missed(record));
    }

    /// Counts a record out: it changed, or it goes. Times, names and the title stay as they are.
    pub(super) fn subtract(&mut self, record: &Record) {
        let less = |sum: &mut u64, by: u64| *sum = sum.saturating_sub(by);
        less(&mut self.requests, 1);
        less(&mut self.in_flight, u64::from(record.end == End::InFlight));
        less(&mut self.errors, u64::from(failed(record)));
        subtract_usage(&mut self.usage, &record.usage);
        less(&mut self.cost_pico, record.cost.pico);
        self.estimated.subtract(&Estimated::of(record));
        less(
            &mut self.unpriced,
            u64::from(record.cost.state == CostState::Unpriced),
        );
        if let Some(model) = &record.model
            && let Some(count) = self.models.get_mut(model)
        {
            *count -= 1;
            if *count == 0 {
                self.models.remove(model);
            }
        }
        less(&mut self.tools, tool_calls(record));
        less(
            &mut self.cache_misses,
            u64::from(record.cache_miss.is_some()),
        );
        less(&mut self.cache_missed_tokens, missed(record));
    }
}

/// Somebody who has used the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The stable key.
    pub user: String,
    /// The login name at the newest request.
    pub login: String,
    /// When the first request began.
    pub first: Timestamp,
    /// When the newest request began, to the hour.
    pub last: Timestamp,
}
