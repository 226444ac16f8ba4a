//! Acks and returns of one channel, sent in batches: one multiple ack for what is settled without a gap, which costs the
//! broker a third of single ones.

use std::collections::BTreeSet;

use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use tokio::sync::mpsc;

use crate::error::bounded;
use crate::session::Session;

/// Gathered at once.
const BATCH: usize = 500;

/// What happens to a delivery.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Settle {
    /// Done: out of the queue.
    Ack(u64),
    /// Back to the queue.
    Return(u64),
    /// The consumer is gone: everything that is open goes back.
    Close,
}

/// Settles until told to close, or the session ends.
pub(crate) async fn settle(
    session: &Session,
    channel: &Channel,
    mut orders: mpsc::UnboundedReceiver<Settle>,
) {
    let mut ledger = Ledger::default();
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            _ = orders.recv_many(&mut batch, BATCH) => {}
            _ = session.ended() => return,
        }
        // Nothing received means that nobody is left who could send.
        let closing = batch.is_empty() || batch.iter().any(|order| matches!(order, Settle::Close));
        for step in ledger.steps(batch.drain(..)) {
            if let Err(error) = send(session, channel, step).await {
                return session.fail(error);
            }
        }
        if closing {
            return close(session, channel).await;
        }
    }
}

/// Nothing is kept by a channel that is closed, and one that the broker has closed itself needs no goodbye. A broker may be slow, but where it
/// never answers, what it had sent would stay with a consumer that is gone, and no other would hear of it.
async fn close(session: &Session, channel: &Channel) {
    let limit = session.options.silence;
    let closed = tokio::select! {
        closed = bounded("closing a channel", limit, channel.close(200, "OK".into())) => closed,
        _ = session.ended() => return,
    };
    let stands = channel.status().connected() || channel.status().closing();
    if let (Err(error), true) = (closed, stands) {
        session.fail(error);
    }
}

async fn send(session: &Session, channel: &Channel, step: Step) -> Result<(), crate::BrokerError> {
    let limit = session.options.answer_timeout;
    match step {
        Step::Ack { tag, multiple } => {
            bounded("ack", limit, channel.basic_ack(tag, BasicAckOptions { multiple })).await
        }
        Step::Return { tag } => {
            let options = BasicNackOptions { multiple: false, requeue: true };
            bounded("return", limit, channel.basic_nack(tag, options)).await
        }
    }
}

/// Something to tell the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Ack { tag: u64, multiple: bool },
    Return { tag: u64 },
}

/// Which deliveries are settled: all up to `gapless`, and some beyond.
#[derive(Debug, Default)]
struct Ledger {
    gapless: u64,
    beyond: BTreeSet<u64>,
}

impl Ledger {
    /// Returns first, then one multiple ack up to the last gapless tag of the batch, then the rest singly.
    fn steps(&mut self, orders: impl Iterator<Item = Settle>) -> Vec<Step> {
        let mut acks = BTreeSet::new();
        let mut steps = Vec::new();
        for order in orders {
            match order {
                Settle::Ack(tag) => drop(acks.insert(tag)),
                Settle::Return(tag) => steps.push(Step::Return { tag }),
                Settle::Close => continue,
            }
            if let Settle::Ack(tag) | Settle::Return(tag) = order {
                self.beyond.insert(tag);
            }
        }
        while self.beyond.remove(&(self.gapless + 1)) {
            self.gapless += 1;
        }
        // The tag itself must be open still, or the broker takes the ack for a mistake.
        if let Some(&tag) = acks.range(..=self.gapless).next_back() {
            let singles = acks.split_off(&(tag + 1));
            steps.push(Step::Ack { tag, multiple: true });
            acks = singles;
        }
        steps.extend(acks.into_iter().map(|tag| Step::Ack { tag, multiple: false }));
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gapless_acks_go_together_and_nothing_open_is_acked() {
        let mut ledger = Ledger::default();
        let orders = [Settle::Ack(2), Settle::Ack(1), Settle::Ack(5)];
        let expected = [Step::Ack { tag: 2, multiple: true }, Step::Ack { tag: 5, multiple: false }];
        assert_eq!(ledger.steps(orders.into_iter()), expected);
        assert_eq!(ledger.steps([Settle::Return(3)].into_iter()), [Step::Return { tag: 3 }]);
        // 5 was acked before: naming it again would close the channel.
        assert_eq!(ledger.steps([Settle::Ack(4)].into_iter()), [Step::Ack { tag: 4, multiple: true }]);
        assert_eq!(ledger.steps([Settle::Ack(6)].into_iter()), [Step::Ack { tag: 6, multiple: true }]);
    }
}
