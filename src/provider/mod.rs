//! The upstream side of one request: where it goes, what its head says, and the connection it takes.
//!
//! Owns: `headers` (what is dropped and added), `target` (the upstream URL), `edit` (the closed list of body edits),
//! `credential` (what the request is paid with), `client` (connections: TLS, plain, proxy, tailnet) and `probe` (one cheap
//! question). In: a permit's parts.
//! Out: upstream requests and responses.
//! Must not know: grants, records, pages.

pub mod client;
pub mod credential;
pub mod edit;
pub mod headers;
pub mod probe;
pub mod target;

/// docs/edits.md: the closed list.
pub fn render_edits_markdown() -> String {
    use std::fmt::Write as _;
    let mut text = String::from(
        "# What the gateway changes\n\nGenerated from the code (`aperture docs --write`). Requests and responses pass byte for \
         byte, but for this closed list; tests with random bodies, heads and chunks hold the gateway to it. Lines that belong to \
         one connection (RFC 9110, 7.6.1) are each side's own.\n\n## Bodies\n\n| edit | when | what |\n| --- | --- | --- |\n",
    );
    for edit in edit::EDITS {
        let _ = writeln!(text, "| {} | {} | {} |", edit.name, edit.when, edit.what);
    }
    text.push_str(
        "\nEach is made by splicing the original text: nothing is parsed and written anew.\n\n## Heads\n\n\
         | head | line | edit | why |\n| --- | --- | --- | --- |\n",
    );
    for row in headers::HEAD_EDITS {
        let side = match row.side {
            headers::Side::Request => "request",
            headers::Side::Response => "response",
        };
        let edit = match row.edit {
            headers::Edit::Drop => "dropped",
            headers::Edit::Set => "set",
            headers::Edit::Default => "added when absent",
            headers::Edit::Append => "a line is added",
        };
        let _ = writeln!(text, "| {side} | `{}` | {edit} | {} |", row.name, row.why);
    }
    text.push_str(
        "\nThe provider's credential is added as its `authorization` says; where requests are signed (`aws-sigv4`), path and query \
         go up in the one spelling that the signature covers, with everything but unreserved characters percent-encoded once. \
         A provider with `auth_mode: passthrough` gets the client's `authorization` or `x-api-key`, and with an `authorization` its \
         `chatgpt-account-id`; a signature (`AWS4-HMAC-SHA256`) is never passed on. The lines of `add_headers` (of the grant, then of \
         the provider) replace the client's lines of the same name.\n",
    );
    text
}
