//! The families' numbers. Labels are few and bounded (configured names and words of the domain), so a map per family does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::about::{About, Family, Kind};
use super::text::{Sample, Value};

type Labels<const L: usize> = [String; L];

/// Numbers by labels.
struct Series<const L: usize, N>(Mutex<BTreeMap<Labels<L>, Arc<N>>>);

impl<const L: usize, N> Series<L, N> {
    const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Labels<L>, Arc<N>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, labels: [&str; L], fresh: impl FnOnce() -> N) -> Arc<N> {
        Arc::clone(self.lock().entry(labels.map(str::to_owned)).or_insert_with(|| Arc::new(fresh())))
    }

    fn samples(&self, value: impl Fn(&N) -> Value) -> Vec<Sample> {
        let sample = |(labels, number): (&Labels<L>, &Arc<N>)| Sample {
            labels: labels.to_vec(),
            value: value(number),
        };
        self.lock().iter().map(sample).collect()
    }
}

/// A family of counters.
pub struct Counters<const L: usize> {
    about: About,
    labels: [&'static str; L],
    series: Series<L, AtomicU64>,
}

/// One counter, to be kept by whoever counts.
#[derive(Clone, Debug)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How many by now.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl<const L: usize> Counters<L> {
    pub(super) const fn new(labels: [&'static str; L], about: About) -> Self {
        Self { about, labels, series: Series::new() }
    }

    /// The counter with these labels; it shows, at zero, from now on.
    pub fn with(&self, labels: [&str; L]) -> Counter {
        Counter(self.series.of(labels, AtomicU64::default))
    }
}

impl<const L: usize> Family for Counters<L> {
    fn about(&self) -> &About {
        &self.about
    }
    fn kind(&self) -> Kind {
        Kind::Counter
    }
    fn labels(&self) -> &[&'static str] {
        &self.labels
    }
    fn samples(&self) -> Vec<Sample> {
        self.series.samples(|number| Value::Whole(number.load(Ordering::Relaxed)))
    }
}

/// A family of gauges.
pub struct Gauges<const L: usize> {
    about: About,
    labels: [&'static str; L],
    series: Series<L, AtomicU64>,
}

/// One gauge, to be kept by whoever knows.
#[derive(Clone, Debug)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// It is so much now.
    pub fn set(&self, now: f64) {
        self.0.store(now.to_bits(), Ordering::Relaxed);
    }

    /// It is so much more, or less, than it was.
    pub fn add(&self, more: f64) {
        let sum = |bits: u64| Some((f64::from_bits(bits) + more).to_bits());
        // The closure always gives a number.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
    }
}

/// A gauge that goes when its holder does: what nobody knows any more is not shown.
#[derive(Debug)]
pub struct GaugeGuard<const L: usize> {
    family: &'static Gauges<L>,
    labels: Labels<L>,
    gauge: Gauge,
}

impl<const L: usize> std::ops::Deref for GaugeGuard<L> {
    type Target = Gauge;

    fn deref(&self) -> &Gauge {
        &self.gauge
    }
}

impl<const L: usize> Drop for GaugeGuard<L> {
    fn drop(&mut self) {
        let mut series = self.family.series.lock();
        // A successor with the same labels may have its own already.
        if series.get(&self.labels).is_some_and(|number| Arc::ptr_eq(number, &self.gauge.0)) {
            series.remove(&self.labels);
        }
    }
}

impl<const L: usize> Gauges<L> {
    pub(super) const fn new(labels: [&'static str; L], about: About) -> Self {
        Self { about, labels, series: Series::new() }
    }

    /// A gauge with these labels, at zero, in the place of an older one, until it is dropped.
    pub fn hold(&'static self, labels: [&str; L]) -> GaugeGuard<L> {
        let labels = labels.map(str::to_owned);
        let number = Arc::new(AtomicU64::new(0.0f64.to_bits()));
        self.series.lock().insert(labels.clone(), Arc::clone(&number));
        GaugeGuard { family: self, labels, gauge: Gauge(number) }
    }

    /// These are all there are now.
    pub fn replace(&self, now: impl IntoIterator<Item = ([String; L], f64)>) {
        let fresh =
            now.into_iter().map(|(labels, value)| (labels, Arc::new(AtomicU64::new(value.to_bits()))));
        *self.series.lock() = fresh.collect();
    }
}

impl<const L: usize> std::fmt::Debug for Gauges<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.about.name)
    }
}

impl<const L: usize> Family for Gauges<L> {
    fn about(&self) -> &About {
        &self.about
    }
    fn kind(&self) -> Kind {
        Kind::Gauge
    }
    fn labels(&self) -> &[&'static str] {
        &self.labels
    }
    fn samples(&self) -> Vec<Sample> {
        self.series.samples(|number| Value::Real(f64::from_bits(number.load(Ordering::Relaxed))))
    }
}

/// Upper bounds of the classes of durations; the last class has none.
pub(super) const BOUNDS: [Duration; 12] = [
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
];

/// A family of histograms of durations.
pub struct Durations<const L: usize> {
    about: About,
    labels: [&'static str; L],
    series: Series<L, Classes>,
}

#[derive(Debug, Default)]
struct Classes {
    counts: [AtomicU64; BOUNDS.len() + 1],
    /// Whole durations would overflow in 584 years.
    nanos: AtomicU64,
}

/// One histogram, to be kept by whoever measures.
#[derive(Clone, Debug)]
pub struct Timer(Arc<Classes>);

impl Timer {
    /// It took so long.
    pub fn took(&self, duration: Duration) {
        let class = BOUNDS.iter().position(|bound| duration <= *bound).unwrap_or(BOUNDS.len());
        self.0.counts[class].fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.0.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// It took from `begun` to now.
    pub fn since(&self, begun: Instant) {
        self.took(begun.elapsed());
    }
}

impl<const L: usize> Durations<L> {
    pub(super) const fn new(labels: [&'static str; L], about: About) -> Self {
        Self { about, labels, series: Series::new() }
    }

    /// The histogram with these labels.
    pub fn with(&self, labels: [&str; L]) -> Timer {
        Timer(self.series.of(labels, Classes::default))
    }
}

impl<const L: usize> Family for Durations<L> {
    fn about(&self) -> &About {
        &self.about
    }
    fn kind(&self) -> Kind {
        Kind::Histogram
    }
    fn labels(&self) -> &[&'static str] {
        &self.labels
    }
    fn samples(&self) -> Vec<Sample> {
        self.series.samples(|classes| Value::Durations {
            classes: classes.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            sum: Duration::from_nanos(classes.nanos.load(Ordering::Relaxed)),
        })
    }
}
