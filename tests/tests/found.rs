//! What fuzzing found, one test for each: the module, as small as it could be made, must behave as
//! in the interpreter however it is compiled.

use precast_compiler::OptLevel;
use precast_tests::fuzz::{Rng, Scene, Variant, compare};

/// Runs the module in every variant, with arguments from a few seeds.
fn same(wat: &str) {
    let wasm = wat::parse_str(wat).expect("the test's own module");
    for cpu in ["baseline", "x86-64-v2", "native"] {
        for opt in [OptLevel::None, OptLevel::Speed, OptLevel::Size] {
            let variant = Variant { cpu, opt };
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
