//! The scripted provider: a stand-in for model providers.
//!
//! It speaks the providers' wire formats, answers as a script says (or sensibly
//! without one), counts tokens by a rule that a test can compute, fails in every
//! way a network can, and keeps a log of exactly what it received and sent. The
//! demo, the tests and the benchmarks share it.
//!
//! ```text
//! provider ─► service ─► reply ─► answer ─► dialect ─► delivery ─► body
//!  listen      one        script,   content,  wire       writes,     chunks
//!              request    rules     tokens    bytes      pacing      and log
//!                           ├─► stored   what was created, by its id
//!                           └─► cloud    tokens of Google and AWS
//! ```
//!
//! The README documents scripts, the counting rule and the control endpoints.
#![deny(unsafe_code)]

mod answer;
mod cloud;
mod connection;
mod control;
mod conversation;
mod delivery;
mod dialect;
mod encode;
mod entry;
mod frame;
mod gate;
mod improvise;
mod job;
mod json;
mod log;
mod models;
mod plain;
mod provider;
mod recognised;
mod reply;
mod rules;
mod script;
mod service;
mod socket;
mod stored;
mod tls;
mod tokens;

pub use connection::Connection;
pub use entry::{Answered, End, Entry, Received};
pub use gate::Gate;
pub use log::LogOptions;
pub use provider::{Options, Provider};
pub use rules::Matcher;
pub use script::{
    BadScript, CutHow, Encoding, ErrorScript, Flavour, Garbage, Point, Script, Stop, Tool,
    UsageScript,
};
pub use tls::{Tls, TlsError};
pub use tokens::{Usage, tokens};
