//! Where the server is, and how to reach it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use n2s_domain::Entropy;
use reqwest::{Certificate, Client, Url, redirect};

use super::call::Line;

/// How long a connection may take to come about, an answer may pause, and sent bytes may stay unacknowledged.
const CONNECT_TIME: Duration = Duration::from_secs(10);
const PAUSE_MAX: Duration = Duration::from_mins(5);
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A token's text. Shown nowhere.
#[derive(Clone)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Which server, and how.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// `https://host:port`.
    pub server: String,
    /// Says who calls.
    pub token: Secret,
    /// Certificates to trust besides the system's, in PEM.
    pub ca: Option<PathBuf>,
    /// Allow `http://` to another machine.
    pub plain_http: bool,
    /// How long a server that was reached before may be away.
    pub patience: Duration,
    /// Draws delays and keys.
    pub entropy: Arc<dyn Entropy>,
}

/// Options that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// Not an address of a server.
    #[error("'{0}' is not the address of a server; it looks like https://host:port")]
    Server(String),
    /// The token would travel in the clear.
    #[error(
        "{0} is plain HTTP to another machine, which shows the token to everyone on the way; use https://, or --plain-http"
    )]
    Plain(String),
    /// It cannot be a token.
    #[error("the token has characters that no token has; look at N2S_TOKEN or --token-file")]
    Token,
    /// The certificates.
    #[error("the certificates in {path} cannot be read")]
    Ca {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: anyhow::Error,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] reqwest::Error),
}

pub(super) fn connect(options: &HttpOptions) -> Result<Line, HttpError> {
    let server = || options.server.clone();
    let url = Url::parse(&options.server).map_err(|_| HttpError::Server(server()))?;
    let loopback = match url.host_str() {
        None => return Err(HttpError::Server(server())),
        Some("localhost" | "[::1]") => true,
        Some(host) => host.parse::<std::net::Ipv4Addr>().is_ok_and(|host| host.is_loopback()),
    };
    let bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    match url.scheme() {
        "https" if bare => {}
        "http" if bare && (loopback || options.plain_http) => {}
        "http" if bare => return Err(HttpError::Plain(server())),
        _ => return Err(HttpError::Server(server())),
    }
    let mut builder = Client::builder()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIME)
        .read_timeout(PAUSE_MAX)
        .tcp_keepalive(SILENCE_MAX)
        .tcp_user_timeout(SILENCE_MAX)
        .tcp_nodelay(true);
    if loopback {
        // A proxy is for what lies beyond this machine.
        builder = builder.no_proxy();
    }
    if let Some(path) = &options.ca {
        builder = builder.tls_certs_merge(certificates(path)?);
    }
    let client = builder.build().map_err(HttpError::Tls)?;
    Line::new(client, url, options)
}

fn certificates(path: &std::path::Path) -> Result<Vec<Certificate>, HttpError> {
    let bad = |source: anyhow::Error| HttpError::Ca { path: path.to_owned(), source };
    let pem = std::fs::read(path).map_err(|error| bad(error.into()))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| bad(error.into()))?;
    if found.is_empty() {
        return Err(bad(anyhow::anyhow!("it holds no certificate in PEM")));
    }
    Ok(found)
}
