//! scripted provider
