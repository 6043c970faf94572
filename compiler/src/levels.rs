//! Objects for several levels of a CPU in one file.
//!
//! Each level is compiled by itself. The object for the least comes first, with a list of the others
//! in its metadata, and they follow it at multiples of the page size. They have no image of
//! the memories of their own: that of the first is the same.

use crate::cpu::Cpu;
use crate::error::CompileError;
use crate::options::{Emit, Options};
use crate::{Compiled, Summary};
use precast_abi::object::{LevelRecord, Os};

/// What an object has to do with others in its file.
pub(crate) enum Role {
    /// It is the only one.
    Alone,
    /// The first, which tells of these; where they start is not known yet.
    First(Vec<LevelRecord>),
    /// One that the first tells of.
    Further,
}

/// Compiles for each of the levels that the options name. `one` compiles for one, and is told how
/// many it has compiled before.
pub(crate) fn compile(
    options: &Options,
    one: impl Fn(&Options, &Role, u64) -> Result<Compiled, CompileError>,
) -> Result<Compiled, CompileError> {
    check(options)?;
    let at = |cpu: Cpu| Options {
        cpu,
        levels: Vec::new(),
        ..options.clone()
    };
    let further = options.levels.iter().skip(1).zip(0..);
    let further = further.map(|(cpu, before)| one(&at(*cpu), &Role::Further, before));
    let further = further.collect::<Result<Vec<Compiled>, _>>()?;
    let records = options.levels.iter().skip(1).zip(&further);
    let records = records.map(|(cpu, level)| LevelRecord {
        cpu_features: cpu.features(),
        file_offset: 0,
        size: level.bytes.len() as u64,
    });
    let first = at(options.levels[0]);
    let role = match further.is_empty() {
        true => Role::Alone,
        false => Role::First(records.collect()),
    };
    let mut compiled = one(&first, &role, further.len() as u64)?;
    let page = options.target.page_size() as usize;
    for level in further {
        let start = compiled.bytes.len().next_multiple_of(page);
        compiled.bytes.resize(start, 0);
        compiled.bytes.extend_from_slice(&level.bytes);
        compiled.summary.add_level(&level.summary);
    }
    Ok(compiled)
}

fn check(options: &Options) -> Result<(), CompileError> {
    let refuse = |message: &str| {
        Err(CompileError::Options {
            message: message.to_owned(),
        })
    };
    if options.emit != Emit::SharedObject {
        return refuse("code for several levels goes into shared objects only");
    }
    if options.target.os() != Os::Linux {
        return refuse("code for several levels goes into objects for Linux only");
    }
    if options.levels.len() > LevelRecord::MOST as usize {
        return refuse("there are more than 15 levels");
    }
    let is_better = |pair: &[Cpu]| {
        let (before, after) = (pair[0].features(), pair[1].features());
        before & !after == 0 && before != after
    };
    if !options.levels.windows(2).all(is_better) {
        return refuse(
            "levels go from the least CPU to the best, each with all that the one before has",
        );
    }
    Ok(())
}

impl Summary {
    fn add_level(&mut self, level: &Summary) {
        self.text_bytes += level.text_bytes;
        self.metadata_bytes += level.metadata_bytes;
        self.code_table_bytes += level.code_table_bytes;
        self.unwind_bytes += level.unwind_bytes;
    }
}
