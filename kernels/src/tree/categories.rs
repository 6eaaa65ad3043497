//! The bins of categories, and of those that are not known.

use super::MISSING;

/// The bin of each category of a column: what a cell of it is to a test.
///
/// ```
/// use tilewise_kernels::tree::{Categories, MISSING};
/// let plain = Categories::from(vec![0, 1, MISSING]);
/// assert_eq!([1.0, 2.0, -1.0, f64::NAN].map(|x| plain.bin(x)), [1, MISSING, MISSING, MISSING]);
/// let own = plain.with_unknown(2);
/// assert_eq!([1.0, 2.0, -1.0, f64::NAN].map(|x| own.bin(x)), [1, 2, 2, MISSING]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Categories {
    bins: Vec<u8>,
    unknown: u8,
}

impl From<Vec<u8>> for Categories {
    /// Categories of these bins, the first that of category 0; [`MISSING`] for one that is not known. Those count as missing.
    fn from(bins: Vec<u8>) -> Self {
        Self { bins, unknown: MISSING }
    }
}

impl Categories {
    /// The same, with a bin for categories that are not known: those whose bin is [`MISSING`], and numbers of none.
    #[must_use]
    pub fn with_unknown(self, unknown: u8) -> Self {
        Self { unknown, ..self }
    }

    /// The bin of each category, [`MISSING`] for those that are not known.
    pub fn bins(&self) -> &[u8] {
        &self.bins
    }

    /// The bin of a category that is not known.
    pub fn unknown(&self) -> u8 {
        self.unknown
    }

    /// The bin of a cell: the number of a category, which is rounded towards 0. NaN is missing.
    #[inline(always)]
    pub fn bin(&self, x: f64) -> u8 {
        // NaN and negative numbers are none of 0, 1, ...
        let known = if x >= 0.0 { self.bins.get(x as usize).copied().unwrap_or(MISSING) } else { MISSING };
        if known == MISSING && !x.is_nan() { self.unknown } else { known }
    }
}
