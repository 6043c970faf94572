//! Tests of `clock`.

use super::clock::{clock_res_get, clock_time_get};
use crate::errno::{Errno, Result};
use crate::guest::GuestPtr;
use crate::testing::{SIZE, World};

fn time(world: &mut World, id: u32) -> Result<u64> {
    world.call(|ctx, guest| clock_time_get(ctx, guest, id, 0, GuestPtr::new(8)))?;
    Ok(world.get(8))
}

#[test]
fn the_calendar_is_the_hosts() {
    let mut world = World::new(|_| {});
    let host = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64;
    let guest = time(&mut world, 0).unwrap();
    assert!(guest >= host && guest - host < 10_000_000_000);
}

#[test]
fn no_clock_goes_backwards() {
    let mut world = World::new(|_| {});
    for id in 1..4 {
        let mut last = time(&mut world, id).unwrap();
        for _ in 0..1000 {
            let now = time(&mut world, id).unwrap();
            assert!(now >= last, "clock {id}");
            last = now;
        }
    }
}

#[test]
fn cpu_time_counts_work() {
    let mut world = World::new(|_| {});
    let before = time(&mut world, 3).unwrap();
    let mut sum = 0u64;
    while time(&mut world, 3).unwrap() < before + 1_000_000 {
        sum = std::hint::black_box(sum.wrapping_add(1));
    }
    assert!(time(&mut world, 2).unwrap() > 0);
}

#[test]
fn every_clock_has_a_resolution() {
    let mut world = World::new(|_| {});
    for id in 0..4 {
        world
            .call(|ctx, guest| clock_res_get(ctx, guest, id, GuestPtr::new(8)))
            .unwrap();
        assert!(world.get::<u64>(8) >= 1);
    }
}

#[test]
fn unknown_clocks_and_bad_pointers_are_errors() {
    let mut world = World::new(|_| {});
    assert_eq!(time(&mut world, 4), Err(Errno::Inval));
    let outside = GuestPtr::new(SIZE as u32 - 7);
    let fault = world.call(|ctx, guest| clock_time_get(ctx, guest, 0, 0, outside));
    assert_eq!(fault, Err(Errno::Fault));
    let fault = world.call(|ctx, guest| clock_res_get(ctx, guest, 0, outside));
    assert_eq!(fault, Err(Errno::Fault));
}
