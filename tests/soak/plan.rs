//! What is done to a fleet and by its clients, drawn from a seed before anything starts: the same seed, the same plan.
//!
//! Faults are dealt like cards, every kind once before any comes again, so that a short run has them all. What ends later (a cut link, a
//! stopped process) is a pair of entries, so the one who carries the plan out never waits for a fault's end.

use n2s_domain::{Entropy as _, SeededEntropy};
use n2s_servers::s3_faulty::Fault;

/// The processes of the fleet.
pub const ROLES: [&str; 8] =
    ["intake-1", "intake-2", "dispatcher-1", "dispatcher-2", "worker-1", "worker-2", "worker-3", "validator"];
/// The links that can be cut.
pub const LINKS: [&str; 4] = ["client-1", "client-2", "database", "broker"];
/// Who pushes, each a dataset of its own; the first three share a project, and so contents.
pub const CLIENTS: [&str; 4] = ["shared/a", "shared/b", "shared/c", "alone/a"];
/// The stores behind a proxy that misbehaves.
pub const BUCKETS: [&str; 2] = ["far", "staging"];

/// Something done to the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Kill(usize),
    Start(usize),
    Stop(usize),
    Continue(usize),
    RestartBroker,
    WipeBroker,
    PurgeQueue(u64),
    DeleteQueue(u64),
    RestartDatabase,
    TerminateBackends,
    Cut(usize),
    Stall(usize),
    Reset(usize),
    Heal(usize),
    Spoil(usize, Spoiled),
    /// Damages an object on the disk: which, and how.
    Damage(u64, u64),
}

/// A fault of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spoiled {
    pub fault: Fault,
    pub method: &'static str,
    pub times: u64,
}

/// When.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    pub at_ms: u64,
    pub deed: Deed,
}

impl Deed {
    /// What it is counted as.
    pub fn name(&self) -> String {
        match self {
            Self::Kill(role) => format!("kill {}", kind(ROLES[*role])),
            Self::Start(role) => format!("start {}", kind(ROLES[*role])),
            Self::Stop(role) => format!("SIGSTOP {}", kind(ROLES[*role])),
            Self::Continue(role) => format!("SIGCONT {}", kind(ROLES[*role])),
            Self::RestartBroker => "restart broker".to_owned(),
            Self::WipeBroker => "wipe broker".to_owned(),
            Self::PurgeQueue(_) => "purge queue".to_owned(),
            Self::DeleteQueue(_) => "delete queue".to_owned(),
            Self::RestartDatabase => "restart database".to_owned(),
            Self::TerminateBackends => "terminate database sessions".to_owned(),
            Self::Cut(link) => format!("cut link {}", kind(LINKS[*link])),
            Self::Stall(link) => format!("stall link {}", kind(LINKS[*link])),
            Self::Reset(link) => format!("reset link {}", kind(LINKS[*link])),
            Self::Heal(link) => format!("heal link {}", kind(LINKS[*link])),
            Self::Spoil(bucket, spoiled) => format!("{} {}", BUCKETS[*bucket], spoiled.fault.name()),
            Self::Damage(..) => "damage object".to_owned(),
        }
    }
}

/// A name without its number.
fn kind(name: &str) -> &str {
    name.split('-').next().unwrap_or(name)
}

/// What goes wrong with buckets, and with which requests.
const SPOILS: [(Fault, &str); 12] = [
    (Fault::CutRequest, "PUT"),
    (Fault::LoseAnswer, "PUT"),
    (Fault::Answer(500, "InternalError", None), ""),
    (Fault::Answer(503, "ServiceUnavailable", Some(1)), ""),
    (Fault::Answer(429, "TooManyRequests", Some(1)), "PUT"),
    (Fault::Stall, ""),
    (Fault::CutAnswer, "GET"),
    (Fault::Truncate, "GET"),
    (Fault::Corrupt, "GET"),
    (Fault::WrongSums, "GET"),
    (Fault::Answer(403, "AccessDenied", None), ""),
    (Fault::Answer(400, "BadDigest", None), "PUT"),
];

struct Dealer {
    dice: SeededEntropy,
    long: bool,
}

impl Dealer {
    fn below(&self, bound: u64) -> u64 {
        self.dice.next_u64() % bound
    }

    fn one_of(&self, from: std::ops::Range<usize>) -> usize {
        let count = u64::try_from(from.len()).unwrap();
        from.start + usize::try_from(self.below(count)).unwrap()
    }

    /// Every kind once, in a drawn order: each is what happens, and after how long its end comes.
    fn deck(&self) -> Vec<(Deed, Option<(u64, Deed)>)> {
        let mut cards = Vec::new();
        // An intake, a dispatcher, two workers, the validator.
        for roles in [0..2, 2..4, 4..7, 4..7, 7..8] {
            let role = self.one_of(roles.clone());
            cards.push((Deed::Kill(role), Some((500 + self.below(3_500), Deed::Start(role)))));
            let role = self.one_of(roles);
            // Past a lease, when there is time for it.
            let past = if self.long && self.below(3) == 0 { 65_000 } else { 0 };
            cards.push((Deed::Stop(role), Some((past + 500 + self.below(8_000), Deed::Continue(role)))));
        }
        for link in 0..LINKS.len() {
            let heal = |ms: u64| Some((ms, Deed::Heal(link)));
            cards.push((Deed::Cut(link), heal(500 + self.below(4_000))));
            cards.push((Deed::Stall(link), heal(500 + self.below(4_000))));
            cards.push((Deed::Reset(link), None));
        }
        for (fault, method) in SPOILS {
            // What befalls every request opens the breaker, and is then met by one probe after another: many would keep the bucket away for
            // minutes, and the faults of single requests would wait behind them.
            let times = if method.is_empty() { 2 + self.below(5) } else { 3 + self.below(25) };
            cards.push((Deed::Spoil(0, Spoiled { fault, method, times }), None));
            // What staging denies or refuses, a client is told; the rest it gets over.
            let bucket = usize::from(self.below(2) == 0 && !matches!(fault, Fault::Answer(400 | 403, ..)));
            cards.push((Deed::Spoil(bucket, Spoiled { fault, method, times: 1 + times / 3 }), None));
        }
        cards.extend([
            (Deed::RestartBroker, None),
            (Deed::WipeBroker, None),
            (Deed::PurgeQueue(self.below(9)), None),
            (Deed::DeleteQueue(self.below(9)), None),
            (Deed::RestartDatabase, None),
            (Deed::TerminateBackends, None),
            (Deed::TerminateBackends, None),
        ]);
        cards.extend((0..4).map(|_| (Deed::Damage(self.dice.next_u64(), self.below(3)), None)));
        for last in (1..cards.len()).rev() {
            cards.swap(last, self.one_of(0..last + 1));
        }
        cards
    }
}

/// Everything that is done to the fleet, in the order of time.
pub fn deeds(seed: u64, secs: u64) -> Vec<Planned> {
    let dealer = Dealer { dice: SeededEntropy::new(seed), long: secs >= 300 };
    let end = secs * 1_000;
    let mut planned: Vec<Planned> = Vec::new();
    let mut at_ms = 2_000;
    'all: loop {
        for (deed, later) in dealer.deck() {
            if at_ms >= end {
                break 'all;
            }
            planned.push(Planned { at_ms, deed });
            planned.extend(later.map(|(after, deed)| Planned { at_ms: at_ms + after, deed }));
            at_ms += 300 + dealer.below(1_700);
        }
    }
    planned.sort_by_key(|planned| planned.at_ms);
    planned
}

/// What a client does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Changes so many files, and pushes; killed after so many ms, if it still runs then.
    Push { changes: u64, wait: bool, kill_ms: Option<u64> },
    /// Pushes as somebody else, who takes an open push over.
    TakeOver { changes: u64 },
    /// Pulls a version it was told of, or the latest; killed after so many ms.
    Pull { latest: bool, kill_ms: Option<u64> },
    /// Pushes without waiting, gives up what that waits for, and takes it up again.
    Cancel { changes: u64 },
    /// Asks what a dashboard or an operator asks.
    Ask,
}

/// What each client draws its steps and its files from.
pub fn dice_of(seed: u64, client: usize) -> SeededEntropy {
    SeededEntropy::new(seed ^ (u64::try_from(client).unwrap() + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Draws a client's next step.
pub fn step(dice: &SeededEntropy) -> Step {
    let below = |bound: u64| dice.next_u64() % bound;
    let changes = 1 + below(if below(6) == 0 { 120 } else { 20 });
    let kill_ms = 50 + below(3_000);
    match below(16) {
        0..=4 => Step::Push { changes, wait: true, kill_ms: None },
        5..=6 => Step::Push { changes, wait: false, kill_ms: None },
        7..=9 => Step::Push { changes, wait: true, kill_ms: Some(kill_ms) },
        10 => Step::Push { changes: 0, wait: true, kill_ms: None },
        11 => Step::TakeOver { changes },
        12 => Step::Pull { latest: true, kill_ms: None },
        13 => Step::Pull { latest: false, kill_ms: (below(3) == 0).then_some(kill_ms / 4) },
        14 => Step::Cancel { changes },
        _ => Step::Ask,
    }
}
