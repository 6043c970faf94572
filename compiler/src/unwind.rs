//! How to unwind the text: `.eh_frame` and `.eh_frame_hdr`, as the Linux Standard Base and
//! DWARF 5 (section 6.4) define them.
//!
//! The functions of a run share one frame description, which says for one function after the
//! other what its prologue does; only the first instruction of a run needs to be found by
//! search. That is a third of the size of one description per function.

use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::isa::unwind::UnwindInst;
use precast_abi::object::Arch;

/// The call-frame instructions of one function, from the state at its first instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FrameCode {
    bytes: Box<[u8]>,
    /// Code offset that the instructions have advanced to at their end.
    end: u32,
}

// DWARF call-frame instructions.
const DW_CFA_NOP: u8 = 0x00;
const DW_CFA_ADVANCE_LOC: u8 = 0x40;
const DW_CFA_ADVANCE_LOC1: u8 = 0x02;
const DW_CFA_ADVANCE_LOC2: u8 = 0x03;
const DW_CFA_ADVANCE_LOC4: u8 = 0x04;
const DW_CFA_REMEMBER_STATE: u8 = 0x0a;
const DW_CFA_RESTORE_STATE: u8 = 0x0b;
const DW_CFA_DEF_CFA: u8 = 0x0c;
const DW_CFA_DEF_CFA_REGISTER: u8 = 0x0d;
const DW_CFA_DEF_CFA_OFFSET: u8 = 0x0e;
const DW_CFA_OFFSET: u8 = 0x80;
const DW_CFA_OFFSET_EXTENDED: u8 = 0x05;

// Pointer encodings: relative to the field, or to the start of `.eh_frame_hdr`.
const DW_EH_PE_PCREL_SDATA4: u8 = 0x1b;
const DW_EH_PE_DATAREL_SDATA4: u8 = 0x3b;
const DW_EH_PE_UDATA4: u8 = 0x03;

/// What a frame looks like on entry to a function of a CPU, in DWARF register numbers.
struct Convention {
    stack_pointer: u8,
    frame_pointer: u8,
    return_address: u8,
    /// Offset of the CFA from the stack pointer on entry.
    entry_offset: u8,
    /// Whether the return address lies just below the CFA on entry.
    return_address_on_stack: bool,
}

const X86_64: Convention = Convention {
    stack_pointer: 7,
    frame_pointer: 6,
    return_address: 16,
    entry_offset: 8,
    return_address_on_stack: true,
};

const AARCH64: Convention = Convention {
    stack_pointer: 31,
    frame_pointer: 29,
    return_address: 30,
    entry_offset: 0,
    return_address_on_stack: false,
};

const RISCV64: Convention = Convention {
    stack_pointer: 2,
    frame_pointer: 8,
    return_address: 1,
    entry_offset: 0,
    return_address_on_stack: false,
};

impl Convention {
    const fn of(arch: Arch) -> &'static Convention {
        match arch {
            Arch::X86_64 => &X86_64,
            Arch::Aarch64 => &AARCH64,
            Arch::Riscv64 => &RISCV64,
        }
    }
}

/// Bytes per unit of a saved register's offset; stacks grow down.
const DATA_ALIGNMENT: i32 = -8;

impl FrameCode {
    /// The instructions, and where they have advanced to at their end.
    pub(crate) fn parts(&self) -> (&[u8], u32) {
        (&self.bytes, self.end)
    }

    /// Of what [`FrameCode::parts`] gave.
    pub(crate) fn from_parts(bytes: &[u8], end: u32) -> FrameCode {
        let bytes = bytes.into();
        FrameCode { bytes, end }
    }

    /// Encodes what Cranelift says about a function. `None` where it says what we cannot.
    pub(crate) fn encode(
        arch: Arch,
        isa: &dyn TargetIsa,
        insts: &[(u32, UnwindInst)],
    ) -> Option<FrameCode> {
        let convention = Convention::of(arch);
        let mut encoder = FrameEncoder::default();
        let mut clobbers = 0;
        for (offset, inst) in insts {
            match *inst {
                UnwindInst::PushFrameRegs {
                    offset_upward_to_caller_sp: up,
                } => {
                    encoder.advance(*offset);
                    encoder.out.push(DW_CFA_DEF_CFA_OFFSET);
                    uleb(u64::from(up), &mut encoder.out);
                    encoder.saved(u16::from(convention.frame_pointer), -(up as i32));
                    if !convention.return_address_on_stack {
                        // Between the caller's frame and its frame pointer.
                        let place = -(up as i32) + 8;
                        encoder.saved(u16::from(convention.return_address), place);
                    }
                }
                UnwindInst::DefineNewFrame {
                    offset_upward_to_caller_sp: up,
                    offset_downward_to_clobbers: down,
                } => {
                    encoder.advance(*offset);
                    let register = convention.frame_pointer;
                    encoder.out.extend([DW_CFA_DEF_CFA_REGISTER, register]);
                    clobbers = (up + down) as i32;
                }
                // The CFA hangs on the frame pointer by then.
                UnwindInst::StackAlloc { .. } => {}
                UnwindInst::SaveReg {
                    clobber_offset,
                    reg,
                } => {
                    encoder.advance(*offset);
                    let register = isa.map_regalloc_reg_to_dwarf(reg.into()).ok()?;
                    encoder.saved(register, clobber_offset as i32 - clobbers);
                }
                // As it is at first.
                UnwindInst::Aarch64SetPointerAuth {
                    return_addresses: false,
                } => {}
                UnwindInst::RegStackOffset { .. } | UnwindInst::Aarch64SetPointerAuth { .. } => {
                    return None;
                }
            }
        }
        Some(FrameCode {
            bytes: encoder.out.into(),
            end: encoder.at,
        })
    }
}

#[derive(Default)]
struct FrameEncoder {
    out: Vec<u8>,
    at: u32,
}

impl FrameEncoder {
    fn advance(&mut self, to: u32) {
        let delta = to - self.at;
        self.at = to;
        match delta {
            0 => {}
            1..0x40 => self.out.push(DW_CFA_ADVANCE_LOC | delta as u8),
            0x40..0x100 => self.out.extend([DW_CFA_ADVANCE_LOC1, delta as u8]),
            0x100..0x1_0000 => {
                self.out.push(DW_CFA_ADVANCE_LOC2);
                self.out.extend((delta as u16).to_le_bytes());
            }
            _ => {
                self.out.push(DW_CFA_ADVANCE_LOC4);
                self.out.extend(delta.to_le_bytes());
            }
        }
    }

    /// `register` is saved at `offset` from the CFA, below it.
    fn saved(&mut self, register: u16, offset: i32) {
        let factored = (offset / DATA_ALIGNMENT) as u64;
        match u8::try_from(register) {
            Ok(register @ 0..0x40) => self.out.push(DW_CFA_OFFSET | register),
            _ => {
                self.out.push(DW_CFA_OFFSET_EXTENDED);
                uleb(u64::from(register), &mut self.out);
            }
        }
        uleb(factored, &mut self.out);
    }
}

fn uleb(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The functions of a run, at most: what an unwinder executes to find its place in one.
const RUN: usize = 32;

/// The unwind tables of a text.
#[derive(Default)]
pub(crate) struct Unwind {
    /// `.eh_frame`, as if it stood where the text starts.
    frame: Vec<u8>,
    /// Frame descriptions: text offset and offset in `frame`.
    entries: Vec<(u32, u32)>,
}

/// Offset of the address of the code in a frame description.
const PC_BEGIN: u32 = 8;

impl Unwind {
    /// Builds the tables for functions `(text offset, size, code)` in the order of their offsets.
    pub(crate) fn new(arch: Arch, functions: &[(u32, u32, &FrameCode)]) -> Unwind {
        let mut unwind = Unwind {
            frame: common_entry(Convention::of(arch)),
            entries: Vec::with_capacity(functions.len().div_ceil(RUN)),
        };
        for run in functions.chunks(RUN) {
            unwind.add_run(run);
        }
        // The end of the section, for readers that know no other.
        unwind.frame.extend([0; 4]);
        unwind
    }

    fn add_run(&mut self, run: &[(u32, u32, &FrameCode)]) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            return;
        };
        let start = self.frame.len() as u32;
        self.entries.push((first.0, start));
        self.frame.extend([0; 4]); // its length, see below
        self.frame.extend((start + 4).to_le_bytes()); // back to the common entry
        let pc = first.0.wrapping_sub(start + PC_BEGIN);
        self.frame.extend(pc.to_le_bytes());
        self.frame.extend((last.0 + last.1 - first.0).to_le_bytes());
        self.frame.push(0); // no augmentation data
        let mut encoder = FrameEncoder {
            out: std::mem::take(&mut self.frame),
            at: 0,
        };
        for (number, (offset, _, code)) in run.iter().enumerate() {
            encoder.advance(offset - first.0);
            if number > 0 {
                encoder.out.push(DW_CFA_RESTORE_STATE);
            }
            if number + 1 < run.len() {
                encoder.out.push(DW_CFA_REMEMBER_STATE);
            }
            encoder.out.extend(&code.bytes);
            encoder.at += code.end;
        }
        self.frame = encoder.out;
        finish_entry(&mut self.frame, start as usize);
    }

    /// Size of `.eh_frame`.
    pub(crate) fn frame_size(&self) -> u64 {
        self.frame.len() as u64
    }

    /// Size of `.eh_frame_hdr`.
    pub(crate) fn header_size(&self) -> u64 {
        12 + 8 * self.entries.len() as u64
    }

    /// `.eh_frame` for its address and that of the text. The distance fits in 31 bits.
    pub(crate) fn frame(&self, text: u64, frame: u64) -> Vec<u8> {
        let mut bytes = self.frame.clone();
        let distance = text.wrapping_sub(frame) as u32;
        for (_, at) in self.code_fields() {
            let field = &mut bytes[at as usize..][..4];
            let value = u32::from_le_bytes([field[0], field[1], field[2], field[3]]);
            field.copy_from_slice(&value.wrapping_add(distance).to_le_bytes());
        }
        bytes
    }

    /// `.eh_frame_hdr` for its address, and those of the text and of `.eh_frame`.
    pub(crate) fn header(&self, text: u64, frame: u64, header: u64) -> Vec<u8> {
        let mut bytes = vec![
            1,
            DW_EH_PE_PCREL_SDATA4,
            DW_EH_PE_UDATA4,
            DW_EH_PE_DATAREL_SDATA4,
        ];
        let relative = |address: u64, to: u64| (address.wrapping_sub(to) as u32).to_le_bytes();
        bytes.extend(relative(frame, header + 4));
        bytes.extend((self.entries.len() as u32).to_le_bytes());
        for &(code, entry) in &self.entries {
            bytes.extend(relative(text + u64::from(code), header));
            bytes.extend(relative(frame + u64::from(entry), header));
        }
        bytes
    }

    /// The fields of `.eh_frame` that hold the address of code: text offset, and offset of the
    /// field.
    pub(crate) fn code_fields(&self) -> impl Iterator<Item = (u32, u32)> {
        self.entries
            .iter()
            .map(|(code, entry)| (*code, entry + PC_BEGIN))
    }
}

/// The entry that all descriptions share: addresses are relative, and the state on entry.
fn common_entry(convention: &Convention) -> Vec<u8> {
    let mut bytes = vec![0; 4]; // its length, see below
    bytes.extend([0; 4]); // a common entry
    bytes.push(1); // version
    bytes.extend(b"zR\0");
    bytes.push(1); // unit of code offsets
    bytes.push((DATA_ALIGNMENT & 0x7f) as u8);
    bytes.push(convention.return_address);
    bytes.extend([1, DW_EH_PE_PCREL_SDATA4]); // augmentation data
    bytes.extend([
        DW_CFA_DEF_CFA,
        convention.stack_pointer,
        convention.entry_offset,
    ]);
    if convention.return_address_on_stack {
        bytes.extend([DW_CFA_OFFSET | convention.return_address, 1]);
    }
    finish_entry(&mut bytes, 0);
    bytes
}

/// Pads the entry that starts at `start` and ends at the end, and writes down its length.
fn finish_entry(bytes: &mut Vec<u8>, start: usize) {
    let len = bytes.len().next_multiple_of(4);
    bytes.resize(len, DW_CFA_NOP);
    let length = (len - start - 4) as u32;
    bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use gimli::{
        BaseAddresses, CfaRule, EhFrame, EhFrameHdr, LittleEndian, ParsedEhFrameHdr, Register,
        RegisterRule, UnwindContext, UnwindSection,
    };

    const TEXT: u64 = 0x1000;
    const HEADER: u64 = 0x9000;
    const FRAME: u64 = 0xa000;

    /// What Cranelift says about a function that saves `rbx`, with `gap` bytes of code between
    /// its frame and that.
    fn frame_code(gap: u32) -> FrameCode {
        let mut encoder = FrameEncoder::default();
        encoder.advance(1);
        encoder.out.extend([DW_CFA_DEF_CFA_OFFSET, 16]);
        encoder.saved(6, -16);
        encoder.advance(4);
        encoder.out.extend([DW_CFA_DEF_CFA_REGISTER, 6]);
        encoder.advance(4 + gap);
        encoder.saved(3, -32);
        FrameCode {
            bytes: encoder.out.into(),
            end: encoder.at,
        }
    }

    struct Tables {
        header: Vec<u8>,
        frame: Vec<u8>,
    }

    impl Tables {
        fn new(functions: &[(u32, u32, &FrameCode)]) -> Tables {
            let unwind = Unwind::new(Arch::X86_64, functions);
            let tables = Tables {
                header: unwind.header(TEXT, FRAME, HEADER),
                frame: unwind.frame(TEXT, FRAME),
            };
            assert_eq!(tables.header.len() as u64, unwind.header_size());
            assert_eq!(tables.frame.len() as u64, unwind.frame_size());
            tables
        }

        /// Where the CFA is, and whether `rbx` is saved, at an address, found by binary search.
        fn row(&self, address: u64) -> (Register, i64, bool) {
            let bases = BaseAddresses::default()
                .set_eh_frame_hdr(HEADER)
                .set_eh_frame(FRAME)
                .set_text(TEXT);
            let header: ParsedEhFrameHdr<_> = EhFrameHdr::new(&self.header, LittleEndian)
                .parse(&bases, 8)
                .unwrap();
            let frame = EhFrame::new(&self.frame, LittleEndian);
            let mut context = UnwindContext::new();
            let row = header
                .table()
                .unwrap()
                .unwind_info_for_address(
                    &frame,
                    &bases,
                    &mut context,
                    address,
                    EhFrame::cie_from_offset,
                )
                .unwrap();
            assert_eq!(row.register(Register(16)), Some(RegisterRule::Offset(-8)));
            let CfaRule::RegisterAndOffset { register, offset } = *row.cfa() else {
                panic!("an unexpected rule");
            };
            let saved = row.register(Register(3)) == Some(RegisterRule::Offset(-32));
            (register, offset, saved)
        }
    }

    #[test]
    fn every_instruction_of_every_function_can_be_unwound() {
        for gap in [1, 100, 1000, 100_000] {
            let code = frame_code(gap);
            let size = code.end + 40;
            let stride = size.next_multiple_of(16);
            let functions: Vec<_> = (0..100).map(|i| (i * stride, size, &code)).collect();
            let tables = Tables::new(&functions);
            for (start, _, _) in functions {
                let at = |offset: u32| tables.row(TEXT + u64::from(start + offset));
                assert_eq!(at(0), (Register(7), 8, false));
                assert_eq!(at(1), (Register(7), 16, false));
                assert_eq!(at(4), (Register(6), 16, false));
                assert_eq!(at(4 + gap), (Register(6), 16, true));
                assert_eq!(at(size - 1), (Register(6), 16, true));
            }
        }
    }

    #[test]
    fn no_functions_need_no_descriptions() {
        let tables = Tables::new(&[]);
        assert_eq!(tables.header[8..12], [0; 4]);
    }

    #[test]
    fn a_function_takes_few_bytes() {
        let code = frame_code(1);
        let functions: Vec<_> = (0..320).map(|i| (i * 64, 60, &code)).collect();
        let tables = Tables::new(&functions);
        assert!((tables.header.len() + tables.frame.len()) / 320 <= 16);
    }
}
