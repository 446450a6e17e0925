//! `blobdvm ls`: the snapshots, or what is in one.

use std::path::PathBuf;

use bytesize::ByteSize;
use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::names::{count, time};
use crate::cli::output::Output;
use crate::cli::printable::{JsonPath, name_text, path_text};
use crate::client::{Selected, select};
use crate::format::{Entry, EntryKind, Snapshot};
use crate::types::Timestamp;

/// Arguments of `ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    /// Id (or its beginning) or name of a snapshot, or `latest`; without it, all snapshots are listed
    #[arg(value_name = "SNAPSHOT|NAME")]
    pub snapshot: Option<String>,
    /// Only these paths of the snapshot, and what is below them; `*`, `?` and `**` as in `get`
    #[arg(value_name = "PATH", requires = "snapshot")]
    pub paths: Vec<PathBuf>,
    /// Show owners, times to the second, and where links point
    #[arg(short, long, requires = "snapshot")]
    pub long: bool,
    /// Only snapshots with this tag; repeat for several
    #[arg(long = "tag", value_name = "TAG", conflicts_with = "snapshot")]
    pub tags: Vec<String>,
    /// Only snapshots made on this host
    #[arg(long, value_name = "HOST", conflicts_with = "snapshot")]
    pub host: Option<String>,
}

/// A snapshot in `ls --json`.
#[derive(Debug, Serialize)]
struct SnapshotRow<'a> {
    snapshot: String,
    name: &'a str,
    made_at: u64,
    host: &'a str,
    tags: &'a [String],
    files: u64,
    bytes: u64,
}

/// An entry in `ls SNAPSHOT --json`.
#[derive(Debug, Serialize)]
struct EntryRow<'a> {
    #[serde(flatten)]
    path: JsonPath,
    kind: &'static str,
    mode: u32,
    uid: u32,
    gid: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    group: &'a str,
    mtime: i64,
    mtime_nanos: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

/// Lists. Needs no relay: the manifest is here.
pub fn run(args: &LsArgs, context: &Context) -> Result<Exit, CliError> {
    let vault = context.open_vault()?;
    let out = &context.output;
    match &args.snapshot {
        None => {
            let mut snapshots = vault.snapshots()?;
            snapshots.retain(|snapshot| is_wanted(snapshot, args));
            list_snapshots(&snapshots, args, out);
        }
        Some(name) => {
            let snapshot = vault.resolve(name)?;
            let selected = select(&snapshot.root, &args.paths, &vault)?.wanted;
            out.json(&selected.iter().map(row).collect::<Vec<_>>());
            let line = if args.long { long_line } else { line };
            for item in &selected {
                out.answer(line(item));
            }
        }
    }
    Ok(Exit::Ok)
}

fn is_wanted(snapshot: &Snapshot, args: &LsArgs) -> bool {
    let is_of_host = args.host.as_ref().is_none_or(|host| *host == snapshot.host);
    is_of_host && args.tags.iter().all(|tag| snapshot.labels.contains(tag))
}

fn list_snapshots(snapshots: &[Snapshot], args: &LsArgs, out: &Output) {
    out.json(&snapshots.iter().map(snapshot_row).collect::<Vec<_>>());
    if snapshots.is_empty() {
        let filtered = !args.tags.is_empty() || args.host.is_some();
        let empty =
            if filtered { "no such snapshot" } else { "no snapshot yet: `blobdvm put PATH` makes one" };
        out.say(empty);
    }
    for snapshot in snapshots {
        let size = ByteSize::b(snapshot.bytes).to_string();
        let (id, made_at, files) =
            (snapshot.id.short(), time(snapshot.made_at), count(snapshot.files, "file"));
        let [name, host] = [&snapshot.name, &snapshot.host].map(|text| name_text(text.as_bytes()));
        let on = if host.is_empty() { String::new() } else { format!("  on {host}") };
        let tags: Vec<_> = snapshot.labels.iter().map(|tag| name_text(tag.as_bytes())).collect();
        let tags = if tags.is_empty() { String::new() } else { format!("  [{}]", tags.join(", ")) };
        out.answer(format_args!("{id}  {made_at}  {files:>13}  {size:>10}  {name}{on}{tags}"));
    }
}

fn snapshot_row(snapshot: &Snapshot) -> SnapshotRow<'_> {
    SnapshotRow {
        snapshot: snapshot.id.to_string(),
        name: &snapshot.name,
        made_at: snapshot.made_at.0,
        host: &snapshot.host,
        tags: &snapshot.labels,
        files: snapshot.files,
        bytes: snapshot.bytes,
    }
}

fn row(item: &Selected) -> EntryRow<'_> {
    let entry = &item.entry;
    let file = match &entry.kind {
        EntryKind::File(file) => Some(file),
        _ => None,
    };
    let target = match &entry.kind {
        EntryKind::Symlink { target } => Some(String::from_utf8_lossy(target).into_owned()),
        _ => None,
    };
    EntryRow {
        path: JsonPath::from(item.path.as_path()),
        kind: kind(entry).0,
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        user: &entry.user,
        group: &entry.group,
        mtime: entry.mtime,
        mtime_nanos: entry.mtime_nanos,
        bytes: file.map(|file| file.len),
        sha256: file.map(|file| hex::encode(file.sha256)),
        target,
    }
}

/// What an entry is: in a word, and in the letter that `ls` has for it.
fn kind(entry: &Entry) -> (&'static str, char) {
    match entry.kind {
        EntryKind::File(_) => ("file", '-'),
        EntryKind::Dir { .. } => ("dir", 'd'),
        EntryKind::Symlink { .. } => ("symlink", 'l'),
        EntryKind::Fifo => ("fifo", 'p'),
        EntryKind::CharDevice { .. } => ("char device", 'c'),
        EntryKind::BlockDevice { .. } => ("block device", 'b'),
        EntryKind::Socket => ("socket", 's'),
    }
}

fn line(item: &Selected) -> String {
    let slash = if matches!(item.entry.kind, EntryKind::Dir { .. }) { "/" } else { "" };
    let (size, mtime, path) = (size(&item.entry), mtime(&item.entry), path_text(&item.path));
    format!("{:04o}  {mtime}  {size:>10}  {path}{slash}", item.entry.mode)
}

fn long_line(item: &Selected) -> String {
    let entry = &item.entry;
    let name_or =
        |name: &str, id: u32| if name.is_empty() { id.to_string() } else { name_text(name.as_bytes()) };
    let owner = format!("{}:{}", name_or(&entry.user, entry.uid), name_or(&entry.group, entry.gid));
    let target = match &entry.kind {
        EntryKind::Symlink { target } => format!(" -> {}", name_text(target)),
        _ => String::new(),
    };
    let (mode, size, mtime, path) = (mode_text(entry), size(entry), mtime(entry), path_text(&item.path));
    format!("{mode}  {owner:<16}  {size:>10}  {mtime}  {path}{target}")
}

fn size(entry: &Entry) -> String {
    match &entry.kind {
        EntryKind::File(file) => ByteSize::b(file.len).to_string(),
        _ => String::new(),
    }
}

fn mtime(entry: &Entry) -> String {
    match u64::try_from(entry.mtime) {
        Ok(seconds) => time(Timestamp(seconds)),
        Err(_) => format!("{} s before 1970", entry.mtime.unsigned_abs()),
    }
}

/// Kind and permissions as `ls -l` shows them, such as `drwxr-xr-x`.
fn mode_text(entry: &Entry) -> String {
    let mut text = String::from(kind(entry).1);
    let special = [(0o4000, 's', 'S'), (0o2000, 's', 'S'), (0o1000, 't', 'T')];
    for (group, (bit, with_x, without_x)) in special.into_iter().enumerate() {
        let bits = entry.mode >> (6 - 3 * group);
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (entry.mode & bit != 0, bits & 1 != 0) {
            (true, true) => with_x,
            (true, false) => without_x,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Refs;

    #[test]
    fn modes_are_shown_as_ls_shows_them() {
        let pages = Refs::Direct(Vec::new());
        let kinds = [EntryKind::Dir { pages }, EntryKind::Fifo, EntryKind::Symlink { target: b"x".to_vec() }];
        let [dir, fifo, link] = kinds.map(|kind| Entry {
            name: b"a".to_vec(),
            mode: 0o755,
            uid: 0,
            gid: 0,
            user: String::new(),
            group: String::new(),
            mtime: 0,
            mtime_nanos: 0,
            xattrs: Vec::new(),
            link_group: 0,
            kind,
        });
        assert_eq!(mode_text(&dir), "drwxr-xr-x");
        assert_eq!(mode_text(&Entry { mode: 0o1777, ..dir }), "drwxrwxrwt");
        assert_eq!(mode_text(&Entry { mode: 0o6040, ..fifo }), "p--Sr-S---");
        assert_eq!(mode_text(&Entry { mode: 0o4711, ..link }), "lrws--x--x");
    }
}
