//! A machine that must not read looks after a vault, with real processes and disks.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use serde_json::Value;

use crate::decode::decode;
use crate::support::{World, files, stderr, text};

const DEGRADED: i32 = 10;

/// Runs a command on the machine with the capability, which has a home of its own.
fn on_shelf(world: &World, args: &[&str]) -> Output {
    let capability = world.path("shelf.cap");
    world.run_in("shelf", &[args, &["--capability", text(&capability), "--json"]].concat())
}

fn shelf_json(world: &World, code: i32, args: &[&str]) -> Value {
    let output = on_shelf(world, args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn export(world: &World) -> String {
    let capability = world.path("shelf.cap");
    let exported =
        world.json(&["capability", "export", "--verify", "-o", text(&capability), "--label", "shelf"]);
    assert_eq!(exported["file"], text(&capability));
    exported["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_machine_that_holds_no_decrypting_key_repairs_a_snapshot() {
    let mut world = World::start(4);
    let file = world.file("planted-name.raw", 2_000_000, 1);
    let put = world.json(&["put", text(&file)]);
    let snapshot = put["snapshot"].as_str().unwrap();
    export(&world);
    let mode = fs::metadata(world.path("shelf.cap")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let healthy = shelf_json(&world, 0, &["check"]);
    assert!(healthy["packs"].as_u64() > Some(1) && healthy["packs"] == healthy["healthy"], "{healthy}");
    assert_eq!(healthy["snapshots"].as_array().map(Vec::len), Some(0));
    // Providers tell nobody what they promised to others.
    let unpromised = |checked: &Value| -> u64 {
        checked["providers"].as_array().unwrap().iter().map(|row| row["unpromised"].as_u64().unwrap()).sum()
    };
    assert_eq!(unpromised(&healthy), healthy["shards"]["good"].as_u64().unwrap());
    assert_eq!(
        (&healthy["providers"][0]["expiring"], &healthy["providers"][0]["first_lapse"]),
        (&0.into(), &Value::Null)
    );

    let most = (0..4).max_by_key(|index| world.blobs(*index).len()).unwrap();
    world.destroy(most);
    let found = shelf_json(&world, DEGRADED, &["check", snapshot]);
    assert_eq!(found["snapshots"][0]["name"], Value::Null, "it knows no names");
    let repaired = shelf_json(&world, 0, &["repair", &snapshot[..8]]);
    assert!(repaired["shards_written"].as_u64() > Some(0), "{repaired}");
    assert_eq!(shelf_json(&world, 0, &["check", snapshot, "--read"])["degraded"], 0);
    assert!(shelf_json(&world, 0, &["renew", snapshot])["renewed"].as_u64() > Some(0));
    assert_eq!(unpromised(&shelf_json(&world, 0, &["check", snapshot])), 0);

    // The vault's own machine takes it over: it asks, and has claims of its own from then on.
    assert_eq!(world.json(&["check", snapshot])["degraded"], 0);
    assert!(world.json(&["renew", snapshot])["renewed"].as_u64() > Some(0));
    let stores: Vec<_> = world.providers.iter().map(|provider| provider.store.clone()).collect();
    let other = (0..4).filter(|index| *index != most).min_by_key(|index| world.blobs(*index).len()).unwrap();
    world.kill((0..4).find(|index| *index != most && *index != other).unwrap());
    let out = world.path("out");
    world.json(&["get", snapshot, "-o", text(&out)]);
    assert!(fs::read(&out).unwrap() == fs::read(&file).unwrap());

    for place in files(&world.path("shelf")) {
        let bytes = fs::read(&place).unwrap();
        assert!(!bytes.windows(12).any(|window| window == b"planted-name"), "{}", place.display());
    }
    // The document tells all that it takes to read a chain with a grant in it.
    let left: Vec<_> =
        stores.iter().filter(|store| store.exists()).map(std::path::PathBuf::as_path).collect();
    let decoded = world.path("decoded");
    if let Some(output) = decode(text(&world.path("home/key")), &decoded, &left) {
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(fs::read(decoded.join("planted-name.raw")).unwrap() == fs::read(&file).unwrap());
    }
}

#[test]
fn a_capability_is_listed_revoked_and_refused_in_two_lines() {
    let world = World::start(3);
    world.json(&["put", text(&world.file("a.bin", 20_000, 1))]);
    let id = export(&world);
    let again = world.run(&["capability", "export", "--verify", "-o", text(&world.path("shelf.cap"))]);
    assert_eq!(again.status.code(), Some(2), "a file that is there stays: {}", stderr(&again));
    assert_eq!(world.json(&["capability", "list"])[0]["label"], "shelf");
    let printed = world.run(&["capability", "export", "--verify"]);
    assert!(printed.stdout.starts_with(b"blobdvm-verify1:"), "{}", stderr(&printed));
    assert_eq!(String::from_utf8(printed.stdout).unwrap().lines().count(), 1);

    shelf_json(&world, 0, &["renew"]);
    let capability = world.path("shelf.cap");
    fs::set_permissions(&capability, fs::Permissions::from_mode(0o644)).unwrap();
    let loose = on_shelf(&world, &["check"]);
    assert_eq!(loose.status.code(), Some(8), "{}", stderr(&loose));
    assert!(stderr(&loose).contains("chmod 600"));
    fs::set_permissions(&capability, fs::Permissions::from_mode(0o600)).unwrap();

    assert_eq!(world.run(&["capability", "revoke", "nobody"]).status.code(), Some(3));
    world.json(&["capability", "revoke", &id[..8]]);
    let listed = world.json(&["capability", "list"]);
    let revoked: Vec<_> = listed.as_array().unwrap().iter().filter(|row| row["revoked"] == true).collect();
    assert_eq!(revoked.len(), 1, "{listed}");
    assert_eq!(revoked[0]["id"], id.as_str());
    for command in ["check", "renew", "repair"] {
        let refused = on_shelf(&world, &[command]);
        assert_eq!(refused.status.code(), Some(8), "{}", stderr(&refused));
        assert!(stderr(&refused).contains("was revoked"), "{}", stderr(&refused));
        assert_eq!(stderr(&refused).lines().count(), 2, "{}", stderr(&refused));
    }
    world.json(&["prune"]);
    let text_of_nothing = world.path("nothing.cap");
    fs::write(&text_of_nothing, "blobdvm-verify1:AAAA").unwrap();
    fs::set_permissions(&text_of_nothing, fs::Permissions::from_mode(0o600)).unwrap();
    let refused = world.run(&["check", "--capability", text(&text_of_nothing)]);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(!stderr(&refused).contains("AAAA"));
}
