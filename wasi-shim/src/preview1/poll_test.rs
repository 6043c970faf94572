//! Tests of `poll`.

use std::io::Write;
use std::time::{Duration, Instant};

use super::poll::poll_oneoff;
use crate::errno::{Errno, Result};
use crate::guest::{GuestPtr, Layout};
use crate::preview1::Preview1;
use crate::stop::Stop;
use crate::testing::*;
use crate::types::{Clock, Event, EventType};
use crate::{Input, Output};

const SUBSCRIPTIONS: u32 = 4096;
const EVENTS: u32 = 8192;
const ABSOLUTE: u16 = 1;

fn subscription(userdata: u64, tag: u8) -> [u8; 48] {
    let mut bytes = [0; 48];
    userdata.encode(&mut bytes[..8]);
    bytes[8] = tag;
    bytes
}

fn clock(userdata: u64, id: u32, timeout: u64, flags: u16) -> [u8; 48] {
    let mut bytes = subscription(userdata, 0);
    id.encode(&mut bytes[16..20]);
    timeout.encode(&mut bytes[24..32]);
    flags.encode(&mut bytes[40..42]);
    bytes
}

fn descriptor(userdata: u64, tag: u8, fd: u32) -> [u8; 48] {
    let mut bytes = subscription(userdata, tag);
    fd.encode(&mut bytes[16..20]);
    bytes
}

fn poll_stoppable(
    world: &mut World,
    stop: Stop<'_>,
    subscriptions: &[[u8; 48]],
) -> Result<Vec<Event>> {
    let bytes = subscriptions.concat();
    world.memory[SUBSCRIPTIONS as usize..][..bytes.len()].copy_from_slice(&bytes);
    let count = subscriptions.len() as u32;
    world.call_stoppable(stop, |ctx, guest| {
        let (subscriptions, events) = (GuestPtr::new(SUBSCRIPTIONS), GuestPtr::new(EVENTS));
        poll_oneoff::<Preview1>(ctx, guest, subscriptions, events, count, GuestPtr::new(OUT))
    })?;
    let count: u32 = world.get(OUT);
    Ok((0..count)
        .map(|index| world.get(EVENTS + index * 32))
        .collect())
}

fn poll(world: &mut World, subscriptions: &[[u8; 48]]) -> Result<Vec<Event>> {
    poll_stoppable(world, Stop::NEVER, subscriptions)
}

fn users(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.userdata).collect()
}

#[test]
fn waiting_for_nothing_is_an_error() {
    let mut world = World::new(|_| {});
    assert_eq!(poll(&mut world, &[]), Err(Errno::Inval));
}

#[test]
fn a_clock_rings_after_its_time_and_not_before() {
    let mut world = World::new(|_| {});
    for (id, flags) in [(0, 0), (1, 0), (0, ABSOLUTE), (1, ABSOLUTE)] {
        let started = Instant::now();
        let now = if id == 0 {
            Clock::Realtime.now()
        } else {
            Clock::Monotonic.now()
        };
        let timeout = 20_000_000 + if flags == ABSOLUTE { now } else { 0 };
        let events = poll(&mut world, &[clock(7, id, timeout, flags)]).unwrap();
        assert!(
            started.elapsed() >= Duration::from_millis(19),
            "clock {id} flags {flags}"
        );
        assert_eq!(users(&events), [7]);
        assert_eq!((events[0].kind, events[0].error), (EventType::Clock, 0));
    }
}

#[test]
fn times_gone_by_ring_at_once() {
    let mut world = World::new(|_| {});
    let subscriptions = [
        clock(1, 1, 0, 0),
        clock(2, 0, 1, ABSOLUTE),
        clock(3, 1, u64::MAX, 0),
        clock(4, 1, 1, ABSOLUTE),
    ];
    assert_eq!(users(&poll(&mut world, &subscriptions).unwrap()), [1, 2, 4]);
}

#[test]
fn the_first_clock_rings_alone() {
    let mut world = World::new(|_| {});
    let subscriptions = [clock(1, 1, 60_000_000_000, 0), clock(2, 1, 5_000_000, 0)];
    assert_eq!(users(&poll(&mut world, &subscriptions).unwrap()), [2]);
}

#[test]
fn a_clock_of_cpu_time_cannot_be_waited_for() {
    let mut world = World::new(|_| {});
    let events = poll(
        &mut world,
        &[clock(1, 2, 1, 0), clock(2, 9, 1, 0), clock(3, 1, 1, 8)],
    )
    .unwrap();
    let errors: Vec<u16> = events.iter().map(|event| event.error).collect();
    assert_eq!(
        errors,
        [
            Errno::Notsup as u16,
            Errno::Inval as u16,
            Errno::Inval as u16
        ]
    );
}

#[test]
fn files_and_buffers_are_always_ready() {
    let mut world = World::new(|builder| {
        builder.stdin(Input::bytes(*b"abc")).stdout(Output::Capture);
    });
    let fd = world.open("a", CREAT, READ_WRITE).unwrap();
    world.write(fd, "12345").unwrap();
    let file = world.open("a", 0, READ_WRITE).unwrap();
    let events = poll(
        &mut world,
        &[
            descriptor(1, 1, 0),
            descriptor(2, 2, 1),
            descriptor(3, 1, file),
            descriptor(4, 1, fd),
            clock(5, 1, 1 << 50, 0),
        ],
    )
    .unwrap();
    let seen: Vec<_> = events
        .iter()
        .map(|event| (event.userdata, event.kind, event.bytes, event.hangup))
        .collect();
    assert_eq!(
        seen,
        [
            (1, EventType::Read, 3, false),
            (2, EventType::Write, 1, false),
            (3, EventType::Read, 5, false),
            (4, EventType::Read, 0, true),
        ]
    );
}

#[test]
fn a_pipe_is_ready_when_something_came_or_it_ended() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut world = World::new(|builder| {
        builder.stdin(Input::file(reader));
    });
    let both = [descriptor(1, 1, 0), clock(2, 1, 10_000_000, 0)];
    assert_eq!(users(&poll(&mut world, &both).unwrap()), [2]);
    writer.write_all(b"1234").unwrap();
    let events = poll(&mut world, &both).unwrap();
    assert_eq!(
        (users(&events), events[0].bytes, events[0].hangup),
        (vec![1], 4, false)
    );
    world.read(0, 4).unwrap();
    drop(writer);
    let events = poll(&mut world, &both).unwrap();
    assert_eq!(
        (users(&events), events[0].bytes, events[0].hangup),
        (vec![1], 0, true)
    );
}

#[test]
fn what_is_wrong_with_one_descriptor_is_said_of_that_one() {
    let mut world = World::new(|_| {});
    let subscriptions = [
        descriptor(1, 1, 99),
        descriptor(2, 1, DIR),
        descriptor(3, 1, 1),
        descriptor(4, 2, 1),
    ];
    let events = poll(&mut world, &subscriptions).unwrap();
    let badf = Errno::Badf as u16;
    let seen: Vec<_> = events
        .iter()
        .map(|event| (event.userdata, event.error))
        .collect();
    assert_eq!(seen, [(1, badf), (2, badf), (3, badf), (4, 0)]);
    assert_eq!(poll(&mut world, &[subscription(1, 3)]), Err(Errno::Inval));
}

#[test]
fn events_may_overwrite_the_subscriptions() {
    let mut world = World::new(|_| {});
    let bytes = [clock(1, 1, 0, 0), clock(2, 1, 0, 0), clock(3, 1, 0, 0)].concat();
    world.memory[SUBSCRIPTIONS as usize..][..bytes.len()].copy_from_slice(&bytes);
    world
        .call(|ctx, guest| {
            let (subscriptions, events) =
                (GuestPtr::new(SUBSCRIPTIONS), GuestPtr::new(SUBSCRIPTIONS));
            poll_oneoff::<Preview1>(ctx, guest, subscriptions, events, 3, GuestPtr::new(OUT))
        })
        .unwrap();
    for index in 0..3u32 {
        assert_eq!(
            world.get::<u64>(SUBSCRIPTIONS + index * 32),
            u64::from(index) + 1
        );
    }
}

#[test]
fn arrays_outside_of_memory_are_faults() {
    let mut world = World::new(|_| {});
    let end = SIZE as u32;
    for (subscriptions, events, count, out) in [
        (end - 47, EVENTS, 1, OUT),
        (SUBSCRIPTIONS, end - 31, 1, OUT),
        (SUBSCRIPTIONS, EVENTS, 1, end - 3),
        (SUBSCRIPTIONS, EVENTS, 60_000, OUT),
    ] {
        let fault = world.call(|ctx, guest| {
            let (subscriptions, events) = (GuestPtr::new(subscriptions), GuestPtr::new(events));
            poll_oneoff::<Preview1>(ctx, guest, subscriptions, events, count, GuestPtr::new(out))
        });
        assert_eq!(fault, Err(Errno::Fault));
    }
}

#[test]
fn sleeping_is_cut_short() {
    let mut world = World::new(|_| {});
    let started = Instant::now();
    let hour = clock(1, 1, 3_600_000_000_000, 0);
    let result = Later::run(30, |stop| poll_stoppable(&mut world, stop, &[hour]));
    assert_eq!(result, Err(Errno::Intr));
    assert!(started.elapsed() < Duration::from_secs(10));
}
