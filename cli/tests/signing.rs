//! Keys, signatures, and who runs what.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use support::{Place, finish};

const ANSWER: &str = r#"(module (func (export "answer") (result i32) (i32.const 42)))"#;

/// A place with two pairs of keys, `a` and `b`, and an object that `a` has signed.
fn place() -> Place {
    let place = Place::new();
    place.write("app.wat", ANSWER);
    place.run("compile -q app.wat").ok();
    for name in ["a", "b"] {
        place
            .run(&format!("keygen -s {name}.key -p {name}.pub --no-password"))
            .ok();
    }
    place.run("sign -s a.key app.so -o signed.so").ok();
    place
}

#[test]
fn a_signed_object_runs_for_those_who_trust_the_key() {
    let place = place();
    for line in [
        "run --trusted-key a.pub --invoke answer signed.so",
        "run --trusted-key b.pub --trusted-key a.pub --invoke answer signed.so",
        // Nobody has to ask for signatures.
        "run --invoke answer signed.so",
    ] {
        assert_eq!(place.run(line).ok().stdout(), "42\n", "{line}");
    }
    let piped = place.run_with(
        "run --trusted-key a.pub --invoke answer -",
        &place.read("signed.so"),
    );
    assert_eq!(piped.ok().stdout(), "42\n");
    place.run("inspect --verify signed.so").ok();
    let secret = fs::metadata(place.path("a.key")).unwrap();
    assert_eq!(secret.permissions().mode() & 0o077, 0);
}

#[test]
fn everything_else_is_refused_with_a_message_of_its_own() {
    let place = place();
    let object = place.read("signed.so");
    let mut changed = object.clone();
    changed[4500] ^= 1;
    place.write("changed.so", &changed);
    let mut damaged = object.clone();
    let len = damaged.len();
    damaged[len - 16] ^= 0x80;
    place.write("damaged.so", &damaged);
    place.write("cut.so", &object[..len - 1]);
    for (file, key, message) in [
        ("app.so", "a.pub", "is not signed"),
        ("cut.so", "a.pub", "is not signed"),
        ("signed.so", "b.pub", "a key that is not trusted"),
        ("changed.so", "a.pub", "was changed after it was signed"),
        ("damaged.so", "a.pub", "signature of the object is damaged"),
        ("app.wat", "a.pub", "no object"),
        ("signed.so", "app.wat", "no public key"),
        ("signed.so", "none.pub", "no such file"),
    ] {
        let run = format!("run --trusted-key {key} --invoke answer {file}");
        let line = place.run(&run).one_error_line();
        assert!(line.contains(message), "{run}: {line}");
        let verify = format!("verify -p {key} {file}");
        let line = place.run(&verify).one_error_line();
        assert!(line.contains(message), "{verify}: {line}");
    }
}

#[test]
fn signing_again_replaces_the_signature() {
    let place = place();
    place.run("sign -s b.key --comment two signed.so").ok();
    let shown = place.run("verify -p b.pub signed.so").ok().stdout();
    assert_eq!(shown, "signed.so: signed, two\n");
    let line = place.run("verify -p a.pub signed.so").one_error_line();
    assert!(line.contains("not trusted"), "{line}");
    // The object under the signature is what it was.
    let (plain, signed) = (place.read("app.so"), place.read("signed.so"));
    assert!(signed.starts_with(&plain));
    assert!(signed.len() < plain.len() + 1000);
}

#[test]
fn encrypted_keys_take_their_password_from_the_environment() {
    let place = place();
    let run = |line: &str, password: &str| {
        let mut command = place.command();
        command.args(line.split_whitespace());
        command.env("PRECAST_KEY_PASSWORD", password);
        finish(command, b"")
    };
    run("keygen -s c.key -p c.pub", "secret").ok();
    run("sign -s c.key app.so", "secret").ok();
    place.run("verify -p c.pub app.so").ok();
    let before = place.read("app.so");
    let line = run("sign -s c.key app.so", "wrong").one_error_line();
    assert!(line.contains("the password is wrong"), "{line}");
    assert_eq!(place.read("app.so"), before);
}

#[test]
fn what_cannot_be_signed_or_made_is_told() {
    let place = place();
    for (command, message) in [
        ("sign -s a.key app.wat", "no object"),
        ("sign -s a.pub app.so", "no secret key"),
        ("sign -s none.key app.so", "no such file"),
        ("keygen -s a.key -p z.pub --no-password", "is there already"),
        ("keygen -s z.key -p a.pub --no-password", "is there already"),
    ] {
        let line = place.run(command).one_error_line();
        assert!(line.contains(message), "{command}: {line}");
    }
    assert!(!Path::new(&place.path("z.key")).exists());
}
