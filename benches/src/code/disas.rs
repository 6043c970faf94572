//! `--disas`: the machine code of the hot functions, ours and another's, with the share of time that
//! each instruction was seen at.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use object::{Object, ObjectSegment, ObjectSymbol, SymbolKind};

use super::contestant::{Contestant, Place, key};
use super::profile::sample;
use super::workshop;
use crate::Result;
use crate::kernels::Kernel;
use crate::measure::{Plan, Work, interleave};

/// What is shown.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Functions whose names contain one of these; none: the hot ones.
    pub functions: Vec<String>,
    /// The contestant beside ours; none: the fastest native one.
    pub beside: Option<String>,
    /// Whole functions instead of what is hot in them.
    pub is_whole: bool,
}

/// Functions that take less than this part of the time are not shown unless they are asked for.
const HOT_FUNCTION: f64 = 0.15;
/// Instructions that are seen less often than this are no reason to show what stands around them.
const HOT_INSTRUCTION: f64 = 0.004;
/// Instructions that are shown before and after a hot one.
const AROUND: usize = 8;

/// A function in the address space of [`Code::text`].
#[derive(Clone, Debug)]
struct Function {
    name: String,
    start: u64,
    size: u64,
}

/// The code of one contestant.
struct Code {
    /// What `objdump` is called with, but for the range.
    arguments: Vec<String>,
    functions: Vec<Function>,
    /// Pieces of the file: address, contents.
    contents: Vec<(u64, Vec<u8>)>,
    /// What was seen where.
    hits: BTreeMap<u64, usize>,
    /// Samples in all, those outside of the code included.
    samples: usize,
}

/// Shows ours and another's.
///
/// # Errors
///
/// If there is no such contestant, a kernel fails, or `objdump` does.
pub fn show(kernel: &Kernel, all: &mut [Contestant], view: &View) -> Result<()> {
    let beside = choose(kernel, all, view)?;
    for key in [key::PRECAST, &beside] {
        let contestant = all.iter_mut().find(|one| one.key == key);
        let contestant = contestant.ok_or("it does not take part")?;
        println!("\n==== {} in {key}", kernel.name);
        Code::profile(kernel, contestant)?.print(view)?;
    }
    Ok(())
}

/// Prints the times, and picks whom to show.
fn choose(kernel: &Kernel, all: &mut [Contestant], view: &View) -> Result<String> {
    let keys: Vec<String> = all.iter().map(|one| one.key.clone()).collect();
    let mut works: Vec<_> = all
        .iter_mut()
        .map(|one| |_| (one.run)(kernel.size).map(drop))
        .collect();
    let mut works: Vec<Work<'_>> = works.iter_mut().map(|work| work as Work<'_>).collect();
    let times = interleave(Plan::single(9), &mut works)?.median;
    for (key, time) in keys.iter().zip(&times) {
        println!("{key:<24} {:>8.2} ms {:>6.2}", time / 1e6, times[0] / time);
    }
    if let Some(beside) = &view.beside {
        let known = keys.iter().any(|key| key == beside);
        return match known {
            true => Ok(beside.clone()),
            false => Err(format!("{beside} does not take part: {}", keys.join(", ")).into()),
        };
    }
    let native = |key: &str| key.starts_with("native") && key.ends_with("_o3");
    keys.iter()
        .zip(&times)
        .filter(|(key, _)| native(key))
        .min_by(|a, b| a.1.total_cmp(b.1))
        .map(|(key, _)| key.clone())
        .ok_or("there is no native compiler: `--beside wasmtime` is another one to look at".into())
}

impl Code {
    /// Runs the kernel for some seconds, looking where it is.
    fn profile(kernel: &Kernel, contestant: &mut Contestant) -> Result<Self> {
        let samples = sample(Duration::from_secs(3), &mut || {
            (contestant.run)(kernel.size).map(drop)
        })?;
        let name = format!("{}-{}.text", kernel.name, contestant.key);
        let (mut code, to_address) = match &contestant.place {
            Place::File(path) => Self::of_file(path)?,
            Place::Memory {
                at,
                text,
                functions,
            } => {
                let path = workshop().join(name);
                fs::write(&path, text)?;
                Self::of_memory(*at, text, functions, &path)
            }
        };
        code.samples = samples.len();
        for at in samples {
            if let Some(address) = to_address(at) {
                *code.hits.entry(address).or_default() += 1;
            }
        }
        Ok(code)
    }

    /// A mapped object: addresses are those of its symbols.
    fn of_file(path: &Path) -> Result<(Self, ToAddress)> {
        let path = path.canonicalize()?;
        let bytes = fs::read(&path)?;
        let file = object::File::parse(&*bytes)?;
        let functions = file
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition())
            .map(|symbol| Function {
                name: symbol.name().unwrap_or("?").to_owned(),
                start: symbol.address(),
                size: symbol.size(),
            })
            .collect();
        let segments: Vec<(u64, u64, u64)> = file
            .segments()
            .map(|segment| {
                let (offset, size) = segment.file_range();
                (offset, size, segment.address())
            })
            .collect();
        let mappings = mappings(&path)?;
        let to_address = move |at: usize| {
            let (start, _, offset) = mappings
                .iter()
                .find(|(start, end, _)| (*start..*end).contains(&at))?;
            let offset = (at - start) as u64 + offset;
            let (from, _, address) = segments
                .iter()
                .find(|(from, size, _)| (*from..from + size).contains(&offset))?;
            Some(offset - from + address)
        };
        let arguments = vec![path.to_string_lossy().into_owned()];
        let contents = file
            .segments()
            .filter_map(|segment| Some((segment.address(), segment.data().ok()?.to_vec())))
            .collect();
        Ok((
            Self::new(arguments, functions, contents),
            Box::new(to_address),
        ))
    }

    /// Code that another runtime put into memory: addresses are offsets.
    fn of_memory(
        at: usize,
        text: &[u8],
        functions: &[(String, usize, usize)],
        path: &Path,
    ) -> (Self, ToAddress) {
        let machine = if cfg!(target_arch = "x86_64") {
            "i386:x86-64"
        } else {
            "aarch64"
        };
        let arguments = ["-D", "-b", "binary", "-m", machine]
            .map(str::to_owned)
            .into_iter()
            .chain([path.to_string_lossy().into_owned()])
            .collect();
        let functions = functions
            .iter()
            .map(|(name, start, size)| Function {
                name: name.clone(),
                start: *start as u64,
                size: *size as u64,
            })
            .collect();
        let size = text.len();
        let to_address = move |pc: usize| {
            let offset = pc.checked_sub(at).filter(|offset| *offset < size)?;
            Some(offset as u64)
        };
        let contents = vec![(0, text.to_vec())];
        (
            Self::new(arguments, functions, contents),
            Box::new(to_address),
        )
    }

    fn new(
        arguments: Vec<String>,
        mut functions: Vec<Function>,
        contents: Vec<(u64, Vec<u8>)>,
    ) -> Self {
        functions.retain(|function| function.size > 0);
        functions.sort_by_key(|function| function.start);
        Self {
            arguments,
            functions,
            contents,
            hits: BTreeMap::new(),
            samples: 0,
        }
    }

    /// The part of the time that was spent in a function.
    fn share(&self, function: &Function) -> f64 {
        let range = function.start..function.start + function.size;
        let hits: usize = self.hits.range(range).map(|(_, hits)| hits).sum();
        hits as f64 / self.samples.max(1) as f64
    }

    /// The functions by their share, and the code of those that are wanted.
    fn print(&self, view: &View) -> Result<()> {
        let mut ranked: Vec<(f64, &Function)> = self
            .functions
            .iter()
            .map(|function| (self.share(function), function))
            .collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        println!("{} samples", self.samples);
        for (share, function) in ranked.iter().filter(|(share, _)| *share >= 0.01) {
            println!(
                "{:>6.1} %  {:>6} bytes  {}",
                share * 100.0,
                function.size,
                function.name
            );
        }
        let is_named = |function: &Function| {
            let names = |part: &String| function.name.contains(part.as_str());
            view.functions.iter().any(names)
        };
        let any_named = ranked.iter().any(|(_, function)| is_named(function));
        for (place, (share, function)) in ranked.iter().enumerate() {
            let is_wanted = match any_named {
                true => is_named(function),
                false => place == 0 || *share >= HOT_FUNCTION,
            };
            if is_wanted {
                println!("\n{} ({} bytes)", function.name, function.size);
                self.print_function(function, view.is_whole)?;
            }
        }
        Ok(())
    }

    fn print_function(&self, function: &Function, is_whole: bool) -> Result<()> {
        let lines = self.listing(function)?;
        let hits_of = |index: usize| {
            let start = lines[index].0;
            let end = lines
                .get(index + 1)
                .map_or(function.start + function.size, |(next, _)| *next);
            let hits: usize = self
                .hits
                .range(start..end.max(start))
                .map(|(_, hits)| hits)
                .sum();
            hits as f64 / self.samples.max(1) as f64
        };
        let shares: Vec<f64> = (0..lines.len()).map(hits_of).collect();
        let is_near = |index: usize| {
            let around = index.saturating_sub(AROUND)..(index + AROUND + 1).min(lines.len());
            shares[around].iter().any(|share| *share >= HOT_INSTRUCTION)
        };
        let is_cold = !shares.iter().any(|share| *share >= HOT_INSTRUCTION);
        let mut is_gap = false;
        for (index, (address, text)) in lines.iter().enumerate() {
            if !(is_whole || is_cold || is_near(index)) {
                if !is_gap {
                    println!("            …");
                }
                is_gap = true;
                continue;
            }
            is_gap = false;
            let share = match shares[index] {
                share if share >= 0.0005 => format!("{:.1}", share * 100.0),
                _ => String::new(),
            };
            println!("{share:>6} {address:>6x}  {text}");
        }
        Ok(())
    }

    /// Addresses and instructions; a jump table behind its jump is one line.
    fn listing(&self, function: &Function) -> Result<Vec<(u64, String)>> {
        let stop = function.start + function.size;
        let mut lines = self.disassemble(function.start, stop)?;
        let mut from = 0;
        while let Some((jump, table)) = table_behind_jump(&lines, from) {
            let (count, end) = self.table(table, stop);
            lines.truncate(jump + 1);
            lines.push((table, format!("(a jump table of {count} entries)")));
            lines.extend(self.disassemble(end, stop)?);
            from = jump + 2;
        }
        Ok(lines)
    }

    /// How many entries a jump table has, and where it ends: at the first of its targets, at the latest.
    fn table(&self, table: u64, stop: u64) -> (usize, u64) {
        let (mut count, mut end) = (0, stop);
        while let Some(entry) = self.read_i32(table + count * 4) {
            let target = table.wrapping_add_signed(entry.into());
            if table + count * 4 >= end || target <= table || target >= stop {
                break;
            }
            end = end.min(target);
            count += 1;
        }
        (count as usize, table + count * 4)
    }

    fn read_i32(&self, address: u64) -> Option<i32> {
        self.contents.iter().find_map(|(start, bytes)| {
            let offset = usize::try_from(address.checked_sub(*start)?).ok()?;
            let word = bytes.get(offset..offset.checked_add(4)?)?;
            Some(i32::from_le_bytes(word.try_into().ok()?))
        })
    }

    fn disassemble(&self, start: u64, stop: u64) -> Result<Vec<(u64, String)>> {
        let mut command = Command::new("objdump");
        if !self.arguments.contains(&"-D".to_owned()) {
            command.arg("-d");
        }
        if cfg!(target_arch = "x86_64") {
            command.args(["-M", "intel"]);
        }
        command
            .args(["--no-show-raw-insn", "-w"])
            .arg(format!("--start-address={start}"))
            .arg(format!("--stop-address={stop}"))
            .args(&self.arguments);
        let done = command
            .output()
            .map_err(|error| format!("objdump: {error}"))?;
        if !done.status.success() {
            return Err(String::from_utf8_lossy(&done.stderr).into_owned().into());
        }
        let text = String::from_utf8_lossy(&done.stdout);
        Ok(text.lines().filter_map(instruction).collect())
    }
}

/// A jump through a register, the address behind it loaded shortly before: its place in the listing,
/// and that address.
fn table_behind_jump(lines: &[(u64, String)], from: usize) -> Option<(usize, u64)> {
    (from..lines.len().saturating_sub(1)).find_map(|jump| {
        let behind = lines[jump + 1].0;
        let is_jump = lines[jump].1.starts_with("jmp    r");
        let is_loaded = |(_, text): &(u64, String)| {
            let load = text.starts_with("lea ");
            let (_, remark) = text.split_once("# ").filter(|_| load)?;
            let address = remark.split(' ').next()?.trim_start_matches("0x");
            (u64::from_str_radix(address, 16).ok()? == behind).then_some(())
        };
        let before = &lines[jump.saturating_sub(6)..jump];
        (is_jump && before.iter().any(|line| is_loaded(line).is_some())).then_some((jump, behind))
    })
}

/// From an address in this process to one in the file.
type ToAddress = Box<dyn Fn(usize) -> Option<u64>>;

/// An address and an instruction, from a line of `objdump`.
fn instruction(line: &str) -> Option<(u64, String)> {
    let (address, text) = line.trim_start().split_once(':')?;
    let address = u64::from_str_radix(address, 16).ok()?;
    Some((address, text.trim().replace('\t', " ")))
}

/// Where a file is mapped: start, end, offset in it.
fn mappings(path: &Path) -> Result<Vec<(usize, usize, u64)>> {
    let parse = |line: &str| {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let offset = words.nth(1)?;
        let mapped = PathBuf::from(words.nth(2)?);
        let number = |text| usize::from_str_radix(text, 16).ok();
        (mapped == path).then_some(())?;
        Some((number(start)?, number(end)?, number(offset)? as u64))
    };
    let maps = fs::read_to_string("/proc/self/maps")?;
    Ok(maps.lines().filter_map(parse).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_found_among_the_lines_of_a_listing() {
        let line = "    11a3:\tmov    eax,DWORD PTR [rdi+rcx*4]";
        let expected = (0x11a3, "mov    eax,DWORD PTR [rdi+rcx*4]".to_owned());
        assert_eq!(instruction(line), Some(expected));
        assert_eq!(instruction("0000000000001170 <block>:"), None);
        assert_eq!(instruction(""), None);
    }

    #[test]
    fn a_jump_table_is_told_from_code() {
        let listing = |loaded: &str| {
            [
                (0x10, format!("lea    r10,[rip+0x9]        # {loaded}")),
                (0x17, "movsxd rax,DWORD PTR [r10+rsi*4]".to_owned()),
                (0x1b, "add    r10,rax".to_owned()),
                (0x1e, "jmp    r10".to_owned()),
                (0x21, "or     al,0x0".to_owned()),
            ]
        };
        let found = table_behind_jump(&listing("21 <run+0x21>"), 0);
        assert_eq!(found, Some((3, 0x21)));
        assert_eq!(table_behind_jump(&listing("0x21"), 0), Some((3, 0x21)));
        assert_eq!(table_behind_jump(&listing("0x29"), 0), None);

        let entries = [12i32, 12, 20, 0x1000];
        let contents = entries.iter().flat_map(|entry| entry.to_le_bytes());
        let code = Code::new(Vec::new(), Vec::new(), vec![(0x21, contents.collect())]);
        assert_eq!(code.table(0x21, 0x100), (3, 0x2d));
    }
}
