//! Line charts.

use super::Axis;
use super::axis::{Scale, tick_label};
use super::canvas::{Anchor, Canvas, TEXT, WIDTH, apart, fit, text_width};

/// Height of the plotting area.
const PLOT: f64 = 260.0;
/// Height of a line of the legend.
const LEGEND_LINE: f64 = 22.0;
/// From the end of a line to its name.
const LEADER: f64 = 22.0;
/// From one name to the next.
const NAME: f64 = 17.0;
/// Room that names at the ends of lines have at most, as a share of the chart.
const NAMES: f64 = 0.34;
/// Points of a line up to which each has a marker; those of more would hide the line.
const MARKED: usize = 40;

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What the legend says.
    pub name: String,
    /// (x, y) in the order they are joined; points that the axes cannot show break the line.
    pub points: Vec<(f64, f64)>,
}

/// Lines over an axis.
#[derive(Clone, Debug, Default)]
pub struct LineChart {
    /// The title.
    pub title: String,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// The lines.
    pub series: Vec<Series>,
    /// A dashed line to compare with, such as the ideal speed-up.
    pub reference: Option<Series>,
    /// A point with a ring around it, and what the legend calls it.
    pub ringed: Option<(String, f64, f64)>,
    /// Whether a linear vertical axis begins at 0, not near the least value.
    pub from_zero: bool,
    /// Whether names stand at the ends of lines, not in the legend; lines without a name are then pale, behind the others.
    pub named_at_ends: bool,
}

impl LineChart {
    /// Speed-up over threads with the ideal line.
    pub fn speed_up(title: impl Into<String>, threads: &[f64], series: Vec<Series>) -> Self {
        let ideal = Series { name: "ideal".into(), points: threads.iter().map(|&t| (t, t)).collect() };
        Self {
            title: title.into(),
            x: Axis::linear("threads").with_ticks(threads),
            y: Axis::linear("speed-up over 1 thread [x]"),
            series,
            reference: Some(ideal),
            from_zero: true,
            ..Self::default()
        }
    }

    /// The lines that are told apart.
    fn told_apart(&self) -> impl Iterator<Item = &Series> {
        self.series.iter().filter(|series| !(self.named_at_ends && series.name.is_empty()))
    }

    pub(super) fn draw(&self, titled: bool) -> Canvas {
        let mut canvas = Canvas::default();
        if titled {
            canvas.title(&self.title);
        }
        self.legend(&mut canvas);
        let points = || self.series.iter().chain(&self.reference).flat_map(|series| &series.points);
        let x = Scale::new(&self.x, points().map(|p| p.0), 7);
        let of_y = points().map(|p| p.1);
        let y = if self.from_zero { Scale::new(&self.y, of_y, 6) } else { Scale::tight(&self.y, of_y, 6) };

        let labels: Vec<String> = y.ticks.iter().map(|&t| tick_label(t)).collect();
        let widest = labels.iter().map(|label| text_width(label, TEXT)).fold(0.0, f64::max);
        let (left, mut right) = (TEXT * 1.6 + widest + 8.0, WIDTH - 14.0);
        let mut room = 0.0;
        if self.named_at_ends && self.told_apart().next().is_some() {
            let widest = self.told_apart().map(|series| text_width(&series.name, TEXT)).fold(0.0, f64::max);
            room = widest.min(WIDTH * NAMES);
            right -= room + LEADER - 8.0;
        }
        let (top, bottom) = (canvas.height + 10.0, canvas.height + 10.0 + PLOT);
        let at_x = |place: f64| left + place * (right - left);
        let at_y = |place: f64| bottom - place * (bottom - top);

        for (&tick, label) in y.ticks.iter().zip(&labels) {
            let Some(place) = y.place(tick) else { continue };
            canvas.line("grid", (left, at_y(place)), (right, at_y(place)));
            canvas.text(left - 6.0, at_y(place) + TEXT * 0.35, Anchor::End, "muted", label);
        }
        canvas.line("axis", (left, bottom), (right, bottom));
        let mut free_from = f64::NEG_INFINITY;
        for &tick in &x.ticks {
            let Some(place) = x.place(tick) else { continue };
            let (label, centre) = (tick_label(tick), at_x(place));
            canvas.line("axis", (centre, bottom), (centre, bottom + 4.0));
            let half = text_width(&label, TEXT) / 2.0;
            if centre - half >= free_from {
                canvas.text(centre, bottom + 6.0 + TEXT, Anchor::Middle, "muted", &label);
                free_from = centre + half + 4.0;
            }
        }
        // A long label is moved into the chart rather than cut off.
        let label = fit(&self.x.label, TEXT, WIDTH - 2.0 * TEXT);
        let half = text_width(&label, TEXT) / 2.0;
        let middle = ((left + right) / 2.0).max(half + TEXT).min(WIDTH - half);
        canvas.text(middle, bottom + 12.0 + TEXT * 2.2, Anchor::Middle, "muted", &label);
        canvas.upright(TEXT, (top + bottom) / 2.0, &fit(&self.y.label, TEXT, PLOT));

        let place = |&(px, py): &(f64, f64)| Some((at_x(x.place(px)?), at_y(y.place(py)?)));
        if let Some(reference) = &self.reference {
            let shown: Vec<_> = reference.points.iter().filter_map(place).collect();
            shown.windows(2).for_each(|pair| canvas.line("reference", pair[0], pair[1]));
        }
        let pieces = |series: &Series| -> Vec<Vec<(f64, f64)>> {
            let placed: Vec<_> = series.points.iter().map(place).collect();
            placed.split(Option::is_none).map(|piece| piece.iter().flatten().copied().collect()).collect()
        };
        if self.named_at_ends {
            for series in self.series.iter().filter(|series| series.name.is_empty()) {
                pieces(series).iter().filter(|piece| piece.len() > 1).for_each(|piece| canvas.pale(piece));
            }
        }
        let mut ends = Vec::new();
        for (i, series) in self.told_apart().enumerate() {
            let pieces = pieces(series);
            for piece in &pieces {
                if piece.len() > 1 {
                    canvas.path(i, piece);
                }
                if !self.named_at_ends && series.points.len() <= MARKED || piece.len() == 1 {
                    piece.iter().for_each(|&point| canvas.marker(i, point));
                }
            }
            let end = pieces.iter().flatten().next_back().copied();
            ends.extend(end.map(|end| (i, &series.name, end)).filter(|_| self.named_at_ends));
        }
        let wanted: Vec<f64> = ends.iter().map(|(_, _, end)| end.1).collect();
        for ((i, name, end), y) in ends.into_iter().zip(apart(&wanted, NAME, top + 4.0, bottom - 4.0)) {
            let x = right + LEADER;
            canvas.leader(i, end, (x - 4.0, y));
            canvas.text(x, y + TEXT * 0.35, Anchor::Start, "", &fit(name, TEXT, room));
        }
        if let Some((_, rx, ry)) = &self.ringed
            && let Some(point) = place(&(*rx, *ry))
        {
            canvas.ring(point);
        }
        if points().next().is_none() {
            canvas.text((left + right) / 2.0, (top + bottom) / 2.0, Anchor::Middle, "muted", "no data");
        }
        canvas.height = bottom + 20.0 + TEXT * 2.2;
        canvas
    }

    fn legend(&self, canvas: &mut Canvas) {
        let mut x = 8.0;
        canvas.height += LEGEND_LINE;
        let lines: &[Series] = if self.named_at_ends { &[] } else { &self.series };
        let series = lines.iter().map(|series| &series.name);
        let reference = self.reference.iter().map(|series| &series.name);
        let ringed = self.ringed.iter().map(|(name, _, _)| name);
        for (i, name) in series.chain(reference).chain(ringed).enumerate() {
            let name = &fit(name, TEXT, WIDTH - 44.0);
            let width = 36.0 + text_width(name, TEXT) + 12.0;
            if x + width > WIDTH && x > 8.0 {
                x = 8.0;
                canvas.height += LEGEND_LINE;
            }
            let y = canvas.height - LEGEND_LINE * 0.4;
            match i.checked_sub(lines.len()) {
                None => {
                    canvas.path(i, &[(x, y), (x + 28.0, y)]);
                    if lines[i].points.len() <= MARKED {
                        canvas.marker(i, (x + 14.0, y));
                    }
                }
                Some(0) if self.reference.is_some() => canvas.line("reference", (x, y), (x + 28.0, y)),
                Some(_) => canvas.ring((x + 14.0, y)),
            }
            canvas.text(x + 34.0, y + TEXT * 0.35, Anchor::Start, "", name);
            x += width;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Chart;
    use crate::text::tests::well_formed;

    #[test]
    fn speed_up_charts_show_what_was_measured() {
        let series = |name: &str, y: &[f64]| Series {
            name: name.into(),
            points: (1..).map(f64::from).zip(y.iter().copied()).collect(),
        };
        let lines =
            vec![series("gemm <f32>", &[1.0, 1.9, 2.8, 3.6]), series("add", &[1.0, f64::NAN, 1.6, 1.7])];
        let chart = LineChart::speed_up("Speed-up & more", &[1.0, 2.0, 3.0, 4.0], lines);
        let svg = Chart::Line(chart).svg();
        assert_eq!(well_formed(&svg), Ok(()));
        assert!(svg.contains("gemm &lt;f32&gt;") && svg.contains("viewBox=\"0 0 480"));
        // Four circles and one in the legend; three squares and one; the broken line is drawn in one piece of two.
        assert_eq!(svg.matches("<circle").count(), 5);
        assert_eq!(svg.matches("<rect").count(), 4);
        assert_eq!(svg.matches("class=\"reference\"").count(), 4);
        assert!(!svg.contains("NaN"));
    }

    #[test]
    fn an_empty_chart_says_so() {
        let axis = || Axis::log("n");
        let (series, reference, ringed) = (vec![], None, None);
        let chart = LineChart {
            x: axis(),
            y: axis(),
            series,
            reference,
            ringed,
            from_zero: true,
            ..LineChart::default()
        };
        let svg = Chart::Line(chart).svg();
        assert_eq!(well_formed(&svg), Ok(()));
        assert!(svg.contains("no data"));
    }

    #[test]
    fn long_lines_have_no_markers_and_the_best_point_a_ring() {
        let chart = |points: u32| LineChart {
            title: "Loss".into(),
            x: Axis::linear("stage"),
            y: Axis::linear("loss"),
            series: vec![Series {
                name: "training".into(),
                points: (1..=points).map(|i| (i.into(), 50.0 + 1.0 / f64::from(i))).collect(),
            }],
            ringed: Some(("best".into(), 7.0, 50.2)),
            ..LineChart::default()
        };
        for (points, markers) in [(MARKED as u32, MARKED + 1), (MARKED as u32 + 1, 0)] {
            let svg = Chart::Line(chart(points)).svg();
            assert_eq!(well_formed(&svg), Ok(()));
            assert_eq!(svg.matches("<circle class=\"f0\"").count(), markers);
            // On the line and in the legend.
            assert_eq!(svg.matches("<circle class=\"ring\"").count(), 2);
            // The axis does not begin at 0; that of stages does.
            assert!(svg.contains(">50<") && svg.matches(">0<").count() == 1, "{svg}");
        }
    }

    #[test]
    fn names_at_ends_do_not_touch_and_lines_without_are_pale() {
        let line = |name: &str, end: f64| Series { name: name.into(), points: vec![(1.0, 0.0), (10.0, end)] };
        let long = "a name that is longer than there is room for & <more>";
        let chart = LineChart {
            title: "Path".into(),
            x: Axis::log("alpha"),
            y: Axis::linear("coefficient"),
            series: vec![line("", 3.0), line("b", 5.0), line(long, 5.0), line("", -2.0), line("<c>", 4.9)],
            reference: Some(Series { name: "r".repeat(90), points: vec![(3.0, -2.0), (3.0, 5.0)] }),
            named_at_ends: true,
            ..LineChart::default()
        };
        let svg = Chart::Line(chart.clone()).svg();
        assert_eq!(well_formed(&svg), Ok(()));
        assert_eq!((svg.matches("class=\"pale\"").count(), svg.matches("class=\"leader ").count()), (2, 3));
        // Lines alone, without markers; the first that has a name has the first colour.
        assert_eq!((svg.matches("class=\"line c").count(), svg.matches("class=\"f").count()), (3, 0));
        assert!(svg.find("class=\"pale\"").unwrap() < svg.find("class=\"line c0\"").unwrap());
        let place = |text: &str| -> (f64, f64) {
            let (before, _) = svg.split_once(text).unwrap();
            let tag = before.rsplit_once("<text x=\"").unwrap().1;
            let (x, rest) = tag.split_once("\" y=\"").unwrap();
            (x.parse().unwrap(), rest.split('"').next().unwrap().parse().unwrap())
        };
        let places = [place(">b<"), place(">a name that"), place(">&lt;c&gt;<")];
        for (i, a) in places.iter().enumerate() {
            assert!(places[..i].iter().all(|b| (a.1 - b.1).abs() >= NAME - 0.11 && a.0 == b.0), "{places:?}");
            assert!(a.0 + WIDTH * NAMES <= WIDTH);
        }
        // The long one and that of the legend.
        assert_eq!(svg.matches("…</text>").count(), 2);
        let none = LineChart { series: vec![], reference: None, ..chart };
        assert!(Chart::Line(none).svg().contains("no data"));
    }
}
