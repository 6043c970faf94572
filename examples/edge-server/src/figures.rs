//! What goes on: counters and times, taken without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Numbers of a power of two that are told apart.
const STEPS: u64 = 16;
const BUCKETS: usize = 64 * STEPS as usize;

/// How often something took how long, to one part in sixteen.
pub(crate) struct Times {
    buckets: Box<[AtomicU64]>,
}

impl Times {
    pub(crate) fn new() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    pub(crate) fn add(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanoseconds)].fetch_add(1, Ordering::Relaxed);
    }

    /// The times that these parts (of one) of all did not exceed, in microseconds.
    pub(crate) fn quantiles<const N: usize>(&self, parts: [f64; N]) -> [f64; N] {
        let counts: Vec<u64> = self
            .buckets
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .collect();
        let all: u64 = counts.iter().sum();
        parts.map(|part| {
            let wanted = (all as f64 * part).ceil() as u64;
            let mut seen = 0;
            let found = counts.iter().position(|count| {
                seen += count;
                seen >= wanted && seen > 0
            });
            found.map_or(0.0, |bucket| highest(bucket) as f64 / 1e3)
        })
    }
}

/// The bucket of a number.
fn bucket(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let shift = value.ilog2() - STEPS.ilog2();
    (u64::from(shift + 1) * STEPS + (value >> shift) - STEPS) as usize
}

/// The highest number in a bucket.
fn highest(bucket: usize) -> u64 {
    let (power, step) = (bucket as u64 / STEPS, bucket as u64 % STEPS);
    match power {
        0 => step,
        _ => ((STEPS + step + 1) << (power - 1)).wrapping_sub(1),
    }
}

/// How requests ended.
#[derive(Default)]
pub(crate) struct Counts {
    /// The program answered.
    pub(crate) answered: AtomicU64,
    /// It trapped.
    pub(crate) trapped: AtomicU64,
    /// Its time was over.
    pub(crate) late: AtomicU64,
    /// It ended itself with an error, or what it wrote is no answer.
    pub(crate) failed: AtomicU64,
    /// There were too many at a time.
    pub(crate) refused: AtomicU64,
    /// The server was at fault.
    pub(crate) broken: AtomicU64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_lies_below_the_highest_of_its_bucket_and_near() {
        for value in (0..2000)
            .chain((11..64).map(|bit| (1u64 << bit) + 12345 % (1 << bit)))
            .chain([u64::MAX])
        {
            let highest = highest(bucket(value));
            assert!(value <= highest, "{value} {highest}");
            assert!(highest - value <= value / STEPS, "{value} {highest}");
            assert!(bucket(value) < BUCKETS);
        }
    }

    #[test]
    fn quantiles_are_of_all_that_was_added() {
        let times = Times::new();
        assert_eq!(times.quantiles([0.5]), [0.0]);
        for micros in 1..=100 {
            times.add(Duration::from_micros(micros));
        }
        let [half, most] = times.quantiles([0.5, 0.99]);
        assert!((50.0..54.0).contains(&half), "{half}");
        assert!((99.0..106.0).contains(&most), "{most}");
    }
}
