//! How a provider is paid: authorization type, key, and what its TLS trusts.
//!
//! Owns: the forms and defaults of `authorization` and `apikey`, and the advice about them. In: raw keys and what references
//! led to. Out: a credential, or the plain reason why there is none. Must not know: addresses, models.

use super::{cloud::Kind, provider::Entry};
use crate::config::{
    AuthScheme, Credential,
    cloud::CloudCredential,
    finding::{Class, Notes, member},
    raw, secrets,
};
use crate::{endpoint::Dialect, secret::Secret};
use http::Uri;
use std::sync::Arc;

/// What `authorization` and `apikey` say, or why they say nothing.
#[derive(Default)]
pub(super) struct Payment {
    /// A key that is sent.
    pub(super) key: Option<Credential>,
    /// A credential that signs or is minted.
    pub(super) cloud: Option<CloudCredential>,
    /// Why what is configured can't be used.
    pub(super) missing: Option<String>,
}

impl Payment {
    fn missing(reason: impl Into<String>) -> Self {
        Self {
            missing: Some(reason.into()),
            ..Self::default()
        }
    }

    fn cloud(found: Result<CloudCredential, String>) -> Self {
        match found {
            Ok(credential) => Self {
                cloud: Some(credential),
                ..Self::default()
            },
            Err(reason) => Self::missing(reason),
        }
    }

    /// Whether anything is sent.
    pub(super) const fn is_some(&self) -> bool {
        self.key.is_some() || self.cloud.is_some()
    }
}

impl Entry<'_> {
    /// How the provider is paid, or why it can't be.
    pub(super) fn payment(
        &self,
        authorization: &raw::AuthorizationObject,
        apikey: Option<&str>,
        (dialects, base): (&[Dialect], Option<&Uri>),
        needed: bool,
        notes: &mut Notes,
    ) -> Payment {
        let at = self.at("authorization");
        if notes.is_damaged(&at) || notes.is_damaged(&member(&at, "type")) {
            return Payment::missing("its authorization can't be read");
        }
        let apikey = apikey.filter(|text| !text.is_empty());
        let value = authorization.value.as_deref();
        let value = value.filter(|text| !text.is_empty());
        if let Some(keyfile) = apikey.and_then(|text| self.keyfile(text)) {
            let found = self.service_account(keyfile, &self.at("apikey"), notes);
            return Payment::cloud(found);
        }
        let named = authorization.scheme.as_deref();
        let named = named.filter(|text| !text.is_empty());
        if let Some(kind) = named.and_then(Kind::read) {
            if apikey.is_some() {
                let message = "apikey is not sent with this type of authorization";
                notes.add(Class::Advice, self.at("apikey"), message);
            }
            return Payment::cloud(self.cloud_credential(kind, authorization, base, notes));
        }
        self.unused(None, authorization, notes);
        if apikey.is_some() && value.is_some() {
            notes.add(
                Class::Advice,
                self.at("apikey"),
                "apikey and authorization.value are both set; apikey counts",
            );
        }
        let secret_at = match apikey {
            Some(_) => self.at("apikey"),
            None => member(&at, "value"),
        };
        let anthropic_only = dialects == [Dialect::AnthropicMessages];
        let scheme = match named {
            None if anthropic_only => AuthScheme::XApiKey,
            None => AuthScheme::Bearer,
            Some(text) => {
                let Some(scheme) = scheme(text) else {
                    let message = format!(
                        "provider {} has invalid authorization type: {}",
                        self.id,
                        secrets::echo(text)
                    );
                    notes.add(Class::Mistake, at, message).hint(
                        "a type is bearer, x-api-key, x-goog-api-key, hec, cf-aig-authorization, aws-sigv4, google-adc or google-service-account",
                    );
                    return Payment::missing("its authorization type is not known");
                };
                self.suits(scheme, dialects, notes);
                scheme
            }
        };
        let Some(text) = apikey.or(value) else {
            if needed {
                let message = format!("provider {} has no apikey configured", self.id);
                notes
                    .add(Class::Advice, self.at("apikey"), message)
                    .hint("such as \"apikey\": \"env:OPENAI_API_KEY\"");
            }
            return Payment::default();
        };
        match self.secret(text, &secret_at, notes) {
            Ok(secret) => Payment {
                key: Some(Credential { scheme, secret }),
                ..Payment::default()
            },
            Err(reason) => Payment::missing(reason),
        }
    }

    /// The key file in an `apikey`, written there or where it refers to.
    fn keyfile<'a>(&'a self, apikey: &'a str) -> Option<&'a str> {
        let text = match self.around.secrets.get(apikey) {
            Some(Ok(secret)) => secret.expose(),
            Some(Err(_)) => return None,
            None => apikey,
        };
        text.strip_prefix("keyfile::")
    }

    /// Follows a reference.
    pub(super) fn follow(
        &self,
        text: &str,
        path: &str,
        notes: &mut Notes,
    ) -> Result<Secret, String> {
        match self.around.secrets.get(text) {
            Some(Ok(secret)) => Ok(secret.clone()),
            Some(Err(error)) => {
                let class = if error.is_mistake() {
                    Class::Mistake
                } else {
                    Class::Advice
                };
                let message = format!("provider {}: {error}", self.id);
                notes
                    .add(class, path, message)
                    .hint("requests to this provider are answered with an error until then");
                Err(error.to_string())
            }
            None => Ok(Secret::new(text)),
        }
    }

    /// Follows a reference, and judges what it leads to.
    pub(super) fn secret(
        &self,
        text: &str,
        path: &str,
        notes: &mut Notes,
    ) -> Result<Secret, String> {
        let secret = self.follow(text, path, notes)?;
        if secrets::is_placeholder(secret.expose()) {
            let message = format!("provider {}: the key looks like a placeholder", self.id);
            notes
                .add(Class::Advice, path, message)
                .hint("the provider will refuse it");
        }
        if http::HeaderValue::from_str(secret.expose()).is_err() {
            let reason = "its key holds characters that no header can carry";
            notes.add(
                Class::Mistake,
                path,
                format!("provider {}: {reason}", self.id),
            );
            return Err(reason.to_owned());
        }
        Ok(secret)
    }

    /// Warns where provider and authorization type do not fit.
    fn suits(&self, scheme: AuthScheme, dialects: &[Dialect], notes: &mut Notes) {
        let is_openai = |it| matches!(it, &Dialect::OpenaiChat | &Dialect::OpenaiResponses);
        let openai_only = !dialects.is_empty() && dialects.iter().all(is_openai);
        let advice = match scheme {
            AuthScheme::Bearer if dialects == [Dialect::AnthropicMessages] => {
                "Anthropic expects authorization type x-api-key"
            }
            AuthScheme::XApiKey | AuthScheme::XGoogApiKey if openai_only => {
                "providers of OpenAI formats expect authorization type bearer"
            }
            _ => return,
        };
        let message = format!("provider {}: {advice}", self.id);
        notes.add(Class::Advice, self.at("authorization"), message);
    }

    /// The extra certificate authority.
    pub(super) fn extra_ca(&self, text: Option<String>, notes: &mut Notes) -> Option<Arc<[u8]>> {
        let text = text.filter(|text| !text.is_empty())?;
        let at = self.at("extra_ca");
        let pem = match self.around.secrets.get(&text) {
            Some(Ok(pem)) => pem.expose().to_owned(),
            Some(Err(error)) => {
                notes.add(Class::Mistake, at, format!("provider {}: {error}", self.id));
                return None;
            }
            None => text,
        };
        if !pem.contains("-----BEGIN CERTIFICATE-----") {
            let message = format!("provider {}: extra_ca holds no PEM certificate", self.id);
            notes.add(Class::Mistake, at, message);
            return None;
        }
        Some(pem.into_bytes().into())
    }
}

/// Reads a scheme's name, in any case.
fn scheme(text: &str) -> Option<AuthScheme> {
    Some(match text.to_ascii_lowercase().as_str() {
        "bearer" => AuthScheme::Bearer,
        "x-api-key" => AuthScheme::XApiKey,
        "x-goog-api-key" => AuthScheme::XGoogApiKey,
        "hec" => AuthScheme::Hec,
        "cf-aig-authorization" => AuthScheme::CfAig,
        _ => return None,
    })
}
