//! Random events against a plain model: sums, summaries, every filter, and the order of keys.

use super::support::*;
use crate::record::*;
use crate::store::codec::{Packer, Varints, decode, encode, put_varint, unpack};
use crate::store::schema::{HourlyParts, UsageParts};
use crate::store::*;
use proptest::prelude::*;
use redb::{Key, Value};
use std::collections::BTreeMap;

const USERS: [&str; 3] = ["user:1", "user:2", "tags:tag:ci"];
const MODELS: [&str; 3] = ["claude-sonnet-4-5", "gpt-5", "gpt-5-mini"];
const TITLES: [&str; 3] = ["Fix the parser", "fixture for Größe", "parse, then fix"];

#[derive(Clone, Copy, Debug)]
enum Step {
    Start,
    Checkpoint(u64),
    Finish,
}

#[derive(Clone, Debug)]
struct Plan {
    record: Record,
    steps: Vec<Step>,
}

prop_compose! {
    fn plan(number: u64)(
        user in 0..3_usize,
        model in prop::option::of(0..3_usize),
        session in prop::option::of(0..4_u128),
        title in prop::option::weighted(0.3, 0..3_usize),
        status in prop::sample::select(vec![None, Some(200), Some(404), Some(529)]),
        end in prop::sample::select(End::ALL[1..].to_vec()),
        cost in prop::sample::select(CostState::ALL.to_vec()),
        tools in prop::collection::vec(prop::sample::select(vec!["Bash", "Read"]), 0..3),
        numbers in prop::array::uniform6(0..1_000_000_u64),
        hour in 0..4_u64,
        checkpoints in prop::collection::vec(0..100_u64, 0..3),
        (start, finish) in (any::<bool>(), prop::bool::weighted(0.8)),
    ) -> Plan {
        let mut record = record(id(3_600_000 * hour + number, number));
        record.who.user = USERS[user].into();
        record.model = model.map(|model| MODELS[model].into());
        // A session belongs to one user: `session` derives its id from the caller.
        record.session = session.map(|session| SessionId(session + 4 * user as u128));
        record.title = title.map(|title| TITLES[title].into());
        record.status = status;
        record.end = end;
        record.cost.state = cost;
        record.cost.pico = if cost == CostState::Priced { numbers[0] } else { 0 };
        record.tools = tools
            .into_iter()
            .map(|name| ToolCall { name: name.into(), argument_bytes: numbers[1], ..ToolCall::default() })
            .collect();
        record.usage.input = numbers[2];
        record.usage.output = numbers[3];
        record.timings.first_byte_us = numbers[4];
        record.timings.total_us = numbers[4] + numbers[5];
        let mut steps: Vec<Step> = start.then_some(Step::Start).into_iter().collect();
        steps.extend(checkpoints.into_iter().map(Step::Checkpoint));
        if finish {
            steps.push(Step::Finish);
        }
        Plan { record, steps }
    }
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    (1..25_u64).prop_flat_map(|count| (0..count).map(plan).collect::<Vec<_>>())
}

fn at(plan: &Plan, step: Step) -> Record {
    let mut record = plan.record.clone();
    match step {
        Step::Finish => {}
        Step::Start | Step::Checkpoint(_) => {
            record.end = End::InFlight;
            record.status = None;
            record.model = None;
            // Some sessions are only known when the body was read.
            if record.id.0.is_multiple_of(2) && matches!(step, Step::Start) {
                record.session = None;
            }
            record.tools.clear();
            record.cost = Cost::default();
            record.timings = Timings::default();
            record.usage = Usage::default();
            if let Step::Checkpoint(output) = step {
                record.usage.output = output;
            }
        }
    }
    record
}

/// What must be stored in the end.
fn expected(plans: &[Plan]) -> BTreeMap<RequestId, Record> {
    plans
        .iter()
        .filter_map(|plan| Some((plan.record.id, at(plan, *plan.steps.last()?))))
        .collect()
}

/// Gives the steps of all plans to the writer, one of each plan in turn.
fn play(writer: &Writer, plans: &[Plan]) {
    for place in 0..6 {
        for plan in plans {
            match plan.steps.get(place) {
                Some(Step::Finish) => writer.finish(at(plan, Step::Finish), None),
                Some(step) => writer.checkpoint(&at(plan, *step)),
                None => {}
            }
        }
    }
}

/// The filter, record by record.
fn matches(filter: &Filter, record: &Record) -> bool {
    let is = |asked: &Option<String>, value: Option<&str>| {
        asked.as_deref().is_none_or(|asked| Some(asked) == value)
    };
    let words: Vec<String> = [
        record.title.as_deref(),
        record.model.as_deref(),
        record.model_asked.as_deref(),
        record.provider_request_id.as_deref(),
        Some(record.client.name.as_str()),
    ]
    .into_iter()
    .flatten()
    .chain(record.tools.iter().map(|tool| tool.name.as_str()))
    .flat_map(|text| text.split(|c: char| !c.is_alphanumeric()))
    .map(str::to_lowercase)
    .collect();
    is(&filter.user, Some(&record.who.user))
        && is(&filter.model, record.model.as_deref())
        && is(&filter.provider, record.provider.as_deref())
        && is(&filter.client, Some(&record.client.name))
        && filter
            .session
            .is_none_or(|session| record.session == Some(session))
        && filter
            .class
            .is_none_or(|class| StatusClass::of(record.status) == class)
        && filter.end.is_none_or(|end| record.end == end)
        && filter.from.is_none_or(|from| record.id.time() >= from)
        && filter.to.is_none_or(|to| record.id.time() < to)
        && filter.text.as_deref().is_none_or(|text| {
            text.to_lowercase()
                .split_whitespace()
                .all(|asked| words.iter().any(|word| word.starts_with(asked)))
        })
}

prop_compose! {
    fn filter()(
        user in prop::option::weighted(0.3, prop::sample::select(USERS.to_vec())),
        model in prop::option::weighted(0.3, prop::sample::select(MODELS.to_vec())),
        session in prop::option::weighted(0.2, 0..12_u128),
        class in prop::option::weighted(0.2, prop::sample::select(StatusClass::ALL.to_vec())),
        end in prop::option::weighted(0.2, prop::sample::select(End::ALL.to_vec())),
        text in prop::option::weighted(0.3, prop::sample::select(
            vec!["fix", "PARSE", "the fix", "größe", "bash", "mini", "nothing", "claude fixture"]
        )),
        from in prop::option::weighted(0.2, 0..4_u64),
        to in prop::option::weighted(0.2, 0..4_u64),
    ) -> Filter {
        Filter {
            user: user.map(Into::into),
            model: model.map(Into::into),
            session: session.map(SessionId),
            class,
            end,
            text: text.map(Into::into),
            from: from.map(|hour| Timestamp(hour * 3_600_000)),
            to: to.map(|hour| Timestamp(hour * 3_600_000)),
            ..Filter::default()
        }
    }
}

/// Every page of a listing, small pages on purpose.
fn all<T>(mut page: impl FnMut(Option<RequestId>) -> Page<T>) -> Vec<T> {
    let (mut items, mut cursor) = (Vec::new(), None);
    loop {
        let one = page(cursor);
        items.extend(one.items);
        match one.next {
            Some(next) => cursor = Some(next),
            None => return items,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_tables_equal_a_plain_model(
        plans in plans(),
        filters in prop::collection::vec(filter(), 12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (store, writer) = store();
        play(&writer, &plans);
        runtime.block_on(writer.flush()).unwrap();
        let model = expected(&plans);

        // Counters are the sums of the finished records, by every key.
        let mut sums: BTreeMap<UsageKey, Counters> = BTreeMap::new();
        let mut tools: BTreeMap<ToolKey, ToolCounters> = BTreeMap::new();
        for record in model.values().filter(|record| record.end != End::InFlight) {
            sums.entry(UsageKey::of(record)).or_default().add(&Counters::of(record));
            for (key, counters) in ToolCounters::of(record) {
                tools.entry(key).or_default().add(&counters);
            }
        }
        let usage: BTreeMap<_, _> = store.usage(0, u32::MAX, None).unwrap().into_iter().collect();
        prop_assert_eq!(&usage, &sums);
        let rows: BTreeMap<_, _> = store.tools(0, u32::MAX, None).unwrap().into_iter().collect();
        prop_assert_eq!(rows, tools);
        let mut ever: BTreeMap<UsageKey, Counters> = BTreeMap::new();
        for (key, counters) in &sums {
            ever.entry(UsageKey { hour: 0, ..key.clone() }).or_default().add(counters);
        }
        let counters: BTreeMap<_, _> = store.counters().unwrap().into_iter().collect();
        prop_assert_eq!(counters, ever);
        for user in USERS {
            let own: BTreeMap<_, _> = store.usage(1, 2, Some(user)).unwrap().into_iter().collect();
            let mut wanted = sums.clone();
            wanted.retain(|key, _| key.user == user && (1..=2).contains(&key.hour));
            prop_assert_eq!(own, wanted);
        }

        // Summaries are the sums of their records.
        for number in 0..12 {
            let own: Vec<&Record> =
                model.values().filter(|record| record.session == Some(SessionId(number))).collect();
            let mut wanted = own.first().map(|first| Session::empty(SessionId(number), first));
            if let Some(wanted) = &mut wanted {
                for record in &own {
 wanted.add(record);
 }
            }
            let stored = store.session(SessionId(number)).unwrap();
            prop_assert_eq!(stored, wanted);
            let listed = all(|cursor| store.session_requests(SessionId(number), cursor, 3).unwrap());
            prop_assert_eq!(listed.iter().collect::<Vec<_>>(), own);
        }

        // Every filter finds what a look at every record finds, in the same order.
        for filter in filters.iter().chain([&Filter::default()]) {
            let wanted: Vec<&Record> =
                model.values().rev().filter(|record| matches(filter, record)).collect();
            let found = all(|cursor| store.requests(filter, cursor, 4).unwrap());
            prop_assert_eq!(found.iter().collect::<Vec<_>>(), wanted.clone());
            let mut sessions: Vec<SessionId> = Vec::new();
            for session in wanted.iter().filter_map(|record| record.session) {
                if !sessions.contains(&session) {
                    sessions.push(session);
                }
            }
            let found = all(|cursor| store.sessions(filter, cursor, 2).unwrap());
            prop_assert_eq!(found.iter().map(|session| session.id).collect::<Vec<_>>(), sessions);
        }
        let id = *model.keys().next().unwrap_or(&RequestId(1));
        let by_id = Filter { text: Some(id.to_string()), ..Filter::default() };
        let found = store.requests(&by_id, None, 5).unwrap().items;
        prop_assert_eq!(found.first(), model.get(&id));
    }

    #[test]
    fn keys_come_back_and_order_by_value(
        a in key(), b in key(), x in any::<(u8, String, u128)>(), y in any::<(u8, String, u128)>(),
    ) {
        let bytes = |key: &UsageKey| { let key = key.hourly_parts(); let bytes: Vec<u8> = HourlyParts::as_bytes(&key); bytes };
        let (left, right) = (bytes(&a), bytes(&b));
        prop_assert_eq!(HourlyParts::compare(&left, &right), a.hourly_parts().cmp(&b.hourly_parts()));
        prop_assert_eq!(&UsageKey::from_hourly(HourlyParts::from_bytes(&left)), &a);
        let parts = UsageParts::as_bytes(&a.parts());
        prop_assert_eq!(UsageKey::from_parts(a.hour, UsageParts::from_bytes(&parts)), a);
        let posting = |key: &(u8, String, u128)| {
            <(u8, &str, u128)>::as_bytes(&(key.0, key.1.as_str(), key.2))
        };
        prop_assert_eq!(<(u8, &str, u128)>::compare(&posting(&x), &posting(&y)), x.cmp(&y));
    }

    #[test]
    fn rows_and_packed_bytes_come_back(
        numbers in prop::collection::vec(any::<u64>(), 0..40),
        bytes in prop::collection::vec(any::<u8>(), 0..5000),
        plan in plan(3),
    ) {
        let mut row = Vec::new();
        for number in &numbers {
 put_varint(&mut row, *number);
 }
        let mut read = Varints(&row);
        for number in &numbers {
            prop_assert_eq!(read.next(), *number);
        }
        prop_assert_eq!(read.next(), 0, "a number that an older version did not write");
        let counters = Counters::of(&plan.record);
        prop_assert_eq!(Counters::from_row(&counters.to_row()), counters);
        let packed = Packer::new().pack(&bytes);
        prop_assert_eq!(unpack("t", &packed).unwrap(), bytes);
        prop_assert_eq!(decode::<Record>("t", &encode(&plan.record)).unwrap(), plan.record);
        // Damaged rows are errors, not panics.
        let _ = decode::<Record>("t", &row);
        let _ = unpack("t", &row);
    }
}

prop_compose! {
    fn key()(
        hour in 0..3_u32,
        texts in prop::array::uniform5("[a-b:é]{0,3}"),
        class in prop::sample::select(StatusClass::ALL.to_vec()),
        end in prop::sample::select(End::ALL.to_vec()),
        cost in prop::sample::select(CostState::ALL.to_vec()),
    ) -> UsageKey {
        let [user, provider, model, client, endpoint] = texts;
        UsageKey { hour, user, provider, model, client, endpoint, class, end, cost }
    }
}

#[test]
fn long_walks_stop_and_go_on() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let (store, writer) = store();
    // Two users in turn, one model each: only the oldest request has both, and the lists of both are long.
    for number in 0..300 {
        let mut done = finished(record(id(number, number)));
        let odd = usize::from(number % 2 == 1);
        done.who.user = USERS[odd].into();
        done.model = Some(MODELS[if number == 0 { 1 } else { odd }].into());
        writer.finish(done, None);
    }
    runtime.block_on(writer.flush()).unwrap();
    let filter = Filter {
        user: Some(USERS[0].into()),
        model: Some(MODELS[1].into()),
        ..Filter::default()
    };
    let first = store.requests_within(&filter, None, 10, 100).unwrap();
    assert!(first.items.is_empty() && first.next.is_some());
    let found = all(|cursor| store.requests_within(&filter, cursor, 10, 100).unwrap());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].id, id(0, 0));
}
