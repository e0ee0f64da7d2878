//! Secrets that can't be printed.
//!
//! Owns: [`Secret`], whose `Debug` shows a placeholder and which has neither `Display` nor `Serialize`.

use std::fmt;

/// A credential. Only [`Secret::expose`] gives its text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(std::sync::Arc<str>);

impl Secret {
    /// Wraps a credential.
    pub fn new(text: impl Into<std::sync::Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The credential's text: for the provider's header and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
