//! One request as the gateway recorded it and as the provider saw it: tokens, model, status, end and credential.

use super::{ANTHROPIC_KEY, OPENAI_KEY, clouds};
use aperture::record::{End, Record, UsageState};
use provider::Entry;

/// The provider's own id of a request; Google's APIs have none.
pub(super) fn provider_id(entry: &Entry) -> Option<&str> {
    let headers = &entry.answer.headers;
    let id = ["request-id", "x-request-id", "x-amzn-requestid"]
        .iter()
        .find_map(|name| headers.get(*name))?;
    id.to_str().ok()
}

/// Both must tell the same.
pub(super) fn agree(record: &Record, entry: &Entry) {
    assert_eq!(record.model.as_deref(), entry.request.model.as_deref());
    let status = entry.answer.status.unwrap().as_u16();
    assert_eq!(record.status, Some(status));
    let (ours, theirs) = ends(record, entry);
    assert_eq!(ours, theirs, "{record:?}");
    // A token count answers with a number, and is no usage.
    let counts = record.endpoint.generates() && status < 400;
    assert_eq!(entry.answer.usage.is_some(), counts);
    let (usage, counted) = (record.usage, entry.answer.usage.unwrap_or_default());
    let output = if record.end == End::ClientGone {
        // Less than would have come: the difference is an estimate, beside the figures.
        assert!(usage.output < counted.output, "{record:?}");
        assert!(record.estimate.is_some(), "{record:?}");
        usage.output
    } else {
        counted.output
    };
    let expected = match record.usage_state {
        UsageState::Estimated => [0; 6],
        _ => [
            counted.input,
            counted.cache_read,
            counted.cache_write,
            counted.cache_write_long,
            output,
            counted.reasoning,
        ],
    };
    assert_eq!(
        [
            usage.input,
            usage.cache_read,
            usage.cache_write,
            usage.cache_write_1h,
            usage.output,
            usage.reasoning
        ],
        expected,
        "{record:?}"
    );
    let states: &[UsageState] = match (record.end, counts) {
        (End::ClientGone, _) => &[UsageState::Partial, UsageState::Estimated],
        (_, true) => &[UsageState::Reported],
        (_, false) => &[UsageState::None],
    };
    assert!(states.contains(&record.usage_state), "{record:?}");
    credential(record, entry);
}

/// How it ended here and there, in the provider's words.
fn ends(record: &Record, entry: &Entry) -> (provider::End, provider::End) {
    let ours = match record.end {
        End::Complete => provider::End::Complete,
        End::ClientGone => provider::End::ClientGone,
        other => panic!("no end for a client: {other:?}"),
    };
    (ours, entry.answer.end.expect("it has ended"))
}

/// The provider gets the gateway's own key, whatever the client sent.
fn credential(record: &Record, entry: &Entry) {
    let line = |name| entry.header(name).unwrap_or_default();
    let [authorization, anthropic, google] =
        ["authorization", "x-api-key", "x-goog-api-key"].map(line);
    let (expected, others) = match record.provider.as_deref().unwrap() {
        "anthropic" => (anthropic == ANTHROPIC_KEY, [authorization, google]),
        "openai" => (
            authorization == format!("Bearer {OPENAI_KEY}"),
            [anthropic, google],
        ),
        "gemini" => (google == clouds::GEMINI_KEY, [authorization, anthropic]),
        "vertex" => (
            authorization.starts_with("Bearer ya29.scripted-"),
            [anthropic, google],
        ),
        "bedrock" => {
            let start = format!("AWS4-HMAC-SHA256 Credential={}/", clouds::AWS_KEY_ID);
            (authorization.starts_with(&start), [anthropic, google])
        }
        other => panic!("no provider {other}"),
    };
    assert!(expected, "{:?}", entry.request.headers);
    assert_eq!(others, ["", ""], "{:?}", entry.request.headers);
}
