//! The SDK's client, told everything: nothing but credentials is ever taken from the environment, so that a variable meant for
//! another program cannot send backups elsewhere.
//!
//! The SDK retries nothing here. Its own retries repeat throttled and failed requests behind the back of the job that asked,
//! which multiplies the job's attempts and hides Retry-After from its schedule; and they stop at the head of an answer, so a
//! body that breaks off would not be asked for again. Connections that fail are retried in `request.rs`, everything else by the job.

use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{AppName, Builder, Region, StalledStreamProtectionConfig};
use tokio::sync::OnceCell;

use super::options::S3Options;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// Makes no request.
pub(super) fn client(options: &S3Options) -> Client {
    let region = Region::new(options.region.clone());
    let mut config = Builder::new()
        .region(region.clone())
        .force_path_style(options.uses_path_style())
        .retry_config(RetryConfig::disabled())
        // The deadline of `request.rs` covers the rest, bodies included; an address that swallows packets is to leave time for another try.
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .app_name(AppName::new("n2s").expect("these letters are allowed"));
    config.set_endpoint_url(options.endpoint.clone());
    let config = match (&options.access_key_id, &options.secret_access_key) {
        (Some(id), Some(secret)) => {
            config.credentials_provider(Credentials::new(id, secret.reveal(), None, None, "n2s"))
        }
        _ => config.credentials_provider(LazyChain { region, chain: OnceCell::new() }),
    };
    Client::from_conf(config.build())
}

/// AWS's default chain (environment, profile, web identity, container, instance), looked through at the first request:
/// building it is asynchronous, and making a store is not.
#[derive(Debug)]
struct LazyChain {
    region: Region,
    chain: OnceCell<DefaultCredentialsChain>,
}

impl ProvideCredentials for LazyChain {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let build = || DefaultCredentialsChain::builder().region(self.region.clone()).build();
            self.chain.get_or_init(build).await.provide_credentials().await
        })
    }
}
