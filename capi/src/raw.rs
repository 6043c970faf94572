//! Host functions that take their parameters where C has them: guests call them with nothing between.

use std::ffi::{c_char, c_void};
use std::mem::{MaybeUninit, transmute};

use loader::{AsStore, Linker, RawCaller};

use crate::error::{self, Failure, Result, answer, given, misuse};
use crate::linker::CLinker;
use crate::signature;
use crate::store::Data;
use crate::text;

/// `precast_raw_func`: a function of the type that is said beside it.
type RawFunc = extern "C" fn();

/// One line per type.
macro_rules! raw_functions {
    ($($spelled:literal ($($param:ty),*) $(-> $result:ty)?;)*) => {
        const ALL: &[&str] = &[$($spelled),*];

        fn define(
            linker: &mut Linker<Data>,
            module: &str,
            name: &str,
            spelled: &str,
            function: RawFunc,
        ) -> Result<()> {
            match spelled {
                $($spelled => {
                    type Function = extern "C" fn(RawCaller<'_>, $($param),*) $(-> $result)?;
                    // SAFETY: the program says that it is of this type, as the header asks;
                    // `RawCaller` is a pointer.
                    let function = unsafe { transmute::<RawFunc, Function>(function) };
                    linker.func_raw(module, name, function);
                })*
                _ => {
                    return Err(misuse(format!(
                        "a raw function cannot be of that type: there are {}",
                        ALL.join(", ")
                    )));
                }
            }
            Ok(())
        }
    };
}

raw_functions! {
    "() -> ()" ();
    "() -> (i32)" () -> i32;
    "(i32) -> ()" (i32);
    "(i32) -> (i32)" (i32) -> i32;
    "(i32, i32) -> ()" (i32, i32);
    "(i32, i32) -> (i32)" (i32, i32) -> i32;
    "(i32, i32, i32) -> ()" (i32, i32, i32);
    "(i32, i32, i32) -> (i32)" (i32, i32, i32) -> i32;
    "(i32, i32, i32, i32) -> (i32)" (i32, i32, i32, i32) -> i32;
    "() -> (i64)" () -> i64;
    "(i64) -> (i64)" (i64) -> i64;
    "(i64, i64) -> (i64)" (i64, i64) -> i64;
    "(i32, i32) -> (i64)" (i32, i32) -> i64;
    "(f64) -> (f64)" (f64) -> f64;
    "(f64, f64) -> (f64)" (f64, f64) -> f64;
}

/// `precast_linker_define_raw`
#[unsafe(no_mangle)]
extern "C" fn precast_linker_define_raw(
    linker: Option<&CLinker>,
    module: *const c_char,
    name: *const c_char,
    ty: *const c_char,
    function: Option<RawFunc>,
) -> Failure {
    error::run(|| {
        let linker = given(linker, "the linker")?;
        let module = text::given(module, "the name of the module")?;
        let name = text::given(name, "the name")?;
        let spelled = signature::func_type(ty)?.to_string();
        let function = given(function, "the function")?;
        linker.change(|linker| define(linker, module, name, &spelled, function))?
    })
}

/// The guest that calls a raw function.
fn caller<'a>(pointer: *const c_void) -> Option<RawCaller<'a>> {
    // SAFETY: what the library passed to a raw function, as the header asks, which is this; it lives
    // until that function returns.
    (!pointer.is_null()).then(|| unsafe { transmute::<*const c_void, RawCaller<'a>>(pointer) })
}

/// `precast_raw_data`
#[unsafe(no_mangle)]
extern "C" fn precast_raw_data(pointer: *const c_void) -> *mut c_void {
    answer(std::ptr::null_mut(), || {
        // SAFETY: all stores of this library hold `Data`.
        let caller = unsafe { caller(pointer)?.into_caller::<Data>() };
        Some(caller.as_store().data().pointer())
    })
}

/// `precast_raw_memory`
#[unsafe(no_mangle)]
extern "C" fn precast_raw_memory(
    pointer: *const c_void,
    len: Option<&mut MaybeUninit<usize>>,
) -> *const u8 {
    answer(std::ptr::null(), || {
        let len = len?;
        len.write(0);
        let mut caller = caller(pointer)?;
        let memory = caller.memory()?;
        len.write(memory.len());
        Some(memory.as_ptr())
    })
}

/// `precast_raw_range`
#[unsafe(no_mangle)]
extern "C" fn precast_raw_range(pointer: *const c_void, offset: u64, len: usize) -> *mut u8 {
    answer(std::ptr::null_mut(), || {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(len)?;
        let mut caller = caller(pointer)?;
        let mut memory = caller.memory()?;
        Some(memory.slice_mut(start..end)?.as_mut_ptr())
    })
}
