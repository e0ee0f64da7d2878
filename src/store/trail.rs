//! The audit trail and the history of the configuration: who did what that others must be able to see.
//!
//! Owns: [`AuditEntry`] and [`ConfigVersion`]. Must not know: who may do what, tables.

use crate::record::Timestamp;
use serde::{Deserialize, Serialize};

/// One thing that somebody did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// The stable key of who did it, or `host` for the command line.
    pub who: String,
    /// Their login name then.
    #[serde(default)]
    pub login: String,
    /// What they did.
    pub action: AuditAction,
    /// To whom or what: a request id, a user, a version.
    #[serde(default)]
    pub subject: String,
    /// More about it, in words.
    #[serde(default)]
    pub detail: String,
}

/// What an audit entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditAction {
    /// Looked at a capture of somebody else.
    ViewedCapture,
    /// Exported data.
    Exported,
    /// Erased a person's data.
    Erased,
    /// Changed the configuration.
    ConfigChanged,
    /// Put other prices on stored requests.
    Repriced,
}

impl AuditAction {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ViewedCapture,
        Self::Exported,
        Self::Erased,
        Self::ConfigChanged,
        Self::Repriced,
    ];

    /// The name in the trail, pages and exports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ViewedCapture => "viewed_capture",
            Self::Exported => "exported",
            Self::Erased => "erased",
            Self::ConfigChanged => "config_changed",
            Self::Repriced => "repriced",
        }
    }
}

/// One version of the configuration document, secrets taken out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigVersion {
    /// Its number, from 1; given when it is written.
    pub version: u64,
    /// The text.
    pub text: String,
    /// The stable key of who saved it, or `host` for the file.
    pub who: String,
    /// When.
    pub at: Timestamp,
    /// Their login name then; empty for the file.
    #[serde(default)]
    pub login: String,
    /// Where it came from.
    #[serde(default)]
    pub origin: ConfigOrigin,
    /// The hash of the whole text, secrets included; empty in rows of old.
    #[serde(default)]
    pub etag: String,
    /// What changed, in a line.
    #[serde(default)]
    pub summary: String,
}

/// Where a version of the configuration came from.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ConfigOrigin {
    /// Saved on the settings page.
    Page,
    /// Saved through the API.
    Api,
    /// Edited in the file.
    #[default]
    Disk,
    /// The one that was there when the history began.
    First,
}

impl ConfigOrigin {
    /// The name in the history, the API and exports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Api => "api",
            Self::Disk => "disk",
            Self::First => "first",
        }
    }

    /// The same for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Page => "settings page",
            Self::Api => "API",
            Self::Disk => "edited on disk",
            Self::First => "first document",
        }
    }
}
