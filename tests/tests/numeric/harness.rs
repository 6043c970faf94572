//! Compiles small functions in every way and calls them.

use precast::{Error, Extern, Linker, Store, Val};
use precast_abi::trap::TrapCode;
use precast_compiler::{Cpu, OptLevel, Options};
use precast_tests::trusted::{self, Refusal};

/// What a function gives: bits of its results, or the reason why it trapped.
pub(super) type Outcome = Result<Vec<u128>, TrapCode>;

/// Runs `check` with a caller for the module, once for each CPU level that this machine has and
/// each optimisation level.
pub(super) fn for_each_variant(wat: &str, mut check: impl FnMut(&str, &mut Caller)) {
    let wasm = wat::parse_str(wat).expect("the test's own module");
    for cpu in ["baseline", "x86-64-v2", "x86-64-v3", "x86-64-v4"] {
        for opt in [OptLevel::None, OptLevel::Speed] {
            let options = Options {
                cpu: Cpu::parse(cpu).expect("a CPU level"),
                opt,
                ..Options::default()
            };
            let module = match trusted::open(&wasm, &options) {
                Ok(module) => module,
                // A CPU level that this machine does not reach.
                Err(Refusal::Open(_)) if cpu == "x86-64-v3" || cpu == "x86-64-v4" => continue,
                Err(error) => panic!("{cpu}: {error}"),
            };
            let mut store = Store::new(());
            let instance = Linker::new()
                .instantiate(&mut store, &module)
                .expect("no imports");
            let mut caller = Caller { store, instance };
            check(&format!("{cpu}, {opt:?}"), &mut caller);
        }
    }
}

/// An instance whose exports can be called.
pub(super) struct Caller {
    store: Store<()>,
    instance: precast::Instance,
}

impl Caller {
    /// Calls an export.
    pub(super) fn call(&mut self, name: &str, args: &[Val]) -> Outcome {
        let Some(Extern::Func(func)) = self.instance.export(&self.store, name) else {
            panic!("{name} is no function of the test's module");
        };
        let ty = func.ty(&self.store).expect("its own store");
        let results = ty.results();
        let default = |ty: &precast::ValType| Val::default_of(*ty).expect("numbers only");
        let mut values: Vec<Val> = results.iter().map(default).collect();
        match func.call(&mut self.store, args, &mut values) {
            Ok(()) => Ok(values.into_iter().map(bits).collect()),
            Err(Error::Trap(trap)) => Err(trap.code()),
            Err(error) => panic!("{name}: {error}"),
        }
    }

    /// Calls an export with one result that is expected to return.
    pub(super) fn get(&mut self, name: &str, args: &[Val]) -> u128 {
        match self.call(name, args) {
            Ok(results) => results[0],
            Err(code) => panic!("{name}{args:x?} trapped: {code}"),
        }
    }
}

fn bits(value: Val) -> u128 {
    match value {
        Val::I32(x) => (x as u32).into(),
        Val::I64(x) => (x as u64).into(),
        Val::F32(x) => x.into(),
        Val::F64(x) => x.into(),
        Val::V128(x) => x,
        Val::FuncRef(_) | Val::ExternRef(_) | Val::ExnRef(_) | Val::AnyRef(_) => {
            panic!("numbers only")
        }
    }
}

/// A module with one function per operator: its parameters are the operator's operands.
pub(super) fn module_of(operators: &[(&str, &[&str], &[&str])]) -> String {
    let mut wat = String::from("(module\n");
    for (name, params, results) in operators {
        let operands: String = (0..params.len())
            .map(|n| format!(" (local.get {n})"))
            .collect();
        wat += &format!(
            "(func (export \"{name}\") (param {}) (result {}) ({name}{operands}))\n",
            params.join(" "),
            results.join(" ")
        );
    }
    wat + ")"
}
