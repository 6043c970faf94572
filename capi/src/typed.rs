//! Calls of functions of the most common types: checked once, and then without arrays of values.

use std::ffi::c_char;
use std::mem::MaybeUninit;

use loader::{AsStore, AsStoreMut, TemplateFunc, TypedFunc};

use crate::error::{self, Failure, Result, given, misuse};
use crate::pool::{CSandbox, CTemplate};
use crate::signature;
use crate::store::{self, CStore};
use crate::text;
use crate::value::CFunc;

/// `precast_typed_func`: a `TypedFunc` of the types that the tag stands for.
#[repr(C)]
pub(crate) struct CTypedFunc {
    tag: u64,
    func: MaybeUninit<[u64; WORDS]>,
}

/// `precast_template_func`: a `TemplateFunc` of the types that the tag stands for.
#[repr(C)]
pub(crate) struct CTemplateFunc {
    tag: u64,
    func: MaybeUninit<[u64; WORDS]>,
}

/// Room for either.
const WORDS: usize = 7;

/// Puts a function that is plain data in a record.
fn store_in<F: Copy>(func: F) -> MaybeUninit<[u64; WORDS]> {
    const { assert!(size_of::<F>() <= WORDS * 8 && align_of::<F>() <= 8) };
    let mut room = MaybeUninit::<[u64; WORDS]>::uninit();
    // SAFETY: it fits, as was just asserted.
    unsafe { room.as_mut_ptr().cast::<F>().write(func) };
    room
}

/// # Safety
///
/// `room` must be what [`store_in`] made of an `F`.
unsafe fn read_from<F: Copy>(room: &MaybeUninit<[u64; WORDS]>) -> F {
    // SAFETY: the caller's promise.
    unsafe { room.as_ptr().cast::<F>().read() }
}

/// The type of a result, of which there may be none.
macro_rules! result {
    () => {
        ()
    };
    ($result:ty) => {
        $result
    };
}

/// One line per type: a tag, the function that calls, its type, parameters and result.
macro_rules! signatures {
    ($($tag:literal $call:ident $spelled:literal
       ($($arg:ident: $param:ty),*) $(-> $result:ty)?;)*) => {
        /// The types that there are, for messages.
        const ALL: &[&str] = &[$($spelled),*];

        fn of_func(
            tag: u64,
            store: &store::InUse<'_>,
            func: loader::Func,
        ) -> Result<CTypedFunc> {
            Ok(match tag {
                $($tag => {
                    type Func = TypedFunc<($($param,)*), result!($($result)?)>;
                    let func: Func = func.typed(store.as_store())?;
                    CTypedFunc { tag, func: store_in(func) }
                })*
                _ => return Err(unknown()),
            })
        }

        fn of_template(
            tag: u64,
            template: &CTemplate,
            name: &str,
        ) -> Result<CTemplateFunc> {
            Ok(match tag {
                $($tag => {
                    type Func = TemplateFunc<($($param,)*), result!($($result)?)>;
                    let func: Func = template.0.func(name)?;
                    CTemplateFunc { tag, func: store_in(func) }
                })*
                _ => return Err(unknown()),
            })
        }

        fn bind(func: &CTemplateFunc, sandbox: &CSandbox) -> Result<CTypedFunc> {
            Ok(match func.tag {
                $($tag => {
                    type Func = TemplateFunc<($($param,)*), result!($($result)?)>;
                    // SAFETY: `of_template` made a record with this tag of such a function.
                    let func: Func = unsafe { read_from(&func.func) };
                    let func = sandbox.with(|sandbox| Ok(func.bind(sandbox)?))?;
                    CTypedFunc { tag: $tag, func: store_in(func) }
                })*
                _ => return Err(unknown()),
            })
        }

        fn tag_of(ty: loader::FuncType) -> Result<u64> {
            let found = [$(($tag, $spelled)),*]
                .into_iter()
                .find(|(_, spelled)| *spelled == ty.to_string());
            Ok(found.ok_or_else(unknown)?.0)
        }

        $(
            #[doc = concat!("`", stringify!($call), "`")]
            #[unsafe(no_mangle)]
            extern "C" fn $call(
                store: Option<&CStore>,
                func: Option<&CTypedFunc>,
                $($arg: $param,)*
                $(result: Option<&mut MaybeUninit<$result>>,)?
            ) -> Failure {
                error::run(|| {
                    let func = given(func, "the function")?;
                    if func.tag != $tag {
                        return Err(wrong_type($spelled));
                    }
                    type Func = TypedFunc<($($param,)*), result!($($result)?)>;
                    // SAFETY: `of_func` or `bind` made a record with this tag of such a function.
                    let func: Func = unsafe { read_from(&func.func) };
                    $(let result: &mut MaybeUninit<$result> = given(result, "the place for the result")?;)?
                    let mut store = store::enter(store)?;
                    let value = func.call(store.as_store_mut(), ($($arg,)*))?;
                    $(
                        let value: $result = value;
                        result.write(value);
                    )?
                    let _ = value;
                    Ok(())
                })
            }
        )*
    };
}

signatures! {
    1 precast_call_v_v "() -> ()" ();
    2 precast_call_v_i "() -> (i32)" () -> i32;
    3 precast_call_i_v "(i32) -> ()" (a: i32);
    4 precast_call_i_i "(i32) -> (i32)" (a: i32) -> i32;
    5 precast_call_ii_v "(i32, i32) -> ()" (a: i32, b: i32);
    6 precast_call_ii_i "(i32, i32) -> (i32)" (a: i32, b: i32) -> i32;
    7 precast_call_iii_v "(i32, i32, i32) -> ()" (a: i32, b: i32, c: i32);
    8 precast_call_iii_i "(i32, i32, i32) -> (i32)" (a: i32, b: i32, c: i32) -> i32;
    9 precast_call_iiii_i "(i32, i32, i32, i32) -> (i32)" (a: i32, b: i32, c: i32, d: i32) -> i32;
    10 precast_call_v_l "() -> (i64)" () -> i64;
    11 precast_call_l_l "(i64) -> (i64)" (a: i64) -> i64;
    12 precast_call_ll_l "(i64, i64) -> (i64)" (a: i64, b: i64) -> i64;
    13 precast_call_ii_l "(i32, i32) -> (i64)" (a: i32, b: i32) -> i64;
    14 precast_call_d_d "(f64) -> (f64)" (a: f64) -> f64;
    15 precast_call_dd_d "(f64, f64) -> (f64)" (a: f64, b: f64) -> f64;
}

fn unknown() -> Box<error::Error> {
    misuse(format!(
        "there is no call of that type: there are {}",
        ALL.join(", ")
    ))
}

#[cold]
fn wrong_type(called: &str) -> Box<error::Error> {
    misuse(format!(
        "the function is not of type {called}, or was never set"
    ))
}

/// `precast_func_typed`
#[unsafe(no_mangle)]
extern "C" fn precast_func_typed(
    store: Option<&CStore>,
    func: CFunc,
    ty: *const c_char,
    out: Option<&mut MaybeUninit<CTypedFunc>>,
) -> Failure {
    error::run(|| {
        let out = given(out, "the place for the result")?;
        let tag = tag_of(signature::func_type(ty)?)?;
        let store = store::enter(store)?;
        out.write(of_func(tag, &store, func.get()?)?);
        Ok(())
    })
}

/// `precast_template_get_func`
#[unsafe(no_mangle)]
extern "C" fn precast_template_get_func(
    template: Option<&CTemplate>,
    name: *const c_char,
    ty: *const c_char,
    out: Option<&mut MaybeUninit<CTemplateFunc>>,
) -> Failure {
    error::run(|| {
        let out = given(out, "the place for the result")?;
        let template = given(template, "the template")?;
        let name = text::given(name, "the name")?;
        let tag = tag_of(signature::func_type(ty)?)?;
        out.write(of_template(tag, template, name)?);
        Ok(())
    })
}

/// `precast_sandbox_bind`
#[unsafe(no_mangle)]
extern "C" fn precast_sandbox_bind(
    sandbox: Option<&CSandbox>,
    func: Option<&CTemplateFunc>,
    out: Option<&mut MaybeUninit<CTypedFunc>>,
) -> Failure {
    error::run(|| {
        let out = given(out, "the place for the result")?;
        let func = given(func, "the function")?;
        out.write(bind(func, given(sandbox, "the sandbox")?)?);
        Ok(())
    })
}
