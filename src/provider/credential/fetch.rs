//! One question to whoever mints credentials.
//!
//! Owns: the way there, the bound on the answer, and what may be told of a refusal. In: an endpoint and a request. Out: the
//! answer's text, or a [`MintError`]. Must not know: what is asked.

use super::MintError;
use crate::{
    config::cloud::Endpoint,
    provider::client::{Client, Network, Pieces},
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use std::sync::Arc;

/// Bytes of an answer; tokens are a few kilobytes.
const MAX_ANSWER: usize = 64 << 10;

/// Who asks: the gateway's connections, and what TLS trusts besides the system's authorities.
#[derive(Clone, Debug)]
pub(super) struct Errand {
    pub(super) client: Client,
    pub(super) extra_ca: Option<Arc<[u8]>>,
}

/// The network that leads to an endpoint.
pub(super) fn network_of(endpoint: &Endpoint) -> Network {
    match endpoint {
        Endpoint { local: true, .. } => Network::OwnLink,
        Endpoint { tailnet: true, .. } => Network::Tailnet,
        _ => Network::Host,
    }
}

/// A form that is posted.
pub(super) fn form(uri: Uri, fields: &[(&str, &str)]) -> Request<Pieces> {
    let text = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", encode(value)))
        .collect::<Vec<_>>()
        .join("&");
    let mut request = Request::new(Pieces::new([text.into()]));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    request.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    request
}

/// Everything but unreserved characters, percent-encoded.
pub(super) fn encode(text: &str) -> String {
    encode_bytes(text.as_bytes())
}

/// The same for bytes.
pub(super) fn encode_bytes(bytes: &[u8]) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    percent_encode(bytes, RESERVED).to_string()
}

impl Errand {
    /// Asks, and reads the answer. `code` finds the word for a refusal in its text.
    pub(super) async fn ask(
        &self,
        network: Network,
        request: Request<Pieces>,
        code: fn(&str) -> Option<&str>,
    ) -> Result<(HeaderMap, String), MintError> {
        let sent = self
            .client
            .send_over(network, self.extra_ca.as_ref(), request);
        let (head, body) = sent
            .await
            .map_err(|error| MintError::Unreachable(error.to_string()))?
            .into_parts();
        let body = Limited::new(body, MAX_ANSWER)
            .collect()
            .await
            .map_err(|_| MintError::Unusable("it broke off or is too long"))?
            .to_bytes();
        let text =
            String::from_utf8(body.to_vec()).map_err(|_| MintError::Unusable("it is not text"))?;
        if head.status != StatusCode::OK {
            return Err(MintError::Refused {
                status: head.status.as_u16(),
                code: code(&text).filter(|word| is_code(word)).map(str::to_owned),
            });
        }
        Ok((head.headers, text))
    }
}

/// Whether a text is a word such as `invalid_grant` or `AccessDenied`. A refusal's free text may repeat what was asked.
fn is_code(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.' | b'-');
    !text.is_empty() && text.len() <= 40 && text.bytes().all(plain)
}
