//! What fuzzing found, one test for each: the module, as small as it could be made, must behave as
//! in the interpreter however it is compiled.

use precast_compiler::{OptLevel, Passes};
use precast_tests::fuzz::{Rng, Scene, Variant, compare};

/// Runs the module in every variant, with arguments from a few seeds.
fn same(wat: &str) {
    let wasm = wat::parse_str(wat).expect("the test's own module");
    for cpu in ["baseline", "x86-64-v2", "native"] {
        for opt in [OptLevel::None, OptLevel::Speed, OptLevel::Size] {
            let variant = Variant {
                cpu,
                opt,
                compact: false,
                fuel: false,
                passes: Passes::ALL,
                instrument: false,
                profile: false,
                collect_always: false,
            };
            for seed in 0..10 {
                let scene = Scene::new(wasm.clone(), &mut Rng::new(seed));
                let scene = scene.expect("nothing that one engine lacks");
                match compare(&[scene], variant) {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("the interpreter cannot run it"),
                    Err(difference) => panic!("{variant}: {difference}"),
                }
            }
        }
    }
}

/// Entries of a branch table shared one list of arguments, which grew twice.
#[test]
fn branch_table_names_a_block_twice_that_takes_a_local() {
    same(
        r#"(module (func (export "f") (param i32 i32) (result i32) (local $x i32)
            (block $out
                (local.set $x (i32.const 7))
                (br_if $out (local.get 1))
                (local.set $x (i32.const 9))
                (br_table $out $out (local.get 0)))
            (local.get $x)))"#,
    );
}

/// The caller passes the address of room for many results before the hidden parameter, where
/// the stub of a trap did not look for it.
#[test]
fn indirect_call_of_many_results_traps() {
    let many = "i64 ".repeat(12);
    let values = "(i64.const 3)".repeat(12);
    let drops = "drop ".repeat(11);
    for result in ["i64", "f64", "v128"] {
        let more = format!("{result} ").repeat(5);
        same(&format!(
            r#"(module
                (type $many (func (result {many} {more})))
                (type $floats (func (result {floats})))
                (table 4 funcref) (elem (i32.const 0) $f $f $main)
                (func $f (type $many) {values} {zeros})
                (func $main (export "f") (param i32) (result i64)
                    (call_indirect (type $many) (i32.and (local.get 0) (i32.const 7)))
                    {drop_more} {drops})
                (func (export "g") (param i32)
                    (call_indirect (type $floats) (i32.and (local.get 0) (i32.const 7)))
                    {drop_floats}))"#,
            floats = "f32 ".repeat(12),
            zeros = match result {
                "v128" => "(v128.const i64x2 1 2)".repeat(5),
                _ => format!("({result}.const 1)").repeat(5),
            },
            drop_more = "drop ".repeat(5),
            drop_floats = "drop ".repeat(12),
        ));
    }
}
