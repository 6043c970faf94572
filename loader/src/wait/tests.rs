//! Waiting without a guest.

use super::*;
use crate::interrupt::InterruptHandle;
use std::thread;
use std::time::Instant;

/// Until so many wait at any address.
fn until(queue: &WaitQueue, count: usize) {
    while queue.count.load(Ordering::SeqCst) != count {
        thread::yield_now();
    }
}

#[test]
fn the_oldest_is_woken_first_and_the_count_is_exact() {
    let queue = WaitQueue::new();
    let woken = AtomicUsize::new(0);
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for count in 1..=4 {
            let (queue, woken) = (&queue, &woken);
            threads.push(scope.spawn(move || {
                let own = Arc::new(Activation::new());
                let outcome = queue.wait(&own, 8, || true, None);
                assert_eq!(outcome, Outcome::Woken);
                woken.fetch_add(1, Ordering::SeqCst);
            }));
            until(queue, count);
        }
        assert_eq!(queue.notify(4, 10), 0, "nobody waits there");
        assert_eq!(queue.notify(8, 1), 1);
        threads.remove(0).join().expect("the oldest");
        assert_eq!(woken.load(Ordering::SeqCst), 1);
        assert_eq!(queue.notify(8, 0), 0);
        assert_eq!(queue.notify(8, u32::MAX), 3);
    });
    assert_eq!(queue.notify(8, 1), 0);
    assert_eq!(woken.load(Ordering::SeqCst), 4);
}

#[test]
fn who_finds_another_value_or_no_time_does_not_wait() {
    let queue = WaitQueue::new();
    let own = Arc::new(Activation::new());
    assert_eq!(queue.wait(&own, 0, || false, None), Outcome::NotEqual);
    assert_eq!(queue.wait(&own, 0, || true, Some(0)), Outcome::TimedOut);
    let begun = Instant::now();
    let outcome = queue.wait(&own, 0, || true, Some(2_000_000));
    assert_eq!(outcome, Outcome::TimedOut);
    assert!(begun.elapsed() >= Duration::from_millis(2));
    assert_eq!(queue.count.load(Ordering::SeqCst), 0);
}

#[test]
fn a_kill_wakes_whenever_it_comes() {
    let queue = WaitQueue::new();
    for round in 0..300 {
        let own = Arc::new(Activation::new());
        let handle = InterruptHandle::new(Arc::clone(&own));
        thread::scope(|scope| {
            let queue = &queue;
            scope.spawn(move || queue.wait(&own, 0, || true, None));
            if round % 3 == 0 {
                until(queue, 1);
            } else if round % 3 == 1 {
                thread::yield_now();
            }
            handle.kill();
        });
        assert_eq!(queue.count.load(Ordering::SeqCst), 0);
    }
}

/// No notification is lost, and none is counted that woke nobody, when time is over meanwhile.
#[test]
fn notifications_and_timeouts_at_once() {
    const ROUNDS: usize = 500;
    let queue = WaitQueue::new();
    let (woken, notified) = thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let own = Arc::new(Activation::new());
            let wait = |round| queue.wait(&own, 0, || true, Some(round as u64 % 7 * 10_000));
            (0..ROUNDS)
                .filter(|round| wait(*round) == Outcome::Woken)
                .count()
        });
        let mut notified = 0;
        while !waiter.is_finished() {
            notified += queue.notify(0, 1) as usize;
        }
        (waiter.join().expect("the waiter"), notified)
    });
    assert_eq!(woken, notified);
}
