//! The queue that the settings ask for: in the process, or at a broker.

use std::path::Path;
use std::sync::Arc;

use n2s_config::QueueConfig;
use n2s_dispatcher::{PoisonDesk, WipeWatch};
use n2s_queue::{EmbeddedQueue, Queue};
use n2s_queue_rabbitmq::{BrokerError, Options, RabbitQueue};
use zeroize::Zeroizing;

use crate::error::AssemblyError;
use crate::node::Node;
use crate::station::Station;

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

/// Starts the queue. With `attends`, for whoever dispatches, this process also puts the rows right whose messages a broker gave up on.
pub(crate) fn start(station: &Station, attends: bool) -> Result<Arc<dyn Queue>, BrokerError> {
    let Some(options) = &station.broker else {
        return Ok(Arc::new(EmbeddedQueue::new(EMBEDDED_CAPACITY)));
    };
    let desk = || Arc::new(PoisonDesk::new(Arc::clone(&station.catalog), station.bell.clone())) as _;
    let queue = Arc::new(RabbitQueue::start(options.clone(), attends.then(desk))?);
    *station.queue() = Some(Arc::clone(&queue));
    Ok(queue)
}

/// Watches over the memory of the broker that [`start`] began with. For the one who sweeps the catalog.
pub(crate) fn wipe_watch(station: &Station) -> Option<WipeWatch> {
    let memory = station.queue().clone()?;
    Some(WipeWatch::new(Arc::clone(&station.catalog), memory, station.bell.clone()))
}

impl Station {
    /// Why the queue takes or brings nothing at the moment. `None` also when nothing in this process uses a broker.
    pub(crate) fn queue_trouble(&self) -> Option<String> {
        self.queue().as_ref()?.ready().err().map(|error| error.to_string())
    }

    /// Ends what [`start`] began at a broker.
    pub(crate) async fn close_queue(&self) {
        let queue = self.queue().take();
        if let Some(queue) = queue {
            queue.close().await;
        }
    }
}

impl Node {
    /// Why the queue takes or brings nothing at the moment. `None` also when another process runs the engine.
    pub fn queue_trouble(&self) -> Option<String> {
        self.station.queue_trouble()
    }
}
