//! Element types.

/// `f32` or `f64`: what operands are made of. Files hold their little-endian bytes, as memory does on all processors that
/// the harness knows.
pub trait Element: bytemuck::Pod + Into<f64> + Send + Sync {
    /// Not a number.
    const NAN: Self;
}

impl Element for f32 {
    const NAN: Self = f32::NAN;
}

impl Element for f64 {
    const NAN: Self = f64::NAN;
}
