#!/usr/bin/env python3
"""Lists a tar archive from standard input as list_tree.py lists the tree that it was made of.

    list_tar.py < ARCHIVE

For paths that no program can unpack, and apart from n2s: the reader is Python's. Exits 1 when the archive has no end marker.
"""

import decimal
import hashlib
import json
import os
import sys
import tarfile

KINDS = {tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "link", tarfile.REGTYPE: "file"}


class Counted:
    """What was read last, to look for the end marker in."""

    def __init__(self, file):
        self.file, self.tail = file, b""

    def read(self, size):
        data = self.file.read(size)
        self.tail = (self.tail + data)[-1024:]
        return data


def nanoseconds(info):
    exact = info.pax_headers.get("mtime", info.mtime)
    return int(decimal.Decimal(exact) * 1_000_000_000)


def main():
    source = Counted(sys.stdin.buffer)
    rows, groups = {}, {}
    with tarfile.open(fileobj=source, mode="r|", encoding="utf-8", errors="surrogateescape") as archive:
        for info in archive:
            path = os.fsencode(info.name)
            path = b"" if path == b"." else path
            row = {"path": path.hex(), "text": path.decode("utf-8", "backslashreplace")}
            if info.type == tarfile.LNKTYPE:
                first = os.fsencode(info.linkname)
                groups.setdefault(first, [first]).append(path)
                rows[path] = rows[first] | row
                continue
            row["kind"] = KINDS[info.type]
            if row["kind"] != "link":
                row["mode"] = f"{info.mode:04o}"
            row["uid"], row["gid"], row["mtime_ns"] = info.uid, info.gid, nanoseconds(info)
            if info.issym():
                row["target"] = os.fsencode(info.linkname).hex()
            elif info.isreg():
                row["size"] = info.size
                row["sha256"] = hashlib.file_digest(archive.extractfile(info), "sha256").hexdigest()
            rows[path] = row
    for members in groups.values():
        for path in members:
            rows[path]["group"] = sorted(member.hex() for member in members)
    for path in sorted(rows):
        print(json.dumps(rows[path], sort_keys=True))
    sys.exit(0 if source.tail == bytes(1024) else 1)


if __name__ == "__main__":
    main()
