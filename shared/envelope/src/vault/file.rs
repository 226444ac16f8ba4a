//! The vault file: text, mode 0600, with a checksum over all of it.
//!
//! ```text
//! n2s vault 1
//! root N2S1-…
//! epoch <hex of keys/1>
//! end <16 hex digits: BLAKE3 of every byte before this line>
//! ```

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use data_encoding::HEXLOWER;
use n2s_failpoints::{Point, failpoint};
use zeroize::Zeroizing;

use super::{Vault, VaultError};

const FIRST: &str = "n2s vault 1";

impl Vault {
    /// Reads a vault file; refuses one that others can read, or that is cut short or changed in any byte.
    pub fn load(path: &Path) -> Result<Self, VaultError> {
        let io = |source| VaultError::Io { path: path.to_owned(), doing: "read", source };
        let mode = std::fs::metadata(path).map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(VaultError::Exposed { path: path.to_owned(), mode });
        }
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(io)?);
        Self::parse(&text).map_err(|error| match error {
            VaultError::Damaged { what, .. } => VaultError::Damaged { path: path.to_owned(), what },
            other => other,
        })
    }

    fn parse(text: &str) -> Result<Self, VaultError> {
        let damaged = |what| VaultError::Damaged { path: "".into(), what };
        let body = text.rfind("end ").ok_or(damaged("it is cut short"))?;
        if text[body..] != end_line(&text[..body]) {
            return Err(damaged("its checksum does not fit"));
        }
        let mut lines = text[..body].lines();
        if lines.next() != Some(FIRST) {
            return Err(damaged("it does not begin with 'n2s vault 1'"));
        }
        let root =
            lines.next().and_then(|line| line.strip_prefix("root ")).ok_or(damaged("it has no root"))?;
        let mut vault = Self::from_root_text(root)?;
        for line in lines {
            let object = line.strip_prefix("epoch ").and_then(|hex| HEXLOWER.decode(hex.as_bytes()).ok());
            vault.add_wrapped_epoch(&object.ok_or(damaged("a line is not an epoch"))?)?;
        }
        Ok(vault)
    }

    fn text(&self) -> Zeroizing<String> {
        let mut text = format!("{FIRST}\nroot {}\n", self.root_text());
        for (_, object) in self.wrapped_epochs() {
            text.push_str("epoch ");
            HEXLOWER.encode_append(&object, &mut text);
            text.push('\n');
        }
        text.push_str(&end_line(&text));
        Zeroizing::new(text)
    }

    /// Writes a new vault file, durably. Never overwrites one.
    pub fn save_new(&self, path: &Path) -> Result<(), VaultError> {
        self.write(path, false)
    }

    /// Replaces the file of this same vault, after an epoch was added.
    pub fn save(&self, path: &Path) -> Result<(), VaultError> {
        if Self::load(path)?.id != self.id {
            return Err(VaultError::Exists(path.to_owned()));
        }
        self.write(path, true)
    }

    fn write(&self, path: &Path, replace: bool) -> Result<(), VaultError> {
        let io = |source| VaultError::Io { path: path.to_owned(), doing: "written", source };
        let folder = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = File::open(folder).map_err(io)?;
        folder.lock().map_err(io)?;
        // One writer at a time holds the directory's lock: a file of that name is the rest of a crash.
        let temp = path.with_extension("new");
        let _ = std::fs::remove_file(&temp);
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp)?;
            file.set_permissions(Permissions::from_mode(0o600))?;
            file.write_all(self.text().as_bytes())?;
            file.sync_all()?;
            failpoint(Point::VaultWritten);
            if replace {
                std::fs::rename(&temp, path)?;
            } else {
                // A hard link fails where a rename would replace.
                std::fs::hard_link(&temp, path)?;
                std::fs::remove_file(&temp)?;
            }
            failpoint(Point::VaultNamed);
            folder.sync_all()
        })();
        match written {
            Ok(()) => Ok(()),
            Err(error) => {
                // The leftover, if any, is ours; the error that matters is the first.
                let _ = std::fs::remove_file(&temp);
                if error.kind() == io::ErrorKind::AlreadyExists {
                    return Err(VaultError::Exists(path.to_owned()));
                }
                Err(io(error))
            }
        }
    }
}

fn end_line(body: &str) -> String {
    format!("end {}\n", &blake3::hash(body.as_bytes()).to_hex()[..16])
}

#[cfg(test)]
mod tests {
    use n2s_domain::SeededEntropy;

    use super::*;

    #[test]
    fn comes_back_from_its_file_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vault");
        let mut vault = Vault::create(&SeededEntropy::new(1));
        vault.save_new(&path).unwrap();
        assert!(matches!(Vault::create(&SeededEntropy::new(2)).save_new(&path), Err(VaultError::Exists(_))));
        vault.rotate(&SeededEntropy::new(3));
        vault.save(&path).unwrap();
        let again = Vault::load(&path).unwrap();
        assert_eq!((again.id(), again.wrapped_epochs()), (vault.id(), vault.wrapped_epochs()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_truncated_or_changed_vault_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vault");
        Vault::create(&SeededEntropy::new(1)).save_new(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(Vault::load(&path).is_err(), "cut to {length}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            assert!(Vault::load(&path).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_world_readable_vault_is_refused_with_the_command_that_mends_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vault");
        Vault::create(&SeededEntropy::new(1)).save_new(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let message = Vault::load(&path).unwrap_err().to_string();
        assert!(message.contains("chmod 600") && message.contains("0644"), "{message}");
    }
}
