//! What a binary says of itself: the commit, and what it was built with.
//!
//! In: git or `APERTURE_COMMIT`, Cargo.lock, the compilers. Out: environment variables that `src/build.rs` reads. Nothing that
//! two builds of one commit could disagree about: no time, no path, no host.

use std::{env, fs, process::Command};

/// Tells cargo.
pub(crate) fn tell(tailnet: bool) {
    println!("cargo:rerun-if-changed=build/facts.rs");
    println!("cargo:rerun-if-changed=Cargo.lock");
    let profile = env::var("PROFILE").unwrap_or_default();
    say("PROFILE", &profile);
    say("COMMIT", &commit(profile == "release"));
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    say("RUSTC", &word(output(&rustc, &["--version"]).as_deref(), 1));
    let go = if tailnet {
        output("go", &["env", "GOVERSION"])
    } else {
        None
    };
    say(
        "GO",
        go.as_deref()
            .map_or("none", |version| version.trim_start_matches("go")),
    );
    say("REDB", &locked("redb"));
}

fn say(name: &str, value: &str) {
    println!("cargo:rustc-env=APERTURE_BUILD_{name}={value}");
}

/// The commit that is built. A development build does not say: it would have to be built again after every commit.
fn commit(released: bool) -> String {
    println!("cargo:rerun-if-env-changed=APERTURE_COMMIT");
    match env::var("APERTURE_COMMIT") {
        Ok(given) if !given.is_empty() => return given,
        _ => {}
    }
    if !released {
        return "development".to_owned();
    }
    // What moves when the commit does; without a repository there is nothing to follow.
    for name in ["HEAD", "logs/HEAD", "index"] {
        if let Some(path) = output("git", &["rev-parse", "--git-path", name])
            && fs::exists(&path).unwrap_or(false)
        {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    let Some(commit) = output("git", &["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".to_owned();
    };
    match output("git", &["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => commit,
        _ => format!("{commit}-modified"),
    }
}

/// What a command prints, without the line's end; none when it fails.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// One word of a line.
fn word(line: Option<&str>, place: usize) -> String {
    let word = line.and_then(|line| line.split_whitespace().nth(place));
    word.unwrap_or("unknown").to_owned()
}

/// The version of a crate in Cargo.lock.
fn locked(name: &str) -> String {
    let lock = fs::read_to_string("Cargo.lock").unwrap_or_default();
    let entry = format!("name = \"{name}\"\nversion = \"");
    lock.split_once(&entry)
        .and_then(|(_, rest)| rest.split_once('"'))
        .map_or_else(|| "unknown".to_owned(), |(version, _)| version.to_owned())
}
