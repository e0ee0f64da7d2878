//! The identity of the development listener: one made-up user, for loopback peers only.
//!
//! Owns: [`DevWhoIs`]. In: the user's name from the command line. Out: answers as the control plane would give them,
//! so that everything behind them is the real code. Must not know: listeners, policy.

use super::WhoIs;
use crate::tailnet::localapi;
use std::net::IpAddr;

/// Answers every question from loopback with the same user.
#[derive(Clone, Debug)]
pub struct DevWhoIs {
    answer: localapi::WhoIs,
}

/// A name that is neither a login nor a list of tags.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{user:?} is neither a login (alice@example.com) nor tags (tag:ci,tag:prod)")]
pub struct BadDevUser {
    /// As given.
    pub user: String,
}

impl DevWhoIs {
    /// Takes a login, or tags joined by commas.
    pub fn new(user: &str) -> Result<Self, BadDevUser> {
        let bad = || BadDevUser { user: user.into() };
        let tags: Vec<String> = if user.starts_with("tag:") {
            user.split(',').map(|tag| tag.trim().to_owned()).collect()
        } else {
            Vec::new()
        };
        let is_tag = |tag: &String| {
            tag.strip_prefix("tag:")
                .is_some_and(|name| !name.is_empty())
        };
        if user.is_empty()
            || user.contains(char::is_control)
            || !tags.iter().all(is_tag)
            || tags.is_empty() && user.contains([' ', ','])
        {
            return Err(bad());
        }
        Ok(Self {
            answer: localapi::WhoIs {
                node: localapi::Node {
                    stable_id: "dev".into(),
                    name: "localhost".into(),
                    tags: (!tags.is_empty()).then_some(tags),
                    ..localapi::Node::default()
                },
                user_profile: localapi::UserProfile {
                    id: dev_id(user),
                    login_name: user.into(),
                    ..localapi::UserProfile::default()
                },
                cap_map: None,
            },
        })
    }
}

/// An id for a made-up user: the same for the same name, and negative, as no id of a control plane is.
fn dev_id(user: &str) -> i64 {
    let hash = blake3::hash(user.as_bytes());
    let (first, _) = hash.as_bytes().split_first_chunk().expect("32 bytes");
    i64::from_be_bytes(*first) | i64::MIN
}

impl WhoIs for DevWhoIs {
    async fn whois(&self, ip: IpAddr) -> Result<Option<localapi::WhoIs>, String> {
        Ok(ip.to_canonical().is_loopback().then(|| self.answer.clone()))
    }

    fn is_dev(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Unidentified, resolve::Resolver};

    async fn resolved(
        user: &str,
        peer: &str,
    ) -> Result<std::sync::Arc<crate::identity::Caller>, Unidentified> {
        let dev = DevWhoIs::new(user).unwrap();
        Resolver::new(dev, Vec::new())
            .resolve(peer.parse().unwrap(), None)
            .await
    }

    #[tokio::test]
    async fn a_loopback_peer_is_the_dev_user() {
        for peer in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            let caller = resolved("alice@example.com", peer).await.unwrap();
            assert_eq!(&*caller.login, "alice@example.com");
            assert!(caller.dev && caller.is_person());
            assert!(caller.user.starts_with("user:-"), "{}", caller.user);
        }
    }

    #[tokio::test]
    async fn tags_make_a_tagged_node() {
        let caller = resolved("tag:prod,tag:api", "::1").await.unwrap();
        assert_eq!(&*caller.user, "tags:tag:api,tag:prod");
        assert!(!caller.is_person());
    }

    #[tokio::test]
    async fn any_other_peer_is_unknown() {
        for peer in ["192.168.1.2", "100.64.0.1", "fe80::1", "::ffff:10.0.0.1"] {
            let refused = resolved("alice@example.com", peer).await;
            assert_eq!(refused, Err(Unidentified::UnknownPeer), "{peer}");
        }
    }

    #[test]
    fn two_names_are_two_users() {
        assert_eq!(dev_id("alice@example.com"), dev_id("alice@example.com"));
        assert_ne!(dev_id("alice@example.com"), dev_id("bob@example.com"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for user in ["", "tag:", "tag:a,", "tag:a,bob", "a b", "a,b", "a\nb"] {
            assert!(DevWhoIs::new(user).is_err(), "{user:?}");
        }
    }
}
