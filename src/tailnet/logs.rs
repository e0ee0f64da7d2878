//! The node's log lines, as events of our own log.
//!
//! Owns: the target `tailnet` and which line gets which level. In: lines that start with `user ` (for the operator:
//! the login address, changes of state) or `node ` (the backend's own talk). Out: the same lines, for whoever
//! understands them. Must not know: what they mean.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
};
use tokio::io::{AsyncBufReadExt, BufReader};

/// The library's end, and a future that reads ours until the library closes its end.
pub(super) fn pipe(
    hear: impl Fn(&str) + Send,
) -> io::Result<(OwnedFd, impl Future<Output = ()> + Send)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    let ours = tokio::net::UnixStream::from_std(ours)?;
    let read = async move {
        let mut lines = BufReader::new(ours).split(b'\n');
        let mut told = String::new();
        while let Ok(Some(line)) = lines.next_segment().await {
            let line = String::from_utf8_lossy(&line);
            event(&line, &mut told);
            hear(&line);
        }
    };
    Ok((theirs.into(), read))
}

/// Lines for the operator are said once, however often the library repeats them.
fn event(line: &str, told: &mut String) {
    match line.split_once(' ') {
        Some(("user", text)) if text == told => tracing::debug!(target: "tailnet", "{text}"),
        Some(("user", text)) => {
            tracing::info!(target: "tailnet", "{text}");
            text.clone_into(told);
        }
        Some(("node", text)) => tracing::debug!(target: "tailnet", "{text}"),
        _ => tracing::debug!(target: "tailnet", "{line}"),
    }
}
