//! Damaged objects: whatever is done to the bytes of one, opening it is an error or a working
//! view, and looking at everything in it never crashes.

use precast::object::{Damage, ObjectView, OpenError};
use precast::{Error, Limits, Linker, Module, Store};
use precast_abi::object::{MAGIC, MemoryRecord, ObjectHeader};
use precast_compiler::{Options, compile};
use std::mem::offset_of;

/// A module with one of everything.
const MODULE: &str = r#"
(module $sample
  (type $binary (func (param i32 i32) (result i32)))
  (import "env" "log" (func $log (param i32)))
  (import "env" "limit" (global $limit i64))
  (import "env" "shared" (memory $shared 1))
  (import "env" "others" (table $others 2 funcref))
  (import "env" "thrown" (tag $thrown (param i32)))
  (tag $inner (param i64 f32))
  (memory $own 2 8)
  (table $fixed 4 funcref)
  (table $growing (export "growing") 3 10 externref)
  (global $count (export "count") (mut i32) (i32.const 7))
  (global $vector (mut v128) (v128.const i64x2 1 2))
  (elem (table $fixed) (i32.const 0) func $add $div)
  (elem $passive func $add $log)
  (elem declare func $div)
  (data (memory $own) (i32.const 16) "static")
  (data (memory $own) (i32.const 70000) "in another page")
  (data $later "passive")
  (func $add (export "add") (type $binary) (i32.add (local.get 0) (local.get 1)))
  (func $div (export "div") (type $binary) (i32.div_s (local.get 0) (local.get 1)))
  (func $call (export "call") (param i32) (result i32)
    (call_indirect $fixed (type $binary) (i32.const 8) (i32.const 2) (local.get 0)))
  (func (export "load") (param i32) (result i64)
    (i64.add (i64.load $own (local.get 0)) (i64.load $shared (local.get 0))))
  (func (export "bulk") (param i32)
    (memory.init $own $later (local.get 0) (i32.const 0) (i32.const 7))
    (table.init $others $passive (i32.const 0) (i32.const 0) (i32.const 2))
    (call $log (local.get 0)))
  (func (export "many") (result i32 i64 f32 f64) (i32.const 1) (i64.const 2) (f32.const 3) (f64.const 4))
  (func $inner (param i32) (result i32)
    (i32.div_u (i32.const 1) (i32.load $own (local.get 0))))
  (func $middle (param i32) (result i32)
    (i32.add (call $inner (local.get 0)) (call $inner (i32.const 4))))
  (func (export "inlined") (param i32) (result i32)
    (i32.mul (call $middle (local.get 0)) (call $middle (i32.const 8))))
  (func (export "ref") (result funcref) (ref.func $div))
  (func $throw (param i32) (throw $inner (i64.const 1) (f32.const 2)))
  (func (export "catch") (param i32) (result i32)
    (block $h (result i32)
      (block $e (result exnref)
        (return (try_table (result i32) (catch $thrown $h) (catch_all_ref $e)
          (call $log (local.get 0)) (call $throw (local.get 0)) (i32.const 3))))
      (throw_ref)))
  (@custom "note" "kept")
)"#;

/// What the sample imports.
const ENVIRONMENT: &str = r#"
(module
  (func (export "log") (param i32))
  (global (export "limit") i64 (i64.const 9))
  (memory (export "shared") 1)
  (table (export "others") 2 funcref)
  (tag (export "thrown") (param i32))
)"#;

fn sample() -> Vec<u8> {
    let wasm = wat::parse_str(MODULE).expect("the sample is well-formed");
    compile(&wasm, &Options::default())
        .expect("the sample compiles")
        .bytes
}

/// Where the metadata starts in the file.
fn metadata_start(object: &[u8]) -> usize {
    object
        .windows(8)
        .position(|bytes| bytes == MAGIC)
        .expect("the object has metadata")
}

/// Opens an object and looks at everything in it.
fn look(object: &[u8]) -> Result<Result<(), Vec<Damage>>, OpenError> {
    let view = ObjectView::parse(object)?;
    view.require_host()?;
    let text_offsets = (0..view.text().len() as u32 + 16).step_by(31);
    for offset in text_offsets {
        let _ = (
            view.metadata().trap_at(offset),
            view.metadata().locations_at(offset).count(),
        );
    }
    for name in ["", "add", "growing", "zzz"] {
        let _ = view.metadata().find_export(name);
    }
    Ok(view.verify().map(drop))
}

/// Xorshift: the same damage every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

#[test]
fn whole_objects_pass_every_check() {
    let object = sample();
    let view = ObjectView::parse(&object).expect("it is whole");
    view.require_host().expect("it is for this machine");
    let report = view
        .verify()
        .unwrap_or_else(|findings| panic!("{findings:#?}"));
    assert!(report.trap_sites > 0, "{report:?}");
    assert!(report.code_table_entries >= 5, "{report:?}");
    assert!(report.address_map_entries > 0, "{report:?}");
    assert_eq!(view.metadata().module_name(), Ok("sample"));
}

#[test]
fn every_field_of_the_header_is_checked() {
    // Any value will do: a hash, and what is told to people only.
    let harmless = [
        offset_of!(ObjectHeader, source_hash)..offset_of!(ObjectHeader, trap_stubs),
        offset_of!(ObjectHeader, module_name)..offset_of!(ObjectHeader, code_tables),
        offset_of!(ObjectHeader, strings)..offset_of!(ObjectHeader, module_name),
        // Where an empty list is.
        offset_of!(ObjectHeader, levels)..offset_of!(ObjectHeader, levels) + 4,
        offset_of!(ObjectHeader, sub_types)..offset_of!(ObjectHeader, sub_types) + 4,
        offset_of!(ObjectHeader, fields)..offset_of!(ObjectHeader, fields) + 4,
        offset_of!(ObjectHeader, stack_map_sites)..offset_of!(ObjectHeader, stack_map_sites) + 4,
        offset_of!(ObjectHeader, stack_maps)..offset_of!(ObjectHeader, stack_maps) + 4,
        offset_of!(ObjectHeader, stack_map_words)..offset_of!(ObjectHeader, stack_map_words) + 4,
    ];
    let object = sample();
    let start = metadata_start(&object);
    for field in (0..size_of::<ObjectHeader>()).step_by(4) {
        let at = start + field;
        let old = u32::from_le_bytes(object[at..at + 4].try_into().expect("four bytes"));
        let mut noticed = false;
        for new in [
            0,
            1,
            old ^ 1,
            old.wrapping_add(4),
            old.wrapping_mul(3),
            1 << 31,
            u32::MAX,
        ] {
            let mut damaged = object.clone();
            damaged[at..at + 4].copy_from_slice(&new.to_le_bytes());
            noticed |= new != old && !matches!(look(&damaged), Ok(Ok(())));
        }
        let harmless = harmless.iter().any(|range| range.contains(&field));
        assert!(
            noticed || harmless,
            "any value of the header at {field} passes"
        );
    }
}

#[test]
fn cut_objects_are_refused() {
    let object = sample();
    let whole = metadata_start(&object) + size_of::<ObjectHeader>();
    for len in (0..whole).chain((whole..object.len()).step_by(61)) {
        match look(&object[..len]) {
            Err(OpenError::CutShort { .. } | OpenError::NotAnObject(_)) => {}
            // The loader needs neither the symbols nor the section headers, which come last.
            Ok(Ok(())) if last_segment_end(&object) <= len => {}
            other => panic!("cut to {len} of {} bytes: {other:?}", object.len()),
        }
    }
}

fn last_segment_end(object: &[u8]) -> usize {
    let view = ObjectView::parse(object).expect("it is whole");
    let header = view.metadata().header();
    let end = header.image.file_offset + header.image.size;
    end.max(header.text.file_offset + header.text.size) as usize
}

#[test]
fn random_bytes_in_headers_are_an_error_and_no_crash() {
    let object = sample();
    let end = metadata_start(&object) + size_of::<ObjectHeader>();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut noticed = 0;
    for _ in 0..2000 {
        let mut damaged = object.clone();
        for _ in 0..1 + random.below(4) {
            damaged[random.below(end)] = random.next() as u8;
        }
        noticed += u32::from(!matches!(look(&damaged), Ok(Ok(()))));
    }
    assert!(noticed > 500, "{noticed} of 2000 noticed");
}

#[test]
fn random_bytes_in_metadata_are_an_error_and_no_crash() {
    let object = sample();
    let start = metadata_start(&object) + size_of::<ObjectHeader>();
    let view = ObjectView::parse(&object).expect("it is whole");
    let len = view.metadata().header().metadata_size as usize - size_of::<ObjectHeader>();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut noticed = 0;
    for _ in 0..2000 {
        let mut damaged = object.clone();
        for _ in 0..1 + random.below(8) {
            damaged[start + random.below(len)] = random.next() as u8;
        }
        noticed += u32::from(!matches!(look(&damaged), Ok(Ok(()))));
    }
    assert!(noticed > 1000, "{noticed} of 2000 noticed");
}

/// Opens an object for execution, and makes an instance of it.
fn instantiate(object: &[u8], environment: &Module) -> Result<(), Error> {
    let limits = Limits {
        memory_bytes: 1 << 24,
        table_elements: 10_000,
        instances: 10,
    };
    let mut store = Store::with_limits((), limits);
    let mut linker = Linker::new();
    let environment = linker.instantiate(&mut store, environment)?;
    linker.instance(&store, "env", environment)?;
    // SAFETY: the code is as the compiler made it. Only metadata is damaged, of which none that
    // says where `init` is; and nothing else is called.
    let module = unsafe { Module::from_bytes(object) }?;
    let _ = (
        module.imports(),
        module.exports(),
        module.name(),
        module.custom_section("note"),
    );
    linker.instantiate(&mut store, &module).map(drop)
}

#[test]
fn instances_of_damaged_objects_are_an_error_and_no_crash() {
    let object = sample();
    let environment = wat::parse_str(ENVIRONMENT).expect("well-formed");
    let environment = compile(&environment, &Options::default())
        .expect("it compiles")
        .bytes;
    // SAFETY: the compiler made this a line ago.
    let environment = unsafe { Module::from_bytes(&environment) }.expect("it is whole");
    instantiate(&object, &environment).expect("the whole object can be instantiated");
    let header = metadata_start(&object);
    let records = header + size_of::<ObjectHeader>();
    let metadata_size = ObjectView::parse(&object)
        .expect("it is whole")
        .metadata()
        .header()
        .metadata_size;
    let layout = header + offset_of!(ObjectHeader, layout);
    let mut random = Random(0x853c_49e6_748f_ea9b);
    let mut refused = 0;
    for round in 0..600 {
        let mut damaged = object.clone();
        for _ in 0..1 + random.below(3) {
            let at = match round % 3 {
                0 => layout + random.below(24),
                _ => records + random.below(metadata_size as usize - size_of::<ObjectHeader>()),
            };
            // Numbers that nearly fit are the dangerous ones.
            damaged[at] = match random.below(3) {
                0 => random.next() as u8,
                1 => damaged[at].wrapping_add(4),
                _ => damaged[at] ^ 1 << random.below(8),
            };
        }
        refused += u32::from(instantiate(&damaged, &environment).is_err());
    }
    assert!(refused > 200, "{refused} of 600 refused");
}

/// Code that does not check counts on the whole reservation: with less, it would reach what belongs
/// to others.
#[test]
fn a_memory_without_checks_never_gets_less_than_code_counts_on() {
    let wasm = wat::parse_str(
        r#"(module (memory 1) (func (export "load") (param i32) (result i32)
            (i32.load (local.get 0))))"#,
    )
    .expect("well-formed");
    let object = compile(&wasm, &Options::default())
        .expect("it compiles")
        .bytes;
    let view = ObjectView::parse(&object).expect("it is whole");
    let record = metadata_start(&object) + view.metadata().header().memories.offset as usize;
    for field in [
        offset_of!(MemoryRecord, reservation),
        offset_of!(MemoryRecord, guard),
    ] {
        let at = record + field;
        let old = u64::from_le_bytes(object[at..at + 8].try_into().expect("eight bytes"));
        let flipped = (0..64).map(|bit| old ^ 1 << bit);
        for new in flipped
            .chain([0, 4096, old - 4096])
            .filter(|new| *new < old)
        {
            let mut damaged = object.clone();
            damaged[at..at + 8].copy_from_slice(&new.to_le_bytes());
            let view = ObjectView::parse(&damaged).expect("the header is whole");
            assert!(view.metadata().memory(0).is_err(), "{new:#x} for {old:#x}");
        }
    }
}

/// What a table says of a frame that cannot be is no handler: the exception passes.
#[test]
fn tables_of_exceptions_lead_nowhere_but_to_handlers() {
    let wasm = wat::parse_str(
        r#"(module (tag $t) (table (export "t") 1 funcref) (elem (i32.const 0) $throw)
        (func $throw (throw $t))
        (func (export "run") (result i32)
            (block $h (try_table (catch $t $h) (call_indirect (i32.const 0)))) (i32.const 1)))"#,
    )
    .expect("well-formed");
    let object = compile(&wasm, &Options::default())
        .expect("it compiles")
        .bytes;
    let run = |object: &[u8]| {
        // SAFETY: the compiler made the code; that its tables lie is what is looked at.
        let module = unsafe { Module::from_bytes(object) }.expect("its header is whole");
        let mut store = Store::new(());
        let guest = Linker::new()
            .instantiate(&mut store, &module)
            .expect("no imports");
        let run = guest.func::<(), i32>(&store, "run").expect("it is there");
        run.call(&mut store, ())
    };
    assert_eq!(run(&object).expect("it is caught"), 1);
    let view = ObjectView::parse(&object).expect("it is whole");
    let header = view.metadata().header();
    let start = metadata_start(&object);
    let frame = start + header.exception_frames.offset as usize;
    let handler = start + header.exception_handlers.offset as usize;
    let text = header.text.size as u32;
    let lies: &[(usize, &[u32])] = &[
        // The size of the frame, and where it holds the base.
        (frame, &[0, 1 << 20, 0x7fff_fff0, u32::MAX - 15, 24]),
        (frame + 4, &[4, 1 << 20, u32::MAX - 7]),
        // The handlers.
        (frame + 8, &[2, u32::MAX]),
        (frame + 12, &[0, 3, u32::MAX]),
        // What they catch, and where they are.
        (handler, &[2, 3, 1 << 20]),
        (handler + 4, &[text, text + 1, u32::MAX]),
    ];
    for (at, values) in lies {
        for value in *values {
            let mut damaged = object.clone();
            damaged[*at..*at + 4].copy_from_slice(&value.to_le_bytes());
            let error = run(&damaged).expect_err("nobody catches it");
            assert!(error.exception().is_some(), "{value:#x}: {error}");
        }
    }
}

#[test]
fn bits_of_the_metadata_can_flip() {
    let object = sample();
    let start = metadata_start(&object);
    let view = ObjectView::parse(&object).expect("it is whole");
    let end = start + view.metadata().header().metadata_size as usize;
    for at in start..end {
        for bit in [0, 2, 7] {
            let mut damaged = object.clone();
            damaged[at] ^= 1 << bit;
            let _ = look(&damaged);
        }
    }
}

#[test]
fn other_files_are_told_apart() {
    let wasm = wat::parse_str("(module)").expect("well-formed");
    let message = |bytes: &[u8]| ObjectView::parse(bytes).expect_err("no object").to_string();
    assert!(message(&wasm).contains("compile it first"));
    assert!(message(b"").contains("empty"));
    let own = std::fs::read(std::env::current_exe().expect("a path")).expect("readable");
    assert!(
        message(&own).contains("not one that Precast made"),
        "{}",
        message(&own)
    );
}

/// A named pipe makes whoever opens it wait until someone writes to it.
#[test]
fn a_named_pipe_is_refused_without_waiting() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("mkfifo is there").success());
    let (done, waits) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // SAFETY: there is no code in it that could be executed.
        let opened = unsafe { [Module::open(&path), Module::open_sealed(&path)] };
        let _ = done.send(opened.map(|opened| opened.err().map(|error| error.to_string())));
    });
    let messages = waits
        .recv_timeout(std::time::Duration::from_secs(10))
        .expect("it does not wait");
    for message in messages {
        let message = message.expect("a pipe is no object");
        assert!(message.contains("not a regular file"), "{message}");
    }
}
