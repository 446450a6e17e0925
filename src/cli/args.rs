//! The command line: every command, option and environment variable.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand};

use crate::cli::bench::BenchArgs;
use crate::cli::capability::CapabilityArgs;
use crate::cli::cat::CatArgs;
use crate::cli::check::CheckArgs;
use crate::cli::get::GetArgs;
use crate::cli::ls::LsArgs;
use crate::cli::prune::PruneArgs;
use crate::cli::renew::RenewArgs;
use crate::cli::repair::RepairArgs;
use crate::cli::rm::RmArgs;
use crate::cli::signal::Lifeline;
use crate::cli::status::StatusArgs;
use crate::cli::watch::WatchArgs;

/// Private backups on storage providers that nobody has to trust.
///
/// Files are cut, sealed and erasure-coded here; providers that are found over Nostr relays keep the shards. Any k of
/// the n providers bring everything back, verified. One secret key recovers everything on a new machine.
#[derive(Debug, Parser)]
#[command(name = "blobdvm", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// Options that every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failure, 2 usage, 3 nothing found, 4 too few providers, 5 cannot be \
restored, 6 integrity failure, 7 no relay, 8 home missing, locked or damaged, 9 stored, but some files could not be \
read, 10 not at full health, 11 something is lost, 130 interrupted.";

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Folder of the vault's key, manifest and catalog [default: ~/.local/share/blobdvm]
    #[arg(long, global = true, value_name = "DIR", env = "BLOBDVM_HOME")]
    pub home: Option<PathBuf>,
    /// Relay to use; repeat for several. Remembered by `init`
    #[arg(long = "relay", global = true, value_name = "URL", env = "BLOBDVM_RELAYS", value_delimiter = ',')]
    pub relays: Vec<String>,
    /// Which way blobs take: over relays, or straight to providers that announce an endpoint (they see your
    /// address) [default: straight where that can be, else over relays]
    #[arg(long, global = true, value_name = "WAY", env = "BLOBDVM_CARRIER")]
    pub carrier: Option<CarrierArg>,
    /// Longest pieces that blobs travel in over relays; relays that pass no such events, as a test shows once, get
    /// shorter ones. 32KiB passes every relay, and is never tested
    #[arg(long, global = true, value_name = "SIZE", default_value = "512KiB", env = "BLOBDVM_CHUNK_SIZE")]
    pub chunk_size: ByteSize,
    /// Print one JSON value on stdout and nothing else
    #[arg(long, global = true)]
    pub json: bool,
    /// Print nothing but errors and what was asked for
    #[arg(long, global = true)]
    pub quiet: bool,
    /// Say more on stderr; twice for every decision, three times for every message
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// How long anything may go without progress before it is given up
    #[arg(long, global = true, value_name = "DURATION", default_value = "15s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

/// A way that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CarrierArg {
    /// Over relays only
    Relay,
    /// Straight to the providers only
    Direct,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a vault and show its key once
    Init(InitArgs),
    /// Back up files and folders
    Put(PutArgs),
    /// Restore a snapshot, or some of its paths
    Get(GetArgs),
    /// Write the bytes of one file, or a part of them, to stdout
    Cat(CatArgs),
    /// List snapshots, or what is in one
    Ls(LsArgs),
    /// Remove snapshots
    Rm(RmArgs),
    /// Let go of what no snapshot needs any more
    Prune(PruneArgs),
    /// Check whether everything is there, where it should be, and for how long
    Check(CheckArgs),
    /// Bring what is missing or wrong at the providers back to full health
    Repair(RepairArgs),
    /// Extend the providers' promises before they lapse
    Renew(RenewArgs),
    /// Keep the vault healthy: renew, audit a little, repair what stays missing
    Watch(WatchArgs),
    /// Show how the vault stood when it was watched last
    Status(StatusArgs),
    /// Rebuild the home from the key, on a new machine
    Recover(RecoverArgs),
    /// Show who is out there, and whom this vault trusts
    Providers(ProvidersArgs),
    /// Let a machine check, renew and repair that must not read, and take that back
    Capability(CapabilityArgs),
    /// Look after the signed record of what is stored where
    Manifest(ManifestArgs),
    /// Run a provider: keep blobs for others
    Serve(ServeArgs),
    /// Run a relay
    Relay(RelayArgs),
    /// See it work: relay, three providers, damage, restore and recovery in a temporary folder
    Demo(DemoArgs),
    /// Measure: put and get over relays and directly, single blobs beside HTTP Blossom, and each stage on one core
    Bench(BenchArgs),
    /// Store one public, unsealed blob (the plain protocol)
    Upload(UploadArgs),
    /// Fetch one public blob by its hash (the plain protocol)
    Download(DownloadArgs),
    /// Delete one blob that this key uploaded (the plain protocol)
    Delete(DeleteArgs),
    /// List the providers that announce themselves (the plain protocol)
    ListServers,
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Use an existing secret key (nsec or 64 hexadecimal digits) from FILE, or from stdin with `-`
    #[arg(long, value_name = "FILE|-")]
    pub import: Option<PathBuf>,
}

/// Arguments of `put`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct PutArgs {
    /// Says aloud what is always so: everything is sealed before it leaves this machine
    #[arg(long)]
    pub encrypt: bool,
    /// Providers that each get one shard of every pack
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    pub spread: u8,
    /// Shards that are enough to restore [default: two thirds of the spread]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u8).range(1..))]
    pub need: Option<u8>,
    /// Use this provider (npub or hexadecimal); repeat for several. Without it, providers are discovered
    #[arg(long = "provider", value_name = "NPUB")]
    pub providers: Vec<String>,
    /// Accept providers that promise less than 30 days
    #[arg(long)]
    pub accept_short: bool,
    /// Name of the snapshot [default: the name of the first path]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Attach a tag to the snapshot; repeat for several
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// Name of this machine in the snapshot [default: the host name]
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Leave out what matches, as in a .gitignore, relative to each PATH; repeat for several
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// Read such patterns from FILE, one a line; repeat for several
    #[arg(long, value_name = "FILE")]
    pub exclude_from: Vec<PathBuf>,
    /// Leave out what is in folders that have a CACHEDIR.TAG
    #[arg(long)]
    pub exclude_caches: bool,
    /// Do not descend into other file systems
    #[arg(long)]
    pub one_file_system: bool,
    /// Read every file, also those whose size, times and inode are as they were
    #[arg(long)]
    pub force: bool,
    /// Back up what comes from stdin as one file called NAME
    #[arg(long, requires = "name", conflicts_with_all = ["paths", "force"])]
    pub stdin: bool,
    /// Files and folders to back up
    #[arg(required_unless_present = "stdin", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

/// Arguments of `recover`.
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// Read the key from FILE, or from stdin with `-` [default: ask, or the home's key]
    #[arg(long, value_name = "FILE|-")]
    pub key_file: Option<PathBuf>,
    /// Look at this provider (npub or hexadecimal) too, should no relay have the head; repeat for several
    #[arg(long = "provider", value_name = "NPUB")]
    pub providers: Vec<String>,
}

/// Arguments of `providers`.
#[derive(Debug, Args)]
pub struct ProvidersArgs {
    /// What to do; without it, everybody who can be seen is listed
    #[command(subcommand)]
    pub verb: Option<ProvidersVerb>,
}

/// What the owner says of a provider.
#[derive(Debug, Subcommand)]
pub enum ProvidersVerb {
    /// Prefer this provider and count it as known
    Trust {
        /// Public key, npub or hexadecimal
        #[arg(value_name = "NPUB")]
        provider: String,
        /// A name to know it by
        #[arg(long)]
        label: Option<String>,
        /// Who runs it: no two shards of a pack go to one operator while there is another way
        #[arg(long, value_name = "NAME")]
        operator: Option<String>,
    },
    /// Store nothing there any more; it is read from only when nobody else is left
    Ban {
        /// Public key, npub or hexadecimal
        #[arg(value_name = "NPUB")]
        provider: String,
    },
    /// Take trust, ban and everything remembered of it back
    Forget {
        /// Public key, npub or hexadecimal
        #[arg(value_name = "NPUB")]
        provider: String,
    },
}

/// Arguments of `manifest`.
#[derive(Debug, Args)]
pub struct ManifestArgs {
    /// What to do
    #[command(subcommand)]
    pub verb: ManifestVerb,
}

/// What can be done with the manifest.
#[derive(Debug, Subcommand)]
pub enum ManifestVerb {
    /// Check every signature, link and seal of the local manifest
    Verify,
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Folder of blobs, claims and the provider's key [default: `provider` in the home]
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Name in the announcement
    #[arg(long, value_name = "NAME", default_value = "blobdvm provider")]
    pub name: String,
    /// Bytes that may be kept in all
    #[arg(long, value_name = "SIZE", default_value = "10GiB")]
    pub quota: ByteSize,
    /// Largest blob that is taken, at most 10 MiB
    #[arg(long, value_name = "SIZE", default_value = "10MiB")]
    pub max_file_size: ByteSize,
    /// Longest chunks that clients may ask for, where relays pass them; with 32KiB only those of the base protocol
    #[arg(long, value_name = "SIZE", default_value = "512KiB")]
    pub max_chunk_size: ByteSize,
    /// How long a blob is promised to be kept
    #[arg(long, value_name = "DURATION", default_value = "90days", value_parser = humantime::parse_duration)]
    pub retention: Duration,
    /// Also serve clients that connect here, without relays; repeat for several. Port 0 takes a free one
    #[arg(long, value_name = "LISTEN_ADDR")]
    pub direct: Vec<std::net::SocketAddr>,
    /// Announce this WebSocket address for them; repeat for several [default: the addresses of --direct]
    #[arg(long, value_name = "URL", requires = "direct")]
    pub announce_direct: Vec<String>,
    /// Clients that may be connected to the addresses of --direct at once [default: 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), requires = "direct")]
    pub max_connections: Option<u16>,
    /// Of --max-connections, those from one address (of version 6, one /64); behind a proxy all clients have the same
    /// [default: half, rounded up]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), requires = "direct")]
    pub max_connections_per_address: Option<u16>,
    /// Also serve HTTP Blossom here, from the same store (BUD-01, BUD-02; whoever shows a key may store). Port 0 takes a
    /// free one
    #[arg(long, value_name = "LISTEN_ADDR")]
    pub blossom: Option<std::net::SocketAddr>,
    /// What else ends it.
    #[command(flatten)]
    pub lifeline: Lifeline,
}

/// Arguments of `relay`.
#[derive(Debug, Args)]
pub struct RelayArgs {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7777")]
    pub listen: std::net::SocketAddr,
    /// Folder of the events that are kept [default: `relay` in the home]
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// What else ends it.
    #[command(flatten)]
    pub lifeline: Lifeline,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// File or folder to back up [default: this project's README]
    #[arg(value_name = "PATH")]
    pub path: Option<PathBuf>,
}

/// Arguments of `upload`.
#[derive(Debug, Args)]
pub struct UploadArgs {
    /// File to store, at most 10 MiB
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The provider's public key, npub or hexadecimal [default: the first that answers]
    #[arg(long, value_name = "PUBKEY")]
    pub server: Option<String>,
}

/// Arguments of `download`.
#[derive(Debug, Args)]
pub struct DownloadArgs {
    /// SHA-256 of the blob, 64 hexadecimal digits
    #[arg(value_name = "HASH")]
    pub hash: String,
    /// File to write, or `-` for stdout [default: a file named by the hash]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The provider's public key, npub or hexadecimal [default: every one that announces itself]
    #[arg(long, value_name = "PUBKEY")]
    pub server: Option<String>,
}

/// Arguments of `delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// SHA-256 of the blob, 64 hexadecimal digits
    #[arg(value_name = "HASH")]
    pub hash: String,
    /// The provider's public key, npub or hexadecimal [default: every one that announces itself]
    #[arg(long, value_name = "PUBKEY")]
    pub server: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
