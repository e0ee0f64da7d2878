//! Declarations of the Go library, as bindgen made them from the header that cgo wrote.
//!
//! Owns: nothing by hand. Only [`super::ffi`] may use it.
#![expect(
    unreachable_pub,
    unsafe_code,
    reason = "generated; the contracts stand in vendor/libtailscale/exports.go"
)]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
