//! Guests that try to get out of their directory.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use precast_tests::wasi::{compile, run};
use precast_wasi::{Perms, WasiCtxBuilder};

/// Turns `now` from a directory into a link out of the sandbox and back.
fn flip(inside: &Path) {
    for (from, to) in [
        ("real", "now"),
        ("now", "real"),
        ("evil", "now"),
        ("now", "evil"),
    ] {
        let _ = std::fs::rename(inside.join(from), inside.join(to));
    }
}

fn race(walk: bool, perms: Perms) {
    let tree = tempfile::tempdir().expect("a directory");
    let inside = tree.path().join("inside");
    let secret = tree.path().join("secret");
    for (directory, content) in [
        (inside.join("real"), "Allowed".into()),
        (secret.clone(), "S".repeat(1000)),
    ] {
        std::fs::create_dir_all(directory.join("inner")).expect("a directory");
        std::fs::write(directory.join("file"), content).expect("a file");
    }
    symlink("../secret", inside.join("evil")).expect("a link");
    let mut builder = WasiCtxBuilder::new();
    builder
        .arg("race")
        .preopen_dir(&inside, "/", perms)
        .expect("the directory");
    if walk {
        builder.walk_paths();
    }
    let module = compile(include_bytes!("race.wasm"));
    let done = AtomicBool::new(false);
    let ran = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                flip(&inside);
            }
        });
        let ran = run(&module, &mut builder);
        done.store(true, Ordering::Relaxed);
        ran
    });
    assert_eq!(ran.end, Ok(0), "1: the secret was read, 2: nothing was");
    let mut left: Vec<_> = std::fs::read_dir(&secret)
        .expect("the directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["file", "inner"], "nothing came to be outside");
}

#[test]
fn a_link_that_comes_and_goes_leads_nowhere() {
    race(false, Perms::ReadWrite);
}

#[test]
fn a_link_that_comes_and_goes_leads_nowhere_by_hand() {
    race(true, Perms::ReadWrite);
}

#[test]
fn a_read_only_directory_is_not_changed_in_a_race_either() {
    race(false, Perms::ReadOnly);
}
