//! The documentation does what it says: its configurations load, its commands run, its links lead somewhere, and the tests
//! that it names exist.

/// The commands on the pages.
mod commands;
/// The configurations on the pages.
mod configs;
/// The links between the pages.
mod links;
/// The tests that the pages on security and reliability name.
mod named_tests;

use crate::support::repository;
use std::path::Path;

/// One page, by its path in the repository.
#[derive(Debug)]
struct Page {
    path: String,
    text: String,
}

/// One fenced block.
#[derive(Debug)]
struct Block {
    /// Page and line, for messages.
    at: String,
    /// What follows the opening fence: the language, and what a test is to do with it.
    info: Vec<String>,
    text: String,
}

/// Every page that people read.
fn pages() -> Vec<Page> {
    let mut paths: Vec<String> = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"]
        .map(str::to_owned)
        .into();
    below("docs", &mut paths);
    paths
        .into_iter()
        .map(|path| Page {
            text: std::fs::read_to_string(repository(&path)).unwrap(),
            path,
        })
        .collect()
}

/// The pages of a directory and of those in it.
fn below(directory: &str, paths: &mut Vec<String>) {
    let entries = std::fs::read_dir(repository(directory)).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for name in names {
        let path = format!("{directory}/{name}");
        if repository(&path).is_dir() {
            below(&path, paths);
        } else if Path::new(&name).extension().is_some_and(|it| it == "md") {
            paths.push(path);
        }
    }
}

impl Page {
    /// The fenced blocks.
    fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<(usize, Block)> = None;
        for (number, line) in self.text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            match (&mut open, line.trim_start().strip_prefix("```")) {
                (None, Some(info)) => {
                    let block = Block {
                        at: format!("{}:{}", self.path, number + 1),
                        info: info.split_whitespace().map(str::to_owned).collect(),
                        text: String::new(),
                    };
                    open = Some((indent, block));
                }
                (Some(_), Some(_)) => blocks.extend(open.take().map(|(_, block)| block)),
                (Some((indent, block)), None) => {
                    block.text.push_str(line.get(*indent..).unwrap_or_default());
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block is not closed", self.path);
        blocks
    }

    /// The text without what stands in blocks.
    fn prose(&self) -> String {
        let mut inside = false;
        let lines = self.text.lines().filter(|line| {
            let fence = line.trim_start().starts_with("```");
            inside ^= fence;
            !inside && !fence
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Block {
    fn language(&self) -> &str {
        self.info.first().map_or("", String::as_str)
    }
}
