//! What both Bedrock dialects share: paths, errors and frames.
//!
//! The path names the model, raw or percent-encoded, an id or an ARN with a
//! slash in it. Streams are binary frames; an error in one is a frame as well.

use bytes::Bytes;

use super::route::decoded;
use super::{Failure, Framing, Operation, Route, Target};
use crate::frame::frame;
use crate::json::{Json, object};

pub(super) const REQUEST_ID: Option<&str> = Some("x-amzn-requestid");

pub(super) const STREAM_TYPE: &str = "application/vnd.amazon.eventstream";

/// Where errors of the real service come from; clients cut it off.
const ERROR_NAMESPACE: &str = "http://internal.amazon.com/coral/com.amazon.bedrock/";

/// What pads the payload of a frame, so that its length tells nothing of the text.
const PADDING: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// The model and the verb of a path; none if it isn't Bedrock's.
fn model_and_verb(path: &str) -> Option<(String, &str)> {
    let (_, rest) = path.split_once("/model/")?;
    let (model, verb) = rest.rsplit_once('/')?;
    (!model.is_empty()).then(|| (decoded(model).into_owned(), verb))
}

/// The route of a path whose verb is one of the three.
pub(super) fn route(
    target: &Target<'_>,
    whole: &str,
    stream: &str,
    count: Option<&str>,
) -> Option<Route> {
    let (model, verb) = model_and_verb(target.path)?;
    let (operation, framing) = if verb == whole {
        (Operation::Generate, None)
    } else if verb == stream {
        (Operation::Generate, Some(Framing::Frames))
    } else if Some(verb) == count {
        (Operation::Count, None)
    } else {
        return None;
    };
    Some(Route {
        operation,
        model: Some(model),
        framing,
    })
}

/// The padding of the frame in that place.
pub(super) fn padding(place: usize) -> &'static str {
    &PADDING[..=(place * 7) % 26]
}

/// A frame that carries an event.
pub(super) fn event(name: &str, payload: &Json) -> Bytes {
    let headers = [
        (":event-type", name),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    frame(&headers, payload.as_str().as_bytes())
}

fn kind<'a>(failure: &Failure<'a>) -> &'a str {
    failure.kind.unwrap_or(match failure.status {
        400 | 422 => "ValidationException",
        401 => "UnrecognizedClientException",
        403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 => "ModelTimeoutException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        503 | 529 => "ServiceUnavailableException",
        _ => "InternalServerException",
    })
}

pub(super) fn failure(failure: &Failure<'_>) -> Json {
    object! {"message": failure.message}
}

pub(super) fn failure_headers(failure: &Failure<'_>) -> Vec<(&'static str, String)> {
    let value = format!("{}:{ERROR_NAMESPACE}", kind(failure));
    vec![("x-amzn-errortype", value)]
}

/// The frame by which a stream fails; its types begin in lower case.
pub(super) fn stream_failure(failure: &Failure<'_>, _: usize) -> Bytes {
    let kind = kind(failure);
    let (first, rest) = kind.split_at(usize::from(kind.is_char_boundary(1)));
    let kind = format!("{}{rest}", first.to_lowercase());
    let headers = [
        (":exception-type", kind.as_str()),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ];
    frame(&headers, self::failure(failure).as_str().as_bytes())
}
