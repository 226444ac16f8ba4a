//! s3s-fs: an S3 server over a directory, in this process.
//!
//! Its buckets are directories and its objects files, so a test can damage one behind the server's back. A process of its own would be nearer
//! to the truth and would have to be installed first; what is tested is the protocol, and that goes over a socket all the same.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::path::S3Path;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Error, S3ErrorCode, S3Result};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// The one key pair the server knows.
pub const ACCESS_KEY_ID: &str = "n2s-tests";
/// See [`ACCESS_KEY_ID`].
pub const SECRET_ACCESS_KEY: &str = "not much of a secret";

/// In what the server is stricter than s3s-fs is by itself.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The only region it answers requests for; the others are told this one, as AWS does.
    pub region: Option<&'static str>,
    /// Nothing is listed, and what is absent looks denied: AWS's answer to who lacks `ListBucket`.
    pub deny_list: bool,
    /// So many puts are told to slow down before the first is taken.
    pub throttled_puts: u32,
    /// Whoever reads below this is told to slow down.
    pub throttled_reads: Option<&'static str>,
    /// Puts of blobs wait until so many are there at once; from then on none waits for others.
    pub puts_together: u32,
    /// A put of a blob waits so long before it is looked at.
    pub put_delay: Duration,
    /// It speaks HTTPS alone, with a certificate of its own: [`S3Server::certificate`].
    pub tls: bool,
}

/// A running server; gone with its objects when dropped.
#[derive(Debug)]
pub struct S3Server {
    root: TempDir,
    address: SocketAddr,
    /// The certificate in PEM, where it speaks HTTPS.
    certificate: Option<String>,
    puts: Arc<Puts>,
    /// Runs the server. Dropped from within another runtime, it is left to end in the background.
    runtime: Option<Runtime>,
}

impl S3Server {
    /// Starts one on a free port.
    pub fn start() -> Self {
        Self::start_with(Rules::default())
    }

    /// Starts one that is stricter.
    pub fn start_with(rules: Rules) -> Self {
        let root = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(root.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
        let (certificate, tls) = rules.tls.then(own_certificate).unzip();
        let throttled_puts = AtomicU32::new(rules.throttled_puts);
        let puts = Arc::new(Puts::default());
        service.set_access(Gate { root: root.path().to_owned(), rules, throttled_puts, puts: puts.clone() });
        runtime.spawn(serve(listener, service.build(), tls));
        Self { root, address, certificate, puts, runtime: Some(runtime) }
    }

    /// `http://` or `https://` and its address.
    pub fn endpoint(&self) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The certificate of a server that speaks HTTPS, in PEM.
    pub fn certificate(&self) -> &str {
        self.certificate.as_deref().unwrap()
    }

    /// The most puts of blobs that waited for each other, or for their `put_delay`, at once.
    pub fn most_puts_at_once(&self) -> u32 {
        *self.puts.most.borrow()
    }

    /// Makes an empty bucket.
    pub fn make_bucket(&self, name: &str) {
        std::fs::create_dir(self.root.path().join(name)).unwrap();
    }

    /// The file that is an object.
    pub fn object(&self, bucket: &str, name: &str) -> PathBuf {
        self.root.path().join(bucket).join(name)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Gate {
    root: PathBuf,
    rules: Rules,
    /// How many are left.
    throttled_puts: AtomicU32,
    puts: Arc<Puts>,
}

/// Puts of blobs that wait.
#[derive(Debug, Default)]
struct Puts {
    now: AtomicU32,
    most: watch::Sender<u32>,
}

impl Puts {
    async fn wait(&self, rules: &Rules) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.send_modify(|most| *most = now.max(*most));
        // The sender lives as long as this.
        let _ = self.most.subscribe().wait_for(|most| *most >= rules.puts_together).await;
        tokio::time::sleep(rules.put_delay).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait::async_trait]
impl S3Access for Gate {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        // Giving an access takes away the one that asks for keys at all.
        if cx.credentials().is_none() {
            return Err(S3Error::new(S3ErrorCode::AccessDenied));
        }
        let signed = cx.headers().get("authorization").map_or("", |header| header.to_str().unwrap());
        if let Some(region) = self.rules.region.filter(|region| !signed.contains(&format!("/{region}/s3/"))) {
            let mut error = S3Error::new(S3ErrorCode::AuthorizationHeaderMalformed);
            let mut headers = cx.headers().clone();
            headers.clear();
            headers.insert("x-amz-bucket-region", region.parse().unwrap());
            error.set_headers(headers);
            return Err(error);
        }
        let one_less = |left: u32| left.checked_sub(1);
        if cx.s3_op().name() == "PutObject"
            && self.throttled_puts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
        {
            return Err(S3Error::new(S3ErrorCode::SlowDown));
        }
        let does = |operation: &str, part: &str| {
            cx.s3_op().name() == operation
                && cx.s3_path().as_object().is_some_and(|(_, key)| key.contains(part))
        };
        if does("PutObject", "blobs/") {
            self.puts.wait(&self.rules).await;
        }
        if self.rules.throttled_reads.is_some_and(|part| does("GetObject", part)) {
            return Err(S3Error::new(S3ErrorCode::SlowDown));
        }
        let absent = |path: &S3Path| {
            path.as_object().is_some_and(|(bucket, key)| !self.root.join(bucket).join(key).exists())
        };
        let reads = ["GetObject", "HeadObject"].contains(&cx.s3_op().name());
        let lists = cx.s3_op().name().starts_with("ListObjects");
        if self.rules.deny_list && (lists || reads && absent(cx.s3_path())) {
            return Err(S3Error::new(S3ErrorCode::AccessDenied));
        }
        Ok(())
    }
}

/// A certificate for the loopback address, and what serves with it.
fn own_certificate() -> (String, TlsAcceptor) {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![own.cert.der().clone()], key).unwrap();
    (own.cert.pem(), TlsAcceptor::from(Arc::new(config)))
}

async fn serve(listener: std::net::TcpListener, service: S3Service, tls: Option<TlsAcceptor>) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((socket, _)) = listener.accept().await {
        // Without it, answers in two parts wait for the client's delayed acknowledgement: 40 ms each.
        socket.set_nodelay(true).unwrap();
        let (service, tls) = (service.clone(), tls.clone());
        tokio::spawn(async move {
            let http = Builder::new(TokioExecutor::new());
            // A client that hangs up, or does not trust it, is no concern of the server's.
            let _ = match tls {
                None => http.serve_connection(TokioIo::new(socket), service).await,
                Some(tls) => match tls.accept(socket).await {
                    Ok(socket) => http.serve_connection(TokioIo::new(socket), service).await,
                    Err(_) => Ok(()),
                },
            };
        });
    }
}
