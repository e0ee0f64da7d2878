//! Links between pages lead to files and headings that are there, and every page can be found from the index or the README.

use super::{Page, pages};
use crate::support::repository;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path, PathBuf},
};

/// The targets of a page's links.
fn targets(page: &Page) -> Vec<String> {
    let prose = page.prose();
    // What stands in code is no link.
    let text: String = prose.split('`').step_by(2).collect::<Vec<_>>().join("`");
    let mut targets = Vec::new();
    for rest in text.split("](").skip(1) {
        let target = rest.split(')').next().unwrap_or_default();
        targets.push(target.trim().to_owned());
    }
    targets
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            Component::Normal(name) => out.push(name),
            _ => {}
        }
    }
    out
}

/// The anchors of a page's headings, as code hosts make them.
fn anchors(page: &Page) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = BTreeSet::new();
    for line in page.prose().lines() {
        let Some(heading) = line.strip_prefix('#') else {
            continue;
        };
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let before = seen.entry(anchor.clone()).or_default();
        anchors.insert(match *before {
            0 => anchor,
            times => format!("{anchor}-{times}"),
        });
        *before += 1;
    }
    anchors
}

#[test]
fn links_lead_to_files_and_headings_that_are_there() {
    let pages = pages();
    let anchors: BTreeMap<&str, BTreeSet<String>> = pages
        .iter()
        .map(|page| (page.path.as_str(), anchors(page)))
        .collect();
    let mut wrong = Vec::new();
    let mut tried = 0;
    for page in &pages {
        for target in targets(page) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            tried += 1;
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if path.is_empty() {
                PathBuf::from(&page.path)
            } else {
                plain(&Path::new(&page.path).parent().unwrap().join(path))
            };
            let file = file.to_str().unwrap();
            if !repository(file).exists() {
                wrong.push(format!("{}: {target} is not there", page.path));
            } else if !anchor.is_empty()
                && !anchors
                    .get(file)
                    .is_some_and(|known| known.contains(anchor))
            {
                wrong.push(format!("{}: {target} has no such heading", page.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 100, "only {tried} links were found");
}

#[test]
fn every_page_is_found_from_the_index() {
    let pages = pages();
    let mut open = vec!["docs/README.md".to_owned(), "README.md".to_owned()];
    let mut found: BTreeSet<String> = BTreeSet::new();
    while let Some(path) = open.pop() {
        let Some(page) = pages.iter().find(|page| page.path == path) else {
            continue;
        };
        if !found.insert(path) {
            continue;
        }
        for target in targets(page) {
            let target = target.split('#').next().unwrap_or_default();
            let directory = Path::new(&page.path).parent().unwrap();
            let file = plain(&directory.join(target));
            let file = file.to_str().unwrap().to_owned();
            // A link to a directory leads to what is in it.
            let inside = pages.iter().filter(|page| {
                Path::new(&page.path).parent() == Some(Path::new(&file)) && file != "docs"
            });
            open.extend(inside.map(|page| page.path.clone()));
            open.push(file);
        }
    }
    let lost: Vec<&str> = pages
        .iter()
        .map(|page| page.path.as_str())
        .filter(|path| path.starts_with("docs/") && !found.contains(*path))
        .collect();
    assert!(
        lost.is_empty(),
        "no page leads to {lost:?}: link them, best from docs/README.md"
    );
}
