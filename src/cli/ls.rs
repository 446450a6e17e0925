//! `blobdvm ls`: the snapshots, or what is in one.

use bytesize::ByteSize;
use serde::Serialize;

use crate::cli::args::LsArgs;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::names::{count, time};
use crate::client::{Selected, select};
use crate::format::{EntryKind, Snapshot};
use crate::types::Timestamp;

/// A snapshot in `ls --json`.
#[derive(Debug, Serialize)]
struct SnapshotRow {
    snapshot: String,
    name: String,
    made_at: u64,
    host: String,
    files: u64,
    bytes: u64,
}

/// An entry in `ls SNAPSHOT --json`.
#[derive(Debug, Serialize)]
struct EntryRow {
    path: String,
    kind: &'static str,
    mode: u32,
    mtime: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

/// Lists. Needs no relay: the manifest is here.
pub fn run(args: &LsArgs, context: &Context) -> Result<Exit, CliError> {
    let vault = context.open_vault()?;
    match &args.snapshot {
        None => snapshots(vault.snapshots()?, context),
        Some(name) => {
            let snapshot = vault.resolve(name)?;
            entries(&select(&snapshot.root, &[], &vault)?, context);
        }
    }
    Ok(Exit::Ok)
}

fn snapshots(mut snapshots: Vec<Snapshot>, context: &Context) {
    snapshots.sort_by_key(|snapshot| (snapshot.made_at, snapshot.id));
    let row = |snapshot: &Snapshot| SnapshotRow {
        snapshot: snapshot.id.to_string(),
        name: snapshot.name.clone(),
        made_at: snapshot.made_at.0,
        host: snapshot.host.clone(),
        files: snapshot.files,
        bytes: snapshot.bytes,
    };
    let out = &context.output;
    out.json(&snapshots.iter().map(row).collect::<Vec<_>>());
    if snapshots.is_empty() {
        out.say("no snapshot yet: `blobdvm put PATH` makes one");
    }
    for snapshot in &snapshots {
        let size = ByteSize::b(snapshot.bytes).to_string();
        let (id, made_at, files) =
            (snapshot.id.short(), time(snapshot.made_at), count(snapshot.files, "file"));
        out.answer(format_args!("{id}  {made_at}  {files:>13}  {size:>10}  {}", printable(&snapshot.name)));
    }
}

fn entries(selected: &[Selected], context: &Context) {
    let row = |item: &Selected| {
        let (kind, file) = match &item.entry.kind {
            EntryKind::File(file) => ("file", Some(file)),
            EntryKind::Dir { .. } => ("dir", None),
            EntryKind::Symlink { .. } => ("symlink", None),
            EntryKind::Fifo => ("fifo", None),
            EntryKind::CharDevice { .. } => ("char device", None),
            EntryKind::BlockDevice { .. } => ("block device", None),
            EntryKind::Socket => ("socket", None),
        };
        EntryRow {
            path: item.path.display().to_string(),
            kind,
            mode: item.entry.mode,
            mtime: item.entry.mtime,
            bytes: file.map(|file| file.len),
            sha256: file.map(|file| hex::encode(file.sha256)),
        }
    };
    let out = &context.output;
    out.json(&selected.iter().map(row).collect::<Vec<_>>());
    for item in selected {
        let size = match &item.entry.kind {
            EntryKind::File(file) => ByteSize::b(file.len).to_string(),
            _ => String::new(),
        };
        let mtime = time(Timestamp(u64::try_from(item.entry.mtime).unwrap_or(0)));
        let slash = if matches!(item.entry.kind, EntryKind::Dir { .. }) { "/" } else { "" };
        let path = printable(&item.path.display().to_string());
        out.answer(format_args!("{:04o}  {mtime}  {size:>10}  {path}{slash}", item.entry.mode));
    }
}

/// A name with what would move the cursor made visible.
fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
