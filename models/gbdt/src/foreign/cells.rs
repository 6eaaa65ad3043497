//! How cells become what the trees of another library test.

use serde::{Deserialize, Serialize};
use tilewise_base::model::UNSEEN;
use tilewise_kernels::MatRef;

/// What LightGBM takes for 0: numbers of this magnitude or less.
pub(super) const LIGHTGBM_ZERO: f64 = 1e-35_f32 as f64;

/// How the cells of an input are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reading {
    /// As they are.
    AsIs,
    /// Those up to [`LIGHTGBM_ZERO`] are missing.
    ZeroIsMissing,
    /// They are numbers of categories: each becomes its place among these, which are in ascending order.
    Places { of: Vec<f64>, rounded: Rounded },
}

/// How numbers of categories are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Rounded {
    /// Not: a number that is not one of the categories is none of them.
    Not,
    /// Towards 0.
    TowardsZero,
    /// To f32, then towards 0; numbers below 0 are no category.
    F32TowardsZero,
}

impl Reading {
    /// The cell that a tree tests.
    pub(super) fn read(&self, x: f64) -> f64 {
        match self {
            Self::AsIs => x,
            Self::ZeroIsMissing => {
                if x.abs() <= LIGHTGBM_ZERO {
                    f64::NAN
                } else {
                    x
                }
            }
            Self::Places { of, rounded } => {
                let number = match rounded {
                    Rounded::Not => x,
                    Rounded::TowardsZero => x.trunc(),
                    Rounded::F32TowardsZero if (x as f32) < 0.0 => return UNSEEN,
                    Rounded::F32TowardsZero => f64::from((x as f32).trunc()),
                };
                if number.is_nan() {
                    return number;
                }
                let place = of.partition_point(|&other| other < number);
                if of.get(place) == Some(&number) { place as f64 } else { UNSEEN }
            }
        }
    }

    /// Whether it changes cells.
    fn reads(&self) -> bool {
        *self != Self::AsIs
    }
}

/// The cells as trees test them; `None` where that is as they are. O(cells).
pub(super) fn read(readings: &[Reading], cells: MatRef<'_, f64>) -> Option<Vec<f64>> {
    if !readings.iter().any(Reading::reads) {
        return None;
    }
    let row =
        |row: usize| readings.iter().enumerate().map(move |(j, reading)| reading.read(cells.get(row, j)));
    Some((0..cells.rows()).flat_map(row).collect())
}

/// The largest number that is rounded to `most` or less as an f32. Half way between two f32 the one with an even last bit is chosen.
pub(super) fn up_to_f32(most: f32) -> f64 {
    if most == f32::INFINITY {
        return f64::INFINITY;
    }
    // Beyond the largest f32 numbers are rounded as if the next one were there.
    const BEYOND: f64 = 2.0 * (1_u128 << 127) as f64;
    let wide = |x: f32| if x.is_infinite() { BEYOND.copysign(x.into()) } else { x.into() };
    let middle = (wide(most) + wide(most.next_up())) / 2.0;
    if most.to_bits() & 1 == 0 { middle } else { middle.next_down() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn assert_is_last(most: f32) {
        let last = up_to_f32(most);
        assert!(last as f32 <= most, "{most:e}: {last:e} is rounded to {:e}", last as f32);
        if most < f32::INFINITY {
            let next = last.next_up();
            assert!(next as f32 > most, "{most:e}: {next:e} is rounded to {:e}", next as f32);
        }
    }

    #[test]
    fn the_last_number_that_is_rounded_to_an_f32_or_less() {
        let small = f32::from_bits(1);
        for most in [0.0, -0.0, small, -small, 1.0, -1.0, f32::MIN_POSITIVE, f32::MAX, f32::MIN] {
            assert_is_last(most);
            assert_is_last(most.next_up());
            assert_is_last(most.next_down());
        }
        assert_is_last(f32::NEG_INFINITY);
        assert_is_last(f32::INFINITY);
    }

    proptest! {
        #[test]
        fn of_any_f32(bits in any::<u32>()) {
            let most = f32::from_bits(bits);
            prop_assume!(!most.is_nan());
            assert_is_last(most);
        }
    }

    #[test]
    fn numbers_of_categories_are_read_as_the_libraries_do() {
        let places = |rounded| Reading::Places { of: vec![0.0, 3.0, 16_777_214.0], rounded };
        let read = |rounded, x: f64| places(rounded).read(x);
        assert_eq!([-0.0, 3.9, 3.0, 1.0].map(|x| read(Rounded::TowardsZero, x)), [0.0, 1.0, 1.0, UNSEEN]);
        assert_eq!([-0.5, -1.0, 1e300].map(|x| read(Rounded::TowardsZero, x)), [0.0, UNSEEN, UNSEEN]);
        assert_eq!([-0.5, -0.0, 3.9].map(|x| read(Rounded::F32TowardsZero, x)), [UNSEEN, 0.0, 1.0]);
        // Rounded to 3 as an f32, and to a whole number where f32 has no others.
        assert_eq!(read(Rounded::F32TowardsZero, 3.0_f64.next_down()), 1.0);
        assert_eq!(read(Rounded::F32TowardsZero, 16_777_214.3), 2.0);
        assert_eq!([3.0, 3.1].map(|x| read(Rounded::Not, x)), [1.0, UNSEEN]);
        assert!(read(Rounded::Not, f64::NAN).is_nan() && read(Rounded::F32TowardsZero, f64::NAN).is_nan());
        assert!(Reading::ZeroIsMissing.read(-1e-36).is_nan() && Reading::ZeroIsMissing.read(2e-35) == 2e-35);
    }
}
