//! tap/mod
