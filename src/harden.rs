//! What the process takes away from itself, and gives itself, at start.
//!
//! Owns: no core dumps and no debugger (memory holds keys and prompts), and as many descriptors as the system permits.

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

/// Applies all of it; what the system refuses is logged and left.
pub fn process() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "core dumps could not be turned off");
    }
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "the process stays readable for debuggers");
    }
    let files = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: files.maximum,
        ..files
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the descriptor limit stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Says that this is the child, which may be changed.
    const CHILD: &str = "APERTURE_TEST_HARDENED";

    /// In a process of its own: nothing here can be taken back.
    #[test]
    fn no_core_is_dumped_no_debugger_is_let_in_and_descriptors_are_raised() {
        if std::env::var_os(CHILD).is_none() {
            let name =
                "harden::tests::no_core_is_dumped_no_debugger_is_let_in_and_descriptors_are_raised";
            let child = Command::new(std::env::current_exe().unwrap())
                .args([name, "--exact"])
                .env(CHILD, "1")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&child.stdout);
            assert!(
                child.status.success() && said.contains("1 passed"),
                "{said}"
            );
            return;
        }
        let dumpable = || rustix::process::dumpable_behavior().unwrap();
        assert_eq!(dumpable(), DumpableBehavior::Dumpable);
        process();
        assert_eq!(dumpable(), DumpableBehavior::NotDumpable);
        let core = getrlimit(Resource::Core);
        assert_eq!((core.current, core.maximum), (Some(0), Some(0)));
        let files = getrlimit(Resource::Nofile);
        assert_eq!(files.current, files.maximum);
    }
}
