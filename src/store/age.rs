//! The time by which things are too old.
//!
//! Owns: [`Age`]. The wall clock can be set: a clock that jumps ahead by a year would have retention remove a year's records, and
//! setting it right again would not bring them back. So what is too old is judged by the wall clock, but never by a later time than
//! the clock that nobody sets has reached since the store was opened. In: both clocks. Out: a time. Must not know: what is removed.

use crate::record::Timestamp;
use std::time::Duration;

/// When the store was opened, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Age {
    wall: Timestamp,
    boot: Duration,
}

impl Age {
    /// The store is opened now.
    pub(super) fn begin() -> Self {
        Self {
            wall: Timestamp::now(),
            boot: boot(),
        }
    }

    /// Now, for whatever is removed by its age.
    pub(super) fn now(&self) -> Timestamp {
        self.judge(Timestamp::now(), boot())
    }

    fn judge(&self, wall: Timestamp, boot: Duration) -> Timestamp {
        let passed = boot.saturating_sub(self.boot).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        wall.min(Timestamp(self.wall.0.saturating_add(passed)))
    }
}

/// Time since the host started, sleep included.
fn boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_ahead_makes_nothing_older() {
        let age = Age {
            wall: Timestamp(1_000_000),
            boot: Duration::from_secs(50),
        };
        let an_hour_later = Duration::from_secs(3_650);
        for (what, wall, now) in [
            ("both go on", 4_600_000, 4_600_000),
            ("the wall clock jumps ahead", u64::MAX, 4_600_000),
            ("it is set back", 1_000, 1_000),
            ("it is a little behind", 4_599_990, 4_599_990),
        ] {
            assert_eq!(age.judge(Timestamp(wall), an_hour_later).0, now, "{what}");
        }
        let begun = Age::begin();
        assert!(begun.now() >= begun.wall && begun.now() <= Timestamp::now());
    }
}
