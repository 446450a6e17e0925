//! put, get and recover through nostr-rs-relay in its default configuration, if it is installed: its program is named by
//! `BLOBDVM_NOSTR_RS_RELAY`, or found on the path.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use blobdvm::client::{Client, Destination, GetOptions, PutOptions, Unwatched};
use blobdvm::crypt::VaultSecret;
use blobdvm::env::Env;
use blobdvm::erasure::Scheme;
use blobdvm::testing::{Net, NetOptions, RelayKind};
use blobdvm::vault::{Home, Vault};
use nostr::RelayUrl;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

const START_WAIT_MAX: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(20);

/// The relay's process, ended when this is dropped.
struct Foreign(Child);

impl Drop for Foreign {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program() -> Option<PathBuf> {
    const NAME: &str = "nostr-rs-relay";
    let named = std::env::var_os("BLOBDVM_NOSTR_RS_RELAY").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let find = |name: &Path| {
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
    };
    match named {
        Some(named) if named.components().count() > 1 => Some(named),
        named => find(&named.unwrap_or_else(|| NAME.into())),
    }
}

/// Starts the relay with nothing configured but where it listens and keeps its database.
async fn start(program: &Path, folder: &Path) -> (Foreign, RelayUrl) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = folder.join("config.toml");
    fs::write(&config, format!("[network]\naddress = \"127.0.0.1\"\nport = {port}\n")).unwrap();
    let mut command = Command::new(program);
    command.arg("--db").arg(folder).arg("--config").arg(&config).current_dir(folder);
    let child =
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the relay's program starts");
    let foreign = Foreign(child);
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(started.elapsed() < START_WAIT_MAX, "{} does not listen", program.display());
        sleep(Duration::from_millis(20)).await;
    }
    (foreign, RelayUrl::parse(&format!("ws://127.0.0.1:{port}")).unwrap())
}

async fn client(net: &Net, vault: Vault) -> Client {
    Client::new(vault, net.carrier().await, Arc::new(Unwatched), PATIENCE, Env::system())
}

async fn get(client: &Client, out: &Path) -> Vec<u8> {
    let snapshot = client.vault.latest_snapshot("file").unwrap().expect("the snapshot is in the manifest");
    let destination = Destination::Path(out.to_owned());
    let options = GetOptions::all_to(destination);
    client.get(&snapshot, &options).await.unwrap();
    fs::read(out).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn put_get_and_recover_pass_through_nostr_rs_relay() {
    let Some(program) = program() else {
        eprintln!("skipped: nostr-rs-relay is not installed; BLOBDVM_NOSTR_RS_RELAY names its program");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (_relay, url) = start(&program, folder.path()).await;
    let mut net =
        Net::start(NetOptions { relay_kind: RelayKind::Elsewhere(url), ..NetOptions::default() }).await;
    let bytes: Vec<u8> =
        (0..1_000_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    let source = net.path().join("file");
    fs::write(&source, &bytes).unwrap();

    let env = Env::system();
    let vault = Home::init_fresh(&net.home_dir("first"), &env).unwrap();
    let secret = VaultSecret::new(*vault.keys().unwrap().secret().expose());
    let mut first = client(&net, vault).await;
    let scheme = Scheme::new(2, 3).unwrap();
    let (providers, host, name) = (BTreeSet::new(), String::new(), Some("file".to_owned()));
    let options = PutOptions { providers, name, host, ..PutOptions::new(scheme) };
    let outcome = first.put(std::slice::from_ref(&source), &options).await.unwrap();
    assert_eq!(outcome.stored.providers.len(), 3);
    net.wipe(0).unwrap();
    assert!(get(&first, &net.path().join("out")).await == bytes);

    let recovering = client(&net, Home::init(&net.home_dir("second"), secret, &env).unwrap()).await;
    let recovered = recovering.recover(&BTreeSet::new()).await.unwrap();
    assert!(recovered.lost.is_empty());
    assert!(get(&recovering, &net.path().join("again")).await == bytes);
}
