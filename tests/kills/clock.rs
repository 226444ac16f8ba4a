//! The clock of the process set back by a day, while it runs and between two runs.
//!
//! Everything the catalog compares is by this clock: due times, leases, deadlines, grace. What was written before the jump lies a
//! day ahead after it, and nobody shall wait for that day.

use n2s_failpoints::Point;

use crate::stage::Stage;
use crate::{invariants, scenarios};

const DAY_BACK: &str = "-86400";
/// Less than a retry may wait: only rows that were never claimed tell that the clock went back.
const HALF_AN_HOUR_BACK: &str = "-1800";

/// At any step of a push that goes on; the steps of those who write times down.
#[test]
fn the_clock_goes_back_a_day_in_the_middle_of_a_push() {
    let scenario = scenarios::SECOND_PUSH;
    let mut stage = Stage::new();
    (scenario.prepare)(&stage);
    let keepers = ["catalog.", "dispatcher.", "worker.", "sweeper."];
    let tells_time = |point: &Point| keepers.iter().any(|keeper| point.name().starts_with(keeper));
    for point in stage.hits(scenario.args).into_keys().filter(tells_time) {
        stage.restore();
        eprintln!("back at {}", point.name());
        let start = stage.wreck();
        let at = format!("{}:1:back", point.name());
        stage.run(scenario.args, &[("N2S_FAILPOINT", &at)]).unwrap().code(0);
        assert!(stage.log().contains(&format!("fired {}", point.name())), "the clock did not move");
        invariants::nothing_uploaded_twice(&stage, &start);
        invariants::nothing_lost(&mut stage, &start);
        invariants::staging_empties(&stage);
    }
}

/// Between a push that was killed and the same again; then once more, and forward again.
#[test]
fn the_clock_goes_back_a_day_after_a_kill() {
    let scenario = scenarios::SECOND_PUSH;
    let mut stage = Stage::new();
    (scenario.prepare)(&stage);
    let points = [
        Point::ClientOpened,
        Point::Staged,
        Point::EntriesRecorded,
        Point::Marked,
        Point::Claimed,
        Point::Finishing,
        Point::Finished,
        Point::PushCommitted,
        Point::HeaderPut,
    ];
    let often = points.map(|point| (point, DAY_BACK)).into_iter();
    for (point, back) in often.chain([(Point::EntriesRecorded, HALF_AN_HOUR_BACK)]) {
        stage.restore();
        eprintln!("killed at {}, {back} s", point.name());
        assert!(stage.run(scenario.args, &[("N2S_FAILPOINT", point.name())]).is_none());
        let wreck = stage.wreck();
        for offset in [back, back, "0"] {
            stage.run(scenario.args, &[("N2S_CLOCK_OFFSET_SECS", offset)]).unwrap().code(0);
        }
        invariants::nothing_uploaded_twice(&stage, &wreck);
        let now = invariants::nothing_lost(&mut stage, &wreck);
        invariants::versions_come_back(&stage, &now);
        invariants::staging_empties(&stage);
    }
}
