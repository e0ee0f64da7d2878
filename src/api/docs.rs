//! docs/api.md: how to use the API, and every operation of it.
//!
//! Owns: the layout, and the words in front. In: the table. Out: Markdown. Must not know: requests.

use super::{
    openapi::{TAGS, whom},
    table::{self, Kind, Operation, Parameter, Place},
};
use std::fmt::Write as _;

/// What stands in front. Each block of `sh` is run by a test, with `http://ai` as a running gateway.
const HEAD: &str = "# The API

Generated from the code (`aperture docs --write`). For scripts: what was used, by whom and for how much; single sessions and requests;
the configuration. The gateway describes all of it to programs at `/aperture/openapi.json` (OpenAPI 3.1), so clients can be generated.

## Using it

There is no key and no login: the tailnet says who asks. Run the script on a node of the tailnet; a node with tags is a caller of its
own, so give its tag a role. A *user* sees their own data and nothing else: what is another's answers as if it did not exist (404). An
*admin* sees everyone's and narrows it with `user`. Who has no role gets 403 and `{\"error\":\"access denied: no role granted\"}`.

A year's cost by person and model, as a table for a spreadsheet:

```sh
curl -fsS 'http://ai/aperture/usage?from=2026-01-01&to=2027-01-01&group_by=user,model&format=csv'
```

The latest requests that failed at the provider:

```sh
curl -fsS 'http://ai/aperture/requests?end=upstream_error&limit=20'
```

All pages of a list, each by the link to the next (`Link: <…>; rel=\"next\"`):

```sh
next='/aperture/requests?limit=100&format=csv'
while [ -n \"$next\" ]; do
  head=$(mktemp)
  curl -fsS -D \"$head\" \"http://ai$next\"
  next=$(sed -n 's/^[Ll]ink: <\\([^>]*\\)>.*/\\1/p' \"$head\")
  rm \"$head\"
done
```

Who changed the configuration lately, and what:

```sh
curl -fsS 'http://ai/aperture/config/history?limit=5'
```

How the providers do:

```sh
curl -fsS http://ai/aperture/providers
```

Some rules hold everywhere:

- Names are those of `aperture export`. Times are milliseconds since 1970 in answers; parameters take a date or an RFC 3339 time in UTC.
- Money is in pico-dollars (10⁻¹² USD), whole numbers that add up without error; sums also have `cost_usd`, a decimal text, because
  JavaScript's numbers are exact only up to 9,007 dollars' worth of pico-dollars. A model without a known price is counted in
  `unpriced` and never as zero dollars.
- A parameter that is unknown, written twice or not of its form is refused (400): a misspelt filter must not look like no filter.
- Whatever goes wrong is a problem document (RFC 9457, `application/problem+json`) with `title`, `status`, `detail` and, for what was
  sent, `errors` of `location`, `message` and `value`. Below `/api` it is the flat `{\"error\": …}` of old.
- Writes take `application/json` only, and fields that are not named here are refused.
- Requests must come under one of the gateway's own names (`Host`), and pages of other origins are refused: see
  [access-table.md](access-table.md) for who reaches what.
- Nothing is cached (`Cache-Control: no-store`), and `HEAD` works wherever `GET` does.
";

/// The whole document.
pub fn render_markdown() -> String {
    let mut text = HEAD.to_owned();
    for (tag, description) in TAGS {
        let operations: Vec<_> = table::operations().filter(|it| it.tag == *tag).collect();
        if operations.is_empty() {
            continue;
        }
        let _ = write!(text, "\n## {tag}\n\n{description}\n");
        for operation in operations {
            describe(&mut text, operation);
        }
    }
    text
}

fn describe(text: &mut String, operation: &Operation) {
    let Operation {
        method,
        path,
        summary,
        description,
        ..
    } = operation;
    let _ = write!(text, "\n### `{method} {path}`\n\n{summary}. ");
    if !description.is_empty() {
        let _ = write!(text, "{description} ");
    }
    text.push_str(whom(operation.access));
    text.truncate(text.trim_end().len());
    text.push('\n');
    if operation.takes.is_some() {
        let schema = "its schema is in the OpenAPI document";
        let _ = write!(text, "\nTakes a body of `application/json`; {schema}.\n");
    }
    if !operation.parameters.is_empty() {
        text.push_str("\n| parameter | form | what it does |\n| --- | --- | --- |\n");
        for parameter in operation.parameters {
            row(text, parameter);
        }
    }
    text.push('\n');
    for answer in operation.answers {
        let forms: Vec<String> = answer
            .forms
            .iter()
            .map(|form| format!("`{}`", form.media))
            .collect();
        let forms = if forms.is_empty() {
            String::new()
        } else {
            format!(" ({})", forms.join(", "))
        };
        let _ = writeln!(text, "- {}: {}{forms}", answer.status, answer.description);
    }
}

fn row(text: &mut String, parameter: &Parameter) {
    let place = match parameter.place {
        Place::Path => " in the path",
        Place::Rest => " in the path, slashes included",
        Place::Query => "",
        Place::RequiredHeader => " as a header line, required",
        Place::Header => " as a header line",
    };
    let words = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
        words.join(", ")
    };
    let form = match parameter.kind {
        Kind::Text => "text".to_owned(),
        Kind::OneOf(all) => words(all),
        Kind::SomeOf(all) => format!("some of {}, separated by commas", words(all)),
        Kind::Time => "time or date".to_owned(),
        Kind::Number {
            least,
            most,
            default,
        } => format!("{least} to {most}, else {default}"),
        Kind::Cursor => "`next` of an answer".to_owned(),
        Kind::RequestId => "id of a request".to_owned(),
        Kind::SessionId => "id of a session".to_owned(),
        Kind::Version => "number of a version".to_owned(),
    };
    let Parameter {
        name, description, ..
    } = parameter;
    let _ = writeln!(text, "| `{name}`{place} | {form} | {description} |");
}
