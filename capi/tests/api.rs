//! The API from the side of C: programs that use every part of it, rightly and wrongly, and the header
//! held against the library.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use minisign::KeyPair;
use support::{C, CPP, Compiler, linked, object, root, run};

fn check_api(compiler: Compiler) {
    let dir = tempfile::tempdir().expect("a directory");
    if !compiler.is_there(dir.path()) {
        return;
    }
    let sources = root().join("capi/tests/c");
    let object = object(dir.path(), &sources.join("guest.wat"));
    let (signed, key) = signed(dir.path(), &object);
    let program = compiler.build(dir.path(), &sources.join("api.c"), &[]);
    assert_eq!(run(&program, &[&object, &signed, &key]), "done\n");
}

/// A signed copy of an object, and the text of the key, as arguments of a program.
fn signed(dir: &Path, object: &Path) -> (PathBuf, PathBuf) {
    let pair = KeyPair::generate_unencrypted_keypair().expect("a key");
    let object = fs::read(object).expect("it is there");
    let signature = minisign::sign(None, &pair.sk, &object[..], None, None);
    let signature = signature.expect("it can be signed").into_string();
    let mut tail = (signature.len() as u32).to_le_bytes().to_vec();
    tail.extend(1u32.to_le_bytes());
    tail.extend(b"PCSIGNED");
    let path = dir.join("signed.so");
    fs::write(&path, [&object, signature.as_bytes(), &tail].concat()).expect("written");
    let key = pair.pk.to_box().expect("a public key").into_string();
    (path, key.into())
}

fn check_linked(compiler: Compiler) {
    let dir = tempfile::tempdir().expect("a directory");
    if !compiler.is_there(dir.path()) {
        return;
    }
    let sources = root().join("capi/tests/c");
    let object = linked(dir.path(), &sources.join("large.wat"), "large");
    let program = compiler.build(dir.path(), &sources.join("linked.c"), &[object]);
    assert_eq!(run(&program, &[]), "done\n");
}

#[test]
fn every_part_rightly_and_wrongly() {
    check_api(C);
}

#[test]
fn a_module_in_the_program_does_all_that_a_mapped_one_does() {
    check_linked(C);
    // Whatever makes up addresses, and whoever unwinds.
    for option in ["-no-pie", "-static", "-Wl,--gc-sections"] {
        check_linked(C.linking(option));
    }
}

#[test]
fn the_same_with_address_sanitizer() {
    check_api(C.sanitized());
    check_linked(C.sanitized());
}

/// Names that try to get out of strings, comments and lines.
const HOSTILE: &str = r#"(module $*/m/*
  (import "*/" "??/\0a#error in" (func (param i32)))
  (func (export "*/ #error out /*"))
  (func (export "a\"\0a#error quote") (result i64 f32 v128) unreachable)
  (func (export "??/\0a#error trigraph"))
  (func (export "back\\"))
  (func (export ""))
  (func (export "\e2\80\ae 7\0d"))
  (memory (export "//") 1))"#;

#[test]
fn headers_of_hostile_modules_compile_and_keep_the_names() {
    for compiler in [C, CPP] {
        let dir = tempfile::tempdir().expect("a directory");
        if !compiler.is_there(dir.path()) {
            continue;
        }
        let module = dir.path().join("hostile.wat");
        fs::write(&module, HOSTILE).expect("it can be written");
        let object = linked(dir.path(), &module, "hostile");
        let header = fs::read_to_string(dir.path().join("hostile.h")).expect("a header");
        let names = header
            .lines()
            .filter_map(|line| line.strip_prefix("#define hostile_NAME_"))
            .filter_map(|line| Some(line.split_once(' ')?.0));
        let prints: String = names
            .map(|name| format!("    puts(hostile_NAME_{name});\n"))
            .collect();
        let source = dir.path().join(format!("names.{}", compiler.ending()));
        let text = format!(
            "#include \"hostile.h\"\n#include <stdio.h>\n\nint main(void) {{\n{prints}    \
             return hostile[0] != 'P';\n}}\n"
        );
        fs::write(&source, text).expect("it can be written");
        let program = compiler.build(dir.path(), &source, &[object]);
        let expected = [
            "*/ #error out /*",
            "a\"\n#error quote",
            "??/\n#error trigraph",
            "back\\",
            "",
            "\u{202e} 7\r",
            "//",
        ];
        assert_eq!(run(&program, &[]), expected.join("\n") + "\n");
    }
}

/// The names of functions after `before` in a text.
fn names<'a>(text: &'a str, before: &str, is_definition: bool) -> BTreeSet<&'a str> {
    text.match_indices(before)
        .filter_map(|(at, _)| {
            let start = if is_definition { at + before.len() } else { at };
            let rest = &text[start..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
            rest[end..].starts_with('(').then_some(&rest[..end])
        })
        .collect()
}

#[test]
fn the_header_declares_what_the_library_has() {
    let header = fs::read_to_string(root().join("capi/include/precast.h")).expect("a header");
    // Without remarks, and without the functions that it defines itself.
    let declared: String = header
        .split("/*")
        .map(|piece| piece.split_once("*/").map_or(piece, |(_, code)| code))
        .collect::<Vec<_>>()
        .join(" ");
    let declared = names(&declared, "precast_", false);
    let mut defined = BTreeSet::new();
    let mut sources = String::new();
    for entry in fs::read_dir(root().join("capi/src"))
        .expect("sources")
        .flatten()
    {
        sources.push_str(&fs::read_to_string(entry.path()).expect("a source"));
    }
    defined.extend(names(&sources, "extern \"C\" fn ", true));
    // One line each in a table.
    let calls = sources
        .split_whitespace()
        .filter(|word| word.starts_with("precast_call_"));
    defined.extend(calls.filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '_')));
    let of_the_header: BTreeSet<&str> = declared
        .into_iter()
        .filter(|name| !name.starts_with("precast_val_"))
        .collect();
    assert_eq!(of_the_header, defined);
    assert!(defined.len() > 90, "{}", defined.len());
}

#[test]
fn the_header_is_of_this_version() {
    let header = fs::read_to_string(root().join("capi/include/precast.h")).expect("a header");
    let line = format!("#define PRECAST_VERSION \"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(header.contains(&line), "{line}");
}
