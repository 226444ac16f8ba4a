//! Faults of a fleet that must cost time only: its services killed and stopped, its broker, its database, the links between them and the
//! messages on them broken, each at a known moment.
//!
//! Every case pushes through real roles on a real PostgreSQL and a real RabbitMQ, shows that its fault happened, and ends with
//! [`site::Site::settled`], which holds the fleet to what DESIGN promises. Leases are seconds here (`[worker] lease_secs`,
//! `[queue] unclaimed_secs`), or each case would wait for a minute of them. The slower half runs with `make test-faults` only.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(feature = "fault-tests")]
mod answers;
#[cfg(feature = "fault-tests")]
mod broker;
mod clock;
#[cfg(feature = "fault-tests")]
mod cluster;
#[cfg(feature = "fault-tests")]
mod database;
#[cfg(feature = "fault-tests")]
mod dispatcher;
mod intake;
#[cfg(feature = "fault-tests")]
mod links;
mod messages;
#[cfg_attr(not(feature = "fault-tests"), expect(dead_code, reason = "the slower cases break them"))]
mod place;
mod settled;
#[cfg(feature = "fault-tests")]
mod silence;
#[cfg_attr(not(feature = "fault-tests"), expect(dead_code, reason = "the slower cases use all of it"))]
mod site;
#[cfg(feature = "fault-tests")]
mod stores;
#[cfg(feature = "fault-tests")]
mod worker;
