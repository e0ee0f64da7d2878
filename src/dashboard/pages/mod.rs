//! The pages: each a function of a view model, nothing else.

pub(super) mod access;
pub(super) mod adoption;
pub(super) mod audit;
pub(super) mod connect;
pub(super) mod login;
pub(super) mod logs;
pub(super) mod models;
pub(super) mod overview;
pub(super) mod request;
pub(super) mod session;
pub(super) mod settings;
pub(super) mod stranger;
mod talk;
pub(super) mod tool_use;
mod trial;
