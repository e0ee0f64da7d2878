//! The commands that keep what was recorded: `backup`, `restore` and `erase`, beside a running gateway or without one.
//!
//! Owns: which way they take, and what is printed. A running gateway holds the files, so it is asked through its control
//! socket; otherwise they are opened here, under the state directory's lock. In: arguments. Out: text.
//! Must not know: archives, tables.

use crate::{
    app::{self, StateDir},
    backup::{self, Extras, Head, Manifest, Place},
    cli::{BackupArgs, EraseArgs, RestoreArgs},
    control::{ControlClient, ControlError},
    erase,
    record::Timestamp,
    store::{FileName, OpenOptions, SnapshotError, Store, Writer},
};
use anyhow::Context as _;
use std::{
    fmt::Write as _,
    io::{self, BufWriter, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    sync::Arc,
    time::Duration,
};

/// How long the store may take to close after a command has used it.
const STORE_DEADLINE: Duration = Duration::from_secs(10);

/// Makes a backup; says where it is and what is in it.
pub async fn backup(args: &BackupArgs) -> anyhow::Result<String> {
    let dir = app::state_dir(args.state.state_dir.as_deref())?;
    if !dir.join(FileName::Main.as_str()).exists() {
        anyhow::bail!("there is nothing to back up in {}", dir.display());
    }
    let place = Arc::new(Place::new(&args.to, Timestamp::now())?);
    tokio::select! {
        made = make(&dir, args, Arc::clone(&place)) => made,
        _ = tokio::signal::ctrl_c() => {
            // What is interrupted leaves nothing behind.
            place.abandon();
            anyhow::bail!("interrupted: there is no backup")
        }
    }
}

async fn make(dir: &Path, args: &BackupArgs, place: Arc<Place>) -> anyhow::Result<String> {
    let extras = Extras {
        captures: !args.no_captures,
        with_config: args.with_config,
        config: args.config.clone(),
        node_state: args.with_node_state.then(|| dir.join("tailscaled.state")),
    };
    let captures = extras.captures;
    let (out, rows) = UnixStream::pair()?;
    let gathering = tokio::task::spawn_blocking(move || {
        let manifest = backup::gather(&place, &extras, rows);
        manifest.map(|manifest| (place, manifest))
    });
    let sent = send(dir, captures, out).await;
    let gathered = gathering.await.context("the backup stopped")?;
    let (place, manifest) = match (gathered, sent) {
        // The stream ended early: why, its sender knows.
        (Err(backup::Error::Rows(SnapshotError::Io(_))), Err(error)) => return Err(error),
        (gathered, _) => gathered?,
    };
    let packing = move || backup::pack(&place, &manifest).map(|path| (path, manifest));
    let (path, manifest) = tokio::task::spawn_blocking(packing)
        .await
        .context("the backup stopped")??;
    Ok(said(&path, &manifest))
}

/// Sends every row into the pipe, from whoever holds the files.
async fn send(dir: &Path, captures: bool, out: UnixStream) -> anyhow::Result<()> {
    let mut out = BufWriter::with_capacity(64 << 10, out);
    let query = [("captures", if captures { "yes" } else { "no" })];
    match ControlClient::new(dir)
        .copy("/backup", &query, &mut out)
        .await
    {
        Ok(()) => Ok(out.flush()?),
        Err(ControlError::NotRunning(_)) => {
            let opened = Opened::new(dir)?;
            let head = Head::new(Some(dir.join("aperture.hujson")));
            let copying = async {
                let snapshot = opened.writer.snapshot(captures).await?;
                let copy = move || {
                    out.write_all(&head.to_line())?;
                    snapshot.write(&mut out)
                };
                tokio::task::spawn_blocking(copy)
                    .await
                    .map_err(io::Error::other)?
            };
            let copied = copying.await;
            opened.writer.close(STORE_DEADLINE).await;
            Ok(copied?)
        }
        Err(error) => Err(error.into()),
    }
}

/// A state directory and its store, while no gateway runs.
struct Opened {
    store: Store,
    writer: Writer,
    _lock: StateDir,
}

impl Opened {
    fn new(dir: &Path) -> anyhow::Result<Self> {
        let lock = StateDir::open(Some(dir))?;
        let (store, writer, _) =
            Store::open(dir, OpenOptions::default()).context("opening the store")?;
        Ok(Self {
            store,
            writer,
            _lock: lock,
        })
    }
}

fn said(path: &Path, manifest: &Manifest) -> String {
    let mut text = format!("{}\n{manifest}", path.display());
    if manifest.has("aperture.hujson") {
        text.push_str("It holds the configuration, and with it every key that is written there: keep it as you keep keys.\n");
    }
    if manifest.has("tailscaled.state") {
        text.push_str(NODE_KEY);
    }
    text
}

const NODE_KEY: &str = "It holds the node's key: whoever has it can be this node. Two gateways with one key disturb each other, so \
                        stop this one before another starts with it.\n";

/// Puts a backup back, or says what is in it.
pub async fn restore(args: &RestoreArgs) -> anyhow::Result<String> {
    if args.check {
        let manifest = backup::inspect(&args.file)?;
        return Ok(format!(
            "{manifest}Every file is as it was when the backup was made.\n"
        ));
    }
    let dir = app::state_dir(args.state.state_dir.as_deref())?;
    let state = StateDir::open(Some(&dir)).with_context(|| {
        format!(
            "{} can't be restored into; stop the gateway first",
            dir.display()
        )
    })?;
    let request = backup::Request {
        force: args.force,
        data_only: args.data_only,
    };
    let manifest = backup::restore(&args.file, &state, request).await?;
    let mut text = format!("restored into {}\n{manifest}", dir.display());
    let kept = app::restored::kept(&dir);
    if kept.exists() {
        let _ = writeln!(text, "What was there before is in {}.", kept.display());
    }
    if !args.data_only && manifest.has("tailscaled.state") {
        text.push_str(NODE_KEY);
    }
    Ok(text)
}

/// Erases a person, or says what there is; and whether that is an answer to what was asked.
pub async fn erase(args: &EraseArgs) -> anyhow::Result<(String, bool)> {
    let dir = app::state_dir(args.state.state_dir.as_deref())?;
    let options = erase::Options {
        user: args.user.clone(),
        apply: args.yes,
    };
    let text = serde_json::to_string(&options)?;
    let report = match ControlClient::new(&dir)
        .post::<erase::Report>("/erase", &[("options", &text)])
        .await
    {
        Ok(report) => report,
        Err(ControlError::NotRunning(_)) => {
            let opened = Opened::new(&dir)?;
            let report = erase::run(options, &opened.store, &opened.writer).await;
            opened.writer.close(STORE_DEADLINE).await;
            report?
        }
        Err(error) => return Err(error.into()),
    };
    let found = args.yes || !report.is_empty();
    let text = if args.json {
        format!("{}\n", serde_json::to_string_pretty(&report)?)
    } else {
        report.to_string()
    };
    Ok((text, found))
}
