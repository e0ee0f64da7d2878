//! Access tokens of Google.
//!
//! Owns: the three ways to one: a service account's signed assertion, a person's refresh token, the metadata server. In: a
//! credential. Out: a lease on a token, as a header's value. Must not know: what is asked with it.

use super::{
    MintError,
    fetch::{Errand, form, network_of},
    host::{self, Host},
    renew::Lease,
};
use crate::config::cloud::{Adc, Endpoint, ServiceAccount};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderValue, Request};
use ring::{rand::SystemRandom, signature};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use serde::Deserialize;
use serde_json::json;
use std::time::{Duration, SystemTime};

/// What a token opens. Roles of the account say the rest.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// How long an assertion is good.
const ASSERTION: Duration = Duration::from_hours(1);
/// Where a person's refresh token is used.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// A person's credential, as `gcloud auth application-default login` writes it.
#[derive(Deserialize)]
struct Authorized {
    client_id: String,
    client_secret: String,
    refresh_token: String,
    token_uri: Option<String>,
}

/// A token endpoint's answer.
#[derive(Deserialize)]
struct Token {
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// A token of what the host has, in the order of Google's own libraries.
pub(super) async fn mint_default(
    credential: Adc,
    host: Host,
    errand: Errand,
) -> Result<Lease<HeaderValue>, MintError> {
    if credential.endpoint.is_none() {
        let chosen = host::read(host.google_chosen.as_deref()).await?;
        if chosen.is_none() && host.google_chosen.is_some() {
            let why = "GOOGLE_APPLICATION_CREDENTIALS names a file that is not there";
            return Err(MintError::Host(why.to_owned()));
        }
        let file = match chosen {
            Some(text) => Some(text),
            None => host::read(host.google_usual.as_deref()).await?,
        };
        if let Some(text) = file {
            return of_file(&text, &errand).await;
        }
    }
    let server = host.metadata(credential.endpoint.as_ref());
    let base = server.uri.to_string();
    let mut request = Request::default();
    *request.uri_mut() = format!(
        "{}/computeMetadata/v1/instance/service-accounts/default/token",
        base.trim_end_matches('/')
    )
    .parse()
    .map_err(|_| MintError::Host("its metadata server has no usable address".to_owned()))?;
    // Only who may set headers may ask: pages and simple forwarders can't.
    let flavor = HeaderValue::from_static("Google");
    request.headers_mut().insert("metadata-flavor", flavor);
    let (head, answer) = errand
        .ask(network_of(&server), request, no_code)
        .await
        .map_err(|error| match error {
            MintError::Unreachable(_) => MintError::Host(
                "no application-default credentials file, and no metadata server answers"
                    .to_owned(),
            ),
            other => other,
        })?;
    if head
        .get("metadata-flavor")
        .is_none_or(|line| line != "Google")
    {
        return Err(MintError::Unusable("it is not a metadata server's"));
    }
    lease(&answer)
}

/// A token of a credentials file.
async fn of_file(text: &str, errand: &Errand) -> Result<Lease<HeaderValue>, MintError> {
    #[derive(Deserialize)]
    struct Kind {
        #[serde(rename = "type")]
        kind: String,
    }
    let unusable = |why: &str| MintError::Host(format!("the application-default file: {why}"));
    let kind: Kind =
        serde_json::from_str(text).map_err(|_| unusable("it is not a credentials file"))?;
    match kind.kind.as_str() {
        "service_account" => {
            let account = ServiceAccount::read(text).map_err(unusable)?;
            mint_account(account, errand.clone()).await
        }
        "authorized_user" => {
            let person: Authorized =
                serde_json::from_str(text).map_err(|_| unusable("it lacks a part"))?;
            let endpoint = Endpoint::read(person.token_uri.as_deref().unwrap_or(TOKEN_URI))
                .map_err(unusable)?;
            let fields = [
                ("grant_type", "refresh_token"),
                ("client_id", &person.client_id),
                ("client_secret", &person.client_secret),
                ("refresh_token", &person.refresh_token),
            ];
            let request = form(endpoint.uri.clone(), &fields);
            let (_, answer) = errand.ask(network_of(&endpoint), request, code_of).await?;
            lease(&answer)
        }
        _ => Err(unusable(
            "its type is neither service_account nor authorized_user",
        )),
    }
}

/// A token of a service account.
pub(super) async fn mint_account(
    account: ServiceAccount,
    errand: Errand,
) -> Result<Lease<HeaderValue>, MintError> {
    let assertion = assertion(&account, SystemTime::now())?;
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("assertion", assertion.as_str()),
    ];
    let request = form(account.token_uri.uri.clone(), &fields);
    let network = network_of(&account.token_uri);
    let (_, answer) = errand.ask(network, request, code_of).await?;
    lease(&answer)
}

/// What the account says about itself, signed (RFC 7523).
fn assertion(account: &ServiceAccount, now: SystemTime) -> Result<String, MintError> {
    let unsignable = MintError::Unsignable("its private key is not usable");
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_err(|_| MintError::Unsignable("the host's clock is wrong"))?;
    let mut head = json!({"alg": "RS256", "typ": "JWT"});
    if let Some(id) = &account.private_key_id {
        head["kid"] = json!(id);
    }
    let claims = json!({
        "iss": account.client_email,
        "scope": SCOPE,
        "aud": account.token_uri.uri.to_string(),
        "iat": since.as_secs(),
        "exp": (since + ASSERTION).as_secs(),
    });
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(head.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let der = PrivatePkcs8KeyDer::from_pem_slice(account.private_key.expose().as_bytes())
        .map_err(|_| unsignable.clone())?;
    let key = signature::RsaKeyPair::from_pkcs8(der.secret_pkcs8_der())
        .map_err(|_| unsignable.clone())?;
    let mut proof = vec![0; key.public().modulus_len()];
    key.sign(
        &signature::RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        signed.as_bytes(),
        &mut proof,
    )
    .map_err(|_| unsignable)?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(proof)))
}

/// The lease of an answer.
fn lease(answer: &str) -> Result<Lease<HeaderValue>, MintError> {
    let token: Token = serde_json::from_str(answer)
        .map_err(|_| MintError::Unusable("it is not a token in JSON"))?;
    let text = token
        .access_token
        .filter(|text| !text.is_empty())
        .ok_or(MintError::Unusable("it holds no access_token"))?;
    let mut value = HeaderValue::try_from(format!("Bearer {text}"))
        .map_err(|_| MintError::Unusable("its access_token fits no header"))?;
    value.set_sensitive(true);
    let seconds = token
        .expires_in
        .filter(|seconds| *seconds > 0)
        .ok_or(MintError::Unusable("its token has expired already"))?;
    Ok(Lease {
        value,
        // No token lives for longer, whatever it says.
        lifetime: Duration::from_secs(seconds).min(Duration::from_hours(24)),
    })
}

/// The word of a refusal: `{"error":"invalid_grant", …}`.
fn code_of(answer: &str) -> Option<&str> {
    #[derive(Deserialize)]
    struct Refusal<'a> {
        #[serde(borrow)]
        error: &'a str,
    }
    serde_json::from_str::<Refusal<'_>>(answer)
        .ok()
        .map(|refusal| refusal.error)
}

const fn no_code(_: &str) -> Option<&str> {
    None
}
