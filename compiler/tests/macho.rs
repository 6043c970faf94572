//! Mach-O objects, as other readers of the format see them: `object`, `goblin`, and by hand where
//! neither looks.

use goblin::mach::load_command::CommandVariant;
use goblin::mach::relocation::RelocationInfo;
use goblin::mach::segment::Section;
use goblin::mach::{Mach, MachO};
use object::{Object, ObjectSection, ObjectSymbol};
use precast_abi::object::{MAGIC, ObjectHeader};
use precast_compiler::{Emit, Options, Target, compile};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::mem::offset_of;

/// A module with two memories' worth of image, exports of every kind, and names.
const SAMPLE: &str = r#"(module $sample
    (import "env" "log" (func $log (param i32)))
    (memory (export "memory") 3)
    (data (i32.const 5000) "hello")
    (data (i32.const 0x20000) "far away")
    (table 4 funcref)
    (elem (i32.const 0) $add $divide $log)
    (func $add (export "add") (export "sum") (param i32 i32) (result i32)
        (i32.add (local.get 0) (local.get 1)))
    (func $divide (param i32)
        (call $log (i32.div_s (local.get 0) (i32.load (local.get 0)))))
    (func (export "indirect") (param i32)
        (call_indirect (param i32) (local.get 0) (local.get 0)))
    (func (export "round") (param f64) (result f64)
        (f64.nearest (local.get 0)))
    (func (export "größe")))"#;

const PAGE: u64 = 16384;

/// The targets whose objects are Mach-O.
fn targets() -> impl Iterator<Item = Target> {
    let named = Target::ALL.into_iter();
    named.filter_map(|(target, name)| name.ends_with("-macos").then_some(target))
}

fn compile_for(target: Target, wat: &str) -> Vec<u8> {
    let options = Options::for_target(target);
    compile(&wat::parse_str(wat).unwrap(), &options)
        .unwrap()
        .bytes
}

/// What `goblin` reads.
fn goblin(bytes: &[u8]) -> MachO<'_> {
    match Mach::parse(bytes).unwrap() {
        Mach::Binary(file) => file,
        Mach::Fat(_) => panic!("a file of several files"),
    }
}

#[test]
fn two_readers_see_the_same_sections_in_segments_of_whole_pages() {
    for target in targets() {
        let bytes = compile_for(target, SAMPLE);
        let file = object::File::parse(&*bytes).unwrap();
        let other = goblin(&bytes);
        assert!(other.is_64 && other.little_endian && other.entry == 0);
        assert_eq!(other.name, Some("@rpath/precast-object.dylib"));
        let mut end = 0;
        let mut sections = Vec::new();
        for segment in &other.segments {
            // Everything is where it is in the file, and nothing is writable.
            assert_eq!((segment.vmaddr, segment.fileoff), (end, end));
            assert_eq!(segment.initprot & 2, 0);
            assert_eq!(segment.initprot, segment.maxprot);
            end += segment.vmsize;
            assert_eq!(end % PAGE, 0);
            let name = segment.name().unwrap().to_owned();
            assert_eq!(segment.initprot & 4 != 0, name == "__TEXT");
            for (section, data) in segment.sections().unwrap() {
                sections.push((section.name().unwrap().to_owned(), section.addr));
                let same = file.section_by_name(section.name().unwrap()).unwrap();
                assert_eq!(same.data().unwrap(), data);
                assert_eq!(same.address(), section.addr);
                assert_eq!(u64::from(section.offset), section.addr);
            }
        }
        let names: Vec<&str> = sections.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["__text", "__eh_frame", "__metadata", "__image"]);
        for (name, address) in &sections {
            assert!(name == "__eh_frame" || address % PAGE == 0, "{name}");
        }
        // The last segment ends where the file does.
        let last = other.segments.last().unwrap();
        assert_eq!(last.fileoff + last.filesize, bytes.len() as u64);
        assert_eq!(last.name().unwrap(), "__LINKEDIT");
    }
}

#[test]
fn two_readers_see_every_function_and_what_is_exported() {
    for target in targets() {
        let bytes = compile_for(target, SAMPLE);
        let file = object::File::parse(&*bytes).unwrap();
        let text = file.section_by_name("__text").unwrap();
        let text = text.address()..text.address() + text.size();
        let mut seen = BTreeMap::new();
        for symbol in file.symbols() {
            assert!(text.contains(&symbol.address()));
            let name = symbol.name().unwrap().to_owned();
            seen.insert((symbol.is_global(), name), symbol.address());
        }
        let mut others = BTreeMap::new();
        for symbol in goblin(&bytes).symbols() {
            let (name, symbol) = symbol.unwrap();
            assert_eq!(symbol.n_sect, 1);
            others.insert((symbol.is_global(), name.to_owned()), symbol.n_value);
        }
        assert_eq!(seen, others);
        let names = |global| {
            let names = seen.keys().filter(move |(is, _)| *is == global);
            names.map(|(_, name)| &**name).collect::<Vec<_>>()
        };
        let exported = ["_add", "_größe", "_indirect", "_round", "_sum"];
        assert_eq!(names(true), exported);
        for name in ["_add", "_divide", "_round", "_precast.trap[unreachable]"] {
            let wanted = name.split('[').next().unwrap();
            let is_there = names(false).iter().any(|name| name.starts_with(wanted));
            assert!(is_there, "{name} of {:?}", names(false));
        }
        // One code, two names.
        let at = |name: &str| seen[&(true, name.to_owned())];
        assert_eq!(at("_add"), at("_sum"));
        assert_eq!(at("_add"), seen[&(false, "_add".to_owned())]);
    }
}

/// What the system wants to see in a library, or refuses it.
#[test]
fn a_library_has_an_identity_and_a_version() {
    for target in targets() {
        let bytes = compile_for(target, SAMPLE);
        let file = goblin(&bytes);
        assert_eq!(file.libs[1..], ["/usr/lib/libSystem.B.dylib"]);
        let mut build = None;
        for command in &file.load_commands {
            if let CommandVariant::BuildVersion(version) = command.command {
                build = Some((version.platform, version.minos));
            }
        }
        assert_eq!(build, Some((1, 11 << 16)));
        assert!(file.imports().unwrap().is_empty());
        // The file type is that of a library; names are looked up in the library they are from.
        assert_eq!(file.header.filetype, 6);
        assert_eq!(file.header.flags & 0x80, 0x80);
    }
}

#[test]
fn the_uuid_depends_on_the_contents() {
    let uuid = |target, wat| {
        let bytes = compile_for(target, wat);
        object::File::parse(&*bytes).unwrap().mach_uuid().unwrap()
    };
    for target in targets() {
        let one = uuid(target, "(module (func (export \"f\")))").unwrap();
        assert_eq!(uuid(target, "(module (func (export \"f\")))"), Some(one));
        assert_ne!(uuid(target, "(module (func (export \"g\")))"), Some(one));
        assert_eq!((one[6] >> 4, one[8] >> 6), (8, 2));
    }
}

/// A number of four bytes as signatures have them.
fn big(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// The blobs of a signature by their slots.
fn blobs(signature: &[u8]) -> BTreeMap<u32, &[u8]> {
    assert_eq!(big(signature, 0), 0xfade_0cc0);
    assert_eq!(big(signature, 4) as usize, signature.len());
    let index = 0..big(signature, 8) as usize;
    let entry = |number| {
        let at = 12 + 8 * number;
        let offset = big(signature, at + 4) as usize;
        let len = big(signature, offset + 4) as usize;
        (big(signature, at), &signature[offset..offset + len])
    };
    index.map(entry).collect()
}

/// Every page of the file has its hash in an ad-hoc signature at the end.
#[test]
fn the_signature_has_the_hash_of_every_page() {
    for target in targets() {
        let bytes = compile_for(target, SAMPLE);
        let file = goblin(&bytes);
        let place = file.load_commands.iter().find_map(|command| {
            let CommandVariant::CodeSignature(place) = command.command else {
                return None;
            };
            Some((place.dataoff as usize, place.datasize as usize))
        });
        let (start, size) = place.unwrap();
        assert_eq!((start % 16, start + size), (0, bytes.len()));
        let blobs = blobs(&bytes[start..]);
        assert_eq!(blobs.keys().copied().collect::<Vec<_>>(), [0, 2, 0x10000]);
        let (directory, requirements) = (blobs[&0], blobs[&2]);
        // No requirements, and no certificates.
        assert_eq!(requirements, [0xfa, 0xde, 0x0c, 1, 0, 0, 0, 12, 0, 0, 0, 0]);
        assert_eq!(blobs[&0x10000], [0xfa, 0xde, 0x0b, 1, 0, 0, 0, 8]);

        assert_eq!(big(directory, 0), 0xfade_0c02);
        assert_eq!(big(directory, 8), 0x0002_0400);
        assert_eq!(big(directory, 12), 2, "signed ad hoc, and nothing else");
        let hashes = big(directory, 16) as usize;
        let name = &directory[big(directory, 20) as usize..];
        assert!(name.starts_with(b"precast-object\0"));
        let (special, pages) = (big(directory, 24) as usize, big(directory, 28) as usize);
        assert_eq!(
            big(directory, 32) as usize,
            start,
            "all before it is signed"
        );
        // SHA-256 of pages of 4 KiB.
        assert_eq!(directory[36..40], [32, 2, 0, 12]);
        let hash = |slot: isize| {
            let at = hashes.checked_add_signed(32 * slot).unwrap();
            &directory[at..at + 32]
        };
        assert_eq!(special, 2);
        assert_eq!(hash(-1), [0; 32]);
        assert_eq!(hash(-2), &Sha256::digest(requirements)[..]);
        assert_eq!(pages, start.div_ceil(4096));
        for (number, page) in bytes[..start].chunks(4096).enumerate() {
            assert_eq!(hash(number as isize), &Sha256::digest(page)[..], "{number}");
        }
        assert_eq!(directory.len(), hashes + 32 * pages);
        // The segment of code: all of the first.
        let executable = u64::from_be_bytes(directory[72..80].try_into().unwrap());
        assert_eq!(executable, file.segments[0].filesize);
    }
}

/// The unwind tables of the system's runtime cover each function.
#[test]
fn every_function_can_be_unwound() {
    use gimli::{BaseAddresses, EhFrame, LittleEndian, UnwindContext, UnwindSection};
    for target in targets() {
        let bytes = compile_for(target, SAMPLE);
        let file = object::File::parse(&*bytes).unwrap();
        let section = file.section_by_name("__eh_frame").unwrap();
        let frame = EhFrame::new(section.data().unwrap(), LittleEndian);
        let bases = BaseAddresses::default().set_eh_frame(section.address());
        for symbol in file.symbols() {
            let mut context = UnwindContext::new();
            let find = EhFrame::cie_from_offset;
            frame
                .unwind_info_for_address(&bases, &mut context, symbol.address(), find)
                .unwrap_or_else(|error| panic!("{:?}: {error}", symbol.name()));
        }
    }
}

/// The metadata is what it is in an ELF file, but for where things are.
#[test]
fn the_metadata_is_that_of_an_elf_file() {
    let find = |bytes: &[u8]| {
        let mut windows = bytes.windows(8);
        let start = windows.position(|bytes| bytes == MAGIC).unwrap();
        bytes[start..start + size_of::<ObjectHeader>()].to_vec()
    };
    let fields = [
        (offset_of!(ObjectHeader, magic), 16),
        (offset_of!(ObjectHeader, metadata_size), 12),
        (
            offset_of!(ObjectHeader, layout),
            size_of::<ObjectHeader>() - 80,
        ),
    ];
    let os = offset_of!(ObjectHeader, os);
    // Without an image, whose pages are larger.
    let wat = "(module (memory 1) (table 1 funcref) (elem (i32.const 0) $f)
        (func $f (export \"f\") (call_indirect (i32.const 0))))";
    for (linux, macos) in [
        (Target::X86_64_LINUX, Target::X86_64_MACOS),
        (Target::AARCH64_LINUX, Target::AARCH64_MACOS),
    ] {
        let elf = find(&compile_for(linux, wat));
        let macho = find(&compile_for(macos, wat));
        for (at, len) in fields {
            assert_eq!(elf[at..at + len], macho[at..at + len], "{at}");
        }
        assert_eq!((elf[os], macho[os]), (1, 2));
    }
}

#[test]
fn the_same_bytes_with_any_number_of_threads() {
    for target in targets() {
        let options = |jobs| Options {
            jobs,
            ..Options::for_target(target)
        };
        let wasm = wat::parse_str(SAMPLE).unwrap();
        let bytes = |jobs| compile(&wasm, &options(jobs)).unwrap().bytes;
        assert_eq!(bytes(1), bytes(4));
    }
}

#[test]
fn a_module_of_nothing_is_an_object_too() {
    for target in targets() {
        let bytes = compile_for(target, "(module)");
        let file = object::File::parse(&*bytes).unwrap();
        assert!(file.section_by_name("__text").unwrap().size() > 0);
        assert!(file.section_by_name("__image").is_none());
        assert_eq!(goblin(&bytes).segments.len(), 3);
    }
}

/// A relocatable object for the same module.
fn compile_relocatable(target: Target, symbol: Option<&str>) -> Vec<u8> {
    let options = Options {
        emit: Emit::Object,
        symbol: symbol.map(str::to_owned),
        ..Options::for_target(target)
    };
    compile(&wat::parse_str(SAMPLE).unwrap(), &options)
        .unwrap()
        .bytes
}

/// What a relocation asks for, by its type on either CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Add an address.
    Unsigned,
    /// Add the distance from the end of the field.
    Signed,
    /// Take an address away; the next one adds.
    Subtractor,
    /// Pages of 4 KiB from the field's.
    Page21,
    /// Where in its page an address is.
    PageOffset12,
    /// What the next one adds to its address.
    Addend,
}

fn kind(target: Target, number: u8) -> Kind {
    match (target == Target::AARCH64_MACOS, number) {
        (_, 0) => Kind::Unsigned,
        (false, 1) => Kind::Signed,
        (false, 5) | (true, 1) => Kind::Subtractor,
        (true, 3) => Kind::Page21,
        (true, 4) => Kind::PageOffset12,
        (true, 10) => Kind::Addend,
        _ => panic!("relocation of type {number}"),
    }
}

/// Adds to a field of 4 or 8 bytes.
fn add(bytes: &mut [u8], at: usize, size: usize, value: u64) {
    let field = &mut bytes[at..at + size];
    let mut whole = [0; 8];
    whole[..size].copy_from_slice(field);
    let sum = u64::from_le_bytes(whole).wrapping_add(value);
    field.copy_from_slice(&sum.to_le_bytes()[..size]);
}

/// The sections of a relocatable object and their contents.
fn sections<'a>(file: &MachO<'a>) -> Vec<(String, Section, &'a [u8])> {
    let all = file.segments.sections().flatten();
    all.map(|section| {
        let (section, data) = section.unwrap();
        (section.name().unwrap().to_owned(), section, data)
    })
    .collect()
}

/// The contents of a section of a relocatable object, linked for the places of all sections, as the
/// format's description says.
fn link(target: Target, object: &[u8], section: &str, places: &BTreeMap<String, u64>) -> Vec<u8> {
    let file = goblin(object);
    let sections = sections(&file);
    let symbols: Vec<_> = file.symbols().map(|symbol| symbol.unwrap().1).collect();
    // Where a symbol comes to lie.
    let address = |relocation: &RelocationInfo| {
        assert!(relocation.is_extern());
        let symbol = &symbols[relocation.r_symbolnum()];
        let (name, home, _) = &sections[symbol.n_sect - 1];
        places[name] + (symbol.n_value - home.addr)
    };
    let mut found = sections.iter().filter(|(name, ..)| name == section);
    let (_, header, data) = found.next().unwrap();
    let mut bytes = data.to_vec();
    let mut relocations = header.iter_relocations(object, little_endian());
    let mut last = u32::MAX;
    let mut addend = 0;
    while let Some(relocation) = relocations.next() {
        let relocation = relocation.unwrap();
        let offset = relocation.r_address as u32;
        assert!(offset <= last);
        last = offset;
        let (at, size) = (offset as usize, 1 << relocation.r_length());
        let place = places[section] + u64::from(offset);
        let kind = kind(target, relocation.r_type());
        if kind == Kind::Addend {
            addend = relocation.r_symbolnum() as u64;
            continue;
        }
        let value = address(&relocation) + std::mem::take(&mut addend);
        let relative = matches!(kind, Kind::Signed | Kind::Page21);
        assert_eq!(relocation.r_pcrel() == 1, relative);
        match kind {
            Kind::Signed => add(&mut bytes, at, size, value.wrapping_sub(place + 4)),
            Kind::Subtractor => {
                let other = relocations.next().unwrap().unwrap();
                assert_eq!((other.r_type(), other.r_address as u32), (0, offset));
                add(&mut bytes, at, size, address(&other).wrapping_sub(value));
            }
            Kind::Page21 => {
                let pages = (value >> 12).wrapping_sub(place >> 12);
                let bits = (pages & 3) << 29 | (pages >> 2 & 0x7_ffff) << 5;
                add(&mut bytes, at, size, bits);
            }
            Kind::PageOffset12 => add(&mut bytes, at, size, (value & 0xfff) << 10),
            Kind::Unsigned | Kind::Addend => panic!("an address alone"),
        }
    }
    bytes
}

fn little_endian() -> goblin::container::Ctx {
    goblin::container::Ctx::new(
        goblin::container::Container::Big,
        goblin::container::Endian::Little,
    )
}

/// Linked for the places that a shared object has, a relocatable one becomes the same.
#[test]
fn a_relocatable_object_is_the_shared_one_before_linking() {
    for target in targets() {
        let shared = compile_for(target, SAMPLE);
        let file = object::File::parse(&*shared).unwrap();
        let object = compile_relocatable(target, None);
        let pairs = [
            ("__text", "__text"),
            ("__eh_frame", "__eh_frame"),
            ("__precast", "__metadata"),
            ("__precast_image", "__image"),
        ];
        let section = |name| file.section_by_name(name).unwrap();
        let places = pairs.map(|(name, shared)| (name.to_owned(), section(shared).address()));
        let places = BTreeMap::from(places);
        for (name, shared) in [pairs[0], pairs[3]] {
            let linked = link(target, &object, name, &places);
            assert!(linked == section(shared).data().unwrap(), "{name}");
        }
        let metadata = link(target, &object, "__precast", &places);
        let mut expected = section("__metadata").data().unwrap().to_vec();
        // The places in the header are in no file, and relative to the header.
        for field in [
            offset_of!(ObjectHeader, text),
            offset_of!(ObjectHeader, image),
        ] {
            expected[field..field + 8].fill(0);
            let base = section("__metadata").address();
            add(&mut expected, field + 8, 8, base.wrapping_neg());
        }
        assert!(metadata == expected);
    }
}

#[test]
fn a_relocatable_object_has_one_global_symbol() {
    for (symbol, expected) in [
        (None, "_precast_object"),
        (Some("word_count"), "_word_count"),
    ] {
        for target in targets() {
            let object = compile_relocatable(target, symbol);
            let file = object::File::parse(&*object).unwrap();
            assert_eq!(file.kind(), object::ObjectKind::Relocatable);
            let global = file.symbols().filter(|symbol| symbol.is_global());
            let names: Vec<_> = global.map(|symbol| symbol.name().unwrap()).collect();
            assert_eq!(names, [expected]);
            let mut all = file.symbols().filter_map(|symbol| symbol.name().ok());
            assert!(all.any(|name| name == "_divide"));
            for section in file.sections() {
                assert_eq!(section.segment_name(), Ok(Some("__TEXT")));
            }
        }
    }
}
