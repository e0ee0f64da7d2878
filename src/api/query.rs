//! The parameters of a request, checked by the table.
//!
//! Owns: [`Values`]. In: a raw query and the values of the path. Out: values of which each has the form that its row
//! says, or a problem that names every one that has not, with what is allowed. Nothing is ignored: a misspelt filter must not
//! look like no filter. Must not know: what parameters mean.

use super::{
    problem::Problem,
    table::{Kind, Operation, Place},
};
use crate::record::{RequestId, SessionId, Timestamp};
use http::StatusCode;
use percent_encoding::percent_decode_str;

/// Bytes of a query that are read.
const QUERY_MAX: usize = 4_096;

/// Checked values by name: those of the path first, and how many these are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Values(Vec<(&'static str, String)>, usize);

impl Values {
    /// Reads and checks.
    pub(super) fn read(
        operation: &Operation,
        path: Vec<(&'static str, String)>,
        query: Option<&str>,
    ) -> Result<Self, Problem> {
        let query = query.unwrap_or_default();
        if query.len() > QUERY_MAX {
            let detail = format!("a query of more than {QUERY_MAX} bytes is not read");
            return Err(Problem::new(StatusCode::URI_TOO_LONG, detail));
        }
        let mut wrong = Vec::new();
        let mut values: Vec<(&'static str, String)> = Vec::new();
        for (name, value) in path {
            match check(operation, name, &value) {
                Ok(()) => values.push((name, value)),
                Err(_) => return Err(Problem::not_found()),
            }
        }
        let of_path = values.len();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (raw_name, raw_value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decoded(raw_name), decoded(raw_value)) else {
                wrong.push((
                    raw_name.to_owned(),
                    "is not UTF-8".to_owned(),
                    raw_value.to_owned(),
                ));
                continue;
            };
            let known = operation
                .parameters
                .iter()
                .find(|known| known.place == Place::Query && known.name == name);
            let Some(known) = known else {
                wrong.push((name, unknown(operation), value));
                continue;
            };
            if values.iter().any(|(name, _)| *name == known.name) {
                wrong.push((name, "stands here twice".to_owned(), value));
            } else if value.is_empty() {
                // As if it were not there: forms send all their fields.
            } else if let Err(message) = known.kind.check(&value) {
                wrong.push((name, message, value));
            } else {
                values.push((known.name, value));
            }
        }
        if wrong.is_empty() {
            return Ok(Self(values, of_path));
        }
        let detail = match &*wrong {
            [(name, message, _)] => format!("the parameter {name} {message}"),
            several => format!("{} parameters are wrong", several.len()),
        };
        let problem = Problem::new(StatusCode::BAD_REQUEST, detail);
        Err(wrong
            .into_iter()
            .fold(problem, |problem, (name, message, value)| {
                problem.with(format!("query.{name}"), message, value)
            }))
    }

    /// What came in the query, in its order.
    pub(super) fn query(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let values = self.0.iter().skip(self.1);
        values.map(|(name, value)| (*name, value.as_str()))
    }

    /// A text, when there is one.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter();
        values
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    }

    /// A time, when there is one.
    pub(super) fn time(&self, name: &str) -> Option<Timestamp> {
        self.text(name).and_then(Timestamp::parse)
    }
}

fn check(operation: &Operation, name: &str, value: &str) -> Result<(), String> {
    let mut parameters = operation.parameters.iter();
    match parameters.find(|parameter| parameter.name == name) {
        Some(parameter) => parameter.kind.check(value),
        None => Ok(()),
    }
}

fn unknown(operation: &Operation) -> String {
    let names: Vec<_> = operation
        .parameters
        .iter()
        .filter(|known| known.place == Place::Query)
        .map(|known| known.name)
        .collect();
    if names.is_empty() {
        "is unknown: this takes no parameters".to_owned()
    } else {
        format!("is unknown: allowed are {}", names.join(", "))
    }
}

fn decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(decoded.trim().to_owned())
}

// === impl Kind ===

impl Kind {
    /// Whether a value has this form; else what is allowed.
    fn check(self, value: &str) -> Result<(), String> {
        let fits = match self {
            Self::Text => true,
            Self::OneOf(words) => words.contains(&value),
            Self::SomeOf(words) => value.split(',').all(|word| words.contains(&word)),
            Self::Time => Timestamp::parse(value).is_some(),
            Self::Number { least, most, .. } => value
                .parse::<usize>()
                .is_ok_and(|number| (least..=most).contains(&number)),
            Self::Cursor | Self::RequestId => value.parse::<RequestId>().is_ok(),
            Self::SessionId => value.parse::<SessionId>().is_ok(),
            Self::Version => value.parse::<u64>().is_ok_and(|number| number > 0),
        };
        if fits { Ok(()) } else { Err(self.allowed()) }
    }

    /// What is allowed, in words.
    fn allowed(self) -> String {
        match self {
            Self::Text => "must be a text".to_owned(),
            Self::OneOf(words) => format!("must be one of {}", words.join(", ")),
            Self::SomeOf(words) => {
                format!("must be some of {}, separated by commas", words.join(", "))
            }
            Self::Time => {
                "must be a date or a time in UTC, as 2026-01-31 or 2026-01-31T08:00:00Z".to_owned()
            }
            Self::Number { least, most, .. } => {
                format!("must be a whole number from {least} to {most}")
            }
            Self::Cursor => "must be `next` of the page before, unchanged".to_owned(),
            Self::RequestId => "must be the id of a request: req_ and 32 digits".to_owned(),
            Self::SessionId => "must be the id of a session: ses_ and 32 digits".to_owned(),
            Self::Version => "must be the number of a version".to_owned(),
        }
    }
}
