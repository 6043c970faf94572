//! x
pub(crate) struct Armed;
