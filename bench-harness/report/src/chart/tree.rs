//! Trees of decisions: boxes from left to right, the root at the left, so that boxes are as wide as their words and a tree
//! of many leaves is tall, not wide.
//!
//! Every leaf has a slot of its own, and every other box stands at the middle of its children's: below it, in its column, no
//! box of another branch can be, so none overlap.

use super::canvas::{Anchor, Canvas, TEXT, fit, text_width};

/// Height of a line of text.
const LINE: f64 = 18.0;
/// Height of a bar of shares, and the space over it.
const BAR: f64 = 8.0;
const OVER_BAR: f64 = 6.0;
/// Inside a box, at each side.
const PADDING: f64 = 9.0;
/// The widest box, about 32 letters.
const WIDEST: f64 = 290.0;
const NARROWEST: f64 = 110.0;
/// Lines of a heading.
const HEADING: usize = 3;
/// Width of bold text over that of other text.
const BOLD: f64 = 1.1;
/// Between boxes one below the other.
const GAP: f64 = 14.0;
/// Between columns of boxes: room for the words on a way.
const WAY: f64 = 110.0;
const MARGIN: f64 = 10.0;

/// A tree.
#[derive(Clone, Debug)]
pub struct TreeChart {
    /// The title.
    pub title: String,
    /// What the colours of bars mean, in their order; may be empty.
    pub legend: Vec<String>,
    /// The boxes, the root first, each before those it leads to.
    pub boxes: Vec<TreeBox>,
}

/// A box of a tree.
#[derive(Clone, Debug, Default)]
pub struct TreeBox {
    /// What stands at its top in bold, on up to three lines. What is too long is cut.
    pub heading: String,
    /// Further lines.
    pub lines: Vec<String>,
    /// What is told in full where a pointer rests on the box.
    pub tip: String,
    /// Parts of the bar, shares of its length; part i has colour i.
    pub bar: Vec<f64>,
    /// Where it leads, from top to bottom.
    pub ways: Vec<Way>,
    /// Boxes below it that are not shown.
    pub hidden: usize,
}

/// From a box to another.
#[derive(Clone, Debug)]
pub struct Way {
    /// The box.
    pub to: usize,
    /// What stands on the way.
    pub label: String,
    /// How thick it is, from 0 to 1.
    pub share: f64,
}

impl TreeChart {
    pub(super) fn draw(&self, titled: bool) -> Canvas {
        let places = Places::new(&self.boxes);
        let mut canvas = Canvas::new(places.width.max(super::canvas::WIDTH));
        if titled {
            canvas.title(&self.title);
        }
        self.legend(&mut canvas);
        let top = canvas.height + MARGIN;
        for (at, each) in self.boxes.iter().enumerate() {
            let (x, y) = places.of[at];
            let from = (x + places.box_width, top + y);
            for way in &each.ways {
                let (to_x, to_y) = places.of[way.to];
                let to = (to_x, top + to_y);
                canvas.curve(from, to, 1.5 + 8.0 * way.share.clamp(0.0, 1.0));
                let label = fit(&way.label, TEXT, WAY - 8.0);
                // Over a way that rises or runs level, under one that falls.
                let y = if to.1 <= from.1 { to.1 - 8.0 } else { to.1 + TEXT + 5.0 };
                canvas.text(to.0 - 6.0, y, Anchor::End, "muted value", &label);
            }
            if each.hidden > 0 {
                canvas.line("reference", from, (from.0 + 22.0, from.1));
                let text = format!("… {} more", each.hidden);
                canvas.text(from.0 + 27.0, from.1 + TEXT * 0.35, Anchor::Start, "muted", &text);
            }
        }
        for (each, (x, y)) in self.boxes.iter().zip(&places.of) {
            each.draw(&mut canvas, (*x, top + y - height(each) / 2.0), places.box_width);
        }
        canvas.height = top + places.height + MARGIN;
        canvas
    }

    fn legend(&self, canvas: &mut Canvas) {
        let mut x = MARGIN;
        if !self.legend.is_empty() {
            canvas.height += LINE + 4.0;
        }
        for (i, name) in self.legend.iter().enumerate() {
            let name = fit(name, TEXT, canvas.width - 2.0 * MARGIN - 20.0);
            let width = 20.0 + text_width(&name, TEXT) + 16.0;
            if x + width > canvas.width && x > MARGIN {
                x = MARGIN;
                canvas.height += LINE + 4.0;
            }
            let y = canvas.height - LINE * 0.5;
            canvas.part(i, (x, x + 14.0), y - 7.0, 14.0);
            canvas.text(x + 20.0, y + TEXT * 0.35, Anchor::Start, "", &name);
            x += width;
        }
    }
}

/// The lines of a heading, as wide as the widest box allows.
fn heading(each: &TreeBox) -> Vec<String> {
    let room = (WIDEST - 2.0 * PADDING) / BOLD;
    let mut lines: Vec<String> = Vec::new();
    for word in each.heading.split_whitespace() {
        let count = lines.len();
        match lines.last_mut() {
            // The last takes all that is left, and is cut.
            Some(line) if text_width(&format!("{line} {word}"), TEXT) <= room || count == HEADING => {
                *line = format!("{line} {word}");
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.iter().map(|line| fit(line, TEXT, room)).collect()
}

fn height(each: &TreeBox) -> f64 {
    let bar = if each.bar.is_empty() { 0.0 } else { OVER_BAR + BAR };
    let lines = heading(each).len() + each.lines.len();
    2.0 * PADDING + lines as f64 * LINE - (LINE - TEXT) + bar
}

impl TreeBox {
    fn draw(&self, canvas: &mut Canvas, (x, y): (f64, f64), width: f64) {
        let room = width - 2.0 * PADDING;
        canvas.begin(&self.tip);
        canvas.panel((x, y), width, height(self), self.ways.is_empty() && self.hidden == 0);
        let mut baseline = y + PADDING + TEXT * 0.85;
        let lines = self.lines.iter().map(|line| ("muted", fit(line, TEXT, room + 0.1)));
        for (class, line) in heading(self).into_iter().map(|line| ("strong", line)).chain(lines) {
            canvas.text(x + PADDING, baseline, Anchor::Start, class, &line);
            baseline += LINE;
        }
        if !self.bar.is_empty() {
            let y = y + height(self) - PADDING - BAR;
            canvas.track((x + PADDING, x + width - PADDING), y, BAR);
            let mut from = x + PADDING;
            for (i, share) in self.bar.iter().enumerate() {
                let to = from + share.clamp(0.0, 1.0) * room;
                if to - from > 0.05 {
                    canvas.part(i, (from, to), y, BAR);
                }
                from = to;
            }
        }
        canvas.end();
    }
}

/// Where boxes stand: left edge and middle.
struct Places {
    of: Vec<(f64, f64)>,
    box_width: f64,
    width: f64,
    height: f64,
}

impl Places {
    fn new(boxes: &[TreeBox]) -> Self {
        let widest = |lines: &[String]| lines.iter().map(|line| text_width(line, TEXT)).fold(0.0, f64::max);
        let widest = |each| (widest(&heading(each)) * BOLD).max(widest(&each.lines));
        let widest = boxes.iter().map(widest).fold(0.0, f64::max);
        let box_width = (widest + 2.0 * PADDING).clamp(NARROWEST, WIDEST);
        let mut levels = vec![0; boxes.len()];
        for (at, each) in boxes.iter().enumerate() {
            each.ways.iter().for_each(|way| levels[way.to] = levels[at] + 1);
        }
        let x = |at: usize| MARGIN + levels[at] as f64 * (box_width + WAY);
        let slot = boxes.iter().map(height).fold(0.0, f64::max) + GAP;
        let mut of = vec![(0.0, 0.0); boxes.len()];
        // The slots of leaves, from top to bottom.
        let (mut next, mut slots) = (vec![0], 0.0);
        while let Some(at) = next.pop().filter(|&at| at < boxes.len()) {
            if boxes[at].ways.is_empty() {
                of[at] = (x(at), (slots + 0.5) * slot);
                slots += 1.0;
            }
            next.extend(boxes[at].ways.iter().rev().map(|way| way.to));
        }
        for (at, each) in boxes.iter().enumerate().rev() {
            if let (Some(first), Some(last)) = (each.ways.first(), each.ways.last()) {
                of[at] = (x(at), (of[first.to].1 + of[last.to].1) / 2.0);
            }
        }
        let deepest = (0..boxes.len()).map(x).fold(0.0, f64::max);
        let beyond = if boxes.iter().any(|each| each.hidden > 0) { WAY + 10.0 } else { 0.0 };
        Self { of, box_width, width: deepest + box_width + beyond + MARGIN, height: slots * slot }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Chart;
    use crate::text::tests::well_formed;

    /// A chain to one side, a full tree to the other.
    fn chart(depth: usize) -> TreeChart {
        let mut boxes = vec![TreeBox::default()];
        let mut open = vec![(0, depth, true)];
        while let Some((at, depth, full)) = open.pop() {
            let each = TreeBox {
                // Some on one line, some on three.
                heading: format!("a question of box {at} & more ").repeat(1 + at % 5),
                lines: vec!["10 rows".into()],
                tip: "<all of it>".into(),
                bar: vec![0.25, 0.5, 0.25],
                ..TreeBox::default()
            };
            boxes[at] = each;
            if depth == 0 {
                continue;
            }
            for (i, label) in ["yes", "no, missing"].into_iter().enumerate() {
                boxes.push(TreeBox::default());
                let to = boxes.len() - 1;
                boxes[at].ways.push(Way { to, label: label.into(), share: 0.5 });
                let below = if full || i == 1 { depth - 1 } else { 0 };
                open.push((to, below, full && i == 0));
            }
        }
        TreeChart { title: "t".into(), legend: vec!["a".into(), "b <c>".into(), "d".into()], boxes }
    }

    #[test]
    fn no_boxes_overlap() {
        for depth in 0..6 {
            let chart = chart(depth);
            let places = Places::new(&chart.boxes);
            for (i, a) in places.of.iter().enumerate() {
                assert!(a.0 + places.box_width <= places.width);
                assert!(
                    a.1 - height(&chart.boxes[i]) / 2.0 >= 0.0
                        && a.1 + height(&chart.boxes[i]) / 2.0 <= places.height
                );
                for (j, b) in places.of.iter().enumerate().skip(i + 1) {
                    let tall = (height(&chart.boxes[i]) + height(&chart.boxes[j])) / 2.0;
                    let apart = (a.1 - b.1).abs() >= tall || (a.0 - b.0).abs() >= places.box_width;
                    assert!(apart, "boxes {i} and {j} of depth {depth}: {a:?} {b:?}");
                }
            }
        }
    }

    #[test]
    fn a_tree_is_drawn_with_its_words() {
        let mut chart = chart(2);
        chart.boxes[1].hidden = 14;
        let boxes = chart.boxes.len();
        let svg = Chart::Tree(chart).svg();
        assert_eq!(well_formed(&svg), Ok(()));
        assert!(
            svg.contains("… 14 more") && svg.contains(">b &lt;c&gt;</text>") && svg.contains("no, missing")
        );
        assert_eq!(svg.matches("<title>&lt;all of it&gt;</title>").count(), boxes);
        // A part of each colour in each box, and in the legend.
        assert_eq!(svg.matches("class=\"f1\"").count(), boxes + 1);
        let cut =
            TreeBox { heading: "a_word_that_is_wider_than_any_box ≤ 0.5".into(), ..TreeBox::default() };
        let lines = heading(&cut);
        assert!(lines.len() == 2 && lines[0].ends_with('…') && lines[1] == "≤ 0.5", "{lines:?}");
        let long = heading(&TreeBox { heading: "word ".repeat(60), ..TreeBox::default() });
        assert!(long.len() == HEADING && long[2].ends_with('…') && !long[1].contains('…'), "{long:?}");
        let empty = TreeChart { title: "none".into(), legend: vec![], boxes: vec![] };
        assert_eq!(well_formed(&Chart::Tree(empty).svg()), Ok(()));
    }
}
