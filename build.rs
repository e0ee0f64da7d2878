//! What is built before the crate: the Go library of the tailnet border with its bindings, and the price table.

#[path = "build/libtailscale.rs"]
mod libtailscale;
#[path = "build/prices.rs"]
mod prices;

fn main() {
    prices::generate();
    if std::env::var_os("CARGO_FEATURE_TAILNET").is_some() {
        libtailscale::build();
    }
}
