//! provider/mod
