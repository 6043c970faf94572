//! Which proposals modules may use: a policy of whoever compiles them.

use crate::error::CompileError;
use crate::module::features::SUPPORTED;
use wasmparser::WasmFeatures as F;

/// A set of proposals. [`Features::default`] is all that the compiler translates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features(F);

/// A proposal: its name, what it is to the validator, and what it builds on.
struct Proposal {
    name: &'static str,
    own: F,
    needs: F,
}

const fn proposal(name: &'static str, own: F, needs: F) -> Proposal {
    Proposal { name, own, needs }
}

/// Every proposal that can be named, those of 2.0 included.
const PROPOSALS: [Proposal; 19] = [
    proposal("mutable-global", F::MUTABLE_GLOBAL, F::empty()),
    proposal("sign-extension", F::SIGN_EXTENSION, F::empty()),
    proposal(
        "saturating-float-to-int",
        F::SATURATING_FLOAT_TO_INT,
        F::empty(),
    ),
    proposal("multi-value", F::MULTI_VALUE, F::empty()),
    proposal(
        "bulk-memory",
        F::BULK_MEMORY.union(F::BULK_MEMORY_OPT),
        F::empty(),
    ),
    proposal(
        "reference-types",
        F::REFERENCE_TYPES.union(F::CALL_INDIRECT_OVERLONG),
        F::empty(),
    ),
    proposal("simd", F::SIMD, F::empty()),
    proposal("relaxed-simd", F::RELAXED_SIMD, F::SIMD),
    proposal("tail-call", F::TAIL_CALL, F::empty()),
    proposal("extended-const", F::EXTENDED_CONST, F::empty()),
    proposal("multi-memory", F::MULTI_MEMORY, F::empty()),
    proposal("memory64", F::MEMORY64, F::empty()),
    proposal(
        "function-references",
        F::FUNCTION_REFERENCES,
        F::REFERENCE_TYPES,
    ),
    proposal("custom-page-sizes", F::CUSTOM_PAGE_SIZES, F::empty()),
    proposal("wide-arithmetic", F::WIDE_ARITHMETIC, F::empty()),
    proposal("threads", F::THREADS, F::empty()),
    proposal("exceptions", F::EXCEPTIONS, F::REFERENCE_TYPES),
    proposal(
        "gc",
        F::GC,
        F::REFERENCE_TYPES.union(F::FUNCTION_REFERENCES),
    ),
    proposal("legacy-exceptions", F::LEGACY_EXCEPTIONS, F::empty()),
];

/// What a list can begin with.
const BASES: [(&str, F); 4] = [
    ("mvp", F::MVP),
    ("wasm1", F::WASM1),
    ("wasm2", F::WASM2),
    ("all", SUPPORTED),
];

impl Default for Features {
    fn default() -> Features {
        Features(SUPPORTED)
    }
}

impl Features {
    /// The set that a list describes: `mvp`, `wasm1`, `wasm2` or `all` (which a list without one of them
    /// begins with), then `+name` and `-name`, separated by commas. What a proposal builds on comes and
    /// goes with it.
    ///
    /// # Errors
    ///
    /// [`CompileError::Options`] for an unknown name; the message lists all there are.
    pub fn parse(list: &str) -> Result<Features, CompileError> {
        let mut set = SUPPORTED;
        for (index, word) in list.split(',').enumerate() {
            let base = BASES.iter().find(|(name, _)| *name == word);
            match (base, word.get(..1), word.get(1..)) {
                (Some((_, base)), _, _) if index == 0 => set = *base,
                (_, Some("+"), Some(name)) => {
                    let proposal = find(name)?;
                    set = set.union(proposal.own).union(proposal.needs);
                }
                (_, Some("-"), Some(name)) => {
                    let own = find(name)?.own;
                    let builds = PROPOSALS.iter().filter(|one| own.intersects(one.needs));
                    set = builds.fold(set.difference(own), |set, one| set.difference(one.own));
                }
                _ => return Err(unknown(word)),
            }
        }
        Ok(Features(set))
    }

    pub(crate) fn set(self) -> F {
        self.0
    }

    /// The first proposal that is not in the set and that `is_needed`.
    pub(crate) fn missing(self, is_needed: impl Fn(F) -> bool) -> Option<&'static str> {
        let left_out = PROPOSALS.iter().filter(|one| !self.0.contains(one.own));
        left_out
            .filter(|one| is_needed(one.own))
            .map(|one| one.name)
            .next()
    }
}

fn find(name: &str) -> Result<&'static Proposal, CompileError> {
    let known = PROPOSALS.iter().find(|one| one.name == name);
    known.ok_or_else(|| unknown(name))
}

fn unknown(word: &str) -> CompileError {
    let bases = BASES.map(|(name, _)| name).join(", ");
    let names = PROPOSALS.map(|one| one.name).join(", ");
    CompileError::Options {
        message: format!(
            "unknown proposal {word:?}: a list begins with one of {bases}, and goes on with + or - and one of {names}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, compile};

    fn refusal(list: &str, wat: &str) -> Option<CompileError> {
        let wasm = wat::parse_str(wat).expect("a module");
        let options = Options {
            features: Features::parse(list).expect("a list"),
            ..Options::default()
        };
        compile(&wasm, &options).err()
    }

    #[track_caller]
    fn excluded(list: &str, wat: &str, name: &str) {
        match refusal(list, wat) {
            Some(CompileError::Excluded { feature, .. }) => assert_eq!(feature, name),
            other => panic!("{list}: {other:?}"),
        }
    }

    const ATOMIC: &str = "(module (memory 1) (func (drop (i32.atomic.load (i32.const 0)))))";
    const VECTOR: &str = "(module (func (param v128)))";

    #[test]
    fn what_a_list_leaves_out_is_refused_by_name() {
        excluded("-threads", ATOMIC, "threads");
        excluded("wasm2", ATOMIC, "threads");
        excluded("mvp,+threads", VECTOR, "simd");
        excluded("-simd", VECTOR, "simd");
        excluded(
            "-bulk-memory",
            "(module (memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0))))",
            "bulk-memory",
        );
        excluded("wasm2", "(module (memory 1) (memory 1))", "multi-memory");
        let both = "(module (memory 1 1 shared) (func (param v128)))";
        assert!(matches!(
            refusal("mvp", both),
            Some(CompileError::Excluded { .. })
        ));
        for (list, wat) in [
            ("mvp,+threads", ATOMIC),
            ("all", ATOMIC),
            ("mvp,+simd", VECTOR),
            ("mvp,+relaxed-simd", VECTOR),
            ("wasm2", VECTOR),
            ("mvp", "(module (func (result i32) (i32.const 1)))"),
        ] {
            assert_eq!(refusal(list, wat), None, "{list}");
        }
    }

    #[test]
    fn what_is_wrong_or_not_translated_stays_so() {
        let invalid = refusal("mvp", "(module (func (result i32)))");
        assert!(matches!(invalid, Some(CompileError::Invalid { .. })));
        let lacking = refusal("mvp", "(module (type $f (func)) (type (cont $f)))");
        assert!(
            matches!(lacking, Some(CompileError::Unsupported { .. })),
            "{lacking:?}"
        );
    }

    #[test]
    fn lists_are_read_or_refused_with_what_there_is() {
        assert_eq!(Features::parse("all"), Ok(Features::default()));
        assert_eq!(
            Features::parse("-simd"),
            Features::parse("all,-relaxed-simd,-simd")
        );
        for bad in [
            "",
            "simd",
            "mvp,all",
            "mvp,simd",
            "+continuations",
            "-",
            "é",
        ] {
            let error = Features::parse(bad).unwrap_err().to_string();
            assert!(error.contains("wide-arithmetic"), "{error}");
        }
    }

    #[test]
    fn every_proposal_that_is_translated_has_a_name() {
        let named = PROPOSALS.iter().fold(F::MVP, |set, one| set.union(one.own));
        assert_eq!(named, SUPPORTED.union(F::MVP));
    }
}
