//! provider/mod

pub mod edit;
