//! Tests of `random`.

use std::collections::HashSet;

use super::random::random_get;
use crate::errno::Errno;
use crate::guest::GuestSlice;
use crate::testing::{SIZE, World};

#[test]
fn small_and_large_requests_are_filled() {
    let mut world = World::new(|_| {});
    for len in [1u32, 8, 100, 128, 129, 256, 257, 5000, SIZE as u32] {
        world.memory.fill(0);
        world
            .call(|ctx, guest| random_get(ctx, guest, GuestSlice::new(0, len)))
            .unwrap();
        // One zero byte in 256 is chance; so many in a row that a piece was left out is not.
        let zeros = world.memory[..len as usize]
            .iter()
            .filter(|&&byte| byte == 0)
            .count();
        assert!(zeros <= 4 + len as usize / 64, "{zeros} of {len}");
        assert!(world.memory[len as usize..].iter().all(|&byte| byte == 0));
    }
}

#[test]
fn no_bytes_are_given_twice() {
    let mut world = World::new(|_| {});
    let mut seen = HashSet::new();
    for _ in 0..1000 {
        world
            .call(|ctx, guest| random_get(ctx, guest, GuestSlice::new(0, 16)))
            .unwrap();
        assert!(seen.insert(world.bytes(0, 16).to_vec()));
    }
}

#[test]
fn a_buffer_outside_of_memory_is_a_fault() {
    let mut world = World::new(|_| {});
    for (at, len) in [(SIZE as u32, 1), (0, SIZE as u32 + 1), (u32::MAX, u32::MAX)] {
        let fault = world.call(|ctx, guest| random_get(ctx, guest, GuestSlice::new(at, len)));
        assert_eq!(fault, Err(Errno::Fault));
    }
    let nothing = world.call(|ctx, guest| random_get(ctx, guest, GuestSlice::new(u32::MAX, 0)));
    assert_eq!(nothing, Ok(()));
}

#[test]
fn contexts_of_one_builder_get_different_bytes() {
    let mut builder = crate::WasiCtxBuilder::new();
    builder.arg("program");
    let mut seen = HashSet::new();
    for _ in 0..100 {
        let mut world = World::new(|_| {});
        world.ctx = builder.build().unwrap();
        for len in [16u32, 300] {
            world
                .call(|ctx, guest| random_get(ctx, guest, GuestSlice::new(0, len)))
                .unwrap();
            assert!(seen.insert(world.bytes(0, 16).to_vec()));
        }
    }
}

#[test]
fn all_values_of_a_byte_come_about_equally_often() {
    let mut world = World::new(|_| {});
    let mut counts = [0u32; 256];
    for _ in 0..40 {
        for len in [1000u32, 60, 7] {
            for _ in 0..10 {
                world
                    .call(|ctx, guest| random_get(ctx, guest, GuestSlice::new(0, len)))
                    .unwrap();
                for &byte in world.bytes(0, len) {
                    counts[usize::from(byte)] += 1;
                }
            }
        }
    }
    // 1667 on average, 41 the standard deviation: eight of these never happen by chance.
    assert!(
        counts.iter().all(|count| (1340..2000).contains(count)),
        "{counts:?}"
    );
}
