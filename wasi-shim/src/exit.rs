//! How a guest ends itself.

/// A guest called `proc_exit`, or raised a signal that ends it.
///
/// It comes out of a call into the guest as the loader's host error, and can be got back by downcasting.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Exit {
    /// The exit code; 0 means success. A signal gives 128 and Linux's number of the signal.
    pub code: u32,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the guest exited with code {}", self.code)
    }
}

impl std::error::Error for Exit {}
