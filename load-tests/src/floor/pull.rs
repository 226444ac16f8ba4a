//! The least a pull of many small files can take: reading one sealed object for each content, checking it against its name,
//! opening it, and writing files of the same names into directories of the same names, on all cores and nothing else.
//!
//! What it leaves out is what n2s promises beyond that: no catalog to ask, no modes, owners and times, and no rename, so that a
//! file which a dying pull leaves behind may be half of one.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use n2s_domain::{ContentHash, SeededEntropy};
use n2s_envelope::{Expect, Metadata, Opener, Sealer, Vault, content_hash, sealed_hash};

use super::cores;

/// A directory's files: where they go, and what is in them.
type Directory = Vec<(PathBuf, ContentHash)>;
type Objects = BTreeMap<ContentHash, PathBuf>;

/// Seals the files below `root` to objects in `dir`, which it makes; `rest`s; seconds from these objects to files.
pub fn measure(root: &Path, dir: &Path, rest: fn()) -> Result<f64> {
    fs::create_dir(dir)?;
    let (vault, back) = (Vault::create(&SeededEntropy::new(1)), dir.join("back"));
    let (directories, objects) = seal(root, (dir, &back), &vault)?;
    rest();
    let started = Instant::now();
    pull(&directories, &objects, &vault)?;
    let seconds = started.elapsed().as_secs_f64();
    Ok(seconds)
}

fn seal(root: &Path, (dir, back): (&Path, &Path), vault: &Vault) -> Result<(Vec<Directory>, Objects)> {
    let sealer = vault.sealer().context("a new vault has an epoch")?;
    for fan in 0..=u8::MAX {
        fs::create_dir(dir.join(format!("{fan:02x}")))?;
    }
    let (mut directories, mut objects) = (Vec::new(), Objects::new());
    let mut open = vec![root.to_owned()];
    while let Some(from) = open.pop() {
        let to = back.join(from.strip_prefix(root)?);
        let mut directory = Directory::new();
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else {
                let content = seal_one(&entry.path(), dir, &sealer, &mut objects)?;
                directory.push((to.join(entry.file_name()), content));
            }
        }
        if !directory.is_empty() {
            directories.push(directory);
        }
    }
    Ok((directories, objects))
}

fn seal_one(file: &Path, dir: &Path, sealer: &Sealer, objects: &mut Objects) -> Result<ContentHash> {
    let bytes = fs::read(file)?;
    let content = content_hash(&bytes);
    if let Entry::Vacant(free) = objects.entry(content) {
        let sealed = sealer.seal(&Metadata::blob("load".parse()?, "floor".parse()?), &bytes)?;
        let name = sealed.sealed_hash.to_hex();
        let object = dir.join(&name[..2]).join(&name[2..]);
        fs::write(&object, &sealed.bytes)?;
        free.insert(object);
    }
    Ok(content)
}

/// A directory at a time on each core: threads that make files in one directory wait for each other.
fn pull(directories: &[Directory], objects: &Objects, vault: &Vault) -> Result<()> {
    let (opener, next) = (vault.opener(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let write = || -> Result<()> {
            while let Some(directory) = directories.get(next.fetch_add(1, Ordering::Relaxed)) {
                write_all(directory, objects, &opener)?;
            }
            Ok(())
        };
        let threads: Vec<_> = (0..cores()).map(|_| scope.spawn(write)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("opening does not panic"))
    })
}

fn write_all(directory: &Directory, objects: &Objects, opener: &Opener) -> Result<()> {
    if let Some(parent) = directory.first().and_then(|(file, _)| file.parent()) {
        fs::create_dir_all(parent)?;
    }
    // Doubles mostly lie beside each other.
    let mut last = None;
    for (file, content) in directory {
        let payload = match last.take().filter(|(known, _)| known == content) {
            Some((_, payload)) => payload,
            None => open(&objects[content], *content, opener)?,
        };
        fs::write(file, &payload)?;
        last = Some((*content, payload));
    }
    Ok(())
}

fn open(object: &Path, content: ContentHash, opener: &Opener) -> Result<impl AsRef<[u8]> + use<>> {
    let sealed = fs::read(object)?;
    let name = sealed_hash(&sealed).to_hex();
    ensure!(
        object.ends_with(format!("{}/{}", &name[..2], &name[2..])),
        "the floor reads other bytes than it wrote"
    );
    Ok(opener.open(&sealed, &Expect::Blob(content))?.payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_comes_back_from_one_object_for_each_content() {
        let dir = tempfile::tempdir().unwrap();
        let (root, store) = (dir.path().join("root"), dir.path().join("store"));
        fs::create_dir_all(root.join("one/below")).unwrap();
        let names = ["top", "one/a", "one/b", "one/below/c"];
        for (name, text) in names.iter().zip(["x", "same", "same", "other"]) {
            fs::write(root.join(name), text).unwrap();
        }
        fs::create_dir(&store).unwrap();
        let (vault, back) = (Vault::create(&SeededEntropy::new(1)), store.join("back"));
        let (directories, objects) = seal(&root, (&store, &back), &vault).unwrap();
        assert_eq!((directories.len(), objects.len()), (3, 3));
        pull(&directories, &objects, &vault).unwrap();
        for name in names {
            assert_eq!(fs::read(back.join(name)).unwrap(), fs::read(root.join(name)).unwrap());
        }
    }
}
