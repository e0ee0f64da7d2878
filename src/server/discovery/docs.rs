//! docs/endpoints.md: every path that is answered, and what is not offered.
//!
//! Owns: the layout. In: the tables of endpoints and probes. Out: Markdown. Must not know: requests.

use super::probes::{Answer, PROBES};
use crate::endpoint::{self, Endpoint, Work};
use std::fmt::Write as _;

const HEAD: &str = "# Endpoints

Generated from the code (`aperture docs --write`). Every path needs an identity of the tailnet and a role (else 403); a model, a grant
that opens it (else 404). The version in front may be missing or doubled (`/messages`, `/v1/v1/messages`), and so may `/bedrock`.

## Models

A provider takes a request when it has the flag among its `compatibility`. Turns and judgements are metered; counting tokens is free
and starts no session.

| path | flag | what it does |
| --- | --- | --- |
";

const DISCOVERY: &str = "
## Discovery

All of these name what the caller may use and nothing else; disabled providers and models that no grant opens do not exist. They have
an `ETag`: a `GET` with `If-None-Match` is answered 304 while nothing has changed. `HEAD` works on all of them.

| path | answer |
| --- | --- |
| `GET /v1/models`, `/v1/models/{model}` | OpenAI's shape, with provider, prices, context window and the paths that serve the model; with \
`client_version` in the query also Codex's `models` |
| the same with `anthropic-version` | Anthropic's shape: models of `anthropic_messages`; `limit`, `after_id`, `before_id` |
| the same with `x-goog-api-key` or `x-goog-api-client`, and `GET /v1beta/models`, `/v1beta/models/{model}` | Gemini's shape: models of \
`gemini_generate_content`; `pageSize`, `pageToken` |
| `GET /v1beta1/publishers/google/models`, also below `/projects/{project}/locations/{region}` | Vertex AI's shape: models of \
`google_generate_content`, for another publisher of `google_raw_predict` |
| `GET /api/providers` | a bare array of providers with their models and flags |
| `GET /api/connectors` | an empty list: connectors are not offered |

## Probes

Paths that clients feel around on. They make no record and reach no provider; `aperture_probes_total` counts them.

| request | answer | who asks |
| --- | --- | --- |
";

const NOT_OFFERED: &str = "
## Not offered

Known routes of the dialects' APIs that are answered 404 in their own words: they name no model, list what others stored, or run without a
grant.

| path | dialect |
| --- | --- |
";

/// The whole document.
pub(in crate::server) fn render_markdown() -> String {
    let mut text = String::from(HEAD);
    for endpoint in Endpoint::ALL {
        let work = match endpoint.work() {
            Work::Turn => "a turn",
            Work::Judge => "a judgement, embeddings among them",
            Work::Count => "counts tokens",
            Work::Store => "keeps, shows or deletes what is stored; only the caller's own",
        };
        let (path, flag) = (endpoint.path(), endpoint.dialect().as_str());
        let _ = writeln!(text, "| `{path}` | `{flag}` | {work} |");
    }
    text.push_str(DISCOVERY);
    for probe in PROBES {
        let methods: Vec<_> = probe.methods.iter().map(http::Method::as_str).collect();
        let answer = match probe.answer {
            Answer::Here => "200",
            Answer::Pages => "302 to `/ui/`",
            Answer::Dropped => "200, dropped",
            Answer::NotFound(None) => "404",
            Answer::NotFound(Some(_)) => "404 in Bedrock's shape",
        };
        let (methods, path, note) = (methods.join(", "), probe.path, probe.note);
        let _ = writeln!(text, "| `{methods} {path}` | {answer} | {note} |");
    }
    text.push_str(NOT_OFFERED);
    for (path, dialect) in endpoint::not_offered() {
        let _ = writeln!(text, "| `/v1{path}` | `{}` |", dialect.as_str());
    }
    text
}
