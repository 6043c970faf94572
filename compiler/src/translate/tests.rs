//! Tests of translation: golden CLIF and machine code, and that every operator has its place.
//!
//! `BLESS=1 cargo test -p precast-compiler golden` rewrites the expectations.

use super::testing::{compile, translate, try_translate};
use crate::error::CompileError;
use crate::{Emit, Options, Target};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The CLIF of a module, one function after the other.
fn clif(wat: &str) -> String {
    let functions = translate(wat);
    let texts: Vec<_> = functions
        .iter()
        .map(|function| function.display().to_string())
        .collect();
    compile(functions);
    texts.join("\n")
}

/// Modules whose machine code is pinned too: the paths that must stay short.
const PINNED_CODE: [&str; 6] = [
    "calls",
    "memory_checked",
    "memory_guard_pages",
    "table_immutable",
    "table_mutable",
    "table_shared",
];

/// Those of them whose code is pinned for other CPUs.
const PINNED_ELSEWHERE: [&str; 2] = ["calls", "memory_guard_pages"];

/// The machine code of a module for the CPUs that are compiled for by default.
fn asm(target: Target, wat: &str) -> String {
    let options = Options {
        emit: Emit::Asm,
        passes: crate::Passes::NONE,
        ..Options::for_target(target)
    };
    let wasm = wat::parse_str(wat).unwrap_or_else(|error| panic!("{error}"));
    let compiled = crate::compile(&wasm, &options).unwrap_or_else(|error| panic!("{error}"));
    String::from_utf8(compiled.bytes).expect("text")
}

#[test]
fn golden_clif() {
    check_golden("clif", clif, |_| true);
}

#[test]
fn golden_code() {
    let render = |wat: &str| asm(Target::X86_64_LINUX, wat);
    check_golden("asm", render, |name| PINNED_CODE.contains(&name));
}

#[test]
fn golden_code_of_other_cpus() {
    let is_pinned = |name: &str| PINNED_ELSEWHERE.contains(&name);
    let render = |wat: &str| asm(Target::AARCH64_LINUX, wat);
    check_golden("aarch64.asm", render, is_pinned);
    let render = |wat: &str| asm(Target::RISCV64_LINUX, wat);
    check_golden("riscv64.asm", render, is_pinned);
}

/// Compares what `render` makes of the golden modules with the files of this extension.
fn check_golden(extension: &str, render: fn(&str) -> String, wanted: fn(&str) -> bool) {
    let bless = std::env::var_os("BLESS").is_some();
    let mut failures = Vec::new();
    let mut files: Vec<_> = fs::read_dir(golden_dir())
        .expect("the folder of golden files")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "wat"))
        .filter(|path| wanted(&path.file_stem().expect("a name").to_string_lossy()))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for path in files {
        let wat = fs::read_to_string(&path).expect("a readable file");
        let found = render(&wat);
        let expected_path = path.with_extension(extension);
        if bless {
            fs::write(&expected_path, &found).expect("a writable file");
            continue;
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if found != expected {
            let diff = diff(&expected, &found);
            failures.push(format!("{}:\n{diff}", expected_path.display()));
        }
    }
    assert!(
        failures.is_empty(),
        "{}\nBLESS=1 cargo test -p precast-compiler golden accepts the new text",
        failures.join("\n")
    );
}

/// The first lines that differ, with some that do not.
fn diff(expected: &str, found: &str) -> String {
    let common = expected
        .lines()
        .zip(found.lines())
        .take_while(|(a, b)| a == b)
        .count();
    let show = |sign: char, text: &str| {
        let lines = text.lines().skip(common.saturating_sub(2)).take(12);
        lines
            .map(|line| format!("{sign} {line}\n"))
            .collect::<String>()
    };
    format!(
        "at line {}:\n{}{}",
        common + 1,
        show('-', expected),
        show('+', found)
    )
}

#[track_caller]
fn refused(wat: &str) -> CompileError {
    let wasm = wat::parse_str(wat).unwrap_or_else(|error| panic!("{error}"));
    match try_translate(&wasm) {
        Ok(_) => panic!("accepted"),
        Err(error) => error,
    }
}

#[track_caller]
fn assert_unsupported(wat: &str, expected: &str) {
    match refused(wat) {
        CompileError::Unsupported { feature, offset } => {
            assert_eq!(feature, expected);
            assert!(offset > 0);
        }
        error => panic!("{error}"),
    }
}

#[test]
fn missing_proposals_are_named() {
    assert_unsupported(
        "(module (type $f (func)) (type (cont $f)))",
        "stack switching",
    );
    assert_unsupported(
        "(module (func (param (ref null (shared any)))))",
        "shared-everything threads",
    );
    assert_unsupported("(component)", "the component model");
}

#[test]
fn invalid_is_not_unsupported() {
    let error = refused("(module (func (result i32)))");
    assert!(matches!(error, CompileError::Invalid { .. }), "{error}");
    // Both: the fault of the module counts.
    let error = refused("(module (type (struct)) (func (result i32)))");
    assert!(matches!(error, CompileError::Invalid { .. }), "{error}");
    for bytes in [&b""[..], b"\0asm", b"\0asm\x01\0\0\0\x0a", b"garbage!"] {
        let error = try_translate(bytes).map(drop);
        assert!(
            matches!(error, Err(CompileError::Invalid { .. })),
            "{error:?}"
        );
    }
}

#[test]
fn the_first_invalid_function_is_reported() {
    let mut wat = String::from("(module ");
    for _ in 0..300 {
        wat.push_str("(func (result i32) (i32.const 0))");
    }
    wat.push_str("(func $a (result i32) (i64.const 0)) (func $b (result i32)))");
    let first = refused(&wat);
    for _ in 0..5 {
        assert_eq!(refused(&wat), first);
    }
}

/// A function with `body` in a module with a memory and a table.
fn with_body(body: &[u8]) -> Vec<u8> {
    let mut code = vec![0];
    code.extend_from_slice(body);
    code.push(0x0b);
    let leb = |mut n: usize| {
        let mut out = Vec::new();
        while n >= 0x80 {
            out.push(n as u8 | 0x80);
            n >>= 7;
        }
        out.push(n as u8);
        out
    };
    let mut entry = leb(code.len());
    entry.extend(code);
    let mut section = vec![1];
    section.extend(entry);
    let mut wasm =
        b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x05\x03\x01\0\x01\x0a".to_vec();
    wasm.extend(leb(section.len()));
    wasm.extend(section);
    wasm
}

#[test]
fn deep_nesting_does_not_use_the_stack_of_the_host() {
    const DEPTH: usize = 200_000;
    let mut body = [0x02, 0x40].repeat(DEPTH);
    body.extend([0x0b].repeat(DEPTH));
    compile(try_translate(&with_body(&body)).expect("blocks nest"));
    // Loops in code that cannot be reached.
    let mut body = vec![0x00];
    body.extend([0x03, 0x40].repeat(DEPTH));
    body.extend([0x0b].repeat(DEPTH));
    compile(try_translate(&with_body(&body)).expect("unreachable loops nest"));
    // Blocks that are left by a branch.
    let mut body = [0x02, 0x40].repeat(DEPTH);
    body.extend([0x41, 0x00, 0x0d, 0x00, 0x0b].repeat(DEPTH));
    try_translate(&with_body(&body)).expect("used blocks nest");
}

#[test]
fn a_branch_table_of_a_million_entries_is_one_table() {
    let mut body = vec![0x02, 0x40, 0x02, 0x40, 0x41, 0x00, 0x0e];
    body.extend([0xc0, 0x84, 0x3d]); // 1,000,000
    body.extend([0x00, 0x01].repeat(500_000));
    body.extend([0x00, 0x0b, 0x0b]);
    compile(try_translate(&with_body(&body)).expect("large tables are fine"));
}

#[test]
fn fifty_thousand_locals_are_fine() {
    let wat = format!(
        "(module (func (local {}) (loop (local.set 49999 (local.get 0)) (br_if 0 (local.get 1)))))",
        "i32 ".repeat(50_000)
    );
    compile(translate(&wat));
}

/// Were each entry to carry the locals, this would be ten thousand million values.
#[test]
fn locals_do_not_multiply_with_branch_tables() {
    let mut wat = format!(
        "(module (func (param i32) (local {}) (block ",
        "i32 ".repeat(10_000)
    );
    for local in 1..=10_000 {
        wat.push_str(&format!("(local.set {local} (i32.const {local}))"));
    }
    wat.push_str(&format!(
        "(br_table {} (local.get 0)))",
        "0 ".repeat(1_000_000)
    ));
    for local in 1..=10_000 {
        wat.push_str(&format!("(drop (local.get {local}))"));
    }
    wat.push_str("))");
    translate(&wat);
}

#[test]
fn functions_with_too_many_values_are_refused() {
    let results = "i32 ".repeat(1000);
    let mut wat = format!(
        "(module (type $t (func (result {results}))) (type $p (func (param {results}) (result {results})))
         (func $f (type $t) unreachable) (func (type $t) (call $f)"
    );
    for _ in 0..20_000 {
        wat.push_str("(block (type $p) (br_if 0 (i32.const 1)))");
    }
    wat.push_str("))");
    match refused(&wat) {
        CompileError::Function { index: 1, .. } => {}
        error => panic!("{error}"),
    }
}

/// The proposals whose operators are translated, as the parser names them.
const SUPPORTED: [&str; 14] = [
    "mvp",
    "gc",
    "sign_extension",
    "saturating_float_to_int",
    "bulk_memory",
    "reference_types",
    "tail_call",
    "simd",
    "relaxed_simd",
    "function_references",
    "wide_arithmetic",
    "threads",
    "exceptions",
    "legacy_exceptions",
];

/// Every operator is in a table if its proposal is supported, and in none if it is not.
#[test]
fn every_operator_has_its_place() {
    const TABLES: &str = concat!(
        include_str!("dispatch.rs"),
        include_str!("atomic.rs"),
        include_str!("numeric.rs"),
        include_str!("convert.rs"),
        include_str!("simd.rs"),
        include_str!("simd/float.rs"),
        include_str!("simd/int.rs"),
        include_str!("simd/lanes.rs"),
        include_str!("simd/memory.rs"),
        include_str!("simd/relaxed.rs"),
        include_str!("simd/widen.rs"),
    );
    let words: HashSet<&str> = TABLES
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .collect();
    let mut failures = Vec::new();
    for &(proposal, operator) in OPERATORS {
        // What validation never lets through.
        if operator == "TypedSelectMulti" {
            continue;
        }
        if words.contains(operator) != SUPPORTED.contains(&proposal) {
            failures.push(format!("{operator} of {proposal}"));
        }
    }
    assert!(failures.is_empty(), "out of place: {failures:?}");
}

macro_rules! operators {
    ($(@$proposal:ident $op:ident $({ $($arg:ident: $ty:ty),* })? => $visit:ident ($($arity:tt)*))*) => {
        /// Every operator that the parser knows, with its proposal.
        const OPERATORS: &[(&str, &str)] = &[$((stringify!($proposal), stringify!($op)),)*];
    };
}
wasmparser::for_each_operator!(operators);
