//! The tailnet border.

pub mod localapi;
