//! Profiles: how often each counting point of a module was passed.
//!
//! A profile is a text:
//!
//! ```text
//! precast profile 1
//! module 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//! counters 5120
//! 0 17
//! 3 123456
//! ```
//!
//! The hash is the SHA-256 of the module's bytes. After the number of counters, each line has the
//! number of a counter and its count, in the order of the counters; those that are not named are
//! 0. Profiles of one module are merged by adding their counts.
//!
//! The counters are numbered in the order of the module's text. Each function that the module
//! defines has one for its entry, then, in the order of its operators, reachable or not:
//!
//! - one for each `loop`: how often its body is entered, by whichever way;
//! - one for each `if`: how often its condition held;
//! - one for each `br_if`, `br_on_null` and `br_on_non_null`: how often it was *not* taken;
//! - one for each different label of a `br_table`, in the order in which the table first names
//!   them, the default last: how often control went there.
//!
//! All else follows from these.

use alloc::vec::Vec;
use core::fmt;

const FIRST_LINE: &str = "precast profile 1";

/// More counters than this no object has: instance data is limited to a GiB.
const MAX_COUNTERS: u32 = 1 << 27;

/// How often each counting point of a module was passed.
#[derive(Clone, PartialEq, Eq)]
pub struct Profile {
    module: [u8; 32],
    counts: Vec<u64>,
}

/// Why a text is no profile, or two profiles cannot be merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProfileError {
    /// The text does not start as profiles do.
    NoProfile,
    /// A line is not what its place asks for.
    Line {
        /// Its number, from 1.
        number: usize,
    },
    /// The profiles are of different modules.
    OtherModule,
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProfileError::NoProfile => f.write_str("is not a profile"),
            ProfileError::Line { number } => write!(f, "line {number} is not that of a profile"),
            ProfileError::OtherModule => f.write_str("is a profile of another module"),
        }
    }
}

impl core::error::Error for ProfileError {}

impl Profile {
    /// A profile of the module with this SHA-256.
    pub fn new(module: [u8; 32], counts: Vec<u64>) -> Profile {
        Profile { module, counts }
    }

    /// SHA-256 of the module's bytes.
    pub fn module(&self) -> &[u8; 32] {
        &self.module
    }

    /// The counts, by the numbers of their counters.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Reads the text of a profile.
    ///
    /// # Errors
    ///
    /// If it is none, with the line that gives it away.
    pub fn parse(text: &str) -> Result<Profile, ProfileError> {
        let mut lines = text.lines().zip(1..);
        if lines.next().is_none_or(|(line, _)| line != FIRST_LINE) {
            return Err(ProfileError::NoProfile);
        }
        let mut keyed = |key: &str, number| {
            let line = lines.next().and_then(|(line, _)| line.strip_prefix(key));
            line.and_then(|line| line.strip_prefix(' '))
                .ok_or(ProfileError::Line { number })
        };
        let module = keyed("module", 2)?;
        let module = parse_hash(module).ok_or(ProfileError::Line { number: 2 })?;
        let len: Option<u32> = keyed("counters", 3)?.parse().ok();
        let len = len.filter(|len| *len <= MAX_COUNTERS);
        let len = len.ok_or(ProfileError::Line { number: 3 })?;
        let mut counts = Vec::new();
        counts.resize(len as usize, 0u64);
        let mut next = 0;
        for (line, number) in lines {
            let wrong = ProfileError::Line { number };
            let (counter, count) = line.split_once(' ').ok_or(wrong)?;
            let counter: usize = counter.parse().map_err(|_| wrong)?;
            let count = count.parse().map_err(|_| wrong)?;
            if counter < next {
                return Err(wrong);
            }
            *counts.get_mut(counter).ok_or(wrong)? = count;
            next = counter + 1;
        }
        Ok(Profile { module, counts })
    }

    /// Adds the counts of another profile of the same module. A count that becomes too large
    /// stays at its greatest.
    ///
    /// # Errors
    ///
    /// If it is of another module; this one is as it was then.
    pub fn merge(&mut self, other: &Profile) -> Result<(), ProfileError> {
        if self.module != other.module || self.counts.len() != other.counts.len() {
            return Err(ProfileError::OtherModule);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
        Ok(())
    }
}

fn parse_hash(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 2 * hash.len() {
        return None;
    }
    for (byte, digits) in hash.iter_mut().zip(digits.chunks(2)) {
        for digit in digits {
            let digit = (*digit as char).to_digit(16)?;
            *byte = *byte << 4 | digit as u8;
        }
    }
    Some(hash)
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        f.write_str("module ")?;
        for byte in self.module {
            write!(f, "{byte:02x}")?;
        }
        writeln!(f, "\ncounters {}", self.counts.len())?;
        let counted = self.counts.iter().enumerate();
        for (counter, count) in counted.filter(|(_, count)| **count != 0) {
            writeln!(f, "{counter} {count}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counters = self.counts.len();
        let hash = u32::from_be_bytes([
            self.module[0],
            self.module[1],
            self.module[2],
            self.module[3],
        ]);
        write!(f, "Profile {{ module: {hash:08x}…, counters: {counters} }}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};
    use alloc::vec;

    fn profile() -> Profile {
        let mut module = [0; 32];
        module[0] = 0x9f;
        module[31] = 8;
        Profile::new(module, vec![17, 0, 0, u64::MAX, 0])
    }

    #[test]
    fn a_profile_is_read_as_it_was_written() {
        assert_eq!(Profile::parse(&profile().to_string()), Ok(profile()));
    }

    #[test]
    fn counts_are_added_and_do_not_wrap() {
        let mut sum = profile();
        sum.merge(&profile()).unwrap();
        assert_eq!(sum.counts(), [34, 0, 0, u64::MAX, 0]);
    }

    #[test]
    fn profiles_of_other_modules_are_not_merged() {
        let mut sum = profile();
        let other = Profile::new([0; 32], vec![1; 5]);
        assert_eq!(sum.merge(&other), Err(ProfileError::OtherModule));
        let longer = Profile::new(*sum.module(), vec![1; 6]);
        assert_eq!(sum.merge(&longer), Err(ProfileError::OtherModule));
        assert_eq!(sum, profile());
    }

    #[test]
    fn what_is_no_profile_is_refused_by_its_line() {
        let good = profile().to_string();
        let changed = |from: &str, to: &str| Profile::parse(&good.replace(from, to));
        let line = |number| Err(ProfileError::Line { number });
        assert_eq!(
            changed("profile 1", "profile 2"),
            Err(ProfileError::NoProfile)
        );
        assert_eq!(Profile::parse(""), Err(ProfileError::NoProfile));
        assert_eq!(changed("module 9f", "module 9"), line(2));
        assert_eq!(changed("module 9f", "module 9ä"), line(2));
        assert_eq!(changed("counters 5", "counters 3000000000"), line(3));
        assert_eq!(changed("counters 5", "counters 3"), line(5));
        assert_eq!(changed("0 17", "0"), line(4));
        assert_eq!(changed("0 17", "4 17"), line(5));
        assert_eq!(changed("0 17", "0 18446744073709551616"), line(4));
        let short: String = good.lines().take(2).collect();
        assert!(Profile::parse(&short).is_err());
    }
}
