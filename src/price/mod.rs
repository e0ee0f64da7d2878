//! What a request costs.
//!
//! Owns: the price table, made at build time from the `genai-prices` crate (`build/prices.rs`), and the rules by which the
//! configuration picks from it. In: the configuration, provider, model and tokens. Out: a [`Cost`] in pico-dollars, or
//! the word that it is not known: a model without a price is unpriced, never free and never guessed. Names are compared
//! exactly; a dated or alternative name has its own entry.
//! Must not know: requests, the store.

use crate::{
    config::{Config, CostRule, Provider},
    endpoint::Dialect,
    record::{Cost, CostState, Record, Timestamp, Usage, UsageState},
};

mod glob;

include!(concat!(env!("OUT_DIR"), "/prices.rs"));

/// Pico-dollars for one token of each kind, for one search, and for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Input that is not cached.
    pub input: u64,
    /// Input read from a cache.
    pub cache_read: u64,
    /// Input written to a cache for minutes.
    pub cache_write: u64,
    /// Input written to a cache for an hour.
    pub cache_write_1h: u64,
    /// Output.
    pub output: u64,
    /// Output spent on reasoning.
    pub reasoning: u64,
    /// A search of the web by the provider's tool.
    pub web_search: u64,
    /// Input that is audio and not cached.
    pub audio_input: u64,
    /// Input that is images and not cached.
    pub image_input: u64,
    /// Audio input read from a cache.
    pub cached_audio: u64,
    /// Image input read from a cache.
    pub cached_image: u64,
    /// Output that is audio.
    pub audio_output: u64,
    /// Output that is images.
    pub image_output: u64,
    /// A search of stored files by the provider's tool.
    pub file_search: u64,
    /// The request itself.
    pub request: u64,
}

/// One name in one catalogue.
struct Entry {
    basis: &'static str,
    model: &'static str,
    /// The service tier; empty for the standard one.
    tier: &'static str,
    /// By day, then by input size.
    steps: &'static [Step],
}

/// From that time on, above that many input tokens.
struct Step {
    from: u64,
    above: u64,
    rates: usize,
}

/// Where the price catalogue of a provider comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BasisSource {
    /// Its `cost_basis`.
    Explicit,
    /// Its host or its dialects, because `auto_cost_basis` is on.
    Inferred,
}

/// The entry to price a model by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Basis<'a> {
    /// The catalogue.
    pub catalogue: &'a str,
    /// Where that comes from.
    pub source: BasisSource,
    /// The model in it.
    pub model: &'a str,
    /// Multiplier in millionths.
    pub adjustment_ppm: u64,
}

/// What a request to that provider costs; `tier` is the service tier that the provider says it used.
pub fn price_of(
    config: &Config,
    provider: &Provider,
    model: &str,
    tier: Option<&str>,
    usage: &Usage,
    at: Timestamp,
) -> Cost {
    match resolve_basis(config, provider, model) {
        Some(basis) => cost(&basis, tier, usage, at),
        None if *usage == Usage::default() => Cost::default(),
        None => unpriced(String::new()),
    }
}

/// Prices a record's usage and, apart from it, its estimate, by its model, tier and time.
pub fn settle(config: &Config, provider: &Provider, model: &str, record: &mut Record) {
    let tier = record.service_tier.as_deref();
    let price = |usage: &Usage| price_of(config, provider, model, tier, usage, record.started);
    let priced = record.endpoint.is_metered();
    record.cost = if !priced || record.usage.total() == 0 {
        Cost::default()
    } else if record.usage_state == UsageState::Unknown {
        // Figures that can't be believed have no price.
        unpriced(String::new())
    } else {
        price(&record.usage)
    };
    let Some(estimate) = record.estimate.as_ref().filter(|_| priced) else {
        return;
    };
    // What it adds to the price of what was stated: the price of the request itself counts once, and sizes go together.
    let mut all = record.usage;
    all.input = all.input.saturating_add(estimate.input);
    all.output = all.output.saturating_add(estimate.output);
    let mut cost = price(&all);
    cost.pico = cost.pico.saturating_sub(record.cost.pico);
    if let Some(estimate) = &mut record.estimate {
        estimate.cost = cost;
    }
}

/// The entry to price a model by; none when no catalogue applies. The entry need not exist.
pub fn resolve_basis<'a>(
    config: &Config,
    provider: &'a Provider,
    model: &'a str,
) -> Option<Basis<'a>> {
    let (catalogue, source) = match &provider.cost_basis {
        Some(basis) => (basis.as_str(), BasisSource::Explicit),
        None if config.auto_cost_basis => (infer(provider)?, BasisSource::Inferred),
        None => return None,
    };
    let rule = provider
        .model_cost_map
        .iter()
        .find(|rule| glob::matches(&rule.matches, model));
    Some(Basis {
        catalogue,
        source,
        model: rule
            .and_then(|rule| rule.as_model.as_deref())
            .unwrap_or_else(|| out_of_arn(model)),
        adjustment_ppm: rule.map_or(CostRule::UNCHANGED, |rule| rule.adjustment_ppm),
    })
}

/// The catalogue that a provider's host stands for, else its dialects, the more telling dialect first.
fn infer(provider: &Provider) -> Option<&'static str> {
    if let Some(known) = provider.base.host().and_then(by_host) {
        return Some(known);
    }
    let speaks = |dialect| provider.dialects.contains(&dialect);
    if speaks(Dialect::AnthropicMessages) {
        Some("anthropic")
    } else if speaks(Dialect::OpenaiResponses) || speaks(Dialect::OpenaiChat) {
        Some("openai")
    } else if speaks(Dialect::GeminiGenerateContent) {
        Some("google")
    } else if speaks(Dialect::GoogleGenerateContent) || speaks(Dialect::GoogleRawPredict) {
        Some("vertex")
    } else if speaks(Dialect::BedrockModelInvoke) || speaks(Dialect::BedrockConverse) {
        Some("bedrock")
    } else {
        None
    }
}

/// Hosts that sell under their own prices, whatever dialect they speak.
fn by_host(host: &str) -> Option<&'static str> {
    let host = host.to_ascii_lowercase();
    let within = |domain: &str| {
        host.strip_suffix(domain)
            .is_some_and(|front| front.is_empty() || front.ends_with('.'))
    };
    if within("openrouter.ai") {
        Some("openrouter")
    } else if within("openai.azure.com")
        || within("services.ai.azure.com")
        || within("cognitiveservices.azure.com")
    {
        Some("azure")
    } else if host == "aiplatform.googleapis.com" || host.ends_with("-aiplatform.googleapis.com") {
        Some("vertex")
    } else if within("amazonaws.com") && host.starts_with("bedrock") {
        let region = host.split('.').nth(1).unwrap_or_default();
        Some(match region.split('-').next() {
            Some("us") => "bedrock-us",
            Some("eu") => "bedrock-eu",
            Some("ap") => "bedrock-ap",
            _ => "bedrock",
        })
    } else {
        None
    }
}

/// The id at the end of the ARN of a foundation model or of an inference profile of Bedrock's own; anything else as it is.
fn out_of_arn(model: &str) -> &str {
    match model.rsplit_once('/') {
        Some((arn, id))
            if arn.starts_with("arn:")
                && (arn.ends_with(":foundation-model") || arn.ends_with(":inference-profile")) =>
        {
            id
        }
        _ => model,
    }
}

/// What tokens cost by an entry.
pub fn cost(basis: &Basis<'_>, tier: Option<&str>, usage: &Usage, at: Timestamp) -> Cost {
    if *usage == Usage::default() {
        return Cost::default();
    }
    let name = format!("{}/{}", basis.catalogue, basis.model);
    let Some(rates) = rates(basis.catalogue, basis.model, tier, usage.input_all(), at) else {
        return unpriced(name);
    };
    let full = parts(&rates, usage)
        .iter()
        .fold(0_u128, |sum, (rate, count)| {
            sum.saturating_add(u128::from(*rate) * u128::from(*count))
        });
    let adjusted = full.saturating_mul(u128::from(basis.adjustment_ppm)) / 1_000_000;
    Cost {
        pico: u64::try_from(adjusted).unwrap_or(u64::MAX),
        state: CostState::Priced,
        basis: name,
        prices: VERSION.to_owned(),
    }
}

/// Each rate with its share of the usage. Parts that say more than what they are part of are cut.
fn parts(rates: &Rates, usage: &Usage) -> [(u64, u64); 15] {
    let take = |from: &mut u64, count: u64| {
        let taken = count.min(*from);
        *from -= taken;
        taken
    };
    let (mut fresh, mut read, mut output) = (usage.input, usage.cache_read, usage.output);
    let cached_audio = take(&mut read, usage.cached_audio.min(usage.audio_input));
    let cached_image = take(&mut read, usage.cached_image.min(usage.image_input));
    let audio_input = take(&mut fresh, usage.audio_input - cached_audio);
    let image_input = take(&mut fresh, usage.image_input - cached_image);
    let audio_output = take(&mut output, usage.audio_output);
    let image_output = take(&mut output, usage.image_output);
    let reasoning = take(&mut output, usage.reasoning);
    [
        (rates.input, fresh),
        (rates.cache_read, read),
        (rates.cache_write, usage.cache_write),
        (rates.cache_write_1h, usage.cache_write_1h),
        (rates.output, output),
        (rates.reasoning, reasoning),
        (rates.web_search, usage.web_searches),
        (rates.audio_input, audio_input),
        (rates.image_input, image_input),
        (rates.cached_audio, cached_audio),
        (rates.cached_image, cached_image),
        (rates.audio_output, audio_output),
        (rates.image_output, image_output),
        (rates.file_search, usage.file_searches),
        (rates.request, 1),
    ]
}

fn unpriced(basis: String) -> Cost {
    Cost {
        pico: 0,
        state: CostState::Unpriced,
        basis,
        prices: VERSION.to_owned(),
    }
}

/// The rates of a model in a catalogue, for a request of that input size at that time; a tier without rates of its own is
/// the standard one.
pub fn rates(
    basis: &str,
    model: &str,
    tier: Option<&str>,
    input: u64,
    at: Timestamp,
) -> Option<Rates> {
    let entry = tier
        .filter(|tier| !tier.is_empty())
        .and_then(|tier| entry(basis, model, tier))
        .or_else(|| entry(basis, model, ""))?;
    let from = entry
        .steps
        .iter()
        .rev()
        .find(|step| step.from <= at.0)?
        .from;
    let step = entry
        .steps
        .iter()
        .rev()
        .find(|step| step.from == from && (step.above < input || step.above == 0))?;
    RATES.get(step.rates).copied()
}

fn entry(basis: &str, model: &str, tier: &str) -> Option<&'static Entry> {
    let at = ENTRIES
        .binary_search_by(|entry| (entry.basis, entry.model, entry.tier).cmp(&(basis, model, tier)))
        .ok()?;
    ENTRIES.get(at)
}

/// Tokens that fit into the context of a model of a catalogue, where the data says so.
pub fn context_window(basis: &str, model: &str) -> Option<u64> {
    let at = WINDOWS
        .binary_search_by(|(known, name, _)| (*known, *name).cmp(&(basis, model)))
        .ok()?;
    WINDOWS.get(at).map(|(_, _, window)| *window)
}

/// Every catalogue.
pub fn catalogues() -> impl Iterator<Item = &'static str> {
    let mut last = "";
    let bases = ENTRIES.iter().map(|entry| entry.basis);
    bases.filter(move |basis| std::mem::replace(&mut last, basis) != *basis)
}

/// Every name of a catalogue that has a price.
pub fn models(basis: &str) -> impl Iterator<Item = &'static str> {
    let start = ENTRIES.partition_point(|entry| entry.basis < basis);
    ENTRIES[start..]
        .iter()
        .take_while(move |entry| entry.basis == basis)
        .filter(|entry| entry.tier.is_empty())
        .map(|entry| entry.model)
}

#[cfg(test)]
mod tests;
