//! `aperture connect`: how clients are pointed at a gateway.
//!
//! Owns: the table of clients (`table`, pure data) and what is made of it: text, docs/clients.md (`render`), and a merge into
//! the client's own file (`merge`, `apply`). `gateway` asks a gateway what its caller may use. In: the command's arguments.
//! Out: text for the terminal; files below the home directory, with `--apply` alone.
//! Must not know: tailnets, configurations of gateways.

mod apply;
mod command;
mod fill;
mod gateway;
mod merge;
mod render;
mod table;

pub use command::run;
pub use fill::{Facts, Offered, fill};
pub use render::render_markdown;
pub use table::{CLIENTS, Client, Format, Setup};

/// Why a client can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No such client in the table.
    #[error("no client is called {0:?}: `aperture connect` lists them")]
    NoClient(String),
    /// No such setup of the client.
    #[error("{client} has no setup {setup:?}: it has {known}")]
    NoSetup {
        /// The client.
        client: &'static str,
        /// As asked for.
        setup: String,
        /// Those that it has.
        known: String,
    },
    /// The setup is no file.
    #[error(
        "{0} is set up by commands or variables, not by a file: copy them from `aperture connect {0}`"
    )]
    NoFile(&'static str),
    /// The URL of a gateway.
    #[error("{0:?} is no URL of a gateway: write http://NAME or https://NAME.TAILNET.ts.net")]
    BadUrl(String),
    /// The client wants https, and the gateway's full name is not known.
    #[error(
        "{0} wants https: give --gateway https://NAME.TAILNET.ts.net of a gateway that runs with --tls"
    )]
    NeedsHttps(&'static str),
    /// The home directory.
    #[error("no home directory: set HOME")]
    NoHome,
    /// The file is, through a symbolic link, somewhere else.
    #[error("{0} leads out of the home directory, so it is left alone")]
    Outside(String),
    /// The file is not what it should be.
    #[error("{path} can't be merged into: {why}")]
    Unmergeable {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody can be asked.
    #[error("nobody to ask: add --yes to write without asking")]
    NobodyToAsk,
    /// A file.
    #[error("{0}: {1}")]
    Io(String, #[source] std::io::Error),
}
