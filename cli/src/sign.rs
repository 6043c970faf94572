//! `precast keygen` and `precast sign`: keys and signatures as minisign has them.

use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use minisign::{KeyPair, SecretKey, SecretKeyBox};
use precast::ObjectView;
use precast_abi::signature::{MAX_LEN, Parts, split, tail};

use crate::args::{KeygenArgs, SignArgs};
use crate::failure::{Failure, reason, remark};
use crate::input;
use crate::output::Destination;

/// Where a password is taken from, for builds without a terminal.
const PASSWORD: &str = "PRECAST_KEY_PASSWORD";

/// Signs objects, each in its place or to another one.
pub(crate) fn sign(args: &SignArgs) -> Result<(), Failure> {
    if args.output.is_some() && args.files.len() > 1 {
        return Err(Failure::Usage(
            "-o names one file; without it, each object is signed in its place".to_owned(),
        ));
    }
    let key = secret_key(&args.secret_key)?;
    for path in &args.files {
        let signed = signed(&key, path, args.comment.as_deref())?;
        let output = args.output.as_ref().unwrap_or(path);
        Destination::new(output)?.write(&signed)?;
    }
    Ok(())
}

/// The object in the file at `path`, signed; a signature that it has is replaced.
fn signed(key: &SecretKey, path: &Path, comment: Option<&str>) -> Result<Vec<u8>, Failure> {
    let mut bytes = input::read(path)?;
    let object_len = match split(&bytes) {
        Parts::Unsigned => bytes.len(),
        Parts::Signed { object, .. } => object.len(),
        Parts::Damaged => return Err(Failure::at(path, precast::SignatureError::Damaged)),
    };
    bytes.truncate(object_len);
    ObjectView::parse(&bytes).map_err(|error| Failure::at(path, error))?;
    let signature = minisign::sign(
        None,
        key,
        Cursor::new(&bytes),
        comment,
        Some("signature of a precast object"),
    )
    .map_err(|error| Failure::at(path, format!("cannot be signed: {error}")))?
    .into_string();
    if signature.len() > MAX_LEN {
        return Err(Failure::new("--comment", "is too long"));
    }
    bytes.extend_from_slice(signature.as_bytes());
    bytes.extend_from_slice(&tail(signature.len() as u32));
    Ok(bytes)
}

/// Reads a secret key; one that is encrypted asks for its password.
fn secret_key(path: &Path) -> Result<SecretKey, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::at(path, reason(&error)))?;
    let no_key = "is no secret key as minisign and `precast keygen` write them";
    let parse = || SecretKeyBox::from_string(&text).map_err(|_| Failure::at(path, no_key));
    // Public keys have the same form, and are shorter.
    if text.lines().nth(1).is_none_or(|line| line.len() < 200) {
        return Err(Failure::at(path, no_key));
    }
    if let Ok(key) = parse()?.into_unencrypted_secret_key() {
        return Ok(key);
    }
    let encrypted = parse()?;
    let password = std::env::var(PASSWORD).ok();
    encrypted.into_secret_key(password).map_err(|error| {
        let problem = error.to_string();
        match error.kind() {
            minisign::ErrorKind::Verify => Failure::at(path, "the password is wrong"),
            minisign::ErrorKind::Io => {
                Failure::at(path, format!("no password: {problem}; set {PASSWORD}"))
            }
            _ => Failure::at(path, no_key),
        }
    })
}

/// Makes a pair of keys.
pub(crate) fn keygen(args: &KeygenArgs) -> Result<(), Failure> {
    for path in [&args.secret_key, &args.public_key] {
        if path.exists() {
            return Err(Failure::at(
                path,
                "is there already; a key is not overwritten",
            ));
        }
    }
    let pair = match args.no_password {
        true => KeyPair::generate_unencrypted_keypair(),
        false => KeyPair::generate_encrypted_keypair(std::env::var(PASSWORD).ok()),
    };
    let fail = |error: minisign::PError| Failure::new("the key", error);
    let pair = pair.map_err(fail)?;
    let secret = pair.sk.to_box(None).map_err(fail)?.into_string();
    let public = pair.pk.to_box().map_err(fail)?.into_string();
    create(&args.secret_key, secret.as_bytes(), 0o600)?;
    create(&args.public_key, public.as_bytes(), 0o644)?;
    remark(&format!(
        "{}: keep it to yourself; {} is for those who run what it signs\n",
        args.secret_key.display(),
        args.public_key.display()
    ));
    Ok(())
}

/// Writes a file that was not there.
fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    file.and_then(|mut file| file.write_all(bytes))
        .map_err(|error| Failure::at(path, format!("cannot be written: {}", reason(&error))))
}
