"""Verifies the log of a running orion-server as an outsider: with nothing but Python itself, and none of the server's code.

usage: verify_log.py URL [--key KEY] [--checkpoint FILE] [--token TOKEN] [ID ...]
Checks the signature of the checkpoint, computes the tree from all entries and from the hash tiles, checks the proof of each
signal ID, and that the log began as it was at an earlier checkpoint (FILE). Prints what was checked; fails at what is wrong."""
import argparse
import base64
import hashlib
import json
import urllib.parse
import urllib.request


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def leaf_hash(data):
    return sha256(b"\0", data)


def node_hash(left, right):
    return sha256(b"\1", left, right)


def tree_root(leaves):
    """RFC 6962, section 2.1, as it is defined: by recursion."""
    if not leaves:
        return sha256()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(tree_root(leaves[:split]), tree_root(leaves[split:]))


def root_of_proof(index, size, leaf, path):
    """RFC 9162, section 2.1.3.2."""
    node, last, result = index, size - 1, leaf
    for hash_beside in path:
        assert last > 0, "the path is too long"
        if node & 1 or node == last:
            result = node_hash(hash_beside, result)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            result = node_hash(result, hash_beside)
        node, last = node >> 1, last >> 1
    assert last == 0, "the path is too short"
    return result


def roots_of_consistency(first, second, first_root, path):
    """RFC 9162, section 2.1.4.2: the two roots that the proof leads to."""
    if first == second:
        assert not path
        return first_root, first_root
    path = list(path)
    if first & (first - 1) == 0:
        path.insert(0, first_root)
    node, last = first - 1, second - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    earlier = later = path[0]
    for beside in path[1:]:
        assert last > 0, "the proof is too long"
        if node & 1 or node == last:
            earlier, later = node_hash(beside, earlier), node_hash(beside, later)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            later = node_hash(later, beside)
        node, last = node >> 1, last >> 1
    assert last == 0, "the proof is too short"
    return earlier, later


# Ed25519, as in RFC 8032, section 6.
P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(a, b):
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    x, y, z, t = f - e, h - g, h + g, f + e
    return (x * y % P, z * t % P, y * z % P, x * t % P)


def times(number, point):
    result = (0, 1, 1, 0)
    while number:
        if number & 1:
            result = add(result, point)
        point, number = add(point, point), number >> 1
    return result


def decompress(encoded):
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    assert y < P and (x * x - square) % P == 0 and not (x == 0 and sign), "not a point"
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = decompress(BASE_Y.to_bytes(32, "little"))


def is_signed(public, message, signature):
    r, s = decompress(signature[:32]), int.from_bytes(signature[32:], "little")
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % Q
    left, right = times(s, BASE), add(r, times(h, decompress(public)))
    same = lambda at: (left[at] * right[2] - right[at] * left[2]) % P == 0
    return s < Q and same(0) and same(1)


def read_checkpoint(note, key):
    """Returns the size and the root of a signed note. `key` is name+id+base64."""
    text, signatures = note.split("\n\n", 1)
    text += "\n"
    name, key_id, encoded = key.strip().split("+", 2)
    public = base64.b64decode(encoded)
    assert public[0] == 1 and len(public) == 33, "not an Ed25519 key"
    assert sha256(name.encode(), b"\n", public)[:4].hex() == key_id, "the key's id is wrong"
    signed = False
    for line in signatures.splitlines():
        dash, signer, signature = line.split(" ")
        signature = base64.b64decode(signature)
        if dash == "—" and signer == name and signature[:4].hex() == key_id:
            assert is_signed(public[1:], text.encode(), signature[4:]), "the signature is wrong"
            signed = True
    assert signed, "the checkpoint is not signed by the key"
    origin, size, root = text.splitlines()[:3]
    assert origin == name, "the checkpoint is that of another log"
    return int(size), base64.b64decode(root)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--key")
    parser.add_argument("--checkpoint")
    parser.add_argument("--token")
    parser.add_argument("ids", nargs="*")
    asked = parser.parse_intermixed_args()

    def get(path):
        headers = {"Authorization": f"Bearer {asked.token}"} if asked.token else {}
        with urllib.request.urlopen(urllib.request.Request(asked.url + path, headers=headers)) as answer:
            return answer.read()

    def tile(kind, number, width):
        parts = [f"{number % 1000:03}"]
        while number := number // 1000:
            parts.insert(0, f"x{number % 1000:03}")
        return get(f"/log/tile/{kind}/{'/'.join(parts)}{'' if width == 256 else f'.p/{width}'}")

    key = asked.key or get("/log/key").decode()
    size, root = read_checkpoint(get("/log/checkpoint").decode(), key)

    # Every entry, and the root over their hashes.
    entries = []
    for number in range((size + 255) // 256):
        bundle = tile("entries", number, min(256, size - 256 * number))
        while bundle:
            length = int.from_bytes(bundle[:2], "big")
            entries.append(bundle[2 : 2 + length])
            bundle = bundle[2 + length :]
    assert len(entries) == size, (len(entries), size)
    assert tree_root([leaf_hash(entry) for entry in entries]) == root, "the entries have another root"
    numbers = {"event": 0, "record": 0}
    for entry in map(json.loads, entries):
        kind = "event" if "event" in entry else "record"
        numbers[kind] += 1
        assert entry[kind] == numbers[kind], "an entry is missing"

    # Every hash tile, level by level.
    level, width, hashes = 0, size, [leaf_hash(entry) for entry in entries]
    while width:
        told = b"".join(tile(level, n, min(256, width - 256 * n)) for n in range((width + 255) // 256))
        assert told == b"".join(hashes[:width]), f"the tiles of level {level} differ"
        width //= 256
        hashes = [tree_root(hashes[256 * n : 256 * n + 256]) for n in range(width)]
        level += 1

    leaves = 0
    for signal in asked.ids:
        proof = json.loads(get(f"/api/signals/{urllib.parse.quote(signal, safe='')}/proof"))
        size_then, root_then = read_checkpoint(proof["checkpoint"], key)
        assert proof["leaves"], "nothing is proven"
        for leaf in proof["leaves"]:
            data = leaf["data"].encode()
            assert json.loads(data)["id"] == signal and data == entries[leaf["index"]], "another entry"
            path = [base64.b64decode(beside) for beside in leaf["path"]]
            found = root_of_proof(leaf["index"], size_then, leaf_hash(data), path)
            assert found == root_then and leaf_hash(data) == base64.b64decode(leaf["hash"]), "the proof is wrong"
            leaves += 1

    earlier = 0
    if asked.checkpoint:
        earlier, earlier_root = read_checkpoint(open(asked.checkpoint, encoding="utf-8").read(), key)
        assert earlier <= size, "the end of the log was cut off"
        assert tree_root([leaf_hash(entry) for entry in entries[:earlier]]) == earlier_root, "the history was rewritten"
        proof = json.loads(get(f"/api/log/consistency?from={earlier}&to={size}"))
        path = [base64.b64decode(beside) for beside in proof["hashes"]]
        assert roots_of_consistency(earlier, size, earlier_root, path) == (earlier_root, root), "the log was forked"
    print(json.dumps({"size": size, "root": base64.b64encode(root).decode(), "levels": level, "leaves": leaves, "earlier": earlier}))


main()
