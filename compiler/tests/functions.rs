//! The cache of single functions: the same bytes with and without it, and little to compile when
//! little has changed.

use precast_compiler::{
    Cpu, FunctionCache, FunctionKey, OptLevel, Options, compile, compile_with_cache,
};
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Mutex;

/// A cache in memory that counts.
#[derive(Default)]
struct Memory {
    entries: Mutex<HashMap<FunctionKey, Vec<u8>>>,
    hits: Mutex<usize>,
    misses: Mutex<usize>,
}

impl FunctionCache for Memory {
    fn get(&self, key: &FunctionKey) -> Option<Vec<u8>> {
        let found = self.entries.lock().unwrap().get(key).cloned();
        let counter = match found {
            Some(_) => &self.hits,
            None => &self.misses,
        };
        *counter.lock().unwrap() += 1;
        found
    }

    fn put(&self, key: &FunctionKey, entry: &[u8]) {
        self.entries.lock().unwrap().insert(*key, entry.to_vec());
    }
}

impl Memory {
    /// Compiles with this cache and without any, compares, and says how many functions were found
    /// and how many were not.
    #[track_caller]
    fn check(&self, wasm: &[u8], options: &Options) -> (usize, usize) {
        *self.hits.lock().unwrap() = 0;
        *self.misses.lock().unwrap() = 0;
        let cached = compile_with_cache(wasm, options, Some(self), &|_| {}).unwrap();
        let plain = compile(wasm, options).unwrap();
        assert!(cached.bytes == plain.bytes, "other bytes with a cache");
        assert_eq!(cached.summary, plain.summary);
        (*self.hits.lock().unwrap(), *self.misses.lock().unwrap())
    }
}

fn kernel(name: &str) -> Vec<u8> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../benches/kernels");
    std::fs::read(format!("{dir}/{name}.wasm")).unwrap()
}

/// Functions that call each other, use memory and a table, divide and round; the one that is
/// `changed` is a little different, and `more` unlike functions stand before all others.
fn program(changed: Option<usize>, more: usize) -> Vec<u8> {
    let mut text = String::from("(module (memory 1) (table funcref (elem");
    for number in 0..40 {
        write!(text, " $f{number}").unwrap();
    }
    text.push_str("))");
    for number in 0..more {
        write!(
            text,
            "(func (export \"m{number}\") (param f64) (result f64)
               (f64.add (f64.nearest (local.get 0)) (f64.const {number})))"
        )
        .unwrap();
    }
    for number in 0..40 {
        let callee = (number * 7 + 3) % 40;
        let constant = if changed == Some(number) {
            77_777
        } else {
            number
        };
        let local = if changed == Some(number) {
            "(local.set 1 (i32.mul (local.get 1) (i32.const 12345)))"
        } else {
            ""
        };
        write!(
            text,
            "(func $f{number} (export \"f{number}\") (param i32 i32) (result i32)
               (local f64)
               {local}
               (local.set 2 (f64.nearest (f64.convert_i32_s (local.get 1))))
               (loop
                 (i32.store offset={number} (local.get 0) (i32.const {constant}))
                 (local.set 1 (i32.div_s (local.get 1) (local.get 0)))
                 (if (i32.eq (local.get 1) (i32.const {number})) (then unreachable))
                 (local.set 1 (i32.add (local.get 1)
                   (call_indirect (param i32 i32) (result i32)
                     (local.get 0) (local.get 1) (local.get 1))))
                 (br_if 0 (i32.gt_s (local.get 1) (i32.const 99))))
               (i32.add (i32.trunc_f64_s (local.get 2))
                 (call $f{callee} (local.get 1) (local.get 0))))"
        )
        .unwrap();
    }
    text.push(')');
    wat::parse_str(&text).unwrap()
}

#[test]
fn the_same_bytes_with_and_without() {
    let modules = ["strings", "json", "simd-chacha", "regex", "virtual"];
    let modules = modules.map(kernel).into_iter().chain([program(None, 0)]);
    let variants = [
        Options::default(),
        Options {
            opt: OptLevel::None,
            ..Options::default()
        },
        Options {
            cpu: Cpu::BASELINE,
            memory_reservation: Some(64 << 20),
            fuel: true,
            ..Options::default()
        },
        Options {
            levels: vec![Cpu::BASELINE, Cpu::X86_64_V3],
            ..Options::default()
        },
    ];
    let cache = Memory::default();
    for wasm in modules {
        for options in &variants {
            let (_, cold) = cache.check(&wasm, options);
            let (found, missed) = cache.check(&wasm, options);
            assert_eq!(missed, 0, "all that was compiled is found");
            assert!(found >= cold && found > 0, "{found} of {cold}");
        }
    }
}

#[test]
fn what_changes_is_compiled_and_nothing_else() {
    let (cache, options) = (Memory::default(), Options::default());
    let (_, all) = cache.check(&program(None, 0), &options);
    assert!(all >= 40, "{all}");
    // Everything behind it moves.
    let (found, missed) = cache.check(&program(Some(3), 0), &options);
    assert!(missed == 1 && found == all - 1, "{found}, {missed}");
    // Every function gets another number, and other stubs' numbers with them.
    let (found, missed) = cache.check(&program(None, 3), &options);
    assert!(missed == 0 && found == all, "{found}, {missed}");
    // And back.
    assert_eq!(cache.check(&program(None, 0), &options), (all, 0));
}

#[test]
fn other_settings_are_other_functions() {
    let cache = Memory::default();
    let wasm = program(None, 0);
    let (_, all) = cache.check(&wasm, &Options::default());
    for options in [
        Options {
            cpu: Cpu::X86_64_V4,
            ..Options::default()
        },
        Options {
            opt: OptLevel::Size,
            ..Options::default()
        },
        Options {
            passes: precast_compiler::Passes::ALL.without(precast_compiler::Pass::Latches),
            ..Options::default()
        },
        Options {
            instrument: true,
            ..Options::default()
        },
    ] {
        assert_eq!(cache.check(&wasm, &options), (0, all), "{options:?}");
    }
}

#[test]
fn entries_that_are_none_are_compiled_again() {
    let (cache, options) = (Memory::default(), Options::default());
    let wasm = program(None, 0);
    cache.check(&wasm, &options);
    let whole = cache.entries.lock().unwrap().clone();
    for cut in [0, 1, 3, 4, 40, 100, 1000] {
        for entry in cache.entries.lock().unwrap().values_mut() {
            entry.truncate(entry.len().saturating_sub(cut + 1));
        }
        cache.check(&wasm, &options);
        assert!(*cache.entries.lock().unwrap() == whole, "they are replaced");
    }
    for entry in cache.entries.lock().unwrap().values_mut() {
        entry.push(0);
    }
    cache.check(&wasm, &options);
    assert!(*cache.entries.lock().unwrap() == whole, "they are replaced");
}
