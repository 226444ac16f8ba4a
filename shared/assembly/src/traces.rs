//! Whether this process collects spans, and for whom.

use std::sync::Arc;

use n2s_domain::SystemEntropy;
use n2s_telemetry::trace::{OtlpOptions, start};

use crate::error::AssemblyError;
use crate::home::Home;
use crate::node::load;

/// Collects spans from now on, if the home's settings or the variables of OpenTelemetry say where to. `role` is what this process does, for
/// people. Settings that cannot be read are told by whoever needs them.
pub fn collect_traces(home: &Home, role: &str) -> Result<(), AssemblyError> {
    let endpoint = load(home).ok().and_then(|config| config.telemetry.otlp_endpoint);
    let options = OtlpOptions { endpoint, role: role.to_owned() };
    start(&options, n2s_failpoints::clock(), Arc::new(SystemEntropy))?;
    Ok(())
}
