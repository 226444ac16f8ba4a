#!/usr/bin/env python3
"""Lists a tree so that two listings are equal when, and only when, the trees are.

    list_tree.py DIR [--no-owners] [--no-directory-times]

One JSON object per path and line, sorted by path bytes: path and link target in hex, kind, mode, owner, mtime in nanoseconds, size,
SHA-256 of the contents, and for hard links the members of the group. The first line is DIR itself. Inode numbers and atime
are not listed: no restore can keep them. Written apart from n2s, and with another hash, so that they cannot be wrong together.
Exits 1 when something could not be read; it is listed with "error".
"""

import argparse
import hashlib
import json
import os
import stat
import sys

KINDS = {
    stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link", stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device", stat.S_IFBLK: "block device",
}


def digest(name, parent):
    """SHA-256 of a file; holes are skipped over by the file system, not by us, so that a hole equals its zeros."""
    total = hashlib.sha256()
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=parent)
    with os.fdopen(fd, "rb", buffering=0) as file:
        while chunk := file.read(1 << 22):
            total.update(chunk)
    return total.hexdigest()


class Listing:
    def __init__(self, owners, directory_times):
        self.owners, self.directory_times = owners, directory_times
        self.rows, self.groups, self.errors = [], {}, 0

    def row(self, path, info):
        kind = KINDS[stat.S_IFMT(info.st_mode)]
        row = {"path": path.hex(), "text": path.decode("utf-8", "backslashreplace"), "kind": kind}
        # The mode of a link means nothing and cannot be set on Linux.
        if kind != "link":
            row["mode"] = f"{stat.S_IMODE(info.st_mode):04o}"
        if self.owners:
            row["uid"], row["gid"] = info.st_uid, info.st_gid
        if kind != "directory" or self.directory_times:
            row["mtime_ns"] = info.st_mtime_ns
        self.rows.append(row)
        return row, kind

    def failed(self, row, error):
        row["error"] = error.strerror
        self.errors += 1

    def entry(self, name, parent, path):
        """Lists one entry; returns an open descriptor when it is a directory that can be read."""
        info = os.stat(name, dir_fd=parent, follow_symlinks=False)
        row, kind = self.row(path, info)
        if kind != "directory" and info.st_nlink > 1:
            self.groups.setdefault((info.st_dev, info.st_ino), []).append(row)
        try:
            if kind == "file":
                row["size"], row["sha256"] = info.st_size, digest(name, parent)
            elif kind == "link":
                row["target"] = os.readlink(name, dir_fd=parent).hex()
            elif kind == "directory":
                return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        except OSError as error:
            self.failed(row, error)
        return None

    def walk(self, top):
        """Depth first with a stack of open directories: as many as the tree is deep, whatever its paths' length."""
        self.row(b"", os.fstat(top))
        stack = [(b"", top, self.names(top))]
        while stack:
            path, fd, names = stack[-1]
            if not names:
                os.close(fd)
                stack.pop()
                continue
            name = names.pop()
            below = path + b"/" + name if path else name
            opened = self.entry(name, fd, below)
            if opened is not None:
                stack.append((below, opened, self.names(opened)))

    @staticmethod
    def names(fd):
        return [os.fsencode(name) for name in os.listdir(fd)]

    def finish(self):
        for rows in self.groups.values():
            # A group with members outside the tree counts by those inside.
            if len(rows) > 1:
                members = sorted(row["path"] for row in rows)
                for row in rows:
                    row["group"] = members
        return sorted(self.rows, key=lambda row: bytes.fromhex(row["path"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir")
    parser.add_argument("--no-owners", action="store_true", help="for a restore by somebody who is not root")
    parser.add_argument("--no-directory-times", action="store_true", help="for tools that do not keep them")
    options = parser.parse_args()
    listing = Listing(not options.no_owners, not options.no_directory_times)
    listing.walk(os.open(options.dir, os.O_RDONLY | os.O_DIRECTORY))
    for row in listing.finish():
        print(json.dumps(row, sort_keys=True))
    sys.exit(1 if listing.errors else 0)


if __name__ == "__main__":
    main()
