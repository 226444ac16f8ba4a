//! The text that Prometheus reads.

use std::fmt::Write as _;
use std::time::Duration;

use super::about::{Family, Kind};
use super::families;
use super::series::BOUNDS;

/// One line's labels, in the family's order, and its number.
#[derive(Debug)]
pub struct Sample {
    pub(super) labels: Vec<String>,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Whole(u64),
    Real(f64),
    Durations { classes: Vec<u64>, sum: Duration },
}

/// Everything this process knows. Families that have nothing to say are left out.
pub fn render() -> String {
    let mut text = String::with_capacity(16 << 10);
    for family in families::ALL {
        write_family(&mut text, *family).expect("writing into memory does not fail");
    }
    text
}

fn write_family(text: &mut String, family: &dyn Family) -> std::fmt::Result {
    let samples = family.samples();
    if samples.is_empty() {
        return Ok(());
    }
    let about = family.about();
    writeln!(text, "# HELP {} {}", about.name, about.help)?;
    writeln!(text, "# TYPE {} {}", about.name, family.kind().as_str())?;
    for sample in &samples {
        let labels: Vec<(&str, &str)> =
            family.labels().iter().copied().zip(sample.labels.iter().map(String::as_str)).collect();
        match &sample.value {
            Value::Whole(number) => line(text, about.name, &labels, number)?,
            Value::Real(number) => line(text, about.name, &labels, number)?,
            Value::Durations { classes, sum } => histogram(text, about.name, &labels, (classes, *sum))?,
        }
    }
    debug_assert!(family.kind() != Kind::Counter || about.name.ends_with("_total"), "{}", about.name);
    Ok(())
}

fn histogram(
    text: &mut String,
    name: &str,
    labels: &[(&str, &str)],
    (classes, sum): (&[u64], Duration),
) -> std::fmt::Result {
    let (bucket, mut count) = (format!("{name}_bucket"), 0);
    for (place, class) in classes.iter().enumerate() {
        count += class;
        let bound = BOUNDS.get(place).map_or("+Inf".to_owned(), |bound| bound.as_secs_f64().to_string());
        let labels: Vec<_> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
        line(text, &bucket, &labels, count)?;
    }
    line(text, &format!("{name}_sum"), labels, sum.as_secs_f64())?;
    line(text, &format!("{name}_count"), labels, count)
}

fn line(
    text: &mut String,
    name: &str,
    labels: &[(&str, &str)],
    number: impl std::fmt::Display,
) -> std::fmt::Result {
    text.push_str(name);
    for (place, (label, value)) in labels.iter().enumerate() {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        write!(text, "{}{label}=\"{value}\"", if place == 0 { '{' } else { ',' })?;
    }
    writeln!(text, "{} {number}", if labels.is_empty() { "" } else { "}" })
}

#[cfg(test)]
mod tests {
    use super::super::about::About;
    use super::super::series::{Counters, Durations, Gauges};
    use super::*;

    static COUNTS: Counters<2> = Counters::new(
        ["backend", "result"],
        About { name: "n2s_things_total", unit: "things", help: "Things." },
    );
    static TIMES: Durations<0> =
        Durations::new([], About { name: "n2s_t_seconds", unit: "seconds", help: "Time." });
    static LEVELS: Gauges<1> =
        Gauges::new(["backend"], About { name: "n2s_level", unit: "ratio", help: "Level." });

    fn shown(family: &dyn Family) -> String {
        let mut text = String::new();
        write_family(&mut text, family).unwrap();
        text
    }

    #[test]
    fn counters_keep_their_labels_and_odd_ones_are_escaped() {
        COUNTS.with(["a\"\\\n", "ok"]).add(2);
        COUNTS.with(["a\"\\\n", "ok"]).increment();
        let expected = "# HELP n2s_things_total Things.\n# TYPE n2s_things_total counter\n\
            n2s_things_total{backend=\"a\\\"\\\\\\n\",result=\"ok\"} 3\n";
        assert_eq!(shown(&COUNTS), expected);
    }

    #[test]
    fn classes_add_up() {
        let timer = TIMES.with([]);
        for millis in [1, 20, 20, 3_600_000] {
            timer.took(Duration::from_millis(millis));
        }
        let text = shown(&TIMES);
        for line in [
            "n2s_t_seconds_bucket{le=\"0.001\"} 1\n",
            "n2s_t_seconds_bucket{le=\"0.025\"} 3\n",
            "n2s_t_seconds_bucket{le=\"120\"} 3\n",
            "n2s_t_seconds_bucket{le=\"+Inf\"} 4\n",
            "n2s_t_seconds_sum 3600.041\n",
            "n2s_t_seconds_count 4\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn a_gauge_goes_with_its_holder_and_a_successor_keeps_its_own() {
        let first = LEVELS.hold(["disk"]);
        first.set(0.5);
        assert!(shown(&LEVELS).ends_with("n2s_level{backend=\"disk\"} 0.5\n"));
        let second = LEVELS.hold(["disk"]);
        drop(first);
        assert!(shown(&LEVELS).ends_with("n2s_level{backend=\"disk\"} 0\n"));
        drop(second);
        assert_eq!(shown(&LEVELS), "");
        LEVELS.replace([(["a".to_owned()], 1.0)]);
        LEVELS.replace([(["b".to_owned()], 2.0)]);
        assert!(shown(&LEVELS).ends_with("gauge\nn2s_level{backend=\"b\"} 2\n"));
    }
}
