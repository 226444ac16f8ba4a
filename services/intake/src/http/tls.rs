//! TLS from a certificate and a key in PEM.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Why the server cannot speak TLS. Names files, never their contents.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate's file.
    #[error("{0} cannot be read as a PEM certificate chain")]
    Certificate(PathBuf, #[source] rustls::pki_types::pem::Error),
    /// The key's file.
    #[error("{0} cannot be read as a PEM private key")]
    Key(PathBuf, #[source] rustls::pki_types::pem::Error),
    /// Both can be read, but do not go together.
    #[error("the certificate {0} and the key {1} cannot be used together")]
    Pair(PathBuf, PathBuf, #[source] rustls::Error),
}

/// The configuration of a server with this certificate chain and key.
pub fn tls(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let read = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = read.map_err(|error| TlsError::Certificate(cert.to_owned(), error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::Key(key.to_owned(), error))?;
    let pair = |error| TlsError::Pair(cert.to_owned(), key.to_owned(), error);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config =
        builder.map_err(pair)?.with_no_client_auth().with_single_cert(chain, private).map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
