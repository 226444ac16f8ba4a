//! The root as people print and type it: `N2S1` and 15 groups of base32, the last of them closing with a checksum.

use data_encoding::BASE32_NOPAD;

use super::{Vault, VaultError};
use crate::keys::Secret;

const PREFIX: &str = "N2S1";

impl Vault {
    /// The root, to print. Whoever has it has everything.
    pub fn root_text(&self) -> String {
        let mut bytes = self.root.0.to_vec();
        bytes.extend_from_slice(&checksum(&self.root.0));
        let code = BASE32_NOPAD.encode(&bytes);
        let groups: Vec<&str> =
            (0..code.len()).step_by(4).map(|at| &code[at..(at + 4).min(code.len())]).collect();
        format!("{PREFIX}-{}", groups.join("-"))
    }

    /// A vault from the printed root; blanks, hyphens and case do not matter. It holds no epoch until key objects are added.
    pub fn from_root_text(text: &str) -> Result<Self, VaultError> {
        let code: String =
            text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect::<String>().to_uppercase();
        let code = code.strip_prefix(PREFIX).ok_or(VaultError::RootText("it does not begin with N2S1"))?;
        let bytes = BASE32_NOPAD.decode(code.as_bytes()).ok();
        let bytes: [u8; 36] = bytes
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(VaultError::RootText("it needs 58 characters A-Z and 2-7 after N2S1"))?;
        let root: [u8; 32] = bytes[..32].try_into().expect("36 bytes have 32");
        if checksum(&root) != bytes[32..] {
            return Err(VaultError::RootText("its checksum does not fit; a character is wrong"));
        }
        Ok(Self::from_root(Secret(root)))
    }
}

fn checksum(root: &[u8; 32]) -> [u8; 4] {
    let hash = blake3::derive_key("n2s v1 root checksum", root);
    hash[..4].try_into().expect("32 bytes have 4")
}

#[cfg(test)]
mod tests {
    use n2s_domain::SeededEntropy;

    use super::*;

    #[test]
    fn survives_typing_and_notices_a_wrong_character() {
        let vault = Vault::create(&SeededEntropy::new(1));
        let text = vault.root_text();
        let typed = text.replace('-', " ").to_lowercase();
        assert_eq!(Vault::from_root_text(&typed).unwrap().id(), vault.id());
        for at in 5..text.len() {
            if &text[at..=at] != "-" {
                let other = if &text[at..=at] == "A" { "B" } else { "A" };
                let wrong = format!("{}{other}{}", &text[..at], &text[at + 1..]);
                assert!(Vault::from_root_text(&wrong).is_err(), "{wrong}");
            }
        }
        assert!(Vault::from_root_text(&text[..text.len() - 2]).is_err());
    }
}
