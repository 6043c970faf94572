//! Why a module could not be compiled.

use std::fmt;

/// Why a module could not be compiled. Displays as one line that says who is at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompileError {
    /// The module breaks the rules of WebAssembly.
    Invalid {
        /// Where, in bytes from the start of the module.
        offset: u64,
        /// What is wrong.
        message: String,
    },
    /// The module is, or may be, fine, but uses a proposal that this compiler lacks.
    Unsupported {
        /// The proposal's name.
        feature: &'static str,
        /// Where it is first used, in bytes from the start of the module.
        offset: u64,
    },
    /// The module is, or may be, fine, but uses a proposal that [`crate::Options::features`] leaves out.
    Excluded {
        /// The proposal's name, as [`crate::Features::parse`] knows it.
        feature: &'static str,
        /// Where it is first used, in bytes from the start of the module.
        offset: u64,
    },
    /// The module is valid, but beyond a limit of this compiler or of the object format.
    TooLarge {
        /// What is too large, and the limit.
        what: String,
    },
    /// One function is valid, but beyond what the code generator can do.
    Function {
        /// Its index.
        index: u32,
        /// Its name, where the module tells.
        name: Option<String>,
        /// The limit that it meets.
        message: String,
    },
    /// The options contradict each other or the target.
    Options {
        /// In which way.
        message: String,
    },
    /// The compiler itself is at fault.
    Internal {
        /// What went wrong; worth a bug report.
        message: String,
    },
}

impl CompileError {
    /// What the validator found, on one line whatever it says.
    pub(crate) fn invalid(error: &wasmparser::Error) -> CompileError {
        let words: Vec<&str> = error.message().split_whitespace().collect();
        CompileError::Invalid {
            offset: error.offset(),
            message: words.join(" "),
        }
    }

    /// The function that finishes instantiation is more than the code generator can do.
    pub(crate) fn init_too_large() -> CompileError {
        CompileError::TooLarge {
            what: "too many globals and elements depend on imported globals".to_owned(),
        }
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompileError::Invalid { offset, message } => {
                write!(f, "invalid module: {message} (at offset {offset:#x})")
            }
            CompileError::Unsupported { feature, offset } => {
                write!(
                    f,
                    "unsupported: the module uses {feature} (at offset {offset:#x})"
                )
            }
            CompileError::Excluded { feature, offset } => {
                write!(
                    f,
                    "not allowed: the module uses {feature} (at offset {offset:#x}), which is left out"
                )
            }
            CompileError::TooLarge { what } => write!(f, "module too large: {what}"),
            CompileError::Function {
                index,
                name: Some(name),
                message,
            } => write!(f, "cannot compile function {index} ({name}): {message}"),
            CompileError::Function {
                index,
                name: None,
                message,
            } => write!(f, "cannot compile function {index}: {message}"),
            CompileError::Options { message } => f.write_str(message),
            CompileError::Internal { message } => {
                write!(
                    f,
                    "internal error of the compiler, please report it: {message}"
                )
            }
        }
    }
}

impl std::error::Error for CompileError {}

#[cfg(test)]
mod tests {
    use crate::{Options, compile};

    /// The validator prints the bytes that it found and expected on a line each.
    #[test]
    fn errors_are_one_line() {
        for wasm in [
            &b""[..],
            b"\0Asm\x01\0\0\0",
            b"\0asm\x02\0\0\0",
            b"hello, world",
        ] {
            let error = compile(wasm, &Options::default()).expect_err("no module");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}
