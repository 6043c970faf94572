//! A Rust program that compiles a module, lends it one function, and calls it.
//!
//! `cargo run -p precast-cli --example embed`

use precast::{Caller, Linker, Module, Store};
use precast_compiler::{Options, compile};

const MODULE: &str = r#"
(module
  (import "host" "log" (func $log (param i32)))
  (func (export "add") (param i32 i32) (result i32)
    (call $log (local.get 0))
    (i32.add (local.get 0) (local.get 1))))
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Once, in a build pipeline: this is what `precast compile` does.
    let wasm = wat::parse_str(MODULE)?;
    let object = compile(&wasm, &Options::default())?.bytes;

    // Wherever it runs. `Module::open(path)` maps the object from a file instead.
    // SAFETY: an object is native code; this one was compiled a moment ago.
    let module = unsafe { Module::from_bytes(&object)? };

    // What the guest may call. The store holds the host's state: here, what was logged.
    let mut linker = Linker::new();
    linker.func(
        "host",
        "log",
        |mut caller: Caller<'_, Vec<i32>>, value: i32| {
            caller.data_mut().push(value);
        },
    );

    let mut store = Store::new(Vec::new());
    let instance = linker.instantiate(&mut store, &module)?;
    let add = instance.func::<(i32, i32), i32>(&store, "add")?;
    assert_eq!(add.call(&mut store, (2, 3))?, 5);
    assert_eq!(store.data(), &[2]);
    println!("2 + 3 = 5, and the guest logged {:?}", store.data());
    Ok(())
}
