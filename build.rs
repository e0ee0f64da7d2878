//! What is built before the crate: the Go library of the tailnet border with its bindings, and the price table; and what the
//! binary says of itself.

#[path = "build/facts.rs"]
mod facts;
#[path = "build/libtailscale.rs"]
mod libtailscale;
#[path = "build/prices.rs"]
mod prices;

fn main() {
    prices::generate();
    let tailnet = std::env::var_os("CARGO_FEATURE_TAILNET").is_some();
    facts::tell(tailnet);
    if tailnet {
        libtailscale::build();
    }
}
