//! `precast targets`: what objects can be made for.

use std::fmt::Write;

use precast_compiler::{Cpu, Target};

use crate::failure::{self, Failure};

/// Lists the targets, with the levels of their CPUs and the features beyond.
pub(crate) fn targets() -> Result<(), Failure> {
    let mut out = String::new();
    for (target, name) in Target::ALL {
        let here = match target == Target::host() {
            true => "  (this machine's)",
            false => "",
        };
        let level = |(name, cpu): &(&'static str, Cpu)| match *cpu == Cpu::default_for(target) {
            true => format!("{name} (default)"),
            false => (*name).to_owned(),
        };
        let levels: Vec<_> = Cpu::levels(target).iter().map(level).collect();
        let features = precast_abi::cpu::features(target.arch());
        let features: Vec<_> = features.iter().map(|(_, name)| *name).collect();
        // A string takes whatever is written to it.
        let _ = write!(
            out,
            "{name}{here}\n  levels    {}\n  features  {}\n",
            levels.join(", "),
            features.join(", ")
        );
    }
    failure::print(out.as_bytes())
}
