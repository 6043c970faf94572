//! Profiles: what instrumented code counts, and what is made of it.

use precast::{Linker, Module, Profile, Store};
use precast_compiler::{CompileError, Emit, OptLevel, Options, compile};
use precast_tests::guest::{self, module_with};

fn instrumented() -> Options {
    Options {
        instrument: true,
        ..Options::default()
    }
}

/// What `run` counts when it is called with these arguments, one after the other.
fn counts(module: &Module, arguments: &[i32]) -> Profile {
    let mut store = Store::new(());
    let instance = Linker::new().instantiate(&mut store, module).unwrap();
    let run = instance.func::<i32, i32>(&store, "run").unwrap();
    for argument in arguments {
        // A trap counts what came before it.
        let _ = run.call(&mut store, *argument);
    }
    instance.profile(&store).unwrap().expect("it counts")
}

/// A counting point of each kind: entries, a loop, an `if`, a `br_if`, a `br_table`.
const EVERY_KIND: &str = r#"(module
  (func $helper (param i32) (result i32)
    (block $a (block $b (block $c
      (br_table $a $b $a $c (local.get 0)))
      (return (i32.const 1)))
      (return (i32.const 2)))
    (i32.const 3))
  (func (export "run") (param i32) (result i32) (local $i i32) (local $sum i32)
    (if (i32.lt_s (local.get 0) (i32.const 0)) (then (unreachable)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_s (local.get $i) (local.get 0)))
        (local.set $sum (i32.add (local.get $sum) (call $helper (local.get $i))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (local.get $sum)))"#;

#[test]
fn every_point_is_counted_exactly() {
    for opt in [OptLevel::None, OptLevel::Speed, OptLevel::Size] {
        let options = Options {
            opt,
            ..instrumented()
        };
        let module = module_with(EVERY_KIND, &options);
        let profile = counts(&module, &[5, 0, -1]);
        let helper = [
            5, /* $a */ 2, /* $b */ 1, /* $c, the default */ 2,
        ];
        let run = [
            3, /* if */ 1, /* loop */ 7, /* br_if not taken */ 5,
        ];
        assert_eq!(profile.counts(), [helper, run].concat(), "{opt:?}");
    }
}

#[test]
fn code_that_counts_answers_as_ever() {
    for options in [Options::default(), instrumented()] {
        let mut store = Store::new(());
        let module = module_with(EVERY_KIND, &options);
        let instance = Linker::new().instantiate(&mut store, &module).unwrap();
        let run = instance.func::<i32, i32>(&store, "run").unwrap();
        assert_eq!(run.call(&mut store, 5).unwrap(), 3 + 2 + 3 + 1 + 1);
    }
}

#[test]
fn other_objects_count_nothing() {
    let mut store = Store::new(());
    let instance = guest::instance(&mut store, EVERY_KIND);
    assert_eq!(instance.profile(&store).unwrap(), None);
}

/// What unlikely branches lead to stands behind everything else.
#[test]
fn what_is_rarely_executed_moves_out_of_the_way() {
    let text = r#"(module (func (export "run") (param i32) (result i32)
        (if (result i32) (local.get 0)
            (then (i32.popcnt (local.get 0)))
            (else (i32.clz (local.get 0))))))"#;
    let order = |arguments: &[i32]| {
        let profile = counts(&module_with(text, &instrumented()), arguments);
        let options = Options {
            emit: Emit::Asm,
            profile: Some(profile),
            ..Options::default()
        };
        let wasm = wat::parse_str(text).unwrap();
        let asm = String::from_utf8(compile(&wasm, &options).unwrap().bytes).unwrap();
        let place = |name| asm.find(name).unwrap_or_else(|| panic!("{asm}"));
        place("popcnt").cmp(&place("lzcnt"))
    };
    assert_eq!(order(&[1; 20]), std::cmp::Ordering::Less);
    assert_eq!(order(&[0; 20]), std::cmp::Ordering::Greater);
}

#[test]
fn code_made_from_a_profile_answers_as_ever() {
    let profile = counts(&module_with(EVERY_KIND, &instrumented()), &[100, 1]);
    let options = Options {
        profile: Some(profile),
        ..Options::default()
    };
    let module = module_with(EVERY_KIND, &options);
    let mut store = Store::new(());
    let instance = Linker::new().instantiate(&mut store, &module).unwrap();
    let run = instance.func::<i32, i32>(&store, "run").unwrap();
    assert_eq!(run.call(&mut store, 5).unwrap(), 3 + 2 + 3 + 1 + 1);
    assert!(run.call(&mut store, -1).is_err());
}

#[test]
fn the_profile_of_another_module_is_refused() {
    let wasm = wat::parse_str(EVERY_KIND).unwrap();
    let right = counts(&module_with(EVERY_KIND, &instrumented()), &[1]);
    let too_few = Profile::new(*right.module(), right.counts()[1..].to_vec());
    let other = Profile::new([7; 32], right.counts().to_vec());
    for profile in [too_few, other] {
        let options = Options {
            profile: Some(profile),
            ..Options::default()
        };
        let error = compile(&wasm, &options).unwrap_err();
        assert!(matches!(error, CompileError::Options { .. }), "{error}");
    }
}
