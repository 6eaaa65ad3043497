//! What a penalty does to coefficients, and by what its weight was chosen, as glmnet and scikit-learn draw it.

use crate::{digits, is_wide};
use tilewise_base::CoefficientPath;
use tilewise_base::outline::printable;
use tilewise_report::{Axis, Cloud, LineChart, Places, ScatterChart, Series, Spot};

/// Columns that have a line, those whose coefficients come to be the largest.
const LINES: usize = 100;

/// Columns that are named at the ends of their lines, the largest there: as many as there are colours.
const NAMED: usize = 7;

/// A weight of a penalty as people read it.
pub fn weight(alpha: f64) -> String {
    if (1e-3..1e5).contains(&alpha) { digits(alpha) } else { format!("{alpha:.3e}") }
}

fn axis() -> Axis {
    Axis::log("alpha, the weight of the penalty").falling()
}

/// Coefficients over weights of the penalty, from the largest weight to the least; a dashed line stands at the one that the model has. Nothing
/// where all coefficients are 0.
pub fn coefficients(path: &CoefficientPath) -> Option<LineChart> {
    let most = |column: usize| path.of_column(column).fold(0.0f64, |most, b| most.max(b.abs()));
    let end = |column: usize| path.of_column(column).next_back().map_or(0.0, f64::abs);
    let mut shown: Vec<(usize, f64)> = (0..path.columns.len())
        .map(|column| (column, most(column)))
        .filter(|(_, most)| *most > 0.0)
        .collect();
    if shown.is_empty() {
        return None;
    }
    shown.sort_by(|a, b| b.1.total_cmp(&a.1));
    let (all, left_out) = (shown.len(), shown.len() > LINES);
    shown.truncate(LINES);
    let mut columns: Vec<(usize, f64)> = shown.iter().map(|&(column, _)| (column, end(column))).collect();
    columns.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let line = |(rank, &(column, end)): (usize, &(usize, f64))| {
        let points: Vec<(f64, f64)> = path.alphas.iter().copied().zip(path.of_column(column)).collect();
        // All lie on 0 before: one point of that is enough.
        let zeros = points.iter().take_while(|point| point.1 == 0.0).count();
        let is_named = rank < NAMED && end > 0.0;
        Series {
            name: if is_named { printable(&path.columns[column]) } else { String::new() },
            points: points[zeros.saturating_sub(1)..].to_vec(),
        }
    };
    let series: Vec<Series> = columns.iter().enumerate().map(line).collect();
    let values = || series.iter().flat_map(|line| &line.points).map(|point| point.1);
    let ends = (values().fold(0.0, f64::min), values().fold(0.0, f64::max));
    let alpha = weight(path.alpha);
    let name = match &path.compared {
        Some(compared) => format!("alpha {alpha}, chosen by {} folds", compared.folds),
        None => format!("alpha {alpha}, as given"),
    };
    let which = if left_out { format!(", the {LINES} largest of {all}") } else { String::new() };
    Some(LineChart {
        title: format!("Coefficients over the weight of the penalty{which}"),
        x: axis(),
        y: Axis::linear(if path.standardised { "coefficient, standardised" } else { "coefficient per unit" }),
        series,
        reference: Some(Series { name, points: vec![(path.alpha, ends.0), (path.alpha, ends.1)] }),
        named_at_ends: true,
        ..LineChart::default()
    })
}

/// Errors of cross-validation over weights of the penalty with their standard errors; the weight that was taken is ringed. Nothing where the
/// weight was given.
pub fn errors(path: &CoefficientPath) -> Option<ScatterChart> {
    let compared = path.compared.as_ref()?;
    let (best, alphas) = (compared.best, &compared.alphas);
    let spot = |k: usize| {
        let (alpha, error, standard) = (alphas[k], compared.errors[k], compared.standard_errors[k]);
        let tip = format!("alpha {}: {} ± {}", weight(alpha), digits(error), digits(standard));
        Spot { x: alpha, y: error, error: Some(standard), tip }
    };
    let limit = compared.errors.get(best)? + compared.standard_errors.get(best)?;
    let taken = alphas.iter().position(|alpha| *alpha == path.alpha);
    let (first, last) = (*alphas.first()?, *alphas.last()?);
    let measure = compared.measure;
    Some(ScatterChart {
        title: "Error on rows left out, with its standard error".into(),
        x: Places::Axis(axis()),
        y: if is_wide(compared.errors.iter().copied()) { Axis::log(measure) } else { Axis::linear(measure) },
        clouds: vec![Cloud {
            name: format!("mean over {} folds", compared.folds),
            spots: (0..alphas.len()).map(spot).collect(),
        }],
        ringed: taken
            .map(|k| (format!("chosen, alpha {}", weight(path.alpha)), alphas[k], compared.errors[k])),
        reference: Some(Series {
            name: "least + standard error".into(),
            points: vec![(first, limit), (last, limit)],
        }),
        ..ScatterChart::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tilewise_base::Compared;
    use tilewise_report::Chart;

    /// Columns that come in one after another; each ends at its number, with changing signs.
    fn path(columns: usize) -> CoefficientPath {
        let alphas: Vec<f64> = (0..30).map(|k| 10f64.powf(f64::from(k) / -10.0)).collect();
        let coefficient = |k: usize, j: usize| {
            let sign = if j.is_multiple_of(2) { 1.0 } else { -1.0 };
            if k <= j % 20 { 0.0 } else { sign * j as f64 * (k - j % 20) as f64 / (29 - j % 20) as f64 }
        };
        let coefficients =
            (0..30).flat_map(|k| (0..columns).map(move |j| coefficient(k, j))).collect::<Vec<f64>>();
        let errors: Vec<f64> = (0..30).map(|k| 4.0 + f64::from((k - 20i32).pow(2)) / 100.0).collect();
        CoefficientPath {
            columns: (0..columns).map(|j| format!("column <{j}> & \u{7}more")).collect(),
            standardised: true,
            alpha: alphas[20],
            compared: Some(Compared {
                measure: "mean squared error",
                folds: 5,
                alphas: alphas.clone(),
                errors,
                standard_errors: vec![0.5; 30],
                best: 20,
                one_standard_error: 13,
            }),
            alphas,
            coefficients,
        }
    }

    #[test]
    fn the_largest_at_the_end_are_named_and_lines_begin_where_they_leave_zero() {
        let path = path(12);
        let chart = coefficients(&path).unwrap();
        // Column 0 is zero everywhere.
        assert_eq!(chart.series.len(), 11);
        let names: Vec<&str> =
            chart.series.iter().map(|line| &line.name[..]).filter(|name| !name.is_empty()).collect();
        assert_eq!(names.len(), NAMED);
        assert_eq!(names[0], "column <11> & \u{fffd}more");
        assert_eq!(names[6], "column <5> & \u{fffd}more");
        for (line, j) in chart.series.iter().zip((1..12).rev()) {
            // The last zero and what comes then are those of the path.
            assert_eq!(line.points[0], (path.alphas[j], 0.0));
            let all: Vec<f64> = path.of_column(j).collect();
            assert_eq!(line.points.iter().map(|point| point.1).collect::<Vec<_>>(), all[j..]);
            assert_eq!(line.points.last().unwrap().1.abs(), j as f64);
        }
        let reference = chart.reference.as_ref().unwrap();
        assert_eq!(reference.name, "alpha 0.01, chosen by 5 folds");
        assert_eq!(reference.points, [(path.alphas[20], -11.0), (path.alphas[20], 10.0)]);
        let svg = Chart::Line(chart.clone()).svg();
        assert!(svg.contains("column &lt;11&gt; &amp; \u{fffd}") && !svg.contains("NaN"));
        assert_eq!(svg, Chart::Line(chart).svg());
        let given = CoefficientPath { compared: None, standardised: false, alpha: 1e-7, ..path };
        let chart = coefficients(&given).unwrap();
        assert_eq!(chart.reference.unwrap().name, "alpha 1.000e-7, as given");
        assert_eq!(chart.y.label, "coefficient per unit");
        assert!(errors(&given).is_none());
    }

    #[test]
    fn of_very_many_columns_the_largest_are_drawn() {
        let chart = coefficients(&path(300)).unwrap();
        assert_eq!(chart.series.len(), LINES);
        assert_eq!(chart.title, "Coefficients over the weight of the penalty, the 100 largest of 299");
        let least = |line: &Series| line.points.last().unwrap().1.abs();
        assert!(chart.series.iter().all(|line| least(line) >= 200.0));
    }

    #[test]
    fn what_has_no_coefficient_has_no_picture() {
        let none = |columns: usize| {
            let mut path = path(columns);
            path.coefficients.fill(0.0);
            path
        };
        assert!(coefficients(&none(3)).is_none() && coefficients(&none(0)).is_none());
        let empty = CoefficientPath { alphas: vec![], coefficients: vec![], ..path(2) };
        assert!(coefficients(&empty).is_none());
    }

    #[test]
    fn the_weight_that_was_taken_is_ringed_and_the_limit_drawn() {
        let mut path = path(3);
        let chart = errors(&path).unwrap();
        let ringed = chart.ringed.as_ref().unwrap();
        assert_eq!((ringed.1, ringed.2, &ringed.0[..]), (path.alphas[20], 4.0, "chosen, alpha 0.01"));
        assert_eq!(chart.reference.as_ref().unwrap().points, [(1.0, 4.5), (path.alphas[29], 4.5)]);
        assert_eq!(chart.clouds[0].spots[3].error, Some(0.5));
        assert_eq!(chart.clouds[0].spots[20].tip, "alpha 0.01: 4 ± 0.5");
        assert_eq!(chart.y, Axis::linear("mean squared error"));
        // Errors that overflow leave the others to be seen.
        path.compared.as_mut().unwrap().errors[29] = f64::INFINITY;
        path.compared.as_mut().unwrap().errors[28] = 1e200;
        let svg = Chart::Scatter(errors(&path).unwrap()).svg();
        assert!(!svg.contains("NaN") && errors(&path).unwrap().y.log);
    }
}
