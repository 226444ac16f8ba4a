//! Kills at random: of several processes, several in a row, at any point or at any moment.
//!
//! Each round prints its seed. `N2S_KILLS_SEED` brings a round's choices back (threads still fall as they fall: repeat it with
//! `N2S_KILLS`, the number of rounds).

use std::process::{Child, Stdio};
use std::time::Duration;

use n2s_domain::{Entropy as _, SeededEntropy, SystemEntropy};

use crate::stage::Stage;
use crate::{mend, scenarios};

/// Rounds in `make test`.
const ROUNDS: u64 = 16;
/// A push passes about so many points.
const HITS: u64 = 350;
/// And takes about so long.
const MICROS: u64 = 150_000;

#[test]
fn killed_at_random_again_and_again() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let rounds = number("N2S_KILLS").unwrap_or(ROUNDS);
    let mut stage = Stage::new();
    (scenarios::SECOND_PUSH.prepare)(&stage);
    for _ in 0..rounds {
        let seed = number("N2S_KILLS_SEED").unwrap_or_else(|| SystemEntropy.next_u64());
        eprintln!("N2S_KILLS_SEED={seed}");
        round(&mut stage, &SeededEntropy::new(seed));
    }
}

fn round(stage: &mut Stage, dice: &SeededEntropy) {
    let below = |bound: u64| dice.next_u64() % bound;
    stage.restore();
    for _ in 0..=below(4) {
        // An engine of its own beside the command, now and then: whoever survives takes over.
        let beside = (below(3) == 0).then(|| start(stage, &["up"], Some(1 + below(HITS))));
        let args: &[&str] = match below(8) {
            0 => &["keys", "rotate"],
            1 => &["up"],
            2 => &["push", "--project", "p", "--dataset", "d", "--take-over", "src"],
            3 => &["push", "--project", "p", "--dataset", "d", "--no-wait", "src"],
            _ => scenarios::SECOND_PUSH.args,
        };
        // Half of them at a point, half at a moment that has nothing to do with any.
        let by_point = below(2) == 0;
        let mut child = start(stage, args, by_point.then(|| 1 + below(HITS)));
        std::thread::sleep(Duration::from_micros(below(MICROS)));
        if by_point && args != ["up"] {
            child.wait().unwrap();
        }
        for mut child in [Some(child), beside].into_iter().flatten() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        if below(2) == 0 {
            stage.lose_unacknowledged();
        }
    }
    mend(stage, &scenarios::SECOND_PUSH, below(2) == 0);
}

/// Starts a command; it may kill itself at the `hit`th point it passes, of whichever kind.
fn start(stage: &Stage, args: &[&str], hit: Option<u64>) -> Child {
    eprintln!("  {} {hit:?}", args.join(" "));
    let mut command = stage.world.command(args);
    command
        .envs(hit.map(|hit| ("N2S_FAILPOINT", format!("any:{hit}"))))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}
