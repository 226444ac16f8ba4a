"""Cuts as FORMAT.md says, for tests only: prints the lengths of the first chunks of standard input.

    n2s_cut.py SEED COUNT < FILE
"""
import hashlib
import sys

MIN, AVG, MAX = 1 << 20, 4 << 20, 16 << 20
STRICT, LOOSE = 0xD93777537000, 0xD91767537000
ALL = (1 << 64) - 1

seed = int.from_bytes(bytes.fromhex(sys.argv[1]), "little")
gear = [int.from_bytes(hashlib.md5(bytes([byte]) * 64).digest()[:8], "big") ^ seed for byte in range(256)]
data, start = sys.stdin.buffer.read(), 0


def cut(rest):
    hash_, end = 0, len(rest) - len(rest) % 2
    for at in range(MIN, end):
        hash_ = (hash_ << 1) + gear[rest[at]] & ALL
        if not hash_ & (STRICT if at < AVG else LOOSE):
            return at
    return len(rest)


for _ in range(int(sys.argv[2])):
    length = cut(data[start : start + MAX])
    print(length)
    start += length
