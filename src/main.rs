//! The executable: reads the arguments and runs a command.

use aperture::{cli::Cli, commands};
use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            commands::complain(&format!("the runtime could not start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(commands::execute(Cli::parse()));
    // Blocking calls into the node that hang must not hold the exit up.
    runtime.shutdown_background();
    code
}
