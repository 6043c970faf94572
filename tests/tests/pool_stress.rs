//! Pools under pressure: thousands of sandboxes that live and die at random on several threads,
//! pages that were swapped out, and a system that refuses what is asked of it.

use std::collections::VecDeque;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use precast::pool::{Density, PoolStats, ResetStrategy};
use precast::{
    Caller, Error, Linker, Pool, Progress, Sandbox, Suspend, Suspended, Template, TemplateFunc,
    Tenant,
};
use precast_compiler::Options;
use precast_tests::guest::{module, module_with, trap};

const GUEST: &str = r#"(module
  (import "host" "later" (func $later (param i32) (result i32)))
  (memory (export "memory") 2 8)
  (global $secret (mut i64) (i64.const 0))
  (data (i32.const 40000) "\11\22\33\44")
  ;; Whether nothing is here of anyone before; then leaves something behind.
  (func $use (export "use") (param $tenant i64) (param $page i32) (result i32)
    (local $at i32) (local $found i64)
    (local.set $found (global.get $secret))
    (local.set $at (i32.shl (local.get $page) (i32.const 12)))
    (local.set $found (i64.or (local.get $found) (i64.load (local.get $at))))
    (local.set $found (i64.or (local.get $found) (i64.load offset=2048 (local.get $at))))
    (local.set $found (i64.or (local.get $found)
      (i64.xor (i64.load32_u (i32.const 40000)) (i64.const 0x44332211))))
    (global.set $secret (local.get $tenant))
    (i64.store (local.get $at) (local.get $tenant))
    (i64.store offset=2048 (local.get $at) (local.get $tenant))
    (i64.store (i32.const 40000) (local.get $tenant))
    (i64.ne (local.get $found) (i64.const 0)))
  ;; Whether what was left is still here.
  (func (export "again") (param $tenant i64) (param $page i32) (result i32)
    (i32.and
      (i64.eq (global.get $secret) (local.get $tenant))
      (i64.eq (i64.load (i32.shl (local.get $page) (i32.const 12))) (local.get $tenant))))
  ;; What is there that it grows by; leaves something there.
  (func (export "grow") (result i32)
    (drop (memory.grow (i32.const 1)))
    (i32.load8_u (i32.const 140000))
    (i32.store8 (i32.const 140000) (i32.const 9)))
  (func (export "beyond") (result i32) (i32.load8_u (i32.const 140000)))
  (func (export "trap") (unreachable))
  (func $deep (export "deep") (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))
      (else (i32.const 0))))
  (func (export "spin") (loop (br 0)))
  (func (export "wait") (param i32) (result i32)
    (i32.add (i32.const 1) (call $later (local.get 0)))))"#;

type Guest = Sandbox<u64>;

#[derive(Clone)]
struct Functions {
    template: Template<u64>,
    use_page: TemplateFunc<(u64, u32), i32>,
    again: TemplateFunc<(u64, u32), i32>,
    grow: TemplateFunc<(), i32>,
    beyond: TemplateFunc<(), i32>,
    trap: TemplateFunc<(), ()>,
    deep: TemplateFunc<i32, i32>,
    spin: TemplateFunc<(), ()>,
    wait: TemplateFunc<i32, i32>,
}

impl Functions {
    fn new(compact: bool) -> Functions {
        let mut linker = Linker::<u64>::new();
        linker.func("host", "later", |caller: Caller<'_, u64>, x: i32| {
            match x + i32::from(*caller.data() == 0) {
                ..0 => Ok(x),
                _ => Err(Error::from(Suspend::new())),
            }
        });
        let options = Options {
            memory_reservation: compact.then_some(1 << 20),
            ..Options::default()
        };
        let template = linker.template(&module_with(GUEST, &options)).unwrap();
        Functions {
            use_page: template.func("use").unwrap(),
            again: template.func("again").unwrap(),
            grow: template.func("grow").unwrap(),
            beyond: template.func("beyond").unwrap(),
            trap: template.func("trap").unwrap(),
            deep: template.func("deep").unwrap(),
            spin: template.func("spin").unwrap(),
            wait: template.func("wait").unwrap(),
            template,
        }
    }
}

/// Numbers that look random and are the same each time (G. Marsaglia's xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// A sandbox with what its tenant left in it.
struct Live {
    sandbox: Guest,
    page: u32,
}

enum Parcel {
    Live(Live),
    Suspended(Box<Suspended<Guest, i32>>, u32),
}

/// What threads send each other.
struct Post(Mutex<VecDeque<Parcel>>);

fn live_at_random(
    seed: u64,
    pool: &Pool<u64>,
    f: &Functions,
    post: &Post,
    most: usize,
    rounds: u64,
) {
    static NEXT_TENANT: AtomicU64 = AtomicU64::new(1);
    let mut random = Random(seed);
    let mut live: Vec<Live> = Vec::new();
    for _ in 0..rounds {
        let pick = if live.is_empty() {
            0
        } else {
            random.below(live.len() as u64) as usize
        };
        match random.below(100) {
            // Instantiate: what is found there must be as new.
            0..45 if live.len() < most => {
                let tenant = NEXT_TENANT.fetch_add(1, Ordering::Relaxed);
                let page = random.below(32) as u32 / 2;
                let Ok(mut sandbox) = pool.instantiate(&f.template, Tenant(tenant), tenant) else {
                    continue;
                };
                let found = f.use_page.call(&mut sandbox, (tenant, page)).unwrap();
                assert_eq!(found, 0, "tenant {tenant} found something in page {page}");
                if random.below(16) == 0 {
                    trap(f.beyond.call(&mut sandbox, ()));
                }
                // Most grow alike, so that what they grow by is kept behind a key.
                if !tenant.is_multiple_of(4) {
                    assert_eq!(f.grow.call(&mut sandbox, ()).unwrap(), 0);
                }
                live.push(Live { sandbox, page });
            }
            45..75 if !live.is_empty() => drop(live.swap_remove(pick)),
            75..80 if !live.is_empty() => {
                let Live { sandbox, page } = &mut live[pick];
                let tenant = *sandbox.data();
                assert_eq!(f.again.call(sandbox, (tenant, *page)).unwrap(), 1);
            }
            80..83 if !live.is_empty() => {
                let Live { sandbox, page } = &mut live[pick];
                let tenant = *sandbox.data();
                sandbox.reset().unwrap();
                assert_eq!(f.use_page.call(sandbox, (tenant, *page)).unwrap(), 0);
            }
            83..86 if !live.is_empty() => drop(f.grow.call(&mut live[pick].sandbox, ())),
            86..88 if !live.is_empty() => {
                trap(f.trap.call(&mut live[pick].sandbox, ()));
            }
            88..89 if !live.is_empty() => {
                let deep = random.below(300_000) as i32;
                let _ = f.deep.call(&mut live[pick].sandbox, deep);
            }
            89..90 if !live.is_empty() => {
                let mut live = live.swap_remove(pick);
                let soon = Instant::now() + Duration::from_micros(random.below(300));
                live.sandbox.set_deadline(Some(soon));
                trap(f.spin.call(&mut live.sandbox, ()));
            }
            90..91 if !live.is_empty() => {
                let Live { mut sandbox, .. } = live.swap_remove(pick);
                sandbox.interrupt_handle().kill();
                trap(f.deep.call(&mut sandbox, 1));
            }
            91..94 if !live.is_empty() => {
                let Live { sandbox, page } = live.swap_remove(pick);
                let started = f.wait.bind(&sandbox).unwrap().start(sandbox, 5);
                let suspended = Box::new(started.unwrap_suspended());
                post.0
                    .lock()
                    .unwrap()
                    .push_back(Parcel::Suspended(suspended, page));
            }
            94..97 if !live.is_empty() => {
                let parcel = Parcel::Live(live.swap_remove(pick));
                post.0.lock().unwrap().push_back(parcel);
            }
            _ => {
                let parcel = post.0.lock().unwrap().pop_front();
                match parcel {
                    Some(Parcel::Live(mut there)) => {
                        let tenant = *there.sandbox.data();
                        let again = f
                            .again
                            .call(&mut there.sandbox, (tenant, there.page))
                            .unwrap();
                        assert_eq!(again, 1);
                        live.push(there);
                    }
                    Some(Parcel::Suspended(mut guest, page)) if random.below(3) > 0 => {
                        guest.give(&[precast::Val::I32(41)]).unwrap();
                        let Progress::Done(sandbox, result) = guest.resume() else {
                            panic!("it waits once");
                        };
                        assert_eq!(result.unwrap(), 42);
                        live.push(Live { sandbox, page });
                    }
                    // Abandoned where it is.
                    other => drop(other),
                }
            }
        }
    }
}

/// How much longer than in the ordinary run: `STRESS=20` for some millions of rounds.
fn factor() -> u64 {
    std::env::var("STRESS")
        .ok()
        .and_then(|factor| factor.parse().ok())
        .unwrap_or(1)
}

fn at_random(pool: &Pool<u64>, functions: &Functions, live: usize, rounds: u64) -> PoolStats {
    let post = Post(Mutex::new(VecDeque::new()));
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (post, seed) = (&post, 0x9e37_79b9_7f4a_7c15 ^ (thread + 1));
            scope.spawn(move || live_at_random(seed, pool, functions, post, live / 4, rounds));
        }
    });
    drop(post);
    let stats = pool.stats();
    assert_eq!(
        (stats.live, stats.lost, stats.unclean),
        (0, 0, 0),
        "{stats:?}"
    );
    stats
}

fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .count()
}

#[test]
fn thousands_live_and_die_at_random() {
    let functions = Functions::new(false);
    // Warm up what stays for good: threads, handlers.
    let pool = Pool::builder().slots(8).build().unwrap();
    at_random(&pool, &functions, 8, 200);
    drop(pool);
    let before = mappings();
    let pool = Pool::builder().slots(10_000).build().unwrap();
    let stats = at_random(&pool, &functions, 10_000, 40_000 * factor());
    assert!(
        stats.resets_by_window > 1000 && stats.resets_by_scan > 100,
        "{stats:?}"
    );
    drop(pool);
    // Other tests of this process may have mapped something meanwhile, but not thousands of slots.
    assert!(
        mappings() < before + 200,
        "{before} mappings before, {} after",
        mappings()
    );
}

#[test]
fn compact_slots_live_and_die_at_random() {
    let functions = Functions::new(true);
    let density = Density::Compact {
        reservation: 1 << 20,
    };
    let pool = Pool::builder()
        .slots(2000)
        .density(density)
        .verify(true)
        .build()
        .unwrap();
    at_random(&pool, &functions, 3000, 3000 * factor());
}

#[test]
fn few_slots_go_from_hand_to_hand() {
    let functions = Functions::new(false);
    let pool = Pool::builder().slots(6).verify(true).build().unwrap();
    at_random(&pool, &functions, 12, 5000 * factor());
}

/// Runs a test of this file again, in a process of its own, as `part`.
fn in_child(test: &str, part: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("POOL_STRESS_PART", part)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{part}: {}\n{text}\n{errors}",
        output.status
    );
}

fn part() -> Option<String> {
    std::env::var("POOL_STRESS_PART").ok()
}

/// Mappings that cannot be joined, until the process may have no more.
struct Exhausted {
    start: *mut libc::c_void,
    len: usize,
}

impl Exhausted {
    fn new() -> Exhausted {
        let len = 4096 * 200_000;
        // SAFETY: a new mapping, whose pages are given different access until that is refused.
        unsafe {
            let (prot, flags) = (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let start = libc::mmap(std::ptr::null_mut(), len, prot, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED);
            let refused = (0..len)
                .step_by(8192)
                .any(|at| libc::mprotect(start.byte_add(at), 4096, libc::PROT_NONE) != 0);
            assert!(refused, "vm.max_map_count is higher than this test thinks");
            Exhausted { start, len }
        }
    }
}

impl Drop for Exhausted {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's.
        unsafe { libc::munmap(self.start, self.len) };
    }
}

/// A guest that may fail, but nothing else may happen: and what the next one finds is clean.
fn use_page(pool: &Pool<u64>, f: &Functions, page: u32) -> Result<(), Error> {
    let mut sandbox = pool.instantiate(&f.template, Tenant(7), 7)?;
    assert_eq!(f.use_page.call(&mut sandbox, (7, page))?, 0, "page {page}");
    let _ = f.grow.call(&mut sandbox, ());
    let _ = f.deep.call(&mut sandbox, 2000);
    Ok(())
}

#[test]
fn a_system_without_mappings_is_an_error_and_no_crash() {
    const NAME: &str = "a_system_without_mappings_is_an_error_and_no_crash";
    let Some(part) = part() else {
        ["fresh", "used", "narrow"]
            .into_iter()
            .for_each(|part| in_child(NAME, part));
        return;
    };
    let functions = Functions::new(false);
    let pool = Pool::builder().slots(8).verify(true).build().unwrap();
    let uses = match part.as_str() {
        "fresh" => 0,
        "used" => 1,
        _ => 5,
    };
    for _ in 0..uses {
        use_page(&pool, &functions, 3).unwrap();
    }
    let held: Vec<_> = (0..2)
        .map(|_| pool.instantiate(&functions.template, Tenant(1), 1).unwrap())
        .collect();
    let exhausted = Exhausted::new();
    drop(held);
    for page in 0..16 {
        let _ = use_page(&pool, &functions, page);
    }
    let refused: Vec<_> = (0..8)
        .map(|_| pool.instantiate(&functions.template, Tenant(1), 1))
        .collect();
    assert!(
        refused.iter().any(Result::is_err),
        "places that were never used need mappings"
    );
    drop(refused);
    drop(exhausted);
    for page in 0..16 {
        use_page(&pool, &functions, page).unwrap();
    }
    let stats = pool.stats();
    assert_eq!((stats.live, stats.unclean), (0, 0), "{stats:?}");
}

#[test]
fn too_little_address_space_says_what_to_raise() {
    const NAME: &str = "too_little_address_space_says_what_to_raise";
    if part().is_none() {
        return in_child(NAME, "limited");
    }
    let limit = libc::rlimit {
        rlim_cur: 4 << 30,
        rlim_max: 4 << 30,
    };
    // SAFETY: limits this process.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    let error = Pool::builder()
        .slots(100)
        .build::<()>()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("raise `ulimit -v`") && error.contains("4294967296"),
        "{error}"
    );
    // What fits is made.
    let density = Density::Compact {
        reservation: 1 << 20,
    };
    let functions = Functions::new(true);
    let pool = Pool::builder().slots(100).density(density).build().unwrap();
    use_page(&pool, &functions, 3).unwrap();
}

fn resident_kilobytes() -> u64 {
    status_kilobytes("VmRSS:")
}

/// One after the other in all the ways there are to end, on two threads.
fn rounds(pool: &Pool<u64>, f: &Functions, count: u64) {
    let one = |round: u64| {
        let mut sandbox = pool.instantiate(&f.template, Tenant(round), round).unwrap();
        let page = (round % 16) as u32;
        assert_eq!(f.use_page.call(&mut sandbox, (round, page)).unwrap(), 0);
        match round % 64 {
            1 => drop(trap(f.trap.call(&mut sandbox, ())).backtrace().to_string()),
            2 => drop(trap(f.trap.call(&mut sandbox, ()))),
            3 => drop(f.grow.call(&mut sandbox, ())),
            4 => drop(f.wait.bind(&sandbox).unwrap().start(sandbox, 5)),
            5 => {
                sandbox.interrupt_handle().kill();
                trap(f.deep.call(&mut sandbox, 1));
            }
            6 => sandbox.reset().unwrap(),
            7 => {
                sandbox.set_deadline(Some(Instant::now() + Duration::from_secs(600)));
                f.deep.call(&mut sandbox, 1).unwrap();
            }
            _ => {}
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..2 {
            scope.spawn(move || (0..count / 2).for_each(|n| one(2 * n + thread)));
        }
    });
}

#[test]
fn many_rounds_leak_nothing() {
    const NAME: &str = "many_rounds_leak_nothing";
    if part().is_none() {
        // Other tests of this process have memory of their own.
        return in_child(NAME, "alone");
    }
    let functions = Functions::new(false);
    let pool = Pool::builder().slots(8).build().unwrap();
    rounds(&pool, &functions, 20_000);
    let before = (mappings(), resident_kilobytes());
    rounds(&pool, &functions, 100_000 * factor());
    let after = (mappings(), resident_kilobytes());
    let stats = pool.stats();
    assert_eq!(
        (stats.live, stats.lost, stats.unclean),
        (0, 0, 0),
        "{stats:?}"
    );
    // What threads need to start, and not four bytes a round.
    assert!(
        after.0 <= before.0 + 8 && after.1 <= before.1 + 384,
        "{before:?} mappings and kilobytes before, {after:?} after"
    );
}

/// Swap space in a file, for as long as this lives.
struct Swap(std::path::PathBuf);

impl Swap {
    /// `None` where this process may not have any.
    fn new() -> Option<Swap> {
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = path.join(format!("swap-{}", std::process::id()));
        let swap = Swap(path);
        std::fs::write(&swap.0, vec![0; 32 << 20]).ok()?;
        let run = |name: &str| {
            let status = Command::new(name).arg(&swap.0).output();
            status.is_ok_and(|output| output.status.success())
        };
        let made = Command::new("chmod")
            .arg("600")
            .arg(&swap.0)
            .status()
            .is_ok()
            && run("mkswap")
            && run("swapon");
        made.then_some(swap)
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        let _ = Command::new("swapoff").arg(&self.0).output();
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What the system says of this process.
fn status_kilobytes(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn swapped_kilobytes() -> u64 {
    status_kilobytes("VmSwap:")
}

#[test]
fn what_was_swapped_out_is_restored_too() {
    let Some(_swap) = Swap::new() else {
        eprintln!(
            "NOT TESTED: this process may not make swap space, so that no page was swapped out"
        );
        return;
    };
    let functions = Functions::new(false);
    let scribble = Linker::<u64>::new()
        .template(&module(
            r#"(module (memory (export "memory") 64)
                (func (export "fill") (memory.fill (i32.const 0) (i32.const 0x5e) (i32.const 4194304)))
                (func (export "look") (result i32) (local $at i32)
                    (loop $next
                        (if (i64.ne (i64.load (local.get $at)) (i64.const 0))
                            (then (return (i32.const 1))))
                        (local.set $at (i32.add (local.get $at) (i32.const 512)))
                        (br_if $next (i32.lt_u (local.get $at) (i32.const 4194304))))
                    (i32.const 0)))"#,
        ))
        .unwrap();
    drop(functions);
    let fill = scribble.func::<(), ()>("fill").unwrap();
    let look = scribble.func::<(), i32>("look").unwrap();
    for strategy in [
        ResetStrategy::Auto,
        ResetStrategy::Window,
        ResetStrategy::Scan,
        ResetStrategy::Discard,
    ] {
        let pool = Pool::builder()
            .slots(1)
            .reset_strategy(strategy)
            .keep_resident(1 << 30)
            .build()
            .unwrap();
        for round in 0..3 {
            let mut sandbox = pool.instantiate(&scribble, Tenant(round), 0).unwrap();
            assert_eq!(
                look.call(&mut sandbox, ()).unwrap(),
                0,
                "{strategy:?} {round}"
            );
            fill.call(&mut sandbox, ()).unwrap();
            let memory = sandbox.instance().memory(&sandbox, "memory").unwrap();
            let bytes = memory.data(&sandbox).unwrap();
            let start = bytes.as_ptr().cast_mut().cast();
            // SAFETY: the contents stay as they are.
            let paged_out = unsafe { libc::madvise(start, bytes.len(), libc::MADV_PAGEOUT) };
            assert_eq!(paged_out, 0);
            if swapped_kilobytes() < 1024 {
                eprintln!(
                    "NOT TESTED: the system swapped out only {} KiB",
                    swapped_kilobytes()
                );
            }
        }
    }
}
