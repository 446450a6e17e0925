//! `blobdvm capability`: let a machine look after the vault that must not read it, and take that back.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::names::day;
use crate::crypt::DeviceClass;
use crate::format::Grant;
use crate::vault::write_capability;

/// Arguments of `capability`.
#[derive(Debug, Args)]
pub struct CapabilityArgs {
    /// What to do
    #[command(subcommand)]
    pub verb: CapabilityVerb,
}

/// What can be done with capabilities.
#[derive(Debug, Subcommand)]
pub enum CapabilityVerb {
    /// Make one, for a machine that may check, renew and repair and read nothing
    Export(ExportArgs),
    /// List those that were made
    List,
    /// Take one back
    Revoke(RevokeArgs),
}

/// Arguments of `capability export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Says what the capability is for: to verify, renew and repair
    #[arg(long, required = true)]
    pub verify: bool,
    /// Write it to FILE, which must not be there yet [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// A name to know it by
    #[arg(long, value_name = "NAME", default_value = "")]
    pub label: String,
}

/// Arguments of `capability revoke`.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Id of a capability, or the beginning of one
    #[arg(value_name = "ID")]
    pub id: String,
    /// The id is that of a device with the vault's key, which is lost for good: nobody waits for it any more
    #[arg(long)]
    pub device: bool,
}

/// The option of commands that a machine with a capability can run.
#[derive(Debug, Clone, Default, Args)]
pub struct CapabilityOption {
    /// Work with this capability instead of the vault's key
    #[arg(long, value_name = "FILE")]
    pub capability: Option<PathBuf>,
}

#[derive(Serialize)]
struct Exported {
    id: String,
    label: String,
    file: Option<String>,
}

#[derive(Serialize)]
struct Listed {
    id: String,
    label: String,
    created: u64,
    revoked: bool,
}

/// Exports, lists or revokes.
pub async fn run(args: &CapabilityArgs, context: &Context) -> Result<Exit, CliError> {
    match &args.verb {
        CapabilityVerb::Export(args) => export(args, context).await,
        CapabilityVerb::List => list(context),
        CapabilityVerb::Revoke(args) => revoke(args, context).await,
    }
}

async fn export(args: &ExportArgs, context: &Context) -> Result<Exit, CliError> {
    let file = args.output.as_deref().filter(|path| *path != Path::new("-"));
    let context = match file {
        Some(_) => context.clone(),
        None => context.with_data_on_stdout()?,
    };
    if let Some(file) = file.filter(|file| file.exists()) {
        let happened = format!("{} is there already; nothing was changed", file.display());
        return Err(CliError::new(Exit::Usage, happened, "name another file with -o FILE"));
    }
    let (mut client, progress) = context.client(context.open_vault()?, "capability").await?;
    let exported = client.export_capability(&args.label).await;
    progress.finish();
    let capability = exported?;
    let out = &context.output;
    match file {
        Some(file) => write_capability(file, &capability)?,
        None => out.answer(capability.to_text().map_err(crate::vault::VaultError::from)?.as_str()),
    }
    let id = capability.device.to_string();
    out.say(format_args!(
        "capability {id}: whoever has it can check, renew and repair this vault, and not read it"
    ));
    out.say(format_args!("take it back with `blobdvm capability revoke {}`", capability.device.short()));
    out.json(&Exported { id, label: args.label.clone(), file: file.map(|file| file.display().to_string()) });
    Ok(Exit::Ok)
}

fn list(context: &Context) -> Result<Exit, CliError> {
    let vault = context.open_vault()?;
    let revoked = vault.revoked_devices()?;
    let describe = |grant: Grant| Listed {
        id: grant.device.to_string(),
        label: grant.label,
        created: grant.created.0,
        revoked: revoked.contains(&grant.device),
    };
    let listed: Vec<_> = vault.grants()?.into_iter().map(describe).collect();
    for one in &listed {
        let state = if one.revoked { "revoked" } else { "granted" };
        let since = day(crate::types::Timestamp(one.created));
        context.output.answer(format_args!("{}  {since}  {state}  {:?}", one.id, one.label));
    }
    if listed.is_empty() {
        context.output.say("no capability was made yet: `blobdvm capability export --verify -o FILE`");
    }
    context.output.json(&listed);
    Ok(Exit::Ok)
}

async fn revoke(args: &RevokeArgs, context: &Context) -> Result<Exit, CliError> {
    let vault = context.open_vault()?;
    let (device, class) = vault.find_device(&args.id)?;
    if class == DeviceClass::Full && !args.device {
        let happened = format!("{} is a device with the vault's key, not a capability", device.short());
        let remedy =
            "say --device if it is lost for good: what it put since it was last heard of may then be let go";
        return Err(CliError::new(Exit::Usage, happened, remedy));
    }
    let (mut client, progress) = context.client(vault, "capability").await?;
    let revoked = client.revoke_device(device).await;
    progress.finish();
    revoked?;
    context.output.say(match class {
        DeviceClass::Verify => {
            format!("capability {} is revoked: what it publishes is not followed any more", device.short())
        }
        DeviceClass::Full => format!("device {} is revoked: nobody waits for it any more", device.short()),
    });
    context.output.json(&serde_json::json!({ "revoked": device }));
    Ok(Exit::Ok)
}
