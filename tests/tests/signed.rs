//! Objects that are opened only if a trusted key has signed them, as they are.

use minisign::KeyPair;
use precast::{Linker, Module, OpenError, SignatureError, Store, Trust};
use precast_abi::signature::tail;
use precast_compiler::{Options, compile};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

fn object(answer: i32) -> Vec<u8> {
    let text = format!(r#"(module (func (export "answer") (result i32) (i32.const {answer})))"#);
    let wasm = wat::parse_str(text).expect("a module");
    compile(&wasm, &Options::default())
        .expect("it compiles")
        .bytes
}

fn keys() -> (KeyPair, Trust) {
    let pair = KeyPair::generate_unencrypted_keypair().expect("a key");
    let mut trust = Trust::new();
    let public = pair.pk.to_box().expect("a public key").into_string();
    trust.add_key(&public).expect("it is one");
    (pair, trust)
}

fn sign(pair: &KeyPair, object: &[u8]) -> Vec<u8> {
    let signature = minisign::sign(None, &pair.sk, object, Some("trusted"), Some("free"));
    let signature = signature.expect("it can be signed").into_string();
    let tail = tail(signature.len() as u32);
    [object, signature.as_bytes(), &tail].concat()
}

fn answer(module: &Module) -> i32 {
    let mut store = Store::new(());
    let instance = Linker::new()
        .instantiate(&mut store, module)
        .expect("no imports");
    let answer = instance
        .func::<(), i32>(&store, "answer")
        .expect("exported");
    answer.call(&mut store, ()).expect("it returns")
}

fn refusal(bytes: &[u8], trust: &Trust) -> SignatureError {
    match Module::from_trusted_bytes(bytes, trust) {
        Err(OpenError::Untrusted(error)) => error,
        other => panic!("not for its signature: {other:?}"),
    }
}

#[test]
fn only_signed_objects_open() {
    let (ours, trust) = keys();
    let (theirs, _) = keys();
    let object = object(42);
    let signed = sign(&ours, &object);
    assert_eq!(
        answer(&Module::from_trusted_bytes(&signed, &trust).expect("signed")),
        42
    );
    assert_eq!(refusal(&object, &trust), SignatureError::Unsigned);
    assert_eq!(
        refusal(&sign(&theirs, &object), &trust),
        SignatureError::OtherKey
    );
    assert_eq!(refusal(&signed, &Trust::new()), SignatureError::OtherKey);
    // Signed as they were before, with more behind.
    let longer = [&object[..], &[0; 8]].concat();
    let moved = [&longer, &signed[object.len()..]].concat();
    assert_eq!(refusal(&moved, &trust), SignatureError::Changed);
    let mut both = trust.clone();
    let public = theirs.pk.to_base64();
    both.add_key(&public).expect("the line alone is a key");
    Module::from_trusted_bytes(&sign(&theirs, &object), &both).expect("either will do");
    assert!(both.add_key("untrusted comment: x").is_err());
}

#[test]
fn every_byte_is_signed() {
    let (ours, trust) = keys();
    let object = object(42);
    let signed = sign(&ours, &object);
    // All of what is not the object, and enough of the object to meet everything in it.
    let step = (object.len() / 300).max(1);
    let places = (0..object.len())
        .step_by(step)
        .chain(object.len()..signed.len());
    let comment = object.len()..object.len() + "untrusted comment: free".len();
    for at in places.filter(|at| !comment.contains(at)) {
        for bit in [0, 5] {
            let mut changed = signed.clone();
            changed[at] ^= 1 << bit;
            let opened = Module::from_trusted_bytes(&changed, &trust);
            assert!(opened.is_err(), "byte {at} of {}, bit {bit}", object.len());
        }
    }
    for len in (0..signed.len())
        .step_by(step)
        .chain(object.len()..signed.len())
    {
        let opened = Module::from_trusted_bytes(&signed[..len], &trust);
        assert!(opened.is_err(), "cut to {len}");
    }
}

#[test]
fn what_was_checked_is_what_is_mapped() {
    let (ours, trust) = keys();
    let good = sign(&ours, &object(42));
    // Another object under the same signature, byte for byte as long.
    let mut evil = good.clone();
    let other = object(43);
    evil[..other.len()].copy_from_slice(&other);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("app.so");
    fs::write(&path, &good).expect("written");
    let (done, path) = (AtomicBool::new(false), &path);
    let mut opened = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            use std::os::unix::fs::FileExt;
            let file = fs::File::options()
                .write(true)
                .open(path)
                .expect("it is there");
            while !done.load(Ordering::Relaxed) {
                for bytes in [&evil, &good] {
                    file.write_all_at(bytes, 0).expect("written");
                    std::thread::yield_now();
                }
            }
        });
        for _ in 0..300 {
            if let Ok(module) = Module::open_trusted(path, &trust) {
                assert_eq!(answer(&module), 42);
                opened += 1;
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    fs::write(path, &good).expect("written");
    let module = Module::open_trusted(path, &trust).expect("it is whole again");
    fs::write(path, &evil).expect("written");
    assert_eq!(
        answer(&module),
        42,
        "changed after it was opened, {opened} times before"
    );
}
