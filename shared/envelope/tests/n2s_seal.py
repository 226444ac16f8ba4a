"""Seals as FORMAT.md says, for tests only: what it makes, the Rust reader must open. Shares no code with n2s_open.py.

    n2s_seal.py VAULT EPOCH COMPRESSION < PLAIN > SEALED      metadata JSON from the environment variable METADATA
"""
import base64
import json
import os
import struct
import sys

import blake3
import zstandard
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt as decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt as encrypt,
)

lines = open(sys.argv[1], encoding="ascii").read().splitlines()
root = base64.b32decode(lines[1].split(" ", 1)[1].replace("-", "")[4:] + "======")[:32]
wrapping = blake3.blake3(root, derive_key_context="n2s v1 epoch wrapping").digest()
epoch = int(sys.argv[2])
for line in lines[2:-1]:
    key = bytes.fromhex(line.split(" ", 1)[1])
    if struct.unpack("<I", key[14:18])[0] == epoch:
        secret = decrypt(key[42:], key[:42], key[18:42], wrapping)

payload = sys.stdin.buffer.read()
body = zstandard.ZstdCompressor().compress(payload) if sys.argv[3] == "zstd" else payload
place = json.loads(os.environ["METADATA"])
for name in ("kind", "content_hash", "size", "compression"):
    place.pop(name, None)
padding = int(os.environ.get("PADDING", "0"))
metadata = {
    "kind": "blob",
    "content_hash": blake3.blake3(payload).hexdigest(),
    "size": len(payload),
    "compression": sys.argv[3],
    **({"padding": padding} if padding else {}),
    **place,
}
text = json.dumps(metadata, separators=(",", ":"), ensure_ascii=False).encode()
plain = struct.pack("<I", len(text)) + text + body + bytes(padding)
nonce_key = blake3.blake3(secret, derive_key_context="n2s v1 nonces").digest()
nonce = blake3.blake3(plain, key=nonce_key).digest()[:24]
vault_id = blake3.blake3(root, derive_key_context="n2s v1 vault id").digest()[:8]
header = b"N2SB\x01\x01" + vault_id + struct.pack("<I", epoch) + nonce
sealing = blake3.blake3(secret, derive_key_context="n2s v1 sealing").digest()
sys.stdout.buffer.write(header + encrypt(plain, header, nonce, sealing))
