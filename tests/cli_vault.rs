//! `blobdvm init` and `blobdvm manifest verify` as processes: what they print, how they end, what they leave.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Runs the program with `input` on stdin.
fn run(home: &Path, args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_blobdvm"))
        .env_remove("BLOBDVM_RELAYS")
        .arg("--home")
        .arg(home)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its stdin may have closed it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn init_shows_key_and_relays_once_and_never_makes_a_second_vault() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let made = run(&home, &["--relay", "ws://127.0.0.1:7777", "init"], "");
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let key = fs::read_to_string(home.join("key")).unwrap();
    assert!(stdout(&made).contains(key.trim()) && stdout(&made).contains("ws://127.0.0.1:7777"));

    let again = run(&home, &["init"], "");
    assert_eq!(again.status.code(), Some(8));
    assert_eq!(stderr(&again).lines().count(), 2, "{}", stderr(&again));
    assert_eq!(fs::read_to_string(home.join("key")).unwrap(), key);
    let verified = run(&home, &["--json", "manifest", "verify"], "");
    assert_eq!(verified.status.code(), Some(0));
    assert!(!stdout(&verified).contains("nsec1"), "the key is shown once");
    assert_eq!(json(&verified)["sound"], true);
}

#[test]
fn what_cannot_be_printed_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_blobdvm"));
    command.env_remove("BLOBDVM_RELAYS").arg("--home").arg(folder.path().join("home"));
    let made = command.args(["--json", "init"]).stdout(full).output().unwrap();
    assert_eq!(made.status.code(), Some(1));
    let said = stderr(&made);
    assert!(said.contains("cannot be written: No space left") && said.contains("try: "), "{said}");
}

#[test]
fn an_endpoint_that_clients_would_pass_over_is_not_announced() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    for wrong in ["ws://name:word@192.0.2.1/", "ws://192.0.2.1/?x", "ws://192.0.2.1/#x", "http://192.0.2.1/"]
    {
        let args =
            ["--relay", "ws://127.0.0.1:9", "serve", "--direct", "127.0.0.1:0", "--announce-direct", wrong];
        let served = run(
            &folder.path().join("home"),
            &[&args[..], &["--store", store.to_str().unwrap()]].concat(),
            "",
        );
        assert_eq!(served.status.code(), Some(2), "{wrong}");
        assert!(stderr(&served).contains("is no plain WebSocket address"), "{}", stderr(&served));
    }
}

#[test]
fn init_imports_a_key_from_stdin_or_a_file_and_warns() {
    let folder = tempfile::tempdir().unwrap();
    let hex = "77".repeat(32);
    let from_stdin = run(&folder.path().join("one"), &["--json", "init", "--import", "-"], &hex);
    assert_eq!(from_stdin.status.code(), Some(0), "{}", stderr(&from_stdin));
    assert!(stderr(&from_stdin).contains("social identity"), "{}", stderr(&from_stdin));
    let nsec = json(&from_stdin)["key"].as_str().unwrap().to_owned();

    let file = folder.path().join("nsec");
    fs::write(&file, format!("{nsec}\n")).unwrap();
    let from_file =
        run(&folder.path().join("two"), &["--json", "init", "--import", file.to_str().unwrap()], "");
    assert_eq!(json(&from_file)["key"], nsec.as_str());
}

#[test]
fn init_refuses_what_is_no_key_without_repeating_it_or_leaving_a_home() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let refused = run(&home, &["init", "--import", "-"], "nsec1-planted-marker");
    assert_ne!(refused.status.code(), Some(0));
    assert!(!stderr(&refused).contains("planted-marker"));
    assert!(!home.exists());
    let no_file = run(&home, &["init", "--import", "/nonexistent/file"], "");
    assert_ne!(no_file.status.code(), Some(0));
    assert!(!home.exists());
}

#[test]
fn commands_refuse_a_loose_key_file_and_a_home_that_is_not_there() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let missing = run(&home, &["manifest", "verify"], "");
    assert_eq!((missing.status.code(), stderr(&missing).lines().count()), (Some(8), 2));
    run(&home, &["init"], "");
    fs::set_permissions(home.join("key"), fs::Permissions::from_mode(0o644)).unwrap();
    let loose = run(&home, &["manifest", "verify"], "");
    assert_eq!((loose.status.code(), stderr(&loose).lines().count()), (Some(8), 2));
    assert!(stderr(&loose).contains("chmod 600"));
}

#[test]
fn a_home_that_another_process_writes_is_locked() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    run(&home, &["init"], "");
    let lock = fs::File::open(home.join("lock")).unwrap();
    lock.lock().unwrap();
    let locked = run(&home, &["manifest", "verify"], "");
    assert_eq!((locked.status.code(), stderr(&locked).lines().count()), (Some(8), 2));
    assert!(stderr(&locked).contains("in use by another blobdvm"));
    lock.unlock().unwrap();
    assert_eq!(run(&home, &["manifest", "verify"], "").status.code(), Some(0));
}
