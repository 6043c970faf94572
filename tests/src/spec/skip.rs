//! The skip list: scripts that use what the compiler refuses by design, for now.
//!
//! A line names a script, the proposal it needs, and the reason. An assertion of such a script is
//! skipped only where a module that it needs was refused *for that proposal*; everything else in
//! the script has to pass. A line whose script skips nothing any more fails the run.

use std::collections::HashMap;

/// A proposal that may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proposal {
    /// Exception handling: tags, `try_table`, `throw`.
    Exceptions,
    /// Garbage collection: structs, arrays, `i31`, recursive types, casts.
    Gc,
    /// Threads: shared memories and atomic instructions.
    Threads,
}

impl Proposal {
    fn from_word(word: &str) -> Option<Proposal> {
        Some(match word {
            "exceptions" => Proposal::Exceptions,
            "gc" => Proposal::Gc,
            "threads" => Proposal::Threads,
            _ => return None,
        })
    }

    /// The proposal that the compiler means when it refuses `feature`.
    pub fn from_feature(feature: &str) -> Option<Proposal> {
        let feature = feature.to_lowercase();
        let means = |words: &[&str]| words.iter().any(|word| feature.contains(word));
        if means(&["exception"]) {
            Some(Proposal::Exceptions)
        } else if means(&["gc", "garbage", "descriptor", "exact"]) {
            Some(Proposal::Gc)
        } else if means(&["thread", "shared", "atomic"]) {
            Some(Proposal::Threads)
        } else {
            None
        }
    }
}

/// The skip list.
#[derive(Debug, Default)]
pub struct SkipList {
    lines: HashMap<String, Vec<Proposal>>,
}

impl SkipList {
    /// Reads a list: `script proposal[,proposal…] reason` on each line, `#` for remarks.
    ///
    /// # Errors
    ///
    /// The first line that is not of that form.
    pub fn parse(text: &str) -> Result<SkipList, String> {
        let mut list = SkipList::default();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.splitn(3, char::is_whitespace);
            let (Some(script), Some(proposals), Some(_reason)) =
                (words.next(), words.next(), words.next())
            else {
                return Err(format!("not `script proposals reason`: {line}"));
            };
            let proposals = proposals
                .split(',')
                .map(|word| Proposal::from_word(word).ok_or_else(|| format!("no proposal: {line}")))
                .collect::<Result<_, _>>()?;
            if list.lines.insert(script.to_owned(), proposals).is_some() {
                return Err(format!("named twice: {line}"));
            }
        }
        Ok(list)
    }

    /// What the script may lack. Empty for most.
    pub fn proposals(&self, script: &str) -> &[Proposal] {
        self.lines.get(script).map_or(&[], Vec::as_slice)
    }

    /// The scripts that the list names.
    pub fn scripts(&self) -> impl Iterator<Item = &str> {
        self.lines.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_reason_is_refused() {
        assert!(SkipList::parse("a/b.wast gc").is_err());
        assert!(SkipList::parse("a/b.wast simd because").is_err());
        let list = SkipList::parse("# remark\n\na/b.wast gc,exceptions because of that\n").unwrap();
        assert_eq!(
            list.proposals("a/b.wast"),
            [Proposal::Gc, Proposal::Exceptions]
        );
        assert!(list.proposals("a/c.wast").is_empty());
    }
}
