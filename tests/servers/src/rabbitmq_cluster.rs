//! Three RabbitMQ nodes that are one cluster: with their own epmd, up in about half a minute.

use crate::rabbitmq::stop_epmd;
use crate::{RabbitMq, free_port};

/// A running cluster; killed when dropped.
#[derive(Debug)]
pub struct RabbitCluster {
    /// Its nodes.
    pub nodes: [RabbitMq; 3],
    epmd: u16,
}

impl RabbitCluster {
    /// Starts three nodes and joins them.
    pub fn start() -> Self {
        let epmd = free_port();
        // epmd comes with the first node; the others join one after the other, as the first must know of each.
        let nodes = [(); 3].map(|()| RabbitMq::start_member(epmd, "n2stestscookie"));
        let cluster = Self { nodes, epmd };
        let [first, others @ ..] = &cluster.nodes;
        for node in others {
            node.ctl(&["stop_app"]);
            node.ctl(&["join_cluster", &first.name()]);
            node.ctl(&["start_app"]);
        }
        cluster
    }

    /// The node that a queue of a vhost is led from, as an alive one sees it.
    pub fn leader(&self, asked: usize, vhost: &str, queue: &str) -> Option<usize> {
        let listed = self.nodes[asked].ctl(&["list_queues", "-p", vhost, "name", "leader"]);
        let line = listed.lines().find(|line| line.starts_with(&format!("{queue}\t")))?;
        self.nodes.iter().position(|node| line.ends_with(&node.name()))
    }
}

impl Drop for RabbitCluster {
    fn drop(&mut self) {
        self.nodes.iter_mut().for_each(RabbitMq::kill);
        stop_epmd(self.epmd);
    }
}
