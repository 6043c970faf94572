//! `--emit header`: what a C program must know of a module that is linked with it.
//!
//! Names in a module are anyone's words. In the header they stand between quotes, with everything
//! but letters, digits and a few marks written as octal escapes, so that no name can end a string
//! or a comment, continue a line, or spell a trigraph; as parts of macro names everything else
//! becomes `_`.

use std::collections::BTreeSet;
use std::fmt::Write;

use wasmparser::{RefType, ValType};

use crate::error::CompileError;
use crate::module::{Entity, FuncType, Memory, ModuleInfo, Table};
use crate::options::Options;

/// Names longer than this get no macro: C compilers need not take longer strings.
const LONGEST_NAME: usize = 500;
/// How much of a name becomes part of a macro's name.
const LONGEST_WORD: usize = 100;

/// The header of a module.
pub(crate) fn write(module: &ModuleInfo<'_>, options: &Options) -> Result<Vec<u8>, CompileError> {
    let symbol = options.object_symbol()?;
    let mut out = String::new();
    let guard = format!("PRECAST_MODULE_{}_H", symbol.to_ascii_uppercase());
    write_preface(&mut out, symbol, module);
    out.push_str("/* Imports, which a linker of the program must define:\n");
    for import in &module.imports {
        let from = format!("{}.{}", quoted(import.module), quoted(import.name));
        let what = describe(module, import.entity, "");
        let _ = writeln!(out, " *   {from}: {what}");
    }
    if module.imports.is_empty() {
        out.push_str(" *   none\n");
    }
    out.push_str(" */\n\n");
    let _ = write!(
        out,
        "#ifndef {guard}\n#define {guard}\n\n#ifdef __cplusplus\nextern \"C\" {{\n#endif\n\n\
         /* The object: its address is what precast_module_from_static takes. */\n\
         extern const unsigned char {symbol}[];\n"
    );
    write_exports(&mut out, symbol, module);
    let _ = write!(
        out,
        "\n#ifdef __cplusplus\n}}\n#endif\n\n#endif /* {guard} */\n"
    );
    Ok(out.into_bytes())
}

fn write_preface(out: &mut String, symbol: &str, module: &ModuleInfo<'_>) {
    let name = match module.name {
        Some(name) if !name.is_empty() => format!(" {}", quoted(name)),
        _ => String::new(),
    };
    let _ = write!(
        out,
        "/* The WebAssembly module{name}, compiled by precast {}.\n *\n \
         * Made by `precast compile --emit header --symbol {symbol}`. Link the object that\n \
         * `precast compile --emit obj --symbol {symbol}` makes with the program, and open it by\n *\n \
         *     precast_module *module;\n \
         *     precast_error *error = precast_module_from_static({symbol}, &module);\n */\n\n",
        env!("CARGO_PKG_VERSION"),
    );
}

/// A macro with the name of each export, one with the type of each function, and in words what
/// each of them is.
fn write_exports(out: &mut String, symbol: &str, module: &ModuleInfo<'_>) {
    let mut taken = BTreeSet::new();
    for export in &module.exports {
        let word = unique(word(export.name), &mut taken);
        let what = describe(module, export.entity, &word);
        let _ = writeln!(out, "\n/* {}: {what} */", quoted(export.name));
        if export.name.len() > LONGEST_NAME || export.name.contains('\0') {
            out.push_str("/* (a name that C has no plain string for: find it by its index) */\n");
            continue;
        }
        let name = quoted(export.name);
        let _ = writeln!(out, "#define {symbol}_NAME_{word} {name}");
        if let Entity::Function(index) = export.entity {
            let ty = &module.types[module.functions[index].ty];
            let _ = writeln!(out, "#define {symbol}_TYPE_{word} \"{}\"", wasm_type(ty));
        }
    }
}

/// What something is, in words that are safe in a comment. `name` is that of a function.
fn describe(module: &ModuleInfo<'_>, entity: Entity, name: &str) -> String {
    match entity {
        Entity::Function(index) => {
            let ty = &module.types[module.functions[index].ty];
            let name = if name.is_empty() { "function" } else { name };
            format!("{}, that is {}", wasm_type(ty), c_signature(name, ty))
        }
        Entity::Table(index) => describe_table(&module.tables[index]),
        Entity::Memory(index) => describe_memory(&module.memories[index]),
        Entity::Tag(_) => "tag of exceptions".to_owned(),
        Entity::Global(index) => {
            let global = &module.globals[index];
            let mutable = if global.mutable { "mutable " } else { "" };
            format!(
                "{mutable}global {}, that is {}",
                wasm(global.ty),
                c(global.ty)
            )
        }
    }
}

fn describe_memory(memory: &Memory) -> String {
    let page = 1u64 << memory.page_size_log2;
    let width = if memory.index64 { "64-bit " } else { "" };
    let shared = if memory.shared { "shared " } else { "" };
    let most = match memory.max {
        Some(max) => format!("at most {max}"),
        None => "no limit of its own".to_owned(),
    };
    format!(
        "{shared}{width}memory of {} pages of {page} bytes at first, {most}",
        memory.min
    )
}

fn describe_table(table: &Table<'_>) -> String {
    let most = match table.max {
        Some(max) => format!("at most {max}"),
        None => "no limit of its own".to_owned(),
    };
    let elem = wasm(ValType::Ref(table.elem));
    format!("table of {} {elem} at first, {most}", table.min)
}

/// A function type, as the functions of precast.h take it.
fn wasm_type(ty: &FuncType) -> String {
    format!(
        "({}) -> ({})",
        list(&ty.params, wasm),
        list(&ty.results, wasm)
    )
}

fn list(types: &[ValType], show: fn(ValType) -> &'static str) -> String {
    let words: Vec<&str> = types.iter().map(|&ty| show(ty)).collect();
    words.join(", ")
}

fn wasm(ty: ValType) -> &'static str {
    match ty {
        ValType::I32 => "i32",
        ValType::I64 => "i64",
        ValType::F32 => "f32",
        ValType::F64 => "f64",
        ValType::V128 => "v128",
        ValType::Ref(ty) if ty == RefType::FUNCREF => "funcref",
        ValType::Ref(ty) if ty == RefType::EXTERNREF => "externref",
        ValType::Ref(_) => "ref",
    }
}

fn c(ty: ValType) -> &'static str {
    match ty {
        ValType::I32 => "int32_t",
        ValType::I64 => "int64_t",
        ValType::F32 => "float",
        ValType::F64 => "double",
        ValType::V128 => "precast_v128",
        ValType::Ref(ty) if ty == RefType::EXTERNREF => "precast_externref",
        ValType::Ref(_) => "precast_func",
    }
}

/// What the function would be declared as if it were one of C. More results than one come back
/// through pointers.
fn c_signature(name: &str, ty: &FuncType) -> String {
    let (result, others) = match &*ty.results {
        [] => ("void", &[][..]),
        [one] => (c(*one), &[][..]),
        many => ("void", many),
    };
    let params = ty.params.iter().map(|&ty| c(ty).to_owned());
    let others = others.iter().map(|&ty| format!("{} *", c(ty)));
    let all: Vec<String> = params.chain(others).collect();
    let all = if all.is_empty() {
        "void".to_owned()
    } else {
        all.join(", ")
    };
    format!("{result} {name}({all})")
}

/// A name between quotes: a C string, and safe in a comment.
fn quoted(name: &str) -> String {
    let mut out = String::from("\"");
    for (count, byte) in name.bytes().enumerate() {
        if count == LONGEST_NAME {
            out.push_str("...");
            break;
        }
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(byte.into()),
            b' ' | b'_' | b'.' | b'-' | b':' | b'$' | b'@' => out.push(byte.into()),
            _ => {
                // Always three digits: what follows cannot become part of it.
                let _ = write!(out, "\\{byte:03o}");
            }
        }
    }
    out.push('"');
    out
}

/// A name as a part of an identifier.
fn word(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric();
    let word: String = name
        .chars()
        .take(LONGEST_WORD)
        .map(|c| if is_plain(c) { c } else { '_' })
        .collect();
    if word.is_empty() {
        return "_".to_owned();
    }
    word
}

/// `word`, with a number behind it where another name has become the same.
fn unique(word: String, taken: &mut BTreeSet<String>) -> String {
    let mut number = 1;
    let mut found = word.clone();
    while !taken.insert(found.clone()) {
        number += 1;
        found = format!("{word}_{number}");
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Emit;

    fn header(wat: &str, symbol: &str) -> String {
        let wasm = wat::parse_str(wat).expect("it is a module");
        let options = Options {
            emit: Emit::Header,
            symbol: Some(symbol.to_owned()),
            ..Options::default()
        };
        let compiled = crate::compile(&wasm, &options).expect("it compiles");
        String::from_utf8(compiled.bytes).expect("it is text")
    }

    #[test]
    fn exports_have_names_types_and_signatures() {
        let text = header(
            r#"(module $sums
                (import "env" "log" (func (param i32 f64)))
                (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
                (func (export "two") (result i64 f32) (i64.const 1) (f32.const 2))
                (memory (export "memory") 2 5)
                (global (export "count") (mut i64) (i64.const 0)))"#,
            "sums",
        );
        for line in [
            "extern const unsigned char sums[];",
            " *   \"env\".\"log\": (i32, f64) -> (), that is void function(int32_t, double)",
            "/* \"add\": (i32, i32) -> (i32), that is int32_t add(int32_t, int32_t) */",
            "#define sums_NAME_add \"add\"",
            "#define sums_TYPE_add \"(i32, i32) -> (i32)\"",
            "/* \"two\": () -> (i64, f32), that is void two(int64_t *, float *) */",
            "/* \"memory\": memory of 2 pages of 65536 bytes at first, at most 5 */",
            "/* \"count\": mutable global i64, that is int64_t */",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn names_cannot_break_out() {
        let text = header(
            r#"(module $m*/
                (func (export "*/ #include </etc/passwd> /*"))
                (func (export "a\"\0a#define x"))
                (func (export "a??/"))
                (func (export "\\"))
                (func (export ""))
                (func (export "a--"))
                (func (export "nul\00here")))"#,
            "m",
        );
        let plain = |c: char| c.is_ascii() && (!c.is_ascii_control() || c == '\n');
        assert!(text.chars().all(plain), "{text}");
        let opened = text.matches("/*").count();
        assert_eq!(opened, text.matches("*/").count(), "{text}");
        assert!(!text.contains("#include") && !text.contains("??"), "{text}");
        for line in text
            .lines()
            .filter(|line| line.starts_with("#define m_NAME_"))
        {
            let (_, string) = line.split_once(' ').expect("a macro");
            assert_eq!(string.matches('"').count(), 2, "{line}");
        }
        // Two that become the same word, and one that cannot be a string.
        assert!(
            text.contains("#define m_NAME_a___ \"a\\077\\077\\057\""),
            "{text}"
        );
        assert!(text.contains("#define m_NAME_a__ \"a--\""), "{text}");
        assert!(!text.contains("m_NAME_nul"), "{text}");
    }

    #[test]
    fn names_that_become_the_same_word_are_told_apart() {
        let mut taken = BTreeSet::new();
        let words = ["a.b", "a-b", "a_b", "a_b_2"].map(|name| unique(word(name), &mut taken));
        assert_eq!(words, ["a_b", "a_b_2", "a_b_3", "a_b_2_2"]);
    }

    #[test]
    fn symbols_are_identifiers() {
        for symbol in [
            "",
            "1a",
            "a b",
            "a\n",
            "a\"",
            "int",
            "class",
            "é",
            &"a".repeat(200),
        ] {
            let options = Options {
                symbol: Some(symbol.to_owned()),
                ..Options::default()
            };
            let error = options.object_symbol().expect_err(symbol).to_string();
            assert!(error.contains("identifier"), "{error}");
        }
        assert_eq!(Options::default().object_symbol(), Ok("precast_object"));
    }
}
