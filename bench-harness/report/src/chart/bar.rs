//! Bar charts: horizontal, so that names of any length can stand beside their bars on a narrow screen.

use super::Axis;
use super::axis::{Scale, tick_label};
use super::canvas::{Anchor, Canvas, TEXT, WIDTH, fit, text_width};
use crate::significant;

/// From one bar to the next.
const STEP: f64 = 21.0;
/// Thickness of a bar.
const BAR: f64 = 15.0;
/// Space between groups.
const GAP: f64 = 9.0;

/// Bars that belong together, such as all systems on one shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Name of the group; stands over its bars, or beside the bar when every group has only one.
    pub name: String,
    /// Name and value of every bar. Equal names have equal colours throughout the chart.
    pub bars: Vec<(String, f64)>,
}

/// Bars against a reference.
#[derive(Clone, Debug)]
pub struct BarChart {
    /// The title.
    pub title: String,
    /// What the bars measure. On a logarithmic axis bars begin at 1.
    pub axis: Axis,
    /// The groups from top to bottom.
    pub groups: Vec<Group>,
    /// Where a dashed line stands, such as 1 for ratios.
    pub reference: Option<f64>,
}

impl BarChart {
    pub(super) fn draw(&self, titled: bool) -> Canvas {
        let mut canvas = Canvas::default();
        if titled {
            canvas.title(&self.title);
        }
        let single = self.groups.iter().all(|group| group.bars.len() == 1);
        let bars = || self.groups.iter().flat_map(|group| &group.bars);
        let mut names: Vec<&str> = Vec::new();
        if !single {
            bars().for_each(|(name, _)| {
                if !names.contains(&name.as_str()) {
                    names.push(name)
                }
            });
        }
        let labels: Vec<&str> =
            if single { self.groups.iter().map(|g| g.name.as_str()).collect() } else { names.clone() };

        let widest = labels.iter().map(|label| text_width(label, TEXT)).fold(0.0, f64::max);
        let left = (widest + 12.0).min(WIDTH * 0.5);
        let values: Vec<String> = bars().map(|(_, value)| significant(*value, 3)).collect();
        let value_room = values.iter().map(|value| text_width(value, TEXT)).fold(0.0, f64::max) + 8.0;
        let right = WIDTH - value_room.max(16.0);
        let scale = Scale::new(&self.axis, bars().map(|bar| bar.1).chain(self.reference), 6);
        let at = |place: f64| left + place * (right - left);

        let headings = if single { 0.0 } else { STEP };
        let rows: f64 = self.groups.iter().map(|g| headings + g.bars.len() as f64 * STEP + GAP).sum();
        let (top, bottom) = (canvas.height + 4.0, canvas.height + 4.0 + rows.max(STEP));
        let mut free_from = f64::NEG_INFINITY;
        for &tick in &scale.ticks {
            let Some(place) = scale.place(tick) else { continue };
            canvas.line("grid", (at(place), top), (at(place), bottom));
            let label = tick_label(tick);
            let half = text_width(&label, TEXT) / 2.0;
            if at(place) - half >= free_from {
                canvas.text(at(place), bottom + 4.0 + TEXT, Anchor::Middle, "muted", &label);
                free_from = at(place) + half + 4.0;
            }
        }
        if let Some(place) = self.reference.and_then(|value| scale.place(value)) {
            canvas.line("reference", (at(place), top), (at(place), bottom));
        }
        let mut y = top;
        let mut values = values.iter();
        for group in &self.groups {
            if !single {
                canvas.text(0.0, y + STEP * 0.75, Anchor::Start, "value", &fit(&group.name, TEXT, WIDTH));
                y += STEP;
            }
            for (name, value) in &group.bars {
                let (label, class) = if single { (&group.name, "") } else { (name, "muted") };
                canvas.text(left - 6.0, y + STEP * 0.7, Anchor::End, class, &fit(label, TEXT, left - 6.0));
                let series = names.iter().position(|n| n == name).unwrap_or(0);
                let text = values.next().map_or("-", String::as_str);
                let end = match (scale.place(*value), scale.place(scale.base())) {
                    (Some(place), Some(base)) => {
                        canvas.bar(series, (at(base), at(place)), y + (STEP - BAR) / 2.0, BAR);
                        at(place.max(base))
                    }
                    _ => left,
                };
                canvas.text(end + 5.0, y + STEP * 0.7, Anchor::Start, "value", text);
                y += STEP;
            }
            y += GAP;
        }
        if self.groups.is_empty() {
            canvas.text(WIDTH / 2.0, top + STEP * 0.7, Anchor::Middle, "muted", "no data");
        }
        // A long label is moved to the left rather than cut off.
        let label = fit(&self.axis.label, TEXT, WIDTH);
        let half = text_width(&label, TEXT) / 2.0;
        canvas.text(
            ((left + right) / 2.0).min(WIDTH - half),
            bottom + 10.0 + TEXT * 2.2,
            Anchor::Middle,
            "muted",
            &label,
        );
        canvas.height = bottom + 18.0 + TEXT * 2.2;
        canvas
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Chart;
    use crate::text::tests::well_formed;

    fn group(name: &str, bars: &[(&str, f64)]) -> Group {
        Group { name: name.into(), bars: bars.iter().map(|&(n, v)| (n.into(), v)).collect() }
    }

    #[test]
    fn grouped_bars_share_colours_by_name() {
        let groups = vec![
            group("1024", &[("ours", 1.0), ("A&B", 0.5)]),
            group("2048", &[("A&B", 0.25), ("ours", f64::NAN)]),
        ];
        let chart = BarChart { title: "t".into(), axis: Axis::linear("ratio"), groups, reference: Some(1.0) };
        let svg = Chart::Bar(chart).svg();
        assert_eq!(well_formed(&svg), Ok(()));
        assert_eq!((svg.matches("class=\"f0\"").count(), svg.matches("class=\"f1\"").count()), (1, 2));
        assert!(svg.contains(">A&amp;B</text>") && svg.contains(">-</text>") && !svg.contains("NaN"));
        // Half the value is half the length.
        let widths: Vec<f64> =
            svg.split("width=\"").skip(2).filter_map(|rest| rest.split('"').next()?.parse().ok()).collect();
        assert!((widths[0] / widths[1] - 2.0).abs() < 0.01, "{widths:?}");
    }

    #[test]
    fn on_a_log_axis_bars_begin_at_one() {
        let groups = vec![group("faster", &[("", 10.0)]), group("slower", &[("", 0.1)])];
        let chart = BarChart { title: "".into(), axis: Axis::log("x"), groups, reference: Some(1.0) };
        let svg = Chart::Bar(chart).svg();
        let number = |part: &str, name: &str| -> f64 {
            part.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
        };
        let bars: Vec<&str> = svg.split("<rect").skip(1).collect();
        assert!((number(bars[1], " x") + number(bars[1], "width") - number(bars[0], " x")).abs() < 0.2);
        assert!((number(bars[0], "width") - number(bars[1], "width")).abs() < 0.2);
    }

    #[test]
    fn a_long_label_of_the_axis_stays_inside() {
        let name = "a name that takes half of the chart's width";
        let middle = |label: &str| -> f64 {
            let groups = vec![group(name, &[("", 10.0)])];
            let chart = BarChart { title: "".into(), axis: Axis::linear(label), groups, reference: None };
            let svg = Chart::Bar(chart).svg();
            let (before, _) = svg.rsplit_once(&format!(">{label}<")).unwrap();
            before
                .rsplit_once(" x=\"")
                .or(before.rsplit_once("x=\""))
                .unwrap()
                .1
                .split('"')
                .next()
                .unwrap()
                .parse()
                .unwrap()
        };
        let long = "a label of fifty letters, more than half the width";
        assert!(middle("short") > WIDTH / 2.0 + 50.0);
        assert!(middle(long) + text_width(long, TEXT) / 2.0 <= WIDTH + 0.05, "{}", middle(long));
    }
}
