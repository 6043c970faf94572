//! Tests of `fd_io`.

use std::io::{Read, Write};

use super::fd_io::*;
use crate::errno::{Errno, Result};
use crate::guest::GuestPtr;
use crate::preview1::Preview1;
use crate::testing::*;
use crate::{Input, Output};

fn read_into(world: &mut World, fd: u32, pieces: &[(u32, u32)]) -> Result<u32> {
    let iovecs = world.iovecs(pieces);
    world.call(|ctx, guest| fd_read(ctx, guest, fd, iovecs, GuestPtr::new(OUT)))?;
    Ok(world.get(OUT))
}

fn write_from(world: &mut World, fd: u32, pieces: &[(u32, u32)]) -> Result<u32> {
    let iovecs = world.iovecs(pieces);
    world.call(|ctx, guest| fd_write(ctx, guest, fd, iovecs, GuestPtr::new(OUT)))?;
    Ok(world.get(OUT))
}

fn seek(world: &mut World, fd: u32, offset: i64, whence: u32) -> Result<u64> {
    world.call(|ctx, guest| {
        fd_seek::<Preview1>(ctx, guest, fd, offset, whence, GuestPtr::new(OUT))
    })?;
    Ok(world.get(OUT))
}

#[test]
fn what_is_written_is_read_back() {
    let mut world = World::new(|_| {});
    let fd = world.open("a", CREAT, READ_WRITE).unwrap();
    assert_eq!(world.write(fd, "hello, world"), Ok(12));
    assert_eq!(seek(&mut world, fd, 0, 0), Ok(0));
    assert_eq!(world.read(fd, 5).unwrap(), b"hello");
    assert_eq!(world.read(fd, 100).unwrap(), b", world");
    assert_eq!(world.read(fd, 100).unwrap(), b"");
}

#[test]
fn pieces_are_filled_in_their_order_wherever_they_lie() {
    let mut world = World::new(|_| {});
    std::fs::write(world.host("a"), "abcdefgh").unwrap();
    let fd = world.open("a", 0, READ_WRITE).unwrap();
    assert_eq!(
        read_into(
            &mut world,
            fd,
            &[(5000, 3), (4000, 0), (3000, 2), (6000, 9)]
        ),
        Ok(8)
    );
    assert_eq!(world.bytes(5000, 3), b"abc");
    assert_eq!(world.bytes(3000, 2), b"de");
    assert_eq!(world.bytes(6000, 4), b"fgh\0");
}

#[test]
fn overlapping_pieces_are_overwritten_by_later_ones() {
    let mut world = World::new(|_| {});
    std::fs::write(world.host("a"), "abcdefgh").unwrap();
    let fd = world.open("a", 0, READ_WRITE).unwrap();
    assert_eq!(read_into(&mut world, fd, &[(5000, 4), (5002, 4)]), Ok(8));
    assert_eq!(world.bytes(5000, 6), b"abefgh");
    let fd = world.open("b", CREAT, READ_WRITE).unwrap();
    assert_eq!(write_from(&mut world, fd, &[(5000, 4), (5002, 4)]), Ok(8));
    assert_eq!(std::fs::read(world.host("b")).unwrap(), b"abefefgh");
}

#[test]
fn many_pieces_are_written_and_read() {
    let mut world = World::new(|_| {});
    let fd = world.open("a", CREAT, READ_WRITE).unwrap();
    world.memory[DATA as usize..][..40].copy_from_slice(&(0..40).collect::<Vec<u8>>());
    let pieces: Vec<(u32, u32)> = (0..40).rev().map(|index| (DATA + index, 1)).collect();
    assert_eq!(write_from(&mut world, fd, &pieces), Ok(40));
    let expected: Vec<u8> = (0..40).rev().collect();
    assert_eq!(std::fs::read(world.host("a")).unwrap(), expected);
    seek(&mut world, fd, 0, 0).unwrap();
    assert_eq!(read_into(&mut world, fd, &pieces), Ok(40));
    assert_eq!(world.bytes(DATA, 40), (0..40).collect::<Vec<u8>>());
}

#[test]
fn reading_and_writing_at_an_offset_leaves_the_position() {
    let mut world = World::new(|_| {});
    let fd = world.open("a", CREAT, READ_WRITE).unwrap();
    world.write(fd, "0123456789").unwrap();
    let iovecs = world.iovecs(&[(DATA, 3)]);
    world
        .call(|ctx, guest| fd_pread(ctx, guest, fd, iovecs, 4, GuestPtr::new(OUT)))
        .unwrap();
    assert_eq!(world.bytes(DATA, 3), b"456");
    world
        .call(|ctx, guest| fd_pwrite(ctx, guest, fd, iovecs, 0, GuestPtr::new(OUT)))
        .unwrap();
    assert_eq!(seek(&mut world, fd, 0, 1), Ok(10));
    assert_eq!(std::fs::read(world.host("a")).unwrap(), b"4563456789");
    let beyond =
        world.call(|ctx, guest| fd_pread(ctx, guest, fd, iovecs, u64::MAX, GuestPtr::new(OUT)));
    assert_eq!(beyond, Err(Errno::Inval));
}

#[test]
fn seeking_goes_where_it_is_told_and_not_before_the_start() {
    let mut world = World::new(|_| {});
    let fd = world.open("a", CREAT, READ_WRITE).unwrap();
    world.write(fd, "0123456789").unwrap();
    assert_eq!(seek(&mut world, fd, 3, 0), Ok(3));
    assert_eq!(seek(&mut world, fd, -1, 1), Ok(2));
    assert_eq!(seek(&mut world, fd, -4, 2), Ok(6));
    assert_eq!(seek(&mut world, fd, 100, 2), Ok(110));
    assert_eq!(seek(&mut world, fd, -1, 0), Err(Errno::Inval));
    assert_eq!(seek(&mut world, fd, -1000, 1), Err(Errno::Inval));
    assert_eq!(seek(&mut world, fd, 0, 3), Err(Errno::Inval));
    world
        .call(|ctx, guest| fd_tell(ctx, guest, fd, GuestPtr::new(OUT)))
        .unwrap();
    assert_eq!(world.get::<u64>(OUT), 110);
    assert_eq!(seek(&mut world, DIR, 0, 1), Err(Errno::Badf));
    assert_eq!(seek(&mut world, 0, 0, 1), Err(Errno::Spipe));
}

#[test]
fn descriptors_are_read_and_written_only_as_they_were_opened() {
    let mut world = World::new(|_| {});
    let read = world.open("a", CREAT, READ).unwrap();
    let write = world.open("a", 0, READ_WRITE & !READ).unwrap();
    assert_eq!(world.write(read, "x"), Err(Errno::Badf));
    assert_eq!(world.read(write, 1), Err(Errno::Badf));
    assert_eq!(world.read(1, 1), Err(Errno::Badf));
    assert_eq!(world.write(0, "x"), Err(Errno::Badf));
    assert_eq!(world.read(DIR, 1), Err(Errno::Isdir));
    assert_eq!(world.write(DIR, "x"), Err(Errno::Badf));
}

#[test]
fn pieces_outside_of_memory_are_faults_and_nothing_is_written() {
    let mut world = World::new(|builder| {
        builder
            .stdin(Input::bytes(*b"input"))
            .stdout(Output::Capture);
    });
    let fd = world.open("a", CREAT, READ_WRITE).unwrap();
    let end = SIZE as u32;
    for bad in [
        (end - 1, 2),
        (end, 1),
        (u32::MAX, 1),
        (1, u32::MAX),
        (u32::MAX, u32::MAX),
    ] {
        for out in [fd, 1, 2] {
            assert_eq!(
                write_from(&mut world, out, &[(DATA, 1), bad]),
                Err(Errno::Fault)
            );
        }
        for input in [fd, 0] {
            assert_eq!(
                read_into(&mut world, input, &[(DATA, 1), bad]),
                Err(Errno::Fault)
            );
        }
    }
    for (at, count) in [(end - 7, 1), (0, u32::MAX), (u32::MAX, 1)] {
        let iovecs = crate::iovec::Iovecs::new(at, count);
        for out in [fd, 1, 2] {
            let fault =
                world.call(|ctx, guest| fd_write(ctx, guest, out, iovecs, GuestPtr::new(OUT)));
            assert_eq!(fault, Err(Errno::Fault));
        }
    }
    assert_eq!(world.ctx.stdout(), b"");
    assert_eq!(std::fs::read(world.host("a")).unwrap(), b"");
    assert_eq!(world.read(0, 100).unwrap(), b"input");
}

#[test]
fn a_count_that_cannot_be_answered_means_that_nothing_happens() {
    let mut world = World::new(|builder| {
        builder
            .stdin(Input::bytes(*b"input"))
            .stdout(Output::Capture);
    });
    let outside = GuestPtr::new(SIZE as u32 - 3);
    let iovecs = world.iovecs(&[(DATA, 4)]);
    let fault = world.call(|ctx, guest| fd_write(ctx, guest, 1, iovecs, outside));
    assert_eq!(fault, Err(Errno::Fault));
    let fault = world.call(|ctx, guest| fd_read(ctx, guest, 0, iovecs, outside));
    assert_eq!(fault, Err(Errno::Fault));
    assert_eq!(world.ctx.stdout(), b"");
    assert_eq!(world.read(0, 100).unwrap(), b"input");
}

#[test]
fn captured_output_is_given_to_the_host_up_to_its_limit() {
    let mut world = World::new(|builder| {
        builder
            .stdout(Output::Capture)
            .stderr(Output::Capture)
            .max_capture(8);
    });
    assert_eq!(world.write(1, "hello"), Ok(5));
    assert_eq!(world.write(2, "error"), Ok(5));
    assert_eq!(world.write(1, "world"), Ok(3));
    assert_eq!(world.write(1, "!"), Err(Errno::Nospc));
    assert_eq!(world.write(1, ""), Ok(0));
    assert_eq!(world.ctx.stdout(), b"hellowor");
    assert_eq!(world.ctx.take_stderr(), b"error");
    assert_eq!(world.ctx.stderr(), b"");
    assert_eq!(world.write(2, "more"), Ok(4));
    assert_eq!(world.ctx.stderr(), b"more");
}

#[test]
fn input_from_bytes_ends() {
    let mut world = World::new(|builder| {
        builder.stdin(Input::bytes(*b"some input"));
    });
    assert_eq!(read_into(&mut world, 0, &[(5000, 3), (6000, 2)]), Ok(5));
    assert_eq!(
        (world.bytes(5000, 3), world.bytes(6000, 2)),
        (&b"som"[..], &b"e "[..])
    );
    assert_eq!(world.read(0, 100).unwrap(), b"input");
    assert_eq!(world.read(0, 100).unwrap(), b"");
}

#[test]
fn pieces_that_hold_the_pieces_are_read_as_they_are_then() {
    // The first byte read overwrites the second iovec: no crash, and nothing outside of memory.
    let mut world = World::new(|builder| {
        builder.stdin(Input::bytes(vec![0xff; 64]));
    });
    let result = read_into(&mut world, 0, &[(512, 16), (DATA, 4)]);
    assert!(matches!(result, Err(Errno::Fault) | Ok(_)));
}

#[test]
fn pipes_carry_more_than_they_hold() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut world = World::new(|builder| {
        builder.stdout(Output::file(writer));
    });
    let received = std::thread::scope(|scope| {
        let received = scope.spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        let bytes = vec![7; 40_000];
        for _ in 0..10 {
            assert_eq!(world.write(1, &bytes), Ok(40_000));
        }
        drop(world);
        received.join().unwrap()
    });
    assert_eq!(received, vec![7; 400_000]);
}

#[test]
fn a_guest_that_would_not_wait_does_not() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut world = World::new(|builder| {
        builder.stdin(Input::file(reader));
    });
    world
        .call(|ctx, guest| super::fd::fd_fdstat_set_flags(ctx, guest, 0, NONBLOCK))
        .unwrap();
    assert_eq!(world.read(0, 10), Err(Errno::Again));
    writer.write_all(b"now").unwrap();
    assert_eq!(world.read(0, 10).unwrap(), b"now");
}

#[test]
fn waiting_for_input_is_cut_short() {
    let (reader, _writer) = std::io::pipe().unwrap();
    let mut world = World::new(|builder| {
        builder.stdin(Input::file(reader));
    });
    let result = Later::run(30, |stop| world.read_stoppable(stop, 0, 10));
    assert_eq!(result, Err(Errno::Intr));
}

#[test]
fn waiting_for_a_full_pipe_is_cut_short() {
    let (_reader, writer) = std::io::pipe().unwrap();
    let mut world = World::new(|builder| {
        builder.stdout(Output::file(writer));
    });
    let pieces = vec![(0, SIZE as u32); 8];
    let iovecs = world.iovecs(&pieces);
    let result = Later::run(30, |stop| {
        world.call_stoppable(stop, |ctx, guest| {
            fd_write(ctx, guest, 1, iovecs, GuestPtr::new(OUT))
        })
    });
    // What went into the pipe counts.
    assert_eq!(result, Ok(()));
    assert_eq!(world.get::<u32>(OUT), 65_536);
    let result = Later::run(30, |stop| {
        world.call_stoppable(stop, |ctx, guest| {
            fd_write(ctx, guest, 1, iovecs, GuestPtr::new(OUT))
        })
    });
    assert_eq!(result, Err(Errno::Intr));
}
