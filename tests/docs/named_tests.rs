//! The page on security names tests; each of them exists.

use super::pages;
use crate::support::repository;
use std::{collections::BTreeSet, path::Path};

/// The names of all functions below a directory.
fn functions(directory: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, names);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let ends = |c: char| !c.is_alphanumeric() && c != '_';
            let after = text.split("fn ").skip(1);
            names.extend(after.filter_map(|rest| rest.split(ends).next().map(str::to_owned)));
        }
    }
}

#[test]
fn every_threat_has_tests_and_they_exist() {
    let mut known = BTreeSet::new();
    for directory in ["src", "tests"] {
        functions(&repository(directory), &mut known);
    }
    let pages = pages();
    let page = pages.iter().find(|page| page.path == "docs/security.md");
    let page = page.expect("docs/security.md");
    let mut threats = 0;
    let mut wrong = Vec::new();
    for line in page.text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
        let [threat, _, tests] = &cells[..] else {
            panic!("a row has three cells: {line}");
        };
        if threat.trim() == "threat" || threat.trim().starts_with("---") {
            continue;
        }
        threats += 1;
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if named.is_empty() {
            wrong.push(format!("no test: {threat}"));
        }
        let missing = named.into_iter().filter(|name| !known.contains(*name));
        wrong.extend(missing.map(|name| format!("there is no test {name}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(threats >= 30, "{threats} threats");
}
