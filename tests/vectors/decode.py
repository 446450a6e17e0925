#!/usr/bin/env python3
"""Restores a folder from what a vault's providers keep and its secret key, by docs/format.md alone.

    decode.py KEY DEST STORE...

KEY is the vault's secret: a file that holds it, 64 hexadecimal digits, or nsec1... . Each STORE is the folder of one
provider; every file below it whose name is the SHA-256 of its bytes is a blob. The newest snapshot that was not removed
is written to DEST, which must not exist yet: folders, files with their holes, links, modes, times, extended attributes
and, for root, owners and devices. What cannot be made here is left out, with a word of it.

It needs Python 3.8 and its standard library. It shares no code with the program that stores: ciphers, signatures,
erasure code and decompression were written from their publications (RFC 8439, RFC 5869, BIP-340, RFC 8878).
"""

import array
import hashlib
import hmac
import os
import stat
import sys

SHARD_MIN, SHARD_MAX, PACK_MAX = 4096, 524288, 8388608
HEAD_LENGTHS = (4096, 8192, 16384, 32768, 43008)
BODY_MAX, SEGMENT_MAX = 1048576, 4194304
ZERO16, ZERO32 = bytes(16), bytes(32)


class FormatError(Exception):
    """Bytes that are not what they should be."""


def need(condition, what):
    if not condition:
        raise FormatError(what)


def sha256(data):
    return hashlib.sha256(data).digest()


# --- Keys: RFC 5869, NIP-19 ------------------------------------------------------------------------------------------

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


BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def read_secret(text):
    """The 32 bytes of a key that is written in hexadecimal digits or as NIP-19 has it (bech32, BIP-173)."""
    text = text.strip()
    if not text.startswith("nsec1"):
        secret = bytes.fromhex(text)
        need(len(secret) == 32, "a secret has 64 hexadecimal digits")
        return secret
    values = [BECH32.index(char) for char in text[5:]]
    checksum = 1
    for value in [ord(char) >> 5 for char in "nsec"] + [0] + [ord(char) & 31 for char in "nsec"] + values:
        top = checksum >> 25
        checksum = (checksum & 0x1ffffff) << 5 ^ value
        for bit, part in enumerate((0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3)):
            checksum ^= part if top >> bit & 1 else 0
    need(checksum == 1 and len(values) == 58, "an nsec has its checksum")
    number = 0
    for value in values[:52]:
        number = number << 5 | value
    return (number >> 4).to_bytes(32, "big")


# --- Signatures: BIP-340 over secp256k1 ------------------------------------------------------------------------------

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
     0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8, 1)


def double(point):
    """Twice a point in Jacobian coordinates: x = X / Z^2, y = Y / Z^3; Z = 0 is the point at infinity."""
    x, y, z = point
    square = y * y % P
    s, m = 4 * x * square % P, 3 * x * x % P
    nx = (m * m - 2 * s) % P
    return nx, (m * (s - nx) - 8 * square * square) % P, 2 * y * z % P


def add(a, b):
    if a[2] == 0 or b[2] == 0:
        return b if a[2] == 0 else a
    az, bz = a[2] * a[2] % P, b[2] * b[2] % P
    u, v = a[0] * bz % P, b[0] * az % P
    s, t = a[1] * bz * b[2] % P, b[1] * az * a[2] % P
    h, r = (v - u) % P, (t - s) % P
    if h == 0:
        return double(a) if r == 0 else (1, 1, 0)
    hh = h * h % P
    hhh, q = h * hh % P, u * hh % P
    x = (r * r - hhh - 2 * q) % P
    return x, (r * (q - x) - s * hhh) % P, h * a[2] * b[2] % P


def combine(a, point_a, b, point_b):
    """a times one point plus b times another, both together bit by bit."""
    both, total = add(point_a, point_b), (1, 1, 0)
    for bit in range(255, -1, -1):
        total = double(total)
        which = (a >> bit & 1) + 2 * (b >> bit & 1)
        if which:
            total = add(total, (None, point_a, point_b, both)[which])
    return total


def affine(point):
    inverse = pow(point[2], -1, P)
    return point[0] * inverse * inverse % P, point[1] * inverse * inverse * inverse % P


def public_key(secret):
    need(0 < secret < N, "the secret is a key")
    return affine(combine(secret, G, 0, G))[0].to_bytes(32, "big")


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
    point = combine(s, G, challenge, (x, P - y if y % 2 == 0 else y, 1))
    need(r < P and s < N and point[2], "a signature holds: " + label.decode())
    found = affine(point)
    need(found[1] % 2 == 0 and found[0] == r, "a signature holds: " + label.decode())


# --- Sealing: ChaCha20 and Poly1305, RFC 8439 ------------------------------------------------------------------------

LANE_COUNT = 1024


def keystream(key, length, counter):
    """ChaCha20 under a nonce of zeros, from block `counter`. Many blocks are computed at once: each word of the state is
    one long number, in which every block has a lane of 64 bits, so that a sum of two words does not reach the next."""
    stream = bytearray()
    while len(stream) < length:
        lanes = min(LANE_COUNT, -(-(length - len(stream)) // 64))
        stream += keystream_blocks(key, counter, lanes)
        counter += lanes
    return bytes(stream[:length])


def keystream_blocks(key, counter, lanes):
    ones = int.from_bytes(b"\1\0\0\0\0\0\0\0" * lanes, "little")
    low = ones * 0xffffffff
    counters = array.array("Q", range(counter, counter + lanes))
    if sys.byteorder == "big":
        counters.byteswap()
    words = [int.from_bytes(part, "little") * ones for part in (b"expa", b"nd 3", b"2-by", b"te k")]
    words += [int.from_bytes(key[at:at + 4], "little") * ones for at in range(0, 32, 4)]
    words += [int.from_bytes(counters.tobytes(), "little") & low, 0, 0, 0]
    w = list(words)

    def quarter(a, b, c, d):
        w[a] = w[a] + w[b] & low
        w[d] ^= w[a]
        w[d] = (w[d] << 16 | w[d] >> 16) & low
        w[c] = w[c] + w[d] & low
        w[b] ^= w[c]
        w[b] = (w[b] << 12 | w[b] >> 20) & low
        w[a] = w[a] + w[b] & low
        w[d] ^= w[a]
        w[d] = (w[d] << 8 | w[d] >> 24) & low
        w[c] = w[c] + w[d] & low
        w[b] ^= w[c]
        w[b] = (w[b] << 7 | w[b] >> 25) & low

    for _ in range(10):
        for step in range(4):
            quarter(step, 4 + step, 8 + step, 12 + step)
        for step in range(4):
            quarter(step, 4 + (step + 1) % 4, 8 + (step + 2) % 4, 12 + (step + 3) % 4)
    blocks = array.array("I", bytes(64 * lanes))
    for at in range(16):
        lane_bytes = (w[at] + words[at] & low).to_bytes(8 * lanes, "little")
        blocks[at::16] = array.array("I", lane_bytes)[::2]
    return blocks.tobytes()


assert array.array("I").itemsize == 4, "a word has four bytes"


def xor(a, b):
    return (int.from_bytes(a, "little") ^ int.from_bytes(b, "little")).to_bytes(len(a), "little")


def poly1305(key, *parts):
    """Each part is filled up with zeros to whole blocks, as the AEAD of RFC 8439 has it."""
    r = int.from_bytes(key[:16], "little") & 0x0ffffffc0ffffffc0ffffffc0fffffff
    prime, total = 2**130 - 5, 0
    for part in parts:
        for at in range(0, len(part), 16):
            block = int.from_bytes(part[at:at + 16], "little") | 1 << 128
            total = (total + block) * r % prime
    return (total + int.from_bytes(key[16:32], "little") & 2**128 - 1).to_bytes(16, "little")


def open_sealed(key, sealed, aad):
    need(len(sealed) >= 16, "a sealed text has an authenticator")
    text, authenticator = sealed[:-16], sealed[-16:]
    stream = keystream(key, 64 + len(text), 0)
    lengths = len(aad).to_bytes(8, "little") + len(text).to_bytes(8, "little")
    found = poly1305(stream[:32], aad, text, lengths)
    need(hmac.compare_digest(found, authenticator), "a sealed text authenticates")
    return xor(text, stream[64:])


def open_salted(layer_key, label, sealed, keys, device, layer, extra=b""):
    need(len(sealed) >= 48, "a sealed text has a salt and an authenticator")
    key = hkdf(layer_key, label, salt=sealed[:32])
    return open_sealed(key, sealed[32:], label + keys.vault_id + device + bytes([layer]) + extra)


# --- Zstandard: RFC 8878 ---------------------------------------------------------------------------------------------

class Backward:
    """A stream that is read from its last bit to its first (RFC 8878 §4.1.1)."""

    def __init__(self, data):
        need(data and data[-1], "a bit stream ends with a one")
        self.data, self.at = data[::-1], 1
        # The bits from the first one of the last byte on are padding, as is that one.
        self.have = data[-1].bit_length() - 1
        self.bits = data[-1] & (1 << self.have) - 1
        self.left = 8 * len(data) - 8 + self.have

    def read(self, count):
        """The next bits; zeros after the end, where `left` says how many were too many."""
        while self.have < count:
            part = self.data[self.at:self.at + 8]
            if not part:
                self.bits, self.have = self.bits << 64, self.have + 64
                continue
            self.at += len(part)
            self.bits = self.bits << 8 * len(part) | int.from_bytes(part, "big")
            self.have += 8 * len(part)
        self.have -= count
        self.left -= count
        value = self.bits >> self.have
        self.bits &= (1 << self.have) - 1
        return value


def read_distribution(data, accuracy_max):
    """Probabilities of symbols (RFC 8878 §4.1.1): the accuracy, the probabilities, the bytes that they took."""
    number, at = int.from_bytes(data[:512], "little"), 4
    accuracy = (number & 15) + 5
    need(accuracy <= accuracy_max, "a table is not too large")
    left, chances = 1 << accuracy, []
    while left > 0:
        bits = (left + 1).bit_length()
        value = number >> at & (1 << bits) - 1
        below, threshold = (1 << bits - 1) - 1, (1 << bits) - 2 - left
        if value & below < threshold:
            value, bits = value & below, bits - 1
        elif value > below:
            value -= threshold
        at += bits
        chances.append(value - 1)
        left -= abs(value - 1)
        while value == 1:
            again = number >> at & 3
            at += 2
            chances += [0] * again
            if again < 3:
                break
        need(len(chances) <= 256, "there are 256 symbols")
    need(left == 0 and at <= 8 * min(len(data), 512), "probabilities add up")
    return accuracy, chances, (at + 7) // 8


def build_table(accuracy, chances):
    """For each state: its symbol, how many bits to read, and what to add to them for the next state."""
    size = 1 << accuracy
    symbols, high = [0] * size, size
    for symbol, chance in enumerate(chances):
        if chance == -1:
            high -= 1
            symbols[high] = symbol
    at, step = 0, (size >> 1) + (size >> 3) + 3
    for symbol, chance in enumerate(chances):
        for _ in range(max(chance, 0)):
            symbols[at] = symbol
            at = at + step & size - 1
            while at >= high:
                at = at + step & size - 1
    need(at == 0, "a table is full")
    following = [abs(chance) for chance in chances]
    table = []
    for symbol in symbols:
        state = following[symbol]
        following[symbol] += 1
        bits = accuracy - state.bit_length() + 1
        table.append((symbol, bits, (state << bits) - size))
    return accuracy, table


def with_bits(start, first, widths):
    """Codes of lengths: those below `start` mean `first` and so on, each later one a range of numbers."""
    codes = [(first + code, 0) for code in range(start)]
    base = first + start
    for width in widths:
        codes.append((base, width))
        base += 1 << width
    return codes


LITERAL_CODES = with_bits(16, 0, (1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16))
MATCH_CODES = with_bits(32, 3, (1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16))
OFFSET_CODES = [(1 << code, code) for code in range(32)]
# Kind of sequence field: its codes, the largest accuracy of its table, and the table that needs no description.
KINDS = (
    (LITERAL_CODES, 9, build_table(6, [4, 3] + [2] * 11 + [1] * 3 + [2] * 9 + [3, 2] + [1] * 5 + [-1] * 4)),
    (OFFSET_CODES, 8, build_table(5, [1] * 6 + [2] * 3 + [1] * 15 + [-1] * 5)),
    (MATCH_CODES, 9, build_table(6, [1, 4, 3] + [2] * 6 + [1] * 37 + [-1] * 7)),
)


def read_huffman(data):
    """A table of symbols and their lengths for all numbers of `bits` bits (RFC 8878 §4.2.1), and the bytes it took."""
    need(data, "a tree is described")
    head = data[0]
    if head >= 128:
        count = head - 127
        taken = 1 + (count + 1) // 2
        need(taken <= len(data), "a tree is complete")
        weights = [half for byte in data[1:taken] for half in (byte >> 4, byte & 15)][:count]
    else:
        taken = 1 + head
        need(taken <= len(data), "a tree is complete")
        weights = read_weights(data[1:taken])
    total = sum(1 << weight - 1 for weight in weights if weight)
    need(total and max(weights) <= 11, "a tree has leaves")
    bits = total.bit_length()
    rest = (1 << bits) - total
    need(bits <= 11 and rest & rest - 1 == 0, "a tree is complete")
    weights.append(rest.bit_length())
    need(len(weights) <= 256, "there are 256 symbols")
    table = []
    for weight in range(1, bits + 1):
        for symbol, own in enumerate(weights):
            if own == weight:
                table += [(symbol, bits + 1 - weight)] * (1 << weight - 1)
    return (bits, [symbol for symbol, _ in table], [length for _, length in table]), taken


def read_weights(data):
    accuracy, chances, taken = read_distribution(data, 6)
    _, table = build_table(accuracy, chances)
    stream, weights = Backward(data[taken:]), []
    states = [stream.read(accuracy), stream.read(accuracy)]
    need(stream.left >= 0, "weights have two states")
    turn = 0
    while len(weights) < 255:
        symbol, bits, base = table[states[turn]]
        weights.append(symbol)
        if stream.left < bits:
            weights.append(table[states[1 - turn]][0])
            return weights
        states[turn] = base + stream.read(bits)
        turn = 1 - turn
    raise FormatError("weights come to an end")


def read_literal_stream(huffman, data, count):
    stream = Backward(data)
    width, symbols, lengths = huffman
    bits, have, left = stream.bits, stream.have, stream.left
    source, at, mask = stream.data, stream.at, (1 << width) - 1
    out = bytearray()
    for _ in range(count):
        if have < width:
            part = source[at:at + 8]
            at += 8
            bits = (bits & (1 << have) - 1) << 64 | int.from_bytes(part + bytes(8 - len(part)), "big")
            have += 64
        index = bits >> have - width & mask
        out.append(symbols[index])
        have -= lengths[index]
        left -= lengths[index]
    need(left == 0, "literals use up their stream")
    return out


class Frame:
    """The state that the blocks of a frame hand on."""

    def __init__(self):
        self.out = bytearray()
        self.huffman, self.tables, self.offsets = None, [None] * 3, [1, 4, 8]

    def literals(self, data):
        """The literals of a block, and what follows them."""
        need(data, "a block has literals")
        kind, form = data[0] & 3, data[0] >> 2 & 3
        if kind < 2:
            head, shift = (1, 3) if form in (0, 2) else (2, 4) if form == 1 else (3, 4)
            size = int.from_bytes(data[:head], "little") >> shift
            if kind == 0:
                need(len(data) >= head + size, "literals are complete")
                return data[head:head + size], data[head + size:]
            need(len(data) > head, "literals are complete")
            return data[head:head + 1] * size, data[head + 1:]
        head, width = ((3, 10), (3, 10), (4, 14), (5, 18))[form]
        number = int.from_bytes(data[:head], "little") >> 4
        size, packed_size = number & (1 << width) - 1, number >> width
        packed, rest = data[head:head + packed_size], data[head + packed_size:]
        need(len(packed) == packed_size, "literals are complete")
        if kind == 2:
            self.huffman, taken = read_huffman(packed)
            packed = packed[taken:]
        need(self.huffman, "there is a tree to use again")
        if form == 0:
            return read_literal_stream(self.huffman, packed, size), rest
        need(len(packed) >= 6, "literals are complete")
        ends, at, out = [], 6, bytearray()
        for place in (0, 2, 4):
            at += int.from_bytes(packed[place:place + 2], "little")
            ends.append(at)
        each, at = (size + 3) // 4, 6
        need(ends[-1] < len(packed) and size >= 3 * each, "literals are complete")
        for end in ends:
            out += read_literal_stream(self.huffman, packed[at:end], each)
            at = end
        return out + read_literal_stream(self.huffman, packed[at:], size - 3 * each), rest

    def block(self, data):
        literals, data = self.literals(data)
        need(data, "a block has sequences")
        count, at = data[0], 1
        if count == 255:
            count, at = int.from_bytes(data[1:3], "little") + 0x7f00, 3
        elif count >= 128:
            need(len(data) > 1, "a block is complete")
            count, at = (count - 128 << 8) + data[1], 2
        if count == 0:
            need(at == len(data), "a block ends where it ends")
            self.out += literals
            return
        need(len(data) > at and data[at] & 3 == 0, "tables are described")
        modes, at = data[at], at + 1
        for which, (codes, accuracy_max, usual) in enumerate(KINDS):
            mode = modes >> 6 - 2 * which & 3
            if mode == 0:
                self.tables[which] = usual
            elif mode == 1:
                need(len(data) > at, "a table is described")
                self.tables[which] = 0, [(data[at], 0, 0)]
                at += 1
            elif mode == 2:
                accuracy, chances, taken = read_distribution(data[at:], accuracy_max)
                self.tables[which] = build_table(accuracy, chances)
                at += taken
            need(self.tables[which], "there is a table to use again")
            need(all(symbol < len(codes) for symbol, _, _ in self.tables[which][1]), "a code is known")
        self.sequences(count, Backward(data[at:]), literals)

    def sequences(self, count, stream, literals):
        (a, literal_table), (b, offset_table), (c, match_table) = self.tables
        read, out, at = stream.read, self.out, 0
        literal_state, offset_state, match_state = read(a), read(b), read(c)
        for left in range(count - 1, -1, -1):
            literal_code, literal_bits, literal_base = literal_table[literal_state]
            offset_code, offset_bits, offset_base = offset_table[offset_state]
            match_code, match_bits, match_base = match_table[match_state]
            offset = (1 << offset_code) + read(offset_code)
            base, bits = MATCH_CODES[match_code]
            match_len = base + read(bits)
            base, bits = LITERAL_CODES[literal_code]
            literal_len = base + read(bits)
            if left:
                literal_state = literal_base + read(literal_bits)
                match_state = match_base + read(match_bits)
                offset_state = offset_base + read(offset_bits)
            need(at + literal_len <= len(literals), "a sequence has its literals")
            out += literals[at:at + literal_len]
            at += literal_len
            offset = self.offset(offset, literal_len)
            need(0 < offset <= len(out), "a match is of what came before")
            if offset >= match_len:
                start = len(out) - offset
                out += out[start:start + match_len]
            else:
                out += (out[-offset:] * (match_len // offset + 1))[:match_len]
        need(stream.left == 0, "sequences use up their stream")
        out += literals[at:]

    def offset(self, value, literal_len):
        """What an offset means, which may be one of the last three (RFC 8878 §3.1.1.5)."""
        first, second, third = self.offsets
        if value > 3:
            self.offsets = [value - 3, first, second]
        else:
            value += literal_len == 0
            if value == 2:
                self.offsets = [second, first, third]
            elif value == 3:
                self.offsets = [third, first, second]
            elif value == 4:
                self.offsets = [first - 1, first, second]
        return self.offsets[0]


def decompress(data, limit):
    """Exactly one frame, which states how long its content is."""
    need(len(data) > 5 and data[:4] == b"\x28\xb5\x2f\xfd", "a frame begins with its magic number")
    descriptor, at = data[4], 5
    is_single = descriptor >> 5 & 1
    need(descriptor & 0b1000 == 0, "a frame's reserved bit is zero")
    at += 1 - is_single
    id_len = (0, 1, 2, 4)[descriptor & 3]
    need(not any(data[at:at + id_len]), "a frame has no dictionary")
    at += id_len
    size_len = (is_single, 2, 4, 8)[descriptor >> 6]
    need(size_len, "a frame states its size")
    size = int.from_bytes(data[at:at + size_len], "little") + (256 if size_len == 2 else 0)
    at += size_len
    need(size <= limit and len(data) < size, "a frame states a size within the limit")
    frame, is_last = Frame(), 0
    while not is_last:
        head = int.from_bytes(data[at:at + 3], "little")
        is_last, kind, length = head & 1, head >> 1 & 3, head >> 3
        at += 3
        taken = 1 if kind == 1 else length
        need(kind < 3 and length <= 131072 and at + taken <= len(data), "a block is complete")
        if kind == 0:
            frame.out += data[at:at + length]
        elif kind == 1:
            frame.out += data[at:at + 1] * length
        else:
            frame.block(data[at:at + length])
        need(len(frame.out) <= size, "a frame has the size that it states")
        at += taken
    # A checksum tells nothing that the authenticator of the sealed text has not told.
    at += 4 if descriptor & 4 else 0
    need(len(frame.out) == size and at == len(data), "a frame has the size that it states")
    return bytes(frame.out)


def unpack(packed, limit):
    need(packed and packed[0] in (0, 1), "packed data has a flag")
    data = packed[1:] if packed[0] == 0 else decompress(packed[1:], limit)
    need(len(data) <= limit, "data is within its limit")
    return data


# --- Values ----------------------------------------------------------------------------------------------------------

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
        try:
            return self.bytes().decode()
        except UnicodeDecodeError:
            raise FormatError("a text is UTF-8") from None

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


# --- Packs -----------------------------------------------------------------------------------------------------------

EXP, LOG = [0] * 510, [0] * 256


def fill_field():
    """Powers of 2 in GF(2^8) with the polynomial 0x11d, and which power each number is."""
    value = 1
    for power in range(255):
        EXP[power] = EXP[power + 255] = value
        LOG[value] = power
        value = value << 1 ^ (0x11d if value & 0x80 else 0)


fill_field()


def gf_multiply(a, b):
    return EXP[LOG[a] + LOG[b]] if a and b else 0


def gf_divide(a, b):
    return EXP[LOG[a] + 255 - LOG[b]] if a else 0


class Blobs:
    """What the providers keep, by SHA-256. A file is read, and its name checked, when its blob is asked for."""

    def __init__(self, stores):
        self.paths = {}
        for store in stores:
            need(os.path.isdir(store), "there is a folder " + store)
            for folder, _, names in os.walk(store):
                for name in names:
                    if len(name) == 64 and not set(name) - set("0123456789abcdef"):
                        self.paths.setdefault(bytes.fromhex(name), []).append(os.path.join(folder, name))

    def get(self, name):
        """The blob; None where no file has its bytes."""
        for path in self.paths.get(name, []):
            with open(path, "rb") as file:
                data = file.read()
            if sha256(data) == name:
                return data
        return None

    def of_length(self, lengths):
        for name, paths in self.paths.items():
            if any(os.path.getsize(path) in lengths for path in paths):
                blob = self.get(name)
                if blob is not None and len(blob) in lengths:
                    yield blob


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
            blob = blobs.get(name) if len(found) < self.need else None
            if blob is not None and len(blob) == self.shard_len:
                need(merkle_root(blob) == root, "a shard has the recorded root")
                found[index] = blob
        need(len(found) == self.need, f"{len(found)} of {self.need} shards are there")
        if self.mask:
            (index, shard), = found.items()
            key = hkdf(self.mask, b"blobdvm/v1/mask" + bytes([index]))
            return xor(shard, keystream(key, len(shard), 0))[:self.sealed_len]
        return b"".join(found.get(i) or interpolate(found, i) for i in range(self.need))[:self.sealed_len]


def interpolate(found, row):
    """The shard `row`: the value at x = row of the polynomial through the shards that were found."""
    shard = 0
    for at, source in found.items():
        weight = 1
        for other in found:
            if other != at:
                weight = gf_multiply(weight, gf_divide(row ^ other, at ^ other))
        table = bytes(gf_multiply(weight, byte) for byte in range(256))
        shard ^= int.from_bytes(source.translate(table), "little")
    return shard.to_bytes(len(next(iter(found.values()))), "little")


def merkle_root(data):
    level = [sha256(b"\0" + data[at:at + 1024]) for at in range(0, len(data), 1024)]
    while len(level) > 1:
        level = [sha256(b"\1" + level[i] + level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


class PackRef:
    def __init__(self, reader):
        self.key, self.plain_len = reader.raw(32), reader.u32()
        need(1 <= self.plain_len <= PACK_MAX, "a pack of the manifest is within its limit")
        self.coding = Coding(reader)
        reader.raw(self.coding.total)

    def open(self, blobs):
        return open_segment(self.key, self.coding.decode(blobs), self.plain_len)


def open_segment(key, sealed, plain_len):
    plain = unpack(open_sealed(key, sealed, b"blobdvm/v1/sealed-segment"), plain_len)
    need(len(plain) == plain_len, "a segment is as long as recorded")
    return plain


# --- Heads -----------------------------------------------------------------------------------------------------------

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
        self.device, self.device_class, self.key = reader.raw(16), reader.raw(1), reader.raw(32)
        self.certificate = reader.raw(64)
        self.counter, self.made_at, self.last = reader.u64(), reader.u64(), reader.u64()
        self.last_hash = reader.raw(32)
        self.providers = reader.list(id32)
        self.relays = reader.list(Reader.text)
        reader.list(lambda r: (r.raw(16), r.u64()))
        self.runs = reader.list(Run)
        signed = plain[:reader.at]
        signature = reader.raw(64)
        need(not any(plain[reader.at:]), "zeros follow a head")
        verify(b"blobdvm/v1/signed-device", keys.vault_id + self.device + self.device_class + self.key,
               self.certificate, keys.vault_key)
        verify(b"blobdvm/v1/signed-head", signed, signature, self.key)


def find_heads(blobs, keys):
    """The newest head of each device."""
    heads = {}
    for blob in blobs.of_length(HEAD_LENGTHS):
        try:
            head = Head(blob, keys)
        except FormatError:
            continue
        known = heads.get(head.device)
        if known is None or head.counter > known.counter:
            heads[head.device] = head
    return list(heads.values())


def fetch_chain(head, blobs):
    chain, following = [], 0
    for run in head.runs:
        need(run.first == following and run.last >= run.first, "runs follow each other")
        following = run.last + 1
        held = run.pack.open(blobs)
        if run.depth == 1:
            reader = Reader(held)
            reader.version()
            reader.list(id32)
            packs = reader.list(PackRef)
            reader.end()
            held = b"".join(pack.open(blobs) for pack in packs)
        chain.append(held)
    need(following == head.last + 1, "runs end where the head says")
    return b"".join(chain)


# --- Records ---------------------------------------------------------------------------------------------------------

class Vault:
    """Everything that the chains record."""

    def __init__(self, blobs):
        self.blobs, self.decoded = blobs, {}
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
            items = Reader(unpack(body.raw(len(body.data) - 1), BODY_MAX))
            if sequence == 0:
                need(layer == 1 and items.u32() == 1 and items.u8() == 1, "a chain begins with its device")
                self.read_device(items, head)
            else:
                items.list(self.read_placement if layer == 1 else self.read_content)
            items.end()
            sequence, previous = sequence + 1, sha256(chain[start:reader.at])
        need(sequence == head.last + 1 and previous == head.last_hash, "a chain ends where its head says")

    @staticmethod
    def read_device(reader, head):
        found = reader.raw(16), reader.raw(1), reader.raw(32)
        reader.u64()
        need(found == (head.device, head.device_class, head.key), "a chain begins with its own device")
        need(reader.raw(64) == head.certificate, "a device has one certificate")
        reader.list(lambda r: r.raw(16 + 8 + 32))

    def read_placement(self, reader):
        kind = reader.u8()
        if kind == 2:
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
        elif kind == 10:
            reader.raw(16 + 8 + 32)
            reader.text()
        elif kind == 11:
            reader.raw(16)
        elif kind == 12:
            reader.raw(16 + 16)
            reader.list(id16)
            reader.list(id16)
        else:
            raise FormatError(f"a placement item's type is known: {kind} is not")

    def read_content(self, reader):
        kind = reader.u8()
        need(kind in (1, 2, 3, 4), f"a content item's type is known: {kind} is not")
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
            need(1 <= plain_len <= SEGMENT_MAX, "a segment is within its limit")
            pieces = reader.list(lambda r: (r.raw(16), r.u32(), r.u32()))
            self.segments.setdefault(tag, []).append((key, plain_len, pieces))
        elif kind == 2:
            self.lists[tag] = reader.list(id32)
        else:
            self.pages[tag] = reader.list(read_entry)

    def tags(self, refs):
        kind, tags = refs
        if kind == 2:
            need(all(name in self.lists for name in tags), "every list of references is recorded")
            tags = [tag for name in tags for tag in self.lists[name]]
        return tags

    def pack(self, name):
        """The sealed bytes of a pack; the last few are kept, as neighbours in a file are in one pack."""
        need(name in self.packs, "every pack is recorded")
        if name not in self.decoded:
            while len(self.decoded) >= 8:
                self.decoded.pop(next(iter(self.decoded)))
            self.decoded[name] = self.packs[name].decode(self.blobs)
        return self.decoded[name]

    def segment(self, tag):
        need(tag in self.segments, "every segment is recorded")
        *others, last = self.segments[tag]
        for stored in others:
            try:
                return self.stored_segment(stored)
            except FormatError:
                continue  # its packs may have been let go of: another copy will do
        return self.stored_segment(last)

    def stored_segment(self, stored):
        key, plain_len, pieces = stored
        sealed = []
        for name, offset, length in pieces:
            pack = self.pack(name)
            need(offset + length <= len(pack), "a piece lies within its pack")
            sealed.append(pack[offset:offset + length])
        return open_segment(key, b"".join(sealed), plain_len)


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


# --- Restoring -------------------------------------------------------------------------------------------------------

class Restore:
    def __init__(self, vault):
        self.vault, self.links, self.left_out = vault, {}, []

    def folder(self, refs, path):
        os.mkdir(path)
        for tag in self.vault.tags(refs):
            need(tag in self.vault.pages, "every page of a tree is recorded")
            for entry in self.vault.pages[tag]:
                self.entry(entry, os.path.join(path, entry["name"]))

    def entry(self, entry, path):
        kind, group = entry["kind"], entry["link_group"]
        if kind == 7 or kind in (5, 6) and os.geteuid() != 0:
            self.left_out.append(path)
            return
        if group and group in self.links:
            os.link(self.links[group], path, follow_symlinks=False)
            return
        if kind == 1:
            self.file(entry, path)
        elif kind == 2:
            self.folder(entry["pages"], path)
        elif kind == 3:
            os.symlink(entry["target"], path)
        elif kind == 4:
            os.mkfifo(path)
        else:
            os.mknod(path, 0o600 | (stat.S_IFCHR if kind == 5 else stat.S_IFBLK), entry["rdev"])
        if group:
            self.links[group] = path
        self.describe(entry, path)

    def file(self, entry, path):
        """Segment by segment, under another name until length and SHA-256 are right."""
        digest, holes, unfinished = hashlib.sha256(), list(entry["holes"]) + [(entry["len"], 0)], path + b".part"
        with open(unfinished, "xb") as file:
            for tag in self.vault.tags(entry["content"]):
                data = self.vault.segment(tag)
                while data:
                    self.skip_holes(file, digest, holes)
                    need(holes, "a file is no longer than recorded")
                    part = data[:holes[0][0] - file.tell()]
                    need(part, "a file is no longer than recorded")
                    file.write(part)
                    digest.update(part)
                    data = data[len(part):]
            self.skip_holes(file, digest, holes)
            need(not holes and file.tell() == entry["len"], "a file has its length")
            file.truncate(entry["len"])
        need(digest.digest() == entry["sha256"], "a file has its SHA-256")
        os.rename(unfinished, path)

    @staticmethod
    def skip_holes(file, digest, holes):
        while holes and holes[0][0] == file.tell():
            _, length = holes.pop(0)
            file.seek(length, os.SEEK_CUR)
            while length:
                digest.update(bytes(min(length, 1 << 20)))
                length -= min(length, 1 << 20)

    def describe(self, entry, path):
        """Owner, attributes, mode and time, in an order in which none undoes another."""
        if os.geteuid() == 0:
            os.lchown(path, entry["uid"], entry["gid"])
        for name, value in entry["xattrs"]:
            try:
                os.setxattr(path, name, value, follow_symlinks=False)
            except (AttributeError, OSError):
                self.left_out.append(path + b": " + name)
        if entry["kind"] != 3:
            os.chmod(path, stat.S_IMODE(entry["mode"]))
        time = entry["mtime"] * 10**9 + entry["nanos"]
        os.utime(path, ns=(time, time), follow_symlinks=False)


def main(key, dest, *stores):
    if os.path.isfile(key):
        with open(key) as file:
            key = file.read()
    keys, blobs = Keys(read_secret(key)), Blobs(stores)
    heads, vault = find_heads(blobs, keys), Vault(blobs)
    need(heads, "a head is among the blobs")
    for head in heads:
        if head.device_class == b"\2":
            continue  # a device that may only promise: nothing that is restored stands in its chain
        vault.read_chain(fetch_chain(head, blobs), head, keys)
    live = [snapshot for snapshot in vault.snapshots if snapshot["id"] not in vault.removed]
    need(live, "a snapshot is left")
    _, newest = max(enumerate(live), key=lambda at: (at[1]["made_at"], at[0]))  # of one second, the later in its chain
    restore = Restore(vault)
    restore.folder(newest["root"], os.fsencode(dest))
    for path in restore.left_out:
        print("left out: " + os.fsdecode(path), file=sys.stderr)
    print(f"{newest['name']}: {newest['files']} files, {newest['bytes']} bytes")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (FormatError, OSError, ValueError) as error:
        sys.exit(f"decode.py: {error}")
