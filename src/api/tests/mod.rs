//! The API over a store with known contents.

/// Sums, pages and forms.
mod answers;
/// The versions of the configuration, and the way back.
mod history;
/// A store, and callers who ask.
mod house;
/// Who reaches what, and what is noted about it.
mod reach;
