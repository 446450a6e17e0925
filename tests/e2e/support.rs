//! A relay, providers and clients as processes of the released binary, on loopback, in a temporary folder.
#![expect(
    unreachable_pub,
    reason = "shared by several test and bench programs, which have no crate around them"
)]
#![expect(clippy::disallowed_methods, reason = "real processes run on the real clock")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take to start.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// A process that is killed when it goes out of scope.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `blobdvm` with `args`, and waits for its first line of JSON.
pub fn start(args: &[&str]) -> (Process, Value) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_blobdvm"))
        .args(args)
        .env_remove("BLOBDVM_HOME")
        .env_remove("BLOBDVM_RELAYS")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
    stdout.read_line(&mut line).expect("stdout can be read");
    let hello = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{args:?} said {line:?}"));
    // Whoever prints more must not be stopped by a full pipe.
    std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    (Process(child), hello)
}

/// A provider process and its store.
pub struct Provider {
    pub id: String,
    pub store: PathBuf,
    process: Option<Process>,
}

/// One relay, some providers, one vault.
pub struct World {
    pub dir: TempDir,
    pub relay: String,
    relay_process: Process,
    pub providers: Vec<Provider>,
}

impl World {
    /// Starts a relay and `count` providers; returns when all have announced themselves.
    pub fn start(count: usize) -> Self {
        Self::start_with(count, &[])
    }

    /// The same, with more arguments for `serve`.
    pub fn start_with(count: usize, serve_args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let store = dir.path().join("relay");
        let (relay_process, hello) =
            start(&["--json", "relay", "--listen", "127.0.0.1:0", "--store", text(&store)]);
        let relay = hello["url"].as_str().expect("the relay says its URL").to_owned();
        let mut world = Self { dir, relay, relay_process, providers: Vec::new() };
        for _ in 0..count {
            world.add_provider(serve_args);
        }
        world
    }

    /// Starts one more provider.
    pub fn add_provider(&mut self, serve_args: &[&str]) {
        let index = self.providers.len();
        let store = self.path(&format!("provider-{index}"));
        self.providers.push(Provider { id: String::new(), store, process: None });
        self.revive_with(index, serve_args);
    }

    /// Starts a provider again on what is left of its store.
    pub fn revive(&mut self, index: usize) {
        self.revive_with(index, &[]);
    }

    fn revive_with(&mut self, index: usize, serve_args: &[&str]) {
        let store = self.providers[index].store.clone();
        let mut args = vec!["--json", "--relay", &self.relay, "serve", "--store", text(&store)];
        args.extend(serve_args);
        let (process, hello) = start(&args);
        let provider = &mut self.providers[index];
        hello["provider"].as_str().expect("the provider says its key").clone_into(&mut provider.id);
        provider.process = Some(process);
    }

    /// Ends a provider as a power failure would (SIGKILL).
    pub fn kill(&mut self, index: usize) {
        self.providers[index].process = None;
    }

    /// Kills a provider and deletes its store.
    pub fn destroy(&mut self, index: usize) {
        self.kill(index);
        fs::remove_dir_all(&self.providers[index].store).expect("the store can be deleted");
    }

    /// A path in the world's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs `blobdvm` on the vault `home`.
    pub fn run_in(&self, home: &str, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_blobdvm"))
            .args(["--home", text(&self.path(home)), "--relay", &self.relay])
            .args(args)
            .env_remove("BLOBDVM_HOME")
            .env_remove("BLOBDVM_RELAYS")
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs")
    }

    /// Runs `blobdvm` on the vault `home`.
    pub fn run(&self, args: &[&str]) -> Output {
        self.run_in("home", args)
    }

    /// Runs a command that must succeed, and returns what it printed as JSON.
    pub fn json(&self, args: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(args);
        let output = self.run(&all);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{args:?} printed {:?}", String::from_utf8_lossy(&output.stdout)))
    }

    /// Writes a file of `len` bytes that do not compress, different for every `seed`.
    pub fn file(&self, name: &str, len: usize, seed: u64) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder can be made");
        fs::write(&path, noise(len, seed)).expect("a file can be written");
        path
    }

    /// The files of the blobs in a provider's store.
    pub fn blobs(&self, index: usize) -> Vec<PathBuf> {
        files(&self.providers[index].store.join("blobs"))
    }
}

/// What a process took that was watched to its end.
pub struct Watched {
    pub seconds: f64,
    pub cpu_seconds: f64,
    pub peak_mib: u64,
}

impl World {
    /// Runs a command on the vault `home`, which must succeed, and watches its time and memory.
    pub fn watch(&self, args: &[&str]) -> Watched {
        let start = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_blobdvm"))
            .args(["--home", text(&self.path("home")), "--relay", &self.relay, "--quiet"])
            .args(args)
            .stdin(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let mut watched = Watched { seconds: 0.0, cpu_seconds: 0.0, peak_mib: 0 };
        loop {
            // A process that has ended but was not waited for has its times still, and no memory.
            watched.cpu_seconds = cpu_seconds(child.id()).unwrap_or(watched.cpu_seconds);
            watched.peak_mib = watched.peak_mib.max(peak_mib(child.id()).unwrap_or(0));
            if let Some(status) = child.try_wait().expect("the child can be waited for") {
                watched.seconds = start.elapsed().as_secs_f64();
                assert!(status.success(), "{args:?} failed");
                return watched;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Names and process ids of the relay and of the providers that run.
    pub fn servers(&self) -> Vec<(String, u32)> {
        let running = self.providers.iter().enumerate();
        let providers = running
            .filter_map(|(index, one)| Some((format!("provider {index}"), one.process.as_ref()?.0.id())));
        std::iter::once(("relay".to_owned(), self.relay_process.0.id())).chain(providers).collect()
    }
}

/// All files below `folder`.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let Ok(entry) = entry else { continue };
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Bytes of all files below `folder`. One may be renamed while it is looked at.
pub fn len_below(folder: &Path) -> u64 {
    files(folder).iter().filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}

/// Bytes that do not compress (xorshift64*).
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("the tests' paths are UTF-8")
}

/// What a process said on stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits until `condition` holds, which takes no longer than a start does.
pub fn eventually(what: &str, condition: impl FnMut() -> bool) {
    eventually_within(START_DEADLINE, what, condition);
}

/// Waits until `condition` holds.
pub fn eventually_within(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Peak of a process's resident memory (`VmHWM` in proc(5)); `None` if it has ended.
pub fn peak_mib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(peak.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}

/// User and system time of a process (fields 14 and 15 of `stat` in proc(5), in ticks of 10 ms).
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}
