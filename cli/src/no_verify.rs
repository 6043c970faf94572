//! `inspect --verify` without a decoder of machine code: it looks at records only.

use precast::ObjectView;

/// Looks at nothing.
pub(crate) fn code(_view: &ObjectView<'_>) -> Result<Vec<(&'static str, u64)>, String> {
    Ok(Vec::new())
}
