//! `/aperture/providers`: what is configured, and how it does.
//!
//! In: a period. Out: providers with their models, and figures from real requests: the caller's own, or everybody's for an
//! admin. A user is told of those only whose models they may use. Must not know: credentials, addresses.

use super::{
    Asked, answer,
    list::{self, PERIOD},
    problem::Problem,
    scope::{Scope, read},
    table::{Access, Answer, Form, Operation, schema},
};
use crate::{
    config::grant::Role,
    policy,
    record::{End, Timestamp},
    store::{Counters, Histogram, StatusClass},
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Method, Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// The period when none is named.
const USUAL: u64 = 24 * 3_600_000;

/// The rows of this file.
pub(super) static OPERATIONS: &[Operation] = &[Operation {
    id: "providers",
    method: Method::GET,
    path: "/aperture/providers",
    tag: "Usage",
    access: Access::Everybody,
    summary: "Providers, their models, and how they do",
    description: "Failures and times are those of requests that reached the provider, of the last 24 hours unless `from` and `to` say \
                  otherwise (whole hours, UTC).",
    parameters: &PERIOD,
    takes: None,
    answers: &[Answer::json(
        200,
        "All that are configured, for an admin; those with models that the caller may use, for a user.",
        &[Form {
            media: answer::JSON,
            schema: schema::<Providers>(),
        }],
    )],
    handle: |asked| providers(asked).boxed(),
}];

/// Providers.
#[derive(Debug, Serialize, JsonSchema)]
struct Providers {
    /// By id.
    providers: Vec<Row>,
}

/// One provider.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "Provider")]
struct Row {
    /// Its key in the configuration.
    id: String,
    /// Its name for people.
    name: String,
    /// Free text.
    description: String,
    /// It is left out of routing.
    disabled: bool,
    /// Models that it serves, as far as the caller may use them or is an admin.
    models: Vec<String>,
    /// Wire formats that it speaks.
    compatibility: Vec<&'static str>,
    /// How it did.
    health: Health,
}

/// How a provider did.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct Health {
    /// Requests that it got.
    requests: u64,
    /// It failed, broke off or was too slow.
    failed: u64,
    /// It said that too much, or something wrong, was asked: 4xx.
    refused: u64,
    /// Until the first byte of the answer.
    first_byte_us: Spread,
    /// Until the end of the answer.
    total_us: Spread,
}

/// How long something took, in microseconds: bounds below which that share of the requests lies, of the steps in which
/// times are counted.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct Spread {
    /// Half of them; null without any, or beyond the last step.
    p50: Option<u64>,
    /// 95 of 100.
    p95: Option<u64>,
    /// 99 of 100.
    p99: Option<u64>,
}

impl Spread {
    fn of(histogram: &Histogram) -> Self {
        Self {
            p50: histogram.below_us(50),
            p95: histogram.below_us(95),
            p99: histogram.below_us(99),
        }
    }
}

async fn providers(asked: &Asked<'_>) -> Result<Response<Bytes>, Problem> {
    let to = asked.values.time("to").unwrap_or(asked.now);
    let usual = Timestamp(to.0.saturating_sub(USUAL));
    let from = asked.values.time("from").unwrap_or(usual);
    list::within(asked, from, to)?;
    let scope = Scope::of(asked);
    let hours = (from.hour(), Timestamp(to.0 - 1).hour());
    let found = read(asked, move |store| {
        let mut sums: BTreeMap<String, (Health, Counters)> = BTreeMap::new();
        store.fold_usage(hours.0, hours.1, scope.user(), |row, counters| {
            if row.provider.is_empty() || row.end == End::Refused {
                return;
            }
            if !sums.contains_key(row.provider) {
                sums.insert(row.provider.to_owned(), Default::default());
            }
            let Some((health, sum)) = sums.get_mut(row.provider) else {
                return;
            };
            let broke = matches!(row.end, End::UpstreamError | End::Timeout);
            if broke || row.class == StatusClass::ServerError {
                health.failed += counters.requests;
            } else if row.class == StatusClass::ClientError {
                health.refused += counters.requests;
            }
            sum.add(counters);
        })?;
        Ok(sums)
    });
    let mut sums = found.await?;
    let mut rows = rows(asked);
    for row in rows.values_mut() {
        if let Some((health, sum)) = sums.remove(&row.id) {
            row.health = Health {
                requests: sum.requests,
                first_byte_us: Spread::of(&sum.first_byte),
                total_us: Spread::of(&sum.total),
                ..health
            };
        }
    }
    let told = Providers {
        providers: rows.into_values().collect(),
    };
    Ok(answer::json(StatusCode::OK, &told))
}

/// The providers that the caller is told of, by id.
fn rows(asked: &Asked<'_>) -> BTreeMap<String, Row> {
    let row = |provider: &crate::config::Provider| Row {
        id: provider.id.to_string(),
        name: provider.name.clone(),
        description: provider.description.clone(),
        disabled: provider.disabled,
        compatibility: provider.dialects.iter().map(|it| it.as_str()).collect(),
        ..Row::default()
    };
    let mut rows = BTreeMap::new();
    if asked.role == Role::Admin {
        for provider in asked.config.providers.values() {
            let models = provider.models.iter().map(ToString::to_string);
            let row = Row {
                models: models.collect(),
                ..row(provider)
            };
            rows.insert(row.id.clone(), row);
        }
        return rows;
    }
    for visible in policy::visible_models(asked.config, asked.caller) {
        let provider = &visible.provider;
        let known = rows
            .entry(provider.id.to_string())
            .or_insert_with(|| row(provider));
        known.models.push(visible.model.to_string());
    }
    rows
}
