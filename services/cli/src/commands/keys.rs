//! `n2s keys`.

use std::process::ExitCode;

use n2s_assembly::Home;
use n2s_domain::SystemEntropy;
use n2s_envelope::Vault;
use serde_json::json;

use crate::args::Keys;
use crate::output::Output;

pub async fn run(home: Home, args: Keys, output: &Output) -> anyhow::Result<ExitCode> {
    let path = home.vault();
    let mut vault = Vault::load(&path).map_err(n2s_assembly::AssemblyError::from)?;
    match args {
        Keys::Show => {
            let epochs: Vec<_> = vault.wrapped_epochs().iter().map(|(epoch, _)| epoch.0).collect();
            let text = format!("vault {} at {}; {} sealing epochs", vault.id(), path.display(), epochs.len());
            output.answer(&text, &json!({ "vault": vault.id(), "path": path, "epochs": epochs }));
        }
        Keys::PrintRoot => {
            output
                .note("whoever has this line can read everything; without it, or the vault file, nobody can");
            let root = vault.root_text();
            output.answer(&root, &json!({ "root": root }));
        }
        Keys::Rotate => {
            let epoch = vault.rotate(&SystemEntropy);
            vault.save(&path).map_err(n2s_assembly::AssemblyError::from)?;
            // Opening registers the new epoch's key object, so that workers copy it before the first blob.
            super::open(home).await?;
            let text = format!("new objects are sealed under epoch {epoch}; nothing is uploaded again");
            output.answer(&text, &json!({ "epoch": epoch }));
        }
    }
    Ok(ExitCode::SUCCESS)
}
