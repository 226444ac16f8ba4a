//! The queue that the settings ask for: in the process, or at a broker.

use std::path::Path;
use std::sync::{Arc, MutexGuard};

use n2s_config::QueueConfig;
use n2s_dispatcher::{PoisonDesk, WipeWatch};
use n2s_queue::{EmbeddedQueue, Queue};
use n2s_queue_rabbitmq::{BrokerError, Options, RabbitQueue};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::error::AssemblyError;
use crate::node::Node;

/// Messages the in-process queue holds.
const EMBEDDED_CAPACITY: usize = 65_536;

/// How to reach the broker, if there is to be one. Everything that can be found wrong without asking it is found here.
pub(crate) fn broker(config: &QueueConfig) -> Result<Option<Options>, AssemblyError> {
    let Some(url) = &config.url else { return Ok(None) };
    let mut options = Options::new(url.reveal());
    options.tls_ca.clone_from(&config.tls_ca);
    options.password = config.password_file.as_deref().map(password).transpose()?;
    options.check().map_err(|error| AssemblyError::Queue(error.cause))?;
    Ok(Some(options))
}

fn password(path: &Path) -> Result<Zeroizing<String>, AssemblyError> {
    let read = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = read.map_err(|error| {
        AssemblyError::Queue(format!("password_file {} cannot be read: {error}", path.display()))
    })?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(AssemblyError::Queue(format!("password_file {} is empty", path.display()))),
        password => Ok(Zeroizing::new(password.to_owned())),
    }
}

/// Starts the queue, and for a broker what puts rows right when it forgets or gives up.
pub(crate) fn start(
    node: &Node,
    parts: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> Result<Arc<dyn Queue>, BrokerError> {
    let Some(options) = &node.broker else { return Ok(Arc::new(EmbeddedQueue::new(EMBEDDED_CAPACITY))) };
    let (catalog, bell) = (Arc::clone(&node.catalog), node.bell.clone());
    let poison = Arc::new(PoisonDesk::new(Arc::clone(&catalog), bell.clone()));
    let queue = Arc::new(RabbitQueue::start(options.clone(), Some(poison))?);
    parts.spawn(WipeWatch::new(catalog, Arc::clone(&queue) as _, bell).run(stop.clone()));
    *node.queue() = Some(Arc::clone(&queue));
    Ok(queue)
}

impl Node {
    /// Why the queue takes or brings nothing at the moment. `None` also when another process runs the engine.
    pub fn queue_trouble(&self) -> Option<String> {
        self.queue().as_ref()?.ready().err().map(|error| error.to_string())
    }

    /// Ends what [`start`] began at a broker.
    pub(crate) async fn close_queue(&self) {
        let queue = self.queue().take();
        if let Some(queue) = queue {
            queue.close().await;
        }
    }

    fn queue(&self) -> MutexGuard<'_, Option<Arc<RabbitQueue>>> {
        self.queue.lock().expect("nobody panics while holding it")
    }
}
