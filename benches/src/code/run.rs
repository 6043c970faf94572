//! One kernel: results compared, then measured.

use std::collections::BTreeMap;
use std::time::Duration;

use super::contestant::{Contestant, key};
use super::native::Toolchain;
use super::precast::Build;
use super::wasm2c::Wasm2c;
use super::wasmtime::Setting;
use crate::Result;
use crate::kernels::Kernel;
use crate::measure::{Clock, Plan, Work, interleave};

/// Who takes part, and how often.
#[derive(Clone, Debug)]
pub struct Field {
    /// Ours.
    pub builds: Vec<Build>,
    /// Wasmtime's settings.
    pub settings: Vec<Setting>,
    /// Native compilers.
    pub toolchains: Vec<Toolchain>,
    /// The module as C.
    pub wasm2c: Option<Wasm2c>,
    /// Rounds of the kernel; the compilers run a third of that.
    pub rounds: usize,
}

/// What was measured of one kernel.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Milliseconds a run, by key.
    pub times: BTreeMap<String, f64>,
    /// Bytes of machine code, by key.
    pub code: BTreeMap<String, f64>,
    /// Milliseconds of CPU to compile, one thread: `precast` and `wasmtime`.
    pub compile: BTreeMap<String, f64>,
    /// Who did not take part, and why.
    pub absent: Vec<(String, String)>,
}

impl Field {
    /// Runs one kernel.
    ///
    /// # Errors
    ///
    /// If it computes anything but its checksum anywhere, or one of the runtimes fails. A native
    /// compiler that fails is noted in the row.
    pub fn measure(&self, kernel: &Kernel) -> Result<Row> {
        let mut row = Row::default();
        let mut all = self.prepare(kernel, &mut row)?;
        for contestant in &mut all {
            let found = (contestant.run)(kernel.size)?;
            check(kernel, &contestant.key, found)?;
            if let Some(code) = contestant.code {
                row.code.insert(contestant.key.clone(), code as f64);
            }
        }
        row.times = self.times(kernel, &mut all)?;
        let natives = self
            .toolchains
            .iter()
            .filter(|tools| tools.is_best_effort());
        let best = natives
            .filter_map(|tools| row.times.get(tools.key))
            .copied()
            .reduce(f64::min);
        if let Some(best) = best {
            row.times.insert(key::NATIVE.to_owned(), best);
        }
        row.compile = self.compile_times(kernel)?;
        Ok(row)
    }

    /// Compiles and loads the kernel in every way.
    ///
    /// # Errors
    ///
    /// If one of the runtimes fails; a native compiler that fails is noted in the row.
    pub fn prepare(&self, kernel: &Kernel, row: &mut Row) -> Result<Vec<Contestant>> {
        let mut all = Vec::new();
        for build in &self.builds {
            all.push(build.contestant(kernel)?);
        }
        for setting in &self.settings {
            all.push(setting.contestant(kernel)?);
        }
        let mut attempt = |key: &str, made: Result<Contestant>| match made {
            Ok(contestant) => all.push(contestant),
            Err(why) => row.absent.push((key.to_owned(), why.to_string())),
        };
        for tools in self.toolchains.iter().filter(|tools| tools.takes(kernel)) {
            attempt(tools.key, tools.contestant(kernel));
        }
        if let Some(wasm2c) = &self.wasm2c
            && !kernel.is_simd
        {
            attempt(key::WASM2C, wasm2c.contestant(kernel));
        }
        Ok(all)
    }

    /// Milliseconds a run.
    fn times(&self, kernel: &Kernel, all: &mut [Contestant]) -> Result<BTreeMap<String, f64>> {
        let keys: Vec<String> = all.iter().map(|one| one.key.clone()).collect();
        let mut works: Vec<_> = all
            .iter_mut()
            .map(|one| {
                |_| {
                    let found = (one.run)(kernel.size)?;
                    check(kernel, &one.key, found)
                }
            })
            .collect();
        let mut works: Vec<Work<'_>> = works.iter_mut().map(|work| work as Work<'_>).collect();
        let times = interleave(Plan::single(self.rounds), &mut works)?;
        let milliseconds = times.median.into_iter().map(|time| time / 1e6);
        Ok(keys.into_iter().zip(milliseconds).collect())
    }

    /// Milliseconds of CPU that the compilers take.
    fn compile_times(&self, kernel: &Kernel) -> Result<BTreeMap<String, f64>> {
        let engine = Setting::Default.engine()?;
        let plan = Plan {
            rounds: self.rounds.div_ceil(3),
            slice: Duration::from_millis(4),
            most: 1000,
            clock: Clock::Process,
        };
        let times = interleave(
            plan,
            &mut [
                &mut |n| (0..n).try_for_each(|_| Build::FULL.compile(kernel.wasm).map(drop)),
                &mut |n| {
                    (0..n).try_for_each(|_| Ok(engine.precompile_module(kernel.wasm).map(drop)?))
                },
            ],
        )?;
        Ok([key::PRECAST, key::WASMTIME]
            .map(str::to_owned)
            .into_iter()
            .zip(times.median.into_iter().map(|time| time / 1e6))
            .collect())
    }
}

fn check(kernel: &Kernel, key: &str, found: i64) -> Result<()> {
    match found == kernel.checksum {
        true => Ok(()),
        false => Err(format!(
            "{} in {key} computed {found} instead of {}",
            kernel.name, kernel.checksum
        )
        .into()),
    }
}
