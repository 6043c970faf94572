//! Branch `numeric` writes this.
