//! Running as a bundle: this very program with an object at its end. See `bundle.rs`.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use precast::Module;

use crate::args::RunArgs;
use crate::failure::Failure;
use crate::{run, units};

/// Where a bundle's contents are noted. It is data that no code of the program ever writes, and
/// must not be taken for a constant: what is in the file when it starts counts.
#[repr(C, align(16))]
pub(crate) struct Slot {
    magic: [AtomicU64; 4],
    start: AtomicU64,
    object_len: AtomicU64,
    settings_len: AtomicU64,
    check: AtomicU64,
}

static SLOT: Slot = Slot {
    magic: [
        AtomicU64::new(0x00be_7fd7_15c3_a61f),
        AtomicU64::new(0x7a5b_3d0e_9c21_f8d4),
        AtomicU64::new(0xc4e6_0b92_5f1d_87a3),
        AtomicU64::new(0x1d93_e2b8_46fa_0c71),
    ],
    start: AtomicU64::new(0),
    object_len: AtomicU64::new(0),
    settings_len: AtomicU64::new(0),
    check: AtomicU64::new(0),
};

impl Slot {
    pub(crate) const MAGIC_LEN: usize = 32;

    /// A blank slot, as it stands in a runner.
    #[cfg_attr(
        not(feature = "compile"),
        allow(dead_code, reason = "made by `bundle`")
    )]
    pub(crate) fn blank() -> [u8; 64] {
        let mut bytes = [0; 64];
        let magic = black_box(&SLOT).magic.iter();
        for (field, word) in bytes.chunks_exact_mut(8).zip(magic) {
            field.copy_from_slice(&word.load(Ordering::SeqCst).to_le_bytes());
        }
        bytes
    }
}

/// Where the contents of a bundle are, in bytes of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) start: u64,
    pub(crate) object_len: u64,
    pub(crate) settings_len: u64,
}

impl Contents {
    /// What this program's own slot says; `None` where it is blank.
    fn of_this_program() -> Option<(Contents, u64)> {
        let slot = black_box(&SLOT);
        let read = |field: &AtomicU64| field.load(Ordering::SeqCst);
        let contents = Contents {
            start: read(&slot.start),
            object_len: read(&slot.object_len),
            settings_len: read(&slot.settings_len),
        };
        (contents.start != 0).then(|| (contents, read(&slot.check)))
    }

    /// The slot of a bundle with these contents.
    #[cfg_attr(
        not(feature = "compile"),
        allow(dead_code, reason = "made by `bundle`")
    )]
    pub(crate) fn slot(&self, settings: &[u8]) -> [u8; 64] {
        let mut bytes = Slot::blank();
        let fields = [
            self.start,
            self.object_len,
            self.settings_len,
            self.check(settings),
        ];
        let places = bytes[Slot::MAGIC_LEN..].chunks_exact_mut(8);
        for (place, field) in places.zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    /// FNV-1a of the numbers and the settings: against accidents, not against attackers, who could
    /// change the code as well.
    fn check(&self, settings: &[u8]) -> u64 {
        let numbers = [self.start, self.object_len, self.settings_len].map(u64::to_le_bytes);
        numbers
            .as_flattened()
            .iter()
            .chain(settings)
            .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
            })
    }
}

/// Something that was said when the bundle was made, as it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    /// `--dir`
    Dir(String),
    /// `--env`
    Env(String),
    /// `--timeout`
    Timeout(String),
    /// `--max-memory`
    MaxMemory(String),
}

/// Writes settings down: a letter and the words of each, ended by a zero byte.
#[cfg_attr(
    not(feature = "compile"),
    allow(dead_code, reason = "made by `bundle`")
)]
pub(crate) fn encode(settings: &[Setting]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for setting in settings {
        let (letter, words) = match setting {
            Setting::Dir(words) => (b'd', words),
            Setting::Env(words) => (b'e', words),
            Setting::Timeout(words) => (b't', words),
            Setting::MaxMemory(words) => (b'm', words),
        };
        bytes.push(letter);
        bytes.extend_from_slice(words.as_bytes());
        bytes.push(0);
    }
    bytes
}

/// Reads what [`encode`] wrote.
fn decode(bytes: &[u8]) -> Option<Vec<Setting>> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.split_terminator('\0')
        .map(|setting| {
            let words = setting.get(1..)?.to_owned();
            Some(match setting.as_bytes()[0] {
                b'd' => Setting::Dir(words),
                b'e' => Setting::Env(words),
                b't' => Setting::Timeout(words),
                b'm' => Setting::MaxMemory(words),
                _ => return None,
            })
        })
        .collect()
}

/// Runs what is bundled with this program; `None` where nothing is.
pub(crate) fn run() -> Option<ExitCode> {
    let (contents, check) = Contents::of_this_program()?;
    let mut words = std::env::args_os();
    let name = words
        .next()
        .map_or_else(|| PathBuf::from("bundle"), PathBuf::from);
    let done = read(&name, contents, check).and_then(|(module, mut args)| {
        args.args = words.collect();
        run::run_module(&args, module)
    });
    Some(match done {
        // The low byte is what a parent sees, whatever way a program ends.
        Ok(code) => ExitCode::from(code as u8),
        Err(failure) => failure.report(),
    })
}

/// This program's own file, whatever has become of its name.
const SELF: &str = "/proc/self/exe";

/// The module, and how it is to be run.
fn read(name: &Path, contents: Contents, check: u64) -> Result<(Module, RunArgs), Failure> {
    let damaged = |what: &str| {
        Failure::at(
            name,
            format!("the bundle is damaged: {what}; make it again"),
        )
    };
    let settings_start = contents.start.checked_add(contents.object_len);
    let end = settings_start.and_then(|start| start.checked_add(contents.settings_len));
    let (Some(settings_start), Some(end)) = (settings_start, end) else {
        return Err(damaged("its sizes make no sense"));
    };
    let fail = |error| Failure::at(name, format!("cannot read its own file: {error}"));
    let file = File::open(SELF).map_err(fail)?;
    let len = file.metadata().map_err(fail)?.len();
    if end > len {
        return Err(damaged(&format!("{len} of {end} bytes are there")));
    }
    let mut settings = vec![0; contents.settings_len as usize];
    file.read_exact_at(&mut settings, settings_start)
        .map_err(fail)?;
    if contents.check(&settings) != check {
        return Err(damaged("its settings were changed"));
    }
    let args = decode(&settings).and_then(|settings| run_args(name, settings));
    let args = args.ok_or_else(|| damaged("its settings make no sense"))?;
    // SAFETY: who runs this program trusts it, and this is a part of it. The file cannot be written
    // to while it is executed.
    let module = unsafe { Module::open_part(SELF, contents.start, contents.object_len) };
    let module = module.map_err(|error| damaged(&error.to_string()))?;
    Ok((module, args))
}

/// The settings as arguments of `precast run`.
fn run_args(name: &Path, settings: Vec<Setting>) -> Option<RunArgs> {
    let mut args = RunArgs::of_file(name.to_owned());
    for setting in settings {
        match setting {
            Setting::Dir(words) => args.dir.push(words.parse().ok()?),
            Setting::Env(words) => args.env.push(units::parse_env(&words).ok()?),
            Setting::Timeout(words) => args.timeout = Some(units::parse_duration(&words).ok()?),
            Setting::MaxMemory(words) => args.max_memory = Some(units::parse_size(&words).ok()?),
        }
    }
    Some(args)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_as_they_were() {
        let settings = vec![
            Setting::Dir("data::/:ro".to_owned()),
            Setting::Env("A=b c".to_owned()),
            Setting::Env("B=".to_owned()),
            Setting::Timeout("2s".to_owned()),
            Setting::MaxMemory("64M".to_owned()),
        ];
        let bytes = encode(&settings);
        assert_eq!(decode(&bytes), Some(settings.clone()));
        let args = run_args(Path::new("app"), settings).expect("they make sense");
        assert_eq!((args.dir.len(), args.env.len()), (1, 2));
        assert_eq!(args.max_memory, Some(64 << 20));
        assert_eq!(decode(b""), Some(Vec::new()));
        for nonsense in [&b"x1\0"[..], b"\0", b"d\xff\0"] {
            assert_eq!(decode(nonsense), None);
        }
    }

    #[test]
    fn this_program_is_no_bundle() {
        assert!(Contents::of_this_program().is_none());
    }

    #[test]
    fn every_number_is_checked() {
        let contents = Contents {
            start: 4096,
            object_len: 10,
            settings_len: 3,
        };
        let check = contents.check(b"d.\0");
        let other = Contents {
            object_len: 11,
            ..contents
        };
        assert_ne!(other.check(b"d.\0"), check);
        assert_ne!(contents.check(b"e.\0"), check);
    }
}
