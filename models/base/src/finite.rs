//! JSON has no NaN: with this module (`#[serde(with = "tilewise_base::finite")]`) a number that is not finite is stored as null and
//! read as NaN.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes a number, or nothing.
///
/// # Errors
/// Those of `to`.
pub fn serialize<S: Serializer>(x: &f64, to: S) -> Result<S::Ok, S::Error> {
    x.is_finite().then_some(*x).serialize(to)
}

/// Reads a number; NaN where there is none.
///
/// # Errors
/// Those of `from`.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}
