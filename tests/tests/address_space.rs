//! Processes that may have little address space: a limit (`ulimit -v`), or a board on which all of
//! it is 512 GiB.
//!
//! # Safety
//!
//! Each test runs in a process of its own, which limits itself.
#![allow(unsafe_code, reason = "limits are set by the C library")]

use std::process::Command;

use precast::pool::Density;
use precast::{Error, Linker, Module, Pool, Store, Tenant};
use precast_compiler::Options;
use precast_tests::guest::module_with;
use precast_wasi::WasiCtxBuilder;

/// Tells the test's name in the process that is limited.
const CHILD: &str = "ADDRESS_SPACE_CHILD";

/// Whether this is the test's own process, which may have `bytes` of address space from now on. If
/// not, that process is run, and must succeed.
fn is_limited(test: &str, bytes: u64) -> bool {
    if std::env::var(CHILD).as_deref() == Ok(test) {
        let limit = libc::rlimit {
            rlim_cur: bytes,
            rlim_max: bytes,
        };
        // SAFETY: limits this process.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
        return true;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, test)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    false
}

const GUEST: &str = r#"(module (memory (export "memory") 1 16)
  (func (export "run") (param i32) (result i32)
    (drop (memory.grow (i32.const 3)))
    (i32.store (i32.const 200000) (local.get 0))
    (i32.add (i32.load (i32.const 200000)) (memory.size))))"#;

fn module(text: &str, reservation: Option<u64>) -> Module {
    let options = Options {
        memory_reservation: reservation,
        ..Options::default()
    };
    module_with(text, &options)
}

fn run(module: &Module) -> Result<i32, Error> {
    let mut store = Store::new(());
    let instance = Linker::new().instantiate(&mut store, module)?;
    let run = instance.func::<i32, i32>(&store, "run")?;
    run.call(&mut store, 38)
}

/// Address space of this process, in bytes.
fn address_space() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mut lines = status.lines();
    let line = lines.find(|line| line.starts_with("VmSize:")).unwrap();
    let number = line.split_whitespace().nth(1).unwrap();
    number.parse::<u64>().unwrap() << 10
}

#[test]
fn modules_for_guard_pages_are_refused_with_the_way_out() {
    if !is_limited(
        "modules_for_guard_pages_are_refused_with_the_way_out",
        4 << 30,
    ) {
        return;
    }
    let error = run(&module(GUEST, None)).unwrap_err();
    assert!(matches!(error, Error::AddressSpace(_)), "{error:?}");
    let message = error.to_string();
    for part in [
        "4294967296",
        "`ulimit -v`",
        "--memory-reservation",
        "guard pages",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(run(&module(GUEST, Some(1 << 20))).unwrap(), 42);
    // Without a memory there is nothing to reserve for it.
    let none = r#"(module (func (export "run") (param i32) (result i32) (local.get 0)))"#;
    assert_eq!(run(&module(none, None)).unwrap(), 38);
}

#[test]
fn memories_with_checks_take_what_there_is() {
    if !is_limited("memories_with_checks_take_what_there_is", 4 << 30) {
        return;
    }
    // Would have 16 GiB each elsewhere, one in the instance's slot and one of its own.
    let wide = r#"(module (memory i64 1) (memory i64 1)
      (func (export "run") (param i32) (result i32)
        (drop (memory.grow (i64.const 3)))
        (drop (memory.grow 1 (i64.const 3)))
        (i32.store (i64.const 200000) (local.get 0))
        (i32.store 1 (i64.const 200000) (i32.const 4))
        (i32.add (i32.load (i64.const 200000)) (i32.load 1 (i64.const 200000)))))"#;
    assert_eq!(run(&module(wide, None)).unwrap(), 42);
    // What it cannot do without is refused.
    let large = r#"(module (memory i64 100000)
      (func (export "run") (param i32) (result i32) (local.get 0)))"#;
    let message = run(&module(large, None)).unwrap_err().to_string();
    assert!(message.contains("raise `ulimit -v`"), "{message}");
    assert!(!message.contains("--memory-reservation"), "{message}");
}

#[test]
fn the_loader_itself_takes_little() {
    if !is_limited("the_loader_itself_takes_little", 4 << 30) {
        return;
    }
    let module = module(GUEST, Some(1 << 20));
    let before = address_space();
    let mut store = Store::new(());
    let instance = Linker::new().instantiate(&mut store, &module).unwrap();
    let run = instance.func::<i32, i32>(&store, "run").unwrap();
    assert_eq!(run.call(&mut store, 38).unwrap(), 42);
    // A memory of 1 MiB, a stack of 1 MiB, a signal stack, and some heap.
    let taken = address_space().saturating_sub(before);
    assert!((2 << 20..4 << 20).contains(&taken), "{taken} bytes");
}

#[test]
fn a_thousand_compact_slots_fit_a_gigabyte_and_a_half() {
    let name = "a_thousand_compact_slots_fit_a_gigabyte_and_a_half";
    if !is_limited(name, 3 << 29) {
        return;
    }
    let template = Linker::new()
        .template(&module(GUEST, Some(1 << 20)))
        .unwrap();
    let run = template.func::<i32, i32>("run").unwrap();
    let pool = Pool::builder()
        .slots(1000)
        .stack_size(64 << 10)
        .instance_data(4 << 10)
        .density(Density::Compact {
            reservation: 1 << 20,
        })
        .build()
        .unwrap();
    let mut sandboxes: Vec<_> = (0..1000)
        .map(|number| {
            pool.instantiate(&template, Tenant(number), ())
                .unwrap_or_else(|error| panic!("sandbox {number}: {error}"))
        })
        .collect();
    for sandbox in &mut sandboxes {
        assert_eq!(run.call(sandbox, 38).unwrap(), 42);
    }
}

/// As much as a process has on AArch64 with addresses of 39 bits.
const BITS_39: u64 = 1 << 39;

#[test]
fn boards_of_39_bits_have_room_for_guard_pages() {
    if !is_limited("boards_of_39_bits_have_room_for_guard_pages", BITS_39) {
        return;
    }
    let module = module(GUEST, None);
    assert_eq!(run(&module).unwrap(), 42);
    // 4 GiB, 32 MiB of guard, and the rest of a slot: 4,132 MiB.
    let guarded = Pool::builder().most_slots().unwrap();
    assert!((124..=126).contains(&guarded), "{guarded}");
    let compact = Pool::builder().density(Density::Compact {
        reservation: 16 << 20,
    });
    let compact = compact.most_slots().unwrap();
    assert!((28_000..32_768).contains(&compact), "{compact}");
    let template = Linker::new().template(&module).unwrap();
    let run = template.func::<i32, i32>("run").unwrap();
    let pool = Pool::builder().slots(120).build().unwrap();
    let mut sandboxes: Vec<_> = (0..120)
        .map(|number| pool.instantiate(&template, Tenant(number), ()).unwrap())
        .collect();
    for sandbox in &mut sandboxes {
        assert_eq!(run.call(sandbox, 38).unwrap(), 42);
    }
    let message = Pool::builder().slots(200).build::<()>().unwrap_err();
    let message = message.to_string();
    assert!(message.contains("take fewer slots"), "{message}");
}

#[test]
fn programs_run_within_64_mib_beside_the_process_itself() {
    let name = "programs_run_within_64_mib_beside_the_process_itself";
    if !is_limited(name, 4 << 30) {
        return;
    }
    let hello = include_bytes!("wasi/world.wasm");
    let options = Options {
        memory_reservation: Some(32 << 20),
        ..Options::default()
    };
    let module = precast_tests::trusted::open(hello, &options).unwrap();
    let limit = libc::rlimit {
        rlim_cur: address_space() + (64 << 20),
        rlim_max: 4 << 30,
    };
    // SAFETY: limits this process.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    let ran = precast_tests::wasi::run(&module, &mut WasiCtxBuilder::new());
    assert_eq!(ran.end, Ok(0), "{ran:?}");
    assert!(!ran.stdout.is_empty());
}
