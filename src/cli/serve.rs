//! `blobdvm serve`: a provider as a process of its own.

use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use nostr::RelayUrl;
use serde::Serialize;

use crate::cli::args::ServeArgs;
use crate::cli::context::{Context, chunk_len};
use crate::cli::error::{CliError, chain};
use crate::cli::exit::Exit;
use crate::cli::names::npub;
use crate::provider::{
    BlossomOptions, BlossomServer, DirectOptions, Provider, ProviderError, ProviderOptions,
};
use crate::transport::Carrier;
use crate::types::ProviderId;
use crate::types::limits::{BLOB_LEN_MAX, DIRECT_CONNECTION_COUNT_MAX};
use crate::wire::tags::parse_endpoint;

/// What `--json` prints once the provider serves.
#[derive(Serialize)]
struct Serving {
    provider: ProviderId,
    npub: String,
    relays: Vec<RelayUrl>,
    direct: Vec<RelayUrl>,
    blossom: Option<String>,
    blobs: usize,
    used: u64,
    quota: u64,
}

/// Runs a provider until it is told to stop.
///
/// # Errors
/// No relay is known, an option makes no sense, or the store cannot be used.
pub async fn run(args: &ServeArgs, context: &Context) -> Result<Exit, CliError> {
    let options = options(args)?;
    let store = args.store.clone().unwrap_or_else(|| context.home.join("provider"));
    let mut stop = std::pin::pin!(args.lifeline.stop());
    let carrier = tokio::select! {
        biased;
        () = &mut stop => return Ok(Exit::Ok),
        carrier = connect(context) => carrier?,
    };
    let env = context.env.clone();
    let provider =
        Provider::open(&store, options, carrier.clone(), env).await.map_err(|error| cannot_serve(&error))?;
    let blossom = blossom(args, &provider, context).await?;
    tell(&provider, blossom.as_ref(), &*carrier, context);
    let serving = async {
        match blossom {
            Some(blossom) => blossom.run().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = stop => {}
        () = serving => {}
    }
    provider.stop().await;
    context.output.say("stopped");
    Ok(Exit::Ok)
}

/// Connects, however long it takes: a provider may well be up before its relays are.
async fn connect(context: &Context) -> Result<Arc<dyn Carrier>, CliError> {
    const TRY_AGAIN_AFTER: Duration = Duration::from_secs(2);
    let mut is_first = true;
    loop {
        match context.connect(&[]).await {
            Err(error) if error.exit() == Exit::NoRelay && !context.relays.is_empty() => {
                if std::mem::take(&mut is_first) {
                    context
                        .output
                        .warn(format_args!("{}; trying again until one is there", error.happened()));
                }
            }
            outcome => return outcome,
        }
        tokio::time::sleep(TRY_AGAIN_AFTER).await;
    }
}

fn options(args: &ServeArgs) -> Result<ProviderOptions, CliError> {
    let max_file_size = args.max_file_size.as_u64();
    if max_file_size == 0 || max_file_size > BLOB_LEN_MAX {
        let happened = format!("--max-file-size {} is not possible", args.max_file_size);
        return Err(CliError::new(Exit::Usage, happened, "name a size from 1B to 10MiB"));
    }
    if args.retention.as_secs() == 0 {
        return Err(CliError::new(
            Exit::Usage,
            "--retention is less than a second",
            "name a time such as 90days",
        ));
    }
    let announce = args.announce_direct.iter().map(|text| endpoint(text)).collect::<Result<_, _>>()?;
    let direct = DirectOptions {
        listen: args.direct.clone(),
        announce,
        connection_count_max: args.max_connections.map_or(DIRECT_CONNECTION_COUNT_MAX, usize::from),
        address_connection_count_max: args.max_connections_per_address.map(usize::from),
    };
    Ok(ProviderOptions {
        direct,
        name: args.name.clone(),
        quota: args.quota.as_u64(),
        max_file_size,
        chunk_len_max: chunk_len("--max-chunk-size", args.max_chunk_size)?,
        retention: args.retention,
        ..ProviderOptions::default()
    })
}

/// The Blossom server over the provider's store, where one is wanted.
async fn blossom(
    args: &ServeArgs,
    provider: &Provider,
    context: &Context,
) -> Result<Option<BlossomServer>, CliError> {
    let Some(listen) = args.blossom else { return Ok(None) };
    let (max_file_size, retention) = (args.max_file_size.as_u64(), args.retention);
    let options = BlossomOptions { max_file_size, retention, ..BlossomOptions::new(listen) };
    let bound = BlossomServer::bind(options, provider.store().clone(), context.env.clone()).await;
    bound.map(Some).map_err(|error| {
        let remedy = "name an address of this machine and a free port with --blossom ADDR:PORT";
        CliError::new(Exit::Failure, format!("cannot listen on {listen}: {error}"), remedy)
    })
}

fn endpoint(text: &str) -> Result<RelayUrl, CliError> {
    parse_endpoint(text.trim()).ok_or_else(|| {
        let remedy = "give a WebSocket address such as ws://203.0.113.7:7788 or wss://box.example.com/direct";
        CliError::new(
            Exit::Usage,
            format!("--announce-direct {text:?} is no plain WebSocket address"),
            remedy,
        )
    })
}

fn tell(provider: &Provider, blossom: Option<&BlossomServer>, carrier: &dyn Carrier, context: &Context) {
    let (stats, id) = (provider.stats(), provider.id());
    let (relays, npub) = (carrier.relays(), npub(&id));
    context.output.answer(&npub);
    for relay in &relays {
        context.output.say(format_args!("relay {relay}"));
    }
    for endpoint in provider.endpoints() {
        context.output.say(format_args!("direct {endpoint}"));
    }
    let blossom = blossom.map(BlossomServer::url);
    if let Some(url) = &blossom {
        context.output.say(format_args!("blossom {url}"));
    }
    let [used, quota] = [stats.used, stats.quota].map(ByteSize::b);
    context.output.say(format_args!("{} blobs, {used} of {quota} used", stats.blob_count));
    let (blobs, used, quota) = (stats.blob_count, stats.used, stats.quota);
    let direct = provider.endpoints().to_vec();
    context.output.json(&Serving { provider: id, npub, relays, direct, blossom, blobs, used, quota });
}

fn cannot_serve(error: &ProviderError) -> CliError {
    let remedy = match error {
        ProviderError::Folder { source, .. } if source.kind() == std::io::ErrorKind::WouldBlock => {
            "stop the other process that serves this store, or name another folder with --store"
        }
        ProviderError::Folder { .. } => "name a folder that you may write to with --store",
        ProviderError::Direct(_) => "name an address of this machine and a free port with --direct ADDR:PORT",
        ProviderError::NothingToAnnounce => {
            "say with --announce-direct URL where clients reach the address of --direct"
        }
        ProviderError::Transport(_) => "see that a relay is running, and name it with --relay URL",
        _ => "name another folder with --store, or bring this one back from a copy",
    };
    CliError::new(Exit::Failure, chain(error), remedy)
}
