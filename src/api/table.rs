//! What the API offers: one row for each operation.
//!
//! Owns: the shape of a row, and the list of all rows. Routing, the checks of parameters and bodies, the `OpenAPI` document,
//! docs/api.md and the tests are made from it, so an operation that is not documented does not exist. Each file of
//! operations (`usage`, `sessions`, …) has its own rows beside the functions that answer them.
//! Must not know: what answers say.

use super::{Asked, problem::Problem};
use crate::{config::grant::Role, identity::Caller};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, Response};
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// Every operation, in the order of the documents.
///
/// A new file of operations adds its rows here, and nothing else anywhere: `config::OPERATIONS`, `pricing::OPERATIONS`.
static PARTS: [&[Operation]; 9] = [
    super::usage::OPERATIONS,
    super::sessions::OPERATIONS,
    super::requests::OPERATIONS,
    super::providers::OPERATIONS,
    super::audit::OPERATIONS,
    super::config::OPERATIONS,
    super::history::OPERATIONS,
    super::pricing::OPERATIONS,
    super::openapi::OPERATIONS,
];

/// Every operation.
pub(super) fn operations() -> impl Iterator<Item = &'static Operation> {
    PARTS.iter().copied().flatten()
}

/// One operation.
pub(super) struct Operation {
    /// Its `operationId`.
    pub(super) id: &'static str,
    pub(super) method: Method,
    /// The whole path with `{name}` for what varies; a colon is a colon.
    pub(super) path: &'static str,
    /// Under which heading it stands.
    pub(super) tag: &'static str,
    /// Whom it answers.
    pub(super) access: Access,
    /// A few words, without a full stop.
    pub(super) summary: &'static str,
    /// Everything else that a caller must know.
    pub(super) description: &'static str,
    /// What varies in its path, query and head. Anything else in a query is refused.
    pub(super) parameters: &'static [Parameter],
    /// What it takes; none = a body is not read.
    pub(super) takes: Option<Takes>,
    /// Its answers, but for the problems that any operation can have (`openapi` adds those).
    pub(super) answers: &'static [Answer],
    /// Answers.
    pub(super) handle: Handler,
}

/// The function of an operation: parameters, access, media type and size have been checked.
pub(super) type Handler =
    for<'a> fn(&'a Asked<'a>) -> BoxFuture<'a, Result<Response<Bytes>, Problem>>;

/// Makes the schema of a type.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// The schema of `T`.
pub(super) const fn schema<T: JsonSchema>() -> SchemaOf {
    |generator| generator.subschema_for::<T>()
}

/// Whom an operation answers. Who has no role is not answered at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody with a role; what they see is their own, an admin sees everyone's.
    Everybody,
    /// Admins.
    Admins,
    /// Whom its description says: the operation itself judges.
    Stated,
}

/// One parameter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) place: Place,
    pub(super) kind: Kind,
    /// A sentence: what it does, and what happens without it.
    pub(super) description: &'static str,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// One segment of the path.
    Path,
    /// All the rest of the path, slashes included.
    Rest,
    Query,
    /// A header line that must be there; the operation itself judges its value.
    RequiredHeader,
    /// A header line; the operation itself judges its value.
    Header,
}

/// What a parameter may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any text within the bound of a query.
    Text,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Some of these words, separated by commas.
    SomeOf(&'static [&'static str]),
    /// An RFC 3339 time in UTC, or a date.
    Time,
    /// A whole number within these bounds, with the one that is meant when there is none.
    Number {
        least: usize,
        most: usize,
        default: usize,
    },
    /// A place in a list, as an answer has given it.
    Cursor,
    /// The id of a request.
    RequestId,
    /// The id of a session.
    SessionId,
    /// The number of a version of the configuration.
    Version,
}

/// The body that an operation takes, always as JSON.
pub(super) struct Takes {
    /// Its schema. The type denies unknown fields.
    pub(super) schema: SchemaOf,
    /// Bytes at most.
    pub(super) limit: usize,
}

/// One answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) description: &'static str,
    /// Its forms, the usual one first; none = it has no body.
    pub(super) forms: &'static [Form],
    /// Header lines, each with what it says.
    pub(super) head: &'static [(&'static str, &'static str)],
}

/// One form of an answer.
pub(super) struct Form {
    /// Its media type.
    pub(super) media: &'static str,
    /// Its schema.
    pub(super) schema: SchemaOf,
}

impl Answer {
    /// An answer in JSON.
    pub(super) const fn json(
        status: u16,
        description: &'static str,
        forms: &'static [Form],
    ) -> Self {
        Self {
            status,
            description,
            forms,
            head: &[],
        }
    }
}

// === impl Access ===

impl Access {
    /// Whether it answers this caller; else the words of the refusal.
    pub(super) fn judge(self, _caller: &Caller, role: Role) -> Result<(), &'static str> {
        match self {
            Self::Everybody | Self::Stated => Ok(()),
            Self::Admins if role == Role::Admin => Ok(()),
            Self::Admins => Err("this is for admins of this gateway; your role is user"),
        }
    }
}
