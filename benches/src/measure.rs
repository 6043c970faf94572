//! Rounds and medians.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::Result;

/// One contestant: does its work `count` times.
pub type Work<'a> = &'a mut dyn FnMut(u64) -> Result<()>;

/// Nanoseconds per operation, for each contestant in the order given.
#[derive(Clone, Debug)]
pub struct Times {
    /// The median over all rounds.
    pub median: Vec<f64>,
    /// The fastest round.
    pub fastest: Vec<f64>,
}

/// Which time is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// What this thread spent on a CPU: other programs on the machine weigh less.
    Thread,
    /// What all threads of this process spent on CPUs: for work in threads of its own.
    Process,
    /// What passed: for work on several threads, or in other processes.
    Wall,
}

impl Clock {
    /// What has passed since some moment.
    pub fn now(self) -> Duration {
        let id = match self {
            Self::Thread => ClockId::ThreadCPUTime,
            Self::Process => ClockId::ProcessCPUTime,
            Self::Wall => ClockId::Monotonic,
        };
        let time = clock_gettime(id);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
}

/// How long and how often to measure.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Rounds; in each, every contestant runs once.
    pub rounds: usize,
    /// How long one contestant's part of a round should take.
    pub slice: Duration,
    /// An upper bound on operations per slice.
    pub most: u64,
    /// What to measure.
    pub clock: Clock,
}

impl Plan {
    /// For operations of nanoseconds: many in a slice of some milliseconds.
    pub const fn short() -> Self {
        Self {
            rounds: 41,
            slice: Duration::from_millis(4),
            most: u64::MAX,
            clock: Clock::Thread,
        }
    }

    /// The same by another clock.
    pub const fn by(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// For operations of milliseconds: one at a time.
    pub const fn single(rounds: usize) -> Self {
        Self {
            rounds,
            slice: Duration::ZERO,
            most: 1,
            clock: Clock::Thread,
        }
    }
}

/// Runs the contestants in turn and takes medians.
///
/// The number of operations per slice is found once, from the first contestant, and is
/// the same for all, so that a fixed cost per slice weighs on all alike. The order turns
/// around every round: whoever runs second inherits the other's caches.
pub fn interleave(plan: Plan, contestants: &mut [Work<'_>]) -> Result<Times> {
    let Some(first) = contestants.first_mut() else {
        return Ok(Times {
            median: Vec::new(),
            fastest: Vec::new(),
        });
    };
    let count = calibrate(plan, *first)?;
    for work in contestants.iter_mut() {
        work(count.min(1000))?;
    }
    let mut samples = vec![Vec::with_capacity(plan.rounds); contestants.len()];
    for round in 0..plan.rounds {
        for turn in 0..contestants.len() {
            let who = if round % 2 == 0 {
                turn
            } else {
                contestants.len() - 1 - turn
            };
            let started = plan.clock.now();
            contestants[who](count)?;
            samples[who].push((plan.clock.now() - started).as_nanos() as f64 / count as f64);
        }
    }
    Ok(Times {
        median: samples.iter_mut().map(|sample| median(sample)).collect(),
        fastest: samples
            .iter()
            .map(|sample| sample.iter().copied().fold(f64::INFINITY, f64::min))
            .collect(),
    })
}

/// How many operations fill a slice.
fn calibrate(plan: Plan, work: Work<'_>) -> Result<u64> {
    let mut count = 1;
    while count < plan.most {
        let started = plan.clock.now();
        work(count)?;
        let took = plan.clock.now() - started;
        if took >= plan.slice / 2 {
            break;
        }
        count *= 2;
    }
    Ok(count.min(plan.most))
}

/// The middle value; the mean of the two middle ones where there are two. NaN for nothing.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// The mean of ratios that does not depend on which way round they were taken.
pub fn geometric_mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| {
        (sum + value.ln(), count + 1)
    });
    (sum / f64::from(count)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn contestants_do_the_same_amount_of_work() {
        let (mut a, mut b) = (0, 0);
        let plan = Plan {
            rounds: 3,
            slice: Duration::ZERO,
            most: 10,
            clock: Clock::Thread,
        };
        let times = interleave(
            plan,
            &mut [
                &mut |n| {
                    a += n;
                    Ok(())
                },
                &mut |n| {
                    b += n;
                    Ok(())
                },
            ],
        )
        .expect("nothing here can fail");
        assert_eq!(times.median.len(), 2);
        // The first one also ran to find the count.
        assert!(b > 0 && a >= b);
    }
}
