//! `[api]`.

use std::path::PathBuf;

use crate::schema::section;

section! {
    /// The HTTP API of `n2s up` and `n2s serve intake`.
    ApiConfig at "api" {
        /// Address and port. Port 0 takes a free one. Without it `n2s up` goes on without an API when the port is taken.
        listen: Option<String> = None,
        /// The certificate chain in PEM. With it the API speaks TLS.
        tls_cert: Option<PathBuf> = None,
        /// The certificate's private key in PEM.
        tls_key: Option<PathBuf> = None,
        /// Allow plain HTTP on an address that other machines reach. Tokens and names are then there for everyone on the way to read;
        /// for a proxy in front that speaks TLS.
        plain_http: bool = false,
        /// MiB of bodies in memory at once; above it the API answers 429.
        in_flight_mib: u32 = 512,
        /// Connections at once; more wait.
        connections_max: u32 = 2048,
        /// How long requests may take to end when the server is asked to stop.
        grace_secs: u64 = 30,
    }
}

impl ApiConfig {
    /// Where the API listens unless told otherwise.
    pub const LISTEN: &'static str = "127.0.0.1:7227";

    /// The address to listen on.
    pub fn address(&self) -> &str {
        self.listen.as_deref().unwrap_or(Self::LISTEN)
    }
}
