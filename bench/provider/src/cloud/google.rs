//! Google's token endpoint and the metadata server of its virtual machines.
//!
//! A service account shows an assertion: claims signed with its key. The fields
//! and claims are always checked, the signature if a public key is configured.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;

use super::{LIFETIME, Refused, field, now};
use crate::json::{Json, object};
use crate::plain::Plain;
use crate::reply::Request;
use crate::script::Script;

/// What the paths of the metadata server have in them.
pub(super) const METADATA: &str = "/computeMetadata/v1";

/// The header that every request to it must bring, and every answer has.
pub(super) const FLAVOR: &str = "metadata-flavor";

const BY_ASSERTION: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const BY_REFRESH: &str = "refresh_token";

/// The longest that an assertion may be good for, in seconds.
const LONGEST: u64 = 3600;

/// How far clocks may differ, in seconds.
const SKEW: u64 = 300;

/// The public key by which assertions are checked: the integers of RSA in DER.
#[derive(Clone, Debug)]
pub(crate) struct Key(Vec<u8>);

/// A public key that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("no RSA public key: it must be PEM text that begins with BEGIN PUBLIC KEY")]
pub(crate) struct BadKey;

impl Key {
    /// A key from its PEM text.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, BadKey> {
        let info = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).map_err(|_| BadKey)?;
        // An outer sequence of the algorithm and a bit string that holds the key.
        let inner = element(&info, 0x30).map(|(inner, _)| inner);
        let after = inner.and_then(|inner| element(inner, 0x30));
        let bits = after.and_then(|(_, rest)| element(rest, 0x03));
        // The bit string begins with the number of its unused bits.
        let key = bits.and_then(|(bits, _)| bits.strip_prefix(&[0]));
        key.map(|key| Self(key.to_vec())).ok_or(BadKey)
    }
}

/// The content of the DER element of that tag at the start, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk::<2>()?;
    if found != tag {
        return None;
    }
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        let length = bytes.iter().try_fold(0_usize, |sum, byte| {
            Some(sum.checked_mul(256)? + usize::from(*byte))
        })?;
        (length, rest)
    };
    rest.split_at_checked(length)
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    iat: u64,
    exp: u64,
}

fn given(request: &Request<'_>, script: &Script) -> Json {
    let expires_in = script.expires_in.unwrap_or(LIFETIME - 1);
    object! {
        "access_token": format!("ya29.scripted-{}", request.seq), "expires_in": expires_in,
        "token_type": "Bearer",
    }
}

pub(super) fn token(
    request: &Request<'_>,
    script: &Script,
    key: Option<&Key>,
) -> Result<Plain, Refused> {
    let needed = |name: &str| {
        field(request.plain, name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| {
                Refused::new(400, "invalid_request", format!("missing parameter: {name}"))
            })
    };
    match needed("grant_type")?.as_str() {
        BY_ASSERTION => check(&needed("assertion")?, key)
            .map_err(|why| Refused::new(400, "invalid_grant", why))?,
        BY_REFRESH => {
            for name in ["client_id", "client_secret", "refresh_token"] {
                needed(name)?;
            }
        }
        other => {
            let why = format!("grant type {other} is not served here");
            return Err(Refused::new(400, "unsupported_grant_type", why));
        }
    }
    Ok(Plain::json(given(request, script)))
}

/// Checks an assertion; tells what is wrong with it.
fn check(assertion: &str, key: Option<&Key>) -> Result<(), String> {
    let part = |text: &str| {
        URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|error| error.to_string())
    };
    let (signed, signature) = assertion
        .rsplit_once('.')
        .ok_or("the assertion has no signature")?;
    let (header, claims) = signed
        .split_once('.')
        .ok_or("the assertion has no claims")?;
    let json = |error: serde_json::Error| format!("the assertion can't be read: {error}");
    let header: Header = serde_json::from_slice(&part(header)?).map_err(json)?;
    if header.alg != "RS256" {
        return Err(format!("{} is not RS256", header.alg));
    }
    let claims: Claims = serde_json::from_slice(&part(claims)?).map_err(json)?;
    if claims.iss.is_empty() || !claims.aud.starts_with("http") {
        return Err("the assertion names no issuer or no audience".into());
    }
    let now = now();
    if claims.exp <= now || claims.iat > now + SKEW {
        return Err("the assertion is not good at this time".into());
    }
    if claims.exp.saturating_sub(claims.iat) > LONGEST {
        return Err("the assertion is good for more than an hour".into());
    }
    let Some(Key(key)) = key else {
        return Ok(());
    };
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
        .verify(signed.as_bytes(), &part(signature)?)
        .map_err(|_| "Invalid JWT Signature.".into())
}

pub(super) fn metadata(request: &Request<'_>, script: &Script) -> Result<Plain, Refused> {
    if request
        .headers
        .get(FLAVOR)
        .is_none_or(|flavor| flavor != "Google")
    {
        let why = "Missing Metadata-Flavor:Google header.";
        return Err(Refused::new(403, "forbidden", why));
    }
    let text = |text: &'static str| {
        let kind = HeaderValue::from_static("application/text");
        Plain::new(StatusCode::OK, kind, text)
    };
    let (_, rest) = request.path.split_once(METADATA).unwrap_or_default();
    let account = "/instance/service-accounts/default";
    let given = match rest.trim_end_matches('/') {
        "" => text("instance/\nproject/\n"),
        "/project/project-id" => text("scripted-project"),
        "/project/numeric-project-id" => text("123456789012"),
        "/universe/universe-domain" => text("googleapis.com"),
        below => match below.strip_prefix(account) {
            Some("/token") => Plain::json(given(request, script)),
            Some("/email") => text(EMAIL),
            Some("/scopes") => text(SCOPE),
            Some("") => Plain::json(object! {
                "aliases": ["default"], "email": EMAIL, "scopes": [SCOPE],
            }),
            _ => return Err(Refused::new(404, "not_found", "no such metadata")),
        },
    };
    Ok(given.header(FLAVOR, "Google"))
}

const EMAIL: &str = "scripted@scripted-project.iam.gserviceaccount.com";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
