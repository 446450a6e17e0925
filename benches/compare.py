#!/usr/bin/env python3
"""Our figures beside those of restic and Tahoe-LAFS, in one run, on the same data, as ratios.

    cargo build --release
    python3 benches/compare.py                       # 512 MiB, and 1,000 files of 10 KiB
    python3 benches/compare.py --mib 64 --files 100  # less
    python3 benches/compare.py --json out.json       # the same figures for programs

It installs nothing; what is not there is said and left out:

    restic        apt install restic, or https://restic.net
    tahoe         python3 -m venv v && v/bin/pip install tahoe-lafs, then --tahoe v/bin/tahoe

Measured are blobdvm 2-of-3 over a relay in chunks of 32 KiB, over it in chunks as long as it passes, and directly; restic to a
repository in a local folder; and Tahoe-LAFS 2-of-3 with an introducer, three storage nodes and a client node, by the client's web
interface. Everything runs on this machine, over loopback, in a temporary folder (TMPDIR names its place), which must have room for about
five times the data. All files are made of bytes that do not compress. Each put begins with nothing of the data stored, each get with an
empty folder, and what comes back is compared. CPU seconds are those of every process that takes part, from the kernel's accounts:
children that were waited for, and /proc/PID/stat of those that run on (Linux); what this script itself does is left out.

Nobody is asked to be better than he is: restic stores one copy and codes nothing, Tahoe-LAFS and blobdvm store 1.5 times the bytes.
"""

import argparse
import contextlib
import filecmp
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

START_MAX = 60  # seconds that a server may take to start
RUN_MAX = 3600  # seconds that a put or a get may take
SMALL = 10 * 1024  # bytes of a small file
WARM_UP = 32 << 20  # bytes that are put before relays are measured with longer chunks
TICK = os.sysconf("SC_CLK_TCK")


# The ways of blobdvm, and the options that make it take them.
WAYS = {
    "relay, 32 KiB": ["--carrier", "relay", "--chunk-size", "32KiB"],
    "relay": ["--carrier", "relay"],
    "direct": ["--carrier", "direct"],
}


class Failed(Exception):
    """A program did not do what it was asked."""


class Servers:
    """Processes that run until the end, and what they have taken."""

    def __init__(self):
        self.running = []
        self.names = []

    def start(self, name, command, log, **options):
        """Starts one; its output goes to the file `log`, unless `stdout` is given."""
        with open(log, "ab") as out:
            options.setdefault("stdout", out)
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=out, **options)
        self.running.append(process)
        self.names.append(name)
        return process

    def cpu(self):
        """User and system seconds of each so far, those of its children included; `run` is of programs that have ended."""
        each = {name: cpu_of(process.pid) for name, process in zip(self.names, self.running)}
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {"run": usage.ru_utime + usage.ru_stime, **each}

    def end(self):
        for process in self.running:
            with contextlib.suppress(OSError):
                process.send_signal(signal.SIGTERM)
        for process in self.running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running = []


def cpu_of(pid):
    """Fields 14 to 17 of proc(5) `stat`: own time, and that of children that were waited for."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return sum(int(field) for field in fields[11:15]) / TICK


def run(command, **options):
    """Runs a program to its end; its output."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=RUN_MAX, **options
    )
    if done.returncode != 0:
        text = done.stderr.decode(errors="replace").strip().splitlines()
        raise Failed(f"{os.path.basename(command[0])} ended with {done.returncode}: {text[-1] if text else 'no word'}")
    return done.stdout


def measure(servers, work):
    """Seconds, and the CPU seconds of every process meanwhile."""
    before, began = servers.cpu(), time.monotonic()
    work()
    seconds, after = time.monotonic() - began, servers.cpu()
    return {"seconds": seconds, "cpu": {name: after[name] - before[name] for name in after}}


def same(left, right):
    """Fails unless both are the same file, or folders of the same files."""
    if os.path.isfile(left):
        if not filecmp.cmp(left, right, shallow=False):
            raise Failed(f"{os.path.basename(left)} came back different")
        return
    names = sorted(os.listdir(left))
    if names != sorted(os.listdir(right)):
        raise Failed("other files came back than were stored")
    for name in names:
        same(os.path.join(left, name), os.path.join(right, name))


class Blobdvm:
    """Relay and providers that stay, and a vault for each way."""

    def __init__(self, folder, servers, binary, way):
        self.name = f"blobdvm {way}"
        self.folder, self.servers = folder, servers
        self.binary, self.options = binary, WAYS[way]
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("BLOBDVM_")}
        relay = self.serve("relay", ["relay", "--listen", "127.0.0.1:0", "--store", self.path("relay")])
        self.relay = relay["url"]
        for index in range(3):
            store = self.path(f"provider-{index}")
            options = ["--store", store, "--quota", "1TiB", "--direct", "127.0.0.1:0"]
            self.serve(f"provider {index + 1}", ["--relay", self.relay, "serve", *options])
        if way == "relay":
            # A vault measures a relay once, when it moves much over it.
            warm_up = self.path("warm-up")
            with open(warm_up, "wb") as file:
                file.write(os.urandom(WARM_UP))
            self.put(warm_up)

    def path(self, name):
        return os.path.join(self.folder, name)

    def serve(self, name, args):
        command = [self.binary, "--json", *args]
        process = self.servers.start(name, command, self.path("log"), stdout=subprocess.PIPE, env=self.env)
        line = process.stdout.readline()
        if not line:
            raise Failed(f"{name} did not start; it said: {last_line(self.path('log'))}")
        return json.loads(line)

    def client(self, *args):
        command = [self.binary, "--home", self.path("home"), "--relay", self.relay, *self.options, "--quiet"]
        run([*command, *args], env=self.env)

    def put(self, source):
        self.client("put", "--name", os.path.basename(source), source)

    def get(self, source, out):
        self.client("get", os.path.basename(source), "-o", os.path.join(out, ""))
        return os.path.join(out, os.path.basename(source))


class Restic:
    """A repository in a local folder."""

    name = "restic"

    def __init__(self, folder, _servers, program):
        self.folder, self.program = folder, program
        self.env = {**os.environ, "RESTIC_PASSWORD": "bench", "RESTIC_CACHE_DIR": os.path.join(folder, "cache")}
        self.restic("init")

    def restic(self, *args, cwd=None):
        repository = os.path.join(self.folder, "repository")
        run([self.program, "--quiet", "--repo", repository, *args], env=self.env, cwd=cwd)

    def put(self, source):
        self.restic("backup", os.path.basename(source), cwd=os.path.dirname(source))

    def get(self, source, out):
        name = os.path.basename(source)
        self.restic("restore", "latest", "--include", f"/{name}", "--target", out)
        return os.path.join(out, name)


class Tahoe:
    """An introducer, three storage nodes and a client node; files go in and out by the client's web interface, as its
    command line does."""

    name = "tahoe-lafs"

    def __init__(self, folder, servers, program):
        self.folder, self.servers, self.program = folder, servers, program
        self.caps = {}
        introducer = self.node("introducer", ["create-introducer", "--listen=tcp", *self.place()])
        furl = self.wait_for(os.path.join(introducer, "private", "introducer.furl"))
        for index in range(3):
            options = ["--introducer", furl, "--nickname", f"node{index}", *self.place(), "--webport=none"]
            self.node(f"node{index}", ["create-node", *options])
        shares = ["--shares-needed=2", "--shares-happy=3", "--shares-total=3"]
        options = ["--introducer", furl, "--nickname", "client", f"--webport=tcp:{free_port()}:interface=127.0.0.1", *shares]
        client = self.node("client", ["create-client", *options])
        self.url = self.wait_for(os.path.join(client, "node.url")).rstrip("/")
        self.wait_for_servers()

    def place(self):
        port = free_port()
        return [f"--port=tcp:{port}:interface=127.0.0.1", f"--location=tcp:127.0.0.1:{port}"]

    def node(self, name, create):
        path = os.path.join(self.folder, name)
        run([self.program, *create, path])
        command = [self.program, "run", "--allow-stdin-close", path]
        self.servers.start(name, command, os.path.join(self.folder, f"{name}.log"))
        return path

    def wait_for(self, path):
        end = time.monotonic() + START_MAX
        while time.monotonic() < end:
            with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
                text = file.read().strip()
                if text:
                    return text
            time.sleep(0.1)
        raise Failed(f"{os.path.basename(path)} did not appear within {START_MAX} s")

    def wait_for_servers(self):
        end = time.monotonic() + START_MAX
        while time.monotonic() < end:
            with contextlib.suppress(OSError, ValueError):
                seen = json.loads(self.fetch("/?t=json"))
                if sum(1 for server in seen["servers"] if server["connection_status"].lower().startswith("connected")) >= 3:
                    return
            time.sleep(0.2)
        raise Failed(f"the client did not see three storage nodes within {START_MAX} s")

    def fetch(self, path):
        with urllib.request.urlopen(self.url + path, timeout=RUN_MAX) as answer:
            return answer.read()

    def put(self, source):
        if os.path.isfile(source):
            self.caps[source] = self.upload(source)
        else:
            self.caps[source] = {name: self.upload(os.path.join(source, name)) for name in sorted(os.listdir(source))}

    def upload(self, path):
        with open(path, "rb") as body:
            headers = {"Content-Length": str(os.path.getsize(path)), "Content-Type": "application/octet-stream"}
            request = urllib.request.Request(self.url + "/uri", data=body, headers=headers, method="PUT")
            with urllib.request.urlopen(request, timeout=RUN_MAX) as answer:
                return answer.read().decode().strip()

    def get(self, source, out):
        caps, place = self.caps[source], os.path.join(out, os.path.basename(source))
        if isinstance(caps, str):
            self.download(caps, place)
        else:
            os.mkdir(place)
            for name, cap in caps.items():
                self.download(cap, os.path.join(place, name))
        return place

    def download(self, cap, place):
        url = f"{self.url}/uri/{urllib.parse.quote(cap, safe='')}"
        with urllib.request.urlopen(url, timeout=RUN_MAX) as answer, open(place, "wb") as file:
            shutil.copyfileobj(answer, file, 1 << 20)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def last_line(path):
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        lines = file.read().strip().splitlines()
        if lines:
            return lines[-1]
    return "nothing"


def version_of(program, *args):
    text = subprocess.run([program, *args], capture_output=True, text=True, timeout=60, check=False).stdout
    found = re.search(r"\d+\.\d+(\.\d+)?", text)
    return found.group(0) if found else "?"


def contenders(options):
    """Who takes part: version, and how one is made in a folder. Who does not, is said."""
    binary = os.path.abspath(options.binary)
    if not os.path.exists(binary):
        sys.exit(f"{options.binary} is not there\n    try: cargo build --release, or --binary PATH")
    ours = version_of(binary, "--version")
    made = [(ours, lambda folder, servers, way=way: Blobdvm(folder, servers, binary, way)) for way in WAYS]
    for name, path, kind, question, hint in (
        ("restic", options.restic, Restic, "version", "apt install restic"),
        ("Tahoe-LAFS", options.tahoe, Tahoe, "--version", "pip install tahoe-lafs in a venv, then --tahoe PATH"),
    ):
        program = shutil.which(path)
        if program is None:
            print(f"{name} is not installed and is left out ({hint})", file=sys.stderr)
            continue
        make = lambda folder, servers, kind=kind, program=program: kind(folder, servers, program)  # noqa: E731
        made.append((version_of(program, question), make))
    return made


def make_data(folder, mib, files):
    """The large file, and the folder of small ones."""
    large, small = os.path.join(folder, "large.bin"), os.path.join(folder, "small")
    with open(large, "wb") as file:
        for _ in range(mib):
            file.write(os.urandom(1 << 20))
    os.mkdir(small)
    for index in range(files):
        with open(os.path.join(small, f"{index:05}"), "wb") as file:
            file.write(os.urandom(SMALL))
    return large, small


def empty(folder):
    """Gives back the room of all files, and leaves the files: for minutes after many were deleted, ext4 takes several times
    as long to make new ones, and whoever is measured next would pay."""
    for parent, _, names in os.walk(folder):
        for path in (os.path.join(parent, name) for name in names):
            if os.path.isfile(path) and not os.path.islink(path):
                os.chmod(path, 0o600)
                os.truncate(path, 0)


def round_trip(program, servers, source, folder):
    out = os.path.join(folder, f"out-{os.path.basename(source)}")
    os.mkdir(out)
    os.sync()
    put = measure(servers, lambda: program.put(source))
    os.sync()
    places = []
    get = measure(servers, lambda: places.append(program.get(source, out)))
    same(source, places[0])
    empty(out)
    return put, get


def measure_one(version, make, sources, folder):
    """Both rows of one program; a fresh set for each round, so that nothing is stored already."""
    os.mkdir(folder)
    servers = Servers()
    try:
        program = make(folder, servers)
        print(f"{program.name} {version} …", file=sys.stderr)
        row = {"name": program.name, "version": version}
        large, small = sources
        put, get = round_trip(program, servers, large, folder)
        length = os.path.getsize(large)
        for verb, done in (("put", put), ("get", get)):
            row[f"{verb}_mb_s"] = length / 1e6 / done["seconds"]
            cpu = {name: seconds / (length / (1 << 30)) for name, seconds in done["cpu"].items()}
            row[f"{verb}_cpu_s_per_gib"] = sum(cpu.values())
            row[f"{verb}_cpu_by_process"] = cpu
        put, get = round_trip(program, servers, small, folder)
        row["small_put_s"], row["small_get_s"] = put["seconds"], get["seconds"]
        return row
    finally:
        servers.end()
        empty(folder)


COLUMNS = (
    ("put MB/s", "put_mb_s", True),
    ("get MB/s", "get_mb_s", True),
    ("put CPU s/GiB", "put_cpu_s_per_gib", False),
    ("get CPU s/GiB", "get_cpu_s_per_gib", False),
    ("small put s", "small_put_s", False),
    ("small get s", "small_get_s", False),
)


def best_of(rows):
    """For each program the round that was best at each figure."""
    best = dict(rows[0])
    for row in rows[1:]:
        for _, key, is_more_better in COLUMNS:
            best[key] = (max if is_more_better else min)(best[key], row[key])
        for key in ("put_cpu_by_process", "get_cpu_by_process"):
            best[key] = min(best[key], row[key], key=lambda cpu: sum(cpu.values()))
    return best


def table(title, rows, cells):
    print(f"\n{title}\n")
    names = [row["name"] for row in rows]
    width = max(len(name) for name in names)
    print("| " + " " * width + " | " + " | ".join(head for head, _, _ in COLUMNS) + " |")
    print("|" + "-" * (width + 2) + "|" + "|".join("-" * (len(head) + 1) + ":" for head, _, _ in COLUMNS) + "|")
    for name, row in zip(names, cells):
        figures = (text.rjust(len(head)) for (head, _, _), text in zip(COLUMNS, row))
        print(f"| {name:<{width}} | " + " | ".join(figures) + " |")


def figure(number):
    return f"{number:.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def ratio(ours, theirs, is_more_better):
    """How many times better we are; below 1 we are worse."""
    better, worse = (ours, theirs) if is_more_better else (theirs, ours)
    return f"{better / worse:.2f}" if worse > 0 else "-"


def report(rows, mib, files):
    rows = [{**row, "name": f"{row['name']} {row['version']}"} for row in rows]
    ours = [row for row in rows if row["name"].startswith("blobdvm")]
    others = [row for row in rows if not row["name"].startswith("blobdvm")]
    title = f"{mib} MiB that do not compress, and {files} files of 10 KiB (small)"
    table(title, rows, [[figure(row[key]) for _, key, _ in COLUMNS] for row in rows])
    print("\nCPU seconds per GiB of every process (run: the program that is called, such as the client)\n")
    for row in rows:
        for verb in ("put", "get"):
            cpu = row[f"{verb}_cpu_by_process"].items()
            print(f"- {row['name']}, {verb}: " + ", ".join(f"{name} {figure(seconds)}" for name, seconds in cpu))
    for other in others:
        cells = [[ratio(one[key], other[key], more) for _, key, more in COLUMNS] for one in ours]
        table(f"times better than {other['name']} (below 1: worse)", ours, cells)


def count(text):
    """A number from 1 on."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1 is needed")
    return number


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/blobdvm", help="our program [%(default)s]")
    parser.add_argument("--mib", type=count, default=512, help="size of the large file in MiB [%(default)s]")
    parser.add_argument("--files", type=count, default=1000, help="how many small files [%(default)s]")
    parser.add_argument("--rounds", type=count, default=1, help="each figure is the best of so many rounds, in turns [%(default)s]")
    parser.add_argument("--restic", default="restic", help="the program [%(default)s]")
    parser.add_argument("--tahoe", default="tahoe", help="the program [%(default)s]")
    # Opened at once: what cannot be written is not found out after everything was measured.
    out = argparse.FileType("w", encoding="utf-8")
    parser.add_argument("--json", metavar="FILE", type=out, help="write the figures here as well")
    options = parser.parse_args()
    # Whatever ends this ends the servers too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    made = contenders(options)
    failures = 0
    with tempfile.TemporaryDirectory(prefix="blobdvm-compare-") as folder:
        sources = make_data(folder, options.mib, options.files)
        results = {}
        for number in range(options.rounds):
            for index, (version, make) in enumerate(made):
                try:
                    row = measure_one(version, make, sources, os.path.join(folder, f"{number}-{index}"))
                    results.setdefault(index, []).append(row)
                except (Failed, OSError, subprocess.SubprocessError, KeyError, ValueError) as error:
                    failures += 1
                    print(f"left out: {error}", file=sys.stderr)
    rows = [best_of(rounds) for _, rounds in sorted(results.items())]
    if rows:
        report(rows, options.mib, options.files)
    if options.json:
        with options.json as file:
            json.dump({"mib": options.mib, "files": options.files, "rows": rows}, file, indent=1)
    return 1 if failures or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
