//! The tailnet border: connections with the address of the peer who made them.
//!
//! Owns: the node (`node`, over the Go library in `vendor/libtailscale`), the listeners ([`Accept`]) and the types of
//! the node's answers ([`localapi`]). In: settings, and what peers send. Out: [`Accepted`] connections, outgoing
//! streams, answers to "who is this", and news from the bus. `ffi` is the only file of the crate with `unsafe` in it.
//! Must not know: HTTP, callers, what a capability means.
//!
//! With the feature `tailnet` off, the node is missing and everything else stays.

/// Version of Tailscale's code in the library; empty when it is not linked.
pub const LIBRARY_VERSION: &str = match option_env!("APERTURE_TAILSCALE_VERSION") {
    Some(version) => version,
    None => "",
};

mod accept;
mod dev;
pub mod localapi;
pub mod message;
mod standing;

pub use accept::{Accept, Accepted, Connector, Io, Memory, Origin};
pub use dev::{DevListener, NotLoopback};
pub use standing::{Concern, Details, EXPIRY_DAYS, Gravity, Notice, Standing, Trouble};

#[cfg(feature = "tailnet")]
mod bus;
#[cfg(feature = "tailnet")]
mod ffi;
#[cfg(feature = "tailnet")]
mod listener;
#[cfg(feature = "tailnet")]
mod logs;
#[cfg(feature = "tailnet")]
mod node;
#[cfg(feature = "tailnet")]
mod settings;
#[cfg(feature = "tailnet")]
mod sys;

#[cfg(feature = "tailnet")]
pub use {
    bus::NodeState,
    listener::Listener,
    node::{Login, Node, NodeError},
    settings::NodeConfig,
};
