#!/usr/bin/env python3
"""Tries the campaign: breaks the program in one way after another, on a copy of the tree, and tells what notices.

    python3 tests/sim/mutations.py [NAME ...]

For each mutation the campaign runs with 200 seeds; where it notices nothing, the tests that are named for the mutation.
All mutations are compiled at once, each behind a switch. CARGO_TARGET_DIR says where; CARGO says what compiles them.
Standard library only.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CAMPAIGN = ["--release", "--test", "sim", "nothing_is_lost"]
SEEDS = "200"

# Name; changes: file, what stands there, what stands there then, where ON is whether this mutation is on; tests besides.
MUTATIONS = [
    ("skip a hash check, of the fetched blob",
     [("src/session/fetch.rs", "if blob.hash() == self.hash {", "if ON || blob.hash() == self.hash {")],
     ["--lib", "session::tests::fetch"]),
    ("skip a hash check, of the pack's shard",
     [("src/format/pack.rs", "|| blob.hash() != name.hash {", "|| !ON && blob.hash() != name.hash {")],
     ["--test", "damage_matrix", "decoded"]),
    ("skip both hash checks",
     [("src/session/fetch.rs", "if blob.hash() == self.hash {", "if ON || blob.hash() == self.hash {"),
      ("src/format/pack.rs", "|| blob.hash() != name.hash {", "|| !ON && blob.hash() != name.hash {")],
     None),
    ("acknowledge a claim before it is synced",
     [("src/store/log.rs", "        disk.sync_file(path).map_err(StoreError::disk(path))?;\n        self.torn = false;",
       "        if !ON {\n            disk.sync_file(path).map_err(StoreError::disk(path))?;\n        }\n"
       "        self.torn = false;")],
     ["--lib", "store::tests::crash"]),
    ("acknowledge a blob before it is synced",
     [("src/store/files.rs", "        self.disk.sync_file(temporary)?;\n",
       "        if !ON {\n            self.disk.sync_file(temporary)?;\n        }\n")],
     ["--lib", "store::tests::crash"]),
    ("drop a retry",
     [("src/session/patience.rs", "        self.retry_at = now + self.backoff.next_delay();\n",
       "        self.retry_at = now + self.backoff.next_delay() + if ON { self.stall_timeout } else { Duration::ZERO };\n")],
     ["--lib", "session::tests"]),
    ("race nobody who is late",
     [("src/client/upload/pack.rs", "Some(at) if at <= now => late.push(*provider),",
       "Some(at) if at <= now => late.extend((!ON).then_some(*provider)),")],
     ["--lib", "client::race"]),
    ("forget the grace period of a watch",
     [("src/client/watch/absence.rs", "        now.since(*since) < grace\n", "        now.since(*since) < grace && !ON\n")],
     ["--lib", "client::watch"]),
    ("forget the grace period of a removal",
     [("src/client/prune/flow.rs", "let grace = if options.now {", "let grace = if options.now || ON {")],
     ["--test", "e2e", "removal"]),
    ("place two shards on one provider",
     [("src/client/placement/plan.rs", "            !is_held && !avoid.down", "            (!is_held || ON) && !avoid.down")],
     ["--lib", "client::placement"]),
    ("reuse a segment without a stat",
     [("src/client/confirm.rs", "        if self.trusts_nothing {\n            return Ok(false);\n        }",
       "        if self.trusts_nothing {\n            return Ok(false);\n        }\n"
       "        if ON {\n            return Ok(true);\n        }")],
     ["--test", "e2e", "promises"]),
    ("let delete ignore other claims",
     [("src/store/admission.rs", "    changing.record(Record::Drop { hash, client, change });\n",
       "    changing.record(Record::Drop { hash, client, change });\n"
       "    if ON {\n        changing.record(Record::Evict { hash });\n    }\n")],
     ["--lib", "store::tests"]),
    ("do not read the head back",
     [("src/client/head/publish.rs", "        self.read_back(head).await\n",
       "        if ON {\n            return Ok(());\n        }\n        self.read_back(head).await\n")],
     ["--test", "hostile_relay"]),
    ("reuse a salt",
     [("src/crypt/seal.rs", "    rng.fill_bytes(&mut salt);\n    let text_key",
       "    if !ON {\n        rng.fill_bytes(&mut salt);\n    }\n    let text_key")],
     ["--lib", "crypt::"]),
    ("reuse a segment's key",
     [("src/crypt/seal.rs", "let key = SegmentKey::generate(rng);",
       "let key = if ON { SegmentKey::new([7; 32]) } else { SegmentKey::generate(rng) };")],
     ["--lib", "crypt::"]),
]


def apply_all(tree):
    """Brings every mutation into the tree, each behind a switch: so all are compiled at once."""
    switched = {}
    for number, (name, changes, _) in enumerate(MUTATIONS):
        for file, old, new in changes:
            switched.setdefault((file, old, new), []).append(number)
    for (file, old, new), numbers in switched.items():
        path = tree / file
        text = path.read_text()
        if text.count(old) != 1:
            sys.exit(f"cannot be applied: {file} has {old!r} {text.count(old)} times")
        names = " | ".join(f'Ok("{number}")' for number in numbers)
        switch = f'matches!(std::env::var("BLOBDVM_MUTATION").as_deref(), {names})'
        path.write_text(text.replace(old, new.replace("ON", switch)))


def run(tree, arguments, number, seeds=SEEDS):
    """Runs tests with one mutation; returns whether they passed, and what they said."""
    switches = {"BLOBDVM_SEEDS": seeds, "BLOBDVM_MUTATION": str(number), "RUST_BACKTRACE": "0"}
    command = os.environ.get("CARGO", "cargo").split() + ["test"] + arguments
    done = subprocess.run(command, cwd=tree, env=dict(os.environ, **switches), capture_output=True, text=True)
    return done.returncode == 0, done.stdout + done.stderr


def catcher(said, arguments):
    """What in the output names who noticed."""
    if "could not compile" in said:
        sys.exit(said[-3000:])
    seed = re.search(r"^seed (\d+): ([^\n]*)", said, re.M)
    if seed:
        return f"campaign, seed {seed[1]}: {seed[2][:110]}"
    failed = sorted(set(re.findall(r"^    ([a-z_:0-9]+)$", said, re.M)))
    return "test " + (", ".join(failed[:3]) or " ".join(arguments))


def main():
    wanted = sys.argv[1:]
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", "target"))
        apply_all(tree)
        if not run(tree, CAMPAIGN, "none", "10")[0]:
            sys.exit("the campaign fails without any mutation")
        for number, (name, _, others) in enumerate(MUTATIONS):
            if wanted and not any(word in name for word in wanted):
                continue
            caught = None
            for arguments in [CAMPAIGN] + ([others] if others else []):
                passed, said = run(tree, arguments, number)
                if not passed:
                    caught = catcher(said, arguments)
                    break
            missed += caught is None
            print(f"{name} | {caught or 'NOTHING NOTICED IT'}", flush=True)
    sys.exit(1 if missed else 0)


main()
