//! The `gateway` key → [`Gateway`].
//!
//! Owns: the bounds of sizes, counts and times. In: the raw settings. Out: settings in which every unusable value is the
//! default, except capture, where it is the strictest. Must not know: what the settings are used for.

use super::{CheckOptions, otlp};
use crate::config::{
    Gateway, capability,
    finding::{Class, Notes, element, member},
    raw,
    secrets::Resolved,
    units,
};
use crate::record::CaptureMode;
use http::{HeaderName, Uri};
use std::{ops::RangeInclusive, str::FromStr, time::Duration};

const MILLISECOND: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_hours(24);
/// Ten years, the longest that the original accepts, too.
const LONGEST: Duration = Duration::from_hours(3_650 * 24);

/// Turns the settings.
pub(super) fn gateway(
    raw: raw::Gateway,
    secrets: &Resolved,
    options: &CheckOptions,
    notes: &mut Notes,
) -> Gateway {
    let mut gateway = Gateway::default();
    let path = "gateway";
    limits(&mut gateway, raw.limits, notes);
    timeouts(&mut gateway, raw.timeouts, notes);
    gateway.cors_origins = origins(raw.cors.origins.unwrap_or_default(), notes);
    gateway.metrics_per_user = raw.metrics.per_user.unwrap_or(false);
    gateway.providers_for_admins_only = raw.discovery.providers_for_admins_only.unwrap_or(false);
    // What stood there can't be known: the stricter of the two.
    let strict = [
        path,
        "gateway.discovery",
        "gateway.discovery.providers_for_admins_only",
    ];
    if strict.iter().any(|path| notes.is_damaged(path)) {
        gateway.providers_for_admins_only = true;
    }

    let at = |key: &str| member("gateway.capture", key);
    let capture = &mut gateway.capture;
    if let Some(mode) = capability::capture(raw.capture.mode.as_deref(), &at("mode"), notes) {
        capture.mode = mode;
    }
    if notes.is_damaged(path) || notes.is_damaged("gateway.capture") {
        capture.mode = CaptureMode::None;
    }
    let sizes = 0..=u64::MAX;
    size(
        &mut capture.body_bytes,
        raw.capture.body_bytes,
        &at("body_bytes"),
        &sizes,
        notes,
    );
    size(
        &mut capture.total_bytes,
        raw.capture.total_bytes,
        &at("total_bytes"),
        &sizes,
        notes,
    );
    let kept = MILLISECOND..=LONGEST;
    capture.age = span(raw.capture.age, &at("age"), &kept, notes);

    for (index, name) in raw
        .session_headers
        .unwrap_or_default()
        .into_iter()
        .enumerate()
    {
        if let Ok(name) = HeaderName::from_str(&name) {
            gateway.session_headers.push(name);
        } else {
            let at = element("gateway.session_headers", index);
            notes.add(Class::Mistake, at, "not a header name");
        }
    }
    if let Some(inject) = raw.inject_include_usage {
        gateway.inject_include_usage = inject;
    }
    match raw.capability {
        Some(name) if name.contains('/') && !name.contains(char::is_whitespace) => {
            gateway.capability = name;
        }
        Some(_) => {
            notes
                .add(
                    Class::Mistake,
                    member(path, "capability"),
                    "not a capability name; the default is read",
                )
                .hint("such as \"example.com/cap/aperture\"");
        }
        None => {}
    }
    let at = |key: &str| member("gateway.retention", key);
    gateway.retention.records = span(raw.retention.records, &at("records"), &kept, notes);
    gateway.retention.counters = span(raw.retention.counters, &at("counters"), &kept, notes);
    gateway.retention.audit = span(raw.retention.audit, &at("audit"), &kept, notes);
    gateway.otlp = otlp::otlp(raw.otlp, secrets, options.allow_local_upstreams, notes);
    gateway
}

fn limits(gateway: &mut Gateway, raw: raw::Limits, notes: &mut Notes) {
    let at = |key: &str| member("gateway.limits", key);
    let limits = &mut gateway.limits;
    size(
        &mut limits.request_body_bytes,
        raw.request_body_bytes,
        &at("request_body_bytes"),
        &(1_024..=1 << 32),
        notes,
    );
    let mut head = u64::try_from(limits.head_bytes).expect("a default fits");
    // Below 8 KiB real clients fail; hyper's own buffer sets the upper end.
    size(
        &mut head,
        raw.head_bytes,
        &at("head_bytes"),
        &(8_192..=1 << 20),
        notes,
    );
    limits.head_bytes = usize::try_from(head).expect("at most a mebibyte");
    count(
        &mut limits.head_count,
        raw.head_count,
        &at("head_count"),
        &(32..=1_000),
        notes,
    );
    count(
        &mut limits.connections_per_peer,
        raw.connections_per_peer,
        &at("connections_per_peer"),
        &(1..=1_000_000),
        notes,
    );
    count(
        &mut limits.connections,
        raw.connections,
        &at("connections"),
        &(1..=1_000_000),
        notes,
    );
}

fn timeouts(gateway: &mut Gateway, raw: raw::Timeouts, notes: &mut Notes) {
    let timeouts = &mut gateway.timeouts;
    for (target, given, key) in [
        (&mut timeouts.header_read, raw.header_read, "header_read"),
        (&mut timeouts.body_idle, raw.body_idle, "body_idle"),
        (&mut timeouts.idle, raw.idle, "idle"),
        (&mut timeouts.connect, raw.connect, "connect"),
        (&mut timeouts.first_byte, raw.first_byte, "first_byte"),
        (&mut timeouts.chunk_idle, raw.chunk_idle, "chunk_idle"),
    ] {
        let at = member("gateway.timeouts", key);
        if let Some(value) = span(given, &at, &(MILLISECOND..=DAY), notes) {
            *target = value;
        }
    }
}

fn span(
    given: Option<raw::Span>,
    path: &str,
    range: &RangeInclusive<Duration>,
    notes: &mut Notes,
) -> Option<Duration> {
    let text = given?.0;
    match units::duration(&text) {
        Some(value) if range.contains(&value) => Some(value),
        Some(_) => {
            let message = format!(
                "out of range: between {} and {}",
                units::show_duration(*range.start()),
                units::show_duration(*range.end())
            );
            notes.add(Class::Mistake, path, message);
            None
        }
        None => {
            notes
                .add(Class::Mistake, path, "not a duration")
                .hint("for example \"30s\", \"5m\", \"720h\" or \"30d\"");
            None
        }
    }
}

fn size(
    target: &mut u64,
    given: Option<raw::ByteSize>,
    path: &str,
    range: &RangeInclusive<u64>,
    notes: &mut Notes,
) {
    let value = match given {
        None => return,
        Some(raw::ByteSize::Number(bytes)) => Some(bytes),
        Some(raw::ByteSize::Text(text)) => units::bytes(&text),
    };
    match value {
        Some(value) if range.contains(&value) => *target = value,
        Some(_) => {
            let message = format!(
                "out of range: between {} and {}",
                units::show_bytes(*range.start()),
                units::show_bytes(*range.end())
            );
            notes.add(Class::Mistake, path, message);
        }
        None => {
            notes
                .add(Class::Mistake, path, "not a size")
                .hint("for example \"64MiB\" or 1048576");
        }
    }
}

fn count(
    target: &mut usize,
    given: Option<u64>,
    path: &str,
    range: &RangeInclusive<u64>,
    notes: &mut Notes,
) {
    let Some(value) = given else { return };
    if range.contains(&value) {
        *target = usize::try_from(value).expect("at most a million");
    } else {
        let message = format!(
            "out of range: between {} and {}",
            range.start(),
            range.end()
        );
        notes.add(Class::Mistake, path, message);
    }
}

/// Reads origins as browsers send them: scheme and authority in lower case, nothing else.
fn origins(entries: Vec<String>, notes: &mut Notes) -> Vec<String> {
    let mut origins = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        let valid = Uri::from_str(&entry).ok().is_some_and(|uri| {
            let plain = uri
                .authority()
                .is_some_and(|authority| !authority.as_str().contains('@'));
            let rest = uri.path_and_query().is_none_or(|rest| rest == "/");
            uri.scheme().is_some() && plain && rest && !entry.ends_with('/')
        });
        if valid {
            origins.push(entry.to_ascii_lowercase());
        } else {
            let at = element("gateway.cors.origins", index);
            notes
                .add(Class::Mistake, at, "not an origin; it is left out")
                .hint("scheme, host and port alone, such as \"https://chat.example.com\"");
        }
    }
    origins
}
