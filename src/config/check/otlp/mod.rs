//! `gateway.otlp` → [`Otlp`].
//!
//! Owns: the rules of a collector's address and header lines. In: the raw settings and what references led to. Out: a
//! collector, or nothing when it must not be used as written: spans are never sent without the credential that was meant for
//! them. Must not know: spans.

use crate::config::{
    Otlp, address,
    address::Place,
    finding::{Class, Notes, member},
    raw, secrets,
    secrets::Resolved,
};
use http::{HeaderName, HeaderValue, Uri};
use std::str::FromStr;

const PATH: &str = "gateway.otlp";
/// Where a collector takes traces.
const TRACES: &str = "/v1/traces";
/// What the gateway itself says of its message.
const OWN: [&str; 8] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "te",
    "upgrade",
];

/// Turns the settings; none = nothing is exported.
pub(super) fn otlp(
    raw: raw::Otlp,
    secrets: &Resolved,
    allow_local: bool,
    notes: &mut Notes,
) -> Option<Otlp> {
    let at = |key: &str| member(PATH, key);
    let headers = headers(&raw.headers, secrets, notes);
    let sample_ppm = sample(raw.sample, notes);
    let Some(text) = raw.endpoint.filter(|text| !text.is_empty()) else {
        if !raw.headers.is_empty() || raw.content == Some(true) || raw.users == Some(true) {
            notes.add(
                Class::Advice,
                PATH,
                "there is no endpoint, so nothing is exported",
            );
        }
        return None;
    };
    let target = target(&text, allow_local, notes);
    // A restriction that can't be read must not be taken for its absence.
    let readable = ["tailnet", "headers", "sample"]
        .iter()
        .all(|key| !notes.is_damaged(&at(key)));
    let target = target?;
    let tailnet = raw.tailnet.unwrap_or(target.place == Place::Tailnet);
    let readable_by_others = target.plain && target.place == Place::Public && !tailnet;
    if readable_by_others && (!raw.headers.is_empty() || raw.content == Some(true)) {
        notes.add(
            Class::Advice,
            at("endpoint"),
            "spans and header lines travel unencrypted over http://",
        );
    }
    if !readable {
        return None;
    }
    Some(Otlp {
        endpoint: target.endpoint,
        tailnet,
        headers: headers?,
        content: raw.content.unwrap_or(false),
        users: raw.users.unwrap_or(false),
        sample_ppm: sample_ppm?,
    })
}

/// Where spans go.
struct Target {
    endpoint: Uri,
    place: Place,
    plain: bool,
}

/// Reads the address.
fn target(text: &str, allow_local: bool, notes: &mut Notes) -> Option<Target> {
    let at = member(PATH, "endpoint");
    let upstream = match address::read(text) {
        Ok(upstream) if !upstream.placeholder => upstream,
        Ok(_) => {
            notes.add(
                Class::Mistake,
                at,
                "the address is a placeholder; nothing is exported",
            );
            return None;
        }
        Err(reason) => {
            let message = format!("not an address: {reason}; nothing is exported");
            notes
                .add(Class::Mistake, at, message)
                .hint("such as \"http://collector.example.ts.net:4318\"");
            return None;
        }
    };
    if upstream.place == Place::Local && !allow_local {
        notes
            .add(
                Class::Mistake,
                at,
                "the address is the gateway's own host or link; nothing is exported",
            )
            .hint("start with --allow-local-upstreams to permit that");
        return None;
    }
    let path = upstream.base.path().trim_end_matches('/');
    let path = if path.ends_with(TRACES) {
        path.to_owned()
    } else {
        format!("{path}{TRACES}")
    };
    let mut parts = upstream.base.into_parts();
    parts.path_and_query = path.parse().ok();
    Some(Target {
        endpoint: Uri::from_parts(parts).ok()?,
        place: upstream.place,
        plain: upstream.plain,
    })
}

/// Reads the header lines; none when one of them has no value that could be sent.
fn headers(
    raw: &std::collections::BTreeMap<String, String>,
    secrets: &Resolved,
    notes: &mut Notes,
) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let mut lines = Vec::new();
    let mut whole = true;
    for (name, text) in raw {
        let at = member(&member(PATH, "headers"), name);
        let Ok(header) = HeaderName::from_str(name) else {
            notes.add(
                Class::Mistake,
                at,
                "not a header name; nothing is exported until it is corrected",
            );
            whole = false;
            continue;
        };
        if OWN.contains(&header.as_str()) {
            let message = format!("{header} is the gateway's own to say; the line is left out");
            notes.add(Class::Mistake, at, message);
            continue;
        }
        let value = match secrets.get(text.as_str()) {
            None => text.as_str(),
            Some(Ok(secret)) => secret.expose(),
            Some(Err(error)) => {
                let class = if error.is_mistake() {
                    Class::Mistake
                } else {
                    Class::Advice
                };
                notes
                    .add(class, at, error.to_string())
                    .hint("nothing is exported until then");
                whole = false;
                continue;
            }
        };
        if secrets::is_placeholder(value) {
            notes
                .add(
                    Class::Advice,
                    at.clone(),
                    "the value looks like a placeholder",
                )
                .hint("the collector will refuse it");
        }
        if let Ok(mut value) = HeaderValue::from_str(value.trim()) {
            value.set_sensitive(true);
            lines.push((header, value));
        } else {
            notes.add(
                Class::Mistake,
                at,
                "its value holds characters that no header can carry; nothing is exported until it is corrected",
            );
            whole = false;
        }
    }
    whole.then_some(lines)
}

/// The share in millionths; none when it is none.
fn sample(share: Option<f64>, notes: &mut Notes) -> Option<u32> {
    let share = share.unwrap_or(1.0);
    if !(0.0..=1.0).contains(&share) {
        notes.add(
            Class::Mistake,
            member(PATH, "sample"),
            "out of range: between 0 and 1; nothing is exported until it is corrected",
        );
        return None;
    }
    // Formatting rounds, and never leaves the range.
    format!("{:.0}", share * f64::from(Otlp::ALL)).parse().ok()
}

#[cfg(test)]
mod tests;
