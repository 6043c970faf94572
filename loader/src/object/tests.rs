//! Objects made by hand, whole and damaged.

use super::record::Record;
use super::synthetic::{METADATA, object, with_header};
use super::*;
use precast_abi::object::{ObjectHeader, Span};
use precast_abi::trap::TrapCode;

fn part_of(error: OpenError) -> (Part, Fault) {
    match error {
        OpenError::Damaged(damage) => (damage.part, damage.fault),
        other => panic!("not called damaged: {other}"),
    }
}

/// Opening an object with this change of its header fails at this part.
fn check(part: Part, fault: Fault, change: impl FnOnce(&mut ObjectHeader)) {
    let bytes = with_header(change);
    let error = ObjectView::parse(&bytes).expect_err("damage is seen");
    assert_eq!(part_of(error), (part, fault));
}

#[test]
fn whole_objects_answer_questions() {
    let bytes = object();
    let view = ObjectView::parse(&bytes).expect("it is whole");
    view.require_host().expect("it is for this machine");
    let metadata = view.metadata();
    assert_eq!(metadata.module_name(), Ok("sample"));
    assert_eq!(metadata.function_name(1), Ok("plus"));
    let export = metadata
        .find_export("übung")
        .expect("exports are sound")
        .expect("it is there");
    assert_eq!((export.kind, export.index), (0, 2));
    assert_eq!(metadata.find_export("nothing"), Ok(None));
    assert_eq!(metadata.trap_at(8), Some(TrapCode::IntegerDivideByZero));
    assert_eq!(metadata.trap_at(4), None);
    assert_eq!(metadata.function_at(9).map(|found| found.0), Some(2));
    assert_eq!(metadata.function_at(4), None);
    assert_eq!(
        metadata.location_at(1),
        Some(CodeLocation {
            function: 1,
            wasm_offset: Some(40)
        })
    );
    assert_eq!(
        metadata.function(3),
        Err(Damage::at(Part::Function, 3, Fault::BadIndex))
    );
}

#[test]
fn whole_objects_are_mapped() {
    let bytes = object();
    let mapped = MappedObject::from_bytes(&bytes).expect("it can be mapped");
    assert_eq!(mapped.metadata().module_name(), Ok("sample"));
    assert_eq!(
        mapped.text(),
        ObjectView::parse(&bytes).expect("it is whole").text()
    );
    assert!(mapped.text_base().is_multiple_of(4096));
    let slide = mapped.mapped_file().expect("it is mapped").slide();
    assert_eq!(slide + 4096, mapped.text_base() as u64);

    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), &bytes).expect("it can be written");
    for open in [MappedObject::open, MappedObject::open_sealed] {
        let mapped = open(file.path()).expect("it can be opened");
        assert_eq!(mapped.metadata().producer(), Ok("by hand"));
    }
}

#[test]
fn what_cannot_be_read_is_told() {
    let missing = MappedObject::open(std::path::Path::new("/does/not/exist")).expect_err("no file");
    assert!(
        missing.to_string().starts_with("cannot open the object: "),
        "{missing}"
    );
    let directory = MappedObject::open(std::path::Path::new("/")).expect_err("no file");
    assert!(matches!(directory, OpenError::Io { .. }), "{directory}");
}

#[test]
fn foreign_objects_are_refused() {
    let other = with_header(|header| header.version.major += 1);
    assert!(matches!(
        ObjectView::parse(&other),
        Err(OpenError::OtherVersion { .. })
    ));
    // What is for macOS is no ELF file.
    check(Part::Metadata, Fault::Contradiction, |header| header.os = 2);
    let os = with_header(|header| header.os = 9);
    let view = ObjectView::parse(&os).expect("it can be looked at");
    assert!(matches!(view.require_host(), Err(OpenError::OtherOs(_))));
    assert!(MappedObject::from_bytes(&os).is_err());
    let cpu = with_header(|header| header.cpu_features |= 1 << 50);
    assert!(matches!(
        MappedObject::from_bytes(&cpu),
        Err(OpenError::CpuFeatures(_))
    ));
    let mut arm = object();
    arm[18] = 183;
    arm[METADATA + 16] = 2;
    let view = ObjectView::parse(&arm).expect("it can be looked at");
    assert!(matches!(view.require_host(), Err(OpenError::OtherArch(_))));
    arm[18] = 22;
    assert!(matches!(
        ObjectView::parse(&arm),
        Err(OpenError::OtherArch(Foreign::ElfMachine(22)))
    ));
}

#[test]
fn lies_in_the_header_are_found() {
    check(Part::Metadata, Fault::BadMagic, |header| {
        header.magic[7] = 1
    });
    check(Part::MetadataSize, Fault::Contradiction, |header| {
        header.metadata_size += 1
    });
    check(Part::Metadata, Fault::BadSize, |header| {
        header.header_size = ObjectHeader::LEAST_SIZE as u32 - 8
    });
    check(Part::ImportCounts, Fault::BadCount, |header| {
        header.imported_tags = 1
    });
    check(Part::ExceptionFrames, Fault::BadCount, |header| {
        header.exception_sites = header.trap_offsets
    });
    check(Part::Text, Fault::Contradiction, |header| {
        header.text.size += 1
    });
    check(Part::Text, Fault::BadPermissions, |header| {
        header.text = header.image
    });
    check(Part::Image, Fault::Contradiction, |header| {
        header.image.address += 4096
    });
    check(Part::Image, Fault::BadPermissions, |header| {
        header.image = header.text
    });
    check(Part::Init, Fault::OutsideText, |header| {
        header.init = header.text.size as u32
    });
    check(Part::TrapStub, Fault::OutsideText, |header| {
        header.trap_stubs[3] = 4000
    });
    check(Part::ImportCounts, Fault::BadCount, |header| {
        header.imported_functions = 4
    });
    check(Part::ImportCounts, Fault::BadCount, |header| {
        header.imported_memories = 1
    });
    check(Part::TrapCodes, Fault::BadCount, |header| {
        header.trap_codes.len = 1
    });
    check(Part::Layout, Fault::BadSize, |header| {
        header.layout.size = 112
    });
    check(Part::Layout, Fault::BadSize, |header| {
        header.layout.size = 1 << 31
    });
    check(Part::Layout, Fault::BadSize, |header| {
        header.layout.mutable = 336
    });
    check(Part::Layout, Fault::BadSize, |header| {
        header.layout.mutable = 112
    });
    check(Part::Layout, Fault::OutOfBounds, |header| {
        header.layout.globals = 128
    });
    // What changes lies in the part that may change, and nothing else does.
    check(Part::Layout, Fault::OutOfBounds, |header| {
        header.layout.mutable = 192
    });
    check(Part::Layout, Fault::OutOfBounds, |header| {
        header.layout.mutable = 272
    });
    check(Part::Metadata, Fault::NotZero, |header| header.flags = 16);
    check(Part::Image, Fault::Missing, |header| header.flags = 4);
    check(Part::Levels, Fault::BadCount, |header| {
        header.levels = Span {
            offset: header.functions.offset,
            len: 16,
        }
    });
}

/// The object has none of these: their lists are empty.
#[test]
fn lists_of_exceptions_out_of_bounds_are_found() {
    let beyond = Span {
        offset: ObjectHeader::SIZE as u32,
        len: u32::MAX,
    };
    check(Part::Tags, Fault::OutOfBounds, |header| {
        header.tags = beyond
    });
    check(Part::ExceptionSites, Fault::OutOfBounds, |header| {
        header.exception_sites = beyond
    });
    check(Part::ExceptionFrames, Fault::OutOfBounds, |header| {
        header.exception_frames = beyond
    });
    check(Part::ExceptionHandlers, Fault::OutOfBounds, |header| {
        header.exception_handlers = beyond
    });
    check(Part::SubTypes, Fault::OutOfBounds, |header| {
        header.sub_types = beyond
    });
    check(Part::Fields, Fault::OutOfBounds, |header| {
        header.fields = beyond
    });
    check(Part::StackMapSites, Fault::OutOfBounds, |header| {
        header.stack_map_sites = beyond
    });
    check(Part::StackMaps, Fault::OutOfBounds, |header| {
        header.stack_maps = beyond
    });
    check(Part::StackMaps, Fault::OutOfBounds, |header| {
        header.stack_map_words = beyond
    });
    check(Part::Layout, Fault::OutOfBounds, |header| header.heap = 40);
    let one = Span {
        offset: ObjectHeader::SIZE as u32,
        len: 1,
    };
    check(Part::StackMaps, Fault::BadCount, |header| {
        header.stack_maps = one
    });
}

/// As version 1.1 made them.
#[test]
fn a_shorter_header_lacks_what_came_later() {
    let bytes = with_header(|header| {
        header.header_size = ObjectHeader::LEAST_SIZE as u32;
        header.imported_tags = 9;
        header.tags.len = 9;
    });
    let view = ObjectView::parse(&bytes).expect("it is whole");
    let header = view.metadata().header();
    assert_eq!((header.imported_tags, header.tags.len), (0, 0));
}

#[test]
fn lists_out_of_bounds_are_found() {
    type Field = fn(&mut ObjectHeader) -> &mut Span;
    let fields: [(Field, Part); 13] = [
        (|header| &mut header.types, Part::Types),
        (|header| &mut header.functions, Part::Functions),
        (|header| &mut header.func_refs, Part::FuncRefs),
        (|header| &mut header.tables, Part::Tables),
        (|header| &mut header.memories, Part::Memories),
        (|header| &mut header.globals, Part::Globals),
        (|header| &mut header.imports, Part::Imports),
        (|header| &mut header.exports, Part::Exports),
        (|header| &mut header.elements, Part::Elements),
        (|header| &mut header.data, Part::DataSegments),
        (|header| &mut header.image_runs, Part::ImageRuns),
        (|header| &mut header.trap_offsets, Part::TrapOffsets),
        (|header| &mut header.customs, Part::Customs),
    ];
    for (field, part) in fields {
        check(part, Fault::OutOfBounds, |header| {
            field(header).len = u32::MAX
        });
        check(part, Fault::OutOfBounds, |header| field(header).offset = 8);
        check(part, Fault::OutOfBounds, |header| {
            field(header).offset = u32::MAX
        });
        check(part, Fault::Misaligned, |header| field(header).offset -= 1);
    }
}

#[test]
fn shorter_and_longer_headers_are_read() {
    // The first version's header: what was added since is not there, whatever stands in its place.
    let short = with_header(|header| {
        header.version.minor = 1;
        header.header_size = ObjectHeader::LEAST_SIZE as u32;
        header.levels = Span {
            offset: 7,
            len: 1 << 30,
        };
    });
    let view = ObjectView::parse(&short).expect("it is whole");
    assert_eq!(view.metadata().header().levels, Span::default());
    assert_eq!(view.metadata().module_name(), Ok("sample"));
    let mapped = MappedObject::from_bytes(&short).expect("it can be mapped");
    assert_eq!(mapped.metadata().module_name(), Ok("sample"));
    // A longer one, as long as no list lies in it.
    let long = with_header(|header| header.header_size += 8);
    ObjectView::parse(&long).expect("what is not known is left alone");
    check(Part::Types, Fault::OutOfBounds, |header| {
        header.header_size += 64
    });
}

#[test]
fn every_cut_is_found() {
    let bytes = object();
    for len in 0..bytes.len() {
        let error = ObjectView::parse(&bytes[..len]).expect_err("it is cut");
        let told = matches!(error, OpenError::CutShort { .. })
            || len < 4 && matches!(error, OpenError::NotAnObject(_));
        assert!(told, "{len} bytes: {error}");
    }
}

#[test]
fn whole_objects_pass_the_full_check() {
    let bytes = object();
    let view = ObjectView::parse(&bytes).expect("it is whole");
    let report = view.verify().expect("it is sound");
    assert_eq!((report.trap_sites, report.address_map_entries), (2, 2));
    assert_eq!(report.regions, 9);
}

/// The full check of an object with this change of its header finds this, among others.
fn finds(part: Part, fault: Fault, change: impl FnOnce(&mut ObjectHeader)) {
    let bytes = with_header(change);
    let view = ObjectView::parse(&bytes).expect("opening does not see it");
    let findings = view.verify().expect_err("damage is found");
    assert!(
        findings
            .iter()
            .any(|found| (found.part, found.fault) == (part, fault)),
        "{findings:?}"
    );
}

#[test]
fn the_full_check_finds_what_opening_does_not() {
    finds(Part::Init, Fault::Overlaps, |header| header.init = 9);
    finds(Part::TrapStub, Fault::Overlaps, |header| {
        header.trap_stubs[1] = 0
    });
    finds(Part::Export, Fault::BadIndex, |header| {
        header.exports = Span {
            offset: header.exports.offset + 4,
            len: 2,
        };
    });
    finds(Part::FuncRefs, Fault::BadCount, |header| {
        header.functions.offset += 36;
        header.functions.len = 2;
    });
    finds(Part::FuncRef, Fault::BadIndex, |header| {
        header.func_refs.len = 0;
    });
    finds(Part::Function, Fault::OutOfBounds, |header| {
        header.layout.mutable = 240;
    });
    finds(Part::Region, Fault::Overlaps, |header| {
        header.layout.type_ids = 240
    });
    finds(Part::Global, Fault::OutOfBounds, |header| {
        header.layout.globals = 160
    });
    finds(Part::TrapSite, Fault::OutsideFunction, |header| {
        // The first defined function is taken for the import, and its code is nobody's.
        header.functions.offset += 36;
        header.functions.len = 2;
    });
    finds(Part::TrapSite, Fault::Unordered, |header| {
        header.trap_offsets.offset -= 4;
    });
}
