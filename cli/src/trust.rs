//! Trusted keys, and `precast verify`.

use std::path::{Path, PathBuf};

use precast::Trust;

use crate::args::VerifyArgs;
use crate::failure::{Failure, print};
use crate::input;

/// The owners of the keys in these files.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Trust, Failure> {
    let mut trust = Trust::new();
    for path in paths {
        let text = String::from_utf8(input::read(path)?);
        let text = text.map_err(|_| Failure::at(path, precast::KeyError))?;
        trust
            .add_key(&text)
            .map_err(|error| Failure::at(path, error))?;
    }
    Ok(trust)
}

/// Says whether objects are signed by one of the keys.
pub(crate) fn verify(args: &VerifyArgs) -> Result<(), Failure> {
    let trust = read(&args.public_key)?;
    for path in &args.files {
        let comment = check(&trust, path)?;
        print(format!("{}: signed, {comment}\n", path.display()).as_bytes())?;
    }
    Ok(())
}

/// The signed comment of the object at `path`.
fn check(trust: &Trust, path: &Path) -> Result<String, Failure> {
    let bytes = input::read(path)?;
    precast::ObjectView::parse(&bytes).map_err(|error| Failure::at(path, error))?;
    let signed = trust.check(&bytes);
    Ok(signed.map_err(|error| Failure::at(path, error))?.comment)
}
