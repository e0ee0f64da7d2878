//! Aperture: an AI gateway that joins a tailnet as its own node.
//!
//! One request is a pipeline of types, and skipping a stage does not compile:
//!
//! ```text
//! Accepted{io, peer, node} → Caller → Permit → Exchange → Outcome → Record
//!  tailnet                   identity  policy   proxy      tap       store
//! ```
//!
//! # Glossary
//!
//! | word | meaning |
//! | --- | --- |
//! | peer | the tailnet address on the other end of a connection |
//! | caller | who that is, as the control plane says: a person or a set of tags |
//! | capability | one object of a grant: a role, models, or settings |
//! | grant | who (`src`) gets which capabilities |
//! | provider | an upstream that serves models, as configured |
//! | dialect | the wire format of a request: Anthropic messages, `OpenAI` chat, … |
//! | endpoint | one route of a dialect |
//! | permit | proof that a caller may send this request to this provider |
//! | exchange | one request under way to a provider |
//! | tap | the parser that reads a copy of the bytes that pass |
//! | usage | tokens, as the provider counted them |
//! | record | what is kept of one request |
//! | capture | the stored bodies of one request |
//! | session | the requests of one conversation |
#![deny(unsafe_code)]

pub mod api;
pub mod app;
pub mod backup;
pub mod build;
pub mod cli;
pub mod commands;
pub mod config;
pub mod connect;
pub mod control;
pub mod dashboard;
mod diff;
pub mod doctor;
pub mod editor;
pub mod endpoint;
pub mod erase;
pub mod harden;
pub mod identity;
pub mod init;
pub mod log;
pub mod metrics;
pub mod otlp;
pub mod policy;
pub mod price;
pub mod provider;
pub mod proxy;
pub mod record;
pub mod reprice;
pub mod secret;
pub mod server;
pub mod session;
pub mod shutdown;
pub mod store;
pub mod tailnet;
pub mod tap;
pub mod upkeep;
pub mod whole_body;

/// The program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
