//! What the requests of the last hour say: unknown models, people without a role, cut streams, missing prices, providers that fail.
//!
//! Owns: the grouping of records, and the words for each group. In: the newest records. Out: findings.
//! Must not know: how records are kept.

use super::{LATELY, Outcome, Report};
use crate::{
    app::App,
    config::Config,
    policy,
    record::{CostState, End, Record, Timestamp, UsageState},
    store::Filter,
};
use std::collections::{BTreeMap, BTreeSet};

/// Records that are looked at, the newest first.
const MOST: usize = 2_000;

/// Groups and names that are told.
const GROUPS: usize = 5;
const NAMES: usize = 3;

/// A provider fails when this many requests have, and one in five.
const FAILED: u64 = 3;

/// How often, and to whom.
#[derive(Default)]
struct Group {
    count: u64,
    who: BTreeSet<String>,
    why: BTreeSet<&'static str>,
}

impl Group {
    fn add(&mut self, record: &Record) {
        self.count += 1;
        if self.who.len() < 100 {
            self.who.insert(record.who.login.clone());
        }
    }

    /// Who it was, for people.
    fn names(&self) -> String {
        let told: Vec<_> = self.who.iter().take(NAMES).map(String::as_str).collect();
        match self.who.len().saturating_sub(NAMES) {
            0 => told.join(", "),
            more => format!("{} and {more} more", told.join(", ")),
        }
    }
}

type Groups = BTreeMap<String, Group>;

/// The newest records of the last hour; none when the store can't be read, which is said elsewhere.
pub(super) async fn read(app: &App) -> Vec<Record> {
    let filter = Filter {
        from: Some(Timestamp(Timestamp::now().0.saturating_sub(LATELY))),
        ..Filter::default()
    };
    let read = app
        .store
        .ask(move |store| store.requests(&filter, None, MOST));
    read.await.map(|page| page.items).unwrap_or_default()
}

/// Says what they show.
pub(super) fn judge(config: &Config, records: &[Record], report: &mut Report) {
    let by = |of: &dyn Fn(&Record) -> Option<String>| {
        let mut groups = Groups::new();
        for record in records {
            if let Some(name) = of(record) {
                groups.entry(name).or_default().add(record);
            }
        }
        let mut all: Vec<_> = groups.into_iter().collect();
        all.sort_by_key(|(_, group)| std::cmp::Reverse(group.count));
        all.truncate(GROUPS);
        all
    };
    let refused = |word: &'static str| {
        move |record: &Record| {
            (record.failure.as_deref() == Some(word))
                .then(|| record.model_asked.clone().unwrap_or_default())
        }
    };
    for (model, group) in by(&refused("no_model")) {
        unknown(config, &model, &group, report);
    }
    for (model, group) in by(&refused("wrong_endpoint")) {
        report.about(
            "client.format",
            &model,
            Outcome::Warning,
            format!("asked for {} times by {}, in a format that it is not served in", group.count, group.names()),
            "point that client to the endpoint of its provider's format (aperture connect), or turn the format on in compatibility",
        );
    }
    for (login, group) in by(&|record| {
        (record.failure.as_deref() == Some("no_role")).then(|| record.who.login.clone())
    }) {
        report.about(
            "client.denied",
            &login,
            Outcome::Warning,
            format!("refused {} times: no grant gives them a role", group.count),
            format!("if they may use the gateway, grant them a role; `aperture doctor --as {login}` shows what they have"),
        );
    }
    let unpriced = |record: &Record| {
        let of = (record.provider.as_deref()?, record.model.as_deref()?);
        (record.cost.state == CostState::Unpriced).then(|| format!("{}/{}", of.0, of.1))
    };
    for (model, group) in by(&unpriced) {
        report.about(
            "price.unpriced",
            &model,
            Outcome::Warning,
            format!("{} requests have no price, and count as no cost", group.count),
            "give the provider a cost_basis, or a rule in model_cost_map that prices it as another model; then `aperture reprice`",
        );
    }
    cut(records, report);
    tags(records, report);
    failing(records, report);
}

/// A model that does not exist, or not for those who asked.
fn unknown(config: &Config, model: &str, group: &Group, report: &mut Report) {
    let names = config
        .providers
        .values()
        .filter(|provider| !provider.disabled)
        .flat_map(|provider| provider.models.iter());
    let all: BTreeSet<&str> = names.map(|name| &**name).collect();
    let bare = model.split_once('/').map_or(model, |(_, rest)| rest);
    let remedy = if all.contains(model) || all.contains(bare) {
        let login = group.who.first().map_or("", String::as_str);
        format!(
            "it is configured, and no grant opens it to them: `aperture doctor --as {login} --model {model}` shows the lines"
        )
    } else {
        match policy::nearest(model, all.iter().copied()).as_slice() {
            [] => "correct the client's model, or add it to a provider's models; `aperture connect` lists what there is".to_owned(),
            alike => format!("did they mean {}? Correct the client's model, or add this one to a provider's models", alike.join(" or ")),
        }
    };
    report.about(
        "client.model",
        model,
        Outcome::Warning,
        format!(
            "asked for {} times by {}, and not found",
            group.count,
            group.names()
        ),
        remedy,
    );
}

/// Streams whose counts are partial.
fn cut(records: &[Record], report: &mut Report) {
    let (mut left, mut broken) = (Group::default(), Group::default());
    for record in records {
        if !matches!(
            record.usage_state,
            UsageState::Partial | UsageState::Estimated
        ) {
            continue;
        }
        let group = if record.end == End::ClientGone {
            &mut left
        } else {
            &mut broken
        };
        group.add(record);
        group.why.insert(match record.end {
            End::UpstreamError => "the provider broke off",
            End::Timeout => "the provider fell silent",
            End::Interrupted => "the gateway stopped",
            End::ClientGone => "the client left",
            End::InFlight | End::Complete | End::Refused => "the stream ended early",
        });
    }
    if broken.count > 0 {
        let why: Vec<_> = broken.why.iter().copied().collect();
        report.add(
            "streams.cut",
            Outcome::Warning,
            format!("{} streams of {} ended early ({}): their token counts are partial", broken.count, broken.names(), why.join(", ")),
            "the request's page says at what point; a proxy between here and the provider may have a short time-out",
        );
    }
    if left.count > 0 {
        report.add(
            "streams.cut",
            Outcome::Note,
            format!("{} streams were left by {} before their end: token counts are partial, which is by design", left.count, left.names()),
            "",
        );
    }
}

/// Devices that all look like one user.
fn tags(records: &[Record], report: &mut Report) {
    if records.is_empty() || records.iter().any(|record| record.who.tags.is_empty()) {
        return;
    }
    let mut nodes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for record in records {
        nodes
            .entry(&record.who.login)
            .or_default()
            .insert(&record.who.node);
    }
    for (login, nodes) in nodes.into_iter().filter(|(_, nodes)| nodes.len() > 1) {
        report.about(
            "identity.tags",
            login,
            Outcome::Warning,
            format!("{} devices call under these tags, and no person does: they all look like one user", nodes.len()),
            "devices of people should belong to their accounts: log them in without tags; tags are for servers and CI",
        );
    }
}

/// Providers whose requests fail.
fn failing(records: &[Record], report: &mut Report) {
    let mut all: BTreeMap<&str, (u64, u64, BTreeMap<String, u64>)> = BTreeMap::new();
    for record in records {
        let Some(provider) = record.provider.as_deref() else {
            continue;
        };
        let (requests, failed, why) = all.entry(provider).or_default();
        *requests += 1;
        let reason = match (record.failure.as_deref(), record.status) {
            (Some("unreachable" | "broken" | "timeout" | "no_credential" | "not_paid"), _) => {
                record.failure.clone()
            }
            (None, Some(status)) if status >= 500 || matches!(status, 401 | 403 | 429) => {
                Some(status.to_string())
            }
            _ => None,
        };
        if let Some(reason) = reason {
            *failed += 1;
            *why.entry(reason).or_default() += 1;
        }
    }
    for (provider, (requests, failed, why)) in all {
        if failed < FAILED || failed * 5 < requests {
            continue;
        }
        let why: Vec<_> = why
            .iter()
            .map(|(reason, count)| format!("{reason} × {count}"))
            .collect();
        report.about(
            "provider.failing",
            provider,
            Outcome::Warning,
            format!("{failed} of {requests} requests failed in the last hour ({})", why.join(", ")),
            "the other lines about this provider say what is wrong; 429 means that its limit is reached",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{endpoint::Endpoint, record::RequestId};

    fn record(change: impl Fn(&mut Record)) -> Record {
        let mut record = Record::new(RequestId::new(), Endpoint::OpenaiChat);
        record.who.login = "alice@example.com".into();
        record.provider = Some("p".into());
        record.model = Some("m".into());
        record.end = End::Complete;
        record.status = Some(200);
        change(&mut record);
        record
    }

    fn said(records: &[Record]) -> Vec<(String, Outcome)> {
        let mut report = Report::new(true);
        judge(&Config::default(), records, &mut report);
        report
            .checks
            .into_iter()
            .map(|check| (check.id, check.outcome))
            .collect()
    }

    fn only(id: &str, outcome: Outcome) -> Vec<(String, Outcome)> {
        vec![(id.to_owned(), outcome)]
    }

    #[test]
    fn good_requests_say_nothing() {
        assert_eq!(said(&[]), []);
        assert_eq!(said(&[record(|_| {}), record(|_| {})]), []);
    }

    #[test]
    fn a_client_that_leaves_is_no_fault() {
        let left = record(|record| {
            record.end = End::ClientGone;
            record.usage_state = UsageState::Partial;
        });
        assert_eq!(said(&[left]), only("streams.cut", Outcome::Note));
    }

    #[test]
    fn a_provider_fails_when_a_fifth_of_its_requests_do() {
        let bad = || record(|record| record.status = Some(529));
        assert_eq!(said(&[bad(), bad()]), []);
        assert_eq!(
            said(&[bad(), bad(), bad()]),
            only("provider.failing", Outcome::Warning)
        );
        let mut many: Vec<_> = (0..30).map(|_| record(|_| {})).collect();
        many.extend([bad(), bad(), bad()]);
        assert_eq!(said(&many), []);
    }

    #[test]
    fn tags_that_many_devices_share_look_like_one_user() {
        let tagged = |node: &str| {
            record(|record| {
                record.who.login = "tag:dev".into();
                record.who.tags = vec!["tag:dev".into()];
                record.who.node = node.into();
            })
        };
        assert_eq!(said(&[tagged("a"), tagged("a")]), []);
        assert_eq!(
            said(&[tagged("a"), tagged("b")]),
            only("identity.tags", Outcome::Warning)
        );
        assert_eq!(said(&[tagged("a"), tagged("b"), record(|_| {})]), []);
    }
}
