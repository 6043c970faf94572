//! `make bench-code`: generated code beside Wasmtime's and native code, kernel by kernel.
//!
//! usage: `code [--kernel NAME,…] [--quick] [--only-precast] [--without PASS,…] [--rounds N]
//! [--file FILE]`. Prints a table and the goals, and writes `target/code.json` where every
//! contestant took part.
//!
//! `--module FILE --size N` measures another module that exports `run(i32) -> i64`, without native code.
//!
//! `code --kernel NAME --disas [--function PART,…] [--beside KEY] [--whole]` shows instead where the time
//! goes, and the machine code of the hot functions, ours and the fastest native one's (or that of another
//! contestant: `wasmtime`, `native_cc_o2`, `wasm2c`, …).

use std::path::{Path, PathBuf};

use precast_benches::Result;
use precast_benches::code::contestant::key;
use precast_benches::code::disas::View;
use precast_benches::code::native::Toolchain;
use precast_benches::code::precast::Build;
use precast_benches::code::run::{Field, Row};
use precast_benches::code::table::Table;
use precast_benches::code::wasm2c::Wasm2c;
use precast_benches::code::wasmtime::Setting;
use precast_benches::code::{disas, goals, table, workshop};
use precast_benches::kernels::{KERNELS, Kernel};

/// What was asked for.
#[derive(Default)]
struct Request {
    kernels: Option<Vec<&'static Kernel>>,
    is_quick: bool,
    only_precast: bool,
    without: Option<Build>,
    rounds: Option<usize>,
    module: Option<PathBuf>,
    size: i32,
    file: Option<PathBuf>,
    is_disas: bool,
    view: View,
}

fn main() -> Result<()> {
    let request = Request::parse(std::env::args().skip(1))?;
    std::fs::create_dir_all(workshop())?;
    let field = request.field();
    let kernels = request
        .kernels
        .clone()
        .unwrap_or_else(|| KERNELS.iter().collect());
    if request.is_disas {
        for kernel in kernels {
            let mut contestants = field.prepare(kernel, &mut Row::default())?;
            disas::show(kernel, &mut contestants, &request.view)?;
        }
        return Ok(());
    }
    let table = Table::start(|key| takes_part(&field, key));
    let mut rows = Vec::new();
    for kernel in kernels {
        let row = field.measure(kernel)?;
        table.line(kernel, &row);
        rows.push((kernel, row));
    }
    table.finish(&rows);
    goals::print(&rows);
    let is_complete =
        !request.only_precast && request.without.is_none() && request.module.is_none();
    let file = request
        .file
        .or_else(|| is_complete.then(|| "target/code.json".into()));
    match file {
        Some(file) => table::write(&file, &rows, request.kernels.is_some()),
        None => Ok(()),
    }
}

impl Request {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut request = Self::default();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--kernel" => request.kernels = Some(find(&value()?)?),
                "--quick" => request.is_quick = true,
                "--only-precast" => request.only_precast = true,
                "--without" => request.without = Some(Build::without(&value()?)?),
                "--module" => request.module = Some(value()?.into()),
                "--size" => request.size = value()?.parse()?,
                "--rounds" => request.rounds = Some(value()?.parse()?),
                "--file" => request.file = Some(value()?.into()),
                "--disas" => request.is_disas = true,
                "--function" => {
                    request.view.functions = value()?.split(',').map(str::to_owned).collect();
                }
                "--beside" => request.view.beside = Some(value()?),
                "--whole" => request.view.is_whole = true,
                _ => return Err(format!("unknown argument {argument}").into()),
            }
        }
        if let Some(path) = &request.module {
            request.kernels = Some(vec![foreign(path, request.size)?]);
        }
        Ok(request)
    }

    fn field(&self) -> Field {
        let few = self.only_precast;
        Field {
            builds: std::iter::once(Build::FULL).chain(self.without).collect(),
            settings: match few {
                true => vec![Setting::Default],
                false => Setting::ALL.to_vec(),
            },
            toolchains: match few {
                true => Vec::new(),
                false => Toolchain::installed(),
            },
            wasm2c: if few { None } else { Wasm2c::installed() },
            rounds: self.rounds.unwrap_or(if self.is_quick { 7 } else { 25 }),
        }
    }
}

/// Any module, as a kernel without source; its checksum is what Wasmtime computes.
fn foreign(path: &Path, size: i32) -> Result<&'static Kernel> {
    let name = path.file_stem().ok_or("the module has no name")?;
    let mut kernel = Kernel {
        name: name.to_string_lossy().into_owned().leak(),
        about: "",
        size,
        checksum: 0,
        is_simd: false,
        source: "",
        wasm: std::fs::read(path)?.leak(),
    };
    kernel.checksum = (Setting::Default.contestant(&kernel)?.run)(size)?;
    Ok(Box::leak(Box::new(kernel)))
}

/// The kernels with these names.
fn find(names: &str) -> Result<Vec<&'static Kernel>> {
    let all = || KERNELS.iter().map(|kernel| kernel.name);
    names
        .split(',')
        .map(|name| {
            KERNELS
                .iter()
                .find(|kernel| kernel.name == name)
                .ok_or_else(|| {
                    let known: Vec<&str> = all().collect();
                    format!("there is no kernel {name}: there are {}", known.join(", ")).into()
                })
        })
        .collect()
}

/// Whether anyone has this key.
fn takes_part(field: &Field, wanted: &str) -> bool {
    field.builds.iter().any(|build| build.key == wanted)
        || field.settings.iter().any(|setting| setting.key() == wanted)
        || field.toolchains.iter().any(|tools| tools.key == wanted)
        || field.wasm2c.is_some() && wanted == key::WASM2C
        || !field.toolchains.is_empty() && wanted == key::NATIVE
}
