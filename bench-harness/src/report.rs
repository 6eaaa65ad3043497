//! The report of a machine: a page of agreement, peaks and scaling, and one for each comparison, with the numbers beside them.

use crate::check::{self, Checked};
use crate::compare::{Compared, Comparison};
use crate::scale::{CURVE_POINTS, Scaled, Scaling};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use tilewise_base::replace;
use tilewise_report::{
    Axis, BarChart, Block, Chart, Csv, Group, Machine, Page, Section, Table, percent, ratio,
};

mod schemes;

/// Bytes from which a case counts as streamed: several times the last cache of most machines.
const STREAMED: f64 = 128e6;

/// What was measured of this system alone.
pub struct Findings<'a> {
    /// Where.
    pub machine: Machine,
    /// Agreement with the references.
    pub checked: &'a [Checked],
    /// Times on 1..N threads.
    pub scaling: &'a Scaling,
    /// Whether all cases that were asked for are there.
    pub is_complete: bool,
}

/// Writes `name.html`, `name.md` and, where there are numbers, `name.csv` into the machine's folder below `reports`; answers the
/// page's file.
///
/// # Errors
/// When a file cannot be written.
pub fn write(reports: &Path, name: &str, page: &Page, csv: Option<&Csv>) -> io::Result<PathBuf> {
    let folder = reports.join(page.machine.as_ref().map(Machine::slug).unwrap_or_default());
    fs::create_dir_all(&folder)?;
    let put = |ending: &str, text: &str| {
        let file = folder.join(format!("{name}.{ending}"));
        replace::write(&file, text.as_bytes()).map_err(io::Error::other).map(|()| file)
    };
    csv.map_or(Ok(()), |csv| put("csv", csv.text()).map(drop))?;
    put("md", &page.markdown())?;
    put("html", &page.html())
}

/// The page of a comparison.
pub fn comparison(comparison: &Comparison, compared: &Compared, machine: Machine) -> Page {
    let faults = compared.faults().into_iter();
    let told = faults.chain(compared.missing.iter().map(|what| format!("Left out: {what}")));
    let timed = !compared.rows.is_empty();
    let method = "Each system in its own process, in turn, on the same bytes and threads; results agree before anything is timed. \
                  Speed 1 is that of the best other system. Medians of the samples; ratios are medians of the ratios within \
                  rounds. `reports/README.md` tells the method and the biases we know of.";
    let sections = [
        ("In short", compared.summary().into_iter().map(Block::Table).collect()),
        ("What is to be known", told.map(Block::Note).collect()),
        ("Pictures", timed.then(|| Block::Charts(compared.charts())).into_iter().collect()),
        ("Every problem", timed.then(|| Block::Table(compared.table())).into_iter().collect()),
        ("Systems", vec![Block::Table(compared.systems())]),
        ("How this was measured", vec![Block::Prose(method.into())]),
    ];
    let sections = sections.into_iter().filter(|(_, blocks): &(_, Vec<Block>)| !blocks.is_empty());
    Page {
        title: format!("Tilewise and others: {}", comparison.name),
        summary: format!("{}.", comparison.about),
        machine: Some(machine),
        sections: sections.map(|(heading, blocks)| Section { heading: heading.into(), blocks }).collect(),
    }
}

/// Today as year-month-day, UTC.
pub fn today() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    date(since / 86_400)
}

/// The civil date of a day since 1970-01-01, by counting years and months.
fn date(mut days: u64) -> String {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

/// The page of quality on real data.
pub fn quality(tables: Vec<Table>, machine: Machine) -> Page {
    let method = "Everybody trains on the same rows of a division and is judged on the others. Differences are paired over the \
                  divisions; no worse means: not by more than two standard errors.";
    let section = Section::new("Real data").with(Block::Prose(method.into()));
    Page {
        title: "Tilewise and others: quality".into(),
        summary: "Trees, forests and boosting on real data at equal settings.".into(),
        machine: Some(machine),
        sections: vec![tables.into_iter().fold(section, |section, table| section.with(Block::Table(table)))],
    }
}

impl Findings<'_> {
    /// Writes `report.html`, `report.md` and `scaling.csv` into the machine's folder below `reports`; answers the page's file. Those of a
    /// measurement that goes on are called `report-unfinished` and `scaling-unfinished`, and go when it is complete.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, reports: &Path) -> io::Result<PathBuf> {
        const UNFINISHED: &str = "-unfinished";
        let ending = if self.is_complete { "" } else { UNFINISHED };
        let file = write(reports, &format!("report{ending}"), &self.page(), None)?;
        let csv = file.with_file_name(format!("scaling{ending}.csv"));
        replace::write(&csv, self.scaling.csv().text().as_bytes()).map_err(io::Error::other)?;
        if self.is_complete {
            for name in ["report", "scaling"] {
                for kind in ["html", "md", "csv"] {
                    // They may not be there.
                    let _ = fs::remove_file(file.with_file_name(format!("{name}{UNFINISHED}.{kind}")));
                }
            }
        }
        Ok(file)
    }

    /// The page.
    pub fn page(&self) -> Page {
        let sections =
            [self.overview(), self.agreement(), self.scaling(), schemes::section(self.scaling), method()];
        Page {
            title: format!("Tilewise on {}", self.machine.cpu),
            summary: "Every kernel and model against its naive version and the machine's own peaks.".into(),
            machine: Some(self.machine.clone()),
            sections: sections.into_iter().filter(|section| !section.blocks.is_empty()).collect(),
        }
    }

    fn overview(&self) -> Section {
        let of = |name: &'static str| {
            self.scaling.scaled.iter().filter(move |scaled| scaled.title.starts_with(name))
        };
        let mut figures = Vec::new();
        for title in ["gemm f32", "gemm f64"] {
            let best = of(title).map(|scaled| scaled.share_of_flops(0)).fold(f64::NAN, f64::max);
            figures.push((percent(best), format!("of one thread's FMA peak by {title}")));
        }
        let largest = of("add f32").rfind(|scaled| scaled.bytes >= STREAMED);
        let largest = largest.map_or(f64::NAN, |scaled| scaled.share_of_bandwidth(0));
        figures.push((percent(largest), "of the best streaming addition by add f32".into()));
        let last = self.scaling.threads.len() - 1;
        if last > 0 {
            let largest = of("gemm f32").max_by(|a, b| a.flops.total_cmp(&b.flops));
            let largest = largest.map_or(f64::NAN, |scaled| scaled.speed_up(last));
            let threads = self.scaling.threads[last];
            figures.push((
                ratio(largest),
                format!("as fast on {threads} threads as on one: the largest gemm f32"),
            ));
        }
        figures.retain(|(value, _)| !value.starts_with('-'));
        let section = Section::new("At a glance").with(Block::Figures(figures));
        match self.is_complete {
            true => section,
            false => {
                section.with(Block::Note("INCOMPLETE: the measurement ended before its last case.".into()))
            }
        }
    }

    fn agreement(&self) -> Section {
        let section = Section::new("Agreement");
        if self.checked.is_empty() {
            return section;
        }
        let comparisons: usize = self.checked.iter().map(|one| one.comparisons).sum();
        let failed = self.checked.iter().filter(|one| one.failure.is_some()).count();
        let text = format!(
            "Before timing, every case ran on random shapes and layouts, on every instruction set of the processor and at \
             several thread counts: {comparisons} runs. {}",
            match failed {
                0 => "All agree with their references within the error bounds, with the same bits at all thread counts.".into(),
                n => format!("{n} cases DIFFER from their references; their times mean nothing."),
            }
        );
        section.with(Block::Prose(text)).with(Block::Table(check::table(self.checked)))
    }

    fn scaling(&self) -> Section {
        let section = Section::new("Kernels and models").with(Block::Table(self.scaling.roof_table()));
        let curves = self.scaling.curves();
        let section = if curves.is_empty() {
            let text =
                format!("Speed-up curves need {CURVE_POINTS} thread counts; the table has what there is.");
            section.with(Block::Note(text))
        } else {
            section.with(Block::Charts(curves))
        };
        section
            .with(Block::Charts(vec![self.naive_chart(), self.peak_chart()]))
            .with(Block::Table(self.scaling.table()))
    }

    fn bars(&self, title: &str, axis: Axis, value: impl Fn(&Scaled) -> Option<f64>) -> Chart {
        let bar = |scaled: &Scaled| {
            let name = format!("{} {}", scaled.title, crate::case::shape_text(&scaled.shape));
            Some(Group { name, bars: vec![(String::new(), value(scaled)?)] })
        };
        let groups = self.scaling.scaled.iter().filter_map(bar).collect();
        Chart::Bar(BarChart { title: title.into(), axis, groups, reference: Some(1.0) })
    }

    fn naive_chart(&self) -> Chart {
        let axis = Axis::log("times as fast as naive, one thread [x]");
        self.bars("Over the naive version", axis, Scaled::over_naive)
    }

    /// How near each case comes to whichever peak limits it.
    fn peak_chart(&self) -> Chart {
        let share = |scaled: &Scaled| Some(scaled.share_of_flops(0).max(scaled.share_of_bandwidth(0)));
        self.bars(
            "Share of the machine's limit, one thread",
            Axis::linear("share of the nearer peak, 1 = all"),
            share,
        )
    }
}

fn method() -> Section {
    Section::new("How this was measured")
        .with(Block::Prose(
            "Thread counts and the naive version take samples in turn, the order rotating; \
             times are medians of the samples, ratios medians of the ratios of the rounds. Short work is repeated inside \
             a sample. Peaks take their turns in the same rounds: chains of fused multiply-adds in registers, reads of 128 MiB, \
             additions with streaming stores; a share of a peak is the median of the shares of the rounds."
                .into(),
        ))
        .with(Block::Note(
            "Naive versions are the plain loops of the library, compiled with the same options; the compiler may \
             vectorise them. Bytes count every operand once, so shares of bandwidth above 100 % mean that operands stay \
             in cache. `reports/README.md` lists known biases."
                .into(),
        ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::{Options, scale};

    #[test]
    fn dates_are_those_of_the_calendar() {
        let dates: Vec<String> = [0, 58, 59, 789, 11_016, 11_017, 20_453].map(date).into();
        assert_eq!(
            dates,
            [
                "1970-01-01",
                "1970-02-28",
                "1970-03-01",
                "1972-02-29",
                "2000-02-29",
                "2000-03-01",
                "2025-12-31"
            ]
        );
    }

    #[test]
    fn a_report_is_written_with_its_numbers() {
        let options = Options { threads: vec![1, 2], ..Options::quick() };
        let cases = crate::cases::matching(&["dot f32", "descent rows"]);
        let mut so_far = Vec::new();
        let keep = |scaling: &Scaling| {
            so_far.push(scaling.scaled.len());
            Ok(())
        };
        let scaling = scale(&cases, &options, |_| (), keep).unwrap();
        assert_eq!(so_far, [1]);
        let checked = vec![check::check(&cases[0], &check::Options { samples: 2, ..Default::default() })];
        let machine = Machine { cpu: "A <CPU>".into(), cores: 2, ..Machine::default() };
        let reports = std::env::temp_dir().join(format!("tilewise-report-{}", std::process::id()));
        let findings = |is_complete| Findings {
            machine: machine.clone(),
            checked: &checked,
            scaling: &scaling,
            is_complete,
        };
        let text = |file: &Path| fs::read_to_string(file).unwrap();
        assert!(text(&findings(false).write(&reports).unwrap()).contains("INCOMPLETE"));
        let unfinished = reports.join("a-cpu-2-cores/scaling-unfinished.csv");
        assert!(unfinished.exists());
        let file = findings(true).write(&reports).unwrap();
        assert!(!text(&file).contains("INCOMPLETE") && !unfinished.exists());
        assert!(file.ends_with("a-cpu-2-cores/report.html"));
        let page = fs::read_to_string(&file).unwrap();
        assert!(page.contains("A &lt;CPU&gt;") && page.contains("Parallel schemes side by side"));
        assert!(fs::read_to_string(file.with_extension("md")).unwrap().contains("| dot f32"));
        assert_eq!(fs::read_to_string(file.with_file_name("scaling.csv")).unwrap().lines().count(), 5);

        let missing = vec!["MKL: no library".into()];
        let compared = Compared { missing, ..Compared::default() };
        let gemm = crate::compare::find("gemm").unwrap();
        let page = comparison(gemm, &compared, machine);
        let file = write(&reports, "gemm", &page, Some(&compared.csv())).unwrap();
        assert!(fs::read_to_string(&file).unwrap().contains("Left out: MKL: no library"));
        assert!(file.with_extension("csv").exists() && file.with_extension("md").exists());
        fs::remove_dir_all(reports).unwrap();
    }
}
