//! Tests of `path_open`.

use std::os::unix::fs::symlink;

use crate::errno::Errno;
use crate::testing::*;
use crate::types::Rights;
use crate::{Perms, WasiCtxBuilder};

/// A tree with something of every kind, and a secret outside of it.
fn fill(world: &World) {
    std::fs::create_dir_all(world.host("dir/inner")).unwrap();
    std::fs::write(world.host("file"), "content").unwrap();
    std::fs::write(world.host("dir/inner/deep"), "deep").unwrap();
    symlink("file", world.host("link")).unwrap();
    symlink("dir/inner", world.host("to-inner")).unwrap();
    symlink("../file", world.host("dir/up")).unwrap();
    symlink("loop", world.host("loop")).unwrap();
    symlink("nowhere", world.host("dangling")).unwrap();
    symlink("..", world.host("out")).unwrap();
    symlink("../../../../../../etc/passwd", world.host("dir/far-out")).unwrap();
    symlink("/etc/passwd", world.host("absolute")).unwrap();
    symlink(world.host("file"), world.host("absolute-inside")).unwrap();
}

fn each(perms: Perms, test: impl Fn(&mut World)) {
    World::each_resolver(perms, |world| {
        fill(world);
        test(world);
    });
}

#[test]
fn paths_are_found_through_directories_and_links() {
    each(Perms::ReadWrite, |world| {
        for (path, content) in [
            ("file", "content"),
            ("./file", "content"),
            ("dir/../file", "content"),
            ("dir//inner/./deep", "deep"),
            ("dir/.//inner/../../dir/inner/../inner///./deep", "deep"),
            ("link", "content"),
            ("to-inner/deep", "deep"),
            ("to-inner/../inner/deep", "deep"),
            ("dir/up", "content"),
        ] {
            let fd = world.open(path, 0, READ).unwrap();
            assert_eq!(world.read(fd, 100).unwrap(), content.as_bytes(), "{path}");
            world.close(fd).unwrap();
        }
    });
}

#[test]
fn nothing_leads_out() {
    each(Perms::ReadWrite, |world| {
        for path in [
            "..",
            "../",
            "../etc/passwd",
            "dir/../..",
            "dir/inner/../../../etc/passwd",
            "/",
            "/etc/passwd",
            "//etc/passwd",
            "out",
            "out/etc",
            "out/../etc/passwd",
            "dir/far-out",
            "absolute",
            "absolute-inside",
            "dir/../out/x",
        ] {
            for oflags in [0, CREAT, DIRECTORY, TRUNC] {
                assert_eq!(world.open(path, oflags, READ), Err(Errno::Perm), "{path}");
            }
        }
    });
}

#[test]
fn paths_that_cannot_be_are_refused() {
    each(Perms::ReadWrite, |world| {
        assert_eq!(world.open("", 0, READ), Err(Errno::Noent));
        assert_eq!(world.open("file\0", 0, READ), Err(Errno::Inval));
        assert_eq!(world.open("\0", 0, READ), Err(Errno::Inval));
        assert_eq!(
            world.open("x".repeat(256), 0, READ),
            Err(Errno::Nametoolong)
        );
        assert_eq!(
            world.open("./".repeat(2048), 0, READ),
            Err(Errno::Nametoolong)
        );
        assert_eq!(world.open("nothing", 0, READ), Err(Errno::Noent));
        assert_eq!(world.open("nothing/file", 0, READ), Err(Errno::Noent));
        assert_eq!(world.open("file/x", 0, READ), Err(Errno::Notdir));
        assert_eq!(world.open("file/", 0, READ), Err(Errno::Notdir));
        assert_eq!(world.open("link/", 0, READ), Err(Errno::Notdir));
        assert_eq!(world.open("file/.", 0, READ), Err(Errno::Notdir));
        assert_eq!(world.open("file/..", 0, READ), Err(Errno::Notdir));
        assert_eq!(world.open("loop", 0, READ), Err(Errno::Loop));
        assert_eq!(world.open("loop/x", 0, READ), Err(Errno::Loop));
        assert_eq!(world.open("dangling", 0, READ), Err(Errno::Noent));
    });
}

#[test]
fn a_link_at_the_end_is_followed_only_when_asked() {
    each(Perms::ReadWrite, |world| {
        let mut open = |path, oflags| world.open_with(DIR, 0, path, oflags, READ, 0);
        assert_eq!(open("link", 0), Err(Errno::Loop));
        assert_eq!(open("link", CREAT), Err(Errno::Loop));
        assert_eq!(open("to-inner", DIRECTORY), Err(Errno::Notdir));
        assert!(open("to-inner/", DIRECTORY).is_ok());
        assert!(open("to-inner/deep", 0).is_ok());
    });
}

#[test]
fn files_are_made_emptied_and_found_as_asked() {
    each(Perms::ReadWrite, |world| {
        world.open("new", CREAT, READ_WRITE).unwrap();
        assert!(world.host("new").exists());
        assert_eq!(world.open("new", CREAT | EXCL, READ), Err(Errno::Exist));
        assert_eq!(world.open("link", CREAT | EXCL, READ), Err(Errno::Exist));
        assert_eq!(
            world.open("dangling", CREAT | EXCL, READ),
            Err(Errno::Exist)
        );
        world.open("dangling", CREAT, READ_WRITE).unwrap();
        assert!(world.host("nowhere").exists());
        world.open("file", TRUNC, READ_WRITE).unwrap();
        assert_eq!(std::fs::read(world.host("file")).unwrap(), b"");
        world.open("dir/inner/../new", CREAT, READ_WRITE).unwrap();
        assert!(world.host("dir/new").exists());
        assert_eq!(world.open("dir", CREAT, READ), Err(Errno::Isdir));
        assert_eq!(world.open("dir/.", CREAT, READ), Err(Errno::Isdir));
    });
}

#[test]
fn directories_are_opened_as_directories() {
    each(Perms::ReadWrite, |world| {
        let rights = Rights::DIRECTORY.bits();
        let fd = world.open("dir", DIRECTORY, rights).unwrap();
        assert!(
            world
                .open_with(fd, FOLLOW, "inner/deep", 0, READ, 0)
                .is_ok()
        );
        assert_eq!(
            world.open_with(fd, FOLLOW, "../file", 0, READ, 0),
            Err(Errno::Perm)
        );
        assert_eq!(
            world.open_with(fd, FOLLOW, "up", 0, READ, 0),
            Err(Errno::Perm)
        );
        assert!(world.open(".", 0, READ).is_ok());
        assert!(world.open("dir/", 0, READ).is_ok());
        assert_eq!(world.open("file", DIRECTORY, READ), Err(Errno::Notdir));
        assert_eq!(world.open("dir", DIRECTORY, READ_WRITE), Err(Errno::Isdir));
        assert_eq!(world.open("dir", 0, READ_WRITE), Err(Errno::Isdir));
        assert_eq!(
            world.open("dir", DIRECTORY | CREAT, READ),
            Err(Errno::Inval)
        );
        let file = world.open("file", 0, READ).unwrap();
        assert_eq!(
            world.open_with(file, 0, "x", 0, READ, 0),
            Err(Errno::Notdir)
        );
        assert_eq!(world.open_with(99, 0, "x", 0, READ, 0), Err(Errno::Badf));
    });
}

#[test]
fn a_descriptor_passes_on_no_more_than_it_may() {
    each(Perms::ReadWrite, |world| {
        let fd = world
            .open("dir", DIRECTORY, Rights::DIRECTORY.bits())
            .unwrap();
        let inheriting = Rights::FD_READ.with(Rights::FD_READDIR).bits();
        let base = Rights::PATH_OPEN.bits();
        world
            .call(|ctx, guest| {
                crate::preview1::fd::fd_fdstat_set_rights(ctx, guest, fd, base, inheriting)
            })
            .unwrap();
        let mut open = |path, oflags, rights| {
            let path = world.put(path);
            world.call(|ctx, guest| {
                let request = crate::preview1::path_open::Request::new(0, oflags, rights, 0, 0)?;
                let out = crate::guest::GuestPtr::new(OUT);
                crate::preview1::path_open::path_open(ctx, guest, fd, path, request, out)
            })
        };
        assert_eq!(open("inner/deep", 0, READ), Ok(()));
        assert_eq!(open("inner/deep", 0, READ_WRITE), Err(Errno::Notcapable));
        assert_eq!(open("new", CREAT, READ), Err(Errno::Notcapable));
        assert_eq!(open("inner/deep", TRUNC, READ), Err(Errno::Notcapable));
    });
}

#[test]
fn a_read_only_directory_is_read_and_nothing_else() {
    each(Perms::ReadOnly, |world| {
        assert!(world.open("file", 0, READ).is_ok());
        assert!(world.open("file", CREAT, READ).is_ok());
        let dir = world
            .open("dir", DIRECTORY, Rights::DIRECTORY.bits())
            .unwrap();
        for (path, oflags, rights, error) in [
            ("file", 0, READ_WRITE, Errno::Rofs),
            ("file", TRUNC, READ, Errno::Rofs),
            ("file", CREAT | EXCL, READ, Errno::Exist),
            ("new", CREAT, READ, Errno::Rofs),
            ("new", CREAT | EXCL, READ_WRITE, Errno::Rofs),
            ("new", 0, READ_WRITE, Errno::Noent),
            ("dangling", CREAT, READ, Errno::Rofs),
            ("dir", 0, READ_WRITE, Errno::Isdir),
            ("../x", CREAT, READ, Errno::Perm),
        ] {
            assert_eq!(world.open(path, oflags, rights), Err(error), "{path}");
        }
        assert_eq!(
            world.open_with(dir, 0, "new", CREAT, READ, 0),
            Err(Errno::Rofs)
        );
        assert_eq!(
            world.open_with(dir, 0, "inner/deep", TRUNC, READ, 0),
            Err(Errno::Rofs)
        );
        assert!(!world.host("new").exists() && !world.host("nowhere").exists());
        assert_eq!(std::fs::read(world.host("file")).unwrap(), b"content");
    });
}

#[test]
fn numbers_that_mean_nothing_are_refused() {
    each(Perms::ReadWrite, |world| {
        assert_eq!(
            world.open_with(DIR, 2, "file", 0, READ, 0),
            Err(Errno::Inval)
        );
        assert_eq!(
            world.open_with(DIR, 0, "file", 16, READ, 0),
            Err(Errno::Inval)
        );
        assert_eq!(
            world.open_with(DIR, 0, "file", 1 << 16, READ, 0),
            Err(Errno::Inval)
        );
        assert_eq!(
            world.open_with(DIR, 0, "file", 0, READ, 32),
            Err(Errno::Inval)
        );
        // Rights are many programs' way of asking for all there is.
        assert!(
            world
                .open_with(DIR, 0, "file", 0, READ | 1 << 40, 0)
                .is_ok()
        );
    });
}

#[test]
fn a_directory_that_is_not_there_cannot_be_preopened() {
    let error = WasiCtxBuilder::new()
        .preopen_dir("/nowhere/at/all", "/", Perms::ReadOnly)
        .err()
        .unwrap();
    assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
}

#[test]
fn a_named_pipe_waits_for_its_other_end() {
    let mut world = World::new(|_| {});
    let pipe = world.host("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::write(pipe, "from afar").unwrap()
    });
    let fd = world.open("pipe", 0, READ).unwrap();
    assert_eq!(world.read(fd, 100).unwrap(), b"from afar");
    assert_eq!(world.read(fd, 100).unwrap(), b"");
    writer.join().unwrap();
    world.close(fd).unwrap();
    let reader = std::thread::spawn(move || std::fs::read(pipe).unwrap());
    let write = READ_WRITE & !READ;
    let fd = world.open("pipe", 0, write).unwrap();
    world.write(fd, "back").unwrap();
    world.close(fd).unwrap();
    assert_eq!(reader.join().unwrap(), b"back");
    let without_waiting = world.open_with(DIR, 0, "pipe", 0, write, NONBLOCK);
    assert_eq!(without_waiting, Err(Errno::Nxio));
}
