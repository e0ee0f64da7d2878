//! What a mistake in the gateway could be made use of for: how its binary is linked, what its process gives away, who may open
//! its files.

use super::{document, start};
use crate::support::{
    Gateway,
    gateway::Options,
    http as client, message,
    process::{PATIENCE, Process},
    repository,
};
use provider::Provider;
use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::Stdio,
};
use tokio::process::Command;

/// What scripts/hardening finds missing in a binary.
async fn missing(binary: &Path) -> String {
    let output = Command::new(repository("scripts/hardening"))
        .arg(binary)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.success(), said.is_empty(), "{said}{errors}");
    assert!(errors.is_empty(), "{errors}");
    said
}

/// The smallest program there is, linked so.
async fn linked(dir: &Path, name: &str, arguments: &[&str]) -> std::path::PathBuf {
    let source = dir.join("small.c");
    fs::write(&source, "int main(void) { return 0; }\n").unwrap();
    let binary = dir.join(name);
    let output = Command::new("cc")
        .args(["-fPIE", "-pie", "-Wl,-z,relro,-z,now"])
        .arg(&source)
        .args(arguments)
        .arg("-o")
        .arg(&binary)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{name}: {output:?}");
    binary
}

/// The release is linked by the same flags; tests/packaging looks at what is shipped.
#[tokio::test]
async fn the_binary_is_hardened_and_one_that_is_not_is_noticed() {
    assert_eq!(missing(Path::new(env!("CARGO_BIN_EXE_aperture"))).await, "");
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path();
    let library = here.join("libother.so");
    let made = Command::new("cc")
        .args(["-shared", "-x", "c", "/dev/null", "-o"])
        .arg(&library)
        .status()
        .await
        .unwrap();
    assert!(made.success());
    let library = library.to_str().unwrap();
    let sound = linked(here, "sound", &[]).await;
    assert_eq!(missing(&sound).await, "");
    for (name, arguments, says) in [
        ("placed", vec!["-no-pie"], "not position-independent"),
        ("writable", vec!["-Wl,-z,norelro"], "read-only relocations"),
        ("late", vec!["-Wl,-z,lazy"], "binds functions late"),
        ("stack", vec!["-Wl,-z,execstack"], "its stack can be run"),
        ("path", vec!["-Wl,-rpath,/tmp"], "a place of its own"),
        (
            "libraries",
            vec!["-Wl,--no-as-needed", library],
            "other libraries:",
        ),
        (
            "both",
            vec!["-no-pie", "-static", "-nostdlib", "-Wl,-N,-e,main"],
            "written to and run",
        ),
    ] {
        let found = missing(&linked(here, name, &arguments).await).await;
        assert!(found.contains(says), "{name}: {found}");
    }
}

/// A group that nobody here is in.
const NOGROUP: &str = "65534";

/// The owner and group of a process's environment in /proc: root's, when the process may not be looked into.
fn owner(process: &Process) -> (u32, u32) {
    let entry = fs::metadata(format!("/proc/{}/environ", process.pid())).unwrap();
    (entry.uid(), entry.gid())
}

/// A command that runs another one in another group, where that is possible: as root, outside of user namespaces.
async fn in_another_group() -> Option<Vec<String>> {
    let wrapper = ["setpriv", "--regid", NOGROUP, "--keep-groups"];
    let mut trial = Command::new(wrapper[0]);
    trial.args(&wrapper[1..]).arg("true").stderr(Stdio::null());
    let possible = trial.status().await.is_ok_and(|status| status.success());
    possible.then(|| wrapper.map(str::to_owned).into())
}

#[tokio::test]
async fn the_process_dumps_no_core_and_is_closed_to_others() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let wrapper = in_another_group().await;
    // What the kernel shows of a process that is open to its user, and what of one that is not.
    let open = if let Some(wrapper) = &wrapper {
        let mut command = Command::new(&wrapper[0]);
        command.args(&wrapper[1..]).args(["sleep", "600"]);
        let process = Process::start(command);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        // It is another program until it has changed its group.
        while owner(&process).1 == 0 && tokio::time::Instant::now() < deadline {
            tokio::task::yield_now().await;
        }
        owner(&process)
    } else {
        let own = fs::metadata("/proc/self/environ").unwrap();
        (own.uid(), own.gid())
    };
    let options = Options {
        wrapper: wrapper.unwrap_or_default(),
        ..Options::default()
    };
    let gateway = Gateway::dev(&document(&provider.url(), ""), options).await;
    let pid = gateway.process.pid();
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"))
        .unwrap();
    let core: Vec<&str> = core.split_whitespace().collect();
    assert_eq!(core, ["0", "0", "bytes"]);
    if open == (0, 0) {
        // In a user namespace everybody is root; src/harden.rs asks the kernel directly.
        eprintln!("note: here /proc does not show whether a process can be looked into");
    } else {
        assert_eq!(owner(&gateway.process), (0, 0), "open: {open:?}");
    }
    gateway.stop().await;
}

/// Everything below a directory that others could do something with.
fn open_to_others(directory: &Path, found: &mut Vec<String>) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        count += 1;
        if metadata.permissions().mode() & 0o077 != 0 {
            found.push(path.display().to_string());
        }
        if metadata.is_dir() {
            count += open_to_others(&path, found);
        }
    }
    count
}

#[tokio::test]
async fn the_control_socket_and_every_file_are_their_owners_alone() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    let url = format!("{}/v1/messages", gateway.url);
    client::post(&url, message("claude-haiku-4-5", "hello", false)).await;
    gateway.finished(1).await;
    let backups = tempfile::tempdir().unwrap();
    let to = backups.path().to_str().unwrap();
    let made = gateway.command(&["backup", to, "--with-config"]).await;
    assert!(made.status.success(), "{made:?}");

    let state = gateway.state_dir();
    let socket = state.join("control.sock").symlink_metadata().unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!(
        state.metadata().unwrap().permissions().mode() & 0o777,
        0o700
    );
    let mut open = Vec::new();
    assert!(open_to_others(&state, &mut open) >= 4);
    assert_eq!(open_to_others(backups.path(), &mut open), 1);
    assert!(open.is_empty(), "{open:?}");
    gateway.stop().await;
}
