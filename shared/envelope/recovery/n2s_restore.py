#!/usr/bin/env python3
"""Restores a version from a store's directory and the root alone, without n2s.

    n2s_restore.py --root FILE --store DIR --project P --dataset D [--version N] --target DIR

The store is a directory, or a download of a bucket with the same layout. Files that cannot be restored are named at the end
(exit 1); everything else is there by then. Needs n2s_open.py beside it.
"""
import argparse
import os
import re
import stat
import struct
import sys

import blake3
import json

from n2s_open import Unreadable, Vault, derive, key_arguments, load_vault, read_object


# What a damaged or hostile manifest can bring about; the rest of it is restored all the same.
WRONG = (Unreadable, OSError, ValueError, KeyError, TypeError, OverflowError)


class Store:
    """The layout of a store."""

    def __init__(self, root, vault):
        self.root, self.vault, self.replaced, self.sealed = root, vault, {}, {}

    def archive(self, project, dataset):
        names = b"".join(struct.pack("<Q", len(name.encode())) + name.encode() for name in (project, dataset))
        key = blake3.blake3(names, key=derive("n2s v1 dataset naming", self.vault.root)).hexdigest()
        return os.path.join(self.root, "archives", key)

    def manifest(self, archive, version, expected):
        """The body of a version, after header and body were found to be the ones asked for."""
        place = os.path.join(archive, str(version))
        metadata, header = self.vault.open(read_object(os.path.join(place, "manifest-header.json")))
        for name, value in {**expected, "version": version, "kind": "manifest-header"}.items():
            if metadata[name] != value:
                raise Unreadable(f"the header is of {name} {metadata[name]}, not {value}: the store swapped it")
        digest = json.loads(header)["body"]["sealed_hash"]
        body = read_object(os.path.join(place, "manifest-body.json"), digest)
        return json.loads(self.vault.open(body)[1])

    def blob(self, sealed, content):
        """The payload, from the sealing that is named or from one that took its place; replacements may run in a circle."""
        tried, failure = set(), None
        while sealed and sealed not in tried:
            tried.add(sealed)
            try:
                metadata, payload = self.vault.open(read_object(os.path.join(self.root, "blobs", sealed[:2], sealed[2:])))
                if metadata["content_hash"] != content:
                    raise Unreadable("the object holds another content than was asked for")
                return payload
            except (Unreadable, OSError) as error:
                failure = failure or error
                sealed = self.replaced.get(sealed)
        raise failure

    def lines(self, body, kind):
        """JSON lines of a list, base first, so that later ones win."""
        groups = sorted((g for g in body["groups"] if g["kind"] == kind), key=lambda g: g["since"])
        for segment in (segment for group in groups for segment in group["segments"]):
            for line in self.blob(segment["sealed_hash"], segment["content_hash"]).splitlines():
                yield json.loads(line)

    def content(self, hash_):
        if hash_ not in self.sealed:
            raise Unreadable(f"the manifest does not say where content {hash_} lies")
        return self.blob(self.sealed[hash_], hash_)


def unescape(text):
    """The bytes that a path or link target stands for."""
    def plain(part):
        if "\\" in part:
            raise Unreadable(f"{text!r} has a backslash that begins no escape")
        return part.encode()
    parts = re.split(r"\\x([0-9a-f]{2})", text)
    return b"".join(bytes.fromhex(part) if odd % 2 else plain(part) for odd, part in enumerate(parts))


def safe(path):
    """A path that stays below the target, whatever a manifest says."""
    if path and any(part in (b"", b".", b"..") for part in path.split(b"/")) or b"\0" in path:
        raise Unreadable("the path would lead out of the target")
    return path


class Target:
    """The directory to write to; every step is taken without following links."""

    def __init__(self, root):
        os.makedirs(root, exist_ok=True)
        if os.listdir(root):
            raise Unreadable(f"the target {root} is not empty")
        self.root, self.linked = os.open(root, os.O_DIRECTORY), {}

    def parent(self, path):
        """An open directory and the last name. Directories come before what they hold, so none is made here."""
        here = os.dup(self.root)
        parts = path.split(b"/")
        for part in parts[:-1]:
            below = os.open(part, os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = below
        return here, parts[-1]

    def put(self, path, entry, store):
        here, name = self.parent(path)
        # Names of one file that also agree in everything else.
        same = ("group", "kind", "hash", "target", "mode", "uid", "gid")
        group = (*(entry.get(name) for name in same), tuple(entry["mtime"]))
        try:
            if group[0] is not None and group in self.linked:
                there, first = self.parent(self.linked[group])
                os.link(first, name, src_dir_fd=there, dst_dir_fd=here, follow_symlinks=False)
                return os.close(there)
            if entry["kind"] == "d":
                if path:
                    os.mkdir(name, 0o700, dir_fd=here)
                return None
            if entry["kind"] == "l":
                os.symlink(unescape(entry["target"]), name, dir_fd=here)
            else:
                self.write(here, name, entry, store)
            self.linked[group] = path
            self.describe(here, name, entry)
        finally:
            os.close(here)

    def write(self, here, name, entry, store):
        pieces = entry.get("chunks") or ([[entry["hash"], 0, entry["size"]]] if entry["size"] else [])
        whole = blake3.blake3()
        with os.fdopen(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=here), "wb") as file:
            for hash_, offset, size in pieces:
                payload = store.content(hash_)
                if len(payload) != size or file.tell() != offset:
                    raise Unreadable("its pieces do not fit together")
                whole.update(payload)
                if payload.count(0) == size:
                    file.seek(size, os.SEEK_CUR)
                else:
                    file.write(payload)
            file.truncate(entry["size"])
        if whole.hexdigest() != entry["hash"]:
            raise Unreadable("the whole file has another hash than the manifest says")

    def describe(self, here, name, entry):
        name, follow = name or b".", entry["kind"] != "l"
        if os.geteuid() == 0:
            os.chown(name, entry["uid"], entry["gid"], dir_fd=here, follow_symlinks=False)
        if follow:
            os.chmod(name, stat.S_IMODE(entry["mode"]), dir_fd=here)
        when = entry["mtime"][0] * 10**9 + entry["mtime"][1]
        os.utime(name, ns=(when, when), dir_fd=here, follow_symlinks=follow)


def restore(store, args):
    archive = store.archive(args.project, args.dataset)
    if not os.path.isdir(archive):
        raise Unreadable(f"the store has nothing of {args.project}/{args.dataset}")
    complete = [int(v) for v in os.listdir(archive)
                if v.isdigit() and os.path.exists(os.path.join(archive, v, "manifest-header.json"))]
    version = args.version or max(complete, default=0)
    if version not in complete:
        raise Unreadable(f"version {version or 'any'} is not whole on this store; it has {sorted(complete)}")
    expected = {"project": args.project, "dataset": args.dataset}
    body = store.manifest(archive, version, expected)
    store.replaced = {pair["old"]: pair["new"] for pair in body.get("replaced", [])}
    # Later versions know which lost sealings were replaced since; this one comes back without them, too.
    for later in sorted(v for v in complete if v > version):
        try:
            pairs = store.manifest(archive, later, expected).get("replaced", [])
            store.replaced |= {pair["old"]: pair["new"] for pair in pairs}
        except (Unreadable, OSError) as error:
            print(f"n2s_restore: went on without version {later}: {error}", file=sys.stderr)
    store.sealed = {line["content_hash"]: line["sealed_hash"] for line in store.lines(body, "map")}
    tree, failed = {}, 0
    for line in store.lines(body, "list"):
        try:
            tree[unescape(line["path"])] = None if line.get("removed") else line["entry"]
        except WRONG as error:
            failed += 1
            print(f"n2s_restore: a line of the list: {error}", file=sys.stderr)
    target, restored, dirs = Target(args.target), 0, []
    for path, entry in sorted((path, entry) for path, entry in tree.items() if entry):
        try:
            target.put(safe(path), entry, store)
            restored += 1
            if entry["kind"] == "d":
                dirs.append((path, entry))
        except WRONG as error:
            failed += 1
            print(f"n2s_restore: {os.fsdecode(path)}: {error}", file=sys.stderr)
    # Only those made here: on a disk that folds case, a link may stand where another was refused.
    for path, entry in reversed(dirs):
        try:
            here, name = target.parent(path)
            target.describe(here, name, entry)
            os.close(here)
        except WRONG as error:
            failed += 1
            print(f"n2s_restore: {os.fsdecode(path)}: {error}", file=sys.stderr)
    print(f"version {version}: {restored} paths restored, {failed} not", file=sys.stderr)
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description="Restores a version of a dataset from a store's directory.")
    key_arguments(parser)
    for name in ("store", "project", "dataset", "target"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--version", type=int)
    args = parser.parse_args()
    return restore(Store(args.store, load_vault(args)), args)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Unreadable, OSError, ValueError, KeyError) as error:
        sys.exit(f"n2s_restore: {error}")
