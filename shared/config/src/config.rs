//! The tree, and how it comes to be: read, put variables over it, look at every key, build, look at the whole.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use n2s_domain::BackendName;
use serde::Deserialize;

use crate::error::ConfigError;
use crate::sections::{
    ApiConfig, BackendConfig, DatabaseConfig, HealthConfig, PushConfig, QueueConfig, StagingConfig,
    TelemetryConfig, ValidatorConfig, WorkerConfig,
};
use crate::tree::Tree;
use crate::{keys, rules};

/// Everything that can be set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `[api]`
    pub api: ApiConfig,
    /// `[backends.NAME]`
    pub backends: BTreeMap<BackendName, BackendConfig>,
    /// `[database]`
    pub database: DatabaseConfig,
    /// `[health]`
    pub health: HealthConfig,
    /// `[push]`
    pub push: PushConfig,
    /// `[queue]`
    pub queue: QueueConfig,
    /// `[staging]`
    pub staging: StagingConfig,
    /// `[telemetry]`
    pub telemetry: TelemetryConfig,
    /// `[validator]`
    pub validator: ValidatorConfig,
    /// `[worker]`
    pub worker: WorkerConfig,
}

impl Config {
    /// Reads the file at `path` and puts the process's `N2S_SECTION__KEY` variables over it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let read = std::fs::read_to_string(path);
        let text = read.map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text, std::env::vars_os())
    }

    /// As [`Self::load`], from the text of a file at `path`, which is used in messages only, and from given variables.
    pub fn parse(
        path: &Path,
        text: &str,
        env: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let mut tree = Tree::parse(path, text)?;
        let mut problems = tree.overlay(env);
        problems.extend(keys::mistakes(&tree));
        // What has the wrong name or type cannot be built, so contradictions are looked for only after that is right.
        if problems.is_empty() {
            let config: Self = tree.values.clone().try_into().map_err(|error: toml::de::Error| {
                ConfigError::Syntax { path: path.to_owned(), line: 1, what: error.message().to_owned() }
            })?;
            problems = rules::contradictions(&config, &tree);
            if problems.is_empty() {
                return Ok(config);
            }
        }
        Err(ConfigError::Refused(problems))
    }
}
