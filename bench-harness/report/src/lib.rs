//! Timing, tables, SVG charts and self-contained HTML reports: what the harness and the command line both need to show
//! a measurement honestly. Knows nothing of kernels or models.

mod chart;
mod csv;
mod machine;
mod page;
mod quantity;
mod table;
mod text;
mod timing;
pub mod worker;

pub use chart::{
    Axis, BarChart, Chart, Cloud, Group, LineChart, Places, ScatterChart, Series, Spot, TreeBox, TreeChart,
    Way,
};
pub use csv::Csv;
pub use machine::{Cache, Machine, commit};
pub use page::{Block, Page, Section};
pub use quantity::{bytes, percent, rate, ratio, seconds, significant};
pub use table::{Align, Table};
pub use text::escape;
pub use timing::{Entrant, Measured, Settings, Summary, measure, median, quantile};
