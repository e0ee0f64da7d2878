//! What an answer of a provider means: which part works or does not, in which words, and what to do.
//!
//! Owns: [`Verdict`]. In: what came of the question. Out: the part, a sentence, a remedy. Must not know: reports.

use crate::{
    config::{AuthMode, Provider},
    provider::{
        client::{Stage, TlsFault},
        probe::{Answer, Found},
    },
};
use http::StatusCode;

/// What the answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It answers, and the credential is good (or none is needed).
    Accepted(StatusCode),
    /// It answers, and wants the credential that clients bring themselves.
    NeedsClient(StatusCode),
    /// It answers, and has no list of models where it was asked: nothing is known about the credential.
    NoList(StatusCode),
    /// It refuses the credential, in its own words.
    Refused(StatusCode, String),
    /// It has no time: too many requests.
    Limited(StatusCode),
    /// It has a problem of its own, in its own words.
    Ailing(StatusCode, String),
    /// An answer that no provider gives: the address is probably another one's.
    Odd(StatusCode, String),
    /// The credential can't be made: signed, minted, or put into a header.
    NotMinted(String),
    /// The address can't be called.
    BadAddress(String),
    /// No connection.
    Unreachable(Stage, String),
    /// The connection broke before an answer.
    Broken(String),
    /// No answer in time, in seconds.
    Silent(u64),
}

// === impl Verdict ===

impl Verdict {
    /// Judges what came of the question; `limit` is the time that it had, in seconds.
    pub(super) fn of(provider: &Provider, found: &Found, limit: u64) -> Self {
        match &found.answer {
            Answer::Unaskable => {
                Self::BadAddress("it speaks no format, or makes no URL".to_owned())
            }
            Answer::NoCredential(why) => Self::NotMinted(why.clone()),
            Answer::Silent => Self::Silent(limit),
            Answer::Unreachable(why) => match found.stage {
                // The sentence says so already.
                Some(stage) => Self::Unreachable(stage, bare(why)),
                None => Self::Broken(bare(why)),
            },
            Answer::Said { status, words, .. } => Self::by_status(provider, *status, words),
        }
    }

    fn by_status(provider: &Provider, status: StatusCode, words: &str) -> Self {
        let words = || words.to_owned();
        // Google answers a bad key as a bad request.
        let bad_key = status == StatusCode::BAD_REQUEST && words().contains("API key not valid");
        let brings_none = provider.credential.is_none() && provider.cloud.is_none();
        match status {
            status if status.is_success() => Self::Accepted(status),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
                if brings_none && provider.auth_mode == AuthMode::Passthrough =>
            {
                Self::NeedsClient(status)
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Self::Refused(status, words()),
            _ if bad_key => Self::Refused(status, words()),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Self::NoList(status),
            StatusCode::TOO_MANY_REQUESTS => Self::Limited(status),
            status if status.is_server_error() => Self::Ailing(status, words()),
            status => Self::Odd(status, words()),
        }
    }

    /// The part that works or does not, in a word: `baseurl`, `dns`, `tcp`, `tls`, `http`, `credential`.
    pub(super) const fn part(&self) -> &'static str {
        match self {
            Self::BadAddress(_) => "baseurl",
            Self::Unreachable(Stage::Name, _) => "dns",
            Self::Unreachable(Stage::Network, _) => "tcp",
            Self::Unreachable(Stage::Tls(_), _) => "tls",
            Self::NotMinted(_) | Self::Refused(..) => "credential",
            Self::Accepted(_)
            | Self::NeedsClient(_)
            | Self::NoList(_)
            | Self::Limited(_)
            | Self::Ailing(..)
            | Self::Odd(..)
            | Self::Broken(_)
            | Self::Silent(_) => "http",
        }
    }

    /// What was seen, in a sentence.
    pub(super) fn says(&self) -> String {
        let with = |text: String, words: &String| match &**words {
            "" => text,
            words => format!("{text}: {words}"),
        };
        match self {
            Self::Accepted(status) => format!("answers ({})", status.as_u16()),
            Self::NeedsClient(status) => format!(
                "answers ({}): it takes the credential that clients bring",
                status.as_u16()
            ),
            Self::NoList(status) => format!(
                "answers ({}): no list of models there, so the credential could not be tried",
                status.as_u16()
            ),
            Self::Refused(status, words) => with(
                format!("it refuses the credential ({})", status.as_u16()),
                words,
            ),
            Self::Limited(status) => {
                format!(
                    "answers ({}): too many requests at present",
                    status.as_u16()
                )
            }
            Self::Ailing(status, words) => with(
                format!("it answers with an error ({})", status.as_u16()),
                words,
            ),
            Self::Odd(status, words) => with(
                format!(
                    "it does not answer as a provider does ({})",
                    status.as_u16()
                ),
                words,
            ),
            Self::NotMinted(why) => format!("its credential can't be had: {why}"),
            Self::BadAddress(why) => format!("its address can't be called: {why}"),
            Self::Unreachable(Stage::Name, why) => format!("its name has no address: {why}"),
            Self::Unreachable(Stage::Network, why) => format!("no connection: {why}"),
            Self::Unreachable(Stage::Tls(fault), why) => match fault {
                TlsFault::Expired => format!("its certificate has expired: {why}"),
                TlsFault::Early => format!("its certificate is not valid yet: {why}"),
                TlsFault::WrongName => format!("its certificate is for another name: {why}"),
                TlsFault::Untrusted => {
                    format!("its certificate is from nobody who is trusted here: {why}")
                }
                TlsFault::Other => format!("no TLS: {why}"),
            },
            Self::Broken(why) => format!("the connection broke before an answer: {why}"),
            Self::Silent(seconds) => format!("no answer within {seconds} s"),
        }
    }

    /// What to do; empty when there is nothing to be done.
    pub(super) const fn remedy(&self) -> &'static str {
        match self {
            Self::Accepted(_) | Self::NeedsClient(_) | Self::NoList(_) => "",
            Self::Refused(..) => {
                "correct authorization: is the key valid, and its type the one that this provider takes?"
            }
            Self::Limited(_) => "wait, or ask the provider for a higher limit",
            Self::Ailing(..) => "the provider has a problem of its own: look at its status page",
            Self::Odd(..) => {
                "is baseurl the provider's API, without a path that clients send themselves?"
            }
            Self::NotMinted(_) => {
                "correct authorization; a file, a profile or a metadata server is looked for where the gateway runs"
            }
            Self::BadAddress(_) => "correct baseurl and compatibility",
            Self::Unreachable(Stage::Name, _) => {
                "correct the name in baseurl; if it is right, the host's DNS does not know it (a tailnet name needs \"tailnet\": true)"
            }
            Self::Unreachable(Stage::Network, _) => {
                "is the port right, does the server run, and may this host (or, with \"tailnet\": true, this node) reach it?"
            }
            Self::Unreachable(Stage::Tls(fault), _) => match fault {
                TlsFault::Expired => "the provider has to renew its certificate",
                TlsFault::Early => "is this host's clock right?",
                TlsFault::WrongName => "write a name in baseurl that is in the certificate",
                TlsFault::Untrusted => {
                    "give its authority as extra_ca; behind an inspecting proxy, the proxy's as SSL_CERT_FILE"
                }
                TlsFault::Other => {
                    "does it speak TLS on that port? If not, baseurl begins with http://"
                }
            },
            Self::Broken(_) => {
                "does it speak HTTP there, with TLS if baseurl begins with https://?"
            }
            Self::Silent(_) => "is the address right, and may this host reach it?",
        }
    }
}

/// What a connection's error says, without the words that tell the stage.
fn bare(why: &str) -> String {
    let known = [
        "no connection: ",
        "the connection broke before the response: ",
        "certificates: ",
    ];
    let rest = known.iter().find_map(|start| why.strip_prefix(start));
    rest.unwrap_or(why).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{AuthScheme, Credential},
        secret::Secret,
    };
    use http::Uri;

    fn provider() -> Provider {
        Provider {
            credential: Some(Credential {
                scheme: AuthScheme::Bearer,
                secret: Secret::new("sk-key"),
            }),
            ..Provider::new("p", Uri::from_static("http://p"))
        }
    }

    #[test]
    fn a_status_is_judged_by_what_the_provider_takes() {
        let key = provider();
        let own = Provider {
            credential: None,
            auth_mode: AuthMode::Passthrough,
            ..provider()
        };
        let of = |provider, status: u16, words| {
            Verdict::by_status(provider, StatusCode::from_u16(status).unwrap(), words).part()
        };
        assert_eq!(of(&key, 200, ""), "http");
        assert_eq!(of(&key, 401, ""), "credential");
        assert_eq!(of(&own, 401, ""), "http");
        assert_eq!(
            of(&key, 400, "API key not valid. Please pass a valid one."),
            "credential"
        );
        assert_eq!(of(&key, 400, ""), "http");
        let not_found = Verdict::by_status(&key, StatusCode::NOT_FOUND, "");
        assert_eq!(not_found, Verdict::NoList(StatusCode::NOT_FOUND));
    }

    #[test]
    fn a_connection_that_was_not_made_is_judged_by_how_far_it_got() {
        let of = |stage| {
            let found = Found {
                stage,
                ..Answer::Unreachable("no connection: refused".to_owned()).into()
            };
            Verdict::of(&provider(), &found, 8)
        };
        for (stage, part) in [
            (Some(Stage::Name), "dns"),
            (Some(Stage::Network), "tcp"),
            (Some(Stage::Tls(TlsFault::Expired)), "tls"),
            (None, "http"),
        ] {
            assert_eq!(of(stage).part(), part);
        }
        assert_eq!(of(Some(Stage::Network)).says(), "no connection: refused");
        let silent = Verdict::of(&provider(), &Answer::Silent.into(), 8);
        assert_eq!(silent.says(), "no answer within 8 s");
    }
}
