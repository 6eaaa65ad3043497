//! Tails of the normal, Student's t and F distributions.

use statrs::function::{beta::checked_beta_reg, erf::erfc, gamma::ln_gamma};

/// Share of intervals that hold the coefficient.
pub(super) const LEVEL: f64 = 0.95;

/// The normal quantile that leaves (1 - LEVEL) / 2 above.
const NORMAL: f64 = 1.959_963_984_540_054;

/// What a coefficient over its standard error is compared with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reference {
    Normal,
    /// With so many degrees of freedom.
    Student(f64),
}

impl Reference {
    /// How likely a value at least as far from zero is.
    pub(super) fn two_sided(self, x: f64) -> f64 {
        match self {
            Self::Normal => erfc(x.abs() / std::f64::consts::SQRT_2),
            Self::Student(df) if x.is_finite() => beta(df / 2.0, 0.5, df / (df + x * x)),
            Self::Student(df) => {
                if x.is_nan() || df.is_nan() {
                    f64::NAN
                } else {
                    0.0
                }
            }
        }
    }

    /// What is exceeded, either way, with probability 1 - LEVEL.
    pub(super) fn critical(self) -> f64 {
        let Self::Student(df) = self else { return NORMAL };
        if df.is_nan() || df <= 0.0 {
            return f64::NAN;
        }
        // Newton's method from the left: the tail is convex, so no step goes too far.
        let scale =
            (ln_gamma((df + 1.0) / 2.0) - ln_gamma(df / 2.0)).exp() / (df * std::f64::consts::PI).sqrt();
        let mut t = NORMAL;
        for _ in 0..100 {
            let density = scale * (-(df + 1.0) / 2.0 * (t * t / df).ln_1p()).exp();
            let step = (self.two_sided(t) - (1.0 - LEVEL)) / (2.0 * density);
            t += step;
            if step.abs() <= 1e-14 * t {
                break;
            }
        }
        t
    }
}

/// How likely F with `above` and `below` degrees of freedom is at least `f`.
pub(super) fn f_tail(f: f64, above: f64, below: f64) -> f64 {
    if f >= 0.0 { beta(below / 2.0, above / 2.0, below / (below + above * f)) } else { f64::NAN }
}

/// The logarithm of y!, also between whole numbers.
pub(super) fn ln_factorial(y: f64) -> f64 {
    ln_gamma(y + 1.0)
}

fn beta(a: f64, b: f64, x: f64) -> f64 {
    checked_beta_reg(a, b, x).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SciPy 1.17: `2 * stats.t.sf`, `2 * stats.norm.sf`, `stats.f.sf`, `stats.t.ppf(0.975)`.
    #[test]
    fn tails_are_those_of_scipy() {
        let near =
            |ours: f64, theirs: f64| assert!((ours / theirs - 1.0).abs() < 1e-9, "{ours:e} and {theirs:e}");
        for (t, df, p) in [
            (0.5, 3.0, 0.651447964848151),
            (-2.0, 10.0, 0.07338803477074037),
            (5.0, 430.0, 8.363995264835381e-07),
            (12.0, 430.0, 8.164640707834136e-29),
            (40.0, 430.0, 5.253411279636898e-147),
            (25.0, 15.0, 1.217684839694789e-13),
            (3.0, 1e6, 0.0026998625414218),
        ] {
            near(Reference::Student(df).two_sided(t), p);
        }
        for (z, p) in [(0.1, 0.920344325445942), (-1.96, 0.04999579029644087), (10.0, 1.523970604832094e-23)]
        {
            near(Reference::Normal.two_sided(z), p);
        }
        for (f, a, b, p) in
            [(46.27, 10.0, 431.0, 3.8508494808669934e-62), (2.0, 3.0, 7.0, 0.2026936424866509)]
        {
            near(f_tail(f, a, b), p);
        }
        for (df, q) in [
            (1.0, 12.706204736432095),
            (3.0, 3.1824463052837078),
            (431.0, 1.9654833203397435),
            (1e6, 1.959966356814107),
        ] {
            near(Reference::Student(df).critical(), q);
        }
        assert!(
            Reference::Student(0.0).critical().is_nan()
                && Reference::Student(f64::NAN).two_sided(1.0).is_nan()
        );
        assert_eq!(Reference::Student(4.0).two_sided(f64::INFINITY), 0.0);
    }
}
