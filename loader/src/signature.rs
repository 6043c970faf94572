//! Opening only what is signed by a key that is trusted.

use minisign_verify::{Error as Minisign, PublicKey, Signature};
use precast_abi::signature::{Parts, split};
use std::fmt;

/// The keys whose owners may give native code to this process.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut trust = precast::Trust::new();
/// trust.add_key(&std::fs::read_to_string("builds.pub")?)?;
/// let module = precast::Module::open_trusted("app.so", &trust)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Trust {
    keys: Vec<PublicKey>,
}

/// The text is no public key of minisign's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyError;

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is no public key as minisign and `precast keygen` write them")
    }
}

impl std::error::Error for KeyError {}

/// Why an object is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureError {
    /// There is no signature.
    Unsigned,
    /// The signature names a key that is not trusted.
    OtherKey,
    /// The signature names a trusted key, and does not fit: the object or the signature was
    /// changed after signing.
    Changed,
    /// There is something in the place of the signature that is none.
    Damaged,
    /// Made by a version of minisign that signed without a hash.
    Legacy,
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SignatureError::Unsigned => {
                "the object is not signed, and only signed ones are trusted; sign it (`precast sign`)"
            }
            SignatureError::OtherKey => "the object is signed by a key that is not trusted",
            SignatureError::Changed => {
                "the object, or its signature, was changed after it was signed; copy it again"
            }
            SignatureError::Damaged => {
                "the signature of the object is damaged; copy or sign it again"
            }
            SignatureError::Legacy => {
                "the signature of the object is of minisign's old kind, without a hash; sign it again"
            }
        })
    }
}

impl std::error::Error for SignatureError {}

impl Trust {
    /// Trusts nobody.
    pub fn new() -> Trust {
        Trust::default()
    }

    /// Trusts the owner of a key: the text of a `.pub` file of minisign's, or the line of base64
    /// in it.
    ///
    /// # Errors
    ///
    /// If it is neither.
    pub fn add_key(&mut self, text: &str) -> Result<(), KeyError> {
        let text = text.trim();
        let key = match text.contains('\n') {
            true => PublicKey::decode(text),
            false => PublicKey::from_base64(text),
        };
        self.keys.push(key.map_err(|_| KeyError)?);
        Ok(())
    }

    /// Checks the signature in `file`, the bytes of an object's file.
    ///
    /// # Errors
    ///
    /// If it has none of a trusted key, or was changed since.
    pub fn check<'a>(&self, file: &'a [u8]) -> Result<Signed<'a>, SignatureError> {
        let (object, text) = match split(file) {
            Parts::Signed { object, signature } => (object, signature),
            Parts::Unsigned => return Err(SignatureError::Unsigned),
            Parts::Damaged => return Err(SignatureError::Damaged),
        };
        let signature = Signature::decode(text).map_err(|_| SignatureError::Damaged)?;
        let mut problem = SignatureError::OtherKey;
        for key in &self.keys {
            match key.verify(object, &signature, false) {
                Ok(()) => {
                    let comment = signature.trusted_comment().to_owned();
                    return Ok(Signed { object, comment });
                }
                Err(Minisign::UnexpectedKeyId) => {}
                Err(Minisign::UnexpectedAlgorithm) => problem = SignatureError::Legacy,
                Err(_) => problem = SignatureError::Changed,
            }
        }
        Err(problem)
    }
}

/// What a trusted key has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Signed<'a> {
    /// The bytes that are signed: of the file all but the signature.
    pub object: &'a [u8],
    /// The comment that is signed along with them.
    pub comment: String,
}
