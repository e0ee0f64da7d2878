//! A point in time, as it is kept and written.
//!
//! Owns: [`Timestamp`]. In: the wall clock, RFC 3339 texts. Out: milliseconds, RFC 3339 texts.
//! Must not know: what happened then.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Milliseconds since 1970, UTC.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The wall clock's time.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Hours since 1970: the key of the rollups.
    pub const fn hour(self) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "hours fit 32 bits for 490,000 years"
        )]
        let hour = (self.0 / 3_600_000) as u32;
        hour
    }

    /// Reads an RFC 3339 time or date in UTC (`2026-01-31`, `2026-01-31T08:00:00Z`, with or without fractions).
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
        let number = |text: &str| {
            (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
                .then(|| text.parse::<i64>().ok())?
        };
        let mut date = date.splitn(3, '-');
        let (year, month, day) = (
            number(date.next()?)?,
            number(date.next()?)?,
            number(date.next()?)?,
        );
        let mut time = time.strip_suffix('Z')?.splitn(3, ':');
        let (hour, minute) = (number(time.next()?)?, number(time.next()?)?);
        let (second, fraction) = time.next().map(|s| s.split_once('.').unwrap_or((s, "0")))?;
        let second = number(second)?;
        let millis = number(fraction.get(..3).unwrap_or(fraction))?
            * [100, 10, 1][fraction.len().min(3) - 1];
        let valid = (0..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second < 61;
        // Days since 1970 in the proleptic Gregorian calendar, years beginning in March.
        let (years, months) = if month > 2 {
            (year, month - 3)
        } else {
            (year - 1, month + 9)
        };
        let leaps = years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400);
        let days = 365 * years + leaps + (153 * months + 2) / 5 + (day - 1) - 719_468;
        let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
        // Times before 1970 (the control plane's "never" is the year 1) become 0.
        valid.then(|| Self(u64::try_from(seconds * 1000 + millis).unwrap_or(0)))
    }

    /// Year, month (1 to 12) and day, UTC, in the proleptic Gregorian calendar.
    pub const fn date(self) -> (u64, u64, u64) {
        // Years begin in March, so that the leap day comes last; an era is 400 years.
        let shifted = self.0 / 86_400_000 + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        let year = year_of_era + era * 400 + (month <= 2) as u64;
        (year, month, day)
    }
}

/// RFC 3339 in UTC, to the millisecond.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0 / 1000, self.0 % 1000);
        let (year, month, day) = self.date();
        let clock = seconds % 86_400;
        let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        for (text, ms) in [
            ("1970-01-01", 0),
            ("1970-01-01T00:00:00Z", 0),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000),
            ("2026-11-23", 1_795_392_000_000),
            ("2026-11-23T08:09:10.5Z", 1_795_421_350_500),
            ("2026-11-23T08:09:10.123456789Z", 1_795_421_350_123),
            ("0001-01-01T00:00:00Z", 0),
        ] {
            assert_eq!(Timestamp::parse(text), Some(Timestamp(ms)), "{text}");
        }
        for bad in [
            "",
            "2026",
            "2026-13-01",
            "2026-01-00",
            "yesterday",
            "2026-01-01T00:00:00",
            "2026-01-01T25:00:00Z",
            "--",
            "2026-01-01T00:00:00.Z",
        ] {
            assert_eq!(Timestamp::parse(bad), None, "{bad}");
        }
        assert_eq!(
            Timestamp(1_795_421_350_123).to_string(),
            "2026-11-23T08:09:10.123Z"
        );
        for day in 0..60_000_u64 {
            let time = Timestamp(day * 86_400_000 + 12_345);
            assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
        }
    }
}
