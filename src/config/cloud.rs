//! Credentials that a cloud signs with or mints, and what its host names tell.
//!
//! Owns: the kinds of [`CloudCredential`], and the reading of Google's key files. In: texts that were found. Out: types that
//! name what is needed to mint or to sign. Must not know: the document's keys, how anything is minted.

use super::address;
use crate::secret::Secret;
use base64::{Engine as _, engine::general_purpose};
use http::Uri;
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use serde::Deserialize;
use std::sync::Arc;

/// The region of Google's endpoint without a region.
pub(crate) const GLOBAL: &str = "global";

/// Google's own token endpoint.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// A credential that is no header line by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CloudCredential {
    /// Requests are signed with AWS Signature Version 4.
    Aws(Aws),
    /// Access tokens of a Google service account.
    ServiceAccount(ServiceAccount),
    /// Access tokens of whatever Google credential the host has.
    Adc(Adc),
}

/// How requests to AWS are signed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Aws {
    /// The region that is signed for.
    pub region: Arc<str>,
    /// Where the keys come from.
    pub keys: AwsKeys,
    /// The role to assume with them.
    pub role_arn: Option<Arc<str>>,
    /// The security token service, in place of the region's own.
    pub endpoint: Option<Endpoint>,
}

/// Where AWS keys come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AwsKeys {
    /// The document.
    Static {
        /// Names the key.
        access_key_id: Secret,
        /// Signs.
        secret_access_key: Secret,
        /// Belongs to temporary keys.
        session_token: Option<Secret>,
    },
    /// A profile of the AWS files on the host.
    Profile(Arc<str>),
}

/// A Google service account's key file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceAccount {
    /// Who it is.
    pub client_email: Arc<str>,
    /// PKCS#8, PEM; it was seen to be an RSA key.
    pub private_key: Secret,
    /// Names the key.
    pub private_key_id: Option<Arc<str>>,
    /// Where tokens are minted.
    pub token_uri: Endpoint,
    /// Its project.
    pub project_id: Option<Arc<str>>,
}

/// Google's application-default credentials.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Adc {
    /// The metadata server to ask, in place of what the host has.
    pub endpoint: Option<Endpoint>,
}

/// An address that credentials are fetched from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Where.
    pub uri: Uri,
    /// On the gateway's own host or link: permitted by `--allow-local-upstreams` only.
    pub local: bool,
    /// On the tailnet.
    pub tailnet: bool,
}

impl Endpoint {
    /// Reads an address; whether a local one may be used is for the caller to say.
    ///
    /// # Errors
    /// The reason, which does not repeat the text.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        let found = address::read(text)?;
        if found.plain && found.place == address::Place::Public {
            return Err("it must begin with https://, because credentials travel over it");
        }
        Ok(Self {
            uri: found.base,
            local: found.place == address::Place::Local,
            tailnet: found.place == address::Place::Tailnet,
        })
    }
}

/// A service account's key file, as Google writes it.
#[derive(Deserialize)]
struct Keyfile {
    #[serde(rename = "type")]
    kind: Option<String>,
    client_email: Option<String>,
    private_key: Option<String>,
    private_key_id: Option<String>,
    token_uri: Option<String>,
    project_id: Option<String>,
}

impl ServiceAccount {
    /// Reads a key file: JSON, or JSON in base64.
    ///
    /// # Errors
    /// The reason, which repeats nothing of the text.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        let decoded = if text.starts_with('{') {
            text.as_bytes().to_vec()
        } else {
            from_base64(text).ok_or("it is neither JSON nor base64")?
        };
        let file: Keyfile =
            serde_json::from_slice(&decoded).map_err(|_| "it is not a key file in JSON")?;
        if file
            .kind
            .as_deref()
            .is_some_and(|kind| kind != "service_account")
        {
            return Err("its type is not service_account");
        }
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        let client_email = filled(file.client_email).ok_or("it has no client_email")?;
        let private_key = filled(file.private_key).ok_or("it has no private_key")?;
        let der = PrivatePkcs8KeyDer::from_pem_slice(private_key.as_bytes())
            .map_err(|_| "its private_key is not a PKCS#8 key in PEM form")?;
        ring::signature::RsaKeyPair::from_pkcs8(der.secret_pkcs8_der())
            .map_err(|_| "its private_key is not an RSA key")?;
        let token_uri = filled(file.token_uri).unwrap_or_else(|| TOKEN_URI.to_owned());
        Ok(Self {
            client_email: client_email.into(),
            private_key: Secret::new(private_key),
            private_key_id: filled(file.private_key_id).map(Into::into),
            token_uri: Endpoint::read(&token_uri)
                .map_err(|_| "its token_uri is not an address that credentials can go to")?,
            project_id: filled(file.project_id).map(Into::into),
        })
    }

    /// Whether a key file is an empty one, put where the real one is to go.
    pub(crate) fn is_sample(text: &str) -> bool {
        let text = text.trim();
        let decoded = from_base64(text).unwrap_or_else(|| text.as_bytes().to_vec());
        serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&decoded)
            .is_ok_and(|object| object.is_empty())
    }
}

/// Base64 of either alphabet, with or without padding and line ends.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let plain: String = text
        .chars()
        .filter(|letter| !letter.is_ascii_whitespace() && *letter != '=')
        .map(|letter| match letter {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    general_purpose::STANDARD_NO_PAD.decode(plain).ok()
}

/// The region that a host's name tells: `REGION-aiplatform.googleapis.com`, `bedrock-runtime.REGION.amazonaws.com`.
pub(crate) fn region_of(base: &Uri) -> Option<&str> {
    let host = base.host()?;
    if let Some(region) = host.strip_suffix("-aiplatform.googleapis.com") {
        return is_region(region).then_some(region);
    }
    let rest = host
        .strip_suffix(".amazonaws.com")
        .or_else(|| host.strip_suffix(".amazonaws.com.cn"))?;
    let region = rest.split('.').nth(1)?;
    is_region(region).then_some(region)
}

/// Whether a text is a region's name. It becomes part of host names, so nothing else may pass.
pub(crate) fn is_region(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty()
        && text.len() <= 32
        && text.bytes().all(plain)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether a text is a project's id or number (older ids have a domain before a colon).
pub(crate) fn is_project(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte);
    !text.is_empty() && text.len() <= 128 && text.bytes().all(plain) && !text.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_in_the_hosts_name() {
        for (base, region) in [
            (
                "https://europe-west1-aiplatform.googleapis.com",
                Some("europe-west1"),
            ),
            ("https://aiplatform.googleapis.com", None),
            (
                "https://bedrock-runtime.us-east-1.amazonaws.com",
                Some("us-east-1"),
            ),
            (
                "https://bedrock-runtime.cn-north-1.amazonaws.com.cn",
                Some("cn-north-1"),
            ),
            ("https://amazonaws.com", None),
            ("http://127.0.0.1:1", None),
        ] {
            assert_eq!(region_of(&base.parse().unwrap()), region, "{base}");
        }
        for text in ["", "a/b", "us-east-1.evil.example", "-x", "x-", "US-EAST-1"] {
            assert!(!is_region(text), "{text}");
        }
    }

    #[test]
    fn a_wrong_key_file_is_told_without_its_text() {
        for (text, reason) in [
            ("%%%", "neither JSON nor base64"),
            ("bm90IGpzb24=", "not a key file"),
            ("{", "not a key file"),
            (r#"{"type":"authorized_user"}"#, "not service_account"),
            ("{}", "no client_email"),
            (r#"{"client_email":"a@b"}"#, "no private_key"),
            (
                r#"{"client_email":"a@b","private_key":"s3cret"}"#,
                "not a PKCS#8 key",
            ),
        ] {
            let said = ServiceAccount::read(text).unwrap_err();
            assert!(said.contains(reason), "{text}: {said}");
            assert!(!said.contains("s3cret"));
        }
        assert!(ServiceAccount::is_sample("e30=") && ServiceAccount::is_sample("{}"));
        assert!(!ServiceAccount::is_sample("{\"a\":1}"));
    }

    #[test]
    fn credentials_travel_over_https_but_for_the_own_networks() {
        assert!(Endpoint::read("http://sts.example.com").is_err());
        assert!(!Endpoint::read("https://sts.example.com").unwrap().local);
        assert!(Endpoint::read("http://127.0.0.1:9").unwrap().local);
        assert!(Endpoint::read("http://100.64.0.9").unwrap().tailnet);
    }
}
