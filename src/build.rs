//! What this binary was built from: for `aperture --version`, `aperture version`, and whoever reports a fault.
//!
//! `build/facts.rs` finds it out. A leaf: everyone may ask.

use crate::VERSION;
use serde::Serialize;
use std::fmt;

/// The commit; `development` for an unoptimised build, `-modified` where files differed from it.
pub const COMMIT: &str = env!("APERTURE_BUILD_COMMIT");

/// One line: version and commit.
pub const LINE: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("APERTURE_BUILD_COMMIT"),
    ")"
);

/// Everything that is known of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Of the gateway.
    pub version: &'static str,
    /// The commit.
    pub commit: &'static str,
    /// `release` or `debug`.
    pub profile: &'static str,
    /// The schema of the database.
    pub schema: u64,
    /// The Rust compiler.
    pub rustc: &'static str,
    /// Go; `none` in a build without a tailnet.
    pub go: &'static str,
    /// The module `tailscale.com`; `none` in a build without a tailnet.
    pub tailscale: &'static str,
    /// The database library.
    pub redb: &'static str,
    /// The price table.
    pub prices: &'static str,
}

impl Facts {
    /// Those of this build; what other parts know of themselves is given.
    pub const fn new(schema: u64, tailscale: &'static str, prices: &'static str) -> Self {
        Self {
            version: VERSION,
            commit: COMMIT,
            profile: env!("APERTURE_BUILD_PROFILE"),
            schema,
            rustc: env!("APERTURE_BUILD_RUSTC"),
            go: env!("APERTURE_BUILD_GO"),
            tailscale,
            redb: env!("APERTURE_BUILD_REDB"),
            prices,
        }
    }
}

/// A table for people.
impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "aperture {LINE}")?;
        for (name, value) in [
            ("build", self.profile),
            ("rustc", self.rustc),
            ("go", self.go),
            ("tailscale", self.tailscale),
            ("redb", self.redb),
            ("price table", self.prices),
        ] {
            writeln!(f, "{name:<12} {value}")?;
        }
        writeln!(f, "{:<12} {}", "schema", self.schema)
    }
}
