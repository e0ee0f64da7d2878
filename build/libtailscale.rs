//! The C archive over tsnet, and Rust declarations for it.
//!
//! Owns: how `vendor/libtailscale` is compiled. In: its Go source and a Go toolchain. Out, in `OUT_DIR`: the
//! archive, the header that cgo writes, and `bindings.rs`, which bindgen makes from that header, so that
//! signature and declaration can't drift. Must not know: what the functions do.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

const SOURCE: &str = "vendor/libtailscale";

/// Parts of tailscale that a gateway has no use for.
///
/// `peerapiserver` is more than size: with it, the node opens a TCP socket on the host. `peerapiclient`
/// must not be here: closing a node panics without it.
const OMITTED: &[&str] = &[
    "advertiseexitnode",
    "advertiseroutes",
    "appconnectors",
    "aws",
    "bird",
    "captiveportal",
    "capture",
    "clientupdate",
    "cloud",
    "conn25",
    "dbus",
    "doctor",
    "drive",
    "iptables",
    "linuxdnsfight",
    "networkmanager",
    "peerapiserver",
    "portlist",
    "posture",
    "relayserver",
    "resolved",
    "ssh",
    "synology",
    "syspolicy",
    "systray",
    "taildrop",
    "tap",
    "tpm",
    "useexitnode",
    "wakeonlan",
    "webclient",
];

/// Compiles the archive, makes the bindings, and tells cargo to link.
pub(crate) fn build() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let module = fs::read_to_string(format!("{SOURCE}/go.mod"))
        .expect("the Go module is part of the source");
    watch_sources();
    check_target();
    check_go(required(&module, "go "));
    compile(&out, required(&module, "tailscale.com v"));
    bind(&out);
    println!("cargo:rustc-link-search=native={}", out.display());
    println!("cargo:rustc-link-lib=static=tailscale");
    let version = required(&module, "tailscale.com v");
    println!("cargo:rustc-env=APERTURE_TAILSCALE_VERSION={version}");
}

/// Tests of the Go module don't change the archive.
fn watch_sources() {
    println!("cargo:rerun-if-changed=build/libtailscale.rs");
    println!("cargo:rerun-if-changed={SOURCE}");
    for entry in fs::read_dir(SOURCE).expect("the Go module is part of the source") {
        let path = entry.expect("a readable directory").path();
        let name = path.to_string_lossy();
        if !name.ends_with("_test.go") && !name.ends_with(".md") {
            println!("cargo:rerun-if-changed={name}");
        }
    }
}

/// The word after `key` in `go.mod`.
fn required<'a>(module: &'a str, key: &str) -> &'a str {
    module
        .lines()
        .find_map(|line| line.trim().strip_prefix(key)?.split_whitespace().next())
        .unwrap_or_else(|| panic!("{SOURCE}/go.mod does not say `{key}…`"))
}

fn check_target() {
    let libc = env::var("CARGO_CFG_TARGET_ENV").unwrap_or_default();
    assert!(
        libc != "musl",
        "the tailnet feature needs glibc: a Go archive reads the process's arguments at load time, which musl does \
         not pass, and crashes. Build for a -gnu target, or with --no-default-features."
    );
}

fn check_go(needed: &str) {
    let output = go().args(["env", "GOVERSION"]).output().unwrap_or_else(|error| {
        panic!(
            "the tailnet feature needs Go {needed} or newer, and `go` can't be run ({error}). Install it from \
             https://go.dev/dl/, or build with --no-default-features."
        )
    });
    let version = String::from_utf8_lossy(&output.stdout);
    let found = version.trim().trim_start_matches("go");
    assert!(
        numbers(found) >= numbers(needed),
        "the tailnet feature needs Go {needed} or newer, but `go` is {found:?}. Install it from https://go.dev/dl/, or \
         build with --no-default-features."
    );
}

/// `1.26.8` as numbers, which compare as versions do.
fn numbers(version: &str) -> Vec<u32> {
    version
        .split('.')
        .map_while(|part| part.parse().ok())
        .collect()
}

/// A `go` that downloads no other toolchain and builds for cargo's target.
fn go() -> Command {
    let mut go = Command::new("go");
    go.current_dir(SOURCE)
        .env("GOTOOLCHAIN", "local")
        .env("CGO_ENABLED", "1");
    let architecture = match env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("x86_64") => "amd64",
        Ok("aarch64") => "arm64",
        _ => return go,
    };
    go.env("GOARCH", architecture);
    go
}

fn compile(out: &Path, version: &str) {
    let tags: Vec<String> = OMITTED
        .iter()
        .map(|name| format!("ts_omit_{name}"))
        .collect();
    // Unstamped, the node would call itself "…-ERR-BuildInfo" in the admin console.
    let linker = format!(
        "-s -w -X tailscale.com/version.shortStamp={version} -X tailscale.com/version.longStamp={version}-aperture"
    );
    let status = go()
        .args([
            "build",
            "-buildmode=c-archive",
            "-trimpath",
            "-buildvcs=false",
        ])
        .args(["-tags", &tags.join(",")])
        .args(["-ldflags", &linker, "-o"])
        .arg(out.join("libtailscale.a"))
        .arg(".")
        .status()
        .expect("go was there a moment ago");
    assert!(
        status.success(),
        "{SOURCE} did not compile; its messages are above. Its modules have to be in Go's module cache, or Go needs \
         the network to fetch them."
    );
}

fn bind(out: &Path) {
    let header = out.join("libtailscale.h");
    let header = header.to_str().expect("cargo's paths are UTF-8");
    // bindgen panics when it can't load libclang.
    let bindings = std::panic::catch_unwind(|| {
        bindgen::Builder::default()
            .header(header)
            .allowlist_function("tailscale_.*")
            .rust_edition(bindgen::RustEdition::Edition2024)
            .layout_tests(false)
            .formatter(bindgen::Formatter::None)
            .generate()
    })
    .unwrap_or_else(|_| {
        panic!(
            "bindgen could not run: the tailnet feature needs libclang at build time. On Debian and Ubuntu: \
             apt-get install libclang-dev. Elsewhere set LIBCLANG_PATH. Or build with --no-default-features."
        )
    })
    .unwrap_or_else(|error| panic!("bindgen does not understand {header}: {error}"));
    bindings
        .write_to_file(out.join("bindings.rs"))
        .expect("OUT_DIR can be written to");
}
