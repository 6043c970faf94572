//! What the optimisations of memory accesses must keep: results, traps, and what a trap leaves.

use precast::{Linker, Memory, Store, TrapCode};
use precast_compiler::{Options, Passes};
use precast_tests::guest::{module, module_with, trap};

/// Kinds of memories, each exported as `m` where the functions use it, with its length.
const KINDS: [(&str, &str, usize); 3] = [
    ("(memory (export \"m\") 1)", "0", 65_536),
    ("(memory 1) (memory $m (export \"m\") 1)", "$m", 65_536),
    ("(memory (export \"m\") 300 (pagesize 1))", "0", 300),
];

fn fill_with_pattern(memory: Memory, store: &mut Store<()>) -> Vec<u8> {
    let data = memory.data_mut(store).unwrap();
    let pattern: Vec<u8> = (0..=250).cycle().take(data.len()).collect();
    data.copy_from_slice(&pattern);
    pattern
}

/// Whether the ranges are within the memory; what the operation does to it if they are.
fn copy(memory: &mut [u8], to: usize, from: usize, len: usize) -> bool {
    let fits = to.max(from) + len <= memory.len();
    if fits {
        memory.copy_within(from..from + len, to);
    }
    fits
}

#[test]
fn bulk_operations_of_a_known_length_do_all_or_nothing() {
    let lens = [0, 1, 2, 3, 7, 8, 13, 16, 29, 33, 64, 127, 128, 129];
    for passes in [Passes::ALL, Passes::NONE] {
        let options = Options {
            passes,
            ..Options::default()
        };
        for (declaration, m, size) in KINDS {
            let funcs = lens.iter().map(|len| {
                format!(
                    r#"(func (export "copy{len}") (param i32 i32)
                           (memory.copy {m} {m} (local.get 0) (local.get 1) (i32.const {len})))
                       (func (export "fill{len}") (param i32 i32)
                           (memory.fill {m} (local.get 0) (local.get 1) (i32.const {len})))"#
                )
            });
            let text = format!("(module {declaration} {})", funcs.collect::<String>());
            let mut store = Store::new(());
            let module = module_with(&text, &options);
            let instance = Linker::new().instantiate(&mut store, &module).unwrap();
            let memory = instance.memory(&store, "m").unwrap();
            for &len in &lens {
                let copies = instance
                    .func::<(i32, i32), ()>(&store, &format!("copy{len}"))
                    .unwrap();
                let fills = instance
                    .func::<(i32, i32), ()>(&store, &format!("fill{len}"))
                    .unwrap();
                let last = size - len;
                let starts = [0, 13, last, last + 1, size + 1, u32::MAX as usize];
                for to in starts {
                    for from in starts {
                        let mut expected = fill_with_pattern(memory, &mut store);
                        let fits = copy(&mut expected, to, from, len);
                        let result = copies.call(&mut store, (to as i32, from as i32));
                        check(
                            fits,
                            result,
                            &format!("copy{len} {to} {from} {declaration}"),
                        );
                        assert!(
                            memory.data(&store).unwrap() == expected,
                            "copy{len} {to} {from}"
                        );
                    }
                    let mut expected = fill_with_pattern(memory, &mut store);
                    let fits = to + len <= size;
                    if fits {
                        expected[to..to + len].fill(0xa5);
                    }
                    // Only the lowest byte counts.
                    let result = fills.call(&mut store, (to as i32, 0x7fed_cba5));
                    check(fits, result, &format!("fill{len} {to} {declaration}"));
                    assert!(memory.data(&store).unwrap() == expected, "fill{len} {to}");
                }
            }
        }
    }
}

/// Short ranges are moved by the object itself, whichever way they overlap; long and empty ones by
/// the loader.
#[test]
fn bulk_operations_of_a_length_that_is_not_known_do_all_or_nothing() {
    let text = r#"(module (memory (export "m") 1)
        (func (export "copy") (param i32 i32 i32)
            (memory.copy (local.get 0) (local.get 1) (local.get 2)))
        (func (export "fill") (param i32 i32 i32)
            (memory.fill (local.get 0) (local.get 1) (local.get 2))))"#;
    let size = 65_536;
    for passes in [Passes::ALL, Passes::NONE] {
        let options = Options {
            passes,
            ..Options::default()
        };
        let mut store = Store::new(());
        let module = module_with(text, &options);
        let instance = Linker::new().instantiate(&mut store, &module).unwrap();
        let memory = instance.memory(&store, "m").unwrap();
        let func = |name| instance.func::<(i32, i32, i32), ()>(&store, name);
        let (copies, fills) = (func("copy").unwrap(), func("fill").unwrap());
        let borders = [31, 32, 33, 63, 64, 65, 99, 127, 128, 129];
        let long = [size, size + 1, 1 << 31, u32::MAX as usize];
        let lens = (0..=17).chain(borders).chain(long);
        for len in lens {
            let last = size.saturating_sub(len);
            let froms = [13, last];
            let ends = [0, last, last + 1, size + 1, u32::MAX as usize];
            for from in froms {
                let near = [from.saturating_sub(3), from + 1, from + len / 2];
                for to in ends.into_iter().chain(near) {
                    let mut expected = fill_with_pattern(memory, &mut store);
                    let what = format!("copy {to} {from} {len}");
                    let fits = copy(&mut expected, to, from, len);
                    let args = (to as i32, from as i32, len as i32);
                    check(fits, copies.call(&mut store, args), &what);
                    assert!(memory.data(&store).unwrap() == expected, "{what}");
                    if fits {
                        // From out of bounds, nothing is copied.
                        let args = (to as i32, (last + 1) as i32, len as i32);
                        check(false, copies.call(&mut store, args), &what);
                        assert!(memory.data(&store).unwrap() == expected, "{what}");
                    }
                }
            }
            for to in ends {
                let mut expected = fill_with_pattern(memory, &mut store);
                let what = format!("fill {to} {len}");
                let fits = to + len <= size;
                if fits {
                    expected[to..to + len].fill(0xa5);
                }
                let args = (to as i32, 0x7fed_cba5, len as i32);
                check(fits, fills.call(&mut store, args), &what);
                assert!(memory.data(&store).unwrap() == expected, "{what}");
            }
        }
    }
}

/// The stub that copies has no place in the module: the trap is the function's that called it.
#[test]
fn a_short_copy_out_of_bounds_is_told_of_its_function() {
    let text = r#"(module (memory 1)
        (func $inner (param i32)
            (memory.copy (local.get 0) (i32.const 0) (i32.shr_u (i32.const 64) (local.get 0))))
        (func $outer (export "f") (param i32) (call $inner (local.get 0))))"#;
    let mut store = Store::new(());
    let instance = Linker::new()
        .instantiate(&mut store, &module(text))
        .unwrap();
    let f = instance.func::<i32, ()>(&store, "f").unwrap();
    f.call(&mut store, 0).unwrap();
    let trap = trap(f.call(&mut store, 65_536 - 32));
    let frames = trap.backtrace().frames();
    let names: Vec<_> = frames.iter().map(|frame| frame.name()).collect();
    assert_eq!(names, [Some("inner"), Some("outer")], "{trap}");
}

fn check(fits: bool, result: Result<(), precast::Error>, what: &str) {
    match fits {
        true => result.unwrap_or_else(|error| panic!("{what}: {error}")),
        false => assert_eq!(trap(result).code(), TrapCode::MemoryOutOfBounds, "{what}"),
    }
}

/// The accesses after the first take its address. What they add must not hide that the sum wraps:
/// the first one traps then.
#[test]
fn fields_of_a_structure_are_where_their_sums_say() {
    let text = r#"(module (memory (export "m") 2)
        (func (export "f") (param i32) (result i32)
            (i32.store8 (i32.add (local.get 0) (i32.const -4)) (i32.const 1))
            (i32.store8 (i32.add (local.get 0) (i32.const 4)) (i32.const 2))
            (i32.load8_u (i32.add (local.get 0) (i32.const 65530)))))"#;
    let mut store = Store::new(());
    let instance = Linker::new()
        .instantiate(&mut store, &module(text))
        .unwrap();
    let memory = instance.memory(&store, "m").unwrap();
    memory.data_mut(&mut store).unwrap()[65_530 + 100] = 9;
    let f = instance.func::<i32, i32>(&store, "f").unwrap();
    assert_eq!(f.call(&mut store, 100).unwrap(), 9);
    assert_eq!(
        memory.data(&store).unwrap()[96..105],
        [1, 0, 0, 0, 0, 0, 0, 0, 2]
    );
    // The first store is out of bounds, though the others would not be.
    assert_eq!(
        trap(f.call(&mut store, 0)).code(),
        TrapCode::MemoryOutOfBounds
    );
    assert_eq!(memory.data(&store).unwrap()[4], 0);
    // The last one is, and the others are done.
    assert_eq!(
        trap(f.call(&mut store, 65_542)).code(),
        TrapCode::MemoryOutOfBounds
    );
    assert_eq!(memory.data(&store).unwrap()[65_538], 1);
    assert_eq!(memory.data(&store).unwrap()[65_546], 2);
}

/// What [`fields_of_a_structure_are_where_their_sums_say`] relies on.
#[test]
fn no_memory_with_guard_pages_grows_into_the_last_of_four_gibibytes() {
    let text = r#"(module (memory (export "m") 1)
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "touch") (param i32) (result i32) (i32.load8_u (local.get 0))))"#;
    let mut store = Store::new(());
    let instance = Linker::new()
        .instantiate(&mut store, &module(text))
        .unwrap();
    let grow = instance.func::<i32, i32>(&store, "grow").unwrap();
    let touch = instance.func::<i32, i32>(&store, "touch").unwrap();
    assert_eq!(grow.call(&mut store, 65_535).unwrap(), -1);
    assert_eq!(grow.call(&mut store, 65_534).unwrap(), 1);
    assert_eq!(grow.call(&mut store, 1).unwrap(), -1);
    let memory = instance.memory(&store, "m").unwrap();
    assert_eq!(memory.grow(&mut store, 1).unwrap(), None);
    assert_eq!(touch.call(&mut store, 0xfffe_ffff_u32 as i32).unwrap(), 0);
    let refused = touch.call(&mut store, 0xffff_0000_u32 as i32);
    assert_eq!(trap(refused).code(), TrapCode::MemoryOutOfBounds);
    // One that begins there may.
    let text = r#"(module (memory 65536)
        (func (export "touch") (result i32) (i32.load8_u (i32.const -1))))"#;
    let instance = Linker::new()
        .instantiate(&mut store, &module(text))
        .unwrap();
    let touch = instance.func::<(), i32>(&store, "touch").unwrap();
    assert_eq!(touch.call(&mut store, ()).unwrap(), 0);
}
