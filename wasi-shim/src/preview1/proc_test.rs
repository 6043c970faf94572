//! Tests of `proc`.

use super::proc::{Raised, proc_exit, proc_raise, sched_yield};
use crate::Exit;
use crate::errno::Errno;
use crate::testing::World;

#[test]
fn exit_codes_are_passed_on() {
    let mut world = World::new(|_| {});
    for code in [0, 1, 125, 256, u32::MAX] {
        assert_eq!(proc_exit(&mut world.ctx, code), Exit { code });
    }
}

#[test]
fn signals_do_to_the_guest_what_they_do_to_a_process() {
    let mut world = World::new(|_| {});
    let mut raise = |signal| proc_raise(&mut world.ctx, signal);
    for ignored in [0, 16, 17, 22, 27] {
        assert_eq!(raise(ignored), Ok(Raised::Ignored));
    }
    for stops in 18..=21 {
        assert_eq!(raise(stops), Err(Errno::Notsup));
    }
    // Number of WASI, number of Linux: abort, kill, segv, term, and the last.
    for (signal, linux) in [(6, 6), (9, 9), (11, 11), (15, 15), (30, 31)] {
        assert_eq!(raise(signal), Ok(Raised::Ended(Exit { code: 128 + linux })));
    }
    assert_eq!(raise(31), Err(Errno::Inval));
    assert_eq!(raise(u32::MAX), Err(Errno::Inval));
}

#[test]
fn yielding_succeeds() {
    let mut world = World::new(|_| {});
    assert_eq!(world.call(sched_yield), Ok(()));
}
