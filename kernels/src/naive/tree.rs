//! Kernels of trees: the definitions.

use crate::tree::{Bin, Bins, ClassWeight, Packed, Pair, Rows};

/// Adds each row's pair to the cells of its bins.
///
/// # Panics
/// When the shapes do not fit.
pub fn histogram<B: Bin>(bins: Bins<'_, B>, rows: &Rows<'_>, values: &[Pair], out: &mut [Pair]) {
    for place in 0..rows.len() {
        let row = rows.get(place);
        for (feature, &offset) in bins.offsets().iter().take(bins.features()).enumerate() {
            let cell = &mut out[offset + bins.get(row, feature).into()];
            *cell = *cell + values[row];
        }
    }
}

/// As [`histogram`], from packed gradients.
///
/// # Panics
/// When the shapes do not fit.
pub fn histogram_packed<B: Bin>(bins: Bins<'_, B>, rows: &Rows<'_>, values: &[Packed], out: &mut [Pair]) {
    let values: Vec<Pair> = values.iter().map(|&v| v.into()).collect();
    histogram(bins, rows, &values, out);
}

/// Adds each row's weight to the count of its class in the cells of its bins.
///
/// # Panics
/// When the shapes do not fit.
pub fn class_histogram<B: Bin>(
    bins: Bins<'_, B>,
    rows: &Rows<'_>,
    labels: &[ClassWeight],
    classes: usize,
    out: &mut [u32],
) {
    for place in 0..rows.len() {
        let row = rows.get(place);
        for (feature, &offset) in bins.offsets().iter().take(bins.features()).enumerate() {
            let bin = bins.get(row, feature).into();
            out[(offset + bin) * classes + labels[row].class as usize] += labels[row].weight;
        }
    }
}
