//! What only the parts themselves find wrong with their settings.

use n2s_config::Config;

use crate::error::AssemblyError;
use crate::home::Home;
use crate::{backend, queue};

/// Looks at what the settings name, beyond what they say by themselves; asks no server.
pub fn check(home: &Home, config: &Config) -> Result<(), AssemblyError> {
    queue::broker(&config.queue)?;
    config.backends.iter().try_for_each(|(name, backend)| backend::open(name, backend).map(drop))?;
    backend::open_staging(home, config).map(drop)
}
