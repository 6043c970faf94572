//! Objects with code for several levels of a CPU: the best that the machine has is run, and what
//! is wrong with one of them is found.
//!
//! # Safety
//!
//! Opens objects that were compiled a moment before, and damaged copies of them whose code stays as it
//! is.
#![allow(unsafe_code, reason = "objects are opened")]

use std::mem::offset_of;

use precast::{Linker, Module, ObjectView, OpenError, Store};
use precast_abi::cpu::X86;
use precast_abi::object::{LevelRecord, ObjectHeader};
use precast_compiler::{CompileError, Cpu, Emit, Options, compile};

const PAGE: usize = 4096;
/// A feature that no CPU has.
const FUTURE: u64 = 1 << 50;

/// Has an image of several pages, a table, and code that is unlike on each level.
const GUEST: &str = r#"(module (memory (export "memory") 3)
  (data (i32.const 5000) "hello") (data (i32.const 0x20000) "far away")
  (table funcref (elem $round $half))
  (func $round (param f64) (result f64) (f64.nearest (local.get 0)))
  (func $half (param f64) (result f64) (f64.div (local.get 0) (f64.const 2)))
  (func (export "run") (param i32) (result i32)
    (i32.add (i32.popcnt (local.get 0))
      (i32.add (i32.load8_u (i32.const 0x20003))
        (i32.trunc_f64_s (call_indirect (param f64) (result f64)
          (f64.const 6.6) (i32.and (local.get 0) (i32.const 1))))))))"#;

fn object(levels: &[Cpu]) -> Vec<u8> {
    let wasm = wat::parse_str(GUEST).unwrap();
    let options = Options {
        levels: levels.to_vec(),
        ..Options::default()
    };
    compile(&wasm, &options).unwrap().bytes
}

fn open(bytes: &[u8]) -> Result<Module, OpenError> {
    // SAFETY: as this file says.
    unsafe { Module::from_bytes(bytes) }
}

fn runs(module: &Module) {
    let mut store = Store::new(());
    let instance = Linker::new().instantiate(&mut store, module).unwrap();
    let run = instance.func::<i32, i32>(&store, "run").unwrap();
    // Four bits, the letter a, and half of 6.6.
    assert_eq!(run.call(&mut store, 15).unwrap(), 4 + i32::from(b' ') + 3);
    assert_eq!(run.call(&mut store, 14).unwrap(), 3 + i32::from(b' ') + 7);
}

/// What the levels need, from the least to the best.
fn three() -> [Cpu; 3] {
    [Cpu::BASELINE, Cpu::X86_64_V2, Cpu::X86_64_V3]
}

/// Where in the file the headers are: of the first object, and of those behind it; and the records.
struct Places {
    headers: Vec<usize>,
    records: Vec<usize>,
}

impl Places {
    fn of(bytes: &[u8]) -> Places {
        let view = ObjectView::parse(bytes).unwrap();
        let header_at = |view: &ObjectView<'_>| {
            let magic = view.bytes().windows(8).position(|at| at == *b"PRECAST\0");
            view.bytes().as_ptr().addr() - bytes.as_ptr().addr() + magic.unwrap()
        };
        let levels = view.levels().unwrap();
        let headers = std::iter::once(&view).chain(&levels);
        let headers: Vec<usize> = headers.map(header_at).collect();
        let list = view.metadata().header().levels;
        let record = |index| headers[0] + list.offset as usize + index * size_of::<LevelRecord>();
        let records = (0..list.len as usize).map(record).collect();
        Places { headers, records }
    }
}

fn set(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

fn get(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

const FEATURES: usize = offset_of!(ObjectHeader, cpu_features);
const LEVEL_FEATURES: usize = offset_of!(LevelRecord, cpu_features);
const LEVEL_OFFSET: usize = offset_of!(LevelRecord, file_offset);
const LEVEL_SIZE: usize = offset_of!(LevelRecord, size);

#[test]
fn the_best_level_that_the_machine_has_runs() {
    let here = Cpu::native().features();
    let bytes = object(&three());
    let places = Places::of(&bytes);
    assert_eq!(places.records.len(), 2);
    let best = |needed: [u64; 3]| {
        let fits = needed.into_iter().filter(|needs| needs & !here == 0);
        fits.last().unwrap()
    };
    let needed = three().map(Cpu::features);
    let module = open(&bytes).unwrap();
    assert_eq!(module.cpu_features(), best(needed));
    runs(&module);
    // The best is for a CPU that is still to come, then the middle one, too.
    let mut later = bytes.clone();
    for count in 1..=2 {
        let index = 3 - count;
        let more = needed[index] | FUTURE;
        set(&mut later, places.headers[index] + FEATURES, more);
        set(&mut later, places.records[index - 1] + LEVEL_FEATURES, more);
        if count == 2 {
            // Still in order.
            let most = needed[2] | FUTURE | FUTURE << 1;
            set(&mut later, places.headers[2] + FEATURES, most);
            set(&mut later, places.records[1] + LEVEL_FEATURES, most);
        }
        let module = open(&later).unwrap();
        let mut fit = needed;
        fit[index..].fill(FUTURE);
        assert_eq!(module.cpu_features(), best(fit), "without {count}");
        runs(&module);
    }
    // None of them is for this machine.
    let none = FUTURE >> 1;
    set(&mut later, places.headers[0] + FEATURES, none);
    for (index, more) in [(1, FUTURE), (2, FUTURE | FUTURE << 1)] {
        let more = needed[index] | more | none;
        set(&mut later, places.headers[index] + FEATURES, more);
        set(&mut later, places.records[index - 1] + LEVEL_FEATURES, more);
    }
    let refused = open(&later).unwrap_err();
    assert!(matches!(refused, OpenError::CpuFeatures(_)), "{refused}");
}

#[test]
fn each_level_has_code_of_its_own_and_all_share_the_image() {
    let bytes = object(&three());
    let view = ObjectView::parse(&bytes).unwrap();
    let levels = view.levels().unwrap();
    assert_eq!(levels.len(), 2);
    assert!(view.image().len() >= 2 * PAGE);
    for (level, cpu) in levels.iter().zip(&three()[1..]) {
        assert_eq!(level.metadata().header().cpu_features, cpu.features());
        assert_eq!(level.image(), view.image());
        assert_ne!(level.text(), view.text());
        level.verify().unwrap();
        // Its own part of the file is smaller for want of an image.
        assert!(level.bytes().len() + view.image().len() <= view.bytes().len());
        // By itself it is none.
        let alone = open(level.bytes()).unwrap_err();
        assert!(matches!(alone, OpenError::Damaged(_)), "{alone}");
    }
    // A module without data has nothing to share, and one level is an object like any.
    let one = object(&[Cpu::X86_64_V2]);
    let plain = Options {
        cpu: Cpu::X86_64_V2,
        ..Options::default()
    };
    let wasm = wat::parse_str(GUEST).unwrap();
    assert!(one == compile(&wasm, &plain).unwrap().bytes);
    // The same bytes again.
    assert!(bytes == object(&three()));
}

#[test]
fn files_from_disk_and_parts_of_files_work_as_well() {
    let bytes = object(&three());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("levels.so");
    let mut whole = vec![7; PAGE];
    whole.extend_from_slice(&bytes);
    std::fs::write(&path, whole).unwrap();
    // SAFETY: as this file says.
    let module = unsafe { Module::open_part(&path, PAGE as u64, bytes.len() as u64) }.unwrap();
    runs(&module);
    std::fs::write(&path, &bytes).unwrap();
    // SAFETY: as this file says.
    runs(&unsafe { Module::open(&path) }.unwrap());
    // SAFETY: as this file says.
    runs(&unsafe { Module::open_sealed(&path) }.unwrap());
}

#[test]
fn damage_is_found_before_anything_runs() {
    let bytes = object(&three());
    let places = Places::of(&bytes);
    let end = bytes.len() as u64;
    type Change = fn(&mut [u8], usize, u64);
    let changes: [(&str, Change); 8] = [
        ("not aligned", |bytes, at, _| {
            let old = get(bytes, at + LEVEL_OFFSET);
            set(bytes, at + LEVEL_OFFSET, old + 8);
        }),
        ("the file itself", |bytes, at, _| {
            set(bytes, at + LEVEL_OFFSET, 0)
        }),
        ("past the end", |bytes, at, end| {
            set(bytes, at + LEVEL_OFFSET, end.next_multiple_of(PAGE as u64));
        }),
        ("around the end", |bytes, at, _| {
            set(bytes, at + LEVEL_OFFSET, u64::MAX - 4095);
        }),
        ("too long", |bytes, at, end| {
            set(bytes, at + LEVEL_SIZE, end)
        }),
        ("too short", |bytes, at, _| set(bytes, at + LEVEL_SIZE, 100)),
        ("needs less than said", |bytes, at, _| {
            let old = get(bytes, at + LEVEL_FEATURES);
            set(bytes, at + LEVEL_FEATURES, old & !X86::Sse3.bit());
        }),
        ("out of order", |bytes, at, _| {
            set(bytes, at + LEVEL_FEATURES, 0)
        }),
    ];
    for (what, change) in changes {
        for record in &places.records {
            let mut damaged = bytes.clone();
            change(&mut damaged, *record, end);
            let view = ObjectView::parse(&damaged).unwrap();
            assert!(view.levels().is_err(), "{what}");
        }
        // The best one is looked at by whoever runs it.
        let mut damaged = bytes.clone();
        change(&mut damaged, places.records[1], end);
        if Cpu::X86_64_V3.features() & !Cpu::native().features() == 0 {
            assert!(open(&damaged).is_err(), "{what}");
        }
    }
    for len in [bytes.len() - 1, places.headers[2], places.headers[1]] {
        let cut = open(&bytes[..len]).unwrap_err();
        assert!(matches!(cut, OpenError::CutShort { .. }), "{len}: {cut}");
    }
}

#[test]
fn a_level_must_be_of_the_same_module() {
    let bytes = object(&three());
    let places = Places::of(&bytes);
    let mut other = bytes.clone();
    other[places.headers[2] + offset_of!(ObjectHeader, source_hash)] ^= 1;
    let view = ObjectView::parse(&other).unwrap();
    let error = view.levels().unwrap_err();
    assert!(error.to_string().contains("level 1"), "{error}");
}

#[test]
fn levels_that_make_no_sense_are_refused() {
    let wasm = wat::parse_str(GUEST).unwrap();
    let refused = |levels: &[Cpu], emit| {
        let options = Options {
            levels: levels.to_vec(),
            emit,
            ..Options::default()
        };
        match compile(&wasm, &options) {
            Err(CompileError::Options { message }) => message,
            other => panic!("{other:?}"),
        }
    };
    let (v2, v3) = (Cpu::X86_64_V2, Cpu::X86_64_V3);
    let message = refused(&[v3, v2], Emit::SharedObject);
    assert!(message.contains("least CPU"), "{message}");
    refused(&[v2, v2], Emit::SharedObject);
    let message = refused(&[v2, v3], Emit::Object);
    assert!(message.contains("shared objects"), "{message}");
}
