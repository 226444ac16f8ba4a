//! The consumer of what came back too often, or was rejected by somebody.

use std::sync::Arc;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::types::AMQPValue;
use n2s_queue::{Message, PoisonHandler, Poisoned};

use crate::consumer::{receive, subscribe};
use crate::error::{BrokerError, bounded};
use crate::session::Session;
use crate::topology::POISON;

const PREFETCH: u16 = 50;
/// The pause after a handler failed, so that a catalog that is down is not asked in a loop.
const PAUSE: Duration = Duration::from_secs(1);

/// Attends to poison until the session ends, and says why it did.
pub(crate) async fn attend(session: &Arc<Session>, handler: &dyn PoisonHandler) -> BrokerError {
    let (channel, mut deliveries) = match subscribe(session, POISON, PREFETCH).await {
        Ok(subscribed) => subscribed,
        Err(error) => return error,
    };
    loop {
        let delivery = match receive(session, &mut deliveries).await {
            Ok(delivery) => delivery,
            Err(error) => return error,
        };
        let poisoned = Poisoned {
            backend: delivery.routing_key.to_string(),
            message: Message::decode(&delivery.data),
            reason: reason(&delivery.properties),
        };
        let tag = delivery.delivery_tag;
        let limit = session.options.answer_timeout;
        let settled = match handler.poisoned(poisoned).await {
            Ok(()) => bounded("ack", limit, channel.basic_ack(tag, BasicAckOptions::default())).await,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "a poisoned message was not dealt with");
                tokio::time::sleep(PAUSE).await;
                let again = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
                bounded("return", limit, channel.basic_nack(tag, again)).await
            }
        };
        if let Err(error) = settled {
            return error;
        }
    }
}

fn reason(properties: &BasicProperties) -> String {
    let first = properties.headers().as_ref().and_then(|headers| headers.inner().get("x-first-death-reason"));
    match first {
        Some(AMQPValue::LongString(reason)) => reason.to_string(),
        _ => "unknown".to_owned(),
    }
}
