//! Places in machine code that depend on where other code or tables are, and how each kind of CPU
//! writes a distance.

use precast_abi::object::Arch;

use crate::error::CompileError;
use cranelift_codegen::binemit::Reloc as Kind;
use cranelift_codegen::ir::UserExternalName;

/// A field of the code that holds the distance from itself to a target, plus an addend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reloc {
    /// Code offset of the field.
    pub(crate) offset: u32,
    /// How the distance is written.
    pub(crate) field: Field,
    /// To what.
    pub(crate) target: Target,
    /// Added to the distance.
    pub(crate) addend: i32,
}

/// What a relocation refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A symbol in one of the namespaces of [`crate::translate::Namespace`].
    Symbol(UserExternalName),
    /// A place in the function itself.
    Local(u32),
}

/// How an instruction holds a distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// Four bytes (x86-64).
    Bytes4,
    /// The lowest 26 bits of a branch or call, in words (AArch64).
    Branch26,
    /// Pages of 4 KiB from that of the instruction (`adrp`; AArch64).
    Page21,
    /// Where in its page the target is (`add`; AArch64).
    PageOffset12,
    /// An `auipc` and the `jalr` behind it (RISC-V).
    CallPair,
    /// The upper part of the distance (`auipc`; RISC-V).
    High20,
    /// The lower part of the distance from an `auipc` so many bytes before (`addi`; RISC-V).
    Low12 {
        /// Bytes back to the `auipc`.
        back: u32,
    },
}

impl Field {
    /// The field that Cranelift means. `None` for what our code never has. [`Kind::RiscvPCRelLo12I`]
    /// says nothing of its own target: see [`Field::Low12`].
    pub(crate) fn new(kind: Kind) -> Option<Field> {
        Some(match kind {
            Kind::X86PCRel4 | Kind::X86CallPCRel4 => Field::Bytes4,
            Kind::Arm64Call => Field::Branch26,
            Kind::Aarch64AdrPrelPgHi21 => Field::Page21,
            Kind::Aarch64AddAbsLo12Nc => Field::PageOffset12,
            Kind::RiscvCallPlt => Field::CallPair,
            Kind::RiscvPCRelHi20 => Field::High20,
            _ => return None,
        })
    }

    /// Bytes from the start of the field of a call to what follows the call.
    pub(crate) fn call_len(self) -> u32 {
        match self {
            Field::CallPair => 8,
            _ => 4,
        }
    }

    /// Writes the distance from the field, whose address is `at`, to `target`. `bytes` are those from
    /// the field on.
    pub(crate) fn write(self, bytes: &mut [u8], at: u64, target: u64) -> Result<(), CompileError> {
        let distance = target.wrapping_sub(at) as i64;
        match self {
            Field::Bytes4 => {
                let distance = i32::try_from(distance).map_err(|_| too_far(self))?;
                bytes[..4].copy_from_slice(&distance.to_le_bytes());
            }
            Field::Branch26 => {
                let words = signed(distance >> 2, 26).ok_or_else(|| too_far(self))?;
                change(bytes, 0x03ff_ffff, words);
            }
            Field::Page21 => {
                let pages = (target >> 12).wrapping_sub(at >> 12) as i64;
                let pages = signed(pages, 21).ok_or_else(|| too_far(self))?;
                change(
                    bytes,
                    0x60ff_ffe0,
                    (pages & 3) << 29 | (pages >> 2 & 0x7_ffff) << 5,
                );
            }
            Field::PageOffset12 => change(bytes, 0x003f_fc00, (target as u32 & 0xfff) << 10),
            Field::CallPair => {
                let (high, low) = parts(distance).ok_or_else(|| too_far(self))?;
                change(bytes, 0xffff_f000, high);
                change(&mut bytes[4..], 0xfff0_0000, low << 20);
            }
            Field::High20 => {
                let (high, _) = parts(distance).ok_or_else(|| too_far(self))?;
                change(bytes, 0xffff_f000, high);
            }
            Field::Low12 { back } => {
                let distance = distance.wrapping_add(i64::from(back));
                let (_, low) = parts(distance).ok_or_else(|| too_far(self))?;
                change(bytes, 0xfff0_0000, low << 20);
            }
        }
        Ok(())
    }
}

/// `value` as a number of so many bits in two's complement.
fn signed(value: i64, bits: u32) -> Option<u32> {
    let bound = 1i64 << (bits - 1);
    let fits = (-bound..bound).contains(&value);
    fits.then_some(value as u32 & ((1 << bits) - 1))
}

/// What `auipc` adds, and the 12 bits that are added with their sign to that.
fn parts(distance: i64) -> Option<(u32, u32)> {
    let high = distance.checked_add(0x800)? & !0xfff;
    let high = i32::try_from(high).ok()?;
    Some((
        high as u32,
        (distance as u32).wrapping_sub(high as u32) & 0xfff,
    ))
}

/// Gives the bits of an instruction in `mask` the values of `bits`.
fn change(bytes: &mut [u8], mask: u32, bits: u32) {
    let field = &mut bytes[..4];
    let old = u32::from_le_bytes([field[0], field[1], field[2], field[3]]);
    field.copy_from_slice(&(old & !mask | bits & mask).to_le_bytes());
}

fn too_far(field: Field) -> CompileError {
    let what = match field {
        Field::Branch26 => {
            "calls on AArch64 reach no further than 128 MiB: the machine code is larger"
        }
        _ => "two parts of the object are more than 2 GiB apart",
    };
    CompileError::TooLarge {
        what: what.to_owned(),
    }
}

/// What fills the gaps between functions: an instruction that traps, where nothing should get to.
pub(crate) const fn filler(arch: Arch) -> u8 {
    match arch {
        // A breakpoint.
        Arch::X86_64 => 0xcc,
        // Undefined for good.
        Arch::Aarch64 | Arch::Riscv64 => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words that a field becomes, from `words`, at an address and for a target.
    fn written<const N: usize>(field: Field, words: [u32; N], at: u64, target: u64) -> [u32; N] {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        field.write(&mut bytes, at, target).expect("it is near");
        let mut words = bytes
            .chunks(4)
            .map(|word| u32::from_le_bytes(word.try_into().unwrap()));
        std::array::from_fn(|_| words.next().unwrap())
    }

    fn refuses(field: Field, at: u64, target: u64) -> bool {
        let error = field.write(&mut [0; 8], at, target);
        matches!(error, Err(CompileError::TooLarge { .. }))
    }

    // The expected words are those that an assembler makes.

    #[test]
    fn branches_of_aarch64_count_words() {
        let bl = 0x9400_0000;
        assert_eq!(written(Field::Branch26, [bl], 0x1000, 0x1008), [bl | 2]);
        assert_eq!(
            written(Field::Branch26, [bl], 0x1008, 0x1000),
            [0x97ff_fffe]
        );
        let far = 128 << 20;
        assert_eq!(
            written(Field::Branch26, [bl], 0, far - 4),
            [bl | 0x1ff_ffff]
        );
        assert!(refuses(Field::Branch26, 0, far) && refuses(Field::Branch26, far + 4, 0));
        assert!(!refuses(Field::Branch26, far, 0));
    }

    #[test]
    fn addresses_of_aarch64_are_a_page_and_a_place_in_it() {
        let (adrp, add) = (0x9000_0000, 0x9100_0000);
        // adrp x0, #0x5000 pages: 1 page: immlo = 1.
        assert_eq!(
            written(Field::Page21, [adrp], 0x1ffc, 0x2000),
            [0xb000_0000]
        );
        assert_eq!(
            written(Field::Page21, [adrp], 0x1ffc, 0x5008),
            [0x9000_0020]
        );
        assert_eq!(
            written(Field::Page21, [adrp], 0x2000, 0x1fff),
            [0xf0ff_ffe0]
        );
        assert_eq!(
            written(Field::PageOffset12, [add], 7, 0x5abc),
            [0x912a_f000]
        );
        assert!(refuses(Field::Page21, 0, 4 << 30) && !refuses(Field::Page21, 4 << 30, 0));
    }

    #[test]
    fn distances_of_riscv_are_two_parts_of_which_the_lower_has_a_sign() {
        let (auipc, jalr, addi) = (0x0000_0097, 0x0000_80e7, 0x0005_0513);
        let call = |at, target| written(Field::CallPair, [auipc, jalr], at, target);
        assert_eq!(call(0x1000, 0x1004), [auipc, jalr | 4 << 20]);
        assert_eq!(call(0x1000, 0x17ff), [auipc, jalr | 0x7ff << 20]);
        assert_eq!(call(0x1000, 0x1800), [auipc | 0x1000, jalr | 0x800 << 20]);
        assert_eq!(call(0x1000, 0xffe), [auipc, jalr | 0xffe << 20]);
        assert_eq!(
            written(Field::High20, [auipc], 0, 0x12345),
            [auipc | 0x12000]
        );
        let low = written(Field::Low12 { back: 4 }, [addi], 4, 0x12345);
        assert_eq!(low, [addi | 0x345 << 20]);
        let low = written(Field::Low12 { back: 8 }, [addi], 8, 0x1f00);
        assert_eq!(low, [addi | 0xf00 << 20]);
        assert!(refuses(Field::CallPair, 0, 2 << 30) && !refuses(Field::CallPair, 2 << 30, 0));
        assert!(refuses(Field::High20, 0, (2 << 30) - 0x800));
    }

    #[test]
    fn distances_of_x86_64_are_numbers() {
        assert_eq!(written(Field::Bytes4, [7], 0x1000, 0xffe), [(-2i32) as u32]);
        assert!(refuses(Field::Bytes4, 0, 2 << 30) && !refuses(Field::Bytes4, 2 << 30, 0));
    }
}
