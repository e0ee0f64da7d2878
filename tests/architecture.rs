//! The import arrows between modules: what may know what.
//!
//! The graph is written here once; a `crate::` path that is not in it fails. Leaves may be imported by all.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Modules that everyone may import.
const LEAVES: &[&str] = &[
    "build",
    "diff",
    "endpoint",
    "record",
    "secret",
    "shutdown",
    "whole_body",
    "VERSION",
];

/// `module → what it may import`, leaves aside.
const ARROWS: &[(&str, &[&str])] = &[
    ("diff", &[]),
    ("endpoint", &[]),
    ("record", &[]),
    ("secret", &[]),
    ("shutdown", &[]),
    ("whole_body", &[]),
    ("harden", &[]),
    ("config", &[]),
    ("tailnet", &[]),
    ("price", &["config"]),
    ("metrics", &[]),
    ("otlp", &["config", "metrics", "provider"]),
    ("identity", &["config", "tailnet"]),
    ("policy", &["config", "identity"]),
    ("provider", &["config", "tailnet", "tap"]),
    ("tap", &[]),
    ("session", &["tap"]),
    ("store", &[]),
    (
        "proxy",
        &[
            "config", "identity", "metrics", "otlp", "policy", "price", "provider", "session",
            "store", "tap",
        ],
    ),
    (
        "dashboard",
        &[
            "config", "connect", "editor", "identity", "policy", "provider", "store", "tap",
        ],
    ),
    ("editor", &["config", "identity", "policy", "store"]),
    (
        "api",
        &["config", "editor", "identity", "policy", "price", "store"],
    ),
    (
        "server",
        &[
            "api",
            "config",
            "dashboard",
            "identity",
            "metrics",
            "policy",
            "price",
            "proxy",
            "tailnet",
        ],
    ),
    ("cli", &["config"]),
    ("connect", &["cli"]),
    ("log", &["cli"]),
    ("build", &[]),
    ("init", &["cli", "config", "policy", "provider"]),
    (
        "doctor",
        &[
            "app", "config", "identity", "policy", "provider", "server", "store", "tailnet",
        ],
    ),
    ("reprice", &["config", "price", "store"]),
    ("erase", &["store"]),
    ("backup", &["app", "store"]),
    (
        "control",
        &["app", "backup", "doctor", "erase", "reprice", "store"],
    ),
    (
        "upkeep",
        &["app", "backup", "cli", "control", "erase", "store"],
    ),
    (
        "app",
        &[
            "api",
            "cli",
            "config",
            "control",
            "dashboard",
            "editor",
            "harden",
            "identity",
            "log",
            "metrics",
            "otlp",
            "price",
            "provider",
            "proxy",
            "server",
            "session",
            "store",
            "tailnet",
        ],
    ),
    (
        "commands",
        &[
            "api", "app", "cli", "config", "connect", "control", "doctor", "init", "log",
            "metrics", "price", "provider", "proxy", "reprice", "server", "store", "tailnet",
            "upkeep",
        ],
    ),
    ("lib", &[]),
    ("main", &[]),
];

#[test]
fn modules_import_along_the_arrows_only() {
    let allowed: BTreeMap<_, BTreeSet<_>> = ARROWS
        .iter()
        .map(|(from, to)| (*from, to.iter().chain(LEAVES).copied().collect()))
        .collect();
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for file in sources(Path::new("src")) {
        let module = module_of(&file);
        let allowed = allowed
            .get(module.as_str())
            .unwrap_or_else(|| panic!("{}: module {module} has no row in ARROWS", file.display()));
        for target in imports(&fs::read_to_string(&file).unwrap()) {
            if target != module && !allowed.contains(target.as_str()) {
                wrong.push(format!("{}: {module} → {target}", file.display()));
            }
            used.entry(module.clone()).or_default().insert(target);
        }
    }
    assert!(wrong.is_empty(), "forbidden imports:\n{}", wrong.join("\n"));
    let idle: Vec<_> = ARROWS
        .iter()
        .flat_map(|(from, to)| to.iter().map(move |to| (*from, *to)))
        .filter(|(from, to)| !used.get(*from).is_some_and(|seen| seen.contains(*to)))
        .collect();
    assert!(idle.is_empty(), "arrows that nothing uses: {idle:?}");
}

#[test]
fn unsafe_code_is_one_file() {
    for file in sources(Path::new("src")) {
        let text = fs::read_to_string(&file).unwrap();
        let has = text.lines().any(|line| {
            let code = line.split("//").next().unwrap_or("");
            code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl")
        });
        assert!(
            !has || file.ends_with("tailnet/ffi.rs"),
            "{} has unsafe code",
            file.display()
        );
    }
}

/// All Rust files below a directory.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The top-level module that a file belongs to.
fn module_of(file: &Path) -> String {
    let first = file
        .strip_prefix("src")
        .unwrap()
        .components()
        .next()
        .unwrap();
    first
        .as_os_str()
        .to_string_lossy()
        .trim_end_matches(".rs")
        .to_owned()
}

/// The modules named after `crate::`, in paths and in braces.
fn imports(text: &str) -> BTreeSet<String> {
    let code: String = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""))
        .collect::<Vec<_>>()
        .join("\n");
    let mut found = BTreeSet::new();
    let mut rest = code.as_str();
    while let Some(at) = rest.find("crate::") {
        let before = rest[..at].chars().next_back();
        rest = &rest[at + "crate::".len()..];
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        if let Some(list) = rest.strip_prefix('{') {
            let (mut depth, mut name) = (0, String::new());
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        found.insert(std::mem::take(&mut name));
                    }
                    _ if depth == 0 => name.push(c),
                    _ => {}
                }
            }
            found.insert(name);
        } else {
            found.insert(
                rest.chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect(),
            );
        }
    }
    found
        .into_iter()
        .map(|name| {
            name.trim()
                .split(':')
                .next()
                .unwrap_or("")
                .trim()
                .to_owned()
        })
        .filter(|name| !name.is_empty())
        .collect()
}
