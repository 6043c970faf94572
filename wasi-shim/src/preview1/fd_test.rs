//! Tests of `fd`.

use std::os::unix::fs::MetadataExt;

use super::fd::*;
use super::fd_io::{fd_pwrite, fd_tell};
use crate::errno::{Errno, Result};
use crate::guest::{GuestPtr, GuestSlice};
use crate::preview1::Preview1;
use crate::testing::*;
use crate::types::Rights;
use crate::{Input, Output, Perms};

fn rights(world: &mut World, fd: u32) -> (u8, u16, u64, u64) {
    world
        .call(|ctx, guest| fd_fdstat_get(ctx, guest, fd, GuestPtr::new(OUT)))
        .unwrap();
    (
        world.get(OUT),
        world.get(OUT + 2),
        world.get(OUT + 8),
        world.get(OUT + 16),
    )
}

fn set_times(world: &mut World, fd: u32, accessed: u64, modified: u64, flags: u32) -> Result<()> {
    world.call(|ctx, guest| fd_filestat_set_times(ctx, guest, fd, accessed, modified, flags))
}

#[test]
fn closed_descriptors_are_gone_and_their_numbers_reused() {
    let mut world = World::new(|_| {});
    let first = world.open("a", CREAT, READ_WRITE).unwrap();
    let second = world.open("b", CREAT, READ_WRITE).unwrap();
    assert_eq!((first, second), (4, 5));
    world.close(first).unwrap();
    assert_eq!(world.close(first), Err(Errno::Badf));
    assert_eq!(world.write(first, "x"), Err(Errno::Badf));
    assert_eq!(world.open("c", CREAT, READ_WRITE), Ok(first));
    assert_eq!(world.close(u32::MAX), Err(Errno::Badf));
}

#[test]
fn renumbering_replaces_an_open_descriptor() {
    let mut world = World::new(|_| {});
    let first = world.open("a", CREAT, READ_WRITE).unwrap();
    let second = world.open("b", CREAT, READ_WRITE).unwrap();
    let renumber =
        |world: &mut World, from, to| world.call(|ctx, guest| fd_renumber(ctx, guest, from, to));
    assert_eq!(renumber(&mut world, first, 77), Err(Errno::Badf));
    assert_eq!(renumber(&mut world, 77, first), Err(Errno::Badf));
    assert_eq!(renumber(&mut world, first, first), Ok(()));
    assert_eq!(renumber(&mut world, first, second), Ok(()));
    world.write(second, "to a").unwrap();
    assert_eq!(std::fs::read(world.host("a")).unwrap(), b"to a");
    assert_eq!(world.close(first), Err(Errno::Badf));
}

#[test]
fn rights_can_only_be_given_up() {
    let mut world = World::new(|_| {});
    let fd = world.open("a", CREAT, READ_WRITE).unwrap();
    let set = |world: &mut World, base: u64, inheriting: u64| {
        world.call(|ctx, guest| fd_fdstat_set_rights(ctx, guest, fd, base, inheriting))
    };
    assert_eq!(set(&mut world, READ, 0), Ok(()));
    assert_eq!(rights(&mut world, fd), (4, 0, READ, 0));
    assert_eq!(world.write(fd, "x"), Err(Errno::Badf));
    assert_eq!(set(&mut world, READ_WRITE, 0), Err(Errno::Notcapable));
    assert_eq!(set(&mut world, READ, READ), Err(Errno::Notcapable));
    assert_eq!(set(&mut world, 1 << 63, 0), Err(Errno::Inval));
    let size = world.call(|ctx, guest| fd_filestat_set_size(ctx, guest, fd, 0));
    assert_eq!(size, Err(Errno::Inval));
    let tell = world.call(|ctx, guest| fd_tell(ctx, guest, fd, GuestPtr::new(OUT)));
    assert_eq!(tell, Err(Errno::Notcapable));
}

#[test]
fn preopened_directories_tell_their_names() {
    let mut world = World::new(|_| {});
    world
        .call(|ctx, guest| fd_prestat_get(ctx, guest, DIR, GuestPtr::new(OUT)))
        .unwrap();
    assert_eq!((world.get::<u32>(OUT), world.get::<u32>(OUT + 4)), (0, 1));
    let mut name = |len| {
        world.call(|ctx, guest| fd_prestat_dir_name(ctx, guest, DIR, GuestSlice::new(FREE, len)))
    };
    assert_eq!(name(0), Err(Errno::Nametoolong));
    assert_eq!(name(1), Ok(()));
    assert_eq!(world.bytes(FREE, 1), b"/");
    for fd in [0, 4] {
        let other = world.call(|ctx, guest| fd_prestat_get(ctx, guest, fd, GuestPtr::new(OUT)));
        assert_eq!(other, Err(Errno::Badf));
    }
}

#[test]
fn a_directory_never_has_the_rights_of_a_file() {
    let mut world = World::new(|_| {});
    let (kind, flags, base, inheriting) = rights(&mut world, DIR);
    assert_eq!((kind, flags), (3, 0));
    assert_eq!(
        base & (Rights::FD_SEEK.bits() | Rights::FD_FILESTAT_SET_SIZE.bits()),
        0
    );
    assert_ne!(inheriting & Rights::FD_SEEK.bits(), 0);
}

#[test]
fn what_is_known_of_a_file_is_what_the_host_knows() {
    let mut world = World::new(|_| {});
    std::fs::write(world.host("a"), "12345").unwrap();
    std::fs::hard_link(world.host("a"), world.host("b")).unwrap();
    let fd = world.open("a", 0, READ_WRITE).unwrap();
    world
        .call(|ctx, guest| fd_filestat_get::<Preview1>(ctx, guest, fd, GuestPtr::new(OUT)))
        .unwrap();
    let host = std::fs::metadata(world.host("a")).unwrap();
    assert_eq!(world.get::<u64>(0), host.dev());
    assert_eq!(world.get::<u64>(8), host.ino());
    assert_eq!(world.get::<u8>(16), 4);
    assert_eq!(world.get::<u64>(24), 2);
    assert_eq!(world.get::<u64>(32), 5);
    let modified = host.mtime() as u64 * 1_000_000_000 + host.mtime_nsec() as u64;
    assert_eq!(world.get::<u64>(48), modified);
}

#[test]
fn sizes_are_set_and_space_allocated() {
    let mut world = World::new(|_| {});
    let fd = world.open("a", CREAT, READ_WRITE).unwrap();
    let size = |world: &World| std::fs::metadata(world.host("a")).unwrap().len();
    world
        .call(|ctx, guest| fd_filestat_set_size(ctx, guest, fd, 10))
        .unwrap();
    assert_eq!(size(&world), 10);
    world
        .call(|ctx, guest| fd_allocate(ctx, guest, fd, 5, 20))
        .unwrap();
    assert_eq!(size(&world), 25);
    world
        .call(|ctx, guest| fd_allocate(ctx, guest, fd, 0, 3))
        .unwrap();
    assert_eq!(size(&world), 25);
    let mut allocate =
        |offset, len| world.call(|ctx, guest| fd_allocate(ctx, guest, fd, offset, len));
    assert_eq!(allocate(0, 0), Err(Errno::Inval));
    assert_eq!(allocate(u64::MAX, 2), Err(Errno::Fbig));
    assert_eq!(allocate(1, i64::MAX as u64), Err(Errno::Fbig));
    let huge = world.call(|ctx, guest| fd_filestat_set_size(ctx, guest, fd, u64::MAX));
    assert_eq!(huge, Err(Errno::Fbig));
}

#[test]
fn advice_is_taken_and_nonsense_refused() {
    let mut world = World::new(|_| {});
    let fd = world.open("a", CREAT, READ_WRITE).unwrap();
    let mut advise = |fd, offset, len, advice| {
        world.call(|ctx, guest| fd_advise(ctx, guest, fd, offset, len, advice))
    };
    for advice in 0..6 {
        assert_eq!(advise(fd, 0, 100, advice), Ok(()));
    }
    assert_eq!(advise(fd, 0, 0, 6), Err(Errno::Inval));
    assert_eq!(advise(fd, u64::MAX, 0, 0), Err(Errno::Inval));
    assert_eq!(advise(DIR, 0, 0, 0), Err(Errno::Badf));
    assert_eq!(advise(1, 0, 0, 0), Err(Errno::Spipe));
}

#[test]
fn times_are_set_to_what_is_said_or_now_or_left() {
    let mut world = World::new(|_| {});
    let fd = world.open("a", CREAT, READ_WRITE).unwrap();
    set_times(&mut world, fd, 1_500_000_001, 2_000_000_002, 1 | 4).unwrap();
    let host = std::fs::metadata(world.host("a")).unwrap();
    assert_eq!((host.atime(), host.atime_nsec()), (1, 500_000_001));
    assert_eq!((host.mtime(), host.mtime_nsec()), (2, 2));
    set_times(&mut world, fd, 0, 0, 8).unwrap();
    let host = std::fs::metadata(world.host("a")).unwrap();
    assert_eq!(host.atime(), 1);
    assert!(host.mtime() > 1_000_000_000);
    assert_eq!(set_times(&mut world, fd, 0, 0, 1 | 2), Err(Errno::Inval));
    assert_eq!(set_times(&mut world, fd, 0, 0, 4 | 8), Err(Errno::Inval));
    assert_eq!(set_times(&mut world, fd, 0, 0, 16), Err(Errno::Inval));
}

#[test]
fn files_are_synchronised_and_streams_cannot_be() {
    let mut world = World::new(|builder| {
        builder.stdout(Output::Capture);
    });
    let fd = world.open("a", CREAT, READ_WRITE).unwrap();
    for descriptor in [fd, DIR] {
        assert_eq!(
            world.call(|ctx, guest| fd_sync(ctx, guest, descriptor)),
            Ok(())
        );
        assert_eq!(
            world.call(|ctx, guest| fd_datasync(ctx, guest, descriptor)),
            Ok(())
        );
    }
    assert_eq!(
        world.call(|ctx, guest| fd_sync(ctx, guest, 1)),
        Err(Errno::Inval)
    );
}

#[test]
fn flags_change_how_a_file_is_written() {
    let mut world = World::new(|_| {});
    let fd = world
        .open_with(DIR, 0, "a", CREAT, READ_WRITE, APPEND)
        .unwrap();
    assert_eq!(rights(&mut world, fd).1, APPEND as u16);
    world.write(fd, "abc").unwrap();
    let set = |world: &mut World, flags| {
        world.call(|ctx, guest| fd_fdstat_set_flags(ctx, guest, fd, flags))
    };
    set(&mut world, 2).unwrap();
    assert_eq!(rights(&mut world, fd).1, 2);
    let data = world.put("X");
    let _ = data;
    let iovecs = world.iovecs(&[(FREE + 1, 1)]);
    world
        .call(|ctx, guest| fd_pwrite(ctx, guest, fd, iovecs, 0, GuestPtr::new(OUT)))
        .unwrap();
    assert_eq!(std::fs::read(world.host("a")).unwrap(), b"Xbc");
    assert_eq!(set(&mut world, 32), Err(Errno::Inval));
    assert_eq!(set(&mut world, 1 << 16), Err(Errno::Inval));
    let directory = world.call(|ctx, guest| fd_fdstat_set_flags(ctx, guest, DIR, 0));
    assert_eq!(directory, Err(Errno::Badf));
}

#[test]
fn a_read_only_directory_lets_nothing_be_changed_through_its_files() {
    World::each_resolver(Perms::ReadOnly, |world| {
        std::fs::write(world.host("a"), "12345").unwrap();
        std::fs::create_dir(world.host("d")).unwrap();
        let inner = world
            .open("d", DIRECTORY, Rights::DIRECTORY.bits())
            .unwrap();
        let all_but_writing = READ_WRITE & !Rights::FD_WRITE.bits();
        let fd = world.open("a", 0, all_but_writing).unwrap();
        for descriptor in [fd, inner, DIR] {
            assert_eq!(set_times(world, descriptor, 0, 0, 8), Err(Errno::Rofs));
        }
        let size = world.call(|ctx, guest| fd_filestat_set_size(ctx, guest, fd, 0));
        assert_eq!(size, Err(Errno::Rofs));
        let allocate = world.call(|ctx, guest| fd_allocate(ctx, guest, fd, 0, 100));
        assert_eq!(allocate, Err(Errno::Rofs));
        assert_eq!(world.write(fd, "x"), Err(Errno::Badf));
        assert_eq!(std::fs::read(world.host("a")).unwrap(), b"12345");
    });
}

#[test]
fn standard_streams_say_what_they_are() {
    let file = tempfile::tempfile().unwrap();
    let (reader, _writer) = std::io::pipe().unwrap();
    let mut world = World::new(|builder| {
        builder
            .stdin(Input::file(reader))
            .stdout(Output::file(file));
    });
    let (kind, _, base, _) = rights(&mut world, 0);
    assert_eq!((kind, base & Rights::FD_SEEK.bits()), (0, 0));
    assert_ne!(base & READ, 0);
    let (kind, _, base, _) = rights(&mut world, 1);
    assert_eq!(kind, 4);
    assert_ne!(base & Rights::FD_SEEK.bits(), 0);
    assert_eq!(base & READ, 0);
    let (kind, _, base, _) = rights(&mut world, 2);
    assert_eq!((kind, base & Rights::FD_TELL.bits()), (0, 0));
}

#[test]
fn no_more_descriptors_than_allowed_can_be_opened() {
    let mut world = World::new(|builder| {
        builder.max_descriptors(6);
    });
    assert_eq!(world.open("a", CREAT, READ), Ok(4));
    assert_eq!(world.open("a", CREAT, READ), Ok(5));
    assert_eq!(world.open("b", CREAT, READ), Err(Errno::Mfile));
    assert!(!world.host("b").exists());
}
