//! Charts as SVG: lines over an axis (speed-up over threads, time over size), bars against a reference, points of
//! many trials, trees of decisions.
//!
//! Drawn by hand on a view box of fixed width (trees: as wide as they are deep), so that a chart scales with its column and its text stays readable in
//! one of 360 pixels. Colours are CSS variables with a light and a dark value each, after the palette of Okabe and Ito
//! (2008), which colour-blind readers can tell apart; lines differ in dashes and marker shapes as well.

mod axis;
mod bar;
mod canvas;
mod line;
mod scatter;
mod tree;

pub use axis::Axis;
pub use bar::{BarChart, Group};
pub use line::{LineChart, Series};
pub use scatter::{Cloud, Places, ScatterChart, Spot};
pub use tree::{TreeBox, TreeChart, Way};

/// Any kind of chart.
#[derive(Clone, Debug)]
pub enum Chart {
    /// Lines over an axis.
    Line(LineChart),
    /// Bars against a reference.
    Bar(BarChart),
    /// Points over an axis or names.
    Scatter(ScatterChart),
    /// A tree of decisions.
    Tree(TreeChart),
}

impl Chart {
    /// The title.
    pub fn title(&self) -> &str {
        match self {
            Self::Line(chart) => &chart.title,
            Self::Bar(chart) => &chart.title,
            Self::Scatter(chart) => &chart.title,
            Self::Tree(chart) => &chart.title,
        }
    }

    /// A whole SVG file: title drawn, colours inside.
    pub fn svg(&self) -> String {
        let canvas = match self {
            Self::Line(chart) => chart.draw(true),
            Self::Bar(chart) => chart.draw(true),
            Self::Scatter(chart) => chart.draw(true),
            Self::Tree(chart) => chart.draw(true),
        };
        canvas.standalone(self.title())
    }

    /// An `svg` element for a page that holds [`STYLE`] and shows the title itself.
    pub(crate) fn inline(&self) -> String {
        let canvas = match self {
            Self::Line(chart) => chart.draw(false),
            Self::Bar(chart) => chart.draw(false),
            Self::Scatter(chart) => chart.draw(false),
            Self::Tree(chart) => chart.draw(false),
        };
        canvas.inline(self.title())
    }
}

/// Colours and type of charts; variables are set on the root of the page or of the SVG file.
pub(crate) const STYLE: &str = "\
:root{--ink:#1b1f24;--muted:#57606a;--grid:#d8dee4;--paper:#ffffff;--panel:#f6f8fa;\
--s0:#0072b2;--s1:#c25200;--s2:#00805c;--s3:#a9478a;--s4:#7a6200;--s5:#3f7fbf;--s6:#5c5c5c}\
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--muted:#9aa5b1;--grid:#363d46;--paper:#0f1318;--panel:#181d24;\
--s0:#56b4e9;--s1:#ff8f45;--s2:#2fcf9f;--s3:#e898c8;--s4:#e8d84a;--s5:#9cc4ff;--s6:#b8b8b8}}\
.chart text{font-family:system-ui,sans-serif;fill:var(--ink)}.chart .muted{fill:var(--muted)}\
.chart .value{paint-order:stroke;stroke:var(--paper);stroke-width:5;stroke-linejoin:round}\
.chart .strong{font-weight:600}.chart .panel{fill:var(--panel);stroke:var(--grid);stroke-width:1.5}\
.chart .track{fill:var(--grid)}.chart .way{fill:none;stroke:var(--grid);stroke-linecap:butt}\
.chart .grid{stroke:var(--grid);stroke-width:1}.chart .axis{stroke:var(--muted);stroke-width:1}\
.chart .reference{stroke:var(--muted);stroke-width:1.5;stroke-dasharray:5 4;fill:none}\
.chart .ring{fill:none;stroke:var(--ink);stroke-width:1.8}\
.chart .line{fill:none;stroke-width:2.5;stroke-linejoin:round}\
.chart .pale{fill:none;stroke:var(--muted);stroke-width:1;stroke-opacity:.4}.chart .leader{fill:none;stroke-width:1.2}\
.chart .c0{stroke:var(--s0)}.chart .c1{stroke:var(--s1)}.chart .c2{stroke:var(--s2)}.chart .c3{stroke:var(--s3)}\
.chart .c4{stroke:var(--s4)}.chart .c5{stroke:var(--s5)}.chart .c6{stroke:var(--s6)}\
.chart .f0{fill:var(--s0)}.chart .f1{fill:var(--s1)}.chart .f2{fill:var(--s2)}.chart .f3{fill:var(--s3)}\
.chart .f4{fill:var(--s4)}.chart .f5{fill:var(--s5)}.chart .f6{fill:var(--s6)}";

/// How many colours there are; later series begin again.
const COLOURS: usize = 7;
