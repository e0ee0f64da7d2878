//! AWS Signature Version 4.
//!
//! Owns: which parts of a request are signed, and the one spelling of its path and query that both sides agree on. In: keys
//! and a finished request. Out: the same request, signed. Must not know: where keys come from.

use super::{MintError, fetch::encode_bytes};
use crate::{provider::client::Pieces, secret::Secret};
use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign as signature},
    sign::v4,
};
use http::{Request, Uri, header, uri::PathAndQuery};
use ring::digest;
use std::{fmt::Write as _, time::SystemTime};

/// Keys that sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) access_key_id: Secret,
    pub(super) secret_access_key: Secret,
    pub(super) session_token: Option<Secret>,
}

/// What is signed for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// Signs a request. Its path and query are spelt anew, because the signature covers one spelling only.
pub(super) fn sign(
    keys: &Keys,
    scope: Scope<'_>,
    time: SystemTime,
    request: &mut Request<Pieces>,
) -> Result<(), MintError> {
    *request.uri_mut() = one_spelling(request.uri())?;
    let identity = Credentials::new(
        keys.access_key_id.expose(),
        keys.secret_access_key.expose(),
        keys.session_token
            .as_ref()
            .map(|token| token.expose().to_owned()),
        None,
        "aperture",
    )
    .into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .expect("all parameters are set")
        .into();
    // Few lines are signed: the host, what the service demands, and what says how the body is read. The others pass proxies
    // that may touch them.
    let lines = request.headers().iter().filter_map(|(name, value)| {
        let signed = *name == header::CONTENT_TYPE || name.as_str().starts_with("x-amz-");
        Some((name.as_str(), value.to_str().ok()?)).filter(|_| signed)
    });
    let uri = request.uri().to_string();
    let body = SignableBody::Precomputed(hash(request.body()));
    let signable = SignableRequest::new(request.method().as_str(), uri, lines, body)
        .map_err(|_| MintError::Unsignable("its head can't be signed"))?;
    let (instructions, _) = signature(signable, &parameters)
        .map_err(|_| MintError::Unsignable("its head can't be signed"))?
        .into_parts();
    instructions.apply_to_request_http1x(request);
    for name in ["authorization", "x-amz-security-token"] {
        if let Some(value) = request.headers_mut().get_mut(name) {
            value.set_sensitive(true);
        }
    }
    Ok(())
}

/// The body's hash, in hex, without joining its pieces. All of it is in memory.
fn hash(body: &Pieces) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for piece in body.in_memory() {
        context.update(piece);
    }
    let mut text = String::with_capacity(64);
    for byte in context.finish().as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The same address, with every part encoded exactly once.
///
/// Clients write the `:` and `/` of model ids raw or encoded. The service hashes what it gets after decoding it, or without,
/// and only where everything but unreserved characters is encoded once do both come to the same.
fn one_spelling(uri: &Uri) -> Result<Uri, MintError> {
    let part = |text: &str| -> Vec<u8> { percent_encoding::percent_decode_str(text).collect() };
    let mut text = String::with_capacity(uri.path().len() + 32);
    for segment in uri.path().split('/').skip(1) {
        let decoded = part(segment);
        if matches!(&decoded[..], b"." | b"..") {
            return Err(MintError::Unsignable("its path has a part of dots"));
        }
        text.push('/');
        text.push_str(&encode_bytes(&decoded));
    }
    for (index, pair) in uri
        .query()
        .into_iter()
        .flat_map(|query| query.split('&'))
        .filter(|pair| !pair.is_empty())
        .enumerate()
    {
        text.push(if index == 0 { '?' } else { '&' });
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // A plus is a space in queries.
        text.push_str(&encode_bytes(&part(&name.replace('+', " "))));
        text.push('=');
        text.push_str(&encode_bytes(&part(&value.replace('+', " "))));
    }
    let mut parts = uri.clone().into_parts();
    let unsignable = MintError::Unsignable("its path can't be written");
    parts.path_and_query = Some(PathAndQuery::try_from(text).map_err(|_| unsignable.clone())?);
    Uri::from_parts(parts).map_err(|_| unsignable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn spelt(uri: &str) -> String {
        one_spelling(&uri.parse().unwrap()).unwrap().to_string()
    }

    #[test]
    fn every_spelling_of_a_model_becomes_one() {
        for (uri, one) in [
            (
                "https://h/model/anthropic.claude-v1:0/invoke",
                "https://h/model/anthropic.claude-v1%3A0/invoke",
            ),
            (
                "https://h/model/anthropic.claude-v1%3a0/invoke",
                "https://h/model/anthropic.claude-v1%3A0/invoke",
            ),
            (
                "https://h/model/arn:aws:bedrock:us-east-1:1:inference-profile%2Fabc/converse",
                "https://h/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fabc/converse",
            ),
            ("https://h/x?b=2&a=1+2&c", "https://h/x?b=2&a=1%202&c="),
            ("https://h/", "https://h/"),
        ] {
            assert_eq!(spelt(uri), one);
            assert_eq!(spelt(one), one, "a second time changes nothing");
        }
        let dots = "https://h/model/%2E%2e/invoke".parse().unwrap();
        assert!(one_spelling(&dots).is_err());
    }

    #[test]
    fn the_pieces_of_a_body_are_hashed_as_one() {
        let pieces = Pieces::new(["a".into(), "b".into(), "c".into()]);
        assert_eq!(
            hash(&pieces),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    /// The example of the service's own documentation (examples with this key are published; it opens nothing).
    #[test]
    fn the_documented_example_has_the_documented_signature() {
        let keys = Keys {
            access_key_id: Secret::new("AKIDEXAMPLE"),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: None,
        };
        let mut request = Request::new(Pieces::default());
        *request.uri_mut() = "https://example.amazonaws.com/".parse().unwrap();
        let scope = Scope {
            region: "us-east-1",
            service: "service",
        };
        let time = SystemTime::UNIX_EPOCH + Duration::from_mins(24_015_636);
        sign(&keys, scope, time, &mut request).unwrap();
        let line = request.headers()["authorization"].to_str().unwrap();
        assert!(
            line.ends_with(
                "SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
            ),
            "{line}"
        );
        assert!(!format!("{request:?}").contains("5fa00fa3"));
    }
}
