//! Tests of `fd_readdir`.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;

use super::fd_readdir::fd_readdir;
use crate::errno::{Errno, Result};
use crate::guest::{GuestPtr, GuestSlice};
use crate::testing::*;
use crate::types::Rights;

/// Cookie, inode, type, name.
type Entry = (u64, u64, u8, String);

fn list(world: &mut World, fd: u32, room: u32, cookie: u64) -> Result<(Vec<Entry>, bool)> {
    let buffer = GuestSlice::new(DATA, room);
    world.call(|ctx, guest| fd_readdir(ctx, guest, fd, buffer, cookie, GuestPtr::new(OUT)))?;
    let used: u32 = world.get(OUT);
    let mut entries = Vec::new();
    let mut at = 0;
    while at + 24 <= used {
        let base = DATA + at;
        let len: u32 = world.get(base + 16);
        if at + 24 + len > used {
            break;
        }
        let name = String::from_utf8(world.bytes(base + 24, len).to_vec()).unwrap();
        entries.push((
            world.get(base),
            world.get(base + 8),
            world.get(base + 20),
            name,
        ));
        at += 24 + len;
    }
    Ok((entries, used < room))
}

fn list_all(world: &mut World, fd: u32, room: u32) -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    loop {
        let cookie = all.last().map_or(0, |entry| entry.0);
        let (entries, end) = list(world, fd, room, cookie).unwrap();
        all.extend(entries);
        if end {
            return all;
        }
    }
}

#[test]
fn every_entry_is_listed_once_however_small_the_room() {
    let mut world = World::new(|_| {});
    for index in 0..500 {
        std::fs::write(world.host(&format!("file-{index}")), "").unwrap();
    }
    for room in [64, 100, 4096, 16_384] {
        let names: Vec<String> = list_all(&mut world, DIR, room)
            .into_iter()
            .map(|entry| entry.3)
            .collect();
        assert_eq!(names.len(), 502, "room {room}");
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 502);
    }
}

#[test]
fn cookies_stay_good_while_entries_are_removed() {
    let mut world = World::new(|_| {});
    for index in 0..300 {
        std::fs::write(world.host(&format!("file-{index}")), "").unwrap();
    }
    let mut cookie = 0;
    let mut seen = 0;
    loop {
        let (entries, end) = list(&mut world, DIR, 1000, cookie).unwrap();
        for (next, _, _, name) in entries {
            cookie = next;
            if name.starts_with("file") {
                std::fs::remove_file(world.host(&name)).unwrap();
                seen += 1;
            }
        }
        if end {
            break;
        }
    }
    assert_eq!(seen, 300);
}

#[test]
fn entries_say_what_they_are() {
    let mut world = World::new(|_| {});
    std::fs::write(world.host("file"), "").unwrap();
    std::fs::create_dir(world.host("directory")).unwrap();
    std::os::unix::fs::symlink("file", world.host("link")).unwrap();
    let (entries, end) = list(&mut world, DIR, 4096, 0).unwrap();
    assert!(end);
    for (_, inode, kind, name) in entries {
        let expected = match name.as_str() {
            "file" => 4,
            "link" => 7,
            _ => 3,
        };
        assert_eq!(kind, expected, "{name}");
        // The parent of what was preopened is hidden behind the directory itself.
        let on_host = if name == ".." {
            world.host(".")
        } else {
            world.host(&name)
        };
        assert_eq!(inode, std::fs::symlink_metadata(on_host).unwrap().ino());
    }
}

#[test]
fn two_descriptors_list_independently() {
    let mut world = World::new(|_| {});
    for index in 0..50 {
        std::fs::write(world.host(&format!("file-{index}")), "").unwrap();
    }
    let other = world
        .open(".", DIRECTORY, Rights::DIRECTORY.bits())
        .unwrap();
    let first = list(&mut world, DIR, 200, 0).unwrap().0;
    assert_eq!(list_all(&mut world, other, 300).len(), 52);
    let next = list(&mut world, DIR, 200, first.last().unwrap().0)
        .unwrap()
        .0;
    assert_ne!(first[0].3, next[0].3);
}

#[test]
fn only_directories_with_the_right_are_listed() {
    let mut world = World::new(|_| {});
    let file = world.open("a", CREAT, READ_WRITE).unwrap();
    assert_eq!(list(&mut world, file, 100, 0), Err(Errno::Notcapable));
    let opaque = world.open(".", DIRECTORY, 0).unwrap();
    assert_eq!(list(&mut world, opaque, 100, 0), Err(Errno::Notcapable));
    assert_eq!(list(&mut world, DIR, SIZE as u32, 0), Err(Errno::Fault));
    assert_eq!(list(&mut world, DIR, 100, u64::MAX), Err(Errno::Inval));
    assert_eq!(list(&mut world, DIR, 0, 0), Ok((vec![], false)));
}
