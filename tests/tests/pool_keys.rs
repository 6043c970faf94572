//! Memory that grows alike for every user of a slot and stays behind a protection key: it is zero for
//! each, it cannot be reached before it was grown, and the host can read it wherever it wants to.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Duration;

use precast::pool::{PoolStats, ResetStrategy};
use precast::{
    Caller, Error, Linker, Memory, Pool, Sandbox, Store, Suspend, Template, Tenant, TrapCode,
    WasmParams, WasmResults,
};
use precast_tests::guest::{instance, module, trap};

const GUEST: &str = r#"(module
  (import "host" "call" (func $host (param i32) (result i32)))
  (memory (export "memory") 1 128)
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "store") (param i32) (i32.store8 (local.get 0) (i32.const 0x5e)))
  (func (export "trap") (unreachable))
  (func (export "call") (param i32) (result i32) (call $host (local.get 0)))
  (func $grown (param $pages i32)
    (if (i32.ne (memory.grow (local.get $pages)) (i32.const 1)) (then (unreachable))))
  ;; Grows, calls the host, and loads.
  (func (export "grow_call_load") (param $pages i32) (param $at i32) (result i32)
    (call $grown (local.get $pages))
    (i32.store (local.get $at) (i32.const 77))
    (drop (call $host (i32.const 0)))
    (i32.load (local.get $at)))
  (func (export "call_load") (param $at i32) (result i32)
    (drop (call $host (i32.const 0)))
    (i32.load (local.get $at)))
  ;; Grows, and writes and reads far apart for long.
  (func (export "grow_spin") (param $pages i32) (param $rounds i32) (result i32)
    (local $sum i32)
    (call $grown (local.get $pages))
    (loop $l
      (i32.store (i32.const 70000) (i32.add (i32.load (i32.const 70000)) (i32.const 1)))
      (local.set $sum (i32.add (local.get $sum) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $sum) (local.get $rounds))))
    (i32.load (i32.const 70000)))
  ;; Runs for long, and loads.
  (func (export "spin_load") (param $rounds i32) (param $at i32) (result i32)
    (loop $l
      (br_if $l (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
    (i32.load (local.get $at)))
  ;; 0 if what it grows by is all zeros; leaves a pattern on every page of it.
  (func (export "grow_and_fill") (param $pages i32) (result i32)
    (local $at i32) (local $end i32) (local $found i32)
    (call $grown (local.get $pages))
    (local.set $at (i32.const 65536))
    (local.set $end (i32.shl (memory.size) (i32.const 16)))
    (loop $l
      (local.set $found (i32.or (local.get $found) (i32.load (local.get $at))))
      (i32.store (local.get $at) (i32.const 0x5e5e5e5e))
      (local.set $at (i32.add (local.get $at) (i32.const 1024)))
      (br_if $l (i32.lt_u (local.get $at) (local.get $end))))
    (local.get $found)))"#;

/// What the guest's call of the host does.
type Deed = Box<dyn FnMut(&mut Caller<'_, Host>) -> Result<i32, Error> + Send>;

#[derive(Default)]
struct Host(Option<Deed>);

fn template() -> Template<Host> {
    let mut linker = Linker::new();
    linker.func("host", "call", |mut caller: Caller<'_, Host>, _: i32| {
        let Some(mut deed) = caller.data_mut().0.take() else {
            return Ok(0);
        };
        let answer = deed(&mut caller);
        caller.data_mut().0 = Some(deed);
        answer
    });
    linker.template(&module(GUEST)).expect("its imports fit")
}

/// A pool, and a guest for it.
struct Rig {
    pool: Pool<Host>,
    template: Template<Host>,
}

impl Rig {
    fn new(slots: u32) -> Rig {
        let builder = Pool::builder().slots(slots).verify(true);
        Rig {
            pool: builder.build().expect("a small pool"),
            template: template(),
        }
    }

    fn sandbox(&self) -> Sandbox<Host> {
        self.with(|_| Ok(0))
    }

    /// One whose host does `deed`.
    fn with(
        &self,
        deed: impl FnMut(&mut Caller<'_, Host>) -> Result<i32, Error> + Send + 'static,
    ) -> Sandbox<Host> {
        let host = Host(Some(Box::new(deed)));
        let made = self.pool.instantiate(&self.template, Tenant(1), host);
        made.expect("a slot is free")
    }

    fn call<P: WasmParams, R: WasmResults>(
        &self,
        sandbox: &mut Sandbox<Host>,
        name: &str,
        params: P,
    ) -> Result<R, Error> {
        let func = self.template.func::<P, R>(name).expect("it exports it");
        func.call(sandbox, params)
    }

    /// Uses `slots` slots until each has keyed pages for growing by `pages`, if the machine has keys.
    fn learn(&self, slots: usize, pages: i32) {
        for _ in 0..5 {
            let mut sandboxes: Vec<_> = (0..slots).map(|_| self.sandbox()).collect();
            for sandbox in &mut sandboxes {
                assert_eq!(self.answer(sandbox, "grow", pages), 1);
                let at = 65_536 + 40;
                assert!(self.call::<_, ()>(sandbox, "store", at).is_ok());
            }
        }
        for _ in 0..slots {
            let mut sandbox = self.sandbox();
            assert!(is_keyed(&mut sandbox, 1) != Some(false), "it has learned");
        }
    }

    /// That nothing beyond the first page of the memory can be reached.
    fn check_bounds(&self, sandbox: &mut Sandbox<Host>) {
        for page in [16, 17, 31, 32, 47, 63] {
            let at = page * 4096;
            let load = self.call::<_, i32>(sandbox, "load", at);
            assert_eq!(trap(load).code(), TrapCode::MemoryOutOfBounds, "{page}");
            let store = self.call::<_, ()>(sandbox, "store", at + 40);
            assert_eq!(trap(store).code(), TrapCode::MemoryOutOfBounds, "{page}");
        }
    }

    fn check_stats(&self) -> PoolStats {
        let stats = self.pool.stats();
        let bad = (stats.live, stats.unclean, stats.lost);
        assert_eq!(bad, (0, 0, 0), "{stats:?}");
        stats
    }
}

fn memory(sandbox: &Sandbox<Host>) -> Memory {
    let instance = sandbox.instance();
    instance
        .memory(sandbox, "memory")
        .expect("it has exported it")
}

/// Whether page `page` (of 64 KiB) of an instance that has not grown is behind a key; `None` where the
/// machine has no such keys, which is said.
fn is_keyed(sandbox: &mut Sandbox<Host>, page: usize) -> Option<bool> {
    let flags = std::fs::read_to_string("/proc/cpuinfo").expect("a Linux with /proc");
    let guards = kernel() >= (6, 13);
    if !flags.contains(" ospke") || !guards {
        eprintln!("NOT TESTED: this machine has no protection keys, or an old kernel");
        return None;
    }
    let data = memory(sandbox).data(&*sandbox).expect("its own memory");
    let at = data.as_ptr().addr() + page * 65_536;
    let maps = std::fs::read_to_string("/proc/self/smaps").expect("a Linux with /proc");
    let mut inside = false;
    for line in maps.lines() {
        let first = line.split(' ').next().unwrap_or_default();
        if let Some((start, end)) = first.split_once('-') {
            let bound = |text| usize::from_str_radix(text, 16).unwrap_or(0);
            inside = (bound(start)..bound(end)).contains(&at);
        } else if let Some(key) = line.strip_prefix("ProtectionKey:")
            && inside
        {
            return Some(key.trim() != "0");
        }
    }
    panic!("{at:#x} is not mapped");
}

/// Version of the kernel.
fn kernel() -> (u32, u32) {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a Linux");
    let mut numbers = text.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[test]
fn what_grows_alike_is_kept_and_zero_and_out_of_reach_before() {
    let rig = Rig::new(1);
    rig.learn(1, 1);
    let before = rig.check_stats();
    for _ in 0..50 {
        let mut sandbox = rig.sandbox();
        rig.check_bounds(&mut sandbox);
        assert_eq!(
            rig.call::<_, i32>(&mut sandbox, "grow_and_fill", 1)
                .unwrap(),
            0
        );
        let past = rig.call::<_, i32>(&mut sandbox, "load", 131_072);
        assert_eq!(trap(past).code(), TrapCode::MemoryOutOfBounds);
        assert_eq!(
            rig.call::<_, i32>(&mut sandbox, "load", 131_068).unwrap(),
            0
        );
        // The same sandbox, called again, has what it had.
        let found = rig.call::<_, i32>(&mut sandbox, "load", 65_536).unwrap();
        assert_eq!(found, 0x5e5e_5e5e);
        if rig.pool.stats().made % 2 == 1 {
            sandbox.reset().expect("nothing is refused");
            rig.check_bounds(&mut sandbox);
            assert_eq!(
                rig.call::<_, i32>(&mut sandbox, "grow_and_fill", 1)
                    .unwrap(),
                0
            );
        }
    }
    let after = rig.check_stats();
    assert_eq!(after.made, 1);
    assert!(after.resets_by_window >= before.resets_by_window + 90);
    assert!(is_keyed(&mut rig.sandbox(), 1) != Some(false));
}

#[test]
fn memory_may_grow_otherwise() {
    let rig = Rig::new(1);
    for round in 0..6 {
        rig.learn(1, 3);
        // Less, more, in two steps across the learned end, and in the end nothing.
        for steps in [
            &[1][..],
            &[2, 1],
            &[1, 1, 1],
            &[4],
            &[3, 2],
            &[2, 7],
            &[30],
            &[],
        ] {
            let mut sandbox = rig.sandbox();
            rig.check_bounds(&mut sandbox);
            let mut size = 1;
            for &step in steps {
                let old = rig.call::<_, i32>(&mut sandbox, "grow", step).unwrap();
                assert_eq!(old, size, "round {round}");
                size += step;
                for page in 1..size {
                    let at = page * 65_536 + 4 * step;
                    assert_eq!(rig.call::<_, i32>(&mut sandbox, "load", at).unwrap(), 0);
                    rig.call::<_, ()>(&mut sandbox, "store", at + 1024 * page)
                        .unwrap();
                }
                let past = rig.call::<_, i32>(&mut sandbox, "load", size * 65_536);
                assert_eq!(trap(past).code(), TrapCode::MemoryOutOfBounds);
            }
        }
        // Too often another way: the slot does without from some time on.
        if round > 2 {
            break;
        }
    }
    rig.check_stats();
}

impl Rig {
    /// As [`Rig::call`] with a result that must be there.
    fn answer<P: WasmParams>(&self, sandbox: &mut Sandbox<Host>, name: &str, params: P) -> i32 {
        self.call(sandbox, name, params).expect("it answers")
    }
}

/// As far as what is guarded reaches, and beyond what can be.
#[test]
fn memory_may_grow_far() {
    let rig = Rig::new(1);
    for keyed in [16, 12] {
        rig.learn(1, keyed);
        for pages in [30, 16 + 16, 25, 60, 20, 29, 33, 31, keyed, 1, 20] {
            let mut sandbox = rig.sandbox();
            assert_eq!(rig.answer(&mut sandbox, "grow_and_fill", pages), 0);
            let past = rig.call::<_, i32>(&mut sandbox, "load", (pages + 1) * 65_536);
            assert_eq!(trap(past).code(), TrapCode::MemoryOutOfBounds);
            drop(sandbox);
            rig.check_bounds(&mut rig.sandbox());
        }
    }
    rig.check_stats();
}

/// Any way to grow after any other, by seeded chance.
#[test]
fn memory_may_grow_anyhow() {
    let mut rig = Rig::new(1);
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |end: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % end) as i32
    };
    let (mut usual, mut rounds_of_it) = (1, 0);
    for round in 0..1500 {
        if round % 50 == 0 {
            // A slot does without keys after some time.
            rig.check_stats();
            rig = Rig::new(1);
        }
        if rounds_of_it == 0 {
            (usual, rounds_of_it) = (1 + below(20), 1 + below(20));
        }
        rounds_of_it -= 1;
        let mut sandbox = rig.sandbox();
        let mut size = 1;
        let past = rig.call::<_, i32>(&mut sandbox, "load", 65_536 + 4096 * below(200));
        assert_eq!(trap(past).code(), TrapCode::MemoryOutOfBounds, "{round}");
        match below(10) {
            0 => {
                let pages = 1 + below(40);
                let found = rig.answer(&mut sandbox, "grow_and_fill", pages);
                assert_eq!(found, 0, "{round}");
                size += pages;
            }
            kind => {
                let pages = if kind < 8 { usual } else { below(40) };
                for step in [pages, below(kind as u64 / 3 * 2 + 1)] {
                    let old = rig.answer(&mut sandbox, "grow", step);
                    assert_eq!(old, size, "{round}");
                    size += step;
                }
                for _ in 0..below(6) {
                    let at = 4096 * below(size as u64 * 16) + 8 + 16 * below(200);
                    assert_eq!(rig.answer(&mut sandbox, "load", at), 0, "{round}");
                    rig.call::<_, ()>(&mut sandbox, "store", at)
                        .expect("within");
                    rig.call::<_, ()>(&mut sandbox, "store", at + 4)
                        .expect("within");
                }
            }
        }
        let past = rig.call::<_, i32>(&mut sandbox, "load", size * 65_536 - 3);
        assert_eq!(trap(past).code(), TrapCode::MemoryOutOfBounds, "{round}");
        match below(8) {
            0 => {
                let memory = memory(&sandbox);
                let data = memory.data(&sandbox).expect("its own memory");
                assert_eq!(data.len(), size as usize * 65_536);
                assert_eq!(
                    through_the_kernel(&data[data.len() - 4..])[3],
                    data[data.len() - 1]
                );
            }
            1 => sandbox.reset().expect("nothing is refused"),
            _ => {}
        }
    }
    rig.check_stats();
}

#[test]
fn each_guest_on_a_thread_has_its_own_right() {
    let rig = Rig::new(3);
    rig.learn(3, 1);
    // A guest that has grown calls one that has not, which must not reach further for that, and goes
    // on as before; that one grows, and its caller is not changed by it.
    for (inner_grows, outer_grows) in [(false, true), (true, false), (true, true), (false, false)] {
        let mut inner = rig.sandbox();
        let load = rig.template.func::<i32, i32>("load").unwrap();
        let grow = rig.template.func::<i32, i32>("grow").unwrap();
        let mut outer = rig.with(move |_| {
            let result = load.call(&mut inner, 65_576);
            assert_eq!(trap(result).code(), TrapCode::MemoryOutOfBounds);
            if inner_grows {
                assert_eq!(grow.call(&mut inner, 1).unwrap(), 1);
                assert_eq!(load.call(&mut inner, 65_576).unwrap(), 0);
            }
            Ok(0)
        });
        if outer_grows {
            let found = rig.answer(&mut outer, "grow_call_load", (1, 65_576));
            assert_eq!(found, 77);
        } else {
            let found = rig.call::<_, i32>(&mut outer, "call_load", 65_576);
            assert_eq!(trap(found).code(), TrapCode::MemoryOutOfBounds);
        }
    }
    rig.check_stats();
}

#[test]
fn other_guests_that_fault_take_nothing_from_one_that_waits() {
    let rig = Rig::new(1);
    rig.learn(1, 1);
    let mut sandbox = rig.with(|_| {
        let mut store = Store::new(());
        let text = r#"(module (memory 1) (func (export "f") (drop (i32.load (i32.const 70000)))))"#;
        let func = instance(&mut store, text).func::<(), ()>(&store, "f")?;
        let code = trap(func.call(&mut store, ())).code();
        assert_eq!(code, TrapCode::MemoryOutOfBounds);
        Ok(0)
    });
    assert_eq!(rig.answer(&mut sandbox, "grow_call_load", (1, 65_576)), 77);
}

#[test]
fn a_guest_may_grow_where_it_was_entered_again() {
    let rig = Rig::new(1);
    rig.learn(1, 1);
    let (pool, template) = (&rig.pool, &rig.template);
    for by_host in [false, true] {
        let host = Host(Some(Box::new(move |caller: &mut Caller<'_, Host>| {
            let instance = caller.instance().expect("it imports this");
            let old = if by_host {
                let memory = instance.memory(&*caller, "memory").expect("it has one");
                memory.grow(&mut *caller, 1)?.expect("it may")
            } else {
                let grow = instance.func::<i32, i32>(&*caller, "grow")?;
                grow.call(&mut *caller, 1)? as u64
            };
            assert_eq!(old, 1);
            Ok(0)
        })));
        let mut sandbox = pool.instantiate(template, Tenant(1), host).unwrap();
        assert_eq!(rig.answer(&mut sandbox, "call_load", 65_576), 0);
        rig.call::<_, ()>(&mut sandbox, "store", 70_000).unwrap();
        drop(sandbox);
        rig.check_bounds(&mut rig.sandbox());
    }
    // And by the host while it does not run.
    let mut sandbox = rig.sandbox();
    let memory = memory(&sandbox);
    assert_eq!(memory.grow(&mut sandbox, 1).unwrap(), Some(1));
    assert_eq!(rig.answer(&mut sandbox, "load", 65_576), 0);
    drop(sandbox);
    rig.check_bounds(&mut rig.sandbox());
    rig.check_stats();
}

#[test]
fn every_way_to_end_leaves_the_thread_without_the_right() {
    let rig = Rig::new(1);
    rig.learn(1, 1);
    for end in 0..5 {
        let mut sandbox = rig.with(move |_| match end {
            2 => Err(Error::host("as asked")),
            3 => panic!("as asked"),
            _ => Ok(0),
        });
        assert_eq!(rig.answer(&mut sandbox, "grow", 1), 1);
        match end {
            0 => drop(trap(rig.call::<_, i32>(&mut sandbox, "load", 200_000))),
            1 => drop(trap(rig.call::<_, ()>(&mut sandbox, "trap", ()))),
            2 => drop(rig.call::<_, i32>(&mut sandbox, "call", 0).unwrap_err()),
            3 => {
                let call = || rig.call::<_, i32>(&mut sandbox, "call", 0);
                let call = std::panic::AssertUnwindSafe(call);
                std::panic::catch_unwind(call).expect_err("it panics");
            }
            _ => {}
        }
        // What is grown is still there after a trap, and can be reached by it alone.
        assert_eq!(rig.answer(&mut sandbox, "load", 65_576), 0);
        rig.call::<_, ()>(&mut sandbox, "store", 70_000).unwrap();
        drop(sandbox);
        rig.check_bounds(&mut rig.sandbox());
    }
    rig.check_stats();
}

#[test]
fn suspended_guests_take_the_right_with_them() {
    let rig = Rig::new(2);
    rig.learn(2, 1);
    let suspend = |_: &mut Caller<'_, Host>| Err(Suspend::new().into());
    let func = rig
        .template
        .func::<(i32, i32), i32>("grow_call_load")
        .unwrap();
    for _ in 0..3 {
        let sandbox = rig.with(suspend);
        let bound = func.bind(&sandbox).unwrap();
        let mut waiting = bound.start(sandbox, (1, 65_576)).unwrap_suspended();
        waiting
            .give(&[precast::Val::I32(1)])
            .expect("of the right type");
        // The thread that it has left does not have it any more.
        rig.check_bounds(&mut rig.sandbox());
        let resume = || {
            let (mut sandbox, result) = waiting.resume().unwrap_done();
            assert_eq!(result.unwrap(), 77);
            assert_eq!(rig.answer(&mut sandbox, "load", 65_576), 77);
            drop(sandbox);
            rig.check_bounds(&mut rig.sandbox());
        };
        std::thread::scope(|scope| scope.spawn(resume).join().expect("it resumes"));
    }
    rig.check_stats();
}

#[test]
fn preempted_guests_take_the_right_with_them() {
    const ROUNDS: i32 = 30_000_000;
    let rig = Rig::new(2);
    rig.learn(2, 1);
    let func = rig.template.func::<(i32, i32), i32>("grow_spin").unwrap();
    let mut sandbox = rig.sandbox();
    sandbox.set_time_slice(Some(Duration::from_millis(1)));
    let bound = func.bind(&sandbox).unwrap();
    let mut progress = bound.start(sandbox, (1, ROUNDS));
    let mut slices = 0;
    let result = loop {
        progress = match progress {
            precast::Progress::Done(sandbox, result) => {
                drop(sandbox);
                break result;
            }
            precast::Progress::Suspended(waiting) => {
                slices += 1;
                rig.check_bounds(&mut rig.sandbox());
                // On another thread each time.
                let resume = || waiting.resume();
                std::thread::scope(|scope| scope.spawn(resume).join().expect("it resumes"))
            }
        };
    };
    assert_eq!(result.expect("it returns"), ROUNDS);
    assert!(slices > 1, "{slices} slices");
    rig.check_bounds(&mut rig.sandbox());
    rig.check_stats();
}

/// Has the kernel read the bytes.
fn through_the_kernel(bytes: &[u8]) -> [u8; 4] {
    let (mut from, mut to) = UnixStream::pair().expect("there are descriptors");
    to.write_all(bytes).expect("they may be read");
    let mut back = [0; 4];
    from.read_exact(&mut back).expect("they were written");
    back
}

#[test]
fn memory_may_grow_while_its_guest_is_suspended() {
    let rig = Rig::new(1);
    rig.learn(1, 1);
    let func = rig.template.func::<(i32, i32), i32>("spin_load").unwrap();
    let mut sandbox = rig.sandbox();
    sandbox.set_time_slice(Some(Duration::from_millis(5)));
    let bound = func.bind(&sandbox).unwrap();
    let mut waiting = bound
        .start(sandbox, (100_000_000, 70_000))
        .unwrap_suspended();
    let memory = memory(waiting.store());
    let grown = memory.grow(waiting.store_mut(), 1).expect("its own memory");
    assert_eq!(grown, Some(1));
    let result = loop {
        match waiting.resume() {
            precast::Progress::Done(_, result) => break result,
            precast::Progress::Suspended(again) => waiting = again,
        }
    };
    assert_eq!(result.expect("it has grown"), 0);
}

#[test]
fn the_host_reads_on_any_thread_and_by_system_calls() {
    let rig = Rig::new(1);
    rig.learn(1, 1);
    // One thread that was there before anything had a key.
    let (send, receive) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
    let worker = std::thread::spawn(move || receive.into_iter().for_each(|job| job()));
    for round in 0..8 {
        let mut sandbox = rig.sandbox();
        assert_eq!(rig.answer(&mut sandbox, "grow", 1), 1);
        rig.call::<_, ()>(&mut sandbox, "store", 70_000).unwrap();
        let memory = memory(&sandbox);
        if round % 2 == 0 {
            let data = memory.data(&sandbox).expect("its own memory");
            assert_eq!(through_the_kernel(&data[70_000..70_004]), [0x5e, 0, 0, 0]);
        }
        let (done, wait) = mpsc::channel();
        let there = move || {
            let data = memory.data(&sandbox).expect("its own memory");
            let back = through_the_kernel(&data[70_000..70_004]);
            assert_eq!((back, data[70_000]), ([0x5e, 0, 0, 0], 0x5e));
            let slice = memory.slice_mut(&mut sandbox, 69_999..70_001);
            slice.expect("its own memory")[0] = 1;
            done.send(sandbox).expect("somebody waits");
        };
        send.send(Box::new(there)).expect("the thread lives");
        let mut sandbox = wait.recv().expect("it reads");
        assert_eq!(rig.answer(&mut sandbox, "load", 69_996), 0x0100_0000);
        drop(sandbox);
        rig.check_bounds(&mut rig.sandbox());
    }
    drop(send);
    worker.join().expect("nothing failed there");
    rig.check_stats();
}

#[test]
fn host_functions_read_what_has_grown() {
    let rig = Rig::new(1);
    // By a function for its own thread only, by any other, and by one that lets another thread read.
    for how in [0, 0, 1, 0, 2, 2, 2, 2] {
        rig.learn_if(how == 0);
        let mut sandbox = rig.with(move |caller| {
            let memory = match how {
                0 => caller.local_memory_and_data(),
                _ => caller.memory_and_data(),
            };
            let (mut memory, _) = memory.expect("it has a memory");
            assert_eq!(memory[65_576], 77);
            if how == 2 {
                let bytes = &memory[65_576..65_580];
                std::thread::scope(|scope| {
                    let read = scope.spawn(|| bytes[0]);
                    assert_eq!(read.join().expect("it reads"), 77);
                });
            }
            let (mut from, mut to) = UnixStream::pair().expect("there are descriptors");
            to.write_all(&memory[65_576..65_577])
                .expect("it may be read");
            // The kernel writes to pages that were never written.
            let target = memory.slice_mut(100_000..100_001).expect("within");
            from.read_exact(target).expect("it may be written");
            Ok(0)
        });
        assert_eq!(rig.answer(&mut sandbox, "grow_call_load", (1, 65_576)), 77);
        assert_eq!(rig.answer(&mut sandbox, "load", 100_000), 77);
        drop(sandbox);
        rig.check_bounds(&mut rig.sandbox());
    }
    rig.check_stats();
}

impl Rig {
    fn learn_if(&self, wanted: bool) {
        if wanted {
            self.learn(1, 1);
        }
    }
}

#[test]
fn keys_can_be_done_without() {
    let builder = Pool::builder().slots(1).verify(true);
    for builder in [
        builder.clone().protection_keys(false),
        builder.clone().reset_strategy(ResetStrategy::Scan),
        builder.reset_strategy(ResetStrategy::Discard),
    ] {
        let rig = Rig {
            pool: builder.build().expect("a small pool"),
            template: template(),
        };
        for _ in 0..6 {
            let mut sandbox = rig.sandbox();
            rig.check_bounds(&mut sandbox);
            assert_eq!(rig.answer(&mut sandbox, "grow_and_fill", 1), 0);
        }
        assert!(is_keyed(&mut rig.sandbox(), 1) != Some(true));
        rig.check_stats();
    }
}

/// Threads get what the thread had that made them; a guest there must not.
#[test]
fn a_thread_made_by_a_guest_with_the_right_is_checked_too() {
    let rig = std::sync::Arc::new(Rig::new(2));
    rig.learn(2, 1);
    let other = std::sync::Arc::clone(&rig);
    let mut sandbox = rig.with(move |_| {
        let other = std::sync::Arc::clone(&other);
        let run = move || other.check_bounds(&mut other.sandbox());
        std::thread::spawn(run).join().expect("bounds hold there");
        Ok(0)
    });
    assert_eq!(rig.answer(&mut sandbox, "grow_call_load", (1, 65_576)), 77);
}
