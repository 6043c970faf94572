//! Tests of what `wasi_unstable` does in its own way.

use super::Unstable;
use crate::guest::{GuestPtr, Layout};
use crate::preview1::{fd::fd_filestat_get, fd_io::fd_seek, poll::poll_oneoff};
use crate::testing::*;

#[test]
fn origins_of_seeking_are_numbered_differently() {
    let mut world = World::new(|_| {});
    std::fs::write(world.host("a"), "0123456789").unwrap();
    let fd = world.open("a", 0, READ_WRITE).unwrap();
    for (offset, whence, expected) in [(4, 2, 4), (2, 0, 6), (-1, 1, 9)] {
        world
            .call(|ctx, guest| {
                fd_seek::<Unstable>(ctx, guest, fd, offset, whence, GuestPtr::new(OUT))
            })
            .unwrap();
        assert_eq!(world.get::<u64>(OUT), expected);
    }
}

#[test]
fn links_are_counted_in_32_bits() {
    let mut world = World::new(|_| {});
    std::fs::write(world.host("a"), "12345").unwrap();
    std::fs::hard_link(world.host("a"), world.host("b")).unwrap();
    let fd = world.open("a", 0, READ_WRITE).unwrap();
    world.memory.fill(0xaa);
    world
        .call(|ctx, guest| fd_filestat_get::<Unstable>(ctx, guest, fd, GuestPtr::new(OUT)))
        .unwrap();
    assert_eq!(world.get::<u8>(16), 4);
    assert_eq!(world.get::<u32>(20), 2);
    assert_eq!(world.get::<u64>(24), 5);
    // It is 56 bytes long, and what follows is the guest's.
    assert_eq!(world.get::<u8>(56), 0xaa);
}

#[test]
fn clock_subscriptions_have_an_identifier_first() {
    let mut world = World::new(|_| {});
    let bytes = &mut world.memory[FREE as usize..][..56];
    77u64.encode(&mut bytes[..8]);
    u64::MAX.encode(&mut bytes[16..24]);
    1u32.encode(&mut bytes[24..28]);
    1_000_000u64.encode(&mut bytes[32..40]);
    world
        .call(|ctx, guest| {
            let (subscriptions, events) = (GuestPtr::new(FREE), GuestPtr::new(DATA));
            poll_oneoff::<Unstable>(ctx, guest, subscriptions, events, 1, GuestPtr::new(OUT))
        })
        .unwrap();
    assert_eq!(world.get::<u32>(OUT), 1);
    assert_eq!(world.get::<u64>(DATA), 77);
    assert_eq!(world.get::<u16>(DATA + 8), 0);
}
