//! Golden vectors of the format (docs/format.md), of audits and of the direct path (docs/protocol.md): right ones, and wrong
//! ones each named for the law that it breaks.
//!
//! The JSON files beside this one are added to and never changed. `cargo test --test vectors -- --ignored` writes those
//! that are missing.

mod audit;
mod capability;
mod check;
mod describe;
mod direct;
mod make;
mod needs;
mod python;
mod vault;
mod wrong;
mod wrong_chain;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

fn load(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(path(name)).unwrap();
    let Value::Array(vectors) = serde_json::from_str(&text).unwrap() else { panic!("{name} is a list") };
    assert!(!vectors.is_empty());
    vectors
}

/// The text of a vector's field.
fn text<'a>(vector: &'a Value, field: &str) -> &'a str {
    vector[field].as_str().unwrap_or_else(|| panic!("{field} is missing in {vector}"))
}

/// The bytes of a vector's field.
fn bytes(vector: &Value, field: &str) -> Vec<u8> {
    hex::decode(text(vector, field)).unwrap()
}

fn array<const LEN: usize>(vector: &Value, field: &str) -> [u8; LEN] {
    bytes(vector, field).try_into().unwrap()
}

#[test]
fn keys_are_derived_as_written() {
    load("keys.json").iter().for_each(check::keys);
    load("capability.json").iter().for_each(check::capability);
}

#[test]
fn capabilities_hold_what_is_written() {
    load("capability_texts.json").iter().for_each(capability::check);
}

#[test]
fn sealed_texts_open_and_signatures_hold() {
    load("sealing.json").iter().for_each(check::sealing);
}

#[test]
fn shards_are_coded_as_written() {
    load("packs.json").iter().for_each(check::pack);
}

#[test]
fn items_mean_what_is_written() {
    load("items.json").iter().for_each(check::item);
    load("grant_items.json").iter().for_each(check::item);
    load("needs_items.json").iter().for_each(check::item);
}

#[test]
fn chains_and_heads_open() {
    load("manifest.json").iter().for_each(check::manifest);
}

#[test]
fn vaults_are_restored_from_blobs_and_the_secret() {
    load("vault.json").iter().for_each(vault::check);
}

#[test]
fn a_decoder_in_another_language_restores_the_vault() {
    load("vault.json").iter().for_each(python::check);
}

#[test]
fn wrong_bytes_are_refused_with_their_reason() {
    let vectors = [load("wrong.json"), load("wrong_capability.json"), load("wrong_needs.json")].concat();
    let mut laws: Vec<&str> = vectors.iter().map(|vector| text(vector, "law")).collect();
    laws.sort_unstable();
    laws.dedup();
    assert_eq!(laws.len(), vectors.len(), "each vector breaks a law of its own");
    for vector in &vectors {
        let outcome = wrong::read(vector);
        assert_eq!(outcome, Err(text(vector, "error").to_owned()), "{}", text(vector, "law"));
    }
}

#[test]
fn audits_are_asked_answered_and_judged_as_written() {
    read_and_refuse("audit.json", audit::check, audit::is_accepted);
}

#[test]
fn messages_of_the_direct_path_are_read_and_refused_as_written() {
    read_and_refuse("direct.json", direct::check, direct::is_accepted);
}

/// The vectors without a law are as `check` has them; each of the others breaks a law of its own, and is not accepted.
fn read_and_refuse(file: &str, check: fn(&Value), is_accepted: fn(&Value) -> bool) {
    let (wrong, right): (Vec<Value>, Vec<Value>) =
        load(file).into_iter().partition(|vector| vector["law"].is_string());
    right.iter().for_each(check);
    let mut laws: Vec<&str> = wrong.iter().map(|vector| text(vector, "law")).collect();
    laws.sort_unstable();
    laws.dedup();
    assert_eq!((laws.len(), wrong.is_empty()), (wrong.len(), false), "each vector breaks a law of its own");
    for vector in &wrong {
        assert!(!is_accepted(vector), "{}", text(vector, "law"));
    }
}

#[test]
#[ignore = "writes vectors that are missing"]
fn write_missing_vectors() {
    type Maker = fn() -> Vec<Value>;
    let makers: [(&str, Maker); 13] = [
        ("keys.json", make::keys),
        ("capability.json", make::capability_keys),
        ("sealing.json", make::sealing),
        ("packs.json", make::packs),
        ("capability_texts.json", capability::make),
        ("grant_items.json", capability::items),
        ("wrong_capability.json", capability::make_wrong),
        ("needs_items.json", needs::items),
        ("wrong_needs.json", needs::wrong_items),
        ("items.json", make::items),
        ("manifest.json", make::manifest),
        ("vault.json", || vec![vault::make()]),
        ("wrong.json", wrong::make),
    ];
    for (name, make) in makers {
        if !path(name).exists() {
            fs::write(path(name), format!("{:#}\n", Value::Array(make()))).unwrap();
        }
    }
}
