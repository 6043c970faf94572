//! The initial image of memories: active data segments, put in place when compiling.
//!
//! The image is a sequence of runs of pages; pages of zeros are left out. Later segments
//! overwrite earlier ones, as the specification has it.

use crate::module::{DataMode, Init, ModuleInfo};
use cranelift_codegen::entity::EntityRef;
use precast_abi::object::ImageRun;
use std::collections::BTreeMap;

/// Initial contents of memories.
#[derive(Debug, Default)]
pub(crate) struct Image {
    /// Where the bytes go, ordered by memory and offset.
    pub(crate) runs: Vec<ImageRun>,
    /// The bytes of all runs; each starts at a multiple of the page size.
    pub(crate) bytes: Vec<u8>,
}

/// Pages with contents, by memory and number.
type Pages = BTreeMap<(u32, u64), Vec<u8>>;

/// Puts every folded data segment of the module in its place. `page_size` is the target's
/// largest page size.
pub(crate) fn static_image(module: &ModuleInfo<'_>, page_size: u64) -> Image {
    let mut pages = Pages::new();
    for segment in module.data.values().filter(|segment| segment.folded) {
        let DataMode::Active {
            memory,
            offset: Init::Value(offset),
        } = &segment.mode
        else {
            continue;
        };
        let Some(offset) = offset.index() else {
            continue;
        };
        write(
            &mut pages,
            page_size,
            (memory.as_u32(), offset),
            segment.bytes,
        );
    }
    pages.retain(|_, bytes| bytes.iter().any(|byte| *byte != 0));
    let mut image = Image::default();
    for ((memory, page), bytes) in pages {
        image.append(module, page_size, (memory, page), &bytes);
    }
    image
}

/// Writes `bytes` to a memory at an offset.
fn write(pages: &mut Pages, page_size: u64, (memory, mut offset): (u32, u64), bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let start = (offset % page_size) as usize;
        let (now, later) = rest.split_at(rest.len().min(page_size as usize - start));
        let page = pages
            .entry((memory, offset / page_size))
            .or_insert_with(|| vec![0; page_size as usize]);
        page[start..start + now.len()].copy_from_slice(now);
        offset += now.len() as u64;
        rest = later;
    }
}

impl Image {
    /// Appends a page: to the last run where it follows that one.
    fn append(
        &mut self,
        module: &ModuleInfo<'_>,
        page_size: u64,
        (memory, page): (u32, u64),
        bytes: &[u8],
    ) {
        let memory_offset = page * page_size;
        let memory_len = module.memories[EntityRef::new(memory as usize)].min_bytes();
        let len = page_size.min(memory_len.unwrap_or(u64::MAX) - memory_offset);
        match self.runs.last_mut() {
            Some(run) if run.memory == memory && run.memory_offset + run.len == memory_offset => {
                run.len += len;
            }
            _ => self.runs.push(ImageRun {
                memory_offset,
                image_offset: self.bytes.len() as u64,
                len,
                memory,
                reserved: 0,
            }),
        }
        self.bytes.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 4096;

    fn image(wat: &str) -> Image {
        let wasm = wat::parse_str(wat).unwrap_or_else(|error| panic!("{error}"));
        let module = ModuleInfo::read(&wasm).unwrap_or_else(|error| panic!("{error}"));
        static_image(&module, PAGE)
    }

    fn runs(image: &Image) -> Vec<(u32, u64, u64)> {
        let run = |run: &ImageRun| (run.memory, run.memory_offset, run.len);
        image.runs.iter().map(run).collect()
    }

    #[test]
    fn later_segments_overwrite_earlier_ones() {
        let image = image(
            r#"(module (memory 1) (data (i32.const 4094) "abcd") (data (i32.const 4095) "XY"))"#,
        );
        assert_eq!(runs(&image), [(0, 0, 2 * PAGE)]);
        assert_eq!(&image.bytes[4094..4098], b"aXYd");
        assert_eq!(image.bytes.len() as u64, 2 * PAGE);
    }

    #[test]
    fn pages_of_zeros_are_left_out() {
        let zeros = "\\00".repeat(3 * PAGE as usize);
        let image = image(&format!(
            r#"(module (memory 1) (memory 1)
                (data (i32.const 0) "a{zeros}b") (data (memory 1) (i32.const 65535) "c"))"#
        ));
        assert_eq!(
            runs(&image),
            [(0, 0, PAGE), (0, 3 * PAGE, PAGE), (1, 15 * PAGE, PAGE)]
        );
        let offsets: Vec<_> = image.runs.iter().map(|run| run.image_offset).collect();
        assert_eq!(offsets, [0, PAGE, 2 * PAGE]);
    }

    #[test]
    fn a_run_ends_with_its_memory() {
        let image = image(r#"(module (memory 5000 (pagesize 1)) (data (i32.const 4998) "ab"))"#);
        assert_eq!(runs(&image), [(0, PAGE, 5000 - PAGE)]);
        assert_eq!(image.bytes.len() as u64, PAGE);
    }

    #[test]
    fn what_may_trap_ends_folding() {
        // The second segment traps; the third one must not be written.
        let image = image(
            r#"(module (memory 1)
                (data (i32.const 0) "a") (data (i32.const 65536) "b") (data (i32.const 8192) "c"))"#,
        );
        assert_eq!(runs(&image), [(0, 0, PAGE)]);
    }

    #[test]
    fn elements_come_before_data() {
        let wat = |offset: &str| {
            format!(
                r#"(module (import "" "" (table 1 funcref)) (func $f) (memory 1)
                    (elem (i32.const {offset}) $f) (data (i32.const 0) "a"))"#
            )
        };
        assert_eq!(runs(&image(&wat("0"))), [(0, 0, PAGE)]);
        assert_eq!(runs(&image(&wat("1"))), []);
    }

    #[test]
    fn imported_memories_have_no_image() {
        let image = image(r#"(module (import "" "" (memory 1)) (data (i32.const 0) "a"))"#);
        assert_eq!(runs(&image), []);
    }

    #[test]
    fn scattered_bytes_do_not_blow_up_the_image() {
        let segments: String = (0..20_000)
            .map(|n| format!("(data (i32.const {}) \"x\")", n * 65536))
            .collect();
        let image = image(&format!("(module (memory 65536) {segments})"));
        assert!(image.bytes.len() < 100 << 20);
    }
}
