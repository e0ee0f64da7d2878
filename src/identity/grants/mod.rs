//! What an answer of the control plane means: from a [`WhoIs`] to a [`Caller`].
//!
//! Owns: the rule that tells persons from tagged nodes, the stable key of each, and which capabilities come along.
//! In: one answer, the names of our capability. Out: a caller, or why there is none. Pure.
//! Must not know: addresses, caches, the configuration's own grants.

use super::{Caller, NodeId, Unidentified};
use crate::{config::grant::Capability, tailnet::localapi::WhoIs};
use std::sync::Arc;

/// The owner that the control plane names for every tagged node: many machines, never a person.
const TAGGED_DEVICES: &str = "tagged-devices";

/// Reads an answer.
///
/// `capabilities` are the names under which the tailnet policy may carry our capability objects. The node's `Expired`
/// decides about expiry, not its date: the node corrects it by the control plane's clock.
pub(super) fn caller(
    whois: WhoIs,
    capabilities: &[String],
    dev: bool,
) -> Result<Caller, Unidentified> {
    let WhoIs {
        node,
        user_profile: profile,
        cap_map,
    } = whois;
    if node.stable_id.is_empty() {
        // An empty id would compare equal to another node's empty id.
        return Err(Unidentified::Failed("the answer names no node".into()));
    }
    if node.expired {
        return Err(Unidentified::Expired);
    }

    let mut tags = node.tags.unwrap_or_default();
    tags.sort_unstable();
    tags.dedup();

    let (user, login, display, groups): (String, Arc<str>, Arc<str>, _) = if tags.is_empty() {
        if profile.id == 0 || profile.login_name.is_empty() || profile.login_name == TAGGED_DEVICES
        {
            return Err(Unidentified::Nobody);
        }
        let login: Arc<str> = profile.login_name.into();
        let display = if profile.display_name.is_empty() {
            login.clone()
        } else {
            profile.display_name.into()
        };
        let groups = profile.groups.unwrap_or_default();
        (format!("user:{}", profile.id), login, display, groups)
    } else if node.sharer != 0 {
        // Another tailnet's tags mean nothing in ours, and its owner is not a person either.
        return Err(Unidentified::Nobody);
    } else {
        // The profile that comes with a tagged node is somebody else's, or everybody's: none of it is used.
        let login: Arc<str> = tags.join(",").into();
        (format!("tags:{login}"), login.clone(), login, Vec::new())
    };

    let name = node.name.split('.').next().unwrap_or_default();
    let node_name = if name.is_empty() {
        node.computed_name.as_str()
    } else {
        name
    };
    let values = capabilities
        .iter()
        .filter_map(|name| cap_map.as_ref()?.get(name)?.as_deref())
        .flatten();

    Ok(Caller {
        user: user.into(),
        login,
        display,
        node_name: node_name.into(),
        node: NodeId::from(node.stable_id),
        tags,
        groups,
        capabilities: values.enumerate().filter_map(read).collect(),
        dev,
    })
}

/// One capability object of the tailnet policy; what is not an object gives nothing.
fn read((at, value): (usize, &serde_json::Value)) -> Option<Capability> {
    let origin = format!("tailnet policy [{at}]");
    if !value.is_object() {
        tracing::debug!(origin, "a capability that is not an object gives nothing");
        return None;
    }
    let (capability, findings) = Capability::from_json(origin.as_str(), value);
    for finding in findings {
        tracing::debug!(origin, finding, "a part of a capability is not understood");
    }
    Some(capability)
}

#[cfg(test)]
mod tests;
