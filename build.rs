//! Makes what the gateway includes at compile time.

#[path = "build/prices.rs"]
mod prices;

fn main() {
    prices::generate();
}
