//! The address of a guest access against a reference model, for every kind of memory and at
//! every edge of index, offset and size.
//!
//! A small interpreter executes the CLIF that stands before the access. Whatever it computes,
//! the access must either stay in bounds or fault: within the guard, or near address 0.

use super::super::testing::{translate, translate_compact};
use super::NULL_PAGE;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Function, InstructionData, Opcode, Value};
use precast_abi::instance::{GUARD_RESERVATION, InstanceHeader, OFFSET_GUARD};
use std::collections::HashMap;

/// The instance base: where memory 0 starts if the module defines it.
const BASE: u64 = 0x7000_0000_0000;
/// Where any other memory starts.
const ELSEWHERE: u64 = 0x6000_0000_0000;
const PAGE: u64 = 64 << 10;

/// A kind of memory, and what a test needs to know of it.
struct Kind {
    wat: &'static str,
    index64: bool,
    start: u64,
    /// Current length in bytes.
    len: u64,
    guarded: bool,
}

const KINDS: [Kind; 9] = [
    Kind {
        wat: "(memory 1)",
        index64: false,
        start: BASE,
        len: PAGE,
        guarded: true,
    },
    Kind {
        wat: "(memory 0)",
        index64: false,
        start: BASE,
        len: 3 * PAGE,
        guarded: true,
    },
    Kind {
        wat: "(memory 65536)",
        index64: false,
        start: BASE,
        len: 1 << 32,
        guarded: true,
    },
    Kind {
        wat: "(memory 3 (pagesize 1))",
        index64: false,
        start: BASE,
        len: 3,
        guarded: false,
    },
    Kind {
        wat: "(memory i64 1)",
        index64: true,
        start: BASE,
        len: PAGE,
        guarded: false,
    },
    Kind {
        wat: "(memory i64 0)",
        index64: true,
        start: BASE,
        len: 0,
        guarded: false,
    },
    Kind {
        wat: "(memory i64 0)",
        index64: true,
        start: BASE,
        len: 1 << 47,
        guarded: false,
    },
    Kind {
        wat: "(import \"\" \"\" (memory 1))",
        index64: false,
        start: ELSEWHERE,
        len: 1 << 32,
        guarded: false,
    },
    Kind {
        wat: "(import \"\" \"\" (memory i64 1))",
        index64: true,
        start: ELSEWHERE,
        len: 2 * PAGE,
        guarded: false,
    },
];

/// Kinds of memories with less address space than guard pages need.
const COMPACT_KINDS: [Kind; 3] = [
    Kind {
        wat: "(memory 1)",
        index64: false,
        start: BASE,
        len: PAGE,
        guarded: false,
    },
    Kind {
        wat: "(memory 0)",
        index64: false,
        start: BASE,
        len: 3 * PAGE,
        guarded: false,
    },
    Kind {
        wat: "(memory 65535)",
        index64: false,
        start: BASE,
        len: COMPACT,
        guarded: false,
    },
];
/// Their address space.
const COMPACT: u64 = (4 << 30) - PAGE;

/// Accesses of every size: instruction, bytes, whether it stores a value of which type.
const ACCESSES: [(&str, u64, Option<&str>); 6] = [
    ("i32.load8_u", 1, None),
    ("i32.load16_s", 2, None),
    ("f32.load", 4, None),
    ("i64.store", 8, Some("i64")),
    ("i64.store32", 4, Some("i64")),
    ("v128.load", 16, None),
];

/// Where an access goes, as the generated code computes it.
fn address(function: &Function, index: u64, kind: &Kind) -> u64 {
    let mut values: HashMap<Value, u64> = HashMap::new();
    let block = function.layout.entry_block().expect("an entry block");
    let params = function.dfg.block_params(block);
    values.insert(params[0], BASE);
    values.insert(params[1], index);
    for inst in function.layout.block_insts(block) {
        let dfg = &function.dfg;
        let arg = |n: usize| values[&dfg.inst_args(inst)[n]];
        let result = match dfg.insts[inst] {
            InstructionData::UnaryImm { imm, .. } => imm.bits() as u64,
            InstructionData::Unary {
                opcode: Opcode::Uextend,
                ..
            } => arg(0) & 0xffff_ffff,
            InstructionData::Binary { opcode, .. } => match opcode {
                Opcode::Iadd => arg(0).wrapping_add(arg(1)),
                Opcode::Isub => arg(0).wrapping_sub(arg(1)),
                Opcode::Bor => arg(0) | arg(1),
                other => panic!("{other}"),
            },
            InstructionData::IntCompare { cond, .. } => match cond {
                IntCC::UnsignedGreaterThan => u64::from(arg(0) > arg(1)),
                IntCC::UnsignedLessThan => u64::from(arg(0) < arg(1)),
                other => panic!("{other}"),
            },
            InstructionData::Ternary {
                opcode: Opcode::SelectSpectreGuard,
                ..
            } => {
                if arg(0) != 0 {
                    arg(1)
                } else {
                    arg(2)
                }
            }
            InstructionData::Load { offset, flags, .. }
            | InstructionData::Store { offset, flags, .. } => {
                let address = arg(dfg.inst_args(inst).len() - 1);
                let address = address.wrapping_add(i64::from(offset) as u64);
                let flags = dfg.mem_flags[flags];
                if !flags.notrap() {
                    assert!(!flags.can_move() && !flags.readonly());
                    return address;
                }
                instance_data(address, kind)
            }
            ref other => panic!("{other:?}"),
        };
        values.insert(dfg.inst_results(inst)[0], result);
    }
    panic!("no access in {}", function.display());
}

/// Instance data: the definition of memory 0 in the header, or the address of an imported one.
fn instance_data(address: u64, kind: &Kind) -> u64 {
    const DEFINITION: u64 = 0x5000_0000_0000;
    let header = BASE - u64::from(InstanceHeader::MEMORY0);
    if kind.start == BASE {
        assert_eq!(address, header + 8);
        return kind.len;
    }
    match address {
        DEFINITION => kind.start,
        address if address == DEFINITION + 8 => kind.len,
        address => {
            assert!(address < BASE - u64::from(InstanceHeader::SIZE));
            DEFINITION
        }
    }
}

/// Values around every edge that matters.
fn edges(index64: bool) -> Vec<u64> {
    let centres = [
        0,
        PAGE,
        2 * PAGE,
        3 * PAGE,
        1 << 31,
        1 << 32,
        1 << 47,
        1 << 63,
    ];
    let mut edges = vec![3, 4095, 4096, OFFSET_GUARD - 16, OFFSET_GUARD, u64::MAX];
    for centre in centres {
        for distance in [0, 1, 2, 4, 8, 15, 16, 17] {
            edges.push(u64::wrapping_add(centre, distance));
            edges.push(u64::wrapping_sub(centre, distance));
        }
    }
    if !index64 {
        edges.iter_mut().for_each(|edge| *edge &= 0xffff_ffff);
    }
    edges.sort_unstable();
    edges.dedup();
    edges
}

#[track_caller]
fn check(kind: &Kind, address: u64, (index, offset, size): (u64, u64, u64)) {
    let context = || {
        format!(
            "{} index {index:#x} offset {offset:#x} size {size}",
            kind.wat
        )
    };
    let end = u128::from(index) + u128::from(offset) + u128::from(size);
    if end <= u128::from(kind.len) {
        assert_eq!(address, kind.start + index + offset, "{}", context());
    } else if kind.guarded && address >= BASE {
        // Out of bounds, but not refused: only where nothing else is ever mapped.
        let limit = BASE + GUARD_RESERVATION + OFFSET_GUARD;
        assert!(address + size <= limit, "{}", context());
        assert!(address + size > BASE + kind.len, "{}", context());
    } else {
        assert!(
            address + size <= NULL_PAGE,
            "{} goes to {address:#x}",
            context()
        );
    }
}

#[test]
fn accesses_stay_in_bounds_or_fault() {
    for (kind, compact) in KINDS
        .iter()
        .map(|kind| (kind, false))
        .chain(COMPACT_KINDS.iter().map(|kind| (kind, true)))
    {
        let ty = if kind.index64 { "i64" } else { "i32" };
        let edges = edges(kind.index64);
        let mut wat = format!(
            "(module {} (func (export \"g\") (drop (memory.grow ({ty}.const 0))))",
            kind.wat
        );
        for offset in &edges {
            for (op, _, stored) in ACCESSES {
                let params = stored.map_or(String::new(), |stored| format!("(param {stored})"));
                let value = if stored.is_some() {
                    "(local.get 1)"
                } else {
                    ""
                };
                let access = format!("({op} offset={offset} (local.get 0) {value})");
                let access = if stored.is_some() {
                    access
                } else {
                    format!("(drop {access})")
                };
                wat.push_str(&format!("(func (param {ty}) {params} {access})"));
            }
        }
        wat.push(')');
        let functions = match compact {
            true => translate_compact(&wat, COMPACT),
            false => translate(&wat),
        };
        let mut functions = functions[1..].iter();
        for offset in &edges {
            for (_, size, _) in ACCESSES {
                let function = functions.next().expect("one function per access");
                for index in &edges {
                    let address = address(function, *index, kind);
                    check(kind, address, (*index, *offset, size));
                }
            }
        }
    }
}

#[test]
fn fixed_lengths_need_no_load() {
    let functions =
        translate("(module (memory i64 1 1) (func (param i64) (drop (i64.load (local.get 0)))))");
    let text = functions[0].display().to_string();
    assert_eq!(text.matches("load.").count(), 1, "{text}");
}
