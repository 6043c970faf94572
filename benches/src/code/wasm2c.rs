//! The module as C again, where `wasm2c` is installed: what a whole C compiler makes of the same bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::contestant::{Contestant, Place, key};
use super::native::{Library, answers, build};
use super::workshop;
use crate::Result;
use crate::kernels::Kernel;

/// `wasm2c`, and the source of its runtime.
#[derive(Clone, Debug)]
pub struct Wasm2c {
    runtime: PathBuf,
}

impl Wasm2c {
    /// The one that is installed, if its runtime is where distributions put it.
    pub fn installed() -> Option<Self> {
        let runtime = Path::new("/usr/share/wabt/wasm2c/wasm-rt-impl.c");
        let is_here = runtime.exists() && answers(&["wasm2c".to_owned()]);
        is_here.then(|| Self {
            runtime: runtime.to_owned(),
        })
    }

    /// Translates, compiles at `-O2`, and loads.
    ///
    /// # Errors
    ///
    /// If one of the tools fails: it has no vectors, for one.
    pub fn contestant(&self, kernel: &Kernel) -> Result<Contestant> {
        let name = kernel.name;
        let wasm = workshop().join(format!("{name}.wasm"));
        if fs::read(&wasm).ok().as_deref() != Some(kernel.wasm) {
            fs::write(&wasm, kernel.wasm)?;
        }
        let translated = workshop().join(format!("{name}-wasm2c.c"));
        // No `-` in the module's name: it becomes a part of identifiers.
        let mut translate = Command::new("wasm2c");
        translate.args(["-n", "guest", "-o"]);
        translate.arg(&translated).arg(&wasm);
        build(&mut translate, &translated, std::slice::from_ref(&wasm))?;
        let wrapper = workshop().join(format!("{name}-wasm2c-run.c"));
        let text = WRAPPER.replace("HEADER", &format!("{name}-wasm2c.h"));
        if fs::read_to_string(&wrapper).ok().as_ref() != Some(&text) {
            fs::write(&wrapper, text)?;
        }
        let library = workshop().join(format!("{name}-wasm2c.so"));
        let mut compile = Command::new("cc");
        compile.args(["-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-w"]);
        // Its own signal handlers would take the other runtimes' place.
        compile.args(["-DWASM_RT_SKIP_SIGNAL_RECOVERY=1", "-ffp-contract=off"]);
        compile.args(["-lm", "-o"]).arg(&library);
        compile.arg(&wrapper).arg(&translated).arg(&self.runtime);
        build(&mut compile, &library, &[translated, wrapper])?;
        let run = Library::open(&library)?.run()?;
        Ok(Contestant {
            key: key::WASM2C.to_owned(),
            code: None,
            place: Place::File(library),
            run: Box::new(move |n| Ok(run(n))),
        })
    }
}

/// One instance, made at the first call.
const WRAPPER: &str = r#"#include "HEADER"
static Z_guest_instance_t instance;
__attribute__((visibility("default"))) int64_t run(int32_t n) {
    static int is_ready;
    if (!is_ready) {
        is_ready = 1;
        wasm_rt_init();
        Z_guest_init_module();
        Z_guest_instantiate(&instance);
    }
    return (int64_t)Z_guestZ_run(&instance, (u32)n);
}
"#;
