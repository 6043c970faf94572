//! The checks made when an object is opened: constant time, whatever its size.

use super::error::{Damage, Fault, Foreign, MissingFeatures, OpenError, Part};
use super::file::{Headers, Region};
use super::record::{Record, read};
use precast_abi::heap::HeapDef;
use precast_abi::instance::InstanceHeader;
use precast_abi::object::*;
use precast_abi::types::ValType;
use precast_abi::{NONE, VERSION};

/// Instance data beyond this is refused: the compiler's limits keep every module far below.
pub(crate) const MAX_INSTANCE_DATA: u32 = 1 << 30;

/// Where the bytes of a metadata section are from.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    /// A file with these headers.
    File(&'a Headers),
    /// The program itself: they lie at this address.
    Program { address: usize },
}

/// Reads the header of a metadata section and checks everything that can be checked without
/// looking at single records: identity, sizes, bounds of lists, segments, layout.
///
/// Whether the object is for this machine is another question, see [`require_host`].
pub(crate) fn check(bytes: &[u8], place: Place<'_>) -> Result<ObjectHeader, OpenError> {
    let header = read_header(bytes).ok_or(Damage::of(Part::MetadataSize, Fault::BadSize))?;
    if header.magic != MAGIC {
        return Err(Damage::of(Part::Metadata, Fault::BadMagic).into());
    }
    check_version(&header)?;
    if let Place::File(file) = place
        && (file.arch as u16 != header.arch || !is_system_of(file, header.os))
    {
        return Err(Damage::of(Part::Metadata, Fault::Contradiction).into());
    }
    if header.metadata_size as usize != bytes.len() {
        return Err(Damage::of(Part::MetadataSize, Fault::Contradiction).into());
    }
    check_header_size(&header)?;
    match place {
        Place::File(file) => check_segments(&header, file)?,
        Place::Program { address } => check_linked(&header, address)?,
    }
    check_lists(&header)?;
    check_counts(&header)?;
    check_layout(&header)?;
    check_entry_points(&header)?;
    const FLAGS: u32 = ObjectHeader::FUEL
        | ObjectHeader::LANDING_PADS
        | ObjectHeader::SHARES_IMAGE
        | ObjectHeader::NEVER_COLLECTS;
    if header.flags & !FLAGS != 0 {
        return Err(Damage::of(Part::Metadata, Fault::NotZero).into());
    }
    Ok(header)
}

/// The header at the start of `bytes`, whatever its size: what a shorter one lacks is zero.
pub(super) fn read_header(bytes: &[u8]) -> Option<ObjectHeader> {
    const SIZE_AT: usize = core::mem::offset_of!(ObjectHeader, header_size);
    bytes.get(..ObjectHeader::LEAST_SIZE)?;
    let size: u32 = read(&bytes[SIZE_AT..])?;
    let known = (size as usize).clamp(ObjectHeader::LEAST_SIZE, ObjectHeader::SIZE);
    let mut whole = [0; ObjectHeader::SIZE];
    whole[..known].copy_from_slice(bytes.get(..known)?);
    read(&whole)
}

/// Refuses an object that this machine cannot execute.
pub(crate) fn require_host(header: &ObjectHeader) -> Result<(), OpenError> {
    require_arch(header)?;
    if header.os != crate::sys::host().os as u16 {
        let os = [Os::Linux, Os::Macos]
            .into_iter()
            .find(|os| *os as u16 == header.os);
        return Err(OpenError::OtherOs(
            os.map_or(Foreign::Unknown(header.os), Foreign::Os),
        ));
    }
    require_features(header)
}

/// Refuses an object that this CPU cannot execute, whatever the system is that it is for.
#[cfg(feature = "other-systems")]
pub(crate) fn require_cpu(header: &ObjectHeader) -> Result<(), OpenError> {
    require_arch(header)?;
    require_features(header)
}

fn require_arch(header: &ObjectHeader) -> Result<(), OpenError> {
    if header.arch == crate::sys::host().arch as u16 {
        return Ok(());
    }
    let arch = [Arch::X86_64, Arch::Aarch64, Arch::Riscv64]
        .into_iter()
        .find(|arch| *arch as u16 == header.arch);
    Err(OpenError::OtherArch(
        arch.map_or(Foreign::Unknown(header.arch), Foreign::Arch),
    ))
}

fn require_features(header: &ObjectHeader) -> Result<(), OpenError> {
    let missing = header.cpu_features & !crate::sys::host().cpu_features;
    if missing != 0 {
        return Err(OpenError::CpuFeatures(MissingFeatures(missing)));
    }
    Ok(())
}

fn check_version(header: &ObjectHeader) -> Result<(), OpenError> {
    let found = header.version;
    if found.major == VERSION.major && found.minor <= VERSION.minor {
        return Ok(());
    }
    Err(OpenError::OtherVersion {
        found: (found.major, found.minor),
    })
}

fn check_header_size(header: &ObjectHeader) -> Result<(), Damage> {
    let fits = header.header_size as usize >= ObjectHeader::LEAST_SIZE
        && header.header_size <= header.metadata_size
        && header.header_size.is_multiple_of(8);
    require(fits, Damage::of(Part::Metadata, Fault::BadSize))
}

/// Whether a format is that of a system; of systems that are unknown, either may be.
fn is_system_of(file: &Headers, os: u16) -> bool {
    let known = [Os::Linux, Os::Macos]
        .into_iter()
        .find(|known| *known as u16 == os);
    known.is_none_or(|known| known == file.format.os())
}

/// Text and image are regions of the file, with the permissions they need and no more.
fn check_segments(header: &ObjectHeader, file: &Headers) -> Result<(), Damage> {
    let find = |segment: &Segment, part| -> Result<&Region, Damage> {
        file.regions()
            .iter()
            .find(|region| {
                (region.offset, region.address, region.size)
                    == (segment.file_offset, segment.address, segment.size)
            })
            .ok_or(Damage::of(part, Fault::Contradiction))
    };
    let page = crate::sys::SMALLEST_PAGE as u64;
    if header.text.size != 0 {
        let load = find(&header.text, Part::Text)?;
        require(
            load.executable && !load.writable,
            Damage::of(Part::Text, Fault::BadPermissions),
        )?;
        let aligned = load.offset.is_multiple_of(page) && load.address.is_multiple_of(page);
        require(aligned, Damage::of(Part::Text, Fault::Misaligned))?;
    }
    check_text_size(header)?;
    if header.image.size != 0 {
        let load = find(&header.image, Part::Image)?;
        require(
            !load.executable,
            Damage::of(Part::Image, Fault::BadPermissions),
        )?;
        let aligned = load.offset.is_multiple_of(page) && load.address.is_multiple_of(page);
        require(aligned, Damage::of(Part::Image, Fault::Misaligned))?;
    }
    let (metadata, load) = (&file.metadata, &file.metadata_load);
    let aligned = load.offset.is_multiple_of(page)
        && load.address.is_multiple_of(page)
        && metadata.offset.is_multiple_of(ObjectHeader::ALIGN as u64);
    require(aligned, Damage::of(Part::Metadata, Fault::Misaligned))
}

/// Text offsets are 32 bits wide, and calls reach 2 GiB.
fn check_text_size(header: &ObjectHeader) -> Result<(), Damage> {
    let fits = header.text.size <= i32::MAX as u64;
    require(fits, Damage::of(Part::Text, Fault::BadSize))
}

/// Text and image are where a linker can have put them: apart from the metadata, no part of a
/// file, and not around the end of the address space.
fn check_linked(header: &ObjectHeader, address: usize) -> Result<(), Damage> {
    check_text_size(header)?;
    let alone = header.levels.len == 0 && header.flags & ObjectHeader::SHARES_IMAGE == 0;
    require(alone, Damage::of(Part::Levels, Fault::Contradiction))?;
    let metadata = address as u64..address as u64 + u64::from(header.metadata_size);
    for (segment, part) in [(header.text, Part::Text), (header.image, Part::Image)] {
        require(
            segment.file_offset == 0,
            Damage::of(part, Fault::Contradiction),
        )?;
        if segment.size == 0 {
            continue;
        }
        let start = linked_address(address, &segment);
        let end = start.checked_add(segment.size);
        let end = end.ok_or(Damage::of(part, Fault::OutOfBounds))?;
        let apart = end <= metadata.start || metadata.end <= start;
        require(apart, Damage::of(part, Fault::Overlaps))?;
    }
    Ok(())
}

/// Where a linker put a segment of the object whose metadata is at `address`.
pub(super) fn linked_address(address: usize, segment: &Segment) -> u64 {
    (address as u64).wrapping_add(segment.address)
}

/// Every list lies behind the header, within the section, aligned for its records.
fn check_lists(header: &ObjectHeader) -> Result<(), Damage> {
    let list =
        |span: Span, size: usize, align: usize, part| check_list(header, span, size, align, part);
    fn of<T: Record>() -> (usize, usize) {
        (T::SIZE, T::ALIGN)
    }
    let lists = [
        (header.types, of::<TypeRecord>(), Part::Types),
        (header.val_types, of::<ValType>(), Part::ValTypes),
        (header.functions, of::<FunctionRecord>(), Part::Functions),
        (header.func_refs, of::<u32>(), Part::FuncRefs),
        (header.tables, of::<TableRecord>(), Part::Tables),
        (header.memories, of::<MemoryRecord>(), Part::Memories),
        (header.globals, of::<GlobalRecord>(), Part::Globals),
        (header.imports, of::<ImportRecord>(), Part::Imports),
        (header.exports, of::<ExportRecord>(), Part::Exports),
        (header.elements, of::<ElementRecord>(), Part::Elements),
        (header.data, of::<DataRecord>(), Part::DataSegments),
        (header.image_runs, of::<ImageRun>(), Part::ImageRuns),
        (header.trap_offsets, of::<u32>(), Part::TrapOffsets),
        (header.trap_codes, of::<u8>(), Part::TrapCodes),
        (header.customs, of::<CustomRecord>(), Part::Customs),
        (header.globals_image, of::<u8>(), Part::GlobalsImage),
        (header.strings, of::<u8>(), Part::Strings),
        (header.module_name, of::<u8>(), Part::ModuleName),
        (header.producer, of::<u8>(), Part::Producer),
        (
            header.code_table_records,
            of::<CodeTableRecord>(),
            Part::CodeTableRecords,
        ),
        (header.levels, of::<LevelRecord>(), Part::Levels),
        (header.tags, of::<TagRecord>(), Part::Tags),
        (header.exception_sites, of::<u32>(), Part::ExceptionSites),
        (
            header.exception_frames,
            of::<ExceptionFrame>(),
            Part::ExceptionFrames,
        ),
        (
            header.exception_handlers,
            of::<ExceptionHandler>(),
            Part::ExceptionHandlers,
        ),
        (header.sub_types, of::<SubTypeRecord>(), Part::SubTypes),
        (header.fields, of::<FieldRecord>(), Part::Fields),
        (header.stack_map_sites, of::<u32>(), Part::StackMapSites),
        (header.stack_maps, of::<u32>(), Part::StackMaps),
        (header.stack_map_words, of::<u32>(), Part::StackMaps),
        // The code tables are arrays of 32-bit offsets, given in bytes.
        (header.code_tables, (1, 4), Part::CodeTables),
    ];
    lists
        .into_iter()
        .try_for_each(|(span, (size, align), part)| list(span, size, align, part))
}

fn check_list(
    header: &ObjectHeader,
    span: Span,
    size: usize,
    align: usize,
    part: Part,
) -> Result<(), Damage> {
    if span.len == 0 {
        return Ok(());
    }
    let end = u64::from(span.offset) + u64::from(span.len) * size as u64;
    let inside = span.offset >= header.header_size && end <= u64::from(header.metadata_size);
    require(inside, Damage::of(part, Fault::OutOfBounds))?;
    require(
        (span.offset as usize).is_multiple_of(align),
        Damage::of(part, Fault::Misaligned),
    )
}

fn check_counts(header: &ObjectHeader) -> Result<(), Damage> {
    let spaces = [
        (header.imported_functions, header.functions),
        (header.imported_tables, header.tables),
        (header.imported_memories, header.memories),
        (header.imported_globals, header.globals),
        (header.imported_tags, header.tags),
    ];
    let fits = spaces
        .iter()
        .all(|(imported, space)| *imported <= space.len);
    let sum: u64 = spaces
        .iter()
        .map(|(imported, _)| u64::from(*imported))
        .sum();
    let agrees = fits && sum == u64::from(header.imports.len);
    require(agrees, Damage::of(Part::ImportCounts, Fault::BadCount))?;
    let few = header.levels.len <= LevelRecord::MOST;
    require(few, Damage::of(Part::Levels, Fault::BadCount))?;
    let paired = header.trap_offsets.len == header.trap_codes.len;
    require(paired, Damage::of(Part::TrapCodes, Fault::BadCount))?;
    let paired = header.exception_sites.len == header.exception_frames.len;
    require(paired, Damage::of(Part::ExceptionFrames, Fault::BadCount))?;
    let paired = header.stack_map_sites.len == header.stack_maps.len;
    require(paired, Damage::of(Part::StackMaps, Fault::BadCount))?;
    let paired = header.sub_types.len == 0 || header.sub_types.len == header.types.len;
    require(paired, Damage::of(Part::SubTypes, Fault::BadCount))
}

fn check_layout(header: &ObjectHeader) -> Result<(), Damage> {
    let layout = &header.layout;
    let sound = (InstanceHeader::SIZE..=MAX_INSTANCE_DATA).contains(&layout.size)
        && layout.size.is_multiple_of(16)
        && (InstanceHeader::SIZE..=layout.size).contains(&layout.mutable)
        && layout.mutable.is_multiple_of(16);
    require(sound, Damage::of(Part::Layout, Fault::BadSize))?;
    let regions = [
        (layout.globals, u64::from(header.globals_image.len), 16),
        (layout.data_dropped, u64::from(header.data.len), 1),
        (layout.elem_dropped, u64::from(header.elements.len), 1),
        (header.counters, u64::from(header.counter_count) * 8, 8),
    ];
    for (distance, len, align) in regions {
        let fits = len == 0 || is_mutable(layout, distance, len, align);
        require(fits, Damage::of(Part::Layout, Fault::OutOfBounds))?;
    }
    let placed = header.counter_count != 0 || header.counters == NONE;
    require(placed, Damage::of(Part::Layout, Fault::OutOfBounds))?;
    let def = size_of::<HeapDef>() as u64;
    let fits = header.heap == 0 || is_constant(layout, header.heap, def, 8);
    require(fits, Damage::of(Part::Layout, Fault::OutOfBounds))?;
    let ids = u64::from(header.types.len) * 4;
    let fits = ids == 0 || is_constant(layout, layout.type_ids, ids, 4);
    require(fits, Damage::of(Part::Layout, Fault::OutOfBounds))
}

/// Whether `len` bytes at `distance` lie in the part of the instance data that may change, and
/// below the header.
pub(crate) fn is_mutable(layout: &InstanceLayout, distance: u32, len: u64, align: u32) -> bool {
    is_region(layout, distance, len, align) && distance <= layout.mutable
}

/// Whether `len` bytes at `distance` lie in the part of the instance data that stays as it is.
pub(crate) fn is_constant(layout: &InstanceLayout, distance: u32, len: u64, align: u32) -> bool {
    is_region(layout, distance, len, align)
        && u64::from(distance) - len >= u64::from(layout.mutable)
}

/// Whether `len` bytes at `distance` lie within the instance data and below its header.
fn is_region(layout: &InstanceLayout, distance: u32, len: u64, align: u32) -> bool {
    distance <= layout.size
        && len <= u64::from(distance)
        && u64::from(distance) - len >= u64::from(InstanceHeader::SIZE)
        && distance.is_multiple_of(align)
}

fn check_entry_points(header: &ObjectHeader) -> Result<(), Damage> {
    require(
        is_entry(header, header.init),
        Damage::of(Part::Init, Fault::OutsideText),
    )?;
    for (code, stub) in (0..).zip(trap_stubs(header)) {
        require(
            is_entry(header, stub),
            Damage::at(Part::TrapStub, code, Fault::OutsideText),
        )?;
    }
    Ok(())
}

/// The stubs of all trap codes, in their order.
pub(super) fn trap_stubs(header: &ObjectHeader) -> impl Iterator<Item = u32> {
    header.trap_stubs.into_iter().chain(header.more_trap_stubs)
}

/// Whether `offset` is a text offset, or says that there is none.
pub(crate) fn is_entry(header: &ObjectHeader, offset: u32) -> bool {
    offset == NONE || u64::from(offset) < header.text.size
}

/// Turns a check into an error.
pub(crate) fn require(holds: bool, damage: Damage) -> Result<(), Damage> {
    if holds { Ok(()) } else { Err(damage) }
}
