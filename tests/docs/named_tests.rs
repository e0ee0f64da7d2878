//! The pages on security and reliability name tests; each of them exists.

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

/// The rows of the tables on a page, without their heads: as many cells as the head has.
fn rows(page: &str) -> Vec<Vec<String>> {
    let pages = pages();
    let page = pages.iter().find(|it| it.path == page).expect(page);
    let lines = page.text.lines().filter(|line| line.starts_with("| "));
    let cells = |line: &str| {
        line.trim_matches('|')
            .split(" | ")
            .map(str::trim)
            .map(str::to_owned)
            .collect()
    };
    let is_row = |row: &Vec<String>| {
        !["threat", "fault", "#", "target"].contains(&&*row[0]) && !row[0].starts_with("---")
    };
    lines.map(cells).filter(is_row).collect()
}

/// The names in the last cell of each row, which must all be functions here; what is in `untested` may have none.
fn every_row_has_tests(page: &str, rows: &[Vec<String>], named_by: usize, untested: &[&str]) {
    let mut known = BTreeSet::new();
    for directory in ["src", "tests"] {
        functions(&repository(directory), &mut known);
    }
    let mut wrong = Vec::new();
    for row in rows {
        assert!(row.iter().all(|cell| !cell.is_empty()), "{page}: {row:?}");
        let tests = row.last().unwrap();
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        let what = &row[named_by];
        if named.is_empty() != untested.contains(&what.as_str()) {
            wrong.push(format!(
                "with or without a test, against what is said: {what}"
            ));
        }
        let missing = named.into_iter().filter(|name| !known.contains(*name));
        wrong.extend(missing.map(|name| format!("there is no test {name}")));
    }
    assert!(wrong.is_empty(), "{page}: {}", wrong.join("\n"));
}

/// The rows with that many cells.
fn rows_of(page: &str, cells: usize) -> Vec<Vec<String>> {
    let mut rows = rows(page);
    rows.retain(|row| row.len() == cells);
    rows
}

#[test]
fn every_threat_has_tests_and_they_exist() {
    let mut threats = rows("docs/security.md");
    // Fuzz targets are no threats.
    threats.retain(|row| !row[0].starts_with('`'));
    assert!(threats.iter().all(|row| row.len() == 3), "{threats:?}");
    every_row_has_tests("docs/security.md", &threats, 0, &[]);
    assert!(threats.len() >= 30, "{} threats", threats.len());
}

/// The names of files in a directory of the repository.
fn names(directory: &str) -> BTreeSet<String> {
    std::fs::read_dir(repository(directory))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_fuzz_target_is_on_the_page_and_is_run() {
    let targets = names("fuzz/targets");
    let listed: BTreeSet<String> = rows("docs/security.md")
        .iter()
        .filter_map(|row| row[0].strip_prefix('`')?.strip_suffix('`'))
        .map(str::to_owned)
        .collect();
    assert_eq!(listed, targets);
    let script = std::fs::read_to_string(repository("scripts/fuzz")).unwrap();
    let manifest = std::fs::read_to_string(repository("fuzz/Cargo.toml")).unwrap();
    let all = script
        .lines()
        .find(|line| line.contains("targets=(head"))
        .unwrap();
    for target in &targets {
        let named = |text: &str| {
            text.split([' ', '(', ')', '-', '"'])
                .any(|word| word == target)
        };
        assert!(named(&manifest), "{target} is not in fuzz/Cargo.toml");
        // One run for each dialect, by a loop.
        assert!(
            named(all) || target == "response",
            "scripts/fuzz never runs {target}"
        );
    }
    for seeds in names("fuzz/seeds") {
        assert!(targets.contains(&seeds), "fuzz/seeds/{seeds} is nobody's");
    }
}

#[test]
fn every_complaint_and_every_fault_has_tests_and_they_exist() {
    const PAGE: &str = "docs/reliability.md";
    // There are no quotas, and what `make check` holds is no test.
    let untested = ["budgets are raced past", "supply chain"];
    let complaints = rows_of(PAGE, 4);
    let numbered = complaints.iter().filter(|row| row[0].parse::<u8>().is_ok());
    assert_eq!((numbered.count(), complaints.len()), (25, 25));
    every_row_has_tests(PAGE, &complaints, 1, &untested);
    let faults = rows_of(PAGE, 6);
    assert!(faults.len() >= 30, "{} faults", faults.len());
    every_row_has_tests(PAGE, &faults, 0, &[]);
}

#[test]
fn what_counts_a_fault_is_a_metric() {
    let known = std::fs::read_to_string(repository("docs/metrics.md")).unwrap();
    let mut named = 0;
    for row in rows_of("docs/reliability.md", 6) {
        for name in row[3].split('`').skip(1).step_by(2) {
            let family = name.split('{').next().unwrap();
            let is_metric = ["aperture_", "process_"]
                .iter()
                .any(|start| family.starts_with(start));
            if is_metric {
                assert!(known.contains(&format!("| `{family}` |")), "{name}");
                named += 1;
            }
        }
    }
    assert!(named >= 20, "{named} metrics");
}
