//! What models cost, for scripts: `/aperture/pricing`.
//!
//! Owns: the answer's shape. In: the price table and the providers' settings. Out: US dollars for a million tokens, as price lists
//! have them, standard tier, at the time of the question. Must not know: what was used.

use super::{
    Asked, answer,
    answer::set,
    problem::Problem,
    table::{Access, Answer, Form, Kind, Operation, Parameter, Place, schema},
};
use crate::{
    config::{Config, CostRule},
    policy,
    price::{self, BasisSource, Rates},
    record::Timestamp,
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{
    Method, Response, StatusCode,
    header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH},
};
use schemars::JsonSchema;
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    future::ready,
};

/// The rows of this file.
pub(super) static OPERATIONS: &[Operation] = &[
    Operation {
        id: "getPricing",
        method: Method::GET,
        path: "/aperture/pricing",
        tag: "Prices",
        access: Access::Stated,
        summary: "What every known model costs",
        description: "By the price table of this version, and what the configuration makes of it. Needs the admin role or a grant \
            with `read_pricing`.",
        parameters: &[UNLESS],
        takes: None,
        answers: ANSWERS,
        handle: |asked| ready(tell(asked)).boxed(),
    },
    Operation {
        id: "getModelPricing",
        method: Method::GET,
        path: "/aperture/pricing/{model}",
        tag: "Prices",
        access: Access::Stated,
        summary: "What one model costs",
        description: "`models` is empty when it is not known. Needs the admin role or a grant with `read_pricing`.",
        parameters: &[
            Parameter {
                name: "model",
                place: Place::Rest,
                kind: Kind::Text,
                description: "The model's name, slashes included.",
            },
            UNLESS,
        ],
        takes: None,
        answers: ANSWERS,
        handle: |asked| ready(tell(asked)).boxed(),
    },
];

const UNLESS: Parameter = Parameter {
    name: "If-None-Match",
    place: Place::Header,
    kind: Kind::Text,
    description: "The ETag of an earlier answer: 304 while nothing has changed.",
};

const ANSWERS: &[Answer] = &[
    Answer {
        status: 200,
        description: "The prices.",
        forms: &[Form {
            media: answer::JSON,
            schema: schema::<Pricing>(),
        }],
        head: &[("ETag", "The version of this answer.")],
    },
    Answer::json(304, "Nothing has changed.", &[]),
];

/// Tokens that a price is for.
const QUANTITY: u64 = 1_000_000;
/// Pico-dollars of a dollar.
const PICO: f64 = 1e12;
/// Input tokens above which some models cost more.
const LONG: u64 = 200_000;

/// What models cost.
#[derive(Debug, Serialize, JsonSchema)]
struct Pricing {
    /// Always USD.
    currency: &'static str,
    /// What each price is for, by its name.
    units: BTreeMap<&'static str, Unit>,
    /// The catalogues: the values that `cost_basis` may have.
    cost_bases: Vec<&'static str>,
    /// Prices by model.
    models: BTreeMap<String, Model>,
    /// What the configuration says of prices.
    configured_adjustments: Adjustments,
}

/// What a price is for.
#[derive(Debug, Serialize, JsonSchema)]
struct Unit {
    /// What is counted.
    basis: &'static str,
    /// How many of them.
    quantity: u64,
}

/// The prices of one model.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct Model {
    /// By catalogue.
    cost_bases: BTreeMap<String, CostBasis>,
}

/// The price of a model in a catalogue.
#[derive(Debug, Serialize, JsonSchema)]
struct CostBasis {
    /// Where it comes from: `catalogue`, or `model_cost_map` of a provider.
    source: &'static str,
    /// The model of the catalogue that it is priced as.
    resolved_model: String,
    /// What its price is multiplied by.
    resolver_adjustment: f64,
    /// The prices, the multiplier included.
    effective_pricing: BTreeMap<&'static str, f64>,
}

/// What the configuration says of prices.
#[derive(Debug, Serialize, JsonSchema)]
struct Adjustments {
    /// By provider.
    providers: BTreeMap<String, Adjustment>,
}

/// What a provider's entry says of prices.
#[derive(Debug, Serialize, JsonSchema)]
struct Adjustment {
    /// Its catalogue, when one applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_basis: Option<String>,
    /// Where that comes from: `explicit`, `inferred` or `none`.
    cost_basis_source: &'static str,
    /// Its rules, the first that matches counts.
    model_cost_map: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Serialize, JsonSchema)]
struct Rule {
    /// A glob on the model's name.
    r#match: String,
    /// The catalogue's model to price it as; left out = itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    r#as: Option<String>,
    /// What the price is multiplied by.
    adjustment: f64,
}

fn tell(asked: &Asked<'_>) -> Result<Response<Bytes>, Problem> {
    if !policy::may_read_pricing(asked.config, asked.caller) {
        let detail = "prices need the admin role or a grant with read_pricing";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    let pricing = pricing(asked.config, asked.values.text("model"), asked.now);
    let mut rsp = answer::json(StatusCode::OK, &pricing);
    let tag = format!("\"{}\"", blake3::hash(rsp.body()).to_hex());
    let known = asked.header(&IF_NONE_MATCH).is_some_and(|line| {
        let mut tags = line
            .split(',')
            .map(|tag| tag.trim().trim_start_matches("W/"));
        tags.any(|known| known == tag || known == "*")
    });
    if known {
        *rsp.status_mut() = StatusCode::NOT_MODIFIED;
        *rsp.body_mut() = Bytes::new();
    }
    set(&mut rsp, ETAG, &tag);
    // Whoever keeps it asks each time whether it is still so: grants and rules change.
    set(&mut rsp, CACHE_CONTROL, "private, no-cache");
    Ok(rsp)
}

/// The answer for one model, or for all.
fn pricing(config: &Config, model: Option<&str>, now: Timestamp) -> Pricing {
    let wanted = |name: &str| model.is_none_or(|model| model == name);
    let cost_bases: Vec<&'static str> = price::catalogues().collect();
    let mut models: BTreeMap<String, Model> = BTreeMap::new();
    for catalogue in &cost_bases {
        let names: BTreeSet<&str> = price::models(catalogue).collect();
        for name in names.into_iter().filter(|name| wanted(name)) {
            let basis = basis("catalogue", catalogue, name, CostRule::UNCHANGED, now);
            add(&mut models, name, catalogue, basis);
        }
    }
    let mut providers = BTreeMap::new();
    for provider in config.providers.values() {
        for name in provider.models.iter().filter(|name| wanted(name)) {
            let Some(found) = price::resolve_basis(config, provider, name) else {
                continue;
            };
            if found.model != &**name || found.adjustment_ppm != CostRule::UNCHANGED {
                let (model, ppm) = (found.model, found.adjustment_ppm);
                let basis = basis("model_cost_map", found.catalogue, model, ppm, now);
                add(&mut models, name, found.catalogue, basis);
            }
        }
        let first = provider.models.first();
        let basis = first.and_then(|model| price::resolve_basis(config, provider, model));
        let rules = provider.model_cost_map.iter().map(|rule| Rule {
            r#match: rule.matches.clone(),
            r#as: rule.as_model.clone(),
            adjustment: multiplier(rule.adjustment_ppm),
        });
        let adjustment = Adjustment {
            cost_basis: basis.as_ref().map(|basis| basis.catalogue.to_owned()),
            cost_basis_source: match basis.map(|basis| basis.source) {
                Some(BasisSource::Explicit) => "explicit",
                Some(BasisSource::Inferred) => "inferred",
                None => "none",
            },
            model_cost_map: rules.collect(),
        };
        providers.insert(provider.id.to_string(), adjustment);
    }
    Pricing {
        currency: "USD",
        units: units(),
        cost_bases,
        models,
        configured_adjustments: Adjustments { providers },
    }
}

fn add(
    models: &mut BTreeMap<String, Model>,
    name: &str,
    catalogue: &str,
    basis: Option<CostBasis>,
) {
    if let Some(basis) = basis {
        let model = models.entry(name.to_owned()).or_default();
        model.cost_bases.insert(catalogue.to_owned(), basis);
    }
}

/// A model of a catalogue with its prices; none when it has none at that time.
fn basis(
    source: &'static str,
    catalogue: &str,
    model: &str,
    adjustment_ppm: u64,
    now: Timestamp,
) -> Option<CostBasis> {
    let rates = price::rates(catalogue, model, None, 0, now)?;
    let long = price::rates(catalogue, model, None, LONG + 1, now).unwrap_or(rates);
    let factor = multiplier(adjustment_ppm);
    let effective_pricing = named(&rates, &long)
        .into_iter()
        .map(|(name, pico)| (name, dollars(name, pico) * factor))
        .collect();
    Some(CostBasis {
        source,
        resolved_model: model.to_owned(),
        resolver_adjustment: factor,
        effective_pricing,
    })
}

/// The rates that are there, by the names of the API.
fn named(rates: &Rates, long: &Rates) -> Vec<(&'static str, u64)> {
    let all = [
        ("input", rates.input, true),
        ("output", rates.output, true),
        (
            "input_cache_read",
            rates.cache_read,
            rates.cache_read != rates.input,
        ),
        (
            "input_cache_write",
            rates.cache_write,
            rates.cache_write != rates.input,
        ),
        (
            "input_cache_write_1h",
            rates.cache_write_1h,
            rates.cache_write_1h != rates.cache_write,
        ),
        (
            "internal_reasoning",
            rates.reasoning,
            rates.reasoning != rates.output,
        ),
        ("image", rates.image_input, rates.image_input != rates.input),
        ("web_search", rates.web_search, rates.web_search != 0),
        ("input_above_200k", long.input, long.input != rates.input),
        (
            "output_above_200k",
            long.output,
            long.output != rates.output,
        ),
    ];
    let there = all.into_iter().filter(|(_, _, there)| *there);
    there.map(|(name, rate, _)| (name, rate)).collect()
}

fn units() -> BTreeMap<&'static str, Unit> {
    let names = [
        "input",
        "output",
        "input_cache_read",
        "input_cache_write",
        "input_cache_write_1h",
        "internal_reasoning",
        "image",
        "web_search",
        "input_above_200k",
        "output_above_200k",
    ];
    let unit = |name| Unit {
        basis: if name == "web_search" {
            "search"
        } else {
            "token"
        },
        quantity: quantity(name),
    };
    names.into_iter().map(|name| (name, unit(name))).collect()
}

fn quantity(name: &str) -> u64 {
    if name == "web_search" { 1 } else { QUANTITY }
}

#[expect(clippy::cast_precision_loss, reason = "prices have few digits")]
fn dollars(name: &str, pico: u64) -> f64 {
    pico as f64 * quantity(name) as f64 / PICO
}

#[expect(clippy::cast_precision_loss, reason = "factors have few digits")]
fn multiplier(ppm: u64) -> f64 {
    ppm as f64 / CostRule::UNCHANGED as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CheckOptions, check};

    fn config(provider: &str) -> Config {
        let text = format!(r#"{{"providers": {{"p": {{{provider}}}}}}}"#);
        check(&text, &CheckOptions::default()).config.unwrap()
    }

    #[test]
    fn prices_are_those_of_the_table_and_rules_change_them() {
        let now = Timestamp::parse("2026-11-01").unwrap();
        let config = config(
            r#""baseurl": "https://api.anthropic.com", "compatibility": {"anthropic_messages": true},
            "models": ["claude-haiku-4-5", "ours/fast"],
            "model_cost_map": [{"match": "ours/*", "as": "claude-haiku-4-5", "adjustment": 0.5}]"#,
        );
        let one = pricing(&config, Some("claude-haiku-4-5"), now);
        assert_eq!(one.models.len(), 1);
        let listed = &one.models["claude-haiku-4-5"].cost_bases["anthropic"];
        let rates = price::rates("anthropic", "claude-haiku-4-5", None, 0, now).unwrap();
        #[expect(clippy::cast_precision_loss, reason = "a price has few digits")]
        let dollars = rates.input as f64 / 1e6;
        assert!((listed.effective_pricing["input"] - dollars).abs() < 1e-9);
        assert_eq!(listed.source, "catalogue");
        let ours = pricing(&config, Some("ours/fast"), now);
        let mapped = &ours.models["ours/fast"].cost_bases["anthropic"];
        assert_eq!(mapped.resolved_model, "claude-haiku-4-5");
        assert!((mapped.effective_pricing["input"] - dollars / 2.0).abs() < 1e-9);
        let said = &ours.configured_adjustments.providers["p"];
        assert_eq!(said.cost_basis.as_deref(), Some("anthropic"));
        assert_eq!(said.cost_basis_source, "inferred");
        assert_eq!(said.model_cost_map.len(), 1);
        assert!(pricing(&config, Some("nothing"), now).models.is_empty());
        let all = pricing(&config, None, now);
        assert!(all.models.len() > 100 && all.models.contains_key("ours/fast"));
        for basis in &all.cost_bases {
            assert!(price::models(basis).next().is_some(), "{basis}");
        }
    }
}
