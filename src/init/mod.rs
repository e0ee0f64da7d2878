//! `aperture init`: a first configuration, from a few questions or from arguments alone.
//!
//! ```text
//! arguments, answers ─► plan ─► render ─► the checker of `aperture check` ─► file, and what to do next
//!                        └ probe: does the key work, is the model there?
//! ```
//!
//! Owns: the questions, what is believed of an answer, and the text of the document. Whatever is wrong is said and asked
//! again; without anybody to ask it ends the command. In: [`InitArgs`], a reader of answers. Out: a file that only its owner
//! may read, in which the checker finds nothing; until it is whole nothing is written.
//! Must not know: running gateways, records.

mod ask;
mod file;
mod kinds;
mod plan;
mod probe;
mod render;
#[cfg(test)]
mod tests;

pub use ask::Echo;

use crate::{
    cli::InitArgs,
    config::{self, CheckOptions, Environment, Finding, render_findings},
};
use ask::Dialogue;
use plan::Surroundings;
use std::{
    io::{self, BufRead, Write},
    path::{Path, PathBuf},
};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The answers ended.
    #[error("the answers ended before this one: {0}. Nothing was written")]
    Ended(String),
    /// Nobody can be asked.
    #[error("{flag} is missing ({question}). Nothing was written")]
    Missing {
        /// What was to be asked.
        question: String,
        /// The argument that answers it.
        flag: &'static str,
    },
    /// An argument that can't be.
    #[error("{flag}: {why}. Nothing was written")]
    Refused {
        /// The argument.
        flag: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// There is a configuration.
    #[error("{} is there already: --force replaces it and keeps it as a backup beside", .0.display())]
    Exists(PathBuf),
    /// The checker found something in what was made.
    #[error("the document that these answers make is not sound. Nothing was written\n{0}")]
    Unsound(String),
    /// A file or the terminal.
    #[error("{}: {source}", path.display())]
    Io {
        /// What it was about.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The document.
    pub document: String,
    /// Where it was put; none with `--print`.
    pub path: Option<PathBuf>,
    /// What was there before.
    pub backup: Option<PathBuf>,
    /// What to do next.
    pub next: String,
}

/// Asks, checks and writes. Blocks on answers and providers.
pub fn run(
    args: &InitArgs,
    path: &Path,
    environment: &Environment,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
    echo: &Echo,
    handle: &tokio::runtime::Handle,
) -> Result<Made, Error> {
    if !args.print && !args.force && path.symlink_metadata().is_ok() {
        return Err(Error::Exists(path.to_owned()));
    }
    let options = CheckOptions {
        allow_local_upstreams: args.allow_local_upstreams,
        secrets_dir: args.secrets_dir.clone(),
        environment: environment.clone(),
    };
    let ask_provider = |provider: &config::Provider| {
        handle.block_on(probe::probe(provider, args.allow_local_upstreams))
    };
    let surroundings = Surroundings {
        options: &options,
        probe: (!args.no_check).then_some(&ask_provider as &plan::Probing<'_>),
    };
    let mut dialogue = Dialogue::new(input, out, echo, !args.unattended);
    let plan = plan::gather(&mut dialogue, args, &surroundings)?;
    let document = render::document(&plan);
    let findings = findings(
        &document,
        &plan.checkable(&document),
        &options,
        args.no_check,
    );
    if !findings.is_empty() {
        return Err(Error::Unsound(render_findings(path, &findings)));
    }
    let (written, backup) = if args.print {
        (None, None)
    } else {
        (
            Some(path.to_owned()),
            file::write(path, &document, args.force)?,
        )
    };
    Ok(Made {
        next: render::next(&plan, path),
        document,
        path: written,
        backup,
    })
}

/// What the checker finds. Keys that are elsewhere are not looked for with `--no-check`.
fn findings(
    document: &str,
    without_keys: &str,
    options: &CheckOptions,
    no_check: bool,
) -> Vec<Finding> {
    if no_check {
        config::check(without_keys, &plan::with_stand_in(options)).findings
    } else {
        config::check(document, options).findings
    }
}
