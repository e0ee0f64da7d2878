//! The types of `authorization` that sign or mint, and what Vertex AI leaves to the gateway.
//!
//! Owns: which keys of the object each type takes, and the rules of their values. In: the raw object and what references
//! led to. Out: a [`CloudCredential`], or the plain reason why there is none, and a [`Vertex`]. Must not know: how anything
//! is minted.

use super::provider::Entry;
use crate::config::{
    Vertex,
    cloud::{self, Adc, Aws, AwsKeys, CloudCredential, Endpoint, ServiceAccount},
    finding::{Class, Notes, member},
    raw::AuthorizationObject,
};
use http::Uri;
use std::sync::Arc;

/// The types, by name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Aws,
    Adc,
    ServiceAccount,
}

impl Kind {
    /// Reads a type's name, in any case.
    pub(super) fn read(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "aws-sigv4" => Self::Aws,
            "google-adc" => Self::Adc,
            "google-service-account" => Self::ServiceAccount,
            _ => return None,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws-sigv4",
            Self::Adc => "google-adc",
            Self::ServiceAccount => "google-service-account",
        }
    }

    const fn takes(self) -> &'static [&'static str] {
        match self {
            Self::Aws => &[
                "region",
                "profile",
                "access_key_id",
                "secret_access_key",
                "session_token",
                "role_arn",
                "endpoint",
            ],
            Self::Adc => &["region", "project", "endpoint"],
            Self::ServiceAccount => &["region", "project", "keyfile"],
        }
    }
}

/// What types that send a key take.
const KEY_TAKES: &[&str] = &["value", "region", "project"];

/// A text that is there.
fn filled(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

impl Entry<'_> {
    /// What a type signs or mints with, or why it can't.
    pub(super) fn cloud_credential(
        &self,
        kind: Kind,
        object: &AuthorizationObject,
        base: Option<&Uri>,
        notes: &mut Notes,
    ) -> Result<CloudCredential, String> {
        self.unused(Some(kind), object, notes);
        match kind {
            Kind::Aws => self.aws(object, base, notes).map(CloudCredential::Aws),
            Kind::Adc => {
                let endpoint = self.endpoint(object, notes)?;
                Ok(CloudCredential::Adc(Adc { endpoint }))
            }
            Kind::ServiceAccount => {
                let at = member(&self.at("authorization"), "keyfile");
                let Some(text) = filled(object.keyfile.as_ref()) else {
                    let hint = "such as \"keyfile\": \"file:vertex.json\"";
                    return Err(self.mistake(&at, "has no keyfile", hint, notes));
                };
                let secret = self.follow(text, &at, notes)?;
                self.service_account(secret.expose(), &at, notes)
            }
        }
    }

    /// Reads a service account's key file.
    pub(super) fn service_account(
        &self,
        text: &str,
        at: &str,
        notes: &mut Notes,
    ) -> Result<CloudCredential, String> {
        if ServiceAccount::is_sample(text) {
            let message = format!(
                "provider {}: the key file looks like a placeholder",
                self.id
            );
            notes
                .add(Class::Advice, at, message)
                .hint("requests to this provider are answered with an error until it is replaced");
            return Err("its key file is a placeholder".to_owned());
        }
        let account = match ServiceAccount::read(text) {
            Ok(account) => account,
            Err(reason) => {
                let what = format!("has a key file that can't be used: {reason}");
                let hint = "it is the JSON file that Google's console or gcloud writes for a service account's key";
                return Err(self.mistake(at, &what, hint, notes));
            }
        };
        if account.token_uri.local && !self.around.allow_local {
            let what = "has a key file whose token_uri is the gateway's own host, its link or a metadata service";
            let hint = "start with --allow-local-upstreams to permit it";
            return Err(self.mistake(at, what, hint, notes));
        }
        Ok(CloudCredential::ServiceAccount(account))
    }

    fn aws(
        &self,
        object: &AuthorizationObject,
        base: Option<&Uri>,
        notes: &mut Notes,
    ) -> Result<Aws, String> {
        let at = self.at("authorization");
        // Everything is looked at before anything is given up, so that all mistakes are reported together.
        let region = self.aws_region(object, base, notes);
        let endpoint = self.endpoint(object, notes);
        let role_arn = match filled(object.role_arn.as_ref()) {
            None => Ok(None),
            Some(arn) if is_role(arn) => Ok(Some(Arc::from(arn))),
            Some(_) => {
                let hint = "such as \"arn:aws:iam::123456789012:role/gateway\"";
                let at = member(&at, "role_arn");
                Err(self.mistake(&at, "has a role_arn that names no role", hint, notes))
            }
        };
        let keys = self.aws_keys(object, notes);
        Ok(Aws {
            region: region?,
            keys: keys?,
            role_arn: role_arn?,
            endpoint: endpoint?,
        })
    }

    fn aws_region(
        &self,
        object: &AuthorizationObject,
        base: Option<&Uri>,
        notes: &mut Notes,
    ) -> Result<Arc<str>, String> {
        let at = member(&self.at("authorization"), "region");
        let hint = "such as \"region\": \"us-east-1\"";
        match filled(object.region.as_ref()) {
            Some(region) if cloud::is_region(region) => Ok(region.into()),
            Some(_) => Err(self.mistake(&at, "has a region that is no region's name", hint, notes)),
            None => base
                .and_then(cloud::region_of)
                .map(Arc::from)
                .ok_or_else(|| self.mistake(&at, "has no region to sign for", hint, notes)),
        }
    }

    fn aws_keys(&self, object: &AuthorizationObject, notes: &mut Notes) -> Result<AwsKeys, String> {
        let at = self.at("authorization");
        let hint = "either \"profile\", or \"access_key_id\" and \"secret_access_key\"";
        let profile = filled(object.profile.as_ref());
        let id = filled(object.access_key_id.as_ref());
        let key = filled(object.secret_access_key.as_ref());
        match (profile, id, key) {
            (Some(profile), None, None) => {
                if profile.len() > 128 || profile.contains(['[', ']', '\n', '\r']) {
                    let at = member(&at, "profile");
                    return Err(self.mistake(&at, "has a profile that is no name", hint, notes));
                }
                if filled(object.session_token.as_ref()).is_some() {
                    let message = "session_token counts only beside access_key_id";
                    notes.add(Class::Advice, member(&at, "session_token"), message);
                }
                Ok(AwsKeys::Profile(profile.into()))
            }
            (None, Some(id), Some(key)) => {
                let id = self.secret(id, &member(&at, "access_key_id"), notes);
                let key = self.secret(key, &member(&at, "secret_access_key"), notes);
                let token = filled(object.session_token.as_ref())
                    .map(|token| self.secret(token, &member(&at, "session_token"), notes))
                    .transpose();
                Ok(AwsKeys::Static {
                    access_key_id: id?,
                    secret_access_key: key?,
                    session_token: token?,
                })
            }
            (Some(_), _, _) => {
                let what = "has both a profile and keys";
                Err(self.mistake(&member(&at, "profile"), what, hint, notes))
            }
            (None, None, None) => Err(self.mistake(&at, "has no AWS keys", hint, notes)),
            (None, _, _) => {
                let what = "has one half of its AWS keys";
                Err(self.mistake(&at, what, hint, notes))
            }
        }
    }

    fn endpoint(
        &self,
        object: &AuthorizationObject,
        notes: &mut Notes,
    ) -> Result<Option<Endpoint>, String> {
        let at = member(&self.at("authorization"), "endpoint");
        let Some(text) = filled(object.endpoint.as_ref()) else {
            return Ok(None);
        };
        match Endpoint::read(text) {
            Ok(endpoint) if endpoint.local && !self.around.allow_local => {
                let what =
                    "has an endpoint on the gateway's own host, its link or a metadata service";
                let hint = "start with --allow-local-upstreams to permit it; google-adc finds the metadata server by itself";
                Err(self.mistake(&at, what, hint, notes))
            }
            Ok(endpoint) => Ok(Some(endpoint)),
            Err(reason) => {
                let what = format!("has an endpoint that can't be used: {reason}");
                let hint = "such as \"https://sts.us-east-1.amazonaws.com\"";
                Err(self.mistake(&at, &what, hint, notes))
            }
        }
    }

    /// What paths on Vertex AI are completed with.
    pub(super) fn vertex(
        &self,
        object: &AuthorizationObject,
        base: Option<&Uri>,
        credential: Option<&CloudCredential>,
        short_paths: bool,
        notes: &mut Notes,
    ) -> Vertex {
        let at = self.at("authorization");
        let mut named = |key, text: Option<&String>, fits: fn(&str) -> bool, hint| {
            let text = filled(text)?;
            if fits(text) {
                return Some(Arc::<str>::from(text));
            }
            let what = format!("has a {key} that is no {key}'s name");
            self.mistake(&member(&at, key), &what, hint, notes);
            None
        };
        let project = named(
            "project",
            object.project.as_ref(),
            cloud::is_project,
            "such as \"project\": \"my-project-123\"",
        );
        let region = match object.scheme.as_deref().and_then(Kind::read) {
            // Another cloud's region, judged where it is used.
            Some(Kind::Aws) => None,
            _ => named(
                "region",
                object.region.as_ref(),
                cloud::is_region,
                "such as \"region\": \"europe-west1\"",
            ),
        };
        let of_keyfile = match credential {
            Some(CloudCredential::ServiceAccount(account)) => account.project_id.clone(),
            _ => None,
        };
        Vertex {
            project: project.or(of_keyfile),
            region: region
                .or_else(|| base.and_then(cloud::region_of).map(Arc::from))
                .unwrap_or_else(|| cloud::GLOBAL.into()),
            short_paths,
        }
    }

    /// Says which keys of the object its type does not take; none = a type that sends a key.
    pub(super) fn unused(
        &self,
        kind: Option<Kind>,
        object: &AuthorizationObject,
        notes: &mut Notes,
    ) {
        let takes = kind.map_or(KEY_TAKES, Kind::takes);
        let at = self.at("authorization");
        for (key, text) in [
            ("value", &object.value),
            ("region", &object.region),
            ("profile", &object.profile),
            ("access_key_id", &object.access_key_id),
            ("secret_access_key", &object.secret_access_key),
            ("session_token", &object.session_token),
            ("role_arn", &object.role_arn),
            ("endpoint", &object.endpoint),
            ("keyfile", &object.keyfile),
            ("project", &object.project),
        ] {
            if filled(text.as_ref()).is_some() && !takes.contains(&key) {
                let name = kind.map_or("a type that sends a key", Kind::name);
                notes
                    .add(
                        Class::Advice,
                        member(&at, key),
                        format!("{name} does not take {key}, ignored"),
                    )
                    .on_key()
                    .hint(format!("it takes {}", takes.join(", ")));
            }
        }
    }

    /// Notes a mistake; the reason that requests are answered with comes back.
    fn mistake(&self, at: &str, what: &str, hint: &str, notes: &mut Notes) -> String {
        notes
            .add(Class::Mistake, at, format!("provider {} {what}", self.id))
            .hint(hint);
        format!("it {what}")
    }
}

/// Whether a text names an IAM role.
fn is_role(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    text.len() <= 2048
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && matches!(parts[..], ["arn", _, "iam", "", account, role]
            if account.bytes().all(|byte| byte.is_ascii_digit()) && role.starts_with("role/"))
}

#[cfg(test)]
mod tests;
