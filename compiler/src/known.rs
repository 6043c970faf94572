//! Machine code of functions that were compiled before.
//!
//! A function's code depends on its translation (after inlining), on the code generator's settings,
//! and on the passes that run, all of which make its key. It does not depend on where the function
//! stands in its module, nor on the numbers of the functions that it names: both change when any
//! function before it does. So source locations are numbered anew in each function, names are
//! told by their number among those that the function names, and both are put back into what is
//! found.

use crate::code::Code;
use crate::error::CompileError;
use crate::passes::Positions;
use crate::placement::Phases;
use crate::reloc::{Field, Reloc, Target};
use crate::translate::{Env, Namespace};
use crate::unwind::FrameCode;
use cranelift_codegen::Context;
use cranelift_codegen::ir::{Function, Opcode, SourceLoc, UserExternalName};
use precast_abi::addrmap;
use precast_abi::trap::TrapCode;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::hash::{Hash, Hasher};

/// Stands for all that a function's machine code depends on, the version of this compiler excepted.
pub type FunctionKey = [u8; 32];

/// Keeps machine code from one compilation to the next.
///
/// What it hands out becomes code that is run: it must be what was given to it, whole and unchanged,
/// by the same build of this compiler.
pub trait FunctionCache: Sync {
    /// What was put under this key, if it is there and whole.
    fn get(&self, key: &FunctionKey) -> Option<Vec<u8>>;

    /// Keeps `entry`, or does not.
    fn put(&self, key: &FunctionKey, entry: &[u8]);
}

/// Smaller functions are compiled sooner than looked up. In instructions before optimisation.
const LEAST_INSTRUCTIONS: usize = 24;

/// A cache, and the part of the keys that is the same for all functions of a compilation.
pub(crate) struct Known<'a> {
    cache: &'a dyn FunctionCache,
    settings: Sha256,
}

impl<'a> Known<'a> {
    pub(crate) fn new(cache: &'a dyn FunctionCache, env: &Env<'_>) -> Known<'a> {
        let mut settings = Sha256::new();
        let mut add = |text: &str| {
            settings.update((text.len() as u64).to_le_bytes());
            settings.update(text);
        };
        add("function 1");
        for isa in [env.isa, env.plain, env.lowering] {
            add(&isa.triple().to_string());
            add(&isa.flags().to_string());
            for value in isa.isa_flags() {
                add(&value.to_string());
            }
            add("");
        }
        add(&format!("{:?} {:?}", env.passes, env.level));
        Known { cache, settings }
    }

    /// The code of a translated function: what is known, or what `generate` makes.
    pub(crate) fn compile(
        &self,
        context: &mut Context,
        positions: &Positions,
        generate: impl FnOnce(&mut Context, &Positions) -> Result<Code, CompileError>,
    ) -> Result<Code, CompileError> {
        let names = context.func.params.user_named_funcs();
        let names: Vec<UserExternalName> = names.values().cloned().collect();
        let is_small = context.func.dfg.num_insts() < LEAST_INSTRUCTIONS;
        if is_small || !are_distinct(&names) || !is_plain(&context.func) {
            return generate(context, positions);
        }
        let locations = Locations::number(&mut context.func);
        let key = self.key(&context.func, &names);
        let found = self.cache.get(&key);
        if let Some(code) = found.and_then(|entry| decode(&entry, &names, &locations, positions)) {
            return Ok(code);
        }
        // Locations that are numbers stay as they are where no positions are known.
        let code = generate(context, &Positions::default())?;
        let entry = encode(&code, &names, &locations);
        if let Some(entry) = &entry {
            self.cache.put(&key, entry);
        }
        entry
            .and_then(|entry| decode(&entry, &names, &locations, positions))
            .ok_or_else(|| CompileError::Internal {
                message: "the code of a function cannot be kept".to_owned(),
            })
    }

    fn key(&self, func: &Function, names: &[UserExternalName]) -> FunctionKey {
        let mut bytes = Bytes(Vec::with_capacity(func.dfg.num_insts() * 64));
        func.stencil.hash(&mut bytes);
        let mut hash = self.settings.clone();
        hash.update((bytes.0.len() as u64).to_le_bytes());
        hash.update(&bytes.0);
        for name in names {
            hash.update(name.namespace.to_le_bytes());
        }
        hash.finalize().into()
    }
}

/// Whether an entry can tell all of a function's code: no handlers, and no stack maps.
fn is_plain(func: &Function) -> bool {
    let blocks = func.layout.blocks();
    let mut insts = blocks.flat_map(|block| func.layout.block_insts(block));
    insts.all(|inst| {
        let entries = func.dfg.user_stack_map_entries(inst);
        let catches = matches!(
            func.dfg.insts[inst].opcode(),
            Opcode::TryCall | Opcode::TryCallIndirect
        );
        !catches && entries.is_none_or(|entries| entries.is_empty())
    })
}

/// Whether each name has one number only.
fn are_distinct(names: &[UserExternalName]) -> bool {
    let mut sorted: Vec<_> = names.iter().map(|n| (n.namespace, n.index)).collect();
    sorted.sort_unstable();
    sorted.windows(2).all(|pair| pair[0] != pair[1])
}

/// Collects what is hashed: the hash itself works best on much at a time.
struct Bytes(Vec<u8>);

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// The source locations of a function, by the numbers that took their place.
struct Locations {
    /// What the numbers count from.
    base: u32,
    locations: Vec<u32>,
}

impl Locations {
    /// Gives the instructions of `func` numbers for locations, in the order of the code.
    fn number(func: &mut Function) -> Locations {
        let base = func.params.base_srcloc().bits();
        let blocks = func.layout.blocks();
        let insts: Vec<_> = blocks
            .flat_map(|block| func.layout.block_insts(block))
            .map(|inst| (inst, func.srcloc(inst)))
            .filter(|(_, location)| !location.is_default())
            .collect();
        func.stencil.srclocs.clear();
        let mut numbers: HashMap<u32, u32> = HashMap::new();
        let mut locations = Vec::new();
        for (inst, location) in insts {
            let number = *numbers.entry(location.bits()).or_insert_with(|| {
                locations.push(location.bits());
                locations.len() as u32 - 1
            });
            func.set_srcloc(inst, SourceLoc::new(base.wrapping_add(number)));
        }
        Locations { base, locations }
    }
}

/// What a relocation of an entry refers to, beside a place in the function.
const BY_NUMBER: u32 = 0;
const HELPER: u32 = 1;
const LOCAL: u32 = 2;

/// The kinds of fields, by their numbers in entries; of the last, there is more to tell.
const FIELDS: [Field; 7] = [
    Field::Bytes4,
    Field::Branch26,
    Field::Page21,
    Field::PageOffset12,
    Field::CallPair,
    Field::High20,
    Field::Low12 { back: 0 },
];

/// A field's number, and what more there is to tell.
fn number_of(field: Field) -> (u32, u32) {
    let (plain, more) = match field {
        Field::Low12 { back } => (Field::Low12 { back: 0 }, back),
        other => (other, 0),
    };
    let number = FIELDS.iter().position(|known| *known == plain);
    (number.map_or(u32::MAX, |number| number as u32), more)
}

/// The field of what [`number_of`] gave.
fn field_of(number: u32, more: u32) -> Option<Field> {
    match FIELDS.get(number as usize)? {
        Field::Low12 { .. } => Some(Field::Low12 { back: more }),
        other => Some(*other),
    }
}

/// Code whose address map has numbers for locations, as bytes. `None` where it names what an entry
/// cannot tell.
fn encode(code: &Code, names: &[UserExternalName], locations: &Locations) -> Option<Vec<u8>> {
    let Code {
        bytes,
        align,
        phases,
        relocs,
        traps,
        address_map,
        frame,
        exception_sites,
        stack_maps,
    } = code;
    // Handlers and stack maps are no part of an entry.
    if !exception_sites.is_empty() || !stack_maps.is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(bytes.len() * 2);
    let mut put = |value: u32| out.extend_from_slice(&value.to_le_bytes());
    let (frame, frame_end) = frame.parts();
    put(*align);
    put(phases.bits().into());
    put(frame_end);
    let points: Vec<_> = addrmap::decode(address_map).collect();
    let lens = [
        bytes.len(),
        frame.len(),
        relocs.len(),
        traps.len(),
        points.len(),
    ];
    lens.into_iter().for_each(|len| put(len as u32));
    for Reloc {
        offset,
        field,
        target,
        addend,
    } in relocs
    {
        let (field, back) = number_of(*field);
        let (kind, value) = match target {
            Target::Local(place) => (LOCAL, *place),
            Target::Symbol(name) => match names.iter().position(|known| known == name) {
                Some(number) => (BY_NUMBER, number as u32),
                None if name.namespace == Namespace::Helper as u32 => (HELPER, name.index),
                None => return None,
            },
        };
        [*offset, field, back, kind, value, *addend as u32]
            .into_iter()
            .for_each(&mut put);
    }
    for (offset, trap) in traps {
        put(*offset);
        put(*trap as u32);
    }
    for (offset, location) in points {
        put(offset);
        put(location.wrapping_sub(locations.base));
    }
    out.extend_from_slice(frame);
    out.extend_from_slice(bytes);
    Some(out)
}

/// The code of an entry, for a function of these names, locations and positions. `None` where the
/// entry is none.
fn decode(
    mut entry: &[u8],
    names: &[UserExternalName],
    locations: &Locations,
    positions: &Positions,
) -> Option<Code> {
    let mut word = || {
        let (first, rest) = entry.split_first_chunk()?;
        entry = rest;
        Some(u32::from_le_bytes(*first))
    };
    let (align, phases, frame_end) = (word()?, word()?, word()?);
    let mut lens = [0; 5];
    for len in &mut lens {
        *len = word()? as usize;
    }
    let [bytes, frame, relocs, traps, points] = lens;
    let relocs = (0..relocs).map(|_| {
        let (offset, field) = (word()?, field_of(word()?, word()?)?);
        let (kind, value, addend) = (word()?, word()?, word()? as i32);
        let target = match kind {
            LOCAL => Target::Local(value),
            BY_NUMBER => Target::Symbol(names.get(value as usize)?.clone()),
            HELPER => Target::Symbol(Namespace::Helper.name(value)),
            _ => return None,
        };
        Some(Reloc {
            offset,
            field,
            target,
            addend,
        })
    });
    let relocs = relocs.collect::<Option<_>>()?;
    let traps = (0..traps).map(|_| {
        let (offset, code) = (word()?, word()?);
        Some((offset, TrapCode::from_u8(code.try_into().ok()?)?))
    });
    let traps = traps.collect::<Option<_>>()?;
    let mut address_map = Vec::new();
    let mut encoder = addrmap::Encoder::default();
    for _ in 0..points {
        let (offset, number) = (word()?, word()?);
        let location = *locations.locations.get(number as usize)?;
        let (wasm, chain) = positions.resolve(location);
        encoder.entry(offset, wasm, &chain, |byte| address_map.push(byte));
    }
    let (frame, rest) = entry.split_at_checked(frame)?;
    (rest.len() == bytes).then(|| Code {
        bytes: rest.into(),
        align,
        phases: Phases::from_bits(phases as u8),
        relocs,
        traps,
        address_map: address_map.into(),
        frame: FrameCode::from_parts(frame, frame_end),
        exception_sites: Box::default(),
        stack_maps: Box::default(),
    })
}
