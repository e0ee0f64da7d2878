//! Answers of the node's LocalAPI, read leniently.

use serde::Deserialize;
use std::collections::HashMap;

/// Who has an address.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WhoIs {
    /// The node.
    pub node: Node,
    /// Its owner.
    pub user_profile: UserProfile,
    /// App capabilities: name → raw JSON values.
    pub cap_map: Option<HashMap<String, Option<Vec<serde_json::Value>>>>,
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
