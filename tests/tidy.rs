//! Reads the sources and fails where the shape of the code breaks a rule: the layers, purity, sizes, habits.
//!
//! The table of layers is the one in `src/lib.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// What each layer may import, besides itself.
const LAYERS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("crypt", &["types"]),
    ("erasure", &["types"]),
    ("wire", &["types"]),
    ("env", &["types"]),
    ("format", &["types", "crypt", "erasure"]),
    ("session", &["types", "wire"]),
    ("transport", &["types", "wire", "session", "env"]),
    ("store", &["types", "env"]),
    ("relay", &["types", "wire"]),
    ("vault", &["types", "crypt", "format", "env"]),
    ("provider", &["types", "wire", "session", "env", "transport", "store"]),
    ("client", &["types", "crypt", "erasure", "format", "wire", "session", "env", "transport", "vault"]),
    ("testing", EVERYTHING),
    ("cli", EVERYTHING),
];

const EVERYTHING: &[&str] = &[
    "types",
    "crypt",
    "erasure",
    "wire",
    "env",
    "format",
    "session",
    "transport",
    "store",
    "relay",
    "vault",
    "provider",
    "client",
    "testing",
];

/// Layers that do no I/O, wait for nothing, read no clock and draw no random bytes.
const PURE: &[&str] = &["types", "crypt", "erasure", "format", "wire", "session"];

/// What a pure layer must not say.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::thread",
    "std::process",
    "std::env",
    "tokio::",
    "async fn",
    ".await",
    "Instant::now",
    "SystemTime",
    "Timestamp::now",
    "OsRng",
    "thread_rng",
    "rand::rng",
    "println!",
];

/// Layers that take decisions, which must replay from a seed: no iteration order of a hash map may enter them.
const DECIDING: &[&str] = &["session", "provider", "client", "vault"];

#[test]
fn sources_keep_the_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut complaints = Vec::new();
    for folder in ["src", "tests", "benches", "fuzz/fuzz_targets"] {
        for file in rust_files(&root.join(folder)) {
            let text = fs::read_to_string(&file).expect("a source file can be read");
            let name = file.strip_prefix(root).expect("found below the root").display().to_string();
            complaints.extend(complaints_about(&name, &text));
        }
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn top_level_holds_only_what_was_agreed() {
    let agreed: BTreeSet<&str> = [
        "Cargo.toml",
        "Cargo.lock",
        "src",
        "tests",
        "fuzz",
        "benches",
        "docs",
        "README.md",
        "SECURITY.md",
        "LICENSE",
    ]
    .into();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in fs::read_dir(root).expect("the root can be listed") {
        let name = entry.expect("an entry can be read").file_name().to_string_lossy().into_owned();
        let is_agreed = name.starts_with('.') || name == "target" || agreed.contains(name.as_str());
        assert!(is_agreed, "{name} at the top level");
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() && !path.ends_with("target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn complaints_about(name: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        complaints.push(format!("{name}: {lines} lines, more than {FILE_LINES_MAX}"));
    }
    if !text.starts_with("//!") {
        complaints.push(format!("{name}:1: a file begins by saying what it is (`//!`)"));
    }
    let layer = name.strip_prefix("src/").and_then(|rest| rest.split(['/', '.']).next()).unwrap_or("");
    let mut in_tests = !name.starts_with("src/") || name.ends_with("tests.rs") || name.contains("/tests/");
    for (index, line) in text.lines().enumerate() {
        in_tests |= line.starts_with("#[cfg(test)]");
        let code = line.split("//").next().unwrap_or("");
        let mut found = imports(layer, code, in_tests);
        if !in_tests {
            found.extend(habits(name, layer, code));
        }
        if line.contains(concat!("TO", "DO")) || line.contains(concat!("FIX", "ME")) {
            found.push("work that was left without a reason".into());
        }
        complaints.extend(found.into_iter().map(|rule| format!("{name}:{}: {rule}", index + 1)));
    }
    complaints.extend(long_functions(name, text));
    complaints
}

/// Complains of every `crate::…` that the layer may not import. Test code may use `testing` as well.
fn imports(layer: &str, code: &str, in_tests: bool) -> Vec<String> {
    let mut complaints = Vec::new();
    if code.contains(concat!("super::", "super")) {
        complaints.push("a path through two parents: import as `crate::…`".into());
    }
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else { return complaints };
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let module: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
        let known = LAYERS.iter().any(|(name, _)| *name == module);
        let is_allowed =
            module == layer || allowed.contains(&module.as_str()) || in_tests && module == "testing";
        if rest.starts_with('{') {
            complaints.push("name the layer: `use crate::layer::…`".into());
        } else if known && !is_allowed {
            complaints.push(format!("layer {layer} may not import {module}"));
        }
    }
    complaints
}

fn habits(name: &str, layer: &str, code: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if PURE.contains(&layer) {
        let found = IMPURE.iter().filter(|word| code.contains(**word));
        complaints.extend(found.map(|word| format!("`{word}` in a pure layer")));
    }
    if DECIDING.contains(&layer) && (code.contains("HashMap") || code.contains("HashSet")) {
        complaints.push("a hash map where decisions are taken: use BTreeMap".into());
    }
    if code.contains(".unwrap()") {
        complaints.push("`unwrap`: say with `expect` why it cannot fail, or return an error".into());
    }
    if code.contains("rand::rng()") && layer != "env" {
        complaints.push("random bytes come from env::Env".into());
    }
    if code.contains("#[allow(") {
        complaints.push("`#[allow]`: use `#[expect(…, reason = …)]`".into());
    }
    if name.ends_with("/mod.rs") && code.trim_start_matches("pub ").starts_with("fn ") {
        complaints.push("a function in mod.rs, which holds documentation and re-exports only".into());
    }
    complaints
}

/// Functions as rustfmt lays them out: from the line with `fn` to the closing brace at the same depth.
fn long_functions(name: &str, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut complaints = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let body = line.trim_start();
        let words = ["pub ", "pub(crate) ", "pub(super) ", "const ", "async "];
        let bare = words.iter().fold(body, |rest, word| rest.strip_prefix(word).unwrap_or(rest));
        if !bare.starts_with("fn ") || line.trim_end().ends_with(';') {
            continue;
        }
        let closing = format!("{}}}", &line[..line.len() - body.len()]);
        let Some(len) = lines[start..].iter().position(|line| *line == closing) else { continue };
        if len + 1 > FUNCTION_LINES_MAX {
            complaints.push(format!("{name}:{}: a function of {} lines", start + 1, len + 1));
        }
    }
    complaints
}

#[test]
fn a_forbidden_import_is_found() {
    for (file, line) in [
        ("src/types/id.rs", "use crate::wire::Request;"),
        ("src/provider/serve.rs", "use crate::client::Exchange;"),
        ("src/client/put.rs", "    let x = crate::provider::Provider::start();"),
        ("src/format/pack.rs", "use crate::{types, wire};"),
        ("src/store/mod.rs", "use crate::testing::Net;"),
    ] {
        assert_eq!(complaints_about(file, &format!("//! A file.\n{line}\n")).len(), 1, "{file}: {line}");
    }
    assert!(complaints_about("src/client/put.rs", "//! A file.\nuse crate::vault::Vault;\n").is_empty());
}

#[test]
fn an_impurity_or_a_bad_habit_is_found() {
    for (file, line) in [
        ("src/session/store.rs", "    let now = Instant::now();"),
        ("src/format/tree.rs", "use std::fs;"),
        ("src/wire/request.rs", "async fn send() {}"),
        ("src/client/put.rs", "use std::collections::HashMap;"),
        ("src/cli/put.rs", "    x.unwrap();"),
        ("src/cli/put.rs", "#[allow(dead_code)]"),
        ("src/cli/mod.rs", "fn main() {}"),
    ] {
        assert_eq!(complaints_about(file, &format!("//! A file.\n{line}\n")).len(), 1, "{file}: {line}");
    }
    assert!(complaints_about("src/cli/put.rs", "//! A file.\n#[cfg(test)]\nx.unwrap();\n").is_empty());
}

#[test]
fn a_long_file_or_function_is_found() {
    let long_file = format!("//! A file.\n{}", "//\n".repeat(FILE_LINES_MAX));
    assert_eq!(complaints_about("src/cli/put.rs", &long_file).len(), 1);
    let long_function =
        format!("//! A file.\nfn long() {{\n{}}}\n", "    step();\n".repeat(FUNCTION_LINES_MAX));
    assert_eq!(complaints_about("src/cli/put.rs", &long_function).len(), 1);
}
