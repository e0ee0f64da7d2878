//! Answers of the node's `LocalAPI`, read leniently.
//!
//! Owns: the types of the answers that the gateway reads, and what their HTTP status means. In: status and body. Out:
//! types, or a [`LocalApiError`]. What is missing, null or unknown becomes empty, because the shapes grow with every
//! release; what can't be read at all is an error, so that whoever asked can refuse.
//! Must not know: what a capability or a tag allows.

use serde::{Deserialize, Deserializer, de::IgnoredAny};
use std::{collections::HashMap, net::IpAddr};

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum LocalApiError {
    /// The question could not be asked or took too long.
    #[error("the node did not answer: {0}")]
    NoAnswer(String),
    /// The node refused it.
    #[error("the node answered {status}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The node's words.
        message: String,
    },
    /// The answer is not what was asked for.
    #[error("the node's answer can't be read")]
    Unreadable(#[from] serde_json::Error),
    /// The answer says that an address is in use, and not by whom.
    #[error("the node's answer names no node")]
    Nameless,
}

/// App capabilities: name → raw JSON values, one for each grant that matches.
pub type Capabilities = HashMap<String, Option<Vec<serde_json::Value>>>;

/// Who has an address.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WhoIs {
    /// The node.
    pub node: Node,
    /// Its owner.
    pub user_profile: UserProfile,
    /// App capabilities: name → raw JSON values.
    #[serde(deserialize_with = "capabilities")]
    pub cap_map: Option<Capabilities>,
}

/// A node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Node {
    /// Stable id.
    #[serde(rename = "StableID")]
    pub stable_id: String,
    /// FQDN with a trailing dot.
    pub name: String,
    /// Name for people.
    pub computed_name: String,
    /// Owner's id.
    pub user: i64,
    /// Tags.
    pub tags: Option<Vec<String>>,
    /// The user who shared this node in, 0 = none.
    pub sharer: i64,
    /// Key expiry, RFC 3339; the zero time = never.
    pub key_expiry: Option<String>,
    /// Whether the key has expired.
    pub expired: bool,
}

/// A user.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UserProfile {
    /// User id.
    #[serde(rename = "ID")]
    pub id: i64,
    /// Login name.
    pub login_name: String,
    /// Name for people.
    pub display_name: String,
    /// Visible groups.
    pub groups: Option<Vec<String>>,
}

/// The node itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Status {
    /// `Running`, `NeedsLogin`, ….
    pub backend_state: String,
    /// Where a person can log the node in.
    #[serde(rename = "AuthURL")]
    pub auth_url: String,
    /// Own addresses.
    #[serde(rename = "TailscaleIPs")]
    pub addresses: Option<Vec<IpAddr>>,
    /// Own node.
    #[serde(rename = "Self")]
    pub own: Option<OwnNode>,
    /// The tailnet.
    pub current_tailnet: Option<Tailnet>,
    /// Names that a certificate can be had for.
    pub cert_domains: Option<Vec<String>>,
    /// What is wrong, for people.
    pub health: Option<Vec<String>>,
    /// The other nodes, when they were asked for.
    pub peer: Option<HashMap<String, PeerNode>>,
}

/// The node itself, as the tailnet knows it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct OwnNode {
    /// Stable id.
    #[serde(rename = "ID")]
    pub id: String,
    /// The node's present key; another one after each login.
    pub public_key: String,
    /// FQDN with a trailing dot. May differ from the name that was asked for.
    #[serde(rename = "DNSName")]
    pub dns_name: String,
    /// Tags.
    pub tags: Option<Vec<String>>,
    /// Key expiry, RFC 3339; absent = never.
    pub key_expiry: Option<String>,
    /// Whether the control server sees the node.
    pub online: bool,
}

/// Another node, as the own node lists it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PeerNode {
    /// FQDN with a trailing dot.
    #[serde(rename = "DNSName")]
    pub dns_name: String,
    /// Its addresses.
    #[serde(rename = "TailscaleIPs")]
    pub addresses: Option<Vec<IpAddr>>,
}

/// The tailnet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Tailnet {
    /// Name for people.
    pub name: String,
    /// What follows a node's name in its FQDN.
    #[serde(rename = "MagicDNSSuffix")]
    pub suffix: String,
    /// Whether names resolve.
    #[serde(rename = "MagicDNSEnabled")]
    pub names_enabled: bool,
}

/// How a peer was reached.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ping {
    /// Why it was not; empty = it was.
    pub err: String,
    /// Round trip.
    pub latency_seconds: f64,
    /// Address of the direct path; empty = through a relay.
    pub endpoint: String,
    /// The relay's region.
    #[serde(rename = "DERPRegionCode")]
    pub relay: String,
}

/// A certificate for one of the node's names, in PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Private key.
    pub key: crate::secret::Secret,
    /// The chain, own certificate first.
    pub chain: String,
}

/// One message of the notification bus.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Notify {
    /// `ipn.State` as a number.
    pub state: Option<i64>,
    /// Where a person can log the node in.
    #[serde(rename = "BrowseToURL")]
    pub browse_to_url: Option<String>,
    login_finished: Option<IgnoredAny>,
    net_map: Option<IgnoredAny>,
    self_change: Option<IgnoredAny>,
    peers_changed: Option<IgnoredAny>,
    peers_removed: Option<IgnoredAny>,
    user_profiles: Option<IgnoredAny>,
}

// === impl Notify ===

impl Notify {
    /// Whether a node or a user may now be another than before.
    pub fn changes_identities(&self) -> bool {
        [
            &self.net_map,
            &self.self_change,
            &self.peers_changed,
            &self.peers_removed,
            &self.user_profiles,
        ]
        .iter()
        .any(|part| part.is_some())
    }

    /// Whether it tells of the node itself, as the control server sees it.
    pub fn is_about_itself(&self) -> bool {
        self.net_map.is_some() || self.self_change.is_some()
    }

    /// Whether a login has come to its end.
    pub fn login_is_finished(&self) -> bool {
        self.login_finished.is_some()
    }
}

/// The answer to `whois`: nobody is an answer, not an error.
pub fn whois(status: u16, body: &str) -> Result<Option<WhoIs>, LocalApiError> {
    match status {
        404 => Ok(None),
        _ => match answer::<WhoIs>(status, body)? {
            // Connections are tied to this id, so it must not be empty for two different nodes.
            nameless if nameless.node.stable_id.is_empty() => Err(LocalApiError::Nameless),
            who => Ok(Some(who)),
        },
    }
}

/// The JSON of an answer.
pub fn answer<T: for<'a> Deserialize<'a>>(status: u16, body: &str) -> Result<T, LocalApiError> {
    Ok(serde_json::from_str(successful(status, body)?)?)
}

/// The body of an answer that is not an error.
pub fn successful(status: u16, body: &str) -> Result<&str, LocalApiError> {
    /// Longer ones are for machines.
    const MESSAGE: usize = 300;
    if (200..300).contains(&status) {
        return Ok(body);
    }
    Err(LocalApiError::Refused {
        status,
        message: body.trim().chars().take(MESSAGE).collect(),
    })
}

/// Splits `cert/DOMAIN?type=pair`: the key, then the chain.
pub fn certificate(pem: &str) -> Option<Certificate> {
    let chain = pem.find("-----BEGIN CERTIFICATE-----")?;
    let (key, chain) = pem.split_at(chain);
    key.contains("PRIVATE KEY-----").then(|| Certificate {
        key: crate::secret::Secret::new(key),
        chain: chain.to_owned(),
    })
}

/// A capability whose values are no list has none: no reason to lose sight of who is calling.
fn capabilities<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Capabilities>, D::Error> {
    let serde_json::Value::Object(map) = serde_json::Value::deserialize(deserializer)? else {
        return Ok(None);
    };
    let values = |value| match value {
        serde_json::Value::Array(values) => Some(values),
        _ => None,
    };
    Ok(Some(
        map.into_iter()
            .map(|(name, value)| (name, values(value)))
            .collect(),
    ))
}

#[cfg(test)]
#[path = "localapi/tests.rs"]
mod tests;
