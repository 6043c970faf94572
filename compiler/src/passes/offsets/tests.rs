//! Functions before and after the pass, executed side by side at every edge.

use super::{binary, run};
use crate::translate::testing::translate;
use crate::trap::GUARD_PAGE_ACCESS;
use cranelift_codegen::ir::{Block, Function, InstructionData, Opcode, Value};
use precast_abi::instance::{GUARD_RESERVATION, GUARD_TAIL, OFFSET_GUARD};
use std::collections::HashMap;

/// Where memory 0 is.
const BASE: u64 = 0x7000_0000_0000;
/// The longest memory there is.
const LONGEST: u64 = GUARD_RESERVATION - GUARD_TAIL;

/// Accesses, each with its first byte and how many there are, in the order of execution. Those at
/// and after the first that is not within `len` do not count for the program, but do for safety.
fn execute(func: &Function, params: [u32; 3], len: u64) -> Vec<(u64, u64)> {
    let mut values: HashMap<Value, u64> = HashMap::new();
    let entry = func.layout.entry_block().expect("an entry");
    let given = [BASE, params[0].into(), params[1].into(), params[2].into()];
    for (param, value) in func.dfg.block_params(entry).iter().zip(given) {
        values.insert(*param, value);
    }
    let mut accesses = Vec::new();
    let mut block = Some(entry);
    while let Some(current) = block {
        block = None;
        for inst in func.layout.block_insts(current) {
            if let Some(access) = step(func, &mut values, &mut block, inst) {
                let trapped = access.0 - BASE + access.1 > len;
                accesses.push(access);
                if trapped {
                    return accesses;
                }
            }
        }
    }
    accesses
}

/// Executes an instruction; returns the access that it makes.
fn step(
    func: &Function,
    values: &mut HashMap<Value, u64>,
    next: &mut Option<Block>,
    inst: cranelift_codegen::ir::Inst,
) -> Option<(u64, u64)> {
    let dfg = &func.dfg;
    let get = |value: Value| values.get(&dfg.resolve_aliases(value)).copied();
    let data = &dfg.insts[inst];
    let (offset, address, size) = match *data {
        InstructionData::Load { offset, arg, .. } => (offset, arg, 4),
        InstructionData::Store { offset, args, .. } => (offset, args[1], 4),
        InstructionData::Brif { arg, blocks, .. } => {
            let taken = usize::from(get(arg) == Some(0));
            *next = Some(blocks[taken].block(&dfg.value_lists));
            return None;
        }
        InstructionData::Jump { destination, .. } => {
            *next = Some(destination.block(&dfg.value_lists));
            return None;
        }
        _ => {
            let result = dfg.inst_results(inst).first().copied()?;
            let args: Vec<u64> = dfg.inst_args(inst).iter().filter_map(|v| get(*v)).collect();
            let wide = dfg.value_type(result).bits() == 64;
            let value = match (data.opcode(), data) {
                (_, InstructionData::UnaryImm { imm, .. }) => imm.bits() as u64,
                (Opcode::Uextend, _) => args[0],
                (Opcode::Iadd, _) => args[0].wrapping_add(args[1]),
                (Opcode::Bor, _) => args[0] | args[1],
                (Opcode::Band, _) => args[0] & args[1],
                (Opcode::Ishl, _) => args[0] << (args[1] % 32),
                (opcode, _) => panic!("{opcode}"),
            };
            let value = if wide { value } else { value & 0xffff_ffff };
            values.insert(result, value);
            return None;
        }
    };
    assert_eq!(data.memflags_trap_code(dfg), Some(GUARD_PAGE_ACCESS));
    let address = get(address).expect("a value") as i64 + i64::from(i32::from(offset));
    if let Some(result) = dfg.inst_results(inst).first() {
        values.insert(*result, 0x8000_0000);
    }
    Some((address as u64, size))
}

/// Numbers that look random, and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % end
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

const EDGES: [u32; 24] = [
    0,
    0,
    4,
    12,
    1,
    3,
    4,
    8,
    0xfffc,
    0xffff,
    0x1_0000,
    0x1_0003,
    0x1_0004,
    0x1_0005,
    0x2_0000,
    0x01ff_fffc,
    0x0200_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xfffe_fffc,
    0xffff_0000,
    0xffff_0004,
    0xffff_fff8,
    0xffff_ffff,
];

/// The text of an index that depends on a parameter.
fn index(numbers: &mut Numbers) -> String {
    let param = numbers.below(6).saturating_sub(3);
    let mut text = match numbers.below(6) {
        0 => format!(
            "(i32.shl (local.get {param}) (i32.const {}))",
            numbers.of(&[3, 17, 35])
        ),
        1 => format!(
            "(i32.and (local.get {param}) (i32.const {}))",
            numbers.of(&[-8, -32, 7])
        ),
        _ => format!("(local.get {param})"),
    };
    for _ in 0..numbers.below(3) {
        let op = numbers.of(&["add", "add", "or"]);
        let term = numbers.of(&EDGES);
        text = match numbers.below(3) {
            0 => format!("(i32.{op} (i32.const {term}) {text})"),
            _ => format!("(i32.{op} {text} (i32.const {term}))"),
        };
    }
    text
}

/// The text of some accesses, some of them under a condition.
fn accesses(numbers: &mut Numbers, depth: u32) -> String {
    let mut text = String::new();
    for _ in 0..=numbers.below(5) {
        let index = index(numbers);
        let offset = numbers.of(&[0, 0, 0, 4, 0xffff, (OFFSET_GUARD - 4) as u32]);
        text += &match numbers.below(if depth > 0 { 4 } else { 3 }) {
            0 => format!("(i32.store offset={offset} {index} (i32.const 1))\n"),
            3 => {
                let (param, inner) = (numbers.below(3), accesses(numbers, depth - 1));
                format!("(if (local.get {param}) (then {inner}))\n")
            }
            _ => format!("(drop (i32.load offset={offset} {index}))\n"),
        };
    }
    text
}

#[test]
fn accesses_stay_where_they_were_and_reach_nothing_else() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut changed = 0;
    for _ in 0..150 {
        let body = accesses(&mut numbers, 2);
        let wat = format!("(module (memory 1) (func (param i32 i32 i32) {body}))");
        let before = translate(&wat).remove(0);
        let mut after = before.clone();
        run(&mut after);
        changed += usize::from(before.to_string() != after.to_string());
        for _ in 0..40 {
            let params = [(); 3].map(|()| numbers.of(&EDGES).wrapping_sub(numbers.of(&EDGES)));
            for len in [1 << 16, 1 << 31, LONGEST] {
                let (right, found) = (execute(&before, params, len), execute(&after, params, len));
                assert_eq!(right, found, "{params:x?} {len:x}\n{before}\n{after}");
            }
            // Wherever an access goes by speculation.
            for (address, size) in execute(&after, params, u64::MAX) {
                let end = (address - BASE) + size;
                assert!(end <= GUARD_RESERVATION + OFFSET_GUARD, "{end:x}\n{after}");
            }
        }
    }
    assert!(changed > 30, "{changed}");
}

/// Indices that accesses add to the base, and offsets, of the only function.
fn offsets(wat: &str) -> Vec<(bool, i32)> {
    let mut func = translate(wat).remove(0);
    run(&mut func);
    let dfg = &func.dfg;
    let blocks = func.layout.blocks();
    let insts = blocks.flat_map(|block| func.layout.block_insts(block));
    insts
        .filter_map(|inst| match dfg.insts[inst] {
            InstructionData::Load { arg, offset, .. } => {
                Some((binary(dfg, arg, Opcode::Iadd).is_some(), offset.into()))
            }
            _ => None,
        })
        .collect()
}

fn loads(distances: &[u32]) -> Vec<i32> {
    let loads = distances.iter().map(|distance| {
        format!("(drop (i32.load (i32.add (local.get 0) (i32.const {distance}))))")
    });
    let loads: String = loads.collect();
    let wat = format!("(module (memory 1) (func (param i32) {loads}))");
    let found = offsets(&wat).into_iter();
    found
        .map(|(sum, offset)| {
            assert!(sum);
            offset
        })
        .collect()
}

#[test]
fn the_distance_ends_where_the_tail_does() {
    // The first access reaches 4 bytes: what is 65,540 further may wrap.
    assert_eq!(loads(&[8, 8 + 65_539]), [0, 65_539]);
    assert_eq!(loads(&[8, 8 + 65_540]), [0, 0]);
    // Each access reaches as far as all before.
    assert_eq!(loads(&[8, 8 + 65_539, 8 + 131_000]), [0, 65_539, 131_000]);
    // Below the first access nothing is known.
    assert_eq!(loads(&[8, 4, 0, 4]), [0, 0, 0, 4]);
    assert_eq!(loads(&[u32::MAX - 3, 4]), [0, 8]);
}

#[test]
fn memories_that_are_checked_or_fill_their_reservation_are_left_alone() {
    for (memory, expected) in [
        ("(memory 1)", true),
        ("(memory 65535)", true),
        ("(memory 65536)", false),
        ("(memory i64 1)", false),
        ("(memory 1 (pagesize 1))", false),
        ("(import \"\" \"m\" (memory 1))", false),
        ("", false),
    ] {
        let wasm = wat::parse_str(format!("(module {memory})")).expect("text");
        let module = crate::module::ModuleInfo::read(&wasm).expect("a module");
        assert_eq!(super::applies(&module), expected, "{memory}");
    }
}
