//! From the command line to a command, and from its result to an exit code.

use std::process::ExitCode;

use clap::Parser;

use crate::cli::args::{Cli, Command};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::relay;

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log(cli.global.verbose);
    let exit = match run(cli) {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("{error}");
            error.exit()
        }
    };
    ExitCode::from(exit.code())
}

fn run(cli: Cli) -> Result<Exit, CliError> {
    let context = Context::new(&cli.global)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        CliError::new(Exit::Failure, format!("cannot start: {error}"), "free some threads and descriptors")
    })?;
    runtime.block_on(dispatch(&context, cli.command))
}

async fn dispatch(context: &Context, command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Relay(args) => relay::relay(context, args).await,
        command => Err(CliError::new(Exit::Failure, format!("{command:?} is not built yet"), "wait for it")),
    }
}

/// Sends the library's events to stderr: warnings always, more with each `-v`. `RUST_LOG` has the last word.
fn start_log(verbose: u8) {
    use tracing_subscriber::EnvFilter;
    let level = match verbose {
        0 => "blobdvm=warn",
        1 => "blobdvm=info",
        2 => "blobdvm=debug",
        _ => "blobdvm=trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
}
