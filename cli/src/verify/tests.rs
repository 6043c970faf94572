//! Code that the compiler makes passes; code with bytes changed is found out where it matters.

use super::report::{CodeReport, Finding, Problem};
use super::verify_code;
use precast::ObjectView;
use precast_compiler::{Collector, OptLevel, Options, compile};

const MODULE: &str = r#"
(module
  (type $binary (func (param i32 i32) (result i32)))
  (import "env" "log" (func $log (param i32)))
  (memory 1 4)
  (memory $second 1)
  (table $fixed 3 funcref)
  (table $large 9000 funcref)
  (table $growing (export "growing") 2 funcref)
  (global $count (mut i32) (i32.const 0))
  (elem (table $fixed) (i32.const 0) func $add $sub)
  (elem (table $large) (i32.const 7) func $add $load)
  (func $add (type $binary) (i32.add (local.get 0) (local.get 1)))
  (func $sub (type $binary) (i32.sub (local.get 0) (local.get 1)))
  (func $load (export "load") (param i32) (result i64)
    (i64.add (i64.load offset=4000 (local.get 0)) (i64.load $second (local.get 0))))
  (func $store (export "store") (param i32 i32)
    (i32.store16 offset=9 (i32.mul (local.get 0) (i32.const 24)) (local.get 1))
    (global.set $count (i32.add (global.get $count) (i32.const 1))))
  (func $sum (export "sum") (param i32 i32) (result i32) (local i32)
    (loop $next
      (local.set 2 (i32.add (local.get 2) (i32.load (local.get 0))))
      (local.set 0 (i32.add (local.get 0) (i32.const 4)))
      (br_if $next (i32.lt_u (local.get 0) (local.get 1))))
    (local.get 2))
  (func $choose (export "choose") (param i32) (result i32)
    (block (block (block (block (br_table 0 1 2 3 (local.get 0)))
      (return (i32.const 7))) (return (i32.const 9))) (call $log (i32.const 4)))
    (call_indirect $fixed (type $binary) (i32.const 1) (i32.const 2) (local.get 0)))
  (func $dynamic (export "dynamic") (param i32) (result i32)
    (table.set $growing (i32.const 0) (ref.func $add))
    (call_indirect $growing (type $binary) (i32.const 1) (i32.const 2) (local.get 0)))
  (func $shared (export "shared") (param i32) (result i32)
    (call_indirect $large (type $binary) (i32.const 1) (i32.const 2) (local.get 0)))
  (func (export "fixed") (result i32) (i32.load offset=16 (i32.const 0)))
  (func $grow (export "grow") (result i32) (memory.grow (i32.const 1)))
  (func $tail (export "tail") (param i32 i32) (result i32)
    (return_call $sub (local.get 1) (local.get 0)))
  (func $many (export "many") (param i64 i64 i64 i64 i64 i64 i64)
    (result i64 i64 i64 i64 i64 i64 i64 i64 i64)
    (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4) (local.get 5)
    (local.get 6) (local.get 0) (local.get 1))
  (func (export "calls_many") (result i64)
    (call $many (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5)
      (i64.const 6) (i64.const 7))
    drop drop drop drop drop drop drop drop)
  (elem declare func $add)
)"#;

fn object(opt: OptLevel) -> Vec<u8> {
    object_with(Options {
        opt,
        ..Options::default()
    })
}

fn object_with(options: Options) -> Vec<u8> {
    let wasm = wat::parse_str(MODULE).expect("well-formed");
    compile(&wasm, &options).expect("it compiles").bytes
}

fn look(object: &[u8]) -> (CodeReport, Vec<Finding>) {
    let view = ObjectView::parse(object).expect("it is whole");
    view.verify().expect("its records are sound");
    verify_code(&view).expect("its records are sound")
}

/// Atomic operators of all forms, on a memory with guard pages and on a shared one.
const ATOMIC: &str = r#"
(module
  (memory 1 4)
  (memory $shared 1 4 shared)
  (func (export "own") (param i32 i32) (result i32)
    (i32.atomic.store offset=8 (local.get 0) (local.get 1))
    (drop (i32.atomic.rmw.add (local.get 0) (local.get 1)))
    (i32.add (i32.atomic.rmw.and (local.get 0) (local.get 1))
      (i32.atomic.rmw8.cmpxchg_u (local.get 0) (local.get 1) (i32.const 3))))
  (func (export "shared") (param i32 i32) (result i32)
    (i32.atomic.store $shared offset=8 (local.get 0) (local.get 1))
    (drop (i32.atomic.rmw.add $shared (local.get 0) (local.get 1)))
    (atomic.fence)
    (i32.add (i32.atomic.rmw.and $shared (local.get 0) (local.get 1))
      (i32.add (i32.atomic.rmw16.xor_u $shared offset=5000 (local.get 0) (local.get 1))
        (i32.atomic.rmw8.cmpxchg_u $shared (local.get 0) (local.get 1) (i32.const 3)))))
  (func (export "wait") (param i32 i64) (result i32)
    (i32.add (memory.atomic.wait64 $shared offset=8 (local.get 0) (local.get 1) (i64.const -1))
      (memory.atomic.notify $shared (local.get 0) (memory.size $shared)))))"#;

#[test]
fn atomic_operators_pass() {
    let wasm = wat::parse_str(ATOMIC).expect("well-formed");
    for opt in [OptLevel::None, OptLevel::Speed] {
        let options = Options {
            opt,
            ..Options::default()
        };
        let object = compile(&wasm, &options).expect("it compiles").bytes;
        let (report, findings) = look(&object);
        assert_eq!(findings, [], "{opt:?}");
        assert!(report.memory_accesses > 0 && report.compared_accesses > 0);
    }
}

#[test]
fn compiled_code_passes_at_every_level_of_optimisation() {
    for opt in [OptLevel::None, OptLevel::Speed, OptLevel::Size] {
        let (report, findings) = look(&object(opt));
        let shown: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert!(findings.is_empty(), "{opt:?}: {shown:#?}");
        assert!(report.memory_accesses >= 3, "{report:?}");
        assert!(report.compared_accesses >= 1, "{report:?}");
        assert!(report.instance_accesses >= 2, "{report:?}");
        assert!(report.reference_calls >= 1, "{report:?}");
    }
}

/// Structs, arrays and casts, alone and beside a memory.
#[test]
fn accesses_to_objects_are_recognised() {
    let objects = r#"
        (type $v (struct (field (mut v128)) (field (mut i8))))
        (type $p (sub (struct (field (mut (ref null $p))) (field (mut i64)))))
        (type $q (sub $p (struct (field (mut (ref null $p))) (field (mut i64)) (field f32))))
        (type $a (array (mut i16)))
        (type $r (array (mut anyref)))
        (table $t (export "t") 3 anyref)
        (global $g (mut (ref null $p)) (ref.null $p))
        (func (export "run") (param i32 anyref) (result i32)
            (local $a (ref $a))
            (global.set $g (struct.new $q (global.get $g) (i64.const 1) (f32.const 1)))
            (struct.set $p 1 (global.get $g) (i64.const 3))
            (drop (struct.new_default $v))
            (local.set $a (array.new $a (i32.const 1) (local.get 0)))
            (array.set $a (local.get $a) (local.get 0) (i32.const 3))
            (array.fill $a (local.get $a) (i32.const 0) (i32.const 3) (local.get 0))
            (array.copy $a $a (local.get $a) (i32.const 0) (local.get $a) (i32.const 1) (local.get 0))
            (table.set $t (local.get 0) (array.new_fixed $r 2 (local.get 1) (ref.i31 (local.get 0))))
            (if (ref.test (ref array) (local.get 1)) (then (return (array.len (ref.cast (ref array) (local.get 1))))))
            (if (ref.test (ref $q) (local.get 1)) (then (return (i32.const 5))))
            (array.get_s $a (ref.cast (ref $a) (table.get $t (local.get 0))) (local.get 0)))"#;
    for opt in [OptLevel::None, OptLevel::Speed, OptLevel::Size] {
        for memory in [
            "",
            "(memory 1) (func (export \"m\") (param i32) (i32.store (local.get 0) (i32.const 1)))",
        ] {
            for collector in [Collector::Copying, Collector::Null] {
                let options = Options {
                    opt,
                    collector,
                    ..Options::default()
                };
                let wasm = wat::parse_str(format!("(module {objects} {memory})")).unwrap();
                let object = compile(&wasm, &options).unwrap().bytes;
                let (report, findings) = look(&object);
                assert!(findings.is_empty(), "{opt:?} {collector:?}: {findings:?}");
                assert!(report.indirect_accesses > 20, "{report:?}");
            }
        }
    }
}

#[test]
fn compact_memories_and_fuel_pass() {
    for opt in [OptLevel::None, OptLevel::Speed, OptLevel::Size] {
        for fuel in [false, true] {
            let (report, findings) = look(&object_with(Options {
                opt,
                fuel,
                memory_reservation: Some(1 << 20),
                ..Options::default()
            }));
            let shown: Vec<String> = findings.iter().map(Finding::to_string).collect();
            assert!(findings.is_empty(), "{opt:?}: {shown:#?}");
            assert!(report.compared_accesses >= 4, "{report:?}");
            // At a place that is always there, where the optimiser sees that.
            let unchecked = u64::from(opt != OptLevel::None);
            assert_eq!(report.memory_accesses, unchecked, "{opt:?}");
        }
    }
}

/// The finding after replacing the only occurrence of `from` in the code by `to`.
fn changed(from: &[u8], to: &[u8]) -> Option<Problem> {
    let mut object = object(OptLevel::Speed);
    let text = ObjectView::parse(&object)
        .expect("it is whole")
        .metadata()
        .header()
        .text;
    let start = text.file_offset as usize;
    let code = &mut object[start..start + text.size as usize];
    let at = code
        .windows(from.len())
        .position(|bytes| bytes == from)
        .expect("the code is there");
    code[at..at + to.len()].copy_from_slice(to);
    look(&object).1.first().map(|finding| finding.problem)
}

#[test]
fn dangerous_changes_are_found() {
    // mov rsp, rbp; pop rbp; ret
    let leave = [0x48, 0x89, 0xec, 0x5d, 0xc3];
    let found = |to: &[u8]| changed(&leave, to);
    assert_eq!(
        found(&[0x0f, 0x05]),
        Some(Problem::ForbiddenInstruction),
        "syscall"
    );
    assert_eq!(
        found(&[0xcd, 0x80]),
        Some(Problem::ForbiddenInstruction),
        "int 0x80"
    );
    assert_eq!(
        found(&[0xc3]),
        Some(Problem::NotRestored),
        "no frame taken down"
    );
    assert_eq!(found(&[0xff, 0xe0]), Some(Problem::NotRestored), "jmp rax");
    assert_eq!(found(&[0xff, 0xd0]), Some(Problem::WildCall), "call rax");
    assert_eq!(
        found(&[0x48, 0x8b, 0x00]),
        Some(Problem::WildAccess),
        "mov rax, [rax]"
    );
    assert_eq!(
        found(&[0x48, 0x89, 0x00]),
        Some(Problem::WildAccess),
        "mov [rax], rax"
    );
    assert_eq!(
        found(&[0x89, 0x47, 0xf0]),
        Some(Problem::WriteToInstance),
        "mov [rdi-16], eax"
    );
    assert_eq!(
        found(&[0x8b, 0x47, 0xf8]),
        Some(Problem::BadInstanceAccess),
        "mov eax, [rdi-8]"
    );
    assert_eq!(
        found(&[0x8b, 0x04, 0x37]),
        Some(Problem::WildAccess),
        "mov eax, [rdi+rsi]"
    );
    assert_eq!(
        found(&[0x65, 0x8b, 0x07]),
        Some(Problem::ForbiddenInstruction),
        "mov eax, gs:[rdi]"
    );
    assert_eq!(
        found(&[0xeb, 0x7f]),
        Some(Problem::NotRestored),
        "a jump out of the function"
    );
}

/// Of random changes of single bytes some make other, harmless code; none may crash the verifier,
/// and many must be found.
#[test]
fn random_changes_are_mostly_found() {
    let whole = object(OptLevel::Speed);
    let view = ObjectView::parse(&whole).expect("it is whole");
    let header = view.metadata().header();
    let text = header.text.file_offset as usize;
    let last = view
        .metadata()
        .function(header.functions.len - 1)
        .expect("it is sound");
    let len = (last.text_offset + last.text_size) as usize;
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut found = 0;
    for _ in 0..1500 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut object = whole.clone();
        object[text + (random >> 8) as usize % len] ^= 1 << (random & 7);
        found += u32::from(!look(&object).1.is_empty());
    }
    assert!(found > 400, "{found} of 1500 changes found");
}

const CATCHING: &str = r#"
(module
  (type $f (func (param i32) (result i32)))
  (import "env" "f" (func $imported (type $f)))
  (tag $t (param i32 i64))
  (memory 1)
  (table (export "t") 2 funcref)
  (func $many (export "many") (param i64 i64 i64 i64 i64 i64 i64) (result i32)
    (if (i64.eqz (local.get 0)) (then (throw $t (i32.const 1) (i64.const 2))))
    (i32.const 1))
  (func (export "catch") (param i32) (result i32) (local $e exnref)
    (block $all (result exnref)
      (block $t (result i32 i64)
        (return (try_table (result i32) (catch $t $t) (catch_all_ref $all)
          (i32.add (call $imported (local.get 0))
            (i32.add
              (call_indirect (type $f) (local.get 0) (i32.const 0))
              (call $many (i64.const 0) (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)
                (i64.const 5) (i64.const 6)))))))
      (i32.wrap_i64)
      (i32.load (i32.add))
      (return))
    (local.set $e)
    (drop (call $imported (i32.const 1)))
    (throw_ref (local.get $e)))
)"#;

fn catching(opt: OptLevel) -> Vec<u8> {
    let options = Options {
        opt,
        ..Options::default()
    };
    let wasm = wat::parse_str(CATCHING).expect("well-formed");
    compile(&wasm, &options).expect("it compiles").bytes
}

#[test]
fn handlers_of_exceptions_are_followed() {
    for opt in [OptLevel::None, OptLevel::Speed, OptLevel::Size] {
        let object = catching(opt);
        let (report, findings) = look(&object);
        let shown: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert!(findings.is_empty(), "{opt:?}: {shown:#?}");
        // Only a handler accesses memory.
        assert!(report.memory_accesses == 1, "{opt:?}: {report:?}");
    }
}

#[test]
fn handlers_that_do_not_suit_their_calls_are_found() {
    let object = catching(OptLevel::Speed);
    let parsed = ObjectView::parse(&object).expect("it is whole");
    let header = parsed.metadata().header();
    let metadata = object.windows(8).position(|bytes| bytes == b"PRECAST\0");
    let frames = metadata.expect("there is one") + header.exception_frames.offset as usize;
    assert!(header.exception_frames.len >= 3);
    let found = |field: usize, change: &dyn Fn(u32) -> u32| {
        let mut object = object.clone();
        let field = &mut object[frames + field..][..4];
        let value = u32::from_le_bytes(field.try_into().expect("four bytes"));
        field.copy_from_slice(&change(value).to_le_bytes());
        look(&object).1.first().map(|finding| finding.problem)
    };
    assert_eq!(found(0, &|size| size), None);
    assert_eq!(found(0, &|size| size + 16), Some(Problem::BadHandler));
    assert_eq!(found(4, &|base| base + 8), Some(Problem::BadHandler));
}
