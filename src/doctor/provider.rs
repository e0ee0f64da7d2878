//! The providers: whether each answers, takes its key, and has the models that are configured.
//!
//! Owns: asking all of them side by side, and what is said of each. In: the configuration. Out: findings; a provider that fails
//! is named by the part that fails (`provider.tls`), and what lies behind that part is not looked at.
//! Must not know: how a question is asked.

use super::{Outcome, Report, clock::Skew, verdict::Verdict};
use crate::{
    app::App,
    config::{Config, Provider},
    endpoint::Dialect,
    policy,
    provider::{
        client::{Stage, TlsFault},
        probe::{Answer, Found, look},
    },
};
use futures_util::{StreamExt as _, stream};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// How long a provider may take to answer a cheap question.
const LIMIT: Duration = Duration::from_secs(8);

/// Providers that are asked at the same time.
const AT_ONCE: usize = 16;

/// How long all of them together may take; those that were not asked by then are said.
const ALTOGETHER: Duration = Duration::from_secs(30);

/// Names that are told of a long list.
const TOLD: usize = 5;

/// One provider's answer.
pub(super) struct Asked {
    pub(super) provider: Arc<Provider>,
    /// None when the time was over, or there was no reason to ask.
    pub(super) probe: Option<Found>,
    /// What its clock says.
    pub(super) skew: Option<Skew>,
}

/// Asks every provider that is in use.
pub(super) async fn ask_all(app: &App, config: &Config) -> Vec<Asked> {
    let until = tokio::time::Instant::now() + ALTOGETHER;
    let one = |provider: &Arc<Provider>| {
        let provider = Arc::clone(provider);
        async move {
            let ready = !provider.disabled && provider.missing_secret.is_none();
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            let mut asked = Asked {
                provider,
                probe: None,
                skew: None,
            };
            if ready && !left.is_zero() {
                let limit = LIMIT.min(left);
                let answer = look(&app.client, &app.credentials, &asked.provider, limit).await;
                asked.skew = answer.date.as_deref().and_then(Skew::of);
                asked.probe = Some(answer);
            }
            asked
        }
    };
    stream::iter(config.providers.values().map(one))
        .buffered(AT_ONCE)
        .collect()
        .await
}

/// Says what was found.
pub(super) fn judge(config: &Config, all: &[Asked], report: &mut Report) {
    for Asked {
        provider, probe, ..
    } in all
    {
        if provider.disabled {
            report.about(
                "provider.disabled",
                &provider.id,
                Outcome::Note,
                "disabled",
                "",
            );
            continue;
        }
        if provider.missing_secret.is_some() {
            // Said with the configuration, also when no gateway runs.
            continue;
        }
        let Some(probe) = probe else {
            let detail = "not asked: the others took too long";
            report.about(
                "provider.http",
                &provider.id,
                Outcome::Warning,
                detail,
                "ask again",
            );
            continue;
        };
        answer(provider, probe, report);
        if let Answer::Said { models: listed, .. } = &probe.answer
            && probe.complete
        {
            models(config, provider, listed, report);
        }
    }
}

fn answer(provider: &Provider, found: &Found, report: &mut Report) {
    let verdict = Verdict::of(provider, found, LIMIT.as_secs());
    let verdict = &verdict;
    let outcome = match verdict {
        Verdict::Accepted(_) => Outcome::Good,
        Verdict::NeedsClient(_) | Verdict::NoList(_) => Outcome::Note,
        Verdict::Limited(_) | Verdict::Ailing(..) => Outcome::Warning,
        Verdict::Refused(..)
        | Verdict::Odd(..)
        | Verdict::NotMinted(_)
        | Verdict::BadAddress(_)
        | Verdict::Unreachable(..)
        | Verdict::Broken(_)
        | Verdict::Silent(_) => Outcome::Failure,
    };
    let id = match verdict.part() {
        "baseurl" => "provider.baseurl",
        "dns" => "provider.dns",
        "tcp" => "provider.tcp",
        "tls" => "provider.tls",
        "credential" => "provider.credential",
        _ => "provider.http",
    };
    let minted = match verdict {
        Verdict::Accepted(_) | Verdict::NoList(_) if provider.cloud.is_some() => {
            ", its credential can be had"
        }
        _ => "",
    };
    let took = match verdict {
        Verdict::Accepted(_) => format!(" in {} ms", found.took.as_millis()),
        _ => String::new(),
    };
    let open = matches!(
        &found.answer,
        Answer::Said {
            to_anybody: true,
            ..
        }
    );
    let proven = if open && provider.credential.is_some() {
        "; it says the same without the key, so that this does not show that the key is good"
    } else {
        ""
    };
    let remedy = match verdict {
        Verdict::Unreachable(Stage::Tls(TlsFault::Untrusted), _) if provider.extra_ca.is_some() => {
            "extra_ca does not hold the authority that signed it: give the right one"
        }
        other => other.remedy(),
    };
    let detail = format!("{}{took}{minted}{proven}", verdict.says());
    report.about(id, &provider.id, outcome, detail, remedy);
}

/// Compares the models that are configured with those that the provider lists.
fn models(config: &Config, provider: &Provider, listed: &[String], report: &mut Report) {
    let complete = provider.dialects.iter().any(|dialect| {
        matches!(
            dialect,
            Dialect::AnthropicMessages
                | Dialect::OpenaiChat
                | Dialect::OpenaiResponses
                | Dialect::GeminiGenerateContent
        )
    });
    if !complete || !config.providers.contains_key(&provider.id) {
        return;
    }
    let known: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
    let missing: Vec<String> = provider
        .models
        .iter()
        .filter(|model| !is_listed(model, &known))
        .map(
            |model| match policy::nearest(model, known.iter().copied()).as_slice() {
                [] => model.to_string(),
                alike => format!("{model} (it has {})", alike.join(", ")),
            },
        )
        .collect();
    if missing.is_empty() {
        let detail = format!(
            "has all {} that are configured; it lists {}",
            provider.models.len(),
            known.len()
        );
        report.about("provider.models", &provider.id, Outcome::Good, detail, "");
        return;
    }
    let more = match missing.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let told = missing.get(..TOLD).unwrap_or(&missing).join("; ");
    report.about(
        "provider.models",
        &provider.id,
        Outcome::Warning,
        format!("does not list {told}{more}"),
        "correct the names in models; clients and grants that use them too",
    );
}

/// Providers list a model by its full name, and take names without the date as well.
fn is_listed(model: &str, known: &BTreeSet<&str>) -> bool {
    let dated = |name: &&str| name[model.len()..].strip_prefix('-').is_some_and(is_date);
    known.contains(model)
        || model.ends_with("-latest")
        || known
            .range(model..)
            .take_while(|name| name.starts_with(model))
            .any(dated)
}

/// `20251001` or `2025-10-01`.
fn is_date(text: &str) -> bool {
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<_> = text.split('-').collect();
    parts.iter().all(|part| digits(part))
        && matches!(
            parts.iter().map(|part| part.len()).collect::<Vec<_>>()[..],
            [8] | [4, 2, 2]
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_its_date_is_the_same_model() {
        let known = BTreeSet::from([
            "claude-haiku-4-5-20251001",
            "gpt-5",
            "gpt-5-mini",
            "gpt-4o-2024-08-06",
        ]);
        for model in ["claude-haiku-4-5", "gpt-5", "gpt-4o", "claude-opus-latest"] {
            assert!(is_listed(model, &known), "{model}");
        }
        for model in ["claude-haiku-4", "gpt", "gpt-5-", "gpt-6"] {
            assert!(!is_listed(model, &known), "{model}");
        }
    }
}
