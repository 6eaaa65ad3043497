//! What a comparison gave, as tables, numbers and charts.

use super::peers::OURS;
use super::{Quality, summary, threads_text};
use tilewise_report::{Axis, BarChart, Chart, Csv, Group, Table, percent, ratio, seconds};

/// Problems of a chart up to which every system has its bar; with more only ours do.
const FEW: usize = 6;

/// One system on one problem at one thread count.
#[derive(Clone, Debug)]
pub struct Row {
    /// Kind of problem and element type.
    pub case: String,
    /// The heading that the problem stands under.
    pub group: &'static str,
    /// Dimensions, joined by ` x `, and the layout of operands.
    pub shape: String,
    /// Floating-point operations; 0 where they are not what counts.
    pub flops: f64,
    /// Threads that every system was given.
    pub threads: usize,
    /// The system.
    pub system: &'static str,
    /// Whether that is another way of Tilewise's, and no peer.
    pub variant: bool,
    /// Its version, in its own words.
    pub version: String,
    /// Median seconds.
    pub seconds: f64,
    /// Rounds that it took part in.
    pub rounds: usize,
    /// Time of the best peer over this time, the median over rounds: above 1 is faster than the best peer. NaN when no
    /// peer took part.
    pub ratio: f64,
    /// This time over Tilewise's, the median over rounds: above 1 is slower than Tilewise.
    pub behind: f64,
    /// Operations a second over those of multiply-adds in registers on as many threads, the median over rounds.
    pub share: Option<f64>,
    /// What the threads bring; of Tilewise, and only where operations count.
    pub speed_up: Option<SpeedUp>,
    /// Bytes moved, where that is what counts.
    pub streamed: Option<Streamed>,
    /// How good the result is, where that is more than agreeing.
    pub quality: Option<Quality>,
}

/// Several threads over one, in the same rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpeedUp {
    /// Of Tilewise.
    pub ours: f64,
    /// Of multiply-adds in registers: what the processor gives.
    pub peak: f64,
}

/// Bytes moved beside the fastest plain loop over as long vectors, in the same rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Streamed {
    /// Bytes a second.
    pub rate: f64,
    /// Over the rate of the loop, the median over rounds.
    pub share: f64,
    /// The loop.
    pub of: &'static str,
    /// Its bytes a second.
    pub best: f64,
}

/// What a comparison gave.
#[derive(Clone, Debug, Default)]
pub struct Compared {
    /// All measurements.
    pub rows: Vec<Row>,
    /// Every system that took part: name, version, configuration.
    pub systems: Vec<[String; 3]>,
    /// What could not be measured, in words.
    pub missing: Vec<String>,
    /// Results that differ, in words: these times mean nothing.
    pub disagreements: Vec<String>,
    /// What was found beside times.
    pub tables: Vec<Table>,
    /// Systems without which the comparison means nothing and that did not take part in all of it, in words.
    pub incomplete: Vec<String>,
}

impl Compared {
    /// Whether all that must take part did, and all results agree.
    pub fn is_sound(&self) -> bool {
        self.disagreements.is_empty() && self.incomplete.is_empty()
    }

    /// Names once what could not be measured.
    pub(super) fn leave_out(&mut self, what: String) {
        if !self.missing.contains(&what) {
            self.missing.push(what);
        }
    }

    /// What is wrong, in words.
    pub fn faults(&self) -> Vec<String> {
        let disagreements = self.disagreements.iter().map(|what| format!("DISAGREES: {what}"));
        disagreements.chain(self.incomplete.iter().map(|what| format!("INCOMPLETE: {what}"))).collect()
    }

    /// What the numbers come to.
    pub fn summary(&self) -> Vec<Table> {
        let mut tables = summary::tables(&self.rows);
        tables.extend(self.tables.iter().cloned());
        tables
    }

    /// Who took part.
    pub fn systems(&self) -> Table {
        let mut table = Table::new("Systems", &["<system", "<version", "<configuration"]);
        self.systems.iter().for_each(|told| table.push(told.clone()));
        table
    }

    /// The measurements as a table.
    pub fn table(&self) -> Table {
        let counted = self.rows.iter().any(|row| row.share.is_some());
        let units = self.rows.iter().any(|row| matches!(row.quality, Some(Quality::Units(_))));
        let predicted = self.rows.iter().any(|row| matches!(row.quality, Some(Quality::Predictions(_))));
        let streamed = self.rows.iter().any(|row| row.streamed.is_some());
        let last = match (counted, units) {
            _ if streamed => "share of best stream",
            _ if predicted => "accuracy",
            (true, _) => "share of FMA peak",
            (_, true) => "largest error [ULP]",
            _ if self.rows.iter().all(|row| row.quality.is_none()) => "",
            _ => "objective",
        };
        let columns = ["<case", "<shape", "threads", "<system", "time", "speed / best peer", last];
        let mut table = Table::new("", &columns);
        for row in &self.rows {
            table.push([
                row.case.clone(),
                row.shape.clone(),
                row.threads.to_string(),
                row.system.into(),
                seconds(row.seconds),
                if row.ratio.is_nan() { "-".into() } else { ratio(row.ratio) },
                match (row.share, row.quality) {
                    _ if row.streamed.is_some() => percent(row.streamed.map_or(f64::NAN, |one| one.share)),
                    (Some(share), _) => percent(share),
                    (_, Some(Quality::Objective(objective))) => format!("{objective:.8}"),
                    (_, Some(Quality::Units(units))) => format!("{units:.2}"),
                    (_, Some(Quality::Predictions(scores))) => format!("{:.4}", scores.accuracy),
                    _ => String::new(),
                },
            ]);
        }
        table
    }

    /// The measurements in full precision.
    pub fn csv(&self) -> Csv {
        let columns = [
            "case",
            "shape",
            "threads",
            "system",
            "version",
            "seconds",
            "ratio",
            "behind",
            "fma_share",
            "speed_up",
            "fma_speed_up",
            "objective",
            "ulp",
            "bytes_per_second",
            "stream_share",
            "stream",
            "rounds",
            "auc",
            "accuracy",
            "log_loss",
        ];
        let mut csv = Csv::new(&columns);
        let text = |number: Option<f64>| number.map_or(String::new(), |number| number.to_string());
        let scores = |row: &Row| match row.quality {
            Some(Quality::Predictions(scores)) => Some(scores),
            _ => None,
        };
        for row in &self.rows {
            csv.push(&[
                row.case.clone(),
                row.shape.clone(),
                row.threads.to_string(),
                row.system.into(),
                row.version.clone(),
                row.seconds.to_string(),
                row.ratio.to_string(),
                row.behind.to_string(),
                text(row.share),
                text(row.speed_up.map(|speed_up| speed_up.ours)),
                text(row.speed_up.map(|speed_up| speed_up.peak)),
                text(row.quality.and_then(|quality| match quality {
                    Quality::Objective(objective) => Some(objective),
                    _ => None,
                })),
                text(row.quality.and_then(|quality| match quality {
                    Quality::Units(units) => Some(units),
                    _ => None,
                })),
                text(row.streamed.map(|streamed| streamed.rate)),
                text(row.streamed.map(|streamed| streamed.share)),
                row.streamed.map_or(String::new(), |streamed| streamed.of.into()),
                row.rounds.to_string(),
                text(scores(row).map(|scores| scores.auc).filter(|auc| !auc.is_nan())),
                text(scores(row).map(|scores| scores.accuracy)),
                text(scores(row).map(|scores| scores.log_loss)),
            ]);
        }
        csv
    }

    /// Speeds against the best peer, a chart for every case, heading and thread count.
    pub fn charts(&self) -> Vec<Chart> {
        let key = |row: &Row| (row.case.clone(), row.threads, row.group);
        let mut keys: Vec<_> = self.rows.iter().map(key).collect();
        keys.dedup();
        keys.into_iter().map(|of| self.chart(&of.0, of.1, of.2)).collect()
    }

    fn chart(&self, case: &str, threads: usize, group: &str) -> Chart {
        let rows = || {
            let here = |row: &&Row| row.case == case && row.threads == threads && row.group == group;
            self.rows.iter().filter(here)
        };
        let mut shapes: Vec<&str> = rows().map(|row| row.shape.as_str()).collect();
        shapes.dedup();
        let many = shapes.len() > FEW;
        let groups = shapes.iter().map(|&shape| {
            let bars = rows().filter(|row| row.shape == shape && (!many || row.system == OURS.name));
            let name = |row: &Row| if many { String::new() } else { row.system.into() };
            Group { name: shape.into(), bars: bars.map(|row| (name(row), row.ratio)).collect() }
        });
        let groups = groups.collect();
        let heading = if group.is_empty() { String::new() } else { format!(", {group}") };
        let title = format!("{case}{heading}, {}", threads_text(threads));
        let who = if many { "Tilewise" } else { "speed" };
        let axis = Axis::linear(format!("{who}, best peer = 1 [x]"));
        Chart::Bar(BarChart { title, axis, groups, reference: Some(1.0) })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Ours, with a peer's time in the ratio.
    pub(in crate::compare) fn row(shape: &str, ratio: f64) -> Row {
        Row {
            case: "gemm f32".into(),
            group: "cubes",
            shape: shape.into(),
            flops: 0.0,
            threads: 2,
            system: OURS.name,
            variant: false,
            version: "1, \"x\"".into(),
            seconds: 0.5,
            rounds: 7,
            ratio,
            behind: 1.0,
            share: None,
            speed_up: None,
            streamed: None,
            quality: None,
        }
    }

    #[test]
    fn csv_and_charts_hold_every_row() {
        let rows = vec![
            row("4 x 4", 1.5),
            Row { system: "faer", behind: 1.5, share: Some(0.5), ..row("4 x 4", 1.0) },
            row("8 x 8", f64::NAN),
            Row { group: "thin", ..row("1 x 9", 1.0) },
        ];
        let compared = Compared { rows, ..Compared::default() };
        let csv = compared.csv();
        let lines: Vec<&str> = csv.text().lines().collect();
        assert!(lines[0].starts_with("case,shape,threads,system,version,seconds,ratio,behind,fma_share,"));
        assert_eq!(lines[1], "gemm f32,4 x 4,2,tilewise,\"1, \"\"x\"\"\",0.5,1.5,1,,,,,,,,,7,,,");
        assert_eq!(lines[2], "gemm f32,4 x 4,2,faer,\"1, \"\"x\"\"\",0.5,1,1.5,0.5,,,,,,,,7,,,");
        let charts = compared.charts();
        assert_eq!(charts.len(), 2);
        let Chart::Bar(chart) = &charts[0] else { panic!("bars") };
        assert_eq!((chart.groups.len(), chart.groups[0].bars.len()), (2, 2));
        assert_eq!(charts[1].title(), "gemm f32, thin, 2 threads");
    }

    #[test]
    fn of_many_problems_only_ours_is_drawn() {
        let ours = (0..9).map(|n| row(&n.to_string(), 1.0));
        let rows = ours.flat_map(|row| [row.clone(), Row { system: "faer", ..row }]).collect();
        let charts = Compared { rows, ..Compared::default() }.charts();
        let Chart::Bar(chart) = &charts[0] else { panic!("bars") };
        assert_eq!(chart.groups.len(), 9);
        assert!(chart.groups.iter().all(|group| group.bars == [(String::new(), 1.0)]));
    }
}
