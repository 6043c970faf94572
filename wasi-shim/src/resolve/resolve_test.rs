//! Tests of both ways of finding paths, above all that they find the same, and nothing outside.

use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};

use super::{RelativePath, Resolver};
use crate::errno::{Errno, Result};

fn open_path(resolver: Resolver, root: &std::fs::File, path: &str, flags: OFlags) -> Result<u64> {
    let path = RelativePath::new(path.as_bytes())?;
    let fd = resolver.open(root.as_fd(), path, flags, Mode::empty())?;
    Ok(std::fs::File::from(fd).metadata().unwrap().ino())
}

fn stat(root: &std::fs::File, path: &str, follow: bool) -> Result<u64> {
    let path = RelativePath::new(path.as_bytes())?;
    Ok(Resolver::Walk.stat(root.as_fd(), path, follow)?.st_ino)
}

#[test]
fn both_ways_find_the_same() {
    assert_eq!(
        Resolver::detect(),
        Resolver::Kernel,
        "this kernel has openat2"
    );
    let tree = tempfile::tempdir().unwrap();
    let at = |path: &str| tree.path().join(path);
    std::fs::create_dir_all(at("a/b")).unwrap();
    std::fs::write(at("a/f"), "").unwrap();
    let links = [
        ("f", "a/l"),
        ("../a", "a/self"),
        ("b/..", "a/back"),
        ("..", "a/up"),
        ("../..", "a/out"),
        ("/", "a/root"),
        ("a/l", "l"),
        ("ring2", "ring1"),
        ("ring1", "ring2"),
        ("none", "dangling"),
        ("a//b/./", "slashes"),
    ];
    for (target, path) in links {
        symlink(target, at(path)).unwrap();
    }
    let root = std::fs::File::open(tree.path()).unwrap();
    let parts = [
        "a", "b", "f", "l", "self", "back", "up", "out", "root", "ring1", "dangling", "slashes",
        "..", ".", "",
    ];
    let mut found = 0;
    for first in parts {
        for second in parts {
            for third in parts {
                // Plain names, too, where the rest is empty.
                let path = [first, second, third].join("/");
                let path = path.strip_suffix("//").unwrap_or(&path).to_owned();
                for flags in [
                    OFlags::PATH,
                    OFlags::PATH | OFlags::NOFOLLOW,
                    OFlags::RDONLY,
                    OFlags::RDONLY | OFlags::DIRECTORY,
                ] {
                    let kernel = open_path(Resolver::Kernel, &root, &path, flags);
                    let walk = open_path(Resolver::Walk, &root, &path, flags);
                    assert_eq!(kernel, walk, "{path} {flags:?}");
                    if flags.contains(OFlags::PATH) {
                        let follow = !flags.contains(OFlags::NOFOLLOW);
                        assert_eq!(kernel, stat(&root, &path, follow), "{path} {flags:?}");
                    }
                    found += usize::from(kernel.is_ok());
                }
            }
        }
    }
    assert!(found > 300, "{found}");
}

#[test]
fn forty_links_are_followed_and_no_more() {
    let tree = tempfile::tempdir().unwrap();
    std::fs::write(tree.path().join("0"), "").unwrap();
    for link in 1..=41 {
        symlink((link - 1).to_string(), tree.path().join(link.to_string())).unwrap();
    }
    let root = std::fs::File::open(tree.path()).unwrap();
    for resolver in [Resolver::Kernel, Resolver::Walk] {
        assert!(
            open_path(resolver, &root, "40", OFlags::RDONLY).is_ok(),
            "{resolver:?}"
        );
        assert_eq!(
            open_path(resolver, &root, "41", OFlags::RDONLY),
            Err(Errno::Loop),
            "{resolver:?}"
        );
        let path = RelativePath::new(b"40").unwrap();
        let place = resolver.find_followed(root.as_fd(), path).unwrap();
        assert_eq!(place.name(), Some(&b"0"[..]));
        let path = RelativePath::new(b"41").unwrap();
        assert_eq!(
            resolver.find_followed(root.as_fd(), path).err(),
            Some(Errno::Loop)
        );
    }
}

/// Runs `attack` again and again while `change` changes the tree.
fn race(change: impl Fn() + Sync, attack: impl Fn()) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                change();
            }
        });
        let end = Instant::now() + Duration::from_millis(300);
        while Instant::now() < end {
            attack();
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_directory_that_turns_into_a_link_leads_nowhere() {
    let tree = tempfile::tempdir().unwrap();
    let inside = tree.path().join("inside");
    std::fs::create_dir_all(inside.join("real")).unwrap();
    std::fs::write(inside.join("real/file"), "").unwrap();
    std::fs::create_dir(tree.path().join("secret")).unwrap();
    std::fs::write(tree.path().join("secret/file"), "").unwrap();
    symlink("../secret", inside.join("evil")).unwrap();
    let secret = std::fs::metadata(tree.path().join("secret/file"))
        .unwrap()
        .ino();
    let root = std::fs::File::open(&inside).unwrap();
    let flip = || {
        for (from, to) in [
            ("real", "now"),
            ("now", "real"),
            ("evil", "now"),
            ("now", "evil"),
        ] {
            std::fs::rename(inside.join(from), inside.join(to)).unwrap();
        }
    };
    for resolver in [Resolver::Kernel, Resolver::Walk] {
        race(flip, || {
            if let Ok(inode) = open_path(resolver, &root, "now/file", OFlags::RDONLY) {
                assert_ne!(inode, secret, "{resolver:?}");
            }
            let path = RelativePath::new(b"now/file").unwrap();
            if let Ok(place) = resolver.find_followed(root.as_fd(), path)
                && let Ok(stat) = place.stat()
            {
                assert_ne!(stat.st_ino, secret, "{resolver:?}");
            }
        });
    }
}

#[test]
fn a_directory_that_is_moved_deeper_lets_nobody_climb_out() {
    let tree = tempfile::tempdir().unwrap();
    let inside = tree.path().join("inside");
    std::fs::create_dir_all(inside.join("a/b/c")).unwrap();
    std::fs::write(tree.path().join("secret"), "").unwrap();
    let secret = std::fs::metadata(tree.path().join("secret")).unwrap().ino();
    let root = std::fs::File::open(&inside).unwrap();
    let flip = || {
        std::fs::rename(inside.join("a/b/c"), inside.join("c")).unwrap();
        std::fs::rename(inside.join("c"), inside.join("a/b/c")).unwrap();
    };
    for resolver in [Resolver::Kernel, Resolver::Walk] {
        race(flip, || {
            let result = open_path(resolver, &root, "a/b/c/../../../../secret", OFlags::PATH);
            assert_ne!(result, Ok(secret), "{resolver:?}");
            let result = open_path(resolver, &root, "a/b/c/../../../secret", OFlags::PATH);
            assert_ne!(result, Ok(secret), "{resolver:?}");
        });
    }
}
