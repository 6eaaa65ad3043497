//! What is left of answers when predictions are taken off: over the predictions, against quantiles of the normal distribution, and how its
//! spread goes along. The pictures are those of `plot.lm` in R; quantile pictures after Wilk, Gnanadesikan ("Probability plotting methods
//! for the analysis of data", 1968), that of the spread after Cleveland ("Visualizing data", 1993).

use crate::{digits, is_wide};
use statrs::function::erf::erfc_inv;
use tilewise_base::{Result, split};
use tilewise_report::{Axis, Chart, Cloud, Places, ScatterChart, Series, Spot, quantile};

/// Rows up to which all are drawn, else as many.
const DRAWN: usize = 1_000;

/// Rows that are drawn besides, those whose residuals are the largest: a sample would lose them.
const FARTHEST: usize = 20;

/// Of the least and of the largest residuals all so many are in the picture of quantiles, of those between every k-th.
const ENDS: usize = 100;

/// Groups of neighbouring predictions whose means are joined, at most; of few rows they are half the root of these, or means would be as
/// restless as rows.
const GROUPS: usize = 20;

/// Rows with fewer of which neither distribution nor spread says anything.
const FEW: usize = 3;

/// What is left of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    prediction: f64,
    answer: f64,
    residual: f64,
    /// With the root of the weight, over the root of the mean square of all; 0 where none is other than 0.
    standardised: f64,
}

/// What is left of the rows that have a weight and a number as residual.
#[derive(Clone, Debug)]
pub struct Residuals {
    /// What was predicted, for labels.
    target: String,
    /// Whether they are roots of deviances.
    of_deviance: bool,
    rows: Vec<Row>,
    /// Those that pictures of all rows show, rising.
    drawn: Vec<usize>,
    left_out: usize,
}

impl Residuals {
    /// Of `predictions` of the numbers `y`. A residual is y - prediction or, where `deviance` of both tells one, its root with the sign
    /// of that. `seed` draws rows where there are more than 1,000.
    ///
    /// # Errors
    /// None but those of a sample that cannot be drawn.
    pub fn new(
        target: String,
        deviance: impl Fn(f64, f64) -> Option<f64>,
        y: &[f64],
        predictions: &[f64],
        weights: Option<&[f64]>,
        seed: u64,
    ) -> Result<Self> {
        let (mut rows, mut of_deviance, mut left_out) = (Vec::with_capacity(y.len()), false, 0);
        for (i, (&answer, &prediction)) in y.iter().zip(predictions).enumerate() {
            let weight = weights.map_or(1.0, |weights| weights[i]);
            if weight > 0.0 {
                let deviance = deviance(answer, prediction);
                of_deviance |= deviance.is_some();
                let difference = answer - prediction;
                let residual = deviance.map_or(difference, |deviance| deviance.sqrt().copysign(difference));
                let weighted = weight.sqrt() * residual;
                match weighted.is_finite() {
                    true => rows.push(Row { prediction, answer, residual, standardised: weighted }),
                    false => left_out += 1,
                }
            }
        }
        // Over the largest first, so that no square overflows.
        let most = rows.iter().fold(0.0f64, |most, row| most.max(row.standardised.abs()));
        if most > 0.0 {
            rows.iter_mut().for_each(|row| row.standardised /= most);
            let squares: f64 = rows.iter().map(|row| row.standardised.powi(2)).sum();
            let root = (squares / rows.len() as f64).sqrt();
            rows.iter_mut().for_each(|row| row.standardised /= root);
        }
        let mut drawn: Vec<usize> = (0..rows.len()).collect();
        if rows.len() > DRAWN {
            let size = |i: &usize| rows[*i].standardised.abs();
            drawn.sort_by(|a, b| size(b).total_cmp(&size(a)));
            drawn.truncate(FARTHEST);
            drawn.extend(split(rows.len(), DRAWN as f64 / rows.len() as f64, seed, None)?.1);
            drawn.sort_unstable();
            drawn.dedup();
        }
        Ok(Self { target, of_deviance, rows, drawn, left_out })
    }

    /// Rows that have a weight and a residual that is a number.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Whether they are roots of deviances, not differences.
    pub fn of_deviance(&self) -> bool {
        self.of_deviance
    }

    /// What a person should know of the rows that are not shown; nothing where all are.
    pub fn told(&self) -> Option<String> {
        let sample = (self.rows.len() > DRAWN).then(|| {
            format!(
                "Of {} rows {DRAWN} are drawn by the seed, and the {FARTHEST} whose residuals are largest; lines, means and quantiles are of all.",
                self.rows.len()
            )
        });
        let left_out = (self.left_out > 0).then(|| {
            let rows = if self.left_out == 1 { "row is" } else { "rows are" };
            format!("{} {rows} left out, whose residual is no finite number.", self.left_out)
        });
        [sample, left_out].into_iter().flatten().reduce(|a, b| format!("{a} {b}"))
    }

    /// All pictures that say something of these rows.
    pub fn charts(&self) -> Vec<Chart> {
        let first = (!self.rows.is_empty()).then(|| self.over_predictions());
        [first, self.against_normal(), self.spread()].into_iter().flatten().map(Chart::Scatter).collect()
    }

    /// Residuals over predictions, with means of neighbours.
    pub fn over_predictions(&self) -> ScatterChart {
        let what = if self.of_deviance { "roots of deviances" } else { "the answer less the prediction" };
        ScatterChart {
            title: format!("Residuals against predictions: {what}"),
            y: Axis::linear(match self.of_deviance {
                true => "deviance residual".to_owned(),
                false => format!("residual of {}", self.target),
            }),
            level: Some(0.0),
            ..self.along(|row| row.residual)
        }
    }

    /// Standardised residuals in their order, against quantiles of the normal distribution. Nothing of fewer than three rows, or of residuals
    /// that are all 0.
    pub fn against_normal(&self) -> Option<ScatterChart> {
        let mut order = self.in_order()?;
        let n = order.len();
        order.sort_by(|a, b| a.standardised.total_cmp(&b.standardised));
        let places = normal_places(n);
        let all: Vec<f64> = order.iter().map(|row| row.standardised).collect();
        // As `qqline` in R: what is far out does not move it.
        let (low, high) = (quantile(&all, 0.25), quantile(&all, 0.75));
        let slope = (high - low) / (normal_quantile(0.75) - normal_quantile(0.25));
        let line = |x: f64| (x, (low + high) / 2.0 + slope * x);
        let every = n.saturating_sub(2 * ENDS).div_ceil(DRAWN - 2 * ENDS).max(1);
        let is_drawn = |i: usize| n <= DRAWN || i < ENDS || i + ENDS >= n || i.is_multiple_of(every);
        let spots: Vec<Spot> = (0..n)
            .filter(|&i| is_drawn(i))
            .map(|i| Spot { x: places[i], y: all[i], error: None, tip: tip(order[i]) })
            .collect();
        Some(ScatterChart {
            title: "Normal Q-Q: are residuals distributed normally?".into(),
            x: Places::Axis(Axis::linear("quantile of the normal distribution")),
            y: Axis::linear("standardised residual"),
            clouds: vec![Cloud { name: self.name(spots.len()), spots }],
            reference: Some(Series {
                name: "normal, by the quartiles".into(),
                points: vec![line(places[0]), line(places[n - 1])],
            }),
            ..ScatterChart::default()
        })
    }

    /// Roots of the sizes of standardised residuals over predictions, with means of neighbours. Nothing where [`Self::against_normal`] is.
    pub fn spread(&self) -> Option<ScatterChart> {
        self.in_order()?;
        Some(ScatterChart {
            title: "Scale-location: is the spread the same everywhere?".into(),
            y: Axis::linear("√|standardised residual|"),
            ..self.along(|row| row.standardised.abs().sqrt())
        })
    }

    /// The rows, if their distribution says something.
    fn in_order(&self) -> Option<Vec<&Row>> {
        let says = self.rows.len() >= FEW && self.rows.iter().any(|row| row.standardised != 0.0);
        says.then(|| self.rows.iter().collect())
    }

    fn name(&self, drawn: usize) -> String {
        let all = self.rows.len();
        if drawn == all { "rows".to_owned() } else { format!("{drawn} of {all} rows") }
    }

    /// A number of each row over its prediction.
    fn along(&self, y: impl Fn(&Row) -> f64) -> ScatterChart {
        let spot = |row: &Row| Spot { x: row.prediction, y: y(row), error: None, tip: tip(row) };
        let spots: Vec<Spot> = self.drawn.iter().map(|&i| spot(&self.rows[i])).collect();
        let label = format!("predicted {}", self.target);
        // Means of counts and amounts, of which the most are small.
        let wide = self.of_deviance && is_wide(self.rows.iter().map(|row| row.prediction));
        ScatterChart {
            x: Places::Axis(if wide { Axis::log(label) } else { Axis::linear(label) }),
            clouds: vec![Cloud { name: self.name(spots.len()), spots }],
            trend: self.trend(y),
            ..ScatterChart::default()
        }
    }

    /// Means of groups of about as many rows of neighbouring predictions; rows of one prediction are in one group.
    fn trend(&self, y: impl Fn(&Row) -> f64) -> Option<Series> {
        let mut order: Vec<&Row> = self.rows.iter().collect();
        order.sort_by(|a, b| a.prediction.total_cmp(&b.prediction));
        let groups = (((order.len() as f64).sqrt() / 2.0) as usize).clamp(1, GROUPS);
        let size = order.len().div_ceil(groups);
        let (mut points, mut from) = (Vec::new(), 0);
        for to in 1..=order.len() {
            let ends = order.get(to).is_none_or(|next| next.prediction > order[to - 1].prediction);
            // What would be too few for a group of their own are of the last one.
            let is_full = to - from >= size && order.len() - to >= size;
            if ends && (is_full || to == order.len()) {
                let mean = |of: &dyn Fn(&Row) -> f64| {
                    order[from..to].iter().map(|row| of(row)).sum::<f64>() / (to - from) as f64
                };
                points.push((mean(&|row| row.prediction), mean(&|row| y(row))));
                from = to;
            }
        }
        (points.len() >= FEW).then(|| Series { name: format!("mean of {size} neighbours"), points })
    }
}

fn tip(row: &Row) -> String {
    format!("predicted {}, is {}", digits(row.prediction), digits(row.answer))
}

/// Where n numbers in their order are expected, were they normal: quantiles of the shares that `ppoints` in R takes.
fn normal_places(n: usize) -> Vec<f64> {
    let a = if n <= 10 { 3.0 / 8.0 } else { 0.5 };
    (1..=n).map(|i| normal_quantile((i as f64 - a) / (n as f64 + 1.0 - 2.0 * a))).collect()
}

/// What a share of the standard normal distribution is below.
fn normal_quantile(share: f64) -> f64 {
    -std::f64::consts::SQRT_2 * erfc_inv(2.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(y: &[f64], predictions: &[f64], weights: Option<&[f64]>) -> Residuals {
        Residuals::new("price".into(), |_, _| None, y, predictions, weights, 7).unwrap()
    }

    fn points(chart: &ScatterChart) -> Vec<(f64, f64)> {
        chart.clouds[0].spots.iter().map(|spot| (spot.x, spot.y)).collect()
    }

    fn near(ours: &[(f64, f64)], theirs: &[(f64, f64)]) {
        let close = |(a, b): (&(f64, f64), &(f64, f64))| (a.0 - b.0).abs() < 1e-9 && (a.1 - b.1).abs() < 1e-9;
        assert!(ours.len() == theirs.len() && ours.iter().zip(theirs).all(close), "{ours:?}\n{theirs:?}");
    }

    /// SciPy 1.17: `stats.norm.ppf`.
    #[test]
    fn quantiles_are_those_of_scipy() {
        for (share, z) in [
            (0.5, 0.0),
            (0.75, 0.6744897501960817),
            (0.975, 1.959963984540054),
            (1e-6, -4.753424308822899),
            (0.3, -0.5244005127080409),
        ] {
            assert!((normal_quantile(share) - z).abs() < 1e-9, "{share}");
        }
        // By hand: of five numbers (i - 3/8) / 5.25.
        let places = normal_places(5);
        assert!((places[0] + 1.179761117611857).abs() < 1e-9 && places[2].abs() < 1e-12);
        assert!((normal_places(20)[0] - normal_quantile(0.025)).abs() < 1e-12);
    }

    #[test]
    fn a_table_of_five_rows_by_hand() {
        // Residuals 1, -1, 2, -2 and one without a weight; their mean square is 2.5.
        let (y, p) = ([11.0, 19.0, 32.0, 38.0, 900.0], [10.0, 20.0, 30.0, 40.0, 50.0]);
        let residuals = plain(&y, &p, Some(&[1.0, 1.0, 1.0, 1.0, 0.0]));
        let first = residuals.over_predictions();
        near(&points(&first), &[(10.0, 1.0), (20.0, -1.0), (30.0, 2.0), (40.0, -2.0)]);
        assert_eq!((first.level, &first.y.label[..]), (Some(0.0), "residual of price"));
        assert_eq!(first.clouds[0].spots[2].tip, "predicted 30, is 32");
        let s = 2.5f64.sqrt();
        let q = normal_places(4);
        let qq = residuals.against_normal().unwrap();
        near(&points(&qq), &[(q[0], -2.0 / s), (q[1], -1.0 / s), (q[2], 1.0 / s), (q[3], 2.0 / s)]);
        // Quartiles are -1.25 / s and 1.25 / s.
        let slope = 1.25 / s / 0.6744897501960817;
        near(&qq.reference.unwrap().points, &[(q[0], slope * q[0]), (q[3], slope * q[3])]);
        let roots: Vec<f64> = [1.0, 1.0, 2.0, 2.0].iter().map(|r: &f64| (r / s).sqrt()).collect();
        let spread = residuals.spread().unwrap();
        near(&points(&spread), &[(10.0, roots[0]), (20.0, roots[1]), (30.0, roots[2]), (40.0, roots[3])]);
        assert!(first.trend.is_none() && residuals.told().is_none());
        // A weight of 4 counts as a residual twice as large, and the unit of weights does not count.
        let weighted = plain(&y[..2], &p[..2], Some(&[4.0, 1.0]));
        let same = plain(&[12.0, 19.0], &p[..2], None);
        let of =
            |residuals: &Residuals| residuals.rows.iter().map(|row| row.standardised).collect::<Vec<_>>();
        assert_eq!(of(&weighted), of(&same));
        assert_eq!(of(&weighted), of(&plain(&y[..2], &p[..2], Some(&[16.0, 4.0]))));
    }

    #[test]
    fn deviances_have_the_sign_of_the_difference() {
        let poisson = |y: f64, mean: f64| {
            let half = if y > 0.0 { y * (y / mean).ln() - (y - mean) } else { mean };
            Some(2.0 * half)
        };
        let residuals = Residuals::new("n".into(), poisson, &[0.0, 6.0], &[2.0, 3.0], None, 0).unwrap();
        let by_hand = (2.0 * (6.0 * 2f64.ln() - 3.0)).sqrt();
        near(&points(&residuals.over_predictions()), &[(2.0, -2.0), (3.0, by_hand)]);
        assert!(residuals.of_deviance() && residuals.over_predictions().y.label == "deviance residual");
    }

    #[test]
    fn of_many_rows_a_sample_is_drawn_and_none_that_is_far_off_is_missed() {
        let n = 50_000;
        let p: Vec<f64> = (0..n).map(|i| f64::from(i % 1_000)).collect();
        // A hump in the middle, and a row far off.
        let hump = |p: f64| if (400.0..600.0).contains(&p) { 5.0 } else { 0.0 };
        let wave = |i: i32| f64::from(i * 37 % 101) / 50.0 - 1.0;
        let mut y: Vec<f64> = (0..n).zip(&p).map(|(i, p)| p + hump(*p) + wave(i)).collect();
        y[31_415] = 5_000.0;
        let residuals = plain(&y, &p, None);
        let chart = residuals.over_predictions();
        let drawn = chart.clouds[0].spots.len();
        assert!((DRAWN..=DRAWN + FARTHEST).contains(&drawn), "{drawn}");
        assert_eq!(chart.clouds[0].name, format!("{drawn} of 50000 rows"));
        assert!(chart.clouds[0].spots.iter().any(|spot| spot.tip.ends_with("is 5000")), "far off");
        assert!(residuals.told().unwrap().starts_with("Of 50000 rows 1000 are drawn by the seed"));
        // The same bytes again, others by another seed.
        let svg = |residuals: &Residuals| Chart::Scatter(residuals.over_predictions()).svg();
        assert_eq!(svg(&residuals), svg(&plain(&y, &p, None)));
        let other = Residuals::new("price".into(), |_, _| None, &y, &p, None, 8).unwrap();
        assert_ne!(svg(&residuals), svg(&other));
        // The means show the hump: twenty groups of a twentieth.
        let trend = chart.trend.unwrap();
        assert_eq!((trend.points.len(), &trend.name[..]), (20, "mean of 2500 neighbours"));
        let in_hump = |&&(x, _): &&(f64, f64)| (460.0..580.0).contains(&x);
        assert!(
            trend.points.iter().filter(in_hump).all(|(_, y)| (y - 5.0).abs() < 0.1),
            "{:?}",
            trend.points
        );
        assert!(trend.points[..7].iter().all(|(_, y)| y.abs() < 0.1), "{:?}", trend.points);
        let qq = residuals.against_normal().unwrap();
        let all = &qq.clouds[0].spots;
        assert!(all.len() <= DRAWN + 2 && all.windows(2).all(|pair| pair[0].y <= pair[1].y), "{}", all.len());
        let sorted: Vec<f64> = all.iter().map(|spot| spot.x).collect();
        assert_eq!(
            (sorted[0], sorted[all.len() - 1]),
            (normal_places(n as usize)[0], normal_places(n as usize)[49_999])
        );
    }

    #[test]
    fn rows_that_say_nothing_have_fewer_pictures_or_none() {
        let charts = |residuals: &Residuals| {
            let charts = residuals.charts();
            charts.iter().for_each(|chart| assert!(!chart.svg().contains("NaN"), "{}", chart.svg()));
            charts.len()
        };
        // No row, one, two; no weight; residuals that are no numbers.
        assert_eq!(charts(&plain(&[], &[], None)), 0);
        assert_eq!(charts(&plain(&[2.0], &[1.0], None)), 1);
        assert_eq!(charts(&plain(&[2.0, 3.0], &[1.0, 1.0], None)), 1);
        assert_eq!(charts(&plain(&[2.0, 3.0], &[1.0, 1.0], Some(&[0.0, 0.0]))), 0);
        let none = plain(&[f64::NAN, 1.0, f64::MAX], &[0.0, f64::INFINITY, f64::MIN], None);
        assert_eq!((charts(&none), none.rows()), (0, 0));
        assert_eq!(none.told().unwrap(), "3 rows are left out, whose residual is no finite number.");
        let one = plain(&[f64::NAN, 1.0, 2.0], &[0.0, 0.5, 0.0], None);
        assert_eq!((charts(&one), one.rows()), (1, 2));
        // All right, or all wrong by the same; one answer for all.
        assert_eq!(charts(&plain(&[5.0; 9], &[5.0; 9], None)), 1);
        assert_eq!(charts(&plain(&[5.0; 40], &[4.0; 40], None)), 3);
        // At the ends of f64.
        assert_eq!(charts(&plain(&[1e200, -1e200, 3e200, 0.0], &[0.0; 4], None)), 3);
        assert_eq!(charts(&plain(&[0.0, 5e-324, 0.0, 1e-323], &[0.0; 4], None)), 3);
    }
}
