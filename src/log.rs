//! The log: lines on stderr, and in nobody's way.
//!
//! Owns: [`begin`], what is logged and how it looks, and the thread that writes it. In: events of `tracing`. Out: lines, and
//! how many of them found no room while nobody read. A reader may hang (a full pipe, a terminal that was stopped, a
//! disk) or be gone: whoever logs waits for nothing.
//! Must not know: what is said.

use crate::cli::LogFormat;
use parking_lot::{Condvar, Mutex};
use std::{
    collections::VecDeque,
    fmt,
    io::{self, IsTerminal as _, Write},
    sync::Arc,
    thread,
    time::Duration,
};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// Bytes of lines that may wait for their reader.
const WAITING: usize = 1 << 20;
/// How long the end waits for them to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The log of this process.
#[derive(Clone)]
pub struct Log(Arc<Shared>);

struct Shared {
    lines: Mutex<Lines>,
    changed: Condvar,
    /// Bytes that may wait.
    room: usize,
}

#[derive(Default)]
struct Lines {
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
    writing: bool,
    lost: u64,
    /// How many of the lost ones the log itself has said.
    said: u64,
}

/// Begins to log to stderr what `APERTURE_LOG` says, else what so many `-v` ask for.
///
/// # Errors
///
/// There is no thread.
pub fn begin(verbose: u8, format: LogFormat) -> io::Result<Log> {
    let level = match verbose {
        0 => "info,tailnet=warn",
        1 => "info,aperture=debug,tailnet=info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env("APERTURE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let log = Log::to(io::stderr(), WAITING)?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        // It would say so on stderr, and panic in whoever logs, when nobody reads that any more.
        .log_internal_errors(false)
        .with_writer(log.clone());
    match format {
        LogFormat::Text => subscriber.with_target(false).init(),
        LogFormat::Json => subscriber.json().init(),
    }
    Ok(log)
}

impl Log {
    /// Lines go to `out`, on a thread that lasts as long as the process.
    fn to(out: impl Write + Send + 'static, room: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            lines: Mutex::default(),
            changed: Condvar::new(),
            room,
        });
        let writing = Arc::clone(&shared);
        thread::Builder::new()
            .name("log".into())
            .spawn(move || writing.write(out))?;
        Ok(Self(shared))
    }

    /// Lines that found no room so far.
    pub fn lost(&self) -> u64 {
        self.0.lines.lock().lost
    }

    /// Waits until what was said is written, a second at most.
    pub fn end(&self) {
        let mut lines = self.0.lines.lock();
        let busy = |lines: &mut Lines| lines.writing || !lines.waiting.is_empty();
        self.0.changed.wait_while_for(&mut lines, busy, LAST_WORDS);
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("lost", &self.lost())
            .finish_non_exhaustive()
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &Log {
    /// Takes a line: an event is written in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.take(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn take(&self, line: &[u8]) {
        let mut lines = self.lines.lock();
        if lines.bytes + line.len() > self.room {
            lines.lost += 1;
            return;
        }
        lines.bytes += line.len();
        lines.waiting.push_back(line.to_vec());
        drop(lines);
        self.changed.notify_all();
    }

    fn write(&self, mut out: impl Write) {
        loop {
            let mut lines = self.lines.lock();
            self.changed
                .wait_while(&mut lines, |lines| lines.waiting.is_empty());
            let Some(line) = lines.waiting.pop_front() else {
                continue;
            };
            lines.bytes -= line.len();
            lines.writing = true;
            drop(lines);
            // Nobody is left who could be told that nobody reads.
            let _ = out.write_all(&line);
            let mut lines = self.lines.lock();
            lines.writing = false;
            let lost = lines.lost - lines.said;
            // Said once those that did find room are out.
            let tell = lost > 0 && lines.waiting.is_empty();
            if tell {
                lines.said = lines.lost;
            }
            drop(lines);
            self.changed.notify_all();
            if tell {
                tracing::warn!(
                    lines = lost,
                    "the log was not read in time: so many lines found no room and are lost"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Takes a line when it is told to.
    struct Reader {
        go: mpsc::Receiver<()>,
        seen: mpsc::Sender<String>,
    }

    impl Write for Reader {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.go.recv().map_err(io::Error::other)?;
            let text = String::from_utf8_lossy(line).into_owned();
            self.seen.send(text).map_err(io::Error::other)?;
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_wait_for_their_reader_and_what_finds_no_room_is_counted() {
        let (go, waits) = mpsc::channel();
        let (seen, read) = mpsc::channel();
        let log = Log::to(Reader { go: waits, seen }, 30).unwrap();
        let say = |text: &str| (&log).write_all(text.as_bytes()).unwrap();
        // The first one may be on its way already, and takes no room then.
        for line in ["first line\n", "second line\n", "third\n"] {
            say(line);
        }
        let mut more = 0;
        while log.lost() == 0 {
            say("more\n");
            more += 1;
        }
        assert!(more <= 5, "{more}");
        for _ in 0..4 {
            go.send(()).unwrap();
        }
        let three = || [(); 3].map(|()| read.recv().unwrap());
        assert_eq!(three(), ["first line\n", "second line\n", "third\n"]);
        // A reader that is gone ends nothing.
        drop(go);
        say("nobody hears it\n");
        log.end();
    }
}
