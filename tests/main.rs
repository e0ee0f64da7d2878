//! The one integration test binary. Each module says what belongs there.
#![expect(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "tests fail by panicking, and pub says what helpers are for others"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests start their own tasks and processes"
)]

/// The import arrows and the unsafe island.
mod architecture;
/// The pages in a real Chromium, on the private tailnet.
mod browser;
/// Real clients (npm and `PyPI` packages) on the private tailnet.
mod clients;
/// What operators install and look at: container, cluster, Prometheus and Grafana.
mod deploy;
/// What the pages of the documentation say, tried.
mod docs;
/// `doctor` finds seeded faults, names each, and finds none where there are none.
mod doctor;
/// The real binary and its disk: what is recorded is exact, complete, and survives kills, faults and restarts.
mod durability;
/// The real binary on its development listener: bytes, heads, errors, ends, reload, commands.
mod gateway;
/// The real binary on the private tailnet: identity, lifecycle, load, crashes, metrics.
mod lab;
/// What tests share: processes, an HTTP client, configurations.
mod support;
