//! Who changes the document, and by what. Must not know: what they may.

use crate::{identity::Caller, store::ConfigOrigin};
use std::sync::Arc;

/// Who changes the document, and by what.
#[derive(Clone, Debug)]
pub struct Author {
    /// Whom the tailnet says it is.
    pub caller: Arc<Caller>,
    /// By what.
    pub through: Through,
}

/// By what a change comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    /// The settings page.
    Page,
    /// The API.
    Api,
}

impl Through {
    /// As the history says it.
    pub(super) const fn origin(self) -> ConfigOrigin {
        match self {
            Self::Page => ConfigOrigin::Page,
            Self::Api => ConfigOrigin::Api,
        }
    }
}
