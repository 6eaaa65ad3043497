//! The values of a column in their order, and the cuts that they give.

use super::{between, between_all, digits, of_distinct, weighted};
use std::ops::Range;
use tilewise_kernels::Float;

/// Numbers of a column, in the precision that they have.
pub(crate) enum Values {
    Single(Vec<f32>),
    Double(Vec<f64>),
}

/// The values of a column, ascending, without those that are missing.
pub(crate) enum Ordered {
    /// Few distinct ones. (Of 44 columns of zeros and ones finding that took less than a tenth of putting them in order.)
    Few(Vec<f64>),
    Single(Vec<f32>),
    Double(Vec<f64>),
    /// Distinct values and their weights.
    Weighted(Vec<(f64, u64)>),
}

impl Ordered {
    /// Values of weight 1 each, of which no more than `bins` distinct ones need no counts. O(n).
    pub(crate) fn new(values: Values, bins: usize) -> Self {
        match values {
            Values::Single(mut values) => few(&values, bins).map_or_else(
                || {
                    prepare(&mut values);
                    digits::sort_single(&mut values);
                    Self::Single(values)
                },
                Self::Few,
            ),
            Values::Double(mut values) => few(&values, bins).map_or_else(
                || {
                    prepare(&mut values);
                    digits::sort(&mut values);
                    Self::Double(values)
                },
                Self::Few,
            ),
        }
    }

    /// Values of these weights. O(n log n).
    pub(crate) fn weighted(values: impl Iterator<Item = (f64, u32)>) -> Self {
        Self::Weighted(weighted(values))
    }

    /// The distinct values where there are no more than `most`.
    pub(crate) fn distinct(&self, most: usize) -> Option<Vec<f64>> {
        match self {
            Self::Few(values) => (values.len() <= most).then(|| values.clone()),
            Self::Single(values) => distinct(values, most),
            Self::Double(values) => distinct(values, most),
            Self::Weighted(values) => {
                (values.len() <= most).then(|| values.iter().map(|&(value, _)| value).collect())
            }
        }
    }

    /// The cuts that [`of_distinct`] makes. O(bins) but for long runs of equal values.
    pub(crate) fn cuts(&self, bins: usize) -> Vec<f64> {
        match self {
            // There are as many bins.
            Self::Few(values) => between_all(values),
            Self::Single(values) => of_ordered(values, bins),
            Self::Double(values) => of_ordered(values, bins),
            Self::Weighted(values) => of_distinct(values, bins),
        }
    }
}

/// Takes missing values out, and makes both zeros one value.
fn prepare<T: Float>(values: &mut Vec<T>) {
    if values.iter().any(|x| x.is_nan()) {
        values.retain(|x| !x.is_nan());
    }
    values.iter_mut().for_each(|x| *x += T::ZERO);
}

/// The distinct values, ascending, where there are no more than four and than `bins`.
fn few<T: Float>(values: &[T], bins: usize) -> Option<Vec<f64>> {
    const FEW: usize = 4;
    const CHUNK: usize = 256;
    let mut known: Vec<T> = Vec::new();
    for chunk in values.chunks(CHUNK) {
        loop {
            let first = known.first().copied().unwrap_or(T::ZERO);
            let all: [T; FEW] = std::array::from_fn(|i| known.get(i).copied().unwrap_or(first));
            let is_known = |x: T| (x == all[0]) | (x == all[1]) | (x == all[2]) | (x == all[3]) | x.is_nan();
            let count: u32 = chunk.iter().map(|&x| u32::from(is_known(x))).sum();
            if count as usize == chunk.len() && (!known.is_empty() || chunk.iter().all(|x| x.is_nan())) {
                break;
            }
            // Of a list that is empty zero is not known yet.
            let is_new = |x: &&T| !x.is_nan() && !known.contains(x);
            let new = *chunk.iter().find(is_new)?;
            if known.len() == FEW.min(bins) {
                return None;
            }
            known.push(new + T::ZERO);
        }
    }
    let mut known: Vec<f64> = known.into_iter().map(T::to_f64).collect();
    known.sort_unstable_by(f64::total_cmp);
    Some(known)
}

/// Where the values end that are equal to that at `place`: by steps twice as long each time, then by halves.
fn end_of_run<T: Float>(ascending: &[T], place: usize) -> usize {
    let value = ascending[place];
    let (mut start, mut step) = (place, 1);
    while start + step < ascending.len() && ascending[start + step] == value {
        start += step;
        step *= 2;
    }
    let end = ascending.len().min(start + step);
    start + ascending[start..end].partition_point(|x| *x == value)
}

fn distinct<T: Float>(ascending: &[T], most: usize) -> Option<Vec<f64>> {
    let (mut values, mut place) = (Vec::new(), 0);
    while place < ascending.len() {
        if values.len() == most {
            return None;
        }
        values.push(ascending[place].to_f64());
        place = end_of_run(ascending, place);
    }
    Some(values)
}

/// As [`of_distinct`] of values of weight 1: from the start of each bin the value at which it holds its share is looked up.
fn of_ordered<T: Float>(ascending: &[T], bins: usize) -> Vec<f64> {
    if let Some(values) = distinct(ascending, bins) {
        return between_all(&values);
    }
    let mut cuts = Vec::with_capacity(bins - 1);
    let mut rest: Range<usize> = 0..ascending.len();
    while cuts.len() + 1 < bins {
        let share = rest.len().div_ceil(bins - cuts.len());
        let end = end_of_run(ascending, rest.start + share - 1);
        if end == ascending.len() {
            break;
        }
        cuts.push(between(ascending[end - 1].to_f64(), ascending[end].to_f64()));
        rest.start = end;
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::super::unweighted;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cuts_are_those_of_distinct_values(
            kinds in prop::collection::vec((0_u8..7, -40_i32..40), 0..400),
            spread in prop::sample::select(vec![1_i32, 3, 40]),
            repeated in 1_usize..30,
            bins in 2_usize..40,
        ) {
            // Some that are missing, both zeros, infinities, and runs of one value.
            let value = |&(kind, number): &(u8, i32)| match kind {
                0 => f32::NAN,
                1 => -0.0,
                2 if number > 30 => f32::INFINITY,
                2 if number < -30 => f32::NEG_INFINITY,
                _ => (number % spread) as f32 * 0.37,
            };
            let mut values: Vec<f32> = kinds.iter().map(value).collect();
            if let Some(&one) = values.first() {
                values.extend(std::iter::repeat_n(one, repeated));
            }
            let wide: Vec<f64> = values.iter().map(|&x| f64::from(x)).collect();
            let expected = unweighted(wide.clone());
            let all: Vec<f64> = expected.iter().map(|&(x, _)| x).collect();
            for ordered in [Ordered::new(Values::Single(values), bins), Ordered::new(Values::Double(wide), bins)] {
                prop_assert_eq!(ordered.cuts(bins), of_distinct(&expected, bins));
                prop_assert_eq!(ordered.distinct(bins), (all.len() <= bins).then(|| all.clone()));
            }
        }
    }

    #[test]
    fn many_values_are_cut_at_their_ranks() {
        let values: Vec<f32> =
            (0..50_000).map(|i: u32| (i.wrapping_mul(2_654_435_761) % 9_973) as f32 - 4_000.5).collect();
        let wide: Vec<f64> = values.iter().map(|&x| f64::from(x)).collect();
        let expected = of_distinct(&unweighted(wide.clone()), 255);
        assert_eq!(Ordered::new(Values::Single(values), 255).cuts(255), expected);
        assert_eq!(Ordered::new(Values::Double(wide), 255).cuts(255), expected);
    }

    #[test]
    fn a_few_values_are_found_wherever_they_are() {
        let mut values = vec![1.0_f32; 1000];
        assert_eq!(few(&values, 255), Some(vec![1.0]));
        (values[999], values[300], values[301]) = (-0.0, f32::NAN, -7.5);
        assert_eq!(few(&values, 255), Some(vec![-7.5, 0.0, 1.0]));
        assert_eq!(few(&values, 2), None);
        values[5] = 0.0;
        values[998] = 4.0;
        assert_eq!(few(&values, 255).map(|few| few.len()), Some(4));
        values[997] = 5.0;
        assert_eq!(few(&values, 255), None);
        assert_eq!(few(&[f32::NAN; 300], 255), Some(Vec::new()));
        assert_eq!(few::<f32>(&[], 255), Some(Vec::new()));
        assert_eq!(few(&[0.0_f32; 3], 255), Some(vec![0.0]));
    }
}
