//! Damaged Mach-O objects: whatever is done to the bytes of one, opening it is an error with its own
//! words or a working view. What comes after the headers is the same as in ELF files: `damaged.rs`.

use minisign::KeyPair;
use precast::object::{Damage, Fault, ObjectView, OpenError, Part};
use precast::{Linker, Module, SignatureError, Store, Trust};
use precast_abi::object::{MAGIC, ObjectHeader};
use precast_abi::signature::tail;
use precast_compiler::{Options, Target, compile};
use std::mem::offset_of;

const MODULE: &str = r#"(module $sample
    (memory (export "memory") 2)
    (data (i32.const 70000) "in another page")
    (func (export "answer") (result i32)
        (i32.load8_u (i32.const 70000)))
    (func (export "div") (param i32 i32) (result i32)
        (i32.div_s (local.get 0) (local.get 1))))"#;

fn sample_for(target: Target) -> Vec<u8> {
    let wasm = wat::parse_str(MODULE).expect("the sample is well-formed");
    let options = Options::for_target(target);
    compile(&wasm, &options).expect("the sample compiles").bytes
}

fn sample() -> Vec<u8> {
    sample_for(Target::X86_64_MACOS)
}

/// Where the metadata starts in the file.
fn metadata_start(object: &[u8]) -> usize {
    let mut windows = object.windows(8);
    let start = windows.position(|bytes| bytes == MAGIC);
    start.expect("the object has metadata")
}

fn put(object: &mut [u8], at: usize, bytes: &[u8]) {
    object[at..at + bytes.len()].copy_from_slice(bytes);
}

/// The sample with other bytes in its metadata header.
fn with_header(field: usize, bytes: &[u8]) -> Vec<u8> {
    let mut object = sample();
    let at = metadata_start(&object) + field;
    put(&mut object, at, bytes);
    object
}

fn number(object: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(object[at..at + 4].try_into().expect("four bytes"))
}

/// Where the load commands of this kind are.
fn commands(object: &[u8], kind: u32) -> Vec<usize> {
    let mut at = 32;
    let mut found = Vec::new();
    for _ in 0..number(object, 16) {
        if number(object, at) == kind {
            found.push(at);
        }
        at += number(object, at + 4) as usize;
    }
    found
}

const SEGMENT: u32 = 0x19;
const CODE_SIGNATURE: u32 = 0x1d;
/// Where a segment's first section is in its command.
const SECTION: usize = 72;

/// Opens an object and looks at everything in it.
fn look(object: &[u8]) -> Result<Result<(), Vec<Damage>>, OpenError> {
    let view = ObjectView::parse(object)?;
    for offset in (0..view.text().len() as u32 + 16).step_by(31) {
        let _ = view.metadata().trap_at(offset);
    }
    let _ = (view.image().len(), view.metadata().find_export("answer"));
    Ok(view.verify().map(drop))
}

/// The one line that a loader says which is made for no other system.
fn refusal(object: &[u8]) -> String {
    // SAFETY: the text of the object is the compiler's; it is refused.
    let refused = unsafe { Module::from_bytes(object) };
    let message = refused.expect_err("it is refused").to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

/// The same of a loader that would execute it.
fn damage(object: &[u8]) -> Damage {
    // SAFETY: as above.
    match unsafe { Module::from_bytes_of_any_system(object) } {
        Err(OpenError::Damaged(damage)) => damage,
        other => panic!("not called damaged: {other:?}"),
    }
}

#[test]
fn whole_objects_pass_every_check_and_run() {
    let object = sample();
    look(&object).expect("it opens").expect("it is sound");
    // SAFETY: the compiler made it a line ago.
    let module = unsafe { Module::from_bytes_of_any_system(&object) }.expect("it is whole");
    assert_eq!(module.name(), "sample");
    let mut store = Store::new(());
    let instance = Linker::new().instantiate(&mut store, &module);
    let instance = instance.expect("it needs nothing");
    let answer = instance
        .func::<(), i32>(&store, "answer")
        .expect("exported");
    assert_eq!(answer.call(&mut store, ()).expect("it returns"), 0x69);
    let div = instance.func::<(i32, i32), i32>(&store, "div");
    let trap = div.expect("exported").call(&mut store, (1, 0));
    let message = trap.expect_err("it traps").to_string();
    assert!(message.contains("integer divide by zero"), "{message}");
}

#[test]
fn every_cut_is_found() {
    let object = sample();
    let every = (0..2048).chain((2048..object.len()).step_by(61));
    for len in every.chain(object.len() - 64..object.len()) {
        match look(&object[..len]) {
            Err(OpenError::CutShort { needed, .. }) => assert!(needed > len as u64),
            Err(OpenError::NotAnObject(_)) if len < 4 => {}
            other => panic!("cut to {len} of {} bytes: {other:?}", object.len()),
        }
    }
}

#[test]
fn objects_for_other_systems_say_their_format() {
    let message = refusal(&sample());
    let expected = "macos (Mach-O), but this one is linux (ELF)";
    assert!(message.contains(expected), "{message}");
    let os = offset_of!(ObjectHeader, os);
    let message = refusal(&with_header(os, &[9, 0]));
    assert!(message.contains("number 9, which is unknown"), "{message}");
    // What is for Linux is no Mach-O file.
    assert_eq!(
        damage(&with_header(os, &[1, 0])),
        Damage {
            part: Part::Metadata,
            index: None,
            fault: Fault::Contradiction
        }
    );
}

#[test]
fn objects_for_other_cpus_say_which() {
    let arch = offset_of!(ObjectHeader, arch);
    let mut object = with_header(arch, &[2, 0]);
    assert_eq!(damage(&object).part, Part::Metadata);
    put(&mut object, 4, &0x0100_000c_u32.to_le_bytes());
    let view = ObjectView::parse(&object).expect("it can be looked at");
    assert_eq!(view.metadata().header().arch, 2);
    let message = refusal(&object);
    assert!(message.contains("another CPU: aarch64"), "{message}");
    put(&mut object, 4, &0x0100_0012_u32.to_le_bytes());
    let message = refusal(&object);
    assert!(message.contains("Mach-O CPU 0x1000012"), "{message}");
}

#[test]
fn objects_of_other_versions_and_for_better_cpus_say_so() {
    let version = offset_of!(ObjectHeader, version);
    let message = refusal(&with_header(version, &[7, 0, 3, 0]));
    assert!(message.contains("for ABI 7.3"), "{message}");
    let features = offset_of!(ObjectHeader, cpu_features);
    let object = with_header(features + 7, &[0x10]);
    // SAFETY: it is refused.
    let refused = unsafe { Module::from_bytes_of_any_system(&object) };
    let message = refused.expect_err("no CPU has it").to_string();
    assert!(message.contains("CPU features"), "{message}");
}

/// On macOS nothing would be executed without one, so it is missed everywhere.
#[test]
fn a_code_signature_must_be_there_once() {
    let mut object = sample();
    let at = commands(&object, CODE_SIGNATURE)[0];
    let mut twice = object.clone();
    put(&mut object, at, &0x26_u32.to_le_bytes());
    let found = damage(&object);
    assert_eq!(
        (found.part, found.fault),
        (Part::CodeSignature, Fault::Missing)
    );
    // The identity, which is longer, becomes another one.
    let uuid = commands(&twice, 0x1b)[0];
    put(&mut twice, uuid, &CODE_SIGNATURE.to_le_bytes());
    put(&mut twice, uuid + 8, &[0; 8]);
    assert_eq!(damage(&twice).fault, Fault::Overlaps);
}

#[test]
fn lies_in_load_commands_are_found() {
    let whole = sample();
    let segments = commands(&whole, SEGMENT);
    let (text, data) = (segments[0], segments[1]);
    let section = |segment: usize, field: usize| segment + SECTION + field;
    let writable = 7_u32.to_le_bytes();
    let readable = 1_u32.to_le_bytes();
    let far = 0x7000_0000_u32.to_le_bytes();
    let lies: [(&str, usize, &[u8], Fault); 11] = [
        ("a command of no size", text + 4, &[0; 4], Fault::BadSize),
        (
            "a command past the end",
            text + 4,
            &[0xf8, 0x7f],
            Fault::OutOfBounds,
        ),
        (
            "code that may be written",
            text + 60,
            &writable,
            Fault::BadPermissions,
        ),
        (
            "code that may be made so",
            text + 56,
            &writable,
            Fault::BadPermissions,
        ),
        (
            "metadata that may be executed",
            data + 60,
            &[5],
            Fault::BadPermissions,
        ),
        (
            "more sections than there are",
            text + 64,
            &[9],
            Fault::BadSize,
        ),
        ("less memory than file", text + 32, &[0; 4], Fault::BadSize),
        (
            "a section outside of its segment",
            section(text, 48),
            &far,
            Fault::OutOfBounds,
        ),
        (
            "a section somewhere else",
            section(data, 32),
            &[1],
            Fault::OutOfBounds,
        ),
        (
            "a section of zeros",
            section(text, 64),
            &[1],
            Fault::BadSize,
        ),
        (
            "code that may not be executed",
            text + 60,
            &readable,
            Fault::BadPermissions,
        ),
    ];
    for (what, at, bytes, fault) in lies {
        let mut object = whole.clone();
        put(&mut object, at, bytes);
        if what.starts_with("code that may not") {
            put(&mut object, text + 56, bytes);
        }
        assert_eq!(damage(&object).fault, fault, "{what}");
    }
}

#[test]
fn other_mach_o_files_are_told_apart() {
    let message = |bytes: &[u8]| ObjectView::parse(bytes).expect_err("no object").to_string();
    let mut other = sample();
    let data = commands(&other, SEGMENT)[1];
    put(&mut other, data + 8, b"__DATA_CONST\0\0\0\0");
    assert!(message(&other).contains("Mach-O file, but not one that Precast made"));
    let mut executable = sample();
    put(&mut executable, 12, &[2]);
    assert!(message(&executable).contains("not one that Precast made"));
    let mut relocatable = sample();
    put(&mut relocatable, 12, &[1]);
    assert!(message(&relocatable).contains("relocatable"));
    for magic in [0xfeed_face_u32, 0xbeba_feca] {
        let mut bytes = sample();
        put(&mut bytes, 0, &magic.to_le_bytes());
        assert!(message(&bytes).contains("Mach-O file"), "{magic:x}");
    }
}

/// Bits of headers and metadata flip one by one: an error or an object, and never a crash.
#[test]
fn every_bit_can_flip() {
    let object = sample();
    let commands_end = 32 + number(&object, 20) as usize;
    let metadata = metadata_start(&object);
    let view = ObjectView::parse(&object).expect("it is whole");
    let metadata = metadata..metadata + view.metadata().header().metadata_size as usize;
    let mut noticed = 0;
    for at in (0..commands_end).chain(metadata) {
        for bit in 0..8 {
            let mut damaged = object.clone();
            damaged[at] ^= 1 << bit;
            noticed += u32::from(!matches!(look(&damaged), Ok(Ok(()))));
        }
    }
    assert!(noticed > 5000, "{noticed} noticed");
}

#[test]
fn numbers_of_load_commands_can_be_anything() {
    let object = sample();
    let commands_end = 32 + number(&object, 20) as usize;
    for at in (0..commands_end).step_by(4) {
        let old = number(&object, at);
        let others = [
            0,
            1,
            old ^ 1,
            old.wrapping_add(8),
            old.wrapping_mul(3),
            1 << 31,
            u32::MAX,
        ];
        for new in others {
            let mut damaged = object.clone();
            put(&mut damaged, at, &new.to_le_bytes());
            let _ = look(&damaged);
        }
    }
}

#[test]
fn only_signed_objects_are_trusted() {
    let keys = || KeyPair::generate_unencrypted_keypair().expect("a key");
    let (ours, theirs) = (keys(), keys());
    let mut trust = Trust::new();
    let public = ours.pk.to_box().expect("a public key").into_string();
    trust.add_key(&public).expect("it is one");
    let object = sample();
    let sign = |pair: &KeyPair, object: &[u8]| {
        let signature = minisign::sign(None, &pair.sk, object, Some("trusted"), Some("free"));
        let signature = signature.expect("it can be signed").into_string();
        let tail = tail(signature.len() as u32);
        [object, signature.as_bytes(), &tail].concat()
    };
    let error = |bytes: &[u8]| Module::from_trusted_bytes(bytes, &trust).expect_err("refused");
    let refusal = |bytes: &[u8]| match error(bytes) {
        OpenError::Untrusted(error) => error,
        other => panic!("not for its signature: {other}"),
    };
    assert_eq!(refusal(&object), SignatureError::Unsigned);
    assert_eq!(refusal(&sign(&theirs, &object)), SignatureError::OtherKey);
    let signed = sign(&ours, &object);
    let step = object.len() / 100;
    for at in (1024..object.len()).step_by(step) {
        let mut changed = signed.clone();
        changed[at] ^= 4;
        assert_eq!(refusal(&changed), SignatureError::Changed, "{at}");
    }
    // As it is, nothing but the system is wrong with it.
    assert!(matches!(error(&signed), OpenError::OtherOs(_)));
    look(&signed).expect("it opens").expect("it is sound");
}
