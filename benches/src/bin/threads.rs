//! Two threads over one shared memory, beside two native threads: atomic increments of one word, and
//! waking each other.
//!
//! usage: `threads [ROUNDS]`
//!
//! The native side uses the same instruction, and the kernel's futex itself. All that is compared runs
//! in turn; times are wall clock, medians.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use precast::{Linker, MemoryType, Module, SharedMemory, Store, TypedFunc};
use precast_benches::Result;
use precast_benches::measure::{Clock, Plan, interleave};
use precast_benches::ours;
use rustix::thread::futex;

const WAT: &str = r#"(module
    (import "env" "memory" (memory 1 1 shared))
    (func (export "add") (param $at i32) (param i32) (param i32) (param $times i32)
        (loop $next
            (drop (i32.atomic.rmw.add (local.get $at) (i32.const 1)))
            (br_if $next (local.tee $times (i32.sub (local.get $times) (i32.const 1))))))
    (func (export "pong") (param $at i32) (param $own i32) (param $other i32) (param $times i32) (local $seen i32)
        (loop $next
            (block $mine (loop $wait
                (br_if $mine (i32.eq (local.tee $seen (i32.atomic.load (local.get $at))) (local.get $own)))
                (drop (memory.atomic.wait32 (local.get $at) (local.get $seen) (i64.const -1)))
                (br $wait)))
            (i32.atomic.store (local.get $at) (local.get $other))
            (drop (memory.atomic.notify (local.get $at) (i32.const 1)))
            (br_if $next (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))))"#;

type Function = TypedFunc<(i32, i32, i32, i32), ()>;

/// A thread's store, and the function that it calls.
struct Guest {
    store: Store<()>,
    function: Function,
}

fn main() -> Result<ExitCode> {
    let rounds = match std::env::args().nth(1) {
        Some(rounds) => rounds.parse()?,
        None => 41,
    };
    let module = ours::module(&wat::parse_str(WAT)?)?;
    compare(
        "atomic increment by two threads",
        rounds,
        &module,
        "add",
        native_add,
    )?;
    compare(
        "wait and notify, there and back",
        rounds,
        &module,
        "pong",
        native_pong,
    )?;
    Ok(ExitCode::SUCCESS)
}

fn compare(
    what: &str,
    rounds: usize,
    module: &Module,
    name: &str,
    native: fn(&AtomicU32, u32, u32, u64),
) -> Result<()> {
    let memory = SharedMemory::new(MemoryType {
        shared: true,
        ..MemoryType::new(1, Some(1))
    })?;
    let mut guests = [guest(module, &memory, name)?, guest(module, &memory, name)?];
    let word = AtomicU32::new(0);
    let plan = Plan {
        rounds,
        slice: Duration::from_millis(20),
        most: 1 << 30,
        clock: Clock::Wall,
    };
    let mut ours = |count: u64| in_guests(&mut guests, count);
    let mut theirs = |count: u64| {
        thread::scope(|scope| {
            scope.spawn(|| native(&word, 0, 1, count));
            native(&word, 1, 0, count);
        });
        Ok(())
    };
    let times = interleave(plan, &mut [&mut theirs, &mut ours])?;
    let (native, ours) = (times.median[0], times.median[1]);
    println!(
        "{what}: native {native:.1} ns, Precast {ours:.1} ns, {:.2}",
        ours / native
    );
    Ok(())
}

fn guest(module: &Module, memory: &SharedMemory, name: &str) -> Result<Guest> {
    let mut store = Store::new(());
    let mut linker = Linker::new();
    linker.define_shared("env", "memory", memory);
    let instance = linker.instantiate(&mut store, module)?;
    let function = instance.func(&store, name)?;
    Ok(Guest { store, function })
}

fn in_guests([first, second]: &mut [Guest; 2], count: u64) -> Result<()> {
    thread::scope(|scope| {
        let other = scope.spawn(|| first.call(0, 1, count));
        second.call(1, 0, count)?;
        other.join().map_err(|_| "the other thread panicked")?
    })
}

impl Guest {
    fn call(&mut self, own: i32, other: i32, count: u64) -> Result<()> {
        let arguments = (0, own, other, count as i32);
        Ok(self.function.call(&mut self.store, arguments)?)
    }
}

fn native_add(word: &AtomicU32, _: u32, _: u32, count: u64) {
    for _ in 0..count {
        word.fetch_add(1, SeqCst);
    }
}

fn native_pong(word: &AtomicU32, own: u32, other: u32, count: u64) {
    for _ in 0..count {
        loop {
            let seen = word.load(SeqCst);
            if seen == own {
                break;
            }
            let _ = futex::wait(word, futex::Flags::PRIVATE, seen, None);
        }
        word.store(other, SeqCst);
        let _ = futex::wake(word, futex::Flags::PRIVATE, 1);
    }
}
