//! A process whose disk is slow and whose wall clock is wrong, as a test says while it runs (see `world.c`).

use super::{gateway::Options, repository};
use std::{fs::File, os::unix::fs::FileExt as _, process::Command, time::Duration};
use tempfile::TempDir;

/// What one process believes about its disk and its clock.
#[derive(Debug)]
pub struct Believed {
    numbers: File,
    dir: TempDir,
}

impl Believed {
    /// As it is: nothing is wrong yet. Needs the C compiler that builds the gateway's own C library.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let library = dir.path().join("world.so");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .arg(&library)
            .arg(repository("tests/support/world.c"))
            .arg("-ldl")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{said}");
        let path = dir.path().join("world");
        std::fs::write(&path, [0; 16]).unwrap();
        let numbers = File::options().write(true).open(path).unwrap();
        Self { numbers, dir }
    }

    /// For a gateway that believes it.
    pub fn options(&self) -> Options {
        let path = |name: &str| self.dir.path().join(name).to_str().unwrap().to_owned();
        let environment = [
            ("LD_PRELOAD", path("world.so")),
            ("APERTURE_WORLD", path("world")),
        ];
        Options {
            environment: environment
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
            ..Options::default()
        }
    }

    /// Every sync of a file takes that much longer from now on, also those that wait already.
    pub fn slow_disk(&self, by: Duration) {
        self.write(0, i64::try_from(by.as_millis()).unwrap());
    }

    /// The wall clock is ahead by so many seconds; behind, when there are less than none.
    pub fn wall_clock(&self, seconds: i64) {
        self.write(8, seconds * 1000);
    }

    fn write(&self, at: u64, number: i64) {
        self.numbers
            .write_all_at(&number.to_ne_bytes(), at)
            .unwrap();
    }
}
