//! The interface is in src/editor/mod.rs (an own module: it knows policy and store, which config must not). This file goes.
