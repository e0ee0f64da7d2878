//! Child processes: started with pipes, read line by line, and ended with the test.

use std::{
    process::{ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
    sync::watch,
    task::AbortHandle,
};

/// How long anything that ought to happen may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Lines that a process has written so far.
#[derive(Clone, Debug)]
pub struct Lines {
    seen: watch::Receiver<Arc<Vec<String>>>,
    reading: AbortHandle,
    paused: Arc<AtomicBool>,
}

impl Lines {
    fn read(from: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let (sender, receiver) = watch::channel(Arc::new(Vec::new()));
        let paused = Arc::new(AtomicBool::new(false));
        let pause = Arc::clone(&paused);
        let reading = tokio::spawn(async move {
            let mut lines = BufReader::new(from).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                sender.send_modify(|all| Arc::make_mut(all).push(line));
                if pause.load(Relaxed) {
                    std::future::pending::<()>().await;
                }
            }
        });
        Self {
            seen: receiver,
            reading: reading.abort_handle(),
            paused,
        }
    }

    /// Reads one more line at most, and leaves the pipe open: the process finds it full some day.
    pub fn pause(&self) {
        self.paused.store(true, Relaxed);
    }

    /// Stops reading and closes the pipe: the process finds nobody who reads what it writes.
    pub async fn close(&self) {
        self.reading.abort();
        self.end().await;
    }

    /// All lines until now.
    pub fn all(&self) -> Arc<Vec<String>> {
        Arc::clone(&self.seen.borrow())
    }

    /// Waits until no more can come.
    async fn end(&self) {
        let mut receiver = self.seen.clone();
        while receiver.changed().await.is_ok() {}
    }

    /// The first line that the question accepts, now or later.
    pub async fn find<T>(&self, what: &str, mut question: impl FnMut(&str) -> Option<T>) -> T {
        let mut receiver = self.seen.clone();
        let mut seen = 0;
        let search = async {
            loop {
                let all = Arc::clone(&receiver.borrow_and_update());
                for line in &all[seen..] {
                    if let Some(found) = question(line) {
                        return Some(found);
                    }
                }
                seen = all.len();
                if receiver.changed().await.is_err() {
                    return None;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(Some(found)) => found,
            _ => panic!(
                "no line says {what}; the lines are:\n{}",
                self.all().join("\n")
            ),
        }
    }
}

/// A running child.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pub stdout: Lines,
    pub stderr: Lines,
}

impl Process {
    /// Starts a command; it dies with this value.
    pub fn start(mut command: Command) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self {
            stdout: Lines::read(child.stdout.take().unwrap()),
            stderr: Lines::read(child.stderr.take().unwrap()),
            child,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("still running")
    }

    /// Sends a signal by name: TERM, HUP, KILL.
    pub async fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.pid().to_string())
            .status()
            .await
            .unwrap();
        assert!(status.success());
    }

    /// Waits for its end, and for the last of its lines.
    pub async fn wait(&mut self) -> ExitStatus {
        let status = self.exit().await;
        self.stdout.end().await;
        self.stderr.end().await;
        status
    }

    /// Waits for its end.
    pub async fn exit(&mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .unwrap_or_else(|_| {
                panic!(
                    "it does not end; its lines are:\n{}",
                    self.stderr.all().join("\n")
                )
            })
            .unwrap()
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .unwrap()
            .count()
    }

    /// A number of /proc/PID/status: `Threads`, `VmRSS` (KiB).
    pub fn status(&self, key: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .unwrap()
    }
}
