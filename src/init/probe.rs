//! Whether a key works, and which models there are: the provider's answer to the gateway's cheap question, for somebody who is
//! writing a first document.
//!
//! Owns: [`Found`]. In: a provider that is not in a document yet. Out: what came of it. Must not know: how it is told.

use crate::{
    config::Provider,
    endpoint::Dialect,
    provider::{
        client::{Client, Options},
        credential::{Credentials, Host},
        probe::{self, Answer, LIMIT},
    },
    shutdown::Tasks,
};
use http::StatusCode;

/// What a provider said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The key works; these are its models, as far as it lists them.
    Works(Vec<String>),
    /// It lists its models to anybody, so that nothing is known about the key.
    Open(Vec<String>),
    /// It refuses the key.
    Refused(String),
    /// It can't be asked from here, or its answer says nothing.
    Unknown(String),
}

/// Asks, over this host's network. What is on the tailnet only the gateway's own node can reach.
pub(super) async fn probe(provider: &Provider, allow_local: bool) -> Found {
    if provider.tailnet {
        return Found::Unknown(
            "it is reached through the gateway's own node, once that runs".to_owned(),
        );
    }
    let client = Client::new(Options {
        dial: None,
        allow_local,
        connect_timeout: LIMIT,
    });
    let credentials = Credentials::new(client.clone(), Host::from_process(), Tasks::default());
    judged(
        provider,
        probe::probe(&client, &credentials, provider).await,
    )
}

/// What an answer means for the key.
fn judged(provider: &Provider, answer: Answer) -> Found {
    match answer {
        Answer::Unaskable => {
            Found::Unknown("it has no format, or its address can't be called".to_owned())
        }
        Answer::NoCredential(why) => Found::Refused(format!("its credential can't be had: {why}")),
        Answer::Silent => Found::Unknown(format!("no answer within {} s", LIMIT.as_secs())),
        Answer::Unreachable(why) => Found::Unknown(why),
        Answer::Said {
            status,
            models,
            to_anybody,
            ..
        } => {
            // Gemini calls a bad key a bad request.
            let gemini = provider.dialects.first() == Some(&Dialect::GeminiGenerateContent);
            let bad_key = probe::refuses(status) || (gemini && status == StatusCode::BAD_REQUEST);
            if bad_key {
                Found::Refused(format!("the key is refused ({})", status.as_u16()))
            } else if !status.is_success() {
                Found::Unknown(format!("it answers {}", status.as_u16()))
            } else if to_anybody && provider.credential.is_some() {
                Found::Open(models)
            } else {
                Found::Works(models)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{AuthScheme, Credential},
        secret::Secret,
    };
    use http::Uri;

    #[test]
    fn a_key_is_called_good_only_when_that_was_shown() {
        let mut provider = Provider::new("p", Uri::from_static("http://p"));
        let said = |status: u16, to_anybody| Answer::Said {
            status: StatusCode::from_u16(status).unwrap(),
            words: String::new(),
            models: vec!["a".to_owned()],
            to_anybody,
        };
        let models = || vec!["a".to_owned()];
        assert_eq!(judged(&provider, said(200, true)), Found::Works(models()));
        provider.credential = Some(Credential {
            scheme: AuthScheme::Bearer,
            secret: Secret::new("sk-key"),
        });
        assert_eq!(judged(&provider, said(200, false)), Found::Works(models()));
        assert_eq!(judged(&provider, said(200, true)), Found::Open(models()));
        for status in [401, 403] {
            assert!(matches!(
                judged(&provider, said(status, false)),
                Found::Refused(_)
            ));
        }
        for answer in [
            said(400, false),
            said(500, false),
            Answer::Silent,
            Answer::Unaskable,
        ] {
            assert!(matches!(judged(&provider, answer), Found::Unknown(_)));
        }
        provider.dialects = [Dialect::GeminiGenerateContent].into_iter().collect();
        assert!(matches!(
            judged(&provider, said(400, false)),
            Found::Refused(_)
        ));
    }
}
