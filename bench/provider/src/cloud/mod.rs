//! Clouds: where a client of the providers gets its credentials from.
//!
//! Stand-ins of Google's token endpoint, of the metadata server of a virtual
//! machine, and of AWS's security token service. Comes in: a request. Goes out:
//! a token that names the request's number, or an error in the service's words.

mod google;
mod sts;

use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};

use crate::json::object;
use crate::plain::Plain;
use crate::reply::Request;
use crate::script::Script;

pub(crate) use google::Key;

/// Seconds for which a token is good, unless the script says otherwise.
const LIFETIME: u64 = 3600;

/// One of the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// `POST …/token`
    GoogleToken,
    /// `GET /computeMetadata/v1/…`
    GoogleMetadata,
    /// `POST /` with an action
    AwsSts,
}

/// Why a service gives nothing.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) message: String,
}

impl Refused {
    fn new(status: u16, kind: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind: kind.to_owned(),
            message: message.into(),
        }
    }
}

impl Service {
    /// The service that a request is for.
    pub(crate) fn of(request: &Request<'_>) -> Option<Self> {
        let is_form = || request.plain.contains(&b'=');
        if request.path.contains(google::METADATA)
            || (request.path == "/" && request.headers.contains_key(google::FLAVOR))
        {
            return Some(Self::GoogleMetadata);
        }
        if *request.method != Method::POST || !is_form() {
            return None;
        }
        if request.path.ends_with("/token") {
            return Some(Self::GoogleToken);
        }
        let is_action = field(request.plain, "Action").is_some();
        (request.path == "/" && is_action).then_some(Self::AwsSts)
    }

    /// Its name in the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::GoogleToken => "google_token",
            Self::GoogleMetadata => "google_metadata",
            Self::AwsSts => "aws_sts",
        }
    }

    /// The answer to a request.
    pub(crate) fn reply(self, request: &Request<'_>, script: &Script, key: Option<&Key>) -> Plain {
        if let Some(status) = script.status.filter(|status| *status >= 400) {
            let error = &script.error;
            let kind = error.kind.as_deref().or(error.code.as_deref());
            let message = error.message.as_deref();
            let message = message.unwrap_or("the script asked for this");
            let refused = Refused::new(status, kind.unwrap_or(self.usual_error()), message);
            return self.refuse(request, &refused);
        }
        let given = match self {
            Self::GoogleToken => google::token(request, script, key),
            Self::GoogleMetadata => google::metadata(request, script),
            Self::AwsSts => sts::reply(request, script),
        };
        given.unwrap_or_else(|refused| self.refuse(request, &refused))
    }

    fn usual_error(self) -> &'static str {
        match self {
            Self::GoogleToken => "invalid_grant",
            Self::GoogleMetadata => "error",
            Self::AwsSts => "AccessDenied",
        }
    }

    fn refuse(self, request: &Request<'_>, refused: &Refused) -> Plain {
        let status =
            StatusCode::from_u16(refused.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        match self {
            Self::GoogleToken => Plain::with_status(
                status,
                object! {"error": refused.kind, "error_description": refused.message},
            ),
            Self::GoogleMetadata => {
                let kind = HeaderValue::from_static("text/html; charset=UTF-8");
                Plain::new(status, kind, refused.message.clone())
            }
            Self::AwsSts => sts::refuse(request.seq, status, refused),
        }
    }
}

/// A field of a form, decoded.
fn field(form: &[u8], name: &str) -> Option<String> {
    let form = std::str::from_utf8(form).ok()?;
    let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(key, _)| *key == name)?;
    Some(crate::dialect::decoded(&value.replace('+', " ")).into_owned())
}

/// Seconds since the epoch.
fn now() -> u64 {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn fields_of_forms_are_decoded() {
        let form = b"grant_type=urn%3Aa%3Ab&assertion=x.y-z_&scope=a+b&empty=";
        assert_eq!(field(form, "grant_type").unwrap(), "urn:a:b");
        assert_eq!(field(form, "scope").unwrap(), "a b");
        assert_eq!(field(form, "empty").unwrap(), "");
        assert_eq!(field(form, "type"), None);
    }
}
