//! Guest modules that are written here rather than compiled from C.

use wasm_encoder::{
    CodeSection, ExportKind, ExportSection, Function, FunctionSection, Instruction, Module,
    TypeSection, ValType,
};

use crate::Result;

/// `add(a, b)` for calls in; `out(n)` calls the import `host.f` n times; `trap()`.
pub fn crossings() -> Result<Vec<u8>> {
    Ok(wat::parse_str(
        r#"(module
            (import "host" "f" (func $f (param i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
            (func (export "nothing"))
            (func (export "trap") unreachable)
            (func (export "out_of_bounds") (result i32) (i32.load (i32.const -8)))
            (func (export "out") (param $n i32) (result i32) (local $sum i32)
                (loop $again
                    (local.set $sum (call $f (local.get $sum)))
                    (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
                local.get $sum))"#,
    )?)
}

/// One export per WASI call, each calling it `n` times.
pub fn wasi_calls() -> Result<Vec<u8>> {
    let call = |name: &str, arguments: &str| {
        format!(
            "(func (export \"{name}\") (param $n i32) (result i32) (local $errors i32)
                (loop $again
                    (local.set $errors (i32.or (local.get $errors) (call ${name} {arguments})))
                    (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
                local.get $errors)"
        )
    };
    let text = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
            (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            ;; One vector of 14 bytes at 64.
            (data (i32.const 16) "\40\00\00\00\0e\00\00\00")
            (data (i32.const 64) "Hello, world.\n")
            {} {} {} {})"#,
        call(
            "clock_time_get",
            "(i32.const 1) (i64.const 1) (i32.const 0)"
        ),
        call("args_sizes_get", "(i32.const 0) (i32.const 4)"),
        call("random_get", "(i32.const 0) (i32.const 8)"),
        call(
            "fd_write",
            "(i32.const 1) (i32.const 16) (i32.const 1) (i32.const 32)"
        ),
    );
    Ok(wat::parse_str(text)?)
}

/// Something to instantiate: a page of memory, 4 KiB of data, a table of a hundred functions.
pub fn small_instance() -> Result<Vec<u8>> {
    let data = "precast ".repeat(512);
    let entries = "$f ".repeat(100);
    Ok(wat::parse_str(format!(
        r#"(module
            (memory (export "memory") 1)
            (table funcref (elem {entries}))
            (data (i32.const 1024) "{data}")
            (func $f (export "f") (param i32) (result i32)
                (i32.store8 (i32.const 1024) (local.get 0))
                (i32.load8_u (i32.const 1025))))"#
    ))?)
}

/// A module of about `bytes` bytes: many functions that do some arithmetic and call one another.
pub fn sized(bytes: usize) -> Vec<u8> {
    let mut types = TypeSection::new();
    types
        .ty()
        .function([ValType::I32, ValType::I64], [ValType::I64]);
    let mut functions = FunctionSection::new();
    let mut code = CodeSection::new();
    let mut index = 0u32;
    while code.byte_len() < bytes {
        functions.function(0);
        code.function(&body(index));
        index += 1;
    }
    let mut exports = ExportSection::new();
    exports.export("run", ExportKind::Func, index - 1);
    let mut module = Module::new();
    module
        .section(&types)
        .section(&functions)
        .section(&exports)
        .section(&code);
    module.finish()
}

/// About 230 bytes that no compiler can fold away.
fn body(index: u32) -> Function {
    let mut body = Function::new([]);
    for step in 0..12i64 {
        body.instruction(&Instruction::LocalGet(1))
            .instruction(&Instruction::I64Const(
                i64::from(index) * 7919 + step * 0x1234_5677,
            ))
            .instruction(&Instruction::I64Xor)
            .instruction(&Instruction::LocalGet(1))
            .instruction(&Instruction::I64Const(step + 1))
            .instruction(&Instruction::I64Rotl)
            .instruction(&Instruction::I64Add)
            .instruction(&Instruction::LocalSet(1));
    }
    if index > 0 {
        body.instruction(&Instruction::LocalGet(0))
            .instruction(&Instruction::LocalGet(1))
            .instruction(&Instruction::Call(index / 2))
            .instruction(&Instruction::LocalSet(1));
    }
    body.instruction(&Instruction::LocalGet(1))
        .instruction(&Instruction::End);
    body
}
