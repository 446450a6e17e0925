//! From the command line to a command, and from its result to an exit code.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::cli::args::{Cli, Command};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::{
    bench, capability, cat, check, demo, get, init, ls, manifest, output, plain, providers, prune, put,
    recover, relay, renew, repair, rm, serve, signal, status, watch,
};

/// How long work on blocking threads is waited for at the end.
const RUNTIME_GRACE: Duration = Duration::from_millis(500);
/// How long a command may take to end after it was told to stop. With the other: below two seconds.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log(&cli);
    let done = run(cli).and_then(|exit| match output::unprinted() {
        Some(why) => {
            let happened = format!("done, but what there is to say of it cannot be written: {why}");
            Err(CliError::new(Exit::Failure, happened, "look where its output goes"))
        }
        None => Ok(exit),
    });
    let exit = match done {
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
    let done = runtime.block_on(dispatch(cli.command, context));
    // Blocking work that is under way, such as reading a file, is not worth waiting for.
    runtime.shutdown_timeout(RUNTIME_GRACE);
    done
}

/// Runs a command, on a task of its own: one that hashes, walks or syncs for long must not keep a signal from being
/// heard. Those that serve others end by themselves when told to stop, and so does one that has something to write down;
/// any other is dropped where it is, which removes its temporary files.
async fn dispatch(command: Command, context: Context) -> Result<Exit, CliError> {
    if matches!(command, Command::Relay(_) | Command::Serve(_)) {
        return run_command(&command, &context).await;
    }
    let (stop, again, grace) = (context.stop.clone(), again(&command), stop_grace(&command));
    let mut running = tokio::spawn(async move { run_command(&command, &context).await });
    tokio::select! {
        biased;
        () = signal::stop() => {}
        done = &mut running => {
            return done.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()));
        }
    }
    if stop.is_heeded() {
        stop.tell();
    } else {
        running.abort();
    }
    let ended = tokio::select! {
        biased;
        // Whoever says it twice means it.
        () = signal::stop() => None,
        ended = tokio::time::timeout(grace, &mut running) => ended.ok().and_then(Result::ok),
    };
    match ended {
        Some(Ok(exit)) => Ok(exit),
        Some(Err(error)) if error.exit() != Exit::Interrupted => Err(error),
        _ => Err(CliError::new(Exit::Interrupted, "interrupted", again)),
    }
}

async fn run_command(command: &Command, context: &Context) -> Result<Exit, CliError> {
    match command {
        Command::Init(args) => init::run(args, context),
        Command::Manifest(args) => manifest::run(args, context),
        Command::Put(args) => put::run(args, context).await,
        Command::Get(args) => get::run(args, context).await,
        Command::Cat(args) => cat::run(args, context).await,
        Command::Ls(args) => ls::run(args, context),
        Command::Rm(args) => rm::run(args, context).await,
        Command::Prune(args) => prune::run(args, context).await,
        Command::Check(args) => check::run(args, context).await,
        Command::Repair(args) => repair::run(args, context).await,
        Command::Renew(args) => renew::run(args, context).await,
        Command::Watch(args) => watch::run(args, context).await,
        Command::Status(args) => status::run(args, context),
        Command::Recover(args) => recover::run(args, context).await,
        Command::Demo(args) => Box::pin(demo::run(args, context)).await,
        Command::Bench(args) => Box::pin(bench::run(args, context)).await,
        Command::Capability(args) => capability::run(args, context).await,
        Command::Providers(args) => providers::run(args, context).await,
        Command::Upload(args) => plain::upload(args, context).await,
        Command::Download(args) => plain::download(args, context).await,
        Command::Delete(args) => plain::delete(args, context).await,
        Command::ListServers => plain::list_servers(context).await,
        Command::Relay(args) => relay::run(args, context).await,
        Command::Serve(args) => serve::run(args, context).await,
    }
}

/// How long a command may take to end after it was told to stop. A bench deletes what it has stored at providers that go
/// on.
fn stop_grace(command: &Command) -> Duration {
    match command {
        Command::Bench(args) if !args.providers.is_empty() || args.blossom.is_some() => {
            STOP_GRACE + bench::CLEAN_UP_MAX
        }
        _ => STOP_GRACE,
    }
}

/// How to go on after an interruption.
fn again(command: &Command) -> &'static str {
    match command {
        Command::Put(_) => {
            "run the same command again: what providers have acknowledged is recorded, and is not sent twice"
        }
        Command::Get(args) if args.output.as_path() != Path::new("-") && !args.verify => {
            "run the same command again: what is there, finished files and the part of a large one, is not fetched twice"
        }
        Command::Prune(_) | Command::Rm(_) => {
            "run the same command again: every snapshot that is left is whole, and it goes on where it was"
        }
        Command::Recover(_) => "run the same command again: nothing was left half-made",
        Command::Repair(_) => "run it again: it goes on where it was",
        Command::Watch(_) => "start it again when you like: the next round goes on",
        _ => "run it again",
    }
}

/// Sends the library's events to stderr: warnings always, more with each `-v`. `RUST_LOG` has the last word.
fn start_log(cli: &Cli) {
    use tracing_subscriber::EnvFilter;
    let level = match cli.global.verbose {
        // The demo's providers live in this process, and their troubles are part of the story.
        0 if matches!(cli.command, Command::Demo(_)) => "off",
        0 => "blobdvm=warn",
        1 => "blobdvm=info",
        2 => "blobdvm=debug",
        _ => "blobdvm=trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
}
