//! Figures, times and foreign text as people read them.
//!
//! In: numbers, UTC timestamps, text that nobody vouches for. Out: plain text (HTML escaping is maud's).
//! Must not know: pages.

use crate::record::Timestamp;
use std::{borrow::Cow, fmt::Write as _};

const PICO_PER_CENT: u64 = 10_000_000_000;
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// `1,234,567`
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Three significant digits: `987`, `1.23k`, `45.6M`.
pub(super) fn short(n: u64) -> String {
    scaled(n, 1_000, &["", "k", "M", "G", "T", "P"])
}

/// `512 B`, `1.5 KB`, `3.2 MB`, in powers of 1,024.
pub(super) fn bytes(n: u64) -> String {
    scaled(n, 1_024, &[" B", " KB", " MB", " GB", " TB", " PB"])
}

fn scaled(n: u64, base: u64, units: &[&str]) -> String {
    let mut unit = 1_u64;
    let mut at = 0;
    while at + 1 < units.len() && n / unit >= base {
        unit *= base;
        at += 1;
    }
    let whole = n / unit;
    let thousandths = u128::from(n % unit) * 1_000 / u128::from(unit);
    match (at, whole) {
        (0, _) => format!("{n}{}", units[0]),
        (_, 0..=9) => format!("{whole}.{:02}{}", thousandths / 10, units[at]),
        (_, 10..=99) => format!("{whole}.{}{}", thousandths / 100, units[at]),
        _ => format!("{whole}{}", units[at]),
    }
}

/// Pico-dollars as dollars, finer the smaller: `$1,234`, `$12.34`, `$0.123`, `$0.0012`.
pub(super) fn dollars(pico: u64) -> String {
    let dollar = 100 * PICO_PER_CENT;
    let (whole, part) = (pico / dollar, pico % dollar);
    if pico == 0 {
        "$0".into()
    } else if whole >= 100 {
        format!("${}", count(whole))
    } else if whole >= 1 {
        format!("${whole}.{:02}", part / PICO_PER_CENT)
    } else if pico >= PICO_PER_CENT {
        format!("$0.{:03}", part / (PICO_PER_CENT / 10))
    } else if pico >= PICO_PER_CENT / 100 {
        format!("$0.{:04}", part / (PICO_PER_CENT / 100))
    } else {
        "<$0.0001".into()
    }
}

/// A price for a million tokens, exactly as far as a table of prices goes: `$3`, `$0.075`.
pub(super) fn price(pico_per_million: u64) -> String {
    let dollar = 100 * PICO_PER_CENT;
    let (whole, part) = (pico_per_million / dollar, pico_per_million % dollar);
    let mut digits = format!("{:06}", part / 1_000_000);
    while digits.len() > 2 && digits.ends_with('0') {
        digits.pop();
    }
    if part == 0 {
        format!("${}", count(whole))
    } else {
        format!("${}.{digits}", count(whole))
    }
}

/// `340 µs`, `52 ms`, `1.24 s`, `2 min 05 s`, `1 h 02 min`
pub(super) fn duration(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{} ms", micros / 1_000),
        1_000_000..60_000_000 => {
            format!("{seconds}.{:02} s", micros % 1_000_000 / 10_000)
        }
        60_000_000..3_600_000_000 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
    }
}

/// `2026-11-23 15:24:05`
pub(super) fn time(at: Timestamp) -> String {
    let (year, month, day) = at.date();
    format!("{year:04}-{month:02}-{day:02} {}", clock(at))
}

/// For the `datetime` attribute.
pub(super) fn iso(at: Timestamp) -> String {
    let mut text = time(at).replace(' ', "T");
    text.push('Z');
    text
}

/// `15:24:05`
pub(super) fn clock(at: Timestamp) -> String {
    let (h, m, s) = (at.0 / HOUR % 24, at.0 / MINUTE % 60, at.0 / 1_000 % 60);
    format!("{h:02}:{m:02}:{s:02}")
}

/// `23 Nov`
pub(super) fn day(at: Timestamp) -> String {
    let (_, month, day) = at.date();
    let month = usize::try_from(month - 1).unwrap_or_default();
    format!("{day} {}", MONTHS[month])
}

/// `15:00`
pub(super) fn hour(at: Timestamp) -> String {
    format!("{:02}:00", at.0 / HOUR % 24)
}

/// `just now`, `4 min ago`, `3 h ago`, `2 days ago`
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    match now.0.saturating_sub(at.0) {
        0..MINUTE => "just now".into(),
        past @ MINUTE..HOUR => format!("{} min ago", past / MINUTE),
        past @ HOUR..DAY => format!("{} h ago", past / HOUR),
        past if past < 2 * DAY => "yesterday".into(),
        past => format!("{} days ago", past / DAY),
    }
}

/// `1 request`, `2 requests`
pub(super) fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// Foreign text with the characters made visible that could hide or reorder what it says.
///
/// Line breaks and tabs stay. So do a few marks on one character, which writing needs; many of them grow out of their line and
/// over others. Everything that a page shows of names, titles and captures goes through here.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| deceives(c) || is_mark(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut marks = 0;
    for c in text.chars() {
        marks = if is_mark(c) { marks + 1 } else { 0 };
        if deceives(c) || marks > MARKS {
            let _ = write!(out, "‹U+{:04X}›", u32::from(c));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Marks that one character may carry.
const MARKS: usize = 6;

/// Marks that stand over, under or around the character before them.
const fn is_mark(c: char) -> bool {
    matches!(
        c,
        '\u{300}'..='\u{36f}'
            | '\u{483}'..='\u{489}'
            | '\u{1ab0}'..='\u{1aff}'
            | '\u{1dc0}'..='\u{1dff}'
            | '\u{20d0}'..='\u{20ff}'
            | '\u{fe20}'..='\u{fe2f}'
    )
}

/// Controls, bidirectional overrides and invisible characters (not the joiners, which scripts and emoji need).
const fn deceives(c: char) -> bool {
    matches!(
        c,
        '\u{0}'..='\u{8}'
            | '\u{b}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0e}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// The first `max` characters of one line of text, and an ellipsis when that is not all.
pub(super) fn clip(text: &str, max: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut chars = line.char_indices();
    match chars.nth(max) {
        Some((end, _)) => format!("{}…", shown(line[..end].trim_end())),
        None => shown(&line).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(short(999), "999");
        assert_eq!(short(1_234), "1.23k");
        assert_eq!(short(45_678_901), "45.6M");
        assert_eq!(short(u64::MAX), "18446P");
        assert_eq!(bytes(1_536), "1.50 KB");
        assert_eq!(dollars(0), "$0");
        assert_eq!(dollars(1_234_560_000_000_000), "$1,234");
        assert_eq!(dollars(12_345_000_000_000), "$12.34");
        assert_eq!(dollars(123_450_000_000), "$0.123");
        assert_eq!(dollars(1_230_000_000), "$0.0012");
        assert_eq!(dollars(1), "<$0.0001");
        assert_eq!(price(3_000_000_000_000), "$3");
        assert_eq!(price(75_000_000_000), "$0.075");
        assert_eq!(price(2_500_000_000_000), "$2.50");
        assert_eq!(duration(340), "340 µs");
        assert_eq!(duration(1_240_000), "1.24 s");
        assert_eq!(duration(125_000_000), "2 min 05 s");
        assert_eq!(plural(1, "request", "requests"), "1 request");
    }

    #[test]
    fn times_are_utc_over_leap_years() {
        for (ms, expected) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399_000, "2000-02-28 23:59:59"),
            (951_782_400_000, "2000-02-29 00:00:00"),
            (1_709_251_199_000, "2024-02-29 23:59:59"),
            (4_107_542_400_000, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(time(Timestamp(ms)), expected);
        }
        assert_eq!(day(Timestamp(951_782_400_000)), "29 Feb");
        assert_eq!(iso(Timestamp(0)), "1970-01-01T00:00:00Z");
        let now = Timestamp(10 * DAY);
        assert_eq!(ago(now, now), "just now");
        assert_eq!(ago(Timestamp(10 * DAY - 5 * MINUTE), now), "5 min ago");
        assert_eq!(ago(Timestamp(DAY), now), "9 days ago");
    }

    #[test]
    fn text_that_would_deceive_is_visible() {
        assert_eq!(shown("plain ünïcode 👩‍👩‍👧\n\t"), "plain ünïcode 👩‍👩‍👧\n\t");
        assert_eq!(
            shown("a\u{202e}b\u{0}c\u{200b}"),
            "a‹U+202E›b‹U+0000›c‹U+200B›"
        );
        let marked = format!("e{}", "\u{301}".repeat(9));
        let expected = format!("e{}{}", "\u{301}".repeat(6), "‹U+0301›".repeat(3));
        assert_eq!(shown(&marked), expected);
        assert_eq!(shown("e\u{301}te\u{301}"), "e\u{301}te\u{301}");
        assert_eq!(clip("one  two\nthree", 9), "one two t…");
        assert_eq!(clip("short", 9), "short");
    }
}
