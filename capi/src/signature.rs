//! Types as text: `(i32, f64) -> (i64)`.

use std::ffi::c_char;

use loader::{FuncType, ValType};

use crate::error::{Result, misuse};
use crate::text;

/// The function type that a string of C's spells. Parentheses and commas may be left out.
pub(crate) fn func_type(spelled: *const c_char) -> Result<FuncType> {
    let spelled = text::given(spelled, "the type")?;
    let (params, results) = spelled.split_once("->").ok_or_else(|| {
        misuse(format!(
            "the type {spelled:?} has no `->`: write it as `(i32, i64) -> (f64)`"
        ))
    })?;
    Ok(FuncType::new(list(params)?, list(results)?))
}

/// The type of a value that a string of C's spells.
pub(crate) fn val_type(spelled: *const c_char) -> Result<ValType> {
    word(text::given(spelled, "the type")?.trim())
}

fn list(types: &str) -> Result<Vec<ValType>> {
    let types = types.trim();
    let types = match types.strip_prefix('(') {
        Some(rest) => rest
            .strip_suffix(')')
            .ok_or_else(|| misuse(format!("`{types}` has no closing parenthesis")))?,
        None => types,
    };
    let is_between = |c: char| c == ',' || c.is_whitespace();
    types
        .split(is_between)
        .filter(|found| !found.is_empty())
        .map(word)
        .collect()
}

fn word(found: &str) -> Result<ValType> {
    Ok(match found {
        "i32" => ValType::I32,
        "i64" => ValType::I64,
        "f32" => ValType::F32,
        "f64" => ValType::F64,
        "v128" => ValType::V128,
        "funcref" => ValType::FUNCREF,
        "externref" => ValType::EXTERNREF,
        _ => {
            return Err(misuse(format!(
                "`{found}` is not a type: there are i32, i64, f32, f64, v128, funcref and externref"
            )));
        }
    })
}
