//! How a provider is paid: authorization type, key, and what its TLS trusts.
//!
//! Owns: the forms and defaults of `authorization` and `apikey`, and the advice about them. In: raw keys and what references
//! led to. Out: a credential, or the plain reason why there is none. Must not know: addresses, models.

use super::provider::Entry;
use crate::config::{
    AuthScheme, Credential,
    finding::{Class, Notes, member},
    raw, secrets,
};
use crate::{endpoint::Dialect, secret::Secret};
use std::sync::Arc;

impl Entry<'_> {
    /// How the provider is paid, or why it can't be.
    pub(super) fn credential(
        &self,
        authorization: raw::Authorization,
        apikey: Option<String>,
        dialects: &[Dialect],
        needed: bool,
        notes: &mut Notes,
    ) -> (Option<Credential>, Option<String>) {
        let at = self.at("authorization");
        if notes.is_damaged(&at) || notes.is_damaged(&member(&at, "type")) {
            return (None, Some("its authorization can't be read".to_owned()));
        }
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (apikey, value) = (filled(apikey), filled(authorization.value));
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
        let scheme = match filled(authorization.scheme) {
            None if anthropic_only => AuthScheme::XApiKey,
            None => AuthScheme::Bearer,
            Some(text) => {
                let Some(scheme) = scheme(&text) else {
                    let cloud = CLOUD.contains(&text.to_ascii_lowercase().as_str());
                    let shown = if cloud { &text } else { secrets::echo(&text) };
                    let message = format!(
                        "provider {} has invalid authorization type: {shown}",
                        self.id
                    );
                    let hint = if cloud {
                        "cloud credentials are not supported by this version"
                    } else {
                        "a type is bearer, x-api-key, x-goog-api-key, hec or cf-aig-authorization"
                    };
                    notes.add(Class::Mistake, at, message).hint(hint);
                    return (None, Some("its authorization type is not known".to_owned()));
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
            return (None, None);
        };
        match self.secret(text, &secret_at, notes) {
            Ok(secret) => (Some(Credential { scheme, secret }), None),
            Err(reason) => (None, Some(reason)),
        }
    }

    /// Follows a reference, and judges what it leads to.
    fn secret(&self, text: String, path: &str, notes: &mut Notes) -> Result<Secret, String> {
        let secret = match self.around.secrets.get(&text) {
            Some(Ok(secret)) => secret.clone(),
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
                return Err(error.to_string());
            }
            None => Secret::new(text),
        };
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

/// Authorization types that are known and not supported.
const CLOUD: [&str; 3] = ["aws-sigv4", "google-adc", "google-service-account"];

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
