#!/usr/bin/env python3
"""Opens what n2s sealed, without n2s: PyNaCl, blake3 and zstandard are all it needs.

    n2s_open.py --vault FILE SEALED > PLAIN            with the vault file
    n2s_open.py --root FILE --store DIR SEALED > PLAIN with the printed root and the keys/ of the store itself

--metadata prints what the object says of itself instead. FORMAT.md beside this directory describes every byte.
"""
import argparse
import base64
import json
import os
import re
import struct
import sys

import blake3
import zstandard
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as aead_open
from nacl.exceptions import CryptoError

HEADER = 4 + 1 + 1 + 8 + 4 + 24
PAYLOAD_MAX = 16 * 1024 * 1024


class Unreadable(Exception):
    """What is wrong, in words."""


def derive(context, key):
    return blake3.blake3(key, derive_key_context=context).digest()


def keyed(key, message):
    return blake3.blake3(message, key=key).digest()


def unseal(magic, key_of, data):
    """Header fields and plaintext of a sealed object or a key object: both look alike."""
    if len(data) < HEADER + 16 or data[:4] != magic:
        raise Unreadable(f"it does not begin with {magic.decode()}, or is cut short")
    if data[4:6] != b"\x01\x01":
        raise Unreadable(f"format {data[4]} suite {data[5]} is not known to this script")
    vault, (epoch,) = data[6:14], struct.unpack("<I", data[14:18])
    key = key_of(vault, epoch)
    try:
        return epoch, aead_open(data[HEADER:], data[:HEADER], data[18:HEADER], key)
    except CryptoError:
        raise Unreadable("it does not authenticate: it was changed, or another key sealed it") from None


class Vault:
    """A root, and the secrets of the epochs that are known so far."""

    def __init__(self, root):
        self.root = root
        self.id = derive("n2s v1 vault id", root)[:8]
        self.secrets = {}

    @classmethod
    def from_root_text(cls, text):
        code = re.sub(r"[\s-]", "", text).upper()
        try:
            raw = base64.b32decode(code.removeprefix("N2S1") + "======")
        except ValueError:
            raw = b""
        if not code.startswith("N2S1") or len(raw) != 36:
            raise Unreadable("this is not a root as n2s prints it: N2S1 and 58 characters A-Z, 2-7")
        if derive("n2s v1 root checksum", raw[:32])[:4] != raw[32:]:
            raise Unreadable("the root's checksum does not fit: a character is wrong")
        return cls(raw[:32])

    @classmethod
    def from_file(cls, path):
        with open(path, "rb") as file:
            text = file.read()
        body = text[: text.rfind(b"end ")]
        if text[len(body):] != b"end " + blake3.blake3(body).hexdigest()[:16].encode() + b"\n":
            raise Unreadable(f"the vault {path} is damaged or cut short; use your backup of it, or the printed root")
        lines = body.decode().splitlines()
        if lines[0] != "n2s vault 1":
            raise Unreadable(f"{path} is not a vault of version 1")
        vault = cls.from_root_text(lines[1].removeprefix("root "))
        for line in lines[2:]:
            vault.add_key(bytes.fromhex(line.removeprefix("epoch ")))
        return vault

    def check_id(self, found):
        if found != self.id:
            raise Unreadable(f"it belongs to vault {found.hex()}, this is vault {self.id.hex()}")

    def add_key(self, data):
        """Takes an epoch's secret from its key object."""
        def wrapping(vault, _epoch):
            self.check_id(vault)
            return derive("n2s v1 epoch wrapping", self.root)
        epoch, secret = unseal(b"N2SK", wrapping, data)
        if len(secret) != 32:
            raise Unreadable("a key object has another length")
        if self.secrets.setdefault(epoch, secret) != secret:
            raise Unreadable(f"another secret is known for epoch {epoch}")

    def add_store(self, store):
        """Takes every key object that a store holds. One that is damaged costs the objects of its own epoch, no others."""
        keys = os.path.join(store, "keys")
        for name in sorted(os.listdir(keys)):
            try:
                with open(os.path.join(keys, name), "rb") as file:
                    self.add_key(file.read())
            except (Unreadable, OSError) as error:
                print(f"n2s_open: left out the key {keys}/{name}: {error}", file=sys.stderr)

    def open(self, data):
        """Metadata and payload of a sealed object, both verified."""
        def sealing(vault, epoch):
            self.check_id(vault)
            if epoch not in self.secrets:
                raise Unreadable(f"the key of epoch {epoch} is missing; give --store DIR, which holds keys/{epoch}")
            return derive("n2s v1 sealing", self.secrets[epoch])
        _epoch, plain = unseal(b"N2SB", sealing, data)
        (length,) = struct.unpack("<I", plain[:4])
        metadata = json.loads(plain[4 : 4 + length])
        payload = plain[4 + length : len(plain) - metadata.get("padding", 0)]
        if metadata["size"] > PAYLOAD_MAX:
            raise Unreadable("its size is more than n2s seals in one object")
        if metadata["compression"] == "zstd":
            payload = zstandard.ZstdDecompressor().decompress(payload, max_output_size=metadata["size"])
        elif metadata["compression"] != "none":
            raise Unreadable(f"compression {metadata['compression']!r} is not known to this script")
        if len(payload) != metadata["size"] or blake3.blake3(payload).hexdigest() != metadata["content_hash"]:
            raise Unreadable("its content is not what its metadata says")
        return metadata, payload


def read_object(path, wanted=None):
    """A stored object; one that is named by its bytes must have that name."""
    with open(path, "rb") as file:
        data = file.read()
    name = re.search(r"blobs/([0-9a-f]{2})/([0-9a-f]{62})$", os.path.abspath(path))
    wanted = wanted or (name and name[1] + name[2])
    if wanted and blake3.blake3(data).hexdigest() != wanted:
        raise Unreadable("its bytes are not those it is named for: the copy is damaged or was swapped")
    return data


def load_vault(args):
    if args.vault:
        vault = Vault.from_file(args.vault)
    else:
        with (sys.stdin if args.root == "-" else open(args.root, encoding="ascii")) as file:
            vault = Vault.from_root_text(file.read())
    if args.store:
        vault.add_store(args.store)
    return vault


def key_arguments(parser):
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--vault", help="the vault file")
    which.add_argument("--root", help="a file with the printed root, or - for standard input")


def main():
    parser = argparse.ArgumentParser(description="Opens an object that n2s sealed.")
    key_arguments(parser)
    parser.add_argument("--store", help="a store's directory, whose keys/ hold the epochs")
    parser.add_argument("--metadata", action="store_true", help="print the metadata instead of the payload")
    parser.add_argument("sealed")
    args = parser.parse_args()
    metadata, payload = load_vault(args).open(read_object(args.sealed))
    sys.stdout.buffer.write(json.dumps(metadata, indent=2).encode() + b"\n" if args.metadata else payload)


if __name__ == "__main__":
    try:
        main()
    except (Unreadable, OSError, zstandard.ZstdError, ValueError, KeyError) as error:
        sys.exit(f"n2s_open: {sys.argv[-1]}: {error}")
