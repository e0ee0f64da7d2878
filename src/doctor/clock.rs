//! Whether the host's clock is right.
//!
//! Owns: the comparison with the clocks of others (the control server's, else the providers'), and with the time that has passed
//! since the start. In: their `date` lines. Out: one finding. Must not know: where the lines come from.

use super::{Outcome, Report, provider::Asked};
use crate::{app::App, record::Timestamp};
use std::time::Duration;

/// Seconds off that are complained of. Signed requests are refused at 300.
const NOTICED: i64 = 60;
const BROKEN: i64 = 300;

const REMEDY: &str = "let the host follow a time server (chrony, systemd-timesyncd): certificates, signatures and records depend on it";

/// What another's clock says, against ours at that moment, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Skew(pub(super) i64);

impl Skew {
    /// From a `date` line that has just come.
    pub(super) fn of(date: &str) -> Option<Self> {
        let (theirs, ours) = (http_date(date)?, Timestamp::now());
        let seconds = |time: Timestamp| i64::try_from(time.0 / 1000).unwrap_or(i64::MAX);
        Some(Self(seconds(ours).saturating_sub(seconds(theirs))))
    }
}

pub(super) fn look(app: &App, control: Option<Skew>, providers: &[Asked], report: &mut Report) {
    let theirs = if let Some(skew) = control {
        Some((skew.0, "the control server's"))
    } else {
        let skews = providers.iter().filter_map(|asked| Some(asked.skew?.0));
        let mut all: Vec<i64> = skews.collect();
        all.sort_unstable();
        let middle = all.len() / 2;
        all.get(middle).map(|skew| (*skew, "the providers'"))
    };
    let (outcome, detail, remedy) = judge(theirs, jump(app));
    report.add("clock", outcome, detail, remedy);
}

fn judge(theirs: Option<(i64, &str)>, jump: i64) -> (Outcome, String, &'static str) {
    match theirs {
        Some((skew, whose)) if skew.abs() > NOTICED => {
            let outcome = if skew.abs() > BROKEN {
                Outcome::Failure
            } else {
                Outcome::Warning
            };
            let way = if skew > 0 { "ahead of" } else { "behind" };
            (outcome, format!("{} s {way} {whose}", skew.abs()), REMEDY)
        }
        _ if jump.abs() > NOTICED => (
            Outcome::Warning,
            format!(
                "it was set by {jump} s since the gateway started: times of records before that are off"
            ),
            "nothing, if that was its first correction after the start of the host",
        ),
        Some((_, whose)) => (Outcome::Good, format!("agrees with {whose}"), ""),
        None => (Outcome::Note, "nobody to compare it with".to_owned(), ""),
    }
}

/// Seconds that the wall clock has moved more than time has passed, sleep included.
fn jump(app: &App) -> i64 {
    let passed = boot_time().saturating_sub(app.started_boot).as_secs();
    let shown = i64::try_from(Timestamp::now().0).unwrap_or_default()
        - i64::try_from(app.started.0).unwrap_or_default();
    shown / 1000 - i64::try_from(passed).unwrap_or_default()
}

/// Time since the host started, by the clock that nobody sets.
fn boot_time() -> Duration {
    crate::app::boot_time()
}

/// `Sat, 28 Nov 2026 17:43:36 GMT`, the one form that is written today.
fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut words = text.split_once(", ")?.1.split(' ');
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|known| *known == month)? + 1;
    Timestamp::parse(&format!("{year}-{month:02}-{day}T{time}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_line_is_read() {
        let time = http_date("Sat, 28 Nov 2026 17:43:36 GMT").unwrap();
        assert_eq!(time.to_string(), "2026-11-28T17:43:36.000Z");
        for wrong in [
            "",
            "Sat",
            "Saturday, 28-Nov-26 17:43:36 GMT",
            "Sat, 28 Nov 2026",
        ] {
            assert!(http_date(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_clock_is_judged_by_others_and_by_the_time_that_has_passed() {
        let of = |theirs: Option<i64>, jump| {
            let (outcome, detail, _) = judge(theirs.map(|skew| (skew, "theirs")), jump);
            (outcome, detail)
        };
        assert_eq!(of(Some(2), 0), (Outcome::Good, "agrees with theirs".into()));
        assert_eq!(
            of(Some(-100), 0),
            (Outcome::Warning, "100 s behind theirs".into())
        );
        assert_eq!(
            of(Some(4000), 0),
            (Outcome::Failure, "4000 s ahead of theirs".into())
        );
        assert_eq!(of(Some(0), 3600).0, Outcome::Warning);
        assert_eq!(of(None, -3600).0, Outcome::Warning);
        assert_eq!(of(None, 0).0, Outcome::Note);
    }
}
