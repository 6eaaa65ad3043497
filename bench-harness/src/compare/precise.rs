//! Elementary functions in pairs of `f64`, about 100 bits: what results in `f64` are measured against. Slow and plain.

use std::f64::consts::{FRAC_2_SQRT_PI, LN_2};

/// An unevaluated sum, the second much smaller than the first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Precise(f64, f64);

/// What LN_2 lacks.
const LN_2_REST: f64 = 2.319_046_813_846_299_6e-17;
/// What 2 / sqrt(pi) lacks.
const FRAC_2_SQRT_PI_REST: f64 = 1.533_545_961_316_588e-17;
/// Terms of the series of e^x for |x| < 2^-8.
const EXP_TERMS: u32 = 14;
/// Halvings of the argument before that series.
const HALVINGS: i32 = 8;

impl Precise {
    fn new(x: f64) -> Self {
        Self(x, 0.0)
    }

    /// The sum of two numbers exactly (Knuth).
    fn sum(a: f64, b: f64) -> Self {
        let s = a + b;
        let t = s - a;
        Self(s, (a - (s - t)) + (b - t))
    }

    fn plus(self, b: Self) -> Self {
        let Self(s, e) = Self::sum(self.0, b.0);
        Self::sum(s, e + self.1 + b.1)
    }

    fn minus(self, b: Self) -> Self {
        self.plus(Self(-b.0, -b.1))
    }

    fn times(self, b: Self) -> Self {
        let p = self.0 * b.0;
        let e = self.0.mul_add(b.0, -p);
        Self::sum(p, e + self.0 * b.1 + self.1 * b.0)
    }

    fn over(self, b: Self) -> Self {
        let first = self.0 / b.0;
        let rest = self.minus(b.times(Self::new(first)));
        let second = rest.0 / b.0;
        let rest = rest.minus(b.times(Self::new(second)));
        Self::sum(first, second).plus(Self::new(rest.0 / b.0))
    }

    /// Its value as a power of two times this; exact.
    fn scaled(self, power: i32) -> Self {
        let half = power / 2;
        let factors = [2f64.powi(half), 2f64.powi(power - half)];
        Self(self.0 * factors[0] * factors[1], self.1 * factors[0] * factors[1])
    }

    /// e^x: x - k ln 2 halved eight times, a series, eight squarings.
    fn exp(self) -> Self {
        let k = (self.0 / LN_2).round();
        let r = self.minus(Self(LN_2, LN_2_REST).times(Self::new(k))).scaled(-HALVINGS);
        // e^r - 1, so that squaring loses nothing.
        let mut term = r;
        let mut sum = r;
        for n in 2..EXP_TERMS {
            term = term.times(r).over(Self::new(f64::from(n)));
            sum = sum.plus(term);
        }
        for _ in 0..HALVINGS {
            sum = sum.scaled(1).plus(sum.times(sum));
        }
        sum.plus(Self::new(1.0)).scaled(k as i32)
    }

    /// e^x - 1 of |x| < ln 2 / 2 by its series, else by the difference.
    fn exp_m1(self) -> Self {
        if self.0.abs() > LN_2 / 2.0 {
            return self.exp().minus(Self::new(1.0));
        }
        let (mut term, mut sum) = (self, self);
        for n in 2..30 {
            term = term.times(self).over(Self::new(f64::from(n)));
            sum = sum.plus(term);
        }
        sum
    }

    /// ln x: two steps of Newton on e^y = x.
    fn log(self) -> Self {
        let mut y = Self::new(self.0.ln());
        for _ in 0..2 {
            let quotient = self.times(Self(-y.0, -y.1).exp());
            y = y.plus(quotient.minus(Self::new(1.0)));
        }
        y
    }

    /// 2 / sqrt(pi) e^(-x^2) times the sum of (2 x^2)^n x / (2n + 1)!!, whose terms are all of one sign.
    fn erf(self) -> Self {
        // Nearer to 1 than its unit in the last place.
        if self.0.abs() > 6.0 {
            return Self::new(1f64.copysign(self.0));
        }
        let square = self.times(self);
        let (mut term, mut sum, mut n) = (self, self, 0.0);
        while term.0.abs() > 1e-34 * sum.0.abs() {
            n += 1.0;
            term = term.times(square.scaled(1)).over(Self::new(2.0 * n + 1.0));
            sum = sum.plus(term);
        }
        let factor = Self(FRAC_2_SQRT_PI, FRAC_2_SQRT_PI_REST);
        factor.times(Self(-square.0, -square.1).exp()).times(sum)
    }

    /// The function `kind` of x, if it is known.
    pub(super) fn of(kind: &str, x: f64) -> Option<Self> {
        let (at, one) = (Self::new(x), Self::new(1.0));
        Some(match kind {
            "exp" => at.exp(),
            "log" => at.log(),
            "sigmoid" => one.over(one.plus(Self::new(-x).exp())),
            "tanh" => {
                let grown = at.scaled(1).exp_m1();
                grown.over(grown.plus(Self::new(2.0)))
            }
            "erf" => at.erf(),
            _ => return None,
        })
    }

    /// How far `found` is from this, in units in the last place of this in an element type.
    pub(super) fn units(self, found: f64, element: &str) -> f64 {
        let (digits, least) = if element == "f32" { (23, -149) } else { (52, -1074) };
        // The exponent of the leading bit; below the normal numbers the unit stays that of the smallest.
        let exponent = (self.0.abs().to_bits() >> 52) as i32 - 1023;
        let unit = (exponent - digits).max(least);
        // In two factors: the smallest unit of f64 has no normal reciprocal.
        let off = Self::new(found).minus(self);
        ((off.0 + off.1) * 2f64.powi(-unit / 2) * 2f64.powi(-unit - (-unit / 2))).abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_agree_with_identities_beyond_f64() {
        for x in [-19.7, -3.3, -0.1, 1e-5, 0.3, 0.9, 2.5, 5.5, 18.0] {
            let of = |kind, x| Precise::of(kind, x).unwrap();
            let one = of("exp", x).times(of("exp", -x));
            assert!(one.minus(Precise::new(1.0)).0.abs() < 1e-30, "exp {x}");
            let back = of("exp", x).log();
            assert!(back.minus(Precise::new(x)).0.abs() < 1e-29, "log {x}");
            let both = of("sigmoid", x).plus(of("sigmoid", -x));
            assert!(both.minus(Precise::new(1.0)).0.abs() < 1e-30, "sigmoid {x}");
            let tanh = of("sigmoid", 2.0 * x).scaled(1).minus(Precise::new(1.0));
            assert!(tanh.minus(of("tanh", x)).0.abs() < 1e-30, "tanh {x}");
            assert!((of("tanh", x).0 - x.tanh()).abs() < 1e-15 * x.abs());
        }
        // erf(1), Abramowitz and Stegun, table 7.1.
        assert!((Precise::of("erf", 1.0).unwrap().0 - 0.842_700_792_949_714_9).abs() < 2e-16);
        assert!(Precise::of("cube", 1.0).is_none());
    }

    #[test]
    fn units_are_those_of_the_element_type() {
        let one = Precise::new(1.0);
        assert_eq!(one.units(1.0 + f64::EPSILON, "f64"), 1.0);
        assert_eq!(one.units(f64::from(1.0 + 2.0 * f32::EPSILON), "f32"), 2.0);
        assert_eq!(Precise(1.0, f64::EPSILON / 4.0).units(1.0, "f64"), 0.25);
        assert_eq!(Precise::new(0.0).units(f64::from(f32::from_bits(3)), "f32"), 3.0);
    }
}
