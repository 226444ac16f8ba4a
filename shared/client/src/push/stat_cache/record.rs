//! One path of the cache as bytes.

use std::io::{self, Read};

use n2s_domain::{ChunkRef, Content, ContentHash, FileEntry, FileMeta, FileTime, RelPath};

use super::Seen;
use crate::tree::Identity;

pub(super) fn encode(seen: &Seen) -> Vec<u8> {
    let FileEntry { path, meta, content, link_group } = &seen.entry;
    let mut out = Vec::with_capacity(path.as_bytes().len() + 128);
    bytes_into(&mut out, path.as_bytes());
    out.extend_from_slice(&meta.mode.to_le_bytes());
    out.extend_from_slice(&meta.uid.to_le_bytes());
    out.extend_from_slice(&meta.gid.to_le_bytes());
    time_into(&mut out, meta.mtime);
    out.extend_from_slice(&link_group.map_or(0, |group| group + 1).to_le_bytes());
    match seen.trusted {
        None => out.push(0),
        Some(identity) => {
            out.push(1);
            out.extend_from_slice(&identity.dev.to_le_bytes());
            out.extend_from_slice(&identity.ino.to_le_bytes());
            time_into(&mut out, identity.ctime);
        }
    }
    match content {
        Content::Directory => out.push(b'd'),
        Content::Symlink { target } => {
            out.push(b'l');
            bytes_into(&mut out, target);
        }
        Content::File { size, hash, chunks } => {
            out.push(b'f');
            out.extend_from_slice(&size.to_le_bytes());
            out.extend_from_slice(hash.as_bytes());
            out.extend_from_slice(&u32::try_from(chunks.len()).unwrap_or(u32::MAX).to_le_bytes());
            for chunk in chunks {
                out.extend_from_slice(chunk.hash.as_bytes());
                out.extend_from_slice(&chunk.offset.to_le_bytes());
                out.extend_from_slice(&chunk.size.to_le_bytes());
            }
        }
    }
    out
}

pub(super) fn decode(from: &mut &[u8]) -> io::Result<Seen> {
    let path = RelPath::new(bytes_of(from)?).map_err(|_| invalid())?;
    let (mode, uid, gid) = (u32_of(from)?, u32_of(from)?, u32_of(from)?);
    let meta = FileMeta { mode, uid, gid, mtime: time_of(from)? };
    let link_group = u64_of(from)?.checked_sub(1);
    let trusted = match array::<1>(from)? {
        [0] => None,
        _ => Some(Identity { dev: u64_of(from)?, ino: u64_of(from)?, ctime: time_of(from)? }),
    };
    let content = match array::<1>(from)? {
        [b'd'] => Content::Directory,
        [b'l'] => Content::Symlink { target: bytes_of(from)? },
        [b'f'] => {
            let (size, hash) = (u64_of(from)?, ContentHash(array(from)?));
            let chunks = (0..u32_of(from)?).map(|_| chunk_of(from)).collect::<io::Result<_>>()?;
            Content::File { size, hash, chunks }
        }
        _ => return Err(invalid()),
    };
    Ok(Seen { entry: FileEntry { path, meta, content, link_group }, trusted })
}

fn chunk_of(from: &mut &[u8]) -> io::Result<ChunkRef> {
    Ok(ChunkRef { hash: ContentHash(array(from)?), offset: u64_of(from)?, size: u32_of(from)? })
}

pub(super) fn bytes_into(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn time_into(out: &mut Vec<u8>, time: FileTime) {
    out.extend_from_slice(&time.secs.to_le_bytes());
    out.extend_from_slice(&time.nanos.to_le_bytes());
}

pub(super) fn bytes_of(from: &mut &[u8]) -> io::Result<Vec<u8>> {
    let length = u32_of(from)? as usize;
    let (bytes, rest) = from.split_at_checked(length).ok_or_else(invalid)?;
    *from = rest;
    Ok(bytes.to_vec())
}

fn time_of(from: &mut &[u8]) -> io::Result<FileTime> {
    Ok(FileTime { secs: i64::from_le_bytes(array(from)?), nanos: u32_of(from)? })
}

pub(super) fn u32_of(from: &mut impl Read) -> io::Result<u32> {
    array(from).map(u32::from_le_bytes)
}

pub(super) fn u64_of(from: &mut impl Read) -> io::Result<u64> {
    array(from).map(u64::from_le_bytes)
}

pub(super) fn array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}
