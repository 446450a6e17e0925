#!/usr/bin/env python3
"""Restores a vault from what its providers keep and its secret key, by docs/format.md alone.

    restore.py SECRET_HEX DEST STORE...

Each STORE is a folder with the blobs of one provider, one file each, under any names. The newest snapshot that
was not removed is written to DEST. Needs the packages `cryptography` and `zstandard`. It shares no code with the
program that stores.
"""

import hashlib
import hmac
import os
import sys

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

SHARD_MIN, SHARD_MAX, PACK_MAX = 4096, 524288, 8388608
HEAD_LENGTHS = (4096, 8192, 16384, 32768, 43008)
ZERO16, ZERO32 = bytes(16), bytes(32)


class FormatError(Exception):
    """Bytes that are not what they should be."""


def need(condition, what):
    if not condition:
        raise FormatError(what)


def sha256(data):
    return hashlib.sha256(data).digest()


# --- Keys -----------------------------------------------------------------------------------------------------------

def hkdf(ikm, info, length=32, salt=ZERO32):
    prk = hmac.digest(salt, ikm, "sha256")
    out, block, counter = b"", b"", 1
    while len(out) < length:
        block = hmac.digest(prk, block + info + bytes([counter]), "sha256")
        out, counter = out + block, counter + 1
    return out[:length]


class Keys:
    def __init__(self, secret):
        self.vault_key = public_key(int.from_bytes(secret, "big"))
        self.vault_id = hkdf(secret, b"blobdvm/v1/vault-id", 16)
        self.content = hkdf(secret, b"blobdvm/v1/content")
        self.placement = hkdf(secret, b"blobdvm/v1/placement")
        self.head = hkdf(self.placement, b"blobdvm/v1/head")


# --- BIP-340 --------------------------------------------------------------------------------------------------------

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
     0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8)


def add(a, b):
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and a[1] != b[1]:
        return None
    slope = (3 * a[0] * a[0] * pow(2 * a[1], -1, P) if a == b else (b[1] - a[1]) * pow(b[0] - a[0], -1, P)) % P
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def multiply(point, scalar):
    product = None
    while scalar:
        if scalar & 1:
            product = add(product, point)
        point, scalar = add(point, point), scalar >> 1
    return product


def public_key(secret):
    need(0 < secret < N, "the secret is a key")
    return multiply(G, secret)[0].to_bytes(32, "big")


def tagged(tag, message):
    return sha256(sha256(tag) * 2 + message)


def verify(label, message, signature, key):
    x = int.from_bytes(key, "big")
    square = (pow(x, 3, P) + 7) % P
    y = pow(square, (P + 1) // 4, P)
    need(x < P and y * y % P == square, "a public key lies on the curve")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    digest = tagged(label, message)
    challenge = int.from_bytes(tagged(b"BIP0340/challenge", signature[:32] + key + digest), "big") % N
    point = add(multiply(G, s), multiply((x, P - y if y % 2 == 0 else y), challenge))
    need(r < P and s < N and point and point[1] % 2 == 0 and point[0] == r, "a signature holds: " + label.decode())


# --- Sealing --------------------------------------------------------------------------------------------------------

def open_sealed(key, sealed, aad):
    try:
        return ChaCha20Poly1305(key).decrypt(bytes(12), sealed, aad)
    except InvalidTag:
        raise FormatError("a sealed text authenticates") from None


def open_salted(layer_key, label, sealed, keys, device, layer, extra=b""):
    need(len(sealed) >= 48, "a sealed text has a salt and an authenticator")
    key = hkdf(layer_key, label, salt=sealed[:32])
    return open_sealed(key, sealed[32:], label + keys.vault_id + device + bytes([layer]) + extra)


def unpack(packed, limit):
    need(packed and packed[0] in (0, 1), "packed data has a flag")
    data = packed[1:]
    if packed[0] == 1:
        size = zstandard.frame_content_size(data)
        need(0 <= size <= limit and len(data) < size, "a frame states a size within the limit")
        data = zstandard.ZstdDecompressor().decompress(data, max_output_size=size, allow_extra_data=False)
        need(len(data) == size, "a frame has the size that it states")
    need(len(data) <= limit, "data is within its limit")
    return data


# --- Values ---------------------------------------------------------------------------------------------------------

class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def raw(self, length):
        need(self.at + length <= len(self.data), "data is complete")
        self.at += length
        return self.data[self.at - length:self.at]

    def number(self, length, signed=False):
        return int.from_bytes(self.raw(length), "little", signed=signed)

    def u8(self):
        return self.number(1)

    def u32(self):
        return self.number(4)

    def u64(self):
        return self.number(8)

    def bytes(self):
        return self.raw(self.u32())

    def text(self):
        return self.bytes().decode()

    def list(self, read, *args):
        return [read(self, *args) for _ in range(self.u32())]

    def version(self):
        need(self.u8() == 1, "the version is known; else a newer program is needed")

    def end(self):
        need(self.at == len(self.data), "nothing is left over")


def id16(reader):
    return reader.raw(16)


def id32(reader):
    return reader.raw(32)


# --- Packs ----------------------------------------------------------------------------------------------------------

def gf_multiply(a, b):
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a = a << 1 ^ (0x11d if a & 0x80 else 0)
        b >>= 1
    return product


def gf_inverse(a):
    return next(b for b in range(1, 256) if gf_multiply(a, b) == 1)


class Coding:
    def __init__(self, reader):
        self.need, self.total = reader.u8(), reader.u8()
        need(1 <= self.need <= self.total, "need is from 1 to total")
        self.sealed_len, self.shard_len = reader.u32(), reader.u32()
        largest = SHARD_MAX
        while self.need * largest > PACK_MAX:
            largest //= 2
        fitting = SHARD_MIN
        while self.need * fitting < self.sealed_len:
            fitting *= 2
        need(1 <= self.sealed_len <= self.need * largest and self.shard_len == fitting, "a pack has a size class")
        self.mask = reader.raw(32) if self.need == 1 else None
        self.shards = [(reader.raw(32), reader.raw(32)) for _ in range(self.total)]

    def decode(self, blobs):
        found = {}
        for index, (name, root) in enumerate(self.shards):
            blob = blobs.get(name)
            if blob is not None and len(blob) == self.shard_len and len(found) < self.need:
                need(merkle_root(blob) == root, "a shard has the recorded root")
                found[index] = blob
        need(len(found) == self.need, f"{len(found)} of {self.need} shards are there")
        if self.mask:
            (index, shard), = found.items()
            key = hkdf(self.mask, b"blobdvm/v1/mask" + bytes([index]))
            stream = Cipher(algorithms.ChaCha20(key, bytes(16)), None).encryptor()
            return stream.update(shard)[:self.sealed_len]
        return b"".join(found.get(i) or interpolate(found, i) for i in range(self.need))[:self.sealed_len]


def interpolate(found, row):
    """The shard `row`: the value at x = row of the polynomial through the shards that were found."""
    shard = None
    for at, source in found.items():
        weight = 1
        for other in found:
            if other != at:
                weight = gf_multiply(weight, gf_multiply(row ^ other, gf_inverse(at ^ other)))
        table = bytes(gf_multiply(weight, byte) for byte in range(256))
        number = int.from_bytes(source.translate(table), "big")
        shard = number if shard is None else shard ^ number
    return shard.to_bytes(len(next(iter(found.values()))), "big")


def merkle_root(data):
    level = [sha256(b"\0" + data[at:at + 1024]) for at in range(0, len(data), 1024)]
    while len(level) > 1:
        level = [sha256(b"\1" + level[i] + level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


class PackRef:
    def __init__(self, reader):
        self.key, self.plain_len = reader.raw(32), reader.u32()
        self.coding = Coding(reader)
        reader.raw(self.coding.total)

    def open(self, blobs):
        return open_segment(self.key, self.coding.decode(blobs), self.plain_len)


def open_segment(key, sealed, plain_len):
    plain = unpack(open_sealed(key, sealed, b"blobdvm/v1/sealed-segment"), plain_len)
    need(len(plain) == plain_len, "a segment is as long as recorded")
    return plain


# --- Heads ----------------------------------------------------------------------------------------------------------

class Run:
    def __init__(self, reader):
        self.level, self.depth = reader.u8(), reader.u8()
        self.first, self.last, self.expires = reader.u64(), reader.u64(), reader.u64()
        self.pack = PackRef(reader)
        need(self.depth in (0, 1), "a run's depth is known")


class Head:
    def __init__(self, sealed, keys):
        plain = open_salted(keys.head, b"blobdvm/v1/sealed-head", sealed, keys, ZERO16, 1)
        reader = Reader(plain)
        reader.version()
        self.device, device_class, self.key = reader.raw(16), reader.raw(1), reader.raw(32)
        certificate = reader.raw(64)
        self.counter, self.made_at, self.last = reader.u64(), reader.u64(), reader.u64()
        self.last_hash = reader.raw(32)
        self.providers = reader.list(id32)
        self.relays = reader.list(Reader.text)
        reader.list(lambda r: (r.raw(16), r.u64()))
        self.runs = reader.list(Run)
        signed = plain[:reader.at]
        signature = reader.raw(64)
        need(not any(plain[reader.at:]), "zeros follow a head")
        verify(b"blobdvm/v1/signed-device", keys.vault_id + self.device + device_class + self.key, certificate,
               keys.vault_key)
        verify(b"blobdvm/v1/signed-head", signed, signature, self.key)


def find_heads(blobs, keys):
    heads = {}
    for blob in blobs.values():
        if len(blob) in HEAD_LENGTHS:
            try:
                head = Head(blob, keys)
            except FormatError:
                continue
            known = heads.get(head.device)
            if known is None or head.counter > known.counter:
                heads[head.device] = head
    return list(heads.values())


def fetch_chain(head, blobs):
    chain = b""
    for run in head.runs:
        held = run.pack.open(blobs)
        if run.depth == 1:
            reader = Reader(held)
            reader.version()
            reader.list(id32)
            packs = reader.list(PackRef)
            reader.end()
            held = b"".join(pack.open(blobs) for pack in packs)
        chain += held
    return chain


# --- Records --------------------------------------------------------------------------------------------------------

class Vault:
    """Everything that the chains record."""

    def __init__(self):
        self.packs, self.segments, self.lists, self.pages, self.snapshots = {}, {}, {}, {}, []
        self.removed = set()

    def read_chain(self, chain, head, keys):
        reader, sequence, previous = Reader(chain), 0, ZERO32
        while reader.at < len(chain):
            start = reader.at
            reader.version()
            layer, device = reader.u8(), reader.raw(16)
            place = reader.raw(40)
            sealed = reader.bytes()
            signed = chain[start:reader.at]
            signature = reader.raw(64)
            need(layer in (1, 2) and device == head.device, "a record is of the chain's device")
            need(place == sequence.to_bytes(8, "little") + previous, "a record follows the one before")
            verify(b"blobdvm/v1/signed-record", signed, signature, head.key)
            layer_key = keys.placement if layer == 1 else keys.content
            body = Reader(open_salted(layer_key, b"blobdvm/v1/sealed-record", sealed, keys, device, layer, place))
            body.version()
            items = Reader(unpack(body.raw(len(body.data) - 1), 1048576))
            items.list(self.read_placement if layer == 1 else self.read_content)
            items.end()
            sequence, previous = sequence + 1, sha256(chain[start:reader.at])
        need(sequence == head.last + 1 and previous == head.last_hash, "a chain ends where its head says")

    def read_placement(self, reader):
        kind = reader.u8()
        if kind == 1:
            reader.raw(16 + 1 + 32 + 8 + 64)
            reader.list(lambda r: r.raw(16 + 8 + 32))
        elif kind == 2:
            pack = reader.raw(16)
            self.packs[pack] = Coding(reader)
        elif kind == 3:
            reader.raw(32)
            reader.list(lambda r: r.raw(16 + 1 + 8))
        elif kind == 4:
            reader.raw(16)
            reader.list(id16)
        elif kind == 5:
            reader.u64()
            self.removed.update(reader.list(id16))
            reader.list(id16)
        elif kind == 6:
            reader.raw(16)
            reader.list(id16)
        elif kind == 8:
            reader.list(id16)
        else:
            raise FormatError("a placement item's type is known")

    def read_content(self, reader):
        kind = reader.u8()
        need(kind in (1, 2, 3, 4), "a content item's type is known")
        if kind == 4:
            snapshot = {"id": reader.raw(16), "name": reader.text(), "made_at": reader.u64(), "host": reader.text()}
            snapshot["labels"], snapshot["paths"] = reader.list(Reader.text), reader.list(Reader.bytes)
            snapshot["root"] = read_refs(reader)
            snapshot["files"], snapshot["bytes"] = reader.u64(), reader.u64()
            self.snapshots.append(snapshot)
            return
        tag = reader.raw(32)
        if kind == 1:
            key, plain_len = reader.raw(32), reader.u32()
            pieces = reader.list(lambda r: (r.raw(16), r.u32(), r.u32()))
            self.segments.setdefault(tag, []).append((key, plain_len, pieces))
        elif kind == 2:
            self.lists[tag] = reader.list(id32)
        else:
            self.pages[tag] = reader.list(read_entry)

    def tags(self, refs):
        kind, tags = refs
        return tags if kind == 1 else [tag for name in tags for tag in self.lists[name]]

    def segment(self, tag, blobs):
        *others, last = self.segments[tag]
        for stored in others:
            try:
                return self.stored_segment(stored, blobs)
            except FormatError:
                continue  # its packs may have been let go of: another copy will do
        return self.stored_segment(last, blobs)

    def stored_segment(self, stored, blobs):
        key, plain_len, pieces = stored
        sealed = b""
        for pack, offset, length in pieces:
            coding = self.packs[pack]
            if not hasattr(coding, "decoded"):
                coding.decoded = coding.decode(blobs)
            need(offset + length <= coding.sealed_len, "a piece lies within its pack")
            sealed += coding.decoded[offset:offset + length]
        return open_segment(key, sealed, plain_len)

    def restore(self, refs, folder, blobs):
        os.makedirs(folder, exist_ok=True)
        for entry in [entry for tag in self.tags(refs) for entry in self.pages[tag]]:
            path = os.path.join(os.fsencode(folder), entry["name"])
            if entry["kind"] == 1:
                data = self.file(entry, blobs)
                with open(path, "wb") as file:
                    file.write(data)
            elif entry["kind"] == 2:
                self.restore(entry["pages"], path, blobs)
            elif entry["kind"] == 3:
                os.symlink(entry["target"], path)

    def file(self, entry, blobs):
        stored = b"".join(self.segment(tag, blobs) for tag in self.tags(entry["content"]))
        data, at = b"", 0
        for offset, length in entry["holes"]:
            taken = offset - len(data)
            data += stored[at:at + taken] + bytes(length)
            at += taken
        data += stored[at:]
        need(len(data) == entry["len"] and sha256(data) == entry["sha256"], "a file has its length and SHA-256")
        return data


def read_refs(reader):
    kind = reader.u8()
    need(kind in (1, 2), "references are of a known kind")
    return kind, reader.list(id32)


def read_entry(reader):
    entry = {"name": reader.bytes(), "mode": reader.u32(), "uid": reader.u32(), "gid": reader.u32()}
    need(entry["name"] not in (b"", b".", b"..") and not set(entry["name"]) & {0, 0x2f}, "a name is one")
    entry["user"], entry["group"] = reader.text(), reader.text()
    entry["mtime"], entry["nanos"] = reader.number(8, signed=True), reader.u32()
    entry["xattrs"] = reader.list(lambda r: (r.bytes(), r.bytes()))
    entry["link_group"], entry["kind"] = reader.u64(), reader.u8()
    if entry["kind"] == 1:
        entry["len"], entry["sha256"] = reader.u64(), reader.raw(32)
        entry["holes"] = reader.list(lambda r: (r.u64(), r.u64()))
        entry["content"] = read_refs(reader)
    elif entry["kind"] == 2:
        entry["pages"] = read_refs(reader)
    elif entry["kind"] == 3:
        entry["target"] = reader.bytes()
    elif entry["kind"] in (5, 6):
        entry["rdev"] = reader.u64()
    else:
        need(entry["kind"] in (4, 7), "an entry's kind is known")
    return entry


def main(secret, dest, *stores):
    keys, blobs = Keys(bytes.fromhex(secret)), {}
    for store in stores:
        for folder, _, names in os.walk(store):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    data = file.read()
                blobs[sha256(data)] = data
    heads, vault = find_heads(blobs, keys), Vault()
    need(heads, "a head is among the blobs")
    for head in heads:
        vault.read_chain(fetch_chain(head, blobs), head, keys)
    live = [snapshot for snapshot in vault.snapshots if snapshot["id"] not in vault.removed]
    need(live, "a snapshot is left")
    newest = max(live, key=lambda snapshot: snapshot["made_at"])
    vault.restore(newest["root"], dest, blobs)
    print(f"{newest['name']}: {newest['files']} files, {newest['bytes']} bytes")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (FormatError, TypeError, ValueError) as error:
        sys.exit(f"restore.py: {error}")
