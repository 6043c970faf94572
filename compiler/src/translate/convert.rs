//! Conversions between number types. Branch `numeric` writes this.
