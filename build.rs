//! Builds the Go library of the tailnet border and its bindings.

#[path = "build/libtailscale.rs"]
mod libtailscale;

fn main() {
    if std::env::var_os("CARGO_FEATURE_TAILNET").is_some() {
        libtailscale::build();
    }
}
