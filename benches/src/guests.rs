//! Guest modules that are written here rather than compiled from C.

use wasm_encoder::{
    CodeSection, ExportKind, ExportSection, Function, FunctionSection, Instruction, Module,
    TypeSection, ValType,
};

use crate::Result;

/// `add(a, b)` for calls in; `out(n)` calls the import `host.f` n times; `trap`, `out_of_bounds` and `overflow`, of a number, trap.
pub fn crossings() -> Result<Vec<u8>> {
    Ok(wat::parse_str(
        r#"(module
            (import "host" "f" (func $f (param i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
            (func (export "nothing"))
            (func (export "trap") (param i32) (result i32) unreachable)
            (func (export "out_of_bounds") (param i32) (result i32)
                (i32.load (i32.sub (i32.const 0) (i32.shl (local.get 0) (i32.const 3)))))
            (func $overflow (export "overflow") (param i32) (result i32)
                (i32.add (call $overflow (i32.add (local.get 0) (i32.const 1))) (local.get 0)))
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

/// Nothing but a function: no memory, no table.
pub fn trivial() -> Result<Vec<u8>> {
    Ok(wat::parse_str(
        r#"(module (func (export "f") (param i32) (result i32)
            (i32.add (local.get 0) (i32.const 1))))"#,
    )?)
}

/// What `f` of a [`fresh`] instance answers, whatever its argument was before.
pub const FRESH: i64 = i64::from_le_bytes(*b"precast ");

/// An instance to find out whether it is fresh, and to make it so no more.
#[derive(Clone, Copy, Debug)]
pub struct Fresh {
    /// Pages of memory, of 64 KiB.
    pub pages: u32,
    /// Bytes in its data segment, which begins at `data_at`: whole pages of 4 KiB.
    pub data: u32,
    /// Where the data segment begins, on a page of 4 KiB.
    pub data_at: u32,
    /// Entries in its table.
    pub entries: usize,
}

/// 64 KiB of memory, 4 KiB of data, a table of a hundred functions.
pub const FRESH_64K: Fresh = Fresh {
    pages: 1,
    data: 4 << 10,
    // At the very beginning, as the other runtime then needs a mapping less.
    data_at: 0,
    entries: 100,
};

/// 16 MiB of memory, 1 MiB of data.
pub const FRESH_16M: Fresh = Fresh {
    pages: 256,
    data: 1 << 20,
    data_at: 1 << 20,
    entries: 0,
};

/// Its `f(x)` answers [`FRESH`] where the data and the memory beyond it are as they were at first.
/// Then it fills one page inside the data segment with bytes of `x`, and writes one word outside.
pub fn fresh(shape: Fresh) -> Result<Vec<u8>> {
    let Fresh {
        pages,
        data,
        data_at,
        entries,
    } = shape;
    let page = data_at + (data / 2) / 4096 * 4096;
    let (first, last) = (page, page + 4096 - 8);
    let outside = pages * 65536 - 4096;
    let data = "precast ".repeat(data as usize / 8);
    let entries = "$f ".repeat(entries);
    Ok(wat::parse_str(format!(
        r#"(module
            (memory {pages})
            (table funcref (elem {entries}))
            (data (i32.const {data_at}) "{data}")
            (func $f (export "f") (param $x i32) (result i64) (local $found i64)
                ;; The last word of the page and the word outside weigh in so that no change goes unseen.
                (local.set $found
                    (i64.add (i64.load (i32.const {first}))
                        (i64.add
                            (i64.mul (i64.const 3) (i64.sub (i64.load (i32.const {first})) (i64.load (i32.const {last}))))
                            (i64.mul (i64.const 5) (i64.load (i32.const {outside}))))))
                (memory.fill (i32.const {page}) (i32.or (local.get $x) (i32.const 1)) (i32.const 4096))
                (i64.store (i32.const {outside}) (i64.extend_i32_u (i32.or (local.get $x) (i32.const 1))))
                (local.get $found)))"#
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
