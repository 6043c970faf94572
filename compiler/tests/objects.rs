//! What comes out of the compiler: the same bytes whatever the threads, and files that other
//! readers of ELF understand.

use object::elf;
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, Object, ObjectSection, ObjectSymbol, RelocationTarget};
use precast_abi::object::PT_PRECAST;
use precast_compiler::{Compiled, Cpu, Emit, OptLevel, Options, Target, compile};
use std::fmt::Write;

/// A module with something of everything that an object holds.
const SAMPLE: &str = r#"(module $sample
    (type $binary (func (param i32 i32) (result i32)))
    (import "env" "wide" (func $wide (param i64 i64 i64 i64 i64 i64 i64) (result i32 v128)))
    (import "env" "narrow" (func $narrow (param i32 i32) (result i32)))
    (memory (export "memory") 3)
    (data (i32.const 5000) "hello")
    (data (i32.const 0x20000) "far away")
    (data $passive "kept")
    (table 4 funcref)
    (elem (i32.const 0) $add $divide $narrow)
    (global $counter (mut i32) (i32.const 7))
    (func $add (export "add") (export "sum") (type $binary)
        (i32.add (local.get 0) (local.get 1)))
    (func $divide (type $binary)
        (i32.div_s (local.get 0) (i32.load (local.get 1))))
    (func (export "indirect") (param i32) (result i32)
        (call_indirect (type $binary) (i32.const 7) (i32.const 8) (local.get 0)))
    (func $trap (export "trap") (param i32)
        (memory.init $passive (i32.const 0) (i32.const 0) (i32.const 4))
        (if (local.get 0) (then unreachable)))
    (func (export "round") (param f64) (result f64)
        (f64.nearest (local.get 0)))
    (func (export "a\00b") (result i32)
        (global.set $counter (i32.const 8))
        (global.get $counter))
    (func (export "größe")
        (call $wide (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5)
            (i64.const 6) (i64.const 7))
        drop drop)
)"#;

fn compile_sample(options: &Options) -> Compiled {
    let wasm = wat::parse_str(SAMPLE).unwrap();
    compile(&wasm, options).unwrap()
}

fn compile_text(wat: &str) -> Vec<u8> {
    let wasm = wat::parse_str(wat).unwrap();
    compile(&wasm, &Options::default()).unwrap().bytes
}

/// A module of many functions that are all different.
fn many_functions() -> Vec<u8> {
    let mut wat = String::from("(module (memory 1) (table 300 funcref)\n");
    for i in 0..300 {
        let callee = i / 2;
        writeln!(
            wat,
            "(func $f{i} (export \"f{i}\") (param i32) (result i32) {}
               (i32.load offset={i} (call $f{callee} (i32.const {i}))))",
            "(drop (i32.load (local.get 0)))".repeat(i % 7)
        )
        .unwrap();
    }
    wat.push(')');
    wat::parse_str(wat).unwrap()
}

#[test]
fn the_same_bytes_with_any_number_of_threads() {
    let wasm = many_functions();
    for emit in [Emit::SharedObject, Emit::Object, Emit::Clif, Emit::Asm] {
        let bytes = |jobs| {
            let options = Options {
                jobs,
                emit,
                ..Options::default()
            };
            compile(&wasm, &options).unwrap().bytes
        };
        let first = bytes(1);
        for jobs in [1, 2, 5] {
            assert!(bytes(jobs) == first, "{emit:?} with {jobs} threads");
        }
    }
}

#[test]
fn every_optimisation_level_and_cpu_makes_an_object() {
    for opt in [OptLevel::None, OptLevel::Speed, OptLevel::Size] {
        for (_, cpu) in Cpu::levels(Target::host()) {
            let options = Options {
                opt,
                cpu: *cpu,
                ..Options::default()
            };
            let compiled = compile_sample(&options);
            assert!(object::File::parse(&*compiled.bytes).is_ok());
        }
    }
}

#[test]
fn a_shared_object_reads_as_one() {
    let bytes = compile_sample(&Options::default()).bytes;
    golden::check("shared.txt", &describe_shared(&bytes));
}

#[test]
fn a_relocatable_object_reads_as_one() {
    let options = Options {
        emit: Emit::Object,
        ..Options::default()
    };
    let bytes = compile_sample(&options).bytes;
    golden::check("relocatable.txt", &describe_relocatable(&bytes));
}

#[test]
fn nothing_needs_relocation_when_loaded() {
    let bytes = compile_sample(&Options::default()).bytes;
    let file = ElfFile64::<Endianness>::parse(&*bytes).unwrap();
    assert!(
        file.dynamic_relocations()
            .is_none_or(|mut r| r.next().is_none())
    );
    assert!(file.section_by_name(".got").is_none());
    assert!(file.imports().unwrap().next().is_none());
}

#[test]
fn segments_are_whole_pages_and_none_is_writable_and_executable() {
    let bytes = compile_sample(&Options::default()).bytes;
    let file = ElfFile64::<Endianness>::parse(&*bytes).unwrap();
    let endian = file.endian();
    let mut last_page = 0;
    for segment in file.elf_program_headers() {
        if segment.p_type(endian) != elf::PT_LOAD {
            continue;
        }
        let flags = segment.p_flags(endian);
        assert_ne!(flags & (elf::PF_W | elf::PF_X), elf::PF_W | elf::PF_X);
        assert_eq!(segment.p_vaddr(endian) % 4096, 0);
        assert_eq!(segment.p_offset(endian), segment.p_vaddr(endian));
        assert!(
            segment.p_vaddr(endian) >= last_page,
            "segments share a page"
        );
        let end = segment.p_vaddr(endian) + segment.p_memsz(endian);
        last_page = end.next_multiple_of(4096);
    }
}

/// Tools that rewrite files, like `strip`, keep what sections fill and may drop all else.
#[test]
fn the_metadata_segment_consists_of_whole_sections() {
    let bytes = compile_sample(&Options::default()).bytes;
    let file = ElfFile64::<Endianness>::parse(&*bytes).unwrap();
    let endian = file.endian();
    let segments = file.elf_program_headers().iter();
    let segment = segments
        .filter(|segment| segment.p_type(endian).0 == PT_PRECAST)
        .map(|segment| segment.file_range(endian))
        .next()
        .unwrap();
    let records = file.section_by_name(".precast").unwrap();
    let strings = file.section_by_name(".dynstr").unwrap();
    let (start, size) = segment;
    assert_eq!(records.file_range().unwrap().0, start);
    assert_eq!(records.address() + records.size(), strings.address());
    assert_eq!(strings.address() + strings.size(), start + size);
}

/// The budget of the design, for a small program in C: fixed costs and all.
#[test]
fn what_describes_the_code_is_a_quarter_of_it_at_most() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/wordfreq/wordfreq.wasm"
    );
    let wasm = std::fs::read(path).unwrap();
    let summary = compile(&wasm, &Options::default()).unwrap().summary;
    let described = summary.metadata_bytes + summary.unwind_bytes;
    assert!(described * 4 <= summary.text_bytes, "{summary:?}");
}

#[test]
fn a_module_of_nothing_is_an_object_too() {
    let bytes = compile_text("(module)");
    let file = object::File::parse(&*bytes).unwrap();
    assert!(file.section_by_name(".text").unwrap().size() > 0);
    assert!(file.exports().unwrap().next().is_none());
}

#[test]
fn pages_of_zeros_are_left_out_of_the_image() {
    let bytes = compile_text(
        r#"(module (memory 1000)
            (data (i32.const 0x10) "a") (data (i32.const 0x3000000) "b")
            (data (i32.const 0x3000800) "\00\00"))"#,
    );
    let file = object::File::parse(&*bytes).unwrap();
    let image = file.section_by_name(".precast.image").unwrap();
    assert_eq!(image.size(), 2 * 4096);
    assert_eq!(image.data().unwrap()[0x10], b'a');
    assert_eq!(image.data().unwrap()[4096], b'b');
}

#[test]
fn the_build_id_depends_on_the_contents() {
    let build_id = |wat| {
        let bytes = compile_text(wat);
        let file = object::File::parse(&*bytes).unwrap();
        file.build_id().unwrap().unwrap().to_vec()
    };
    let one = build_id("(module (func (export \"f\")))");
    assert_eq!(one.len(), 20);
    assert_eq!(one, build_id("(module (func (export \"f\")))"));
    assert_ne!(one, build_id("(module (func (export \"g\")))"));
}

#[test]
fn listings_show_every_function() {
    for (emit, marker) in [(Emit::Clif, "function u0:"), (Emit::Asm, "pushq %rbp")] {
        let options = Options {
            emit,
            ..Options::default()
        };
        let text = String::from_utf8(compile_sample(&options).bytes).unwrap();
        for index in 2..9 {
            assert!(
                text.contains(&format!("; wasm-function[{index}]")),
                "{text}"
            );
        }
        assert!(text.contains(marker), "{text}");
        assert!(text.contains("\"größe\""));
    }
}

/// The parts of a shared object, as a reader that knows nothing of us sees them.
fn describe_shared(bytes: &[u8]) -> String {
    let file = ElfFile64::<Endianness>::parse(bytes).unwrap();
    let endian = file.endian();
    let mut out = String::new();
    let header = file.elf_header();
    writeln!(out, "type {:?}", header.e_type(endian).0).unwrap();
    writeln!(out, "machine {:?}", header.e_machine(endian).0).unwrap();
    for segment in file.elf_program_headers() {
        let kind = match segment.p_type(endian) {
            elf::PT_NULL => "null",
            elf::PT_LOAD => "load",
            elf::PT_DYNAMIC => "dynamic",
            elf::PT_NOTE => "note",
            elf::PT_GNU_EH_FRAME => "eh_frame",
            elf::PT_GNU_STACK => "stack",
            kind if kind.0 == PT_PRECAST => "precast",
            _ => "other",
        };
        let flags = segment.p_flags(endian);
        writeln!(out, "segment {kind} flags {}", flags.0).unwrap();
    }
    describe_sections(&file, &mut out);
    for symbol in file.dynamic_symbols() {
        let name = symbol.name().unwrap();
        writeln!(out, "exports {name:?} {}", place(&file, &symbol)).unwrap();
    }
    out
}

fn describe_relocatable(bytes: &[u8]) -> String {
    let file = ElfFile64::<Endianness>::parse(bytes).unwrap();
    let mut out = String::new();
    describe_sections(&file, &mut out);
    for section in file.sections() {
        for (offset, relocation) in section.relocations() {
            let RelocationTarget::Symbol(symbol) = relocation.target() else {
                panic!("a relocation to nothing");
            };
            let symbol = file.symbol_by_index(symbol).unwrap();
            let target = symbol.section_index().unwrap();
            let target = file.section_by_index(target).unwrap();
            let name = section.name().unwrap();
            let at = if name == ".text" { 0 } else { offset };
            let target = target.name().unwrap();
            writeln!(out, "relocates {name} {at} to {target}").unwrap();
        }
    }
    out
}

/// Sections and symbols, without the sizes that depend on the version of the code generator.
fn describe_sections(file: &ElfFile64<'_, Endianness>, out: &mut String) {
    let endian = file.endian();
    for section in file.sections() {
        let header = section.elf_section_header();
        writeln!(
            out,
            "section {} type {} flags {} align {}",
            section.name().unwrap(),
            header.sh_type(endian).0,
            header.sh_flags(endian).0,
            section.align()
        )
        .unwrap();
    }
    for symbol in file.symbols() {
        let name = symbol.name().unwrap();
        let scope = if symbol.is_global() {
            "global"
        } else {
            "local"
        };
        writeln!(out, "symbol {name:?} {scope} {}", place(file, &symbol)).unwrap();
    }
}

/// The section of a symbol.
fn place<'a>(file: &ElfFile64<'_, Endianness>, symbol: &impl ObjectSymbol<'a>) -> String {
    let Some(index) = symbol.section_index() else {
        return "nowhere".to_owned();
    };
    let section = file.section_by_index(index).unwrap();
    section.name().unwrap().to_owned()
}

/// Comparison with files in `tests/objects`.
mod golden {
    use std::path::Path;

    /// Compares, or writes the file where `BLESS` is set.
    pub(super) fn check(name: &str, actual: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/objects")
            .join(name);
        if std::env::var_os("BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, actual).unwrap();
            return;
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        for (number, (old, new)) in expected.lines().zip(actual.lines()).enumerate() {
            let place = format!("{}:{}", path.display(), number + 1);
            assert_eq!(old, new, "{place} (run with BLESS=1 if it is meant)");
        }
        let (old, new) = (expected.lines().count(), actual.lines().count());
        assert_eq!(
            old, new,
            "lines of {name} (run with BLESS=1 if it is meant)"
        );
    }
}
