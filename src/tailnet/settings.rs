//! How a node joins its tailnet.
//!
//! Owns: [`NodeConfig`], and which function of the library takes which of its fields. In: values from the command line
//! and the environment. Out: a handle that is ready to start. Must not know: where a value came from.

use super::ffi::{Handle, Refusal, Setting};
use crate::secret::Secret;
use std::path::PathBuf;

/// How a node joins its tailnet.
#[derive(Clone, Debug, Default)]
pub struct NodeConfig {
    /// The name that it asks for.
    pub hostname: String,
    /// Where its keys are kept.
    pub state_dir: PathBuf,
    /// Another place for them: `kube:SECRET`. The directory is needed all the same.
    pub state_store: Option<String>,
    /// The control server; Tailscale's own when absent.
    pub control_url: Option<String>,
    /// Registers a node that has no keys yet.
    pub auth_key: Option<Secret>,
    /// An OAuth client secret, to make an auth key of; needs tags.
    pub client_secret: Option<Secret>,
    /// Tags to ask for.
    pub tags: Vec<String>,
    /// Whether it leaves the tailnet when it is closed.
    pub ephemeral: bool,
    /// UDP port for peers; the remembered one, or any, when absent.
    pub udp_port: Option<u16>,
}

// === impl NodeConfig ===

impl NodeConfig {
    /// Hands the settings to a node that has not been started.
    pub(super) fn apply(&self, handle: &Handle) -> Result<(), Refusal> {
        let dir = self
            .state_dir
            .to_str()
            .ok_or_else(|| Refusal("the state directory's name is not UTF-8".to_owned()))?;
        handle.set(Setting::Dir, dir)?;
        handle.set(Setting::Hostname, &self.hostname)?;
        handle.set(Setting::Tags, &self.tags.join(","))?;
        if let Some(store) = &self.state_store {
            handle.set(Setting::Store, store)?;
        }
        if let Some(url) = &self.control_url {
            handle.set(Setting::ControlUrl, url)?;
        }
        if let Some(key) = &self.auth_key {
            handle.set(Setting::AuthKey, key.expose())?;
        }
        if let Some(secret) = &self.client_secret {
            handle.set(Setting::ClientSecret, secret.expose())?;
        }
        handle.set_ephemeral(self.ephemeral)?;
        handle.set_udp_port(self.udp_port.unwrap_or(0))
    }
}
