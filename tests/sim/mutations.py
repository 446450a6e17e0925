#!/usr/bin/env python3
"""Tries the campaign: breaks the program in one way after another, on a copy of the tree, and tells what notices.

    python3 tests/sim/mutations.py [NAME ...]

For each mutation the campaign runs with 200 seeds; where it notices nothing, the tests that are named for the mutation. CARGO_TARGET_DIR says where it
is compiled; CARGO what compiles it. Standard library only.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CAMPAIGN = ["--test", "sim", "nothing_is_lost"]
BEYOND = ["--test", "sim", "beyond_the_budget"]
SEEDS = "200"

# Name; changes: file, what stands there, what stands there then; tests to run besides the campaign.
MUTATIONS = [
    ("skip a hash check, of the fetched blob",
     [("src/session/fetch.rs", "let is_right = BlobHash::of(&blob) == self.hash;", "let is_right = true;")],
     [["--lib", "session::tests::fetch"]]),
    ("skip a hash check, of the pack's shard",
     [("src/format/pack.rs", " || BlobHash::of(&bytes) != name.hash", "")],
     [["--test", "damage_matrix", "decoded"]]),
    ("skip both hash checks",
     [("src/session/fetch.rs", "let is_right = BlobHash::of(&blob) == self.hash;", "let is_right = true;"),
      ("src/format/pack.rs", " || BlobHash::of(&bytes) != name.hash", "")],
     []),
    ("acknowledge a claim before it is synced",
     [("src/store/log.rs", "        disk.sync_file(path).map_err(StoreError::disk(path))?;\n        self.torn = false;",
       "        self.torn = false;")],
     [["--lib", "store::tests::crash"]]),
    ("acknowledge a blob before it is synced",
     [("src/store/files.rs", "        self.disk.sync_file(temporary)?;\n", "")],
     [["--lib", "store::tests::crash"]]),
    ("drop a retry",
     [("src/session/patience.rs", "        now >= self.retry_at\n", "        now >= self.retry_at && self.retry_at == self.progress_at\n")],
     [["--lib", "session::tests"]]),
    ("forget the grace period of a watch",
     [("src/client/watch/absence.rs", "        now.since(*since) < grace\n", "        now.since(*since) < grace && false\n")],
     [["--lib", "client::watch"]]),
    ("forget the grace period of a removal",
     [("src/types/limits.rs", "pub const CONDEMNED_GRACE: Duration = Duration::from_secs(7 * 86_400);",
       "pub const CONDEMNED_GRACE: Duration = Duration::from_secs(0);")],
     [["--test", "e2e", "removal"]]),
    ("place two shards on one provider",
     [("src/client/placement/plan.rs", "            !is_held && !avoid.down", "            !(is_held && false) && !avoid.down")],
     [["--lib", "client::placement"]]),
    ("reuse a segment without a stat",
     [("src/client/confirm.rs", "        if self.trusts_nothing {\n            return Ok(false);\n        }",
       "        if !self.trusts_nothing {\n            return Ok(true);\n        }")],
     [["--test", "e2e", "promises"]]),
    ("let delete ignore other claims",
     [("src/store/admission.rs", "    changing.record(Record::Drop { hash, client, change });\n",
       "    changing.record(Record::Drop { hash, client, change });\n    changing.record(Record::Evict { hash });\n")],
     [["--lib", "store::tests"]]),
    ("do not read the head back",
     [("src/client/head/publish.rs", "        self.read_back(head).await\n",
       "        let _ = Self::read_back;\n        Ok(())\n")],
     [["--test", "hostile_relay"]]),
    ("reuse a salt",
     [("src/crypt/seal.rs", "    let mut salt = [0; SALT_LEN];\n    rng.fill_bytes(&mut salt);\n",
       "    let salt = [7; SALT_LEN];\n    let _ = rng;\n")],
     [["--lib", "crypt::"]]),
    ("reuse a segment's key",
     [("src/crypt/seal.rs", "let key = SegmentKey::generate(rng);",
       "let _ = rng;\n    let key = SegmentKey::new([7; 32]);")],
     [["--lib", "crypt::"]]),
]


def cargo(tree, arguments):
    """Runs the tests; returns whether they passed, and what they said."""
    environment = dict(os.environ, BLOBDVM_SEEDS=SEEDS, RUST_BACKTRACE="0")
    command = os.environ.get("CARGO", "cargo").split() + ["test"] + arguments
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    return done.returncode == 0, done.stdout + done.stderr


def catcher(said, arguments):
    """What in the output names who noticed."""
    if "error: could not compile" in said or re.search(r"^error\[", said, re.M):
        return "DOES NOT COMPILE: " + said[-600:]
    seed = re.search(r"^seed (\d+): ([^\n]*)", said, re.M)
    if seed:
        return f"campaign, seed {seed[1]}: {seed[2][:110]}"
    failed = re.findall(r"^    ([a-z_:0-9]+)$", said, re.M)
    return "test " + ", ".join(sorted(set(failed))[:3]) if failed else "test " + " ".join(arguments)


def attempt(tree, changes, tests):
    kept = {}
    for name, old, new in changes:
        path = tree / name
        text = path.read_text()
        kept.setdefault(path, text)
        if text.count(old) != 1:
            return [f"CANNOT BE APPLIED: {name} has it {text.count(old)} times"]
        path.write_text(text.replace(old, new))
    try:
        caught = []
        for arguments in [CAMPAIGN] + tests:
            passed, said = cargo(tree, arguments)
            if not passed:
                caught.append(catcher(said, arguments))
                break
        return caught or ["NOTHING"]
    finally:
        for path, text in kept.items():
            path.write_text(text)


def main():
    wanted = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        skip = shutil.ignore_patterns(".git", "target", "corpus")
        shutil.copytree(ROOT, tree, ignore=skip)
        missed = 0
        for name, changes, tests in MUTATIONS:
            if wanted and not any(word in name for word in wanted):
                continue
            for who in attempt(tree, changes, tests):
                print(f"{name} | {who}", flush=True)
                missed += who.isupper() or who.startswith(("CANNOT", "DOES"))
        sys.exit(1 if missed else 0)


main()
