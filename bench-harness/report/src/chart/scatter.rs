//! Scatter charts: a point for each of many trials, over an axis or over names.

use super::axis::{Scale, tick_label};
use super::canvas::{Anchor, Canvas, TEXT, WIDTH, fit, text_width};
use super::{Axis, Series};

/// Height of the plotting area.
const PLOT: f64 = 260.0;
/// Points of one kind from which each is small and lets others shine through.
const MANY: usize = 60;
/// The number of the line through points: a solid one, of a colour of its own.
const TREND: usize = 4;
/// Height of a line of the legend.
const LEGEND_LINE: f64 = 22.0;

/// One point.
#[derive(Clone, Debug, PartialEq)]
pub struct Spot {
    /// Where it lies; over names the place among them, from 0.
    pub x: f64,
    /// How high.
    pub y: f64,
    /// How far its bar reaches up and down.
    pub error: Option<f64>,
    /// What a person reads who points at it.
    pub tip: String,
}

/// Points of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Cloud {
    /// What the legend says.
    pub name: String,
    /// The points.
    pub spots: Vec<Spot>,
}

/// What lies along the bottom.
#[derive(Clone, Debug, PartialEq)]
pub enum Places {
    /// Numbers.
    Axis(Axis),
    /// Names, in equal distances.
    Names {
        /// What they are.
        label: String,
        /// From left to right.
        names: Vec<String>,
    },
}

/// Points over an axis or names. Axes begin near the least value, not at 0: points have no length that would tell a ratio.
#[derive(Clone, Debug, Default)]
pub struct ScatterChart {
    /// The title.
    pub title: String,
    /// What lies along the bottom.
    pub x: Places,
    /// Vertical axis.
    pub y: Axis,
    /// The points.
    pub clouds: Vec<Cloud>,
    /// A point with a ring around it, and what the legend calls it.
    pub ringed: Option<(String, f64, f64)>,
    /// Where a dashed line lies level, such as 0 for what is left over.
    pub level: Option<f64>,
    /// A dashed line to compare with.
    pub reference: Option<Series>,
    /// A line through the points, such as their means.
    pub trend: Option<Series>,
}

impl Default for Places {
    fn default() -> Self {
        Self::Axis(Axis::default())
    }
}

impl ScatterChart {
    pub(super) fn draw(&self, titled: bool) -> Canvas {
        let mut canvas = Canvas::default();
        if titled {
            canvas.title(&self.title);
        }
        self.legend(&mut canvas);
        let spots = || self.clouds.iter().flat_map(|cloud| &cloud.spots);
        let reach = |spot: &Spot| {
            let error = spot.error.filter(|error| error.is_finite()).unwrap_or(0.0);
            [spot.y - error, spot.y, spot.y + error]
        };
        let lines = || self.reference.iter().chain(&self.trend).flat_map(|line| &line.points);
        let of_y = spots().flat_map(reach).chain(self.level).chain(lines().map(|point| point.1));
        let y = Scale::tight(&self.y, of_y, 6);
        let (x, label, names): (_, _, &[String]) = match &self.x {
            Places::Axis(axis) => {
                let of_x = spots().map(|spot| spot.x).chain(lines().map(|point| point.0));
                (Scale::tight(axis, of_x, 6), &axis.label, &[])
            }
            Places::Names { label, names } => {
                let ends = [-0.5, names.len() as f64 - 0.5];
                (Scale::between(ends), label, names)
            }
        };

        let labels: Vec<String> = y.ticks.iter().map(|&t| tick_label(t)).collect();
        let widest = labels.iter().map(|label| text_width(label, TEXT)).fold(0.0, f64::max);
        let (left, right) = (TEXT * 1.6 + widest + 8.0, WIDTH - 18.0);
        let (top, bottom) = (canvas.height + 10.0, canvas.height + 10.0 + PLOT);
        let at_x = |place: f64| left + place * (right - left);
        let at_y = |place: f64| bottom - place * (bottom - top);
        for (&tick, label) in y.ticks.iter().zip(&labels) {
            let Some(place) = y.place(tick) else { continue };
            canvas.line("grid", (left, at_y(place)), (right, at_y(place)));
            canvas.text(left - 6.0, at_y(place) + TEXT * 0.35, Anchor::End, "muted", label);
        }
        canvas.line("axis", (left, bottom), (right, bottom));
        let room = (right - left) / names.len().max(1) as f64;
        let named = names.iter().enumerate().map(|(i, name)| (i as f64, fit(name, TEXT, room - 4.0)));
        let ticks = x.ticks.iter().filter(|_| names.is_empty()).map(|&tick| (tick, tick_label(tick)));
        let mut free_from = f64::NEG_INFINITY;
        for (tick, label) in ticks.chain(named) {
            let Some(place) = x.place(tick) else { continue };
            let (centre, half) = (at_x(place), text_width(&label, TEXT) / 2.0);
            canvas.line("axis", (centre, bottom), (centre, bottom + 4.0));
            if centre - half >= free_from && centre + half <= WIDTH {
                canvas.text(centre, bottom + 6.0 + TEXT, Anchor::Middle, "muted", &label);
                free_from = centre + half + 4.0;
            }
        }
        // A long label is moved into the chart rather than cut off.
        let label = fit(label, TEXT, WIDTH - 2.0 * TEXT);
        let half = text_width(&label, TEXT) / 2.0;
        let middle = ((left + right) / 2.0).max(half + TEXT).min(WIDTH - half);
        canvas.text(middle, bottom + 12.0 + TEXT * 2.2, Anchor::Middle, "muted", &label);
        canvas.upright(TEXT, (top + bottom) / 2.0, &fit(&self.y.label, TEXT, PLOT));

        if let Some(place) = self.level.and_then(|level| y.place(level)) {
            canvas.line("reference", (left, at_y(place)), (right, at_y(place)));
        }
        let joined = |line: &Series| -> Vec<(f64, f64)> {
            let place = |&(px, py): &(f64, f64)| Some((at_x(x.place(px)?), at_y(y.place(py)?)));
            line.points.iter().filter_map(place).collect()
        };
        if let Some(line) = &self.reference {
            joined(line).windows(2).for_each(|pair| canvas.line("reference", pair[0], pair[1]));
        }
        let many = self.are_many();
        for (i, cloud) in self.clouds.iter().enumerate() {
            for spot in &cloud.spots {
                let (Some(px), Some(py)) = (x.place(spot.x), y.place(spot.y)) else { continue };
                canvas.begin(&spot.tip);
                let [low, _, high] = reach(spot);
                // A logarithmic axis shows a bar that reaches below 0 down to its end.
                let ends = (y.place(low).unwrap_or(0.0), y.place(high).unwrap_or(py));
                if ends.1 > ends.0 {
                    canvas.line("axis", (at_x(px), at_y(ends.0)), (at_x(px), at_y(ends.1)));
                }
                let point = (at_x(px), at_y(py));
                if many {
                    canvas.dot(i, point)
                } else {
                    canvas.marker(i, point)
                }
                canvas.end();
            }
        }
        if let Some(line) = &self.trend {
            canvas.path(TREND, &joined(line));
        }
        if let Some((_, rx, ry)) = &self.ringed
            && let (Some(px), Some(py)) = (x.place(*rx), y.place(*ry))
        {
            canvas.ring((at_x(px), at_y(py)));
        }
        if spots().next().is_none() {
            canvas.text((left + right) / 2.0, (top + bottom) / 2.0, Anchor::Middle, "muted", "no data");
        }
        canvas.height = bottom + 20.0 + TEXT * 2.2;
        canvas
    }

    /// Whether points are small: of several kinds they are told apart by shape.
    fn are_many(&self) -> bool {
        matches!(&self.clouds[..], [cloud] if cloud.spots.len() > MANY)
    }

    fn legend(&self, canvas: &mut Canvas) {
        let mut x = 8.0;
        canvas.height += LEGEND_LINE;
        let clouds = self.clouds.iter().enumerate().map(|(i, cloud)| (Sign::Cloud(i), &cloud.name));
        let trend = self.trend.iter().map(|line| (Sign::Trend, &line.name));
        let reference = self.reference.iter().map(|line| (Sign::Reference, &line.name));
        let ringed = self.ringed.iter().map(|(name, _, _)| (Sign::Ring, name));
        for (sign, name) in clouds.chain(trend).chain(reference).chain(ringed) {
            let before = if matches!(sign, Sign::Trend | Sign::Reference) { 34.0 } else { 16.0 };
            let name = fit(name, TEXT, WIDTH - before - 8.0);
            let width = before + text_width(&name, TEXT) + 14.0;
            if x + width > WIDTH && x > 8.0 {
                x = 8.0;
                canvas.height += LEGEND_LINE;
            }
            let y = canvas.height - LEGEND_LINE * 0.4;
            match sign {
                Sign::Cloud(i) if self.are_many() => canvas.dot(i, (x + 5.0, y)),
                Sign::Cloud(i) => canvas.marker(i, (x + 5.0, y)),
                Sign::Trend => canvas.path(TREND, &[(x, y), (x + 28.0, y)]),
                Sign::Reference => canvas.line("reference", (x, y), (x + 28.0, y)),
                Sign::Ring => canvas.ring((x + 5.0, y)),
            }
            canvas.text(x + before, y + TEXT * 0.35, Anchor::Start, "", &name);
            x += width;
        }
    }
}

/// What stands before a name of the legend.
enum Sign {
    /// The marker of points of a kind.
    Cloud(usize),
    Trend,
    Reference,
    Ring,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Chart;
    use crate::text::tests::well_formed;

    fn spot(x: f64, y: f64, error: Option<f64>) -> Spot {
        Spot { x, y, error, tip: format!("<{x}> & {y}") }
    }

    #[test]
    fn a_point_for_each_that_the_axes_can_show() {
        let clouds = vec![
            Cloud {
                name: "trials".into(),
                spots: vec![spot(1.0, 5.0, Some(0.5)), spot(10.0, 5.2, None), spot(0.0, 5.1, None)],
            },
            Cloud {
                name: "others".into(),
                spots: vec![spot(3.0, f64::NAN, None), spot(4.0, 5.3, Some(f64::NAN))],
            },
        ];
        let chart = ScatterChart {
            title: "Score & rate".into(),
            x: Places::Axis(Axis::log("rate")),
            y: Axis::linear("score"),
            clouds,
            ringed: Some(("best".into(), 1.0, 5.0)),
            level: Some(5.0),
            ..ScatterChart::default()
        };
        let svg = Chart::Scatter(chart).svg();
        assert_eq!(well_formed(&svg), Ok(()));
        // Two circles and one in the legend, 0 is not on a logarithmic axis; two rings; one square and one in the legend.
        assert_eq!(svg.matches("<circle class=\"f0\"").count(), 3);
        assert_eq!(svg.matches("<circle class=\"ring\"").count(), 2);
        assert_eq!(svg.matches("<rect class=\"f1\"").count(), 2);
        assert_eq!(svg.matches("<g><title>").count(), 3);
        assert_eq!(svg.matches("class=\"reference\"").count(), 1);
        assert!(!svg.contains("NaN") && svg.contains("&lt;1&gt; &amp; 5"));
    }

    #[test]
    fn names_stand_in_their_order_and_the_axis_is_near_the_values() {
        let chart = |spots| ScatterChart {
            title: "".into(),
            x: Places::Names { label: "loss".into(), names: vec!["huber".into(), "squared".into()] },
            y: Axis::linear("RMSE"),
            clouds: vec![Cloud { name: "trials".into(), spots }],
            ..ScatterChart::default()
        };
        let svg = Chart::Scatter(chart(vec![spot(0.0, 100.0, None), spot(1.0, 104.0, None)])).svg();
        assert_eq!(well_formed(&svg), Ok(()));
        assert!(svg.find(">huber<").unwrap() < svg.find(">squared<").unwrap());
        assert!(svg.contains(">100<") && svg.contains(">102<") && !svg.contains(">0<"), "{svg}");
        assert!(Chart::Scatter(chart(vec![])).svg().contains("no data"));
    }

    #[test]
    fn many_points_are_small_and_lines_lie_over_them() {
        let line = |name: &str| Series { name: name.into(), points: vec![(0.0, -3.0), (90.0, 7.0)] };
        let chart = |count: u32| ScatterChart {
            title: "".into(),
            y: Axis::linear("y".repeat(99)),
            clouds: vec![Cloud {
                name: "rows".into(),
                spots: (0..count).map(|i| spot(i.into(), f64::from(i % 5), None)).collect(),
            }],
            reference: Some(line("equal")),
            trend: Some(line("mean")),
            ..ScatterChart::default()
        };
        for (count, small) in [(MANY, 0), (MANY + 1, MANY + 2)] {
            let svg = Chart::Scatter(chart(count as u32)).svg();
            assert_eq!(well_formed(&svg), Ok(()));
            assert_eq!(svg.matches("fill-opacity").count(), small);
            // In the chart and in the legend.
            assert_eq!(svg.matches("class=\"reference\"").count(), 2);
            assert_eq!(svg.matches("class=\"line c4\" d=").count(), 2);
            // Lines count for the axes, and a label of any length stays on the page.
            assert!(svg.contains(">-4<") && svg.contains(">8<") && svg.contains("yyy…</text>"), "{svg}");
        }
    }
}
