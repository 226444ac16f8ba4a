#!/usr/bin/env python3
"""Makes a tree of everything a Unix tree can hold, the same one each time.

    make_tree.py DIR [--seed N] [--root-owned] [--sparse] [--special] [--unreadable]

DIR must not exist. Every call is relative to an open directory, because some paths are too long for the kernel to take whole.
Needs only Python. Later additions go at the end of main(), so that the same seed keeps giving the same tree.
"""

import argparse
import os
import random
import socket
import stat
import sys

GIB = 1 << 30


class Tree:
    """An open directory, and what is made in it."""

    def __init__(self, fd):
        self.fd = fd

    def directory(self, name, mode=0o755):
        os.mkdir(name, mode, dir_fd=self.fd)
        os.chmod(name, mode, dir_fd=self.fd)
        return Tree(os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self.fd))

    def file(self, name, data=b"", mode=0o644):
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode, dir_fd=self.fd)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)

    def sparse(self, name, size, islands):
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=self.fd)
        os.ftruncate(fd, size)
        for offset, data in islands:
            os.pwrite(fd, data, offset)
        os.close(fd)

    def link(self, target, name):
        os.symlink(target, name, dir_fd=self.fd)

    def hard_link(self, name, other, into=None):
        os.link(name, other, src_dir_fd=self.fd, dst_dir_fd=(into or self).fd, follow_symlinks=False)

    def times(self, name, ns):
        os.utime(name, ns=(ns, ns), dir_fd=self.fd, follow_symlinks=False)

    def close(self):
        os.close(self.fd)


def names(top):
    """Names of any bytes: whatever is not '/' or NUL is a name."""
    here = top.directory(b"names")
    for number, name in enumerate(
        [
            b"latin-1 \xe9t\xe9", b"\xff\xfe\xfd", b"half \xc3", b"overlong \xc0\xaf", b"surrogate \xed\xa0\x80",
            b"line\nbreak", b"carriage\rreturn", b"\n", b"tab\tand\x01control\x7f", b" ", b" blank ", b"-rf", b"--", b"...",
            b"~", b"$HOME", b"*?[a]", b"back\\slash", b"\\xff", b"%2F", b'quote"\'`', b"#hash", b"a:b|c<d>", b"con.txt",
            "übergröße".encode(), "日本語".encode(), "🦀".encode(), "\u202egnp.exe".encode(), "Ａ".encode(),
        ]
    ):
        here.file(name, b"named %d\n" % number)
    # One text in two normal forms is two names, and so is one in two cases.
    here.file("Éléonore".encode(), b"composed\n")
    here.file("E\u0301le\u0301onore".encode(), b"decomposed\n")
    here.file(b"CASE", b"upper\n")
    here.file(b"case", b"lower\n")
    # The longest names, and a character that would be cut in two at 255 bytes.
    here.file(b"n" * 255, b"255\n")
    here.file("é".encode() * 127 + b"x", b"255, two bytes each\n")
    here.directory(b"d" * 255).file(b"f" * 255, b"510\n")
    # Byte order of whole paths is not that of names: '!' < '/' < '0'.
    for name in (b"order!", b"order0"):
        here.file(name, name)
    here.directory(b"order").file(b"inside", b"order/\n")
    here.close()


def deep(top, rng):
    """Paths of about 4,000 bytes, random but for NUL and '/'."""
    here = top.directory(b"deep")
    letters = [byte for byte in range(1, 256) if byte != ord("/")]
    for branch in range(3):
        where, length = here, len(b"deep/")
        while length < 4_000:
            name = b"%d" % branch + bytes(rng.choices(letters, k=rng.randint(60, 240)))
            below = where.directory(name)
            length += len(name) + 1
            if where is not here:
                where.close()
            where = below
        where.file(b"bottom", b"at %d bytes\n" % length)
        where.link(b"../" * 40 + b"nowhere", b"link")
        where.close()
    here.close()


def links(top):
    here = top.directory(b"links")
    here.file(b"target", b"target\n")
    here.directory(b"directory").file(b"inside", b"inside\n")
    for name, target in [
        (b"relative", b"target"), (b"to directory", b"directory"), (b"up", b"../links/target"), (b"absolute", b"/etc/passwd"),
        (b"dangling", b"no such \xff thing"), (b"absolute dangling", b"/no/such/thing"), (b"self", b"self"), (b"loop a", b"loop b"),
        (b"loop b", b"loop a"), (b"parent", b".."), (b"root", b"/"), (b"dot", b"."), (b"odd", b"a//b/./c/"), (b"new\nline", b"x\ny"),
        (b"long", b"x/" * 2_000 + b"end"),
    ]:
        here.link(target, name)
    here.close()


def hard_links(top):
    here = top.directory(b"hard links")
    there = here.directory(b"elsewhere")
    here.file(b"first", b"three names\n")
    here.hard_link(b"first", b"second")
    here.hard_link(b"first", b"third", there)
    here.file(b"empty first", b"")
    here.hard_link(b"empty first", b"empty second")
    # The same contents without a link: they must not become one.
    here.file(b"alike", b"three names\n")
    here.link(b"first", b"linked link")
    here.hard_link(b"linked link", b"linked link too")
    there.close()
    here.close()


def contents(top, rng):
    here = top.directory(b"contents")
    here.file(b"empty", b"")
    here.file(b"one byte", b"\0")
    here.file(b"no newline", b"text")
    here.file(b"zeros", bytes(300_000))
    here.file(b"noise", rng.randbytes(1_000_000))
    here.file(b"text", b"".join(b"line %d of a file that compresses well\n" % n for n in range(20_000)))
    # Around the border between one blob and several.
    border = rng.randbytes(16 << 20)
    here.file(b"border - 1", border[:-1])
    here.file(b"border", border)
    here.file(b"border + 1", border + b"!")
    # One blob under two paths, each with its own metadata.
    for name, mode, time in [(b"twice a", 0o600, 1_000_000_000), (b"twice b", 0o755, 2_000_000_001)]:
        here.file(name, b"the same bytes at two places\n", mode)
        here.times(name, time)
    here.directory(b"empty directory").close()
    nest = here.directory(b"only directories")
    nest.directory(b"in").close()
    nest.close()
    here.close()


def modes(top, root_owned):
    here = top.directory(b"modes")
    for mode in (0o400, 0o444, 0o600, 0o640, 0o644, 0o666, 0o700, 0o755, 0o777, 0o4755, 0o2755, 0o1644):
        here.file(b"file %04o" % mode, b"%04o\n" % mode, mode)
    for mode in (0o500, 0o555, 0o700, 0o755, 0o777, 0o1777, 0o2775):
        here.directory(b"directory %04o" % mode, mode).close()
    if root_owned:
        for uid, gid in ((0, 0), (1, 2), (65_534, 65_534), (1_234_567, 7_654_321)):
            name = b"owner %d %d" % (uid, gid)
            here.file(name, name, 0o640)
            os.chown(name, uid, gid, dir_fd=here.fd)
            link = name + b" link"
            here.link(b"anywhere", link)
            os.chown(link, uid, gid, dir_fd=here.fd, follow_symlinks=False)
        # A changed owner clears setuid: the mode comes after the owner.
        here.file(b"owned setuid", b"", 0o644)
        os.chown(b"owned setuid", 1, 1, dir_fd=here.fd)
        os.chmod(b"owned setuid", 0o6755, dir_fd=here.fd)
    here.close()


def times(top):
    here = top.directory(b"times")
    second = 1_000_000_000
    for ns in (0, 1, 999_999_999, second, -1, -second, -second - 1, -86_400 * second + 123_456_789, 1_700_000_000_123_456_789,
               2_147_483_648 * second + 1, -2_147_483_648 * second):
        name = b"mtime %d" % ns
        here.file(name, name)
        here.times(name, ns)
        here.link(b"x", name + b" link")
        here.times(name + b" link", ns)
    here.directory(b"old directory").file(b"inside", b"")
    here.times(b"old directory", -5)
    here.close()


def special(top, root_owned):
    here = top.directory(b"special")
    os.mkfifo(b"fifo", 0o644, dir_fd=here.fd)
    # A socket's path may have 108 bytes: it is made from inside its directory.
    back = os.open(".", os.O_RDONLY)
    os.fchdir(here.fd)
    socket.socket(socket.AF_UNIX).bind("socket")
    os.fchdir(back)
    os.close(back)
    if root_owned:
        try:
            os.mknod(b"device", stat.S_IFCHR | 0o600, os.makedev(1, 3), dir_fd=here.fd)
        except PermissionError:
            print("make_tree: no device: not allowed here", file=sys.stderr)
    here.close()


def unreadable(top):
    here = top.directory(b"unreadable")
    here.file(b"file", b"secret\n", 0o000)
    inside = here.directory(b"directory")
    inside.file(b"inside", b"hidden\n")
    inside.close()
    os.chmod(b"directory", 0o000, dir_fd=here.fd)
    here.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--root-owned", action="store_true", help="other owners and devices: needs root")
    parser.add_argument("--sparse", action="store_true", help="a file of 8 GiB that occupies a few blocks")
    parser.add_argument("--special", action="store_true", help="FIFO, socket, and with --root-owned a device")
    parser.add_argument("--unreadable", action="store_true", help="a file and a directory of mode 0000")
    options = parser.parse_args()
    os.umask(0)
    os.mkdir(options.dir, 0o755)
    top = Tree(os.open(options.dir, os.O_RDONLY | os.O_DIRECTORY))
    rng = random.Random(options.seed)
    names(top)
    deep(top, rng)
    links(top)
    hard_links(top)
    contents(top, rng)
    modes(top, options.root_owned)
    times(top)
    if options.sparse:
        islands = [(0, b"first"), (4 * GIB - 2, b"across"), (8 * GIB - 4, b"last")]
        top.sparse(b"sparse", 8 * GIB, islands)
    if options.special:
        special(top, options.root_owned)
    if options.unreadable:
        unreadable(top)
    top.close()


if __name__ == "__main__":
    main()
