//! Tests of the store: each file is about one promise.

mod basics;
mod bodies;
mod faults;
mod fixture;
mod model;
mod postings;
mod removal;
mod reprice;
mod snapshot;
mod support;
