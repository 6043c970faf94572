//! Calling one function: arguments from words, results to words.

use std::ffi::OsString;

use precast::{Error, Extern, FuncType, Instance, Store, Val, ValType};

use crate::failure;

/// Why a function was not called, or did not return.
pub(crate) enum Problem {
    /// The guest failed.
    Guest(Error),
    /// The user asked for what cannot be done.
    Usage(String),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        Problem::Guest(error)
    }
}

/// Calls the exported function `name` with `words` for arguments, and prints its results, one on
/// each line.
pub(crate) fn invoke<T: 'static>(
    store: &mut Store<T>,
    instance: Instance,
    name: &str,
    words: &[OsString],
) -> Result<(), Problem> {
    let Some(Extern::Func(func)) = instance.export(&*store, name) else {
        let others = functions(store, instance);
        return Err(Problem::Usage(format!(
            "exports no function `{name}`; it has: {others}"
        )));
    };
    let ty = func.ty(&*store)?;
    let arguments = parse_all(name, ty, words).map_err(Problem::Usage)?;
    let mut results = vec![Val::I32(0); ty.results().len()];
    func.call(&mut *store, &arguments, &mut results)?;
    let lines: String = results.iter().map(|value| show(value) + "\n").collect();
    failure::print(lines.as_bytes())
        .map_err(|_| Problem::Usage("its results cannot be written to standard output".to_owned()))
}

/// The exported functions with their types, in words.
pub(crate) fn functions<T: 'static>(store: &Store<T>, instance: Instance) -> String {
    let mut words = Vec::new();
    for (name, export) in instance.exports(store).unwrap_or_default() {
        if let Extern::Func(func) = export
            && let Ok(ty) = func.ty(store)
        {
            words.push(format!("{name}{ty}"));
        }
    }
    words.join(", ")
}

fn parse_all(name: &str, ty: FuncType, words: &[OsString]) -> Result<Vec<Val>, String> {
    let params = ty.params();
    if params.len() != words.len() {
        let (takes, given) = (params.len(), words.len());
        return Err(format!(
            "`{name}` has type {ty}: it takes {takes} arguments, not {given}"
        ));
    }
    params
        .iter()
        .zip(words)
        .map(|(ty, word)| {
            let word = word.to_string_lossy();
            parse(*ty, &word).ok_or_else(|| format!("`{word}` is not a value of type {ty}"))
        })
        .collect()
}

/// Reads a value: integers in decimal or with 0x, of either sign; floats; v128 as one integer;
/// `null` for references.
fn parse(ty: ValType, word: &str) -> Option<Val> {
    Some(match ty {
        ValType::I32 => {
            let value = parse_integer(word)?;
            Val::I32(
                i32::try_from(value)
                    .or_else(|_| u32::try_from(value).map(|v| v as i32))
                    .ok()?,
            )
        }
        ValType::I64 => {
            let value = parse_integer(word)?;
            Val::I64(
                i64::try_from(value)
                    .or_else(|_| u64::try_from(value).map(|v| v as i64))
                    .ok()?,
            )
        }
        ValType::F32 => Val::F32(word.parse::<f32>().ok()?.to_bits()),
        ValType::F64 => Val::F64(word.parse::<f64>().ok()?.to_bits()),
        ValType::V128 => Val::V128(match word.strip_prefix("0x") {
            Some(digits) => u128::from_str_radix(digits, 16).ok()?,
            None => word.parse().ok()?,
        }),
        ValType::Ref(_) if word == "null" => Val::default_of(ty)?,
        ValType::Ref(_) => return None,
    })
}

fn parse_integer(word: &str) -> Option<i128> {
    let (negative, digits) = match word.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, word),
    };
    let value: u64 = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None if digits.starts_with(|c: char| c.is_ascii_digit()) => digits.parse().ok()?,
        None => return None,
    };
    Some(if negative {
        -i128::from(value)
    } else {
        value.into()
    })
}

fn show(value: &Val) -> String {
    match value {
        Val::I32(value) => value.to_string(),
        Val::I64(value) => value.to_string(),
        Val::F32(bits) => f32::from_bits(*bits).to_string(),
        Val::F64(bits) => f64::from_bits(*bits).to_string(),
        Val::V128(bits) => format!("{bits:#034x}"),
        Val::FuncRef(None) | Val::ExternRef(None) | Val::ExnRef(None) | Val::AnyRef(None) => {
            "null".to_owned()
        }
        Val::FuncRef(Some(_)) => "a function".to_owned(),
        Val::ExternRef(Some(_)) => "a reference".to_owned(),
        Val::ExnRef(Some(_)) => "an exception".to_owned(),
        Val::AnyRef(Some(_)) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn i32_of(word: &str) -> Option<i32> {
        parse(ValType::I32, word)?.i32()
    }

    #[test]
    fn integers_of_either_sign() {
        assert_eq!(i32_of("-1"), Some(-1));
        assert_eq!(i32_of("4294967295"), Some(-1));
        assert_eq!(i32_of("0xffffffff"), Some(-1));
        assert_eq!(i32_of("-0x80000000"), Some(i32::MIN));
        for bad in [
            "4294967296",
            "-2147483649",
            "",
            "-",
            "+1",
            "0x",
            "--1",
            "1.5",
            "x",
        ] {
            assert_eq!(i32_of(bad), None, "{bad}");
        }
        assert_eq!(
            parse(ValType::I64, "18446744073709551615").and_then(Val::i64),
            Some(-1)
        );
    }

    #[test]
    fn floats_print_as_they_are_read() {
        for word in ["1.5", "-0", "inf", "NaN", "1000000000000000000000"] {
            assert_eq!(show(&parse(ValType::F64, word).unwrap()), word);
        }
    }

    #[test]
    fn references_can_only_be_null() {
        assert!(parse(ValType::EXTERNREF, "null").is_some());
        assert!(parse(ValType::EXTERNREF, "1").is_none());
    }
}
