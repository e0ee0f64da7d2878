//! The books: of every request what its client saw, what the provider logged and what was recorded, and whether these agree.
//!
//! Owns: [`Books`]. In: part after part, everything that was asked, the provider's entries, the records, and how the gateway
//! ended, if it did. Out: the table, and each difference in words. Only sums are kept from part to part.

use super::{
    super::{Key, Sums, of_records},
    mix::{Client, TOGETHER, Upstream, WAYS, number},
};
use aperture::record::{CaptureMode, End, Record, SessionId, UsageState};
use provider::Entry;
use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    time::SystemTime,
};

/// Differences that are told in words; all are counted.
const TOLD: usize = 20;
/// Milliseconds by which two clocks may differ that are cut to milliseconds.
const CUT: u64 = 5;

/// What a client saw of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Saw {
    Whole,
    Broken,
    /// It left, as it meant to.
    Left,
    /// Not a head.
    Nothing,
}

/// One request, by its client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) n: u64,
    pub(super) way: usize,
    pub(super) saw: Saw,
    pub(super) status: u16,
    /// When, in milliseconds since 1970.
    pub(super) ended: u64,
}

/// How the gateway ended in a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It did not.
    No,
    InOrder,
    /// By a kill; what the next start said: since when records may be missing, and how many were interrupted.
    Killed {
        since: u64,
        interrupted: u64,
    },
}

/// What became of the bodies of a part, which find no room while a disk is too slow for so many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bodies {
    /// Requests that lost theirs, by `/metrics`; nothing, where the gateway ended.
    pub(super) lost: u64,
    /// Whether the disk was slow.
    pub(super) may_be: bool,
}

/// The sums of one way.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    sent: u64,
    whole: u64,
    broken: u64,
    left: u64,
    nothing: u64,
    upstream: u64,
    recorded: u64,
    differences: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Books {
    rows: [Row; WAYS.len()],
    /// Of all records.
    pub(super) sums: BTreeMap<Key, Sums>,
    /// Of those parts in which the gateway did not end, by the records and by `/metrics`.
    compared: BTreeMap<Key, u64>,
    pub(super) metrics: BTreeMap<Key, u64>,
    /// Requests whose client had left before the gateway began with them: nothing at the provider, no record.
    unbegun: u64,
    /// Requests that a closing or killed gateway never took from its connection: no head, nothing at the provider, no record.
    untaken: u64,
    /// Requests without a record that began in the window which the start after a kill reported.
    in_window: u64,
    /// Requests that a kill interrupted: as the starts said, and by their records.
    interrupted: [u64; 2],
    /// Requests whose bodies were lost to a slow disk: by `/metrics`, and by their records.
    lost: [u64; 2],
    sessions: u64,
    differences: u64,
    pub(super) told: Vec<String>,
}

impl Books {
    /// Notes a difference.
    pub(super) fn differs(&mut self, text: String) {
        self.differences += 1;
        if self.told.len() < TOLD {
            self.told.push(text);
        }
    }

    pub(super) fn differences(&self) -> u64 {
        self.differences
    }

    pub(super) fn sent(&self) -> u64 {
        self.rows.iter().map(|row| row.sent).sum()
    }

    /// One part of the run.
    pub(super) fn enter(
        &mut self,
        asked: &[Asked],
        entries: &[Entry],
        records: &[Record],
        ended: Ended,
        bodies: Bodies,
    ) {
        let mut seen: HashMap<u64, Vec<&Entry>> = HashMap::new();
        for entry in entries {
            match number(&entry.request.target) {
                Some(n) => seen.entry(n).or_default().push(entry),
                None => self.differs(format!("the provider got {}", entry.request.target)),
            }
        }
        let mut kept: HashMap<u64, Vec<&Record>> = HashMap::new();
        for record in records {
            match number(&record.path) {
                Some(n) => kept.entry(n).or_default().push(record),
                None => self.differs(format!("a record of {}", record.path)),
            }
        }
        for asked in asked {
            let seen = seen.remove(&asked.n).unwrap_or_default();
            let kept = kept.remove(&asked.n).unwrap_or_default();
            self.one(asked, &seen, &kept, ended, bodies);
        }
        for n in seen.keys().chain(kept.keys()) {
            self.differs(format!("nobody asked for number {n}"));
        }
        self.sessions(records);
        let lost = records
            .iter()
            .filter(|record| record.capture_lost.is_some())
            .count() as u64;
        self.lost[0] += bodies.lost;
        self.lost[1] += lost;
        if lost != bodies.lost {
            self.differs(format!(
                "{} bodies were lost by /metrics, {lost} by their records",
                bodies.lost
            ));
        }
        if let Ended::Killed { interrupted, .. } = ended {
            let found = records
                .iter()
                .filter(|record| record.end == End::Interrupted)
                .count() as u64;
            self.interrupted[0] += interrupted;
            self.interrupted[1] += found;
            if found != interrupted {
                self.differs(format!(
                    "{interrupted} were said to be interrupted, {found} records are"
                ));
            }
        }
        for (key, sums) in of_records(records) {
            if ended == Ended::No {
                *self.compared.entry(key.clone()).or_default() += sums.requests;
            }
            self.sums.entry(key).or_default().add(&sums);
        }
    }

    fn one(
        &mut self,
        asked: &Asked,
        seen: &[&Entry],
        kept: &[&Record],
        ended: Ended,
        bodies: Bodies,
    ) {
        let row = &mut self.rows[asked.way];
        row.sent += 1;
        row.upstream += seen.len() as u64;
        row.recorded += kept.len() as u64;
        *match asked.saw {
            Saw::Whole => &mut row.whole,
            Saw::Broken => &mut row.broken,
            Saw::Left => &mut row.left,
            Saw::Nothing => &mut row.nothing,
        } += 1;
        let verdict = match (seen, kept) {
            ([] | [_], []) => self.without_record(asked, seen.first().copied(), ended),
            ([] | [_], [record]) => {
                with_record(asked, seen.first().copied(), record, ended, bodies)
            }
            _ => Err(format!(
                "{} at the provider, {} records",
                seen.len(),
                kept.len()
            )),
        };
        if let Err(why) = verdict {
            self.rows[asked.way].differences += 1;
            let ends: Vec<_> = kept
                .iter()
                .map(|it| (it.end, it.status, &it.failure))
                .collect();
            let name = WAYS[asked.way].name;
            self.differs(format!(
                "{name}: {why}: {asked:?}, {} at the provider, {ends:?}, {ended:?}",
                seen.len()
            ));
        }
    }

    fn without_record(
        &mut self,
        asked: &Asked,
        seen: Option<&Entry>,
        ended: Ended,
    ) -> Result<(), String> {
        let way = &WAYS[asked.way];
        if !way.is_recorded()
            && asked.saw == way.saw
            && way.statuses.contains(&asked.status)
            && seen.is_none()
        {
            return Ok(());
        }
        if way.client == Client::LeavesAtOnce && seen.is_none() {
            self.unbegun += 1;
            return Ok(());
        }
        let (since, at) = match (ended, seen) {
            // It was sent on, and its start was queued before that.
            (Ended::Killed { since, .. }, Some(entry)) => {
                let at = entry.request.at.duration_since(SystemTime::UNIX_EPOCH);
                (since, u64::try_from(at.unwrap().as_millis()).unwrap())
            }
            (Ended::Killed { .. } | Ended::InOrder, None)
                if matches!(asked.saw, Saw::Nothing | Saw::Left) =>
            {
                self.untaken += 1;
                return Ok(());
            }
            (Ended::Killed { since, .. }, None) => (since, asked.ended),
            _ => return Err("no record".to_owned()),
        };
        if at + CUT < since {
            return Err(format!(
                "no record, and it went on {} ms before",
                since - at
            ));
        }
        self.in_window += 1;
        Ok(())
    }

    /// Requests of one session of one client have one session, those of others another.
    fn sessions(&mut self, records: &[Record]) {
        let mut of: HashMap<(u64, &str), SessionId> = HashMap::new();
        let mut back: HashMap<SessionId, (u64, &str)> = HashMap::new();
        for record in records {
            let (Some(session), Some(n)) = (record.session, number(&record.path)) else {
                continue;
            };
            let group = (n / TOGETHER, record.client.name.as_str());
            if *of.entry(group).or_insert(session) != session
                || *back.entry(session).or_insert(group) != group
            {
                self.differs(format!("number {n} is in session {session}"));
            }
        }
        self.sessions += of.len() as u64;
    }

    /// What the metrics counted against the records of the same parts, and the counters against all records.
    pub(super) fn compare(&mut self, counters: &BTreeMap<Key, Sums>) {
        if self.metrics != self.compared {
            let text = format!("/metrics: {:?}", apart(&self.metrics, &self.compared));
            self.differs(text);
        }
        if *counters != self.sums {
            let text = format!("hourly counters: {:?}", apart(counters, &self.sums));
            self.differs(text);
        }
    }

    /// The accounting, as it is printed and committed.
    pub(super) fn table(&self, counters: &BTreeMap<Key, Sums>) -> String {
        let mut out = String::from(
            "| requests | sent | answered whole | broken | left by their client | no answer | provider saw | recorded | differences |\n\
             | --- | --: | --: | --: | --: | --: | --: | --: | --: |\n",
        );
        let mut all = Row::default();
        for (way, row) in WAYS.iter().zip(&self.rows) {
            all.add(row);
            line(&mut out, way.name, row);
        }
        line(&mut out, "all", &all);
        out += "\n| ended as | records | hourly counters | records of parts without an end of the gateway | /metrics of the same |\n\
                | --- | --: | --: | --: | --: |\n";
        for end in End::ALL {
            let name = end.as_str();
            let sum = |of: &BTreeMap<Key, Sums>| -> u64 {
                of.iter()
                    .filter(|(key, _)| key[4] == name)
                    .map(|(_, sums)| sums.requests)
                    .sum()
            };
            let count = |of: &BTreeMap<Key, u64>| -> u64 {
                of.iter()
                    .filter(|(key, _)| key[4] == name)
                    .map(|(_, count)| count)
                    .sum()
            };
            let _ = writeln!(
                out,
                "| {name} | {} | {} | {} | {} |",
                sum(&self.sums),
                sum(counters),
                count(&self.compared),
                count(&self.metrics)
            );
        }
        let mut total = Sums::default();
        for sums in self.sums.values() {
            total.add(sums);
        }
        let _ = write!(
            out,
            "\nInterrupted by kills, as the next starts said: {}; records that say so: {}. Sent on or ended in the windows that these starts reported, \
             and without a record: {}. Left by their client before the gateway began with them: {}. Never taken from their connection by a gateway that ended: {}. Without bodies, for which a slow disk left no room: {} by /metrics, \
             {} by their records. Sessions, part by part: {}. Tokens \
             recorded: {} in, {} out; cost {} pico-dollars, equal in the counters. Differences: {}.",
            self.interrupted[0],
            self.interrupted[1],
            self.in_window,
            self.unbegun,
            self.untaken,
            self.lost[0],
            self.lost[1],
            self.sessions,
            total.usage.input_all(),
            total.usage.output,
            total.cost_pico,
            self.differences
        );
        out
    }
}

/// A request that left a record: is it what must have come of it?
fn with_record(
    asked: &Asked,
    seen: Option<&Entry>,
    record: &Record,
    ended: Ended,
    bodies: Bodies,
) -> Result<(), String> {
    let way = &WAYS[asked.way];
    if record.capture != CaptureMode::Full || (record.capture_lost.is_some() && !bodies.may_be) {
        return Err(format!("its bodies were lost: {:?}", record.capture_lost));
    }
    match (record.end, ended) {
        (End::InFlight, _) => return Err("it still runs".to_owned()),
        (End::Interrupted, Ended::Killed { since, .. })
            if asked.ended + CUT >= since || asked.saw != Saw::Whole =>
        {
            return Ok(());
        }
        (End::Interrupted, Ended::InOrder) if asked.saw != Saw::Whole => return Ok(()),
        // Refused while it stops: the client is told to try again.
        (End::Refused, Ended::InOrder) if record.status == Some(503) && seen.is_none() => {
            let told = asked.saw != Saw::Whole || asked.status == 503;
            return if told {
                Ok(())
            } else {
                Err("it was refused".to_owned())
            };
        }
        // Whom a kill leaves without an answer had one in the records' eyes, or had left.
        (_, Ended::Killed { .. } | Ended::InOrder)
            if asked.saw != way.saw && asked.saw != Saw::Whole =>
        {
            return Ok(());
        }
        _ => {}
    }
    if !way.ends.contains(&record.end) {
        return Err("it ended in another way".to_owned());
    }
    if asked.saw != way.saw {
        return Err("its client saw something else".to_owned());
    }
    let statuses = [
        Some(asked.status).filter(|status| *status > 0),
        record.status,
    ];
    if statuses
        .iter()
        .flatten()
        .any(|status| !way.statuses.contains(status))
    {
        return Err("a status that can't be".to_owned());
    }
    if asked.saw != Saw::Left && statuses[0] != statuses[1] {
        return Err("the client saw another status".to_owned());
    }
    match (way.upstream, seen) {
        (Upstream::Sees, None) => return Err("the provider never saw it".to_owned()),
        (Upstream::Never, Some(_)) => return Err("the provider saw it".to_owned()),
        _ => {}
    }
    let Some(sent) = seen
        .and_then(|entry| entry.answer.usage)
        .filter(|_| way.is_counted())
    else {
        return Ok(());
    };
    let figures = (record.usage.input, record.usage.output);
    if record.usage_state != UsageState::Reported || figures != (sent.input, sent.output) {
        return Err(format!(
            "{:?} {figures:?} tokens of {sent:?}",
            record.usage_state
        ));
    }
    Ok(())
}

fn apart<T: PartialEq + Clone>(
    one: &BTreeMap<Key, T>,
    other: &BTreeMap<Key, T>,
) -> Vec<(Key, Option<T>, Option<T>)> {
    let keys = one
        .keys()
        .chain(other.keys().filter(|key| !one.contains_key(*key)));
    let pairs = keys.map(|key| (key.clone(), one.get(key).cloned(), other.get(key).cloned()));
    pairs
        .filter(|(_, one, other)| one != other)
        .take(5)
        .collect()
}

fn line(out: &mut String, name: &str, row: &Row) {
    let Row {
        sent,
        whole,
        broken,
        left,
        nothing,
        upstream,
        recorded,
        differences,
    } = row;
    let _ = writeln!(
        out,
        "| {name} | {sent} | {whole} | {broken} | {left} | {nothing} | {upstream} | {recorded} | {differences} |"
    );
}

// === impl Row ===

impl Row {
    fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.whole += other.whole;
        self.broken += other.broken;
        self.left += other.left;
        self.nothing += other.nothing;
        self.upstream += other.upstream;
        self.recorded += other.recorded;
        self.differences += other.differences;
    }
}
