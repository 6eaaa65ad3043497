//! SIMD sets (first version: none).

/// Every set has lanes of this type.
pub trait LanesOfEverySet {}
impl LanesOfEverySet for f32 {}
impl LanesOfEverySet for f64 {}
