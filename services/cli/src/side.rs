//! Where a command works: in a home of this machine, or on a server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use n2s_assembly::{Home, Node};
use n2s_client::http::{HttpOptions, Remote, Secret};
use n2s_client::seam::{Operator, Producer, Reader};
use n2s_domain::{Clock, DatasetName, ProjectName, StoreKey, SystemClock, SystemEntropy};
use n2s_envelope::Vault;

use crate::exit::Usage;

/// How long a command waits for a server that went away.
const PATIENCE: Duration = Duration::from_mins(5);

/// Where a command is to work, as its flags say.
#[derive(Clone, Debug)]
pub struct Place {
    /// Of this machine; beside a server it keeps the vault and the caches.
    pub home: Home,
    /// The server, if one was named.
    pub server: Option<Server>,
}

/// The flags of a server.
#[derive(Clone, Debug)]
pub struct Server {
    pub url: String,
    pub token_file: Option<PathBuf>,
    pub ca: Option<PathBuf>,
    pub plain_http: bool,
}

/// Where a command works.
#[derive(Debug)]
pub struct Side {
    pub producer: Arc<dyn Producer>,
    pub reader: Arc<dyn Reader>,
    pub operator: Arc<dyn Operator>,
    pub clock: Arc<dyn Clock>,
    pub home: Home,
    /// The home's own parts, when there is no server.
    pub node: Option<Arc<Node>>,
    vault: Option<Arc<Vault>>,
}

impl Place {
    /// Opens what must be there.
    pub async fn open(self) -> anyhow::Result<Side> {
        match self.server {
            None => Ok(Side::of_node(Arc::new(Node::open(self.home).await?))),
            Some(server) => Side::of_server(self.home, server),
        }
    }

    /// Opens a home, making it when absent, or a server.
    pub async fn open_or_make(self) -> anyhow::Result<Side> {
        match self.server {
            None => Ok(Side::of_node(Arc::new(Node::open_or_make(self.home).await?))),
            Some(server) => {
                self.home.make()?;
                Side::of_server(self.home, server)
            }
        }
    }

    /// The home, for what a server cannot do.
    pub fn home_only(self, what: &str) -> Result<Home, Usage> {
        match self.server {
            None => Ok(self.home),
            Some(_) => Err(Usage(format!(
                "`n2s {what}` works in a home of this machine; leave out --server (or unset N2S_SERVER), and run it where the home is"
            ))),
        }
    }
}

impl Side {
    fn of_node(node: Arc<Node>) -> Self {
        Self {
            producer: Arc::clone(&node.intake) as _,
            reader: Arc::clone(&node.intake) as _,
            operator: Arc::clone(&node.intake) as _,
            clock: Arc::clone(&node.clock),
            home: node.home.clone(),
            vault: Some(Arc::clone(&node.vault)),
            node: Some(node),
        }
    }

    fn of_server(home: Home, server: Server) -> anyhow::Result<Self> {
        let options = HttpOptions {
            server: server.url,
            token: token(server.token_file)?,
            ca: server.ca,
            plain_http: server.plain_http,
            patience: PATIENCE,
            entropy: Arc::new(SystemEntropy),
        };
        let mut remote = Remote::new(&options)?;
        let path = home.vault();
        let vault = if path.exists() {
            Some(Arc::new(Vault::load(&path).map_err(n2s_assembly::AssemblyError::from)?))
        } else {
            None
        };
        if let Some(vault) = &vault {
            remote = remote.with_vault(vault);
        }
        let remote = Arc::new(remote);
        Ok(Self {
            producer: Arc::clone(&remote) as _,
            reader: Arc::clone(&remote) as _,
            operator: remote,
            clock: Arc::new(SystemClock),
            home,
            node: None,
            vault,
        })
    }

    /// The vault; without it the server seals and opens.
    pub fn vault(&self) -> Option<Arc<Vault>> {
        self.vault.clone()
    }

    /// The dataset's name on stores, and for the lock of its push.
    pub async fn store_key(&self, project: &ProjectName, dataset: &DatasetName) -> anyhow::Result<StoreKey> {
        match &self.vault {
            Some(vault) => Ok(vault.store_key(project, dataset)),
            None => Ok(self.producer.plain_terms(project, dataset).await?.store_key),
        }
    }
}

/// From the file, or else from the environment; never from an argument, which every user of the machine can see.
fn token(file: Option<PathBuf>) -> Result<Secret, Usage> {
    if let Some(path) = file {
        let read = std::fs::read_to_string(&path);
        let text = read.map_err(|error| Usage(format!("--token-file {}: {error}", path.display())))?;
        return Ok(Secret(text.trim().to_owned()));
    }
    let token = std::env::var("N2S_TOKEN").ok().filter(|token| !token.trim().is_empty());
    token.map(Secret).ok_or_else(|| {
        Usage("a server wants a token: set N2S_TOKEN, or name a file with --token-file; `n2s token create` makes one".to_owned())
    })
}
