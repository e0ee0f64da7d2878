//! The executable: reads the arguments and runs a command.

use aperture::{cli::Cli, commands};
use clap::Parser as _;
use std::process::ExitCode;

/// What one thread allocates here another one frees: the store's threads take over records and bodies. glibc's allocator lets them wait
/// for each other, which took a fifth of the processor time: see docs/design/hot-path.md.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

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
