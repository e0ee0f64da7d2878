//! Lists: the parameters that all of them have, their pages, and their two forms.
//!
//! Owns: [`PERIOD`], [`NARROWING`], [`PAGE`] and what they mean, links to the next page, tables as CSV. In: a request, rows.
//! Out: filters, bounds, responses. Must not know: what rows say.

use super::{
    Asked, answer,
    problem::Problem,
    scope::Scope,
    table::{Form, Kind, Parameter, Place, SchemaOf, schema},
};
use crate::{
    record::{End, RequestId, Timestamp},
    store::{Filter, StatusClass},
};
use bytes::Bytes;
use http::{
    HeaderName, Response, StatusCode,
    header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE, LINK},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use std::{borrow::Cow, fmt::Write as _};

/// The media type of tables.
pub(super) const CSV: &str = "text/csv";

/// The two forms of a list: JSON of that schema, or a table.
pub(super) const fn or_csv(json: SchemaOf) -> [Form; 2] {
    [
        Form {
            media: answer::JSON,
            schema: json,
        },
        Form {
            media: CSV,
            schema: schema::<String>(),
        },
    ]
}

/// What stays as it is in a query's value.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'@');

/// The longest period that counters are added up over: a year and its month.
const LONGEST_DAYS: u64 = 400;

/// From when to when.
pub(super) const PERIOD: [Parameter; 2] = [
    Parameter {
        name: "from",
        place: Place::Query,
        kind: Kind::Time,
        description: "Begun then or later.",
    },
    Parameter {
        name: "to",
        place: Place::Query,
        kind: Kind::Time,
        description: "Begun before then. A date is its first moment, so `to=2026-02-01` ends with January.",
    },
];

/// Which of them.
pub(super) const NARROWING: [Parameter; 6] = [
    Parameter {
        name: "user",
        place: Place::Query,
        kind: Kind::Text,
        description: "A login. Admins may name anybody, everybody else themselves.",
    },
    Parameter {
        name: "provider",
        place: Place::Query,
        kind: Kind::Text,
        description: "A provider's id.",
    },
    Parameter {
        name: "model",
        place: Place::Query,
        kind: Kind::Text,
        description: "A model as it is configured.",
    },
    Parameter {
        name: "client",
        place: Place::Query,
        kind: Kind::Text,
        description: "A client's short name, as `claude-code`.",
    },
    Parameter {
        name: "status_class",
        place: Place::Query,
        kind: Kind::OneOf(&["none", "1xx", "2xx", "3xx", "4xx", "5xx"]),
        description: "The class of the HTTP status.",
    },
    Parameter {
        name: "end",
        place: Place::Query,
        kind: Kind::OneOf(&[
            "in_flight",
            "complete",
            "refused",
            "upstream_error",
            "client_gone",
            "timeout",
            "interrupted",
        ]),
        description: "How it ended.",
    },
];

/// Free text.
pub(super) const TEXT: [Parameter; 1] = [Parameter {
    name: "q",
    place: Place::Query,
    kind: Kind::Text,
    description: "Beginnings of words that all occur in title, models, tools or ids.",
}];

/// How many, and where to go on.
pub(super) const PAGE: [Parameter; 2] = [
    Parameter {
        name: "limit",
        place: Place::Query,
        kind: Kind::Number {
            least: 1,
            most: 500,
            default: 50,
        },
        description: "How many at most. There may be fewer, even none, although there are more pages: a long search pauses.",
    },
    Parameter {
        name: "cursor",
        place: Place::Query,
        kind: Kind::Cursor,
        description: "Where to go on. It says nothing by itself.",
    },
];

/// JSON or a table.
pub(super) const FORMAT: [Parameter; 1] = [Parameter {
    name: "format",
    place: Place::Query,
    kind: Kind::OneOf(&["json", "csv"]),
    description: "The form of the answer; without it, `Accept` decides. A table of other people's data is written to the audit \
                  trail.",
}];

/// Header lines of a page.
pub(super) const LINKED: &[(&str, &str)] = &[(
    "Link",
    "The address of the next page, as `<…>; rel=\"next\"`; absent on the last one.",
)];

/// Parameters one after the other.
pub(super) const fn join<const N: usize>(parts: &[&[Parameter]]) -> [Parameter; N] {
    let mut all = [PERIOD[0]; N];
    let (mut part, mut at) = (0, 0);
    while part < parts.len() {
        let mut from = 0;
        while from < parts[part].len() {
            all[at] = parts[part][from];
            at += 1;
            from += 1;
        }
        part += 1;
    }
    assert!(at == N, "as many parameters as the list says");
    all
}

/// The filter that a request asks for, within a scope.
pub(super) fn filter(asked: &Asked<'_>, scope: &Scope) -> Result<Filter, Problem> {
    let text = |name| asked.values.text(name).map(str::to_owned);
    let (from, to) = (asked.values.time("from"), asked.values.time("to"));
    if let (Some(from), Some(to)) = (from, to) {
        ordered(asked, from, to)?;
    }
    Ok(Filter {
        model: text("model"),
        provider: text("provider"),
        client: text("client"),
        class: class(asked),
        end: end(asked),
        text: text("q"),
        from,
        to,
        ..scope.filter()
    })
}

/// The class that a request names.
pub(super) fn class(asked: &Asked<'_>) -> Option<StatusClass> {
    let word = asked.values.text("status_class")?;
    StatusClass::ALL.into_iter().find(|it| it.as_str() == word)
}

/// The end that a request names.
pub(super) fn end(asked: &Asked<'_>) -> Option<End> {
    let word = asked.values.text("end")?;
    End::ALL.into_iter().find(|it| it.as_str() == word)
}

/// Refuses a period that ends before it begins.
pub(super) fn ordered(asked: &Asked<'_>, from: Timestamp, to: Timestamp) -> Result<(), Problem> {
    if from < to {
        return Ok(());
    }
    let detail = "the period ends before it begins";
    let sent = asked.values.text("from").unwrap_or_default();
    let message = format!("must be before `to`, which is {to}");
    Err(Problem::new(StatusCode::BAD_REQUEST, detail).with("query.from", message, sent))
}

/// Refuses a period that counters are not added up over: one that ends before it begins, or is too long.
pub(super) fn within(asked: &Asked<'_>, from: Timestamp, to: Timestamp) -> Result<(), Problem> {
    ordered(asked, from, to)?;
    if to.0 - from.0 <= LONGEST_DAYS * 86_400_000 {
        return Ok(());
    }
    let detail = format!("a period is at most {LONGEST_DAYS} days long");
    let sent = asked.values.text("from").unwrap_or_default();
    Err(Problem::new(StatusCode::BAD_REQUEST, detail).with(
        "query.from",
        "is too long before `to`",
        sent,
    ))
}

/// How many rows a page has at most.
pub(super) fn limit(asked: &Asked<'_>) -> usize {
    let Kind::Number { default, .. } = PAGE[0].kind else {
        return 0;
    };
    let sent = asked.values.text("limit");
    sent.and_then(|sent| sent.parse().ok()).unwrap_or(default)
}

/// Where the page begins.
pub(super) fn cursor(asked: &Asked<'_>) -> Option<RequestId> {
    asked.values.text("cursor")?.parse().ok()
}

/// Whether the answer is a table: `format` says so, or `Accept` prefers that.
pub(super) fn wants_csv(asked: &Asked<'_>) -> bool {
    match asked.values.text("format") {
        Some(word) => word == "csv",
        None => prefers_csv(asked.header(&ACCEPT).unwrap_or_default()),
    }
}

/// Whether an `Accept` line prefers a table to JSON.
fn prefers_csv(accept: &str) -> bool {
    let weight = |wanted: &[&str]| {
        let kinds = accept.split(',').filter_map(|kind| {
            let mut parts = kind.split(';').map(str::trim);
            let name = parts.next()?.to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok());
            wanted
                .contains(&&*name)
                .then_some(weight.unwrap_or(1.0_f32))
        });
        kinds.fold(0.0_f32, f32::max)
    };
    weight(&[CSV, "text/*"]) > weight(&["application/json", "application/*", "*/*"])
}

/// A table, as a file.
pub(super) fn csv(name: &str, text: String) -> Response<Bytes> {
    let mut rsp = Response::new(Bytes::from(text));
    answer::set(&mut rsp, CONTENT_TYPE, "text/csv; charset=utf-8");
    let file = format!("attachment; filename=\"aperture-{name}.csv\"");
    answer::set(&mut rsp, CONTENT_DISPOSITION, &file);
    rsp
}

/// Adds the link to the next page: the same question, going on elsewhere.
pub(super) fn link(asked: &Asked<'_>, rsp: &mut Response<Bytes>, next: Option<RequestId>) {
    let next = next.map(|next| next.to_string());
    link_by(asked, rsp, "cursor", next.as_deref());
}

/// The same, by another parameter that says where to go on.
pub(super) fn link_by(
    asked: &Asked<'_>,
    rsp: &mut Response<Bytes>,
    by: &'static str,
    next: Option<&str>,
) {
    let Some(next) = next else { return };
    let mut target = asked.head.uri.path().to_owned();
    let mut mark = '?';
    let others = asked.values.query().filter(|(name, _)| *name != by);
    for (name, value) in others.chain([(by, next)]) {
        let _ = write!(target, "{mark}{name}={}", utf8_percent_encode(value, PLAIN));
        mark = '&';
    }
    let name: HeaderName = LINK;
    answer::set(rsp, name, &format!("<{target}>; rel=\"next\""));
}

/// A cell of a table: numbers as they are, texts so that no spreadsheet takes them for a formula.
pub(super) enum Cell<'a> {
    Text(&'a str),
    Number(u64),
}

/// A line of a table.
pub(super) fn line<'a>(out: &mut String, cells: impl IntoIterator<Item = Cell<'a>>) {
    for (place, cell) in cells.into_iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        match cell {
            Cell::Text(text) => out.push_str(&crate::store::csv_text(text)),
            Cell::Number(number) => {
                let _ = write!(out, "{number}");
            }
        }
    }
    out.push('\n');
}

/// An amount of money as decimal digits of a dollar: beyond what a number in JavaScript holds, and exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dollars(pub(super) u64);

impl std::fmt::Display for Dollars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const PICO: u64 = 1_000_000_000_000;
        write!(f, "{}.{:012}", self.0 / PICO, self.0 % PICO)
    }
}

impl JsonSchema for Dollars {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Dollars".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9]+\\.[0-9]{12}$"})
    }
}

impl Serialize for Dollars {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_lines_choose_the_form() {
        for (accept, csv) in [
            ("", false),
            ("*/*", false),
            ("application/json", false),
            ("text/csv", true),
            ("text/csv, application/json;q=0.9", true),
            ("text/csv;q=0.5, application/json", false),
            ("text/html, application/xhtml+xml, */*;q=0.8", false),
            ("TEXT/CSV", true),
        ] {
            assert_eq!(prefers_csv(accept), csv, "{accept}");
        }
    }

    #[test]
    fn money_is_exact() {
        assert_eq!(Dollars(0).to_string(), "0.000000000000");
        assert_eq!(Dollars(12_345_000_000).to_string(), "0.012345000000");
        assert_eq!(Dollars(u64::MAX).to_string(), "18446744.073709551615");
    }
}
