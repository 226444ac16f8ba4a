//! Carries out what the plan says is done to the fleet, and in the end mends everything.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use n2s_servers::Postgres;
use n2s_servers::s3_faulty::Rule;
use n2s_tests::files;
use rustix::process::Signal;
use serde_json::json;

use crate::ground::{Ground, Targets};
use crate::history::History;
use crate::plan::{Deed, LINKS, Spoiled};

/// What was done, by kind.
pub type Counts = BTreeMap<String, u64>;

/// See the module.
#[derive(Debug)]
pub struct Havoc<'a> {
    pub targets: Targets,
    pub done: Counts,
    ground: &'a Ground,
    history: &'a History,
}

impl<'a> Havoc<'a> {
    pub fn new(targets: Targets, ground: &'a Ground, history: &'a History) -> Self {
        Self { targets, done: Counts::new(), ground, history }
    }

    /// Does one thing, if it can be done now: who is dead is not killed again.
    pub fn carry_out(&mut self, deed: Deed) {
        let name = deed.name();
        if self.tried(deed) {
            self.history.note(json!({ "fault": name }));
            *self.done.entry(name).or_default() += 1;
        }
    }

    fn tried(&mut self, deed: Deed) -> bool {
        let targets = &mut self.targets;
        match deed {
            Deed::Kill(role) => match targets.roles[role].take() {
                Some(mut member) => member.kill(),
                None => return false,
            },
            Deed::Start(role) => return self.start(role),
            Deed::Stop(role) => return signal(targets, role, Signal::STOP),
            Deed::Continue(role) => return signal(targets, role, Signal::CONT),
            Deed::RestartBroker => {
                targets.broker.note_queues();
                targets.broker.restart();
            }
            Deed::WipeBroker => {
                targets.broker.wipe();
                targets.broker.recreate(&targets.vhost);
            }
            Deed::PurgeQueue(which) => return self.queue("purge_queue", which),
            Deed::DeleteQueue(which) => return self.queue("delete_queue", which),
            Deed::RestartDatabase => {
                targets.database.kill();
                targets.database.restart();
            }
            Deed::TerminateBackends => return self.terminate_backends(),
            Deed::Cut(link) => targets.links[link].cut(),
            Deed::Stall(link) => targets.links[link].stall(),
            Deed::Reset(link) => targets.links[link].reset(),
            Deed::Heal(link) => targets.links[link].heal(),
            Deed::Spoil(bucket, Spoiled { fault, method, times }) => {
                targets.buckets[bucket].rule(Rule::new(fault).method(method).times(times));
            }
            Deed::Damage(which, how) => return self.damage(which, how),
        }
        true
    }

    fn start(&mut self, role: usize) -> bool {
        let dead = self.targets.roles[role].is_none();
        if dead {
            self.targets.roles[role] = Some(self.targets.start(self.ground, role));
        }
        dead
    }

    fn queue(&self, what: &str, which: u64) -> bool {
        let (broker, vhost) = (&self.targets.broker, self.targets.vhost.name.as_str());
        let listed = broker.ctl(&["list_queues", "-p", vhost, "name", "--no-table-headers"]);
        let queues: Vec<_> = listed.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let Some(queue) = pick(&queues, which) else { return false };
        broker.ctl(&[what, "-p", vhost, queue]);
        true
    }

    fn terminate_backends(&self) -> bool {
        let url = self.targets.database.url();
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND random() < 0.5";
        Postgres::psql(&url, sql) != "0"
    }

    /// Damages a copy on the disk of which the bucket has an intact one.
    fn damage(&self, which: u64, how: u64) -> bool {
        let near = self.ground.fleet.world.path("near/blobs");
        let copies = files(&near);
        let Some(copy) = pick(&copies, which) else { return false };
        let far = self.ground.bucket.object("far", "blobs").join(copy.strip_prefix(&near).unwrap());
        let (Ok(bytes), Ok(other)) = (fs::read(copy), fs::read(far)) else { return false };
        bytes == other && damaged(copy, bytes, how).is_ok()
    }

    /// Everything works again from now on, and everybody is there.
    pub fn mend(&mut self) {
        self.targets.buckets.iter().for_each(n2s_servers::s3_faulty::Faulty::heal);
        (0..LINKS.len()).for_each(|link| self.targets.links[link].heal());
        for role in 0..self.targets.roles.len() {
            signal(&self.targets, role, Signal::CONT);
            self.start(role);
        }
        self.history.note(json!({ "fault": "none from now on" }));
    }
}

fn signal(targets: &Targets, role: usize, signal: Signal) -> bool {
    targets.roles[role].as_ref().inspect(|member| member.signal(signal)).is_some()
}

fn pick<T>(from: &[T], which: u64) -> Option<&T> {
    let count = u64::try_from(from.len()).unwrap();
    from.get(usize::try_from(which.checked_rem(count)?).unwrap())
}

/// A bit, half of it, or all of it.
fn damaged(path: &Path, mut bytes: Vec<u8>, how: u64) -> std::io::Result<()> {
    fs::remove_file(path)?;
    let middle = bytes.len() / 2;
    match how {
        0 => bytes[middle] ^= 1,
        1 => bytes.truncate(middle),
        _ => return Ok(()),
    }
    // Under another name first: who reads it at this moment reads one or the other.
    let aside: PathBuf = path.with_extension("damaged");
    fs::write(&aside, bytes)?;
    fs::rename(aside, path)
}
