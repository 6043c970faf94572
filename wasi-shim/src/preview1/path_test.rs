//! Tests of `path`.

use std::os::unix::fs::{MetadataExt, symlink};

use super::path::*;
use crate::Perms;
use crate::errno::{Errno, Result};
use crate::guest::{GuestPtr, GuestSlice};
use crate::preview1::Preview1;
use crate::testing::*;
use crate::types::Rights;

/// One call with a path: makes it short to say many.
struct Paths<'w>(&'w mut World);

impl Paths<'_> {
    fn mkdir(&mut self, path: &str) -> Result<()> {
        let path = self.0.put(path);
        self.0
            .call(|ctx, guest| path_create_directory(ctx, guest, DIR, path))
    }

    fn rmdir(&mut self, path: &str) -> Result<()> {
        let path = self.0.put(path);
        self.0
            .call(|ctx, guest| path_remove_directory(ctx, guest, DIR, path))
    }

    fn unlink(&mut self, path: &str) -> Result<()> {
        let path = self.0.put(path);
        self.0
            .call(|ctx, guest| path_unlink_file(ctx, guest, DIR, path))
    }

    fn rename(&mut self, old: &str, new: &str) -> Result<()> {
        let (old, new) = (self.0.put(old), self.0.put(new));
        self.0
            .call(|ctx, guest| path_rename(ctx, guest, DIR, old, DIR, new))
    }

    fn link(&mut self, flags: u32, old: &str, new: &str) -> Result<()> {
        let (old, new) = (self.0.put(old), self.0.put(new));
        self.0
            .call(|ctx, guest| path_link(ctx, guest, DIR, flags, old, DIR, new))
    }

    fn symlink(&mut self, target: &str, path: &str) -> Result<()> {
        let (target, path) = (self.0.put(target), self.0.put(path));
        self.0
            .call(|ctx, guest| path_symlink(ctx, guest, target, DIR, path))
    }

    fn readlink(&mut self, path: &str, room: u32) -> Result<Vec<u8>> {
        let path = self.0.put(path);
        let buffer = GuestSlice::new(DATA, room);
        self.0
            .call(|ctx, guest| path_readlink(ctx, guest, DIR, path, buffer, GuestPtr::new(OUT)))?;
        Ok(self.0.bytes(DATA, self.0.get(OUT)).to_vec())
    }

    /// Inode and kind.
    fn stat(&mut self, flags: u32, path: &str) -> Result<(u64, u8)> {
        let path = self.0.put(path);
        self.0.call(|ctx, guest| {
            path_filestat_get::<Preview1>(ctx, guest, DIR, flags, path, GuestPtr::new(OUT))
        })?;
        Ok((self.0.get(8), self.0.get(16)))
    }

    fn touch(&mut self, flags: u32, path: &str, seconds: u64) -> Result<()> {
        let path = self.0.put(path);
        let time = seconds * 1_000_000_000;
        self.0.call(|ctx, guest| {
            path_filestat_set_times(ctx, guest, DIR, flags, path, time, time, 1 | 4)
        })
    }
}

fn each(test: impl Fn(&mut Paths<'_>)) {
    World::each_resolver(Perms::ReadWrite, |world| {
        std::fs::create_dir(world.host("dir")).unwrap();
        std::fs::write(world.host("dir/file"), "content").unwrap();
        std::fs::write(world.host("file"), "content").unwrap();
        symlink("file", world.host("link")).unwrap();
        symlink("dir", world.host("to-dir")).unwrap();
        symlink("..", world.host("out")).unwrap();
        test(&mut Paths(world));
    });
}

#[test]
fn directories_are_made_and_removed() {
    each(|paths| {
        assert_eq!(paths.mkdir("new"), Ok(()));
        assert_eq!(paths.mkdir("new/inner/"), Ok(()));
        assert_eq!(paths.mkdir("to-dir/made"), Ok(()));
        assert!(paths.0.host("dir/made").is_dir());
        for path in ["new", "file", "link", ".", "dir/.."] {
            assert_eq!(paths.mkdir(path), Err(Errno::Exist), "{path}");
        }
        assert_eq!(paths.mkdir("nothing/new"), Err(Errno::Noent));
        assert_eq!(paths.rmdir("new"), Err(Errno::Notempty));
        assert_eq!(paths.rmdir("new/inner/"), Ok(()));
        assert_eq!(paths.rmdir("new"), Ok(()));
        assert_eq!(paths.rmdir("file"), Err(Errno::Notdir));
        assert_eq!(paths.rmdir("to-dir"), Err(Errno::Notdir));
        assert_eq!(paths.rmdir("."), Err(Errno::Inval));
        assert_eq!(paths.rmdir("dir/.."), Err(Errno::Notempty));
    });
}

#[test]
fn files_are_unlinked_and_directories_are_not() {
    each(|paths| {
        assert_eq!(paths.unlink("dir"), Err(Errno::Isdir));
        assert_eq!(paths.unlink("dir/"), Err(Errno::Isdir));
        assert_eq!(paths.unlink("file/"), Err(Errno::Notdir));
        assert_eq!(paths.unlink("to-dir/"), Err(Errno::Notdir));
        assert_eq!(paths.unlink("nothing"), Err(Errno::Noent));
        assert_eq!(paths.unlink("link"), Ok(()));
        assert!(paths.0.host("file").exists());
        assert_eq!(paths.unlink("to-dir/file"), Ok(()));
        assert!(!paths.0.host("dir/file").exists());
    });
}

#[test]
fn things_are_renamed() {
    each(|paths| {
        assert_eq!(paths.rename("file", "dir/moved"), Ok(()));
        assert_eq!(paths.rename("dir/moved", "dir/file"), Ok(()));
        assert_eq!(paths.rename("dir/", "other/"), Ok(()));
        assert_eq!(paths.rename("other/file/", "x"), Err(Errno::Notdir));
        assert_eq!(paths.rename("other/file", "x/"), Err(Errno::Notdir));
        assert_eq!(paths.rename("nothing", "x"), Err(Errno::Noent));
        assert_eq!(paths.rename(".", "x"), Err(Errno::Busy));
        assert_eq!(paths.rename("other", "other/inner"), Err(Errno::Inval));
        assert_eq!(paths.rename("link", "renamed"), Ok(()));
        assert_eq!(paths.readlink("renamed", 100).unwrap(), b"file");
    });
}

#[test]
fn hard_links_are_made_to_files() {
    each(|paths| {
        assert_eq!(paths.link(0, "file", "dir/hard"), Ok(()));
        assert_eq!(paths.stat(0, "file"), paths.stat(0, "dir/hard"));
        assert_eq!(paths.link(0, "file", "link"), Err(Errno::Exist));
        assert_eq!(paths.link(0, "file", "new/"), Err(Errno::Noent));
        assert_eq!(paths.link(0, "dir", "new"), Err(Errno::Perm));
        assert_eq!(paths.link(0, "link", "link-to-link"), Ok(()));
        assert_eq!(paths.stat(0, "link-to-link").unwrap().1, 7);
        assert_eq!(paths.link(FOLLOW, "link", "hard-too"), Ok(()));
        assert_eq!(paths.stat(0, "hard-too"), paths.stat(0, "file"));
        assert_eq!(paths.link(FOLLOW, "out", "x"), Err(Errno::Perm));
        assert_eq!(paths.link(2, "file", "x"), Err(Errno::Inval));
    });
}

#[test]
fn links_are_made_and_read() {
    each(|paths| {
        assert_eq!(paths.symlink("../anywhere/at all", "new"), Ok(()));
        assert_eq!(paths.readlink("new", 100).unwrap(), b"../anywhere/at all");
        assert_eq!(paths.readlink("new", 5).unwrap(), b"../an");
        assert_eq!(paths.readlink("new", 0).unwrap(), b"");
        assert_eq!(paths.readlink("file", 100), Err(Errno::Inval));
        assert_eq!(paths.readlink("dir", 100), Err(Errno::Inval));
        assert_eq!(paths.readlink("nothing", 100), Err(Errno::Noent));
        assert_eq!(paths.symlink("x", "file"), Err(Errno::Exist));
        assert_eq!(paths.symlink("x", "fresh/"), Err(Errno::Noent));
        assert_eq!(paths.symlink("x", "dir/"), Err(Errno::Exist));
        assert_eq!(paths.symlink("/etc/passwd", "absolute"), Err(Errno::Perm));
        assert_eq!(paths.symlink("", "empty"), Err(Errno::Noent));
    });
}

#[test]
fn files_are_looked_at_through_links_or_not() {
    each(|paths| {
        let file = paths.stat(0, "file").unwrap();
        assert_eq!(file.1, 4);
        assert_eq!(paths.stat(FOLLOW, "link"), Ok(file));
        assert_eq!(paths.stat(0, "link").unwrap().1, 7);
        let dir = paths.stat(0, "dir").unwrap();
        assert_eq!(paths.stat(0, "to-dir/"), Ok(dir));
        assert_eq!(paths.stat(FOLLOW, "to-dir"), Ok(dir));
        assert_eq!(paths.stat(0, "."), paths.stat(0, "dir/.."));
        assert_eq!(paths.stat(0, "file/"), Err(Errno::Notdir));
        assert_eq!(paths.stat(FOLLOW, "out"), Err(Errno::Perm));
        assert_eq!(paths.stat(0, "out").unwrap().1, 7);
        assert_eq!(paths.stat(4, "file"), Err(Errno::Inval));
    });
}

#[test]
fn times_are_set_through_links_or_not() {
    each(|paths| {
        let modified = |paths: &Paths<'_>, path| {
            std::fs::symlink_metadata(paths.0.host(path))
                .unwrap()
                .mtime()
        };
        paths.touch(0, "link", 1000).unwrap();
        assert_eq!(modified(paths, "link"), 1000);
        assert_ne!(modified(paths, "file"), 1000);
        paths.touch(FOLLOW, "link", 2000).unwrap();
        assert_eq!(
            (modified(paths, "file"), modified(paths, "link")),
            (2000, 1000)
        );
        paths.touch(0, "to-dir/", 3000).unwrap();
        assert_eq!(modified(paths, "dir"), 3000);
        paths.touch(0, ".", 4000).unwrap();
        assert_eq!(modified(paths, "."), 4000);
        assert_eq!(paths.touch(0, "file/", 1), Err(Errno::Notdir));
        assert_eq!(paths.touch(FOLLOW, "out", 1), Err(Errno::Perm));
    });
}

#[test]
fn nothing_outside_is_reached() {
    each(|paths| {
        let outside = paths.0.host("../outside-of-precast-test");
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::write(outside.join("secret"), "").unwrap();
        let name = "outside-of-precast-test";
        for prefix in ["..", "out", "dir/../..", "to-dir/../..", "out/../.."] {
            let inner = format!("{prefix}/{name}/secret");
            let fresh = format!("{prefix}/{name}/fresh");
            assert_eq!(paths.stat(0, &inner), Err(Errno::Perm), "{inner}");
            assert_eq!(paths.touch(0, &inner, 1), Err(Errno::Perm));
            assert_eq!(paths.unlink(&inner), Err(Errno::Perm));
            assert_eq!(paths.mkdir(&fresh), Err(Errno::Perm));
            assert_eq!(paths.rmdir(&format!("{prefix}/{name}")), Err(Errno::Perm));
            assert_eq!(paths.rename(&inner, "stolen"), Err(Errno::Perm));
            assert_eq!(paths.rename("file", &fresh), Err(Errno::Perm));
            assert_eq!(paths.link(0, &inner, "stolen"), Err(Errno::Perm));
            assert_eq!(paths.link(0, "file", &fresh), Err(Errno::Perm));
            assert_eq!(paths.symlink("x", &fresh), Err(Errno::Perm));
            assert_eq!(paths.readlink(&inner, 10), Err(Errno::Perm));
        }
        for path in ["..", "dir/../..", "out/.."] {
            assert_eq!(paths.mkdir(path), Err(Errno::Perm));
            assert_eq!(paths.rmdir(path), Err(Errno::Perm));
            assert_eq!(paths.unlink(path), Err(Errno::Perm));
            assert_eq!(paths.rename(path, "x"), Err(Errno::Perm));
            assert_eq!(paths.stat(0, path), Err(Errno::Perm));
        }
        assert!(outside.join("secret").exists() && !outside.join("fresh").exists());
        std::fs::remove_dir_all(outside).unwrap();
    });
}

#[test]
fn a_read_only_directory_stays_as_it_is() {
    World::each_resolver(Perms::ReadOnly, |world| {
        std::fs::create_dir(world.host("dir")).unwrap();
        std::fs::write(world.host("file"), "content").unwrap();
        symlink("file", world.host("link")).unwrap();
        let mut paths = Paths(world);
        assert!(paths.stat(FOLLOW, "link").is_ok());
        assert_eq!(paths.readlink("link", 10).unwrap(), b"file");
        assert_eq!(paths.mkdir("new"), Err(Errno::Rofs));
        assert_eq!(paths.rmdir("dir"), Err(Errno::Rofs));
        assert_eq!(paths.unlink("file"), Err(Errno::Rofs));
        assert_eq!(paths.rename("file", "new"), Err(Errno::Rofs));
        assert_eq!(paths.link(0, "file", "new"), Err(Errno::Rofs));
        assert_eq!(paths.symlink("file", "new"), Err(Errno::Rofs));
        assert_eq!(paths.touch(0, "file", 1), Err(Errno::Rofs));
        assert_eq!(std::fs::read_dir(paths.0.host(".")).unwrap().count(), 3);
    });
}

#[test]
fn files_of_a_read_only_directory_do_not_move_to_one_that_can_be_written() {
    let writable = tempfile::tempdir().unwrap();
    let mut world = World::with_perms(Perms::ReadOnly, |builder| {
        builder
            .preopen_dir(writable.path(), "/w", Perms::ReadWrite)
            .unwrap();
    });
    std::fs::write(world.host("file"), "content").unwrap();
    let (old, new) = (world.put("file"), world.put("file"));
    let linked = world.call(|ctx, guest| path_link(ctx, guest, DIR, 0, old, DIR + 1, new));
    assert_eq!(linked, Err(Errno::Rofs));
    let renamed = world.call(|ctx, guest| path_rename(ctx, guest, DIR, old, DIR + 1, new));
    assert_eq!(renamed, Err(Errno::Rofs));
    assert_eq!(std::fs::read_dir(writable.path()).unwrap().count(), 0);
}

#[test]
fn every_function_asks_for_its_right() {
    each(|paths| {
        let rights = Rights::PATH_OPEN.bits();
        paths
            .0
            .call(|ctx, guest| {
                crate::preview1::fd::fd_fdstat_set_rights(ctx, guest, DIR, rights, 0)
            })
            .unwrap();
        assert_eq!(paths.mkdir("new"), Err(Errno::Notcapable));
        assert_eq!(paths.rmdir("dir"), Err(Errno::Notcapable));
        assert_eq!(paths.unlink("file"), Err(Errno::Notcapable));
        assert_eq!(paths.rename("file", "new"), Err(Errno::Notcapable));
        assert_eq!(paths.link(0, "file", "new"), Err(Errno::Notcapable));
        assert_eq!(paths.symlink("file", "new"), Err(Errno::Notcapable));
        assert_eq!(paths.readlink("link", 10), Err(Errno::Notcapable));
        assert_eq!(paths.stat(0, "file"), Err(Errno::Notcapable));
        assert_eq!(paths.touch(0, "file", 1), Err(Errno::Notcapable));
    });
}
