//! `make versus`: sandboxes in pools beside Wasmtime's, in one process, in turn, medians.
//!
//! usage: `versus [--quick] [--only MEASURE,…]`. Prints a table and writes `target/versus.json`.
//! `--alone inst_…` does our part of a measure for some seconds, for a profiler.

use std::path::PathBuf;

use precast_benches::Result;
use precast_benches::versus::goals::{MEASURES, Table};
use precast_benches::versus::{
    Effort, crossings, deadlines, exceptions, instances, interruption, live, objects,
};

type Measure = fn(Effort, &mut Table) -> Result<()>;

/// What is measured together: keys, and how.
const ALL: &[(&[&str], Measure)] = &[
    (&["inst_trivial"], instances::trivial),
    (&["inst_64k"], instances::small),
    (&["inst_16m"], instances::large),
    (&["scaling_2threads"], instances::scaling),
    (&["inst_wasi"], instances::wasi),
    (&["live_guard", "bytes_per_live"], |_, table| {
        live::guarded(table)
    }),
    (&["live_compact", "bytes_per_live_compact"], |_, table| {
        live::compact(table)
    }),
    (&["call_in"], crossings::call_in),
    (&["call_out"], crossings::call_out),
    (&["trap", "trap_oob", "trap_stack"], crossings::traps),
    (&["throw_1", "throw_10"], exceptions::throws),
    (&["alloc_null", "alloc_copying"], objects::allocations),
    (&["inst_gc"], objects::instances),
    (&["interruptible"], interruption::interruptible),
    (&["deadline", "deadline_p99"], deadlines::late),
];

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (mut is_quick, mut only) = (false, None);
    let mut file = PathBuf::from("target/versus.json");
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            live::CHILD => return live::child(&value()?),
            "--alone" => return instances::alone(&value()?),
            "--quick" => is_quick = true,
            "--only" => only = Some(value()?),
            "--file" => file = value()?.into(),
            _ => return Err(format!("unknown argument {argument}").into()),
        }
    }
    let only: Option<Vec<&str>> = only.as_deref().map(|only| only.split(',').collect());
    if let Some(unknown) = only.iter().flatten().find(|key| !is_known(key)) {
        return Err(format!("there is no measure {unknown}").into());
    }
    let mut table = Table::new();
    for (keys, measure) in ALL {
        let is_wanted = |key: &&str| only.as_ref().is_none_or(|only| only.contains(key));
        // A contestant that fails leaves a gap, and the rest is measured all the same.
        if keys.iter().any(is_wanted)
            && let Err(error) = measure(Effort { is_quick }, &mut table)
        {
            println!("{:<24} not measured: {error}", keys.join(", "));
        }
    }
    table.write(&file, only.is_some())
}

fn is_known(key: &str) -> bool {
    MEASURES.iter().any(|(known, ..)| *known == key)
}
