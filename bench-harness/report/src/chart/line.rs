//! Line charts.

use super::Axis;
use super::axis::{Scale, tick_label};
use super::canvas::{Anchor, Canvas, TEXT, WIDTH, text_width};

/// Height of the plotting area.
const PLOT: f64 = 260.0;
/// Height of a line of the legend.
const LEGEND_LINE: f64 = 22.0;
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
#[derive(Clone, Debug)]
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
            ringed: None,
            from_zero: true,
        }
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
        let (left, right) = (TEXT * 1.6 + widest + 8.0, WIDTH - 14.0);
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
        canvas.text((left + right) / 2.0, bottom + 12.0 + TEXT * 2.2, Anchor::Middle, "muted", &self.x.label);
        canvas.upright(TEXT, (top + bottom) / 2.0, &self.y.label);

        let place = |&(px, py): &(f64, f64)| Some((at_x(x.place(px)?), at_y(y.place(py)?)));
        if let Some(reference) = &self.reference {
            let shown: Vec<_> = reference.points.iter().filter_map(place).collect();
            shown.windows(2).for_each(|pair| canvas.line("reference", pair[0], pair[1]));
        }
        for (i, series) in self.series.iter().enumerate() {
            let placed: Vec<_> = series.points.iter().map(place).collect();
            for piece in placed.split(Option::is_none) {
                let piece: Vec<(f64, f64)> = piece.iter().flatten().copied().collect();
                if piece.len() > 1 {
                    canvas.path(i, &piece);
                }
                if series.points.len() <= MARKED || piece.len() == 1 {
                    piece.iter().for_each(|&point| canvas.marker(i, point));
                }
            }
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
        let series = self.series.iter().map(|series| &series.name);
        let reference = self.reference.iter().map(|series| &series.name);
        let ringed = self.ringed.iter().map(|(name, _, _)| name);
        for (i, name) in series.chain(reference).chain(ringed).enumerate() {
            let width = 36.0 + text_width(name, TEXT) + 12.0;
            if x + width > WIDTH && x > 8.0 {
                x = 8.0;
                canvas.height += LEGEND_LINE;
            }
            let y = canvas.height - LEGEND_LINE * 0.4;
            match i.checked_sub(self.series.len()) {
                None => {
                    canvas.path(i, &[(x, y), (x + 28.0, y)]);
                    if self.series[i].points.len() <= MARKED {
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
        let chart =
            LineChart { title: "".into(), x: axis(), y: axis(), series, reference, ringed, from_zero: true };
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
            reference: None,
            ringed: Some(("best".into(), 7.0, 50.2)),
            from_zero: false,
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
}
