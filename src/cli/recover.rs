//! `blobdvm recover`: rebuild the home from the key, on a new machine.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::cli::args::RecoverArgs;
use crate::cli::context::Context;
use crate::cli::error::{CliError, chain};
use crate::cli::exit::Exit;
use crate::cli::key;
use crate::cli::names::{npub, provider};
use crate::client::RecoverOutcome;
use crate::vault::Home;

/// What `recover --json` prints.
#[derive(Debug, Serialize)]
struct Report {
    devices: usize,
    records: u64,
    snapshots: usize,
    from_providers: bool,
    lost_devices: Vec<String>,
    relays_behind: Vec<String>,
}

/// Recovers into a home that has no vault yet.
///
/// The home is built beside its place and takes it when it is complete: a failed recovery leaves nothing behind.
pub async fn run(args: &RecoverArgs, context: &Context) -> Result<Exit, CliError> {
    let providers = args.providers.iter().map(|text| provider(text)).collect::<Result<BTreeSet<_>, _>>()?;
    let building = context.building_home()?;
    let secret = key::for_recovery(args.key_file.as_deref())?;
    let vault = Home::init(building.path(), secret, &context.env)?;
    context.remember_relays(&vault)?;
    let (client, progress) = context.client(vault, "recover").await?;
    let outcome = client.recover(&providers).await;
    progress.finish();
    let outcome = outcome?;
    let snapshots = client.vault.snapshots()?.len();
    drop(client);
    context.take_home(building)?;
    Ok(report(&outcome, snapshots, context))
}

fn report(outcome: &RecoverOutcome, snapshots: usize, context: &Context) -> Exit {
    let out = &context.output;
    let behind = |(relay, device, counter, newest): &(nostr::RelayUrl, crate::types::DeviceId, u64, u64)| {
        format!(
            "{relay} offers head {counter} of device {}, older than {newest}: not followed",
            device.short()
        )
    };
    let relays_behind: Vec<_> = outcome.behind.iter().map(behind).collect();
    let records = outcome.devices.values().sum();
    out.json(&Report {
        devices: outcome.devices.len(),
        records,
        snapshots,
        from_providers: outcome.from_providers,
        lost_devices: outcome.lost.iter().map(|(device, _)| device.to_string()).collect(),
        relays_behind: relays_behind.clone(),
    });
    for line in &relays_behind {
        out.warn(line);
    }
    for failure in &outcome.failures {
        out.say(format_args!("made up for provider {}: {}", npub(&failure.provider), failure.why));
    }
    if outcome.from_providers {
        out.say("no relay had a head: it was found among the blobs that providers keep, and published again");
    }
    let devices = outcome.devices.len();
    out.say(format_args!(
        "{snapshots} snapshots recovered ({records} records of {devices} devices); `blobdvm ls` lists them"
    ));
    for (device, error) in &outcome.lost {
        out.warn(format_args!(
            "the manifest of device {} cannot be brought back: {}",
            device.short(),
            chain(error)
        ));
    }
    if outcome.lost.is_empty() { Exit::Ok } else { Exit::CannotRestore }
}
