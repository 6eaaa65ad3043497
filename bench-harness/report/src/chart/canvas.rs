//! The few shapes charts are made of, collected as SVG elements.

use super::{COLOURS, STYLE};
use crate::escape;
use std::fmt::Write as _;

/// Width of the view box of all but trees: at 360 pixels text of [`TEXT`] units is still 10.5 pixels tall.
pub(super) const WIDTH: f64 = 480.0;
/// Height of ordinary text.
pub(super) const TEXT: f64 = 14.0;
/// Width of a letter over its height: a generous mean over common sans-serif faces.
const LETTER: f64 = 0.6;
/// Height of titles.
const TITLE: f64 = 16.0;

/// Which end of a text its position names.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// SVG elements so far, and how much room they need.
pub(super) struct Canvas {
    body: String,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// The style with the light colour before each variable, for programs that know no variables and take the last declaration
/// that they understand.
fn with_plain_colours(style: &str) -> String {
    let (mut out, mut rest) = (String::new(), style);
    while let Some(at) = rest.find(":var(") {
        let (before, after) = rest.split_at(at);
        let property = before.rsplit(['{', ';']).next().unwrap_or_default();
        let (name, after) = after[":var(".len()..].split_once(')').unwrap_or_default();
        let colour = style.split_once(&format!("{name}:")).map_or("", |(_, rest)| rest);
        let colour = colour.split([';', '}']).next().unwrap_or_default();
        out += &format!("{before}:{colour};{property}:var({name})");
        rest = after;
    }
    out + rest
}

impl Default for Canvas {
    fn default() -> Self {
        Self::new(WIDTH)
    }
}

/// Room that `text` takes at `size`, estimated.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * LETTER
}

/// Cuts `text` so that it fits `width`.
pub(super) fn fit(text: &str, size: f64, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.into();
    }
    let room = (width / (size * LETTER)) as usize;
    text.chars().take(room.saturating_sub(1)).chain(['…']).collect()
}

/// The path through points.
fn joined(points: &[(f64, f64)]) -> String {
    let mut d = String::new();
    for (i, (x, y)) in points.iter().enumerate() {
        let _ = write!(d, "{}{x:.1} {y:.1}", if i == 0 { 'M' } else { 'L' });
    }
    d
}

/// Where texts of one height `gap` stand that would like to stand at `wanted`, from `top` to `bottom` and in the order of what they want:
/// as near to it as they can without touching (blocks of those that would touch are moved together).
pub(super) fn apart(wanted: &[f64], gap: f64, top: f64, bottom: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    // How many stand in a block, and the sum of where its first would like to stand for the sake of each.
    let mut blocks: Vec<(usize, f64)> = Vec::new();
    let first = |&(count, sum): &(usize, f64)| {
        let room = bottom - (count - 1) as f64 * gap;
        (sum / count as f64).min(room).max(top)
    };
    for &at in &order {
        blocks.push((1, wanted[at]));
        while let [.., above, last] = &blocks[..]
            && first(above) + above.0 as f64 * gap > first(last)
        {
            let merged = (above.0 + last.0, above.1 + last.1 - (above.0 * last.0) as f64 * gap);
            blocks.truncate(blocks.len() - 2);
            blocks.push(merged);
        }
    }
    let places = blocks.iter().flat_map(|block| (0..block.0).map(move |k| first(block) + k as f64 * gap));
    let mut out = vec![0.0; wanted.len()];
    order.iter().zip(places).for_each(|(&at, place)| out[at] = place);
    out
}

impl Canvas {
    pub(super) fn new(width: f64) -> Self {
        Self { body: String::new(), width, height: 0.0 }
    }

    pub(super) fn text(&mut self, x: f64, y: f64, anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let _ = write!(
            self.body,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{TEXT}\" class=\"{class}\">{}</text>",
            escape(text)
        );
    }

    /// A text reading upwards, centred on (x, y).
    pub(super) fn upright(&mut self, x: f64, y: f64, text: &str) {
        let _ = write!(
            self.body,
            "<text transform=\"translate({x:.1} {y:.1}) rotate(-90)\" text-anchor=\"middle\" font-size=\"{TEXT}\" \
             class=\"muted\">{}</text>",
            escape(text)
        );
    }

    /// The title over the chart, wrapped; advances the height.
    pub(super) fn title(&mut self, title: &str) {
        let mut lines: Vec<String> = vec![String::new()];
        for word in title.split_whitespace() {
            let line = lines.last_mut().map_or("", |line| line.as_str());
            let longer = if line.is_empty() { word.to_string() } else { format!("{line} {word}") };
            match lines.last_mut() {
                Some(last) if last.is_empty() || text_width(&longer, TITLE) <= self.width - 8.0 => {
                    *last = longer
                }
                _ => lines.push(word.into()),
            }
        }
        for line in lines {
            self.height += TITLE * 1.35;
            let y = self.height - TITLE * 0.3;
            let line = escape(&line).into_owned();
            let _ = write!(
                self.body,
                "<text x=\"4\" y=\"{y:.1}\" font-size=\"{TITLE}\" font-weight=\"600\">{line}</text>"
            );
        }
    }

    pub(super) fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let _ = write!(self.body, "<path class=\"{class}\" d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\"/>");
    }

    pub(super) fn path(&mut self, series: usize, points: &[(f64, f64)]) {
        let d = joined(points);
        let dash =
            ["", " stroke-dasharray=\"8 3\"", " stroke-dasharray=\"3 3\"", " stroke-dasharray=\"10 3 2 3\""];
        let (colour, dash) = (series % COLOURS, dash[series % dash.len()]);
        let _ = write!(self.body, "<path class=\"line c{colour}\"{dash} d=\"{d}\"/>");
    }

    /// The marker of a series: shapes differ so that colour is not needed.
    pub(super) fn marker(&mut self, series: usize, (x, y): (f64, f64)) {
        let class = format!("f{}", series % COLOURS);
        let _ = match series % 4 {
            0 => write!(self.body, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>"),
            1 => write!(
                self.body,
                "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"7.5\" height=\"7.5\"/>",
                x - 3.75,
                y - 3.75
            ),
            2 => write!(self.body, "<path class=\"{class}\" d=\"M{x:.1} {:.1}l5 9h-10z\"/>", y - 5.5),
            _ => write!(self.body, "<path class=\"{class}\" d=\"M{x:.1} {:.1}l5 5-5 5-5-5z\"/>", y - 5.0),
        };
    }

    /// One of many lines that are not told apart.
    pub(super) fn pale(&mut self, points: &[(f64, f64)]) {
        let _ = write!(self.body, "<path class=\"pale\" d=\"{}\"/>", joined(points));
    }

    /// From the end of a line to its name.
    pub(super) fn leader(&mut self, series: usize, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let class = format!("leader c{}", series % COLOURS);
        self.line(&class, (x1, y1), (x2, y2));
    }

    /// One of very many points: small, and dark where several are.
    pub(super) fn dot(&mut self, series: usize, (x, y): (f64, f64)) {
        let class = format!("f{}", series % COLOURS);
        let _ = write!(
            self.body,
            "<circle class=\"{class}\" fill-opacity=\"0.5\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>"
        );
    }

    /// Sets a point off from others.
    pub(super) fn ring(&mut self, (x, y): (f64, f64)) {
        let _ = write!(self.body, "<circle class=\"ring\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"7\"/>");
    }

    pub(super) fn bar(&mut self, series: usize, x: (f64, f64), y: f64, height: f64) {
        let (left, width) = (x.0.min(x.1), (x.1 - x.0).abs().max(1.0));
        let class = format!("f{}", series % COLOURS);
        let _ = write!(
            self.body,
            "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"2\"/>"
        );
    }

    /// A part of a bar without ends of its own. After the last colour they begin again, paler.
    pub(super) fn part(&mut self, series: usize, x: (f64, f64), y: f64, height: f64) {
        let (class, width) = (series % COLOURS, x.1 - x.0);
        let pale = if series / COLOURS % 2 == 1 { " fill-opacity=\"0.45\"" } else { "" };
        let _ = write!(
            self.body,
            "<rect class=\"f{class}\"{pale} x=\"{:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>",
            x.0
        );
    }

    /// The whole of a bar, behind its parts.
    pub(super) fn track(&mut self, x: (f64, f64), y: f64, height: f64) {
        let width = x.1 - x.0;
        let _ = write!(
            self.body,
            "<rect class=\"track\" x=\"{:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>",
            x.0
        );
    }

    /// A box behind text; `round` ones end something.
    pub(super) fn panel(&mut self, (x, y): (f64, f64), width: f64, height: f64, round: bool) {
        let radius = if round { 12 } else { 3 };
        let _ = write!(
            self.body,
            "<rect class=\"panel\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{radius}\"/>"
        );
    }

    /// A curve that leaves and arrives level.
    pub(super) fn curve(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), thickness: f64) {
        let middle = (x1 + x2) / 2.0;
        let _ = write!(
            self.body,
            "<path class=\"way\" stroke-width=\"{thickness:.1}\" d=\"M{x1:.1} {y1:.1}C{middle:.1} {y1:.1} {middle:.1} \
             {y2:.1} {x2:.1} {y2:.1}\"/>"
        );
    }

    /// Begins elements that share a tip.
    pub(super) fn begin(&mut self, tip: &str) {
        let _ = write!(self.body, "<g><title>{}</title>", escape(tip));
    }

    /// Ends what [`Canvas::begin`] began.
    pub(super) fn end(&mut self) {
        self.body.push_str("</g>");
    }

    pub(super) fn inline(self, title: &str) -> String {
        self.element(title, "", "")
    }

    pub(super) fn standalone(self, title: &str) -> String {
        let size = format!(
            " xmlns=\"http://www.w3.org/2000/svg\" width=\"{:.0}\" height=\"{:.0}\"",
            self.width, self.height
        );
        self.element(title, &size, &format!("<style>{}</style>", with_plain_colours(STYLE)))
    }

    fn element(self, title: &str, attributes: &str, head: &str) -> String {
        let (title, width, height) = (escape(title), self.width, self.height);
        format!(
            "<svg class=\"chart\" role=\"img\"{attributes} viewBox=\"0 0 {width:.0} {height:.0}\" aria-label=\"{title}\">\
             <title>{title}</title>{head}{}</svg>\n",
            self.body
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stand_apart_and_near_what_they_name() {
        let near = |ours: &[f64], theirs: &[f64]| {
            assert!(ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-9), "{ours:?} {theirs:?}");
        };
        near(&apart(&[50.0, 10.0, 90.0], 16.0, 0.0, 100.0), &[50.0, 10.0, 90.0]);
        // Two in one place go half of the way each; the third is not touched.
        near(&apart(&[50.0, 50.0, 90.0], 16.0, 0.0, 100.0), &[42.0, 58.0, 90.0]);
        // At an end all go the other way.
        near(&apart(&[99.0, 2.0, 1.0, 98.0], 16.0, 0.0, 100.0), &[100.0, 16.0, 0.0, 84.0]);
        assert!(apart(&[], 16.0, 0.0, 100.0).is_empty());
        // Of many that want anything each has its own room, in their order.
        let wanted: Vec<f64> = (0..12).map(|i| f64::from(i * i % 7) * 20.0).collect();
        let places = apart(&wanted, 16.0, 5.0, 195.0);
        for i in 0..12 {
            assert!(places[i] >= 5.0 - 1e-9 && places[i] <= 195.0 + 1e-9, "{places:?}");
            for j in (0..12).filter(|&j| wanted[j] < wanted[i]) {
                assert!(places[i] - places[j] >= 16.0 - 1e-9, "{places:?}");
            }
        }
    }

    #[test]
    fn every_variable_has_a_plain_colour_before_it() {
        let plain = with_plain_colours(
            ".x{--ink:#111;--s0:#222222}.a{fill:var(--s0)}.b{stroke-width:5;stroke:var(--ink);x:1}",
        );
        assert_eq!(
            plain,
            ".x{--ink:#111;--s0:#222222}.a{fill:#222222;fill:var(--s0)}.b{stroke-width:5;stroke:#111;stroke:var(--ink);x:1}"
        );
        let style = with_plain_colours(STYLE);
        assert_eq!(style.matches("var(--").count(), STYLE.matches("var(--").count());
        assert!(style.contains(".f0{fill:#0072b2;fill:var(--s0)}"));
    }
}
