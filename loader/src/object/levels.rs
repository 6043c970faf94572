//! Objects for several levels of a CPU in one file.
//!
//! ```text
//!  | object for every CPU: … list of levels … | object for better ones | object for the best |
//!  ▲                          │               ▲                        ▲
//!  what tools see             └───────────────┴─ file offsets ─────────┘
//! ```
//!
//! Each is an object of its own, but for the image of the memories, which all share with the first.
//! The loader looks at the first, and maps the best that the machine can execute.

use super::error::{Damage, Fault, OpenError, Part};
use super::header::require;
use super::metadata::Metadata;
use precast_abi::object::{LevelRecord, ObjectHeader};

/// What an object that is a level must agree with.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    /// The header of the first object of the file.
    pub(super) header: ObjectHeader,
    /// What that one says of the level, and which it is.
    pub(super) level: LevelRecord,
    pub(super) index: u32,
}

/// The best level, and its number, for a CPU with these features; `None` where that is the object
/// itself. `len` is that of the file, or of the part of it that counts.
pub(super) fn best(
    metadata: Metadata<'_>,
    len: u64,
    features: u64,
) -> Result<Option<(u32, LevelRecord)>, OpenError> {
    let mut best = None;
    for index in 0..metadata.header().levels.len {
        let level = metadata.level(index)?;
        // Files are written from the start: where the best is missing, all of it is to blame.
        let needed = level.file_offset + level.size;
        if needed > len {
            return Err(OpenError::CutShort { needed, found: len });
        }
        if level.cpu_features & !features == 0 {
            best = Some((index, level));
        }
    }
    Ok(best)
}

/// The header of an object with what it shares, if it is a level of `first` or stands alone as it says.
pub(super) fn accept(header: ObjectHeader, first: Option<&First>) -> Result<ObjectHeader, Damage> {
    let shares = header.flags & ObjectHeader::SHARES_IMAGE != 0;
    let Some(First {
        header: leading,
        level,
        index,
    }) = first
    else {
        require(!shares, Damage::of(Part::Image, Fault::Missing))?;
        return Ok(header);
    };
    let agrees = (header.arch, header.os) == (leading.arch, leading.os)
        && header.source_hash == leading.source_hash
        && header.cpu_features == level.cpu_features
        && header.levels.len == 0
        && (!shares || header.image.size == 0);
    require(
        agrees,
        Damage::at(Part::Level, *index, Fault::Contradiction),
    )?;
    Ok(match shares {
        true => ObjectHeader {
            image: leading.image,
            ..header
        },
        false => header,
    })
}
