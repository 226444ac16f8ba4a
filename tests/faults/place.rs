//! Servers: those of the whole run, which nobody breaks, and one's own, for those who do.

use n2s_servers::{Postgres, RabbitCluster, RabbitMq};

/// A message broker.
#[derive(Debug)]
pub enum Broker {
    Shared(&'static RabbitMq),
    Own(RabbitMq),
    /// Three nodes. The fleet is at the first.
    Cluster(Box<RabbitCluster>),
}

impl Broker {
    /// The node that the fleet is at.
    pub fn get(&self) -> &RabbitMq {
        match self {
            Self::Shared(server) => server,
            Self::Own(server) => server,
            Self::Cluster(cluster) => &cluster.nodes[0],
        }
    }

    pub fn own(&mut self) -> &mut RabbitMq {
        match self {
            Self::Shared(_) => panic!("the run's broker is nobody's to break"),
            Self::Own(server) => server,
            Self::Cluster(cluster) => &mut cluster.nodes[0],
        }
    }

    pub fn cluster(&mut self) -> &mut RabbitCluster {
        match self {
            Self::Cluster(cluster) => cluster,
            Self::Shared(_) | Self::Own(_) => panic!("one node is no cluster"),
        }
    }
}

/// A database server.
#[derive(Debug)]
pub enum Database {
    Shared(&'static Postgres),
    Own(Postgres),
}

impl Database {
    pub fn get(&self) -> &Postgres {
        match self {
            Self::Shared(server) => server,
            Self::Own(server) => server,
        }
    }

    pub fn own(&mut self) -> &mut Postgres {
        match self {
            Self::Shared(_) => panic!("the run's database is nobody's to break"),
            Self::Own(server) => server,
        }
    }
}
