//! What counting costs whoever counts, alone and with three others at the same number: `cargo run --release -p n2s-telemetry --example cost`.

#![expect(clippy::print_stdout, reason = "it is a program that prints what it measured")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use n2s_telemetry::metrics;
use n2s_telemetry::metrics::families::{CATALOG_CONNECTIONS, CATALOG_SECONDS, CLAIMED};

const TIMES: u32 = 2_000_000;

/// Nanoseconds for one.
fn cost(threads: u32, count: impl Fn() + Sync) -> f64 {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| (0..TIMES).for_each(|_| count()));
        }
    });
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(TIMES)
}

fn main() {
    let counter = CLAIMED.with(["disk"]);
    let gauge = CATALOG_CONNECTIONS.hold(["main", "in_use"]);
    let timer = CATALOG_SECONDS.with(["claim jobs"]);
    let cases: [(&str, &(dyn Fn() + Sync)); 6] = [
        ("nothing", &|| {
            black_box(());
        }),
        ("a counter that is kept", &|| counter.increment()),
        ("a gauge that is kept", &|| gauge.add(1.0)),
        ("a duration, measured already", &|| timer.took(black_box(Duration::from_micros(700)))),
        ("a call that is timed: two looks at the clock and a duration", &|| {
            timer.since(black_box(Instant::now()));
        }),
        ("a counter that is looked up by its labels", &|| CLAIMED.with([black_box("disk")]).increment()),
    ];
    println!("{:>10} {:>10}", "1 thread", "4 threads");
    for (name, count) in cases {
        println!("{:>7.1} ns {:>7.1} ns  {name}", cost(1, count), cost(4, count));
    }
    let begun = Instant::now();
    let text = metrics::render();
    println!("a page of {} bytes: {:?}", text.len(), begun.elapsed());
}
