//! How to connect, read once from the settings, so that what cannot be right is told before anything starts.

use std::time::Duration;

use lapin::tcp::OwnedTLSConfig;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};

use crate::error::{BrokerError, bounded, explain};
use crate::options::Options;

/// See the module. It holds a password: nothing prints it.
pub(crate) struct Address {
    uri: AMQPUri,
    ca: Option<String>,
}

impl Address {
    /// Reads the URL and the certificates; no error repeats the URL.
    pub(crate) fn read(options: &Options) -> Result<Self, BrokerError> {
        let bad = |what: String| BrokerError::misconfigured("reading the queue's settings", what);
        let mut uri: AMQPUri = options
            .url
            .parse()
            .map_err(|_| bad("the url is not of the form amqp[s]://user:password@host:port/vhost".into()))?;
        uri.query.heartbeat = Some(u16::try_from(options.heartbeat.as_secs()).unwrap_or(u16::MAX).max(1));
        if let Some(password) = &options.password {
            uri.authority.userinfo.password = password.to_string();
        }
        let read = |path| std::fs::read_to_string(path).map_err(|error| (path, error));
        let ca = options.tls_ca.as_ref().map(read).transpose();
        let ca = ca.map_err(|(path, error)| bad(format!("{} cannot be read: {error}", path.display())))?;
        Ok(Self { uri, ca })
    }

    pub(crate) async fn connect(&self, name: &str, limit: Duration) -> Result<Connection, BrokerError> {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let tls = OwnedTLSConfig { identity: None, cert_chain: self.ca.clone() };
        let runtime = lapin::runtime::default_runtime();
        let runtime = runtime.map_err(|error| explain("connecting", &error))?;
        let connect = Connection::connect_uri_with_config(self.uri.clone(), properties, tls, runtime);
        bounded("connecting", limit, connect).await
    }
}
