//! A load generator for gateways: a closed loop of requests over connections that are kept.
//!
//! In: an address, requests, how many connections, for how long. Out: latencies, the time to the first byte, the gaps
//! between the pieces of a body, and what the named processes used. One thread, no HTTP library: it shares the machine
//! with what it measures, so it must cost little. [`mod@format`] has the same request in every format that the gateway speaks.

pub mod format;
pub mod histogram;
pub mod process;
pub mod report;
pub mod run;
pub mod wire;
