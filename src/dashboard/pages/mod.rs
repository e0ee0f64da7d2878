//! The pages: each a function of a view model, nothing else.

pub(super) mod adoption;
pub(super) mod logs;
pub(super) mod models;
pub(super) mod overview;
pub(super) mod request;
pub(super) mod session;
pub(super) mod settings;
pub(super) mod tool_use;
