//! Comparisons whose unit is a whole run, such as a fit on a cluster or a command on a large file: systems take turns, ours first
//! among them, and a ratio is the median over rounds of two times of the same round.

use std::io::Result;
use std::path::PathBuf;
use tilewise_report::{
    Axis, BarChart, Block, Chart, Csv, Group, Machine, Page, Section, Table, median, seconds, significant,
};

/// How to compare.
pub struct Options {
    /// Turns of each system.
    pub rounds: usize,
    /// Small and few, to see that all works.
    pub quick: bool,
    /// Only cases whose name contains all of these words.
    pub only: Vec<String>,
    /// Rows of tables in place of those that are usual.
    pub rows: Option<usize>,
    /// Where environments and tables are kept: the workspace's target folder.
    pub target: PathBuf,
}

impl Options {
    /// Whether a case is asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.iter().all(|word| name.contains(word.as_str()))
    }
}

/// Something that is told beside the time.
pub(crate) struct Figure {
    /// What it is, with its unit.
    pub(crate) name: &'static str,
    /// As people read it.
    pub(crate) show: fn(f64) -> String,
}

/// What a run took and gave; a figure that it does not have is NaN.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) seconds: f64,
    pub(crate) figures: Vec<f64>,
}

/// A system in a case.
#[derive(Clone, Debug)]
pub(crate) struct Entrant {
    pub(crate) name: &'static str,
    /// One for each round.
    pub(crate) turns: Vec<Turn>,
}

impl Entrant {
    fn over(&self, pick: impl Fn(&Turn) -> f64) -> f64 {
        median(&self.turns.iter().map(pick).collect::<Vec<_>>())
    }

    fn seconds(&self) -> f64 {
        self.over(|turn| turn.seconds)
    }
}

/// What is fitted on what, and by whom; ours first.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) entrants: Vec<Entrant>,
}

impl Case {
    /// Lets all take their turns; the order rotates. Who fails is left out and named, but for ours.
    ///
    /// # Errors
    /// That of ours.
    pub(crate) fn run(
        name: String,
        systems: &[&'static str],
        rounds: usize,
        missing: &mut Vec<String>,
        mut turn: impl FnMut(&'static str, usize) -> Result<Turn>,
    ) -> Result<Self> {
        let mut turns = vec![Vec::new(); systems.len()];
        let mut failed = vec![false; systems.len()];
        for round in 0..rounds {
            for place in 0..systems.len() {
                let i = (place + round) % systems.len();
                if failed[i] {
                    continue;
                }
                match turn(systems[i], round) {
                    Ok(taken) => turns[i].push(taken),
                    Err(error) if i == 0 => return Err(error),
                    Err(error) => {
                        missing.push(format!("{} in {name}: {error}", systems[i]));
                        failed[i] = true;
                    }
                }
            }
        }
        let all = systems.iter().zip(turns).zip(failed);
        let kept = all.filter(|(_, failed)| !failed);
        let entrants = kept.map(|((name, turns), _)| Entrant { name, turns }).collect();
        Ok(Self { name, entrants })
    }

    /// How many times as long as ours an entrant takes.
    fn ratio(&self, entrant: &Entrant) -> f64 {
        let pairs = entrant.turns.iter().zip(&self.entrants[0].turns);
        median(&pairs.map(|(its, ours)| its.seconds / ours.seconds).collect::<Vec<_>>())
    }
}

/// Everything that was measured.
pub struct Findings {
    /// What is compared.
    pub(crate) title: &'static str,
    pub(crate) summary: String,
    /// How, and in whose favour; a paragraph each.
    pub(crate) method: Vec<String>,
    pub(crate) figures: &'static [Figure],
    pub(crate) cases: Vec<Case>,
    /// Further numbers: value and what it is.
    pub(crate) beside: Vec<(String, String)>,
    /// Versions of systems.
    pub(crate) versions: Vec<(String, String)>,
    /// Who did not take part, and why.
    pub missing: Vec<String>,
}

impl Findings {
    /// The tables, in reading order.
    pub fn tables(&self) -> Vec<Table> {
        let names = self.figures.iter().map(|figure| figure.name);
        let columns: Vec<&str> =
            ["<case", "<system", "time", "its time / ours"].into_iter().chain(names).collect();
        let mut table = Table::new(format!("{}: medians over rounds", self.title), &columns);
        for case in &self.cases {
            for entrant in &case.entrants {
                let mut cells = vec![
                    case.name.clone(),
                    entrant.name.to_owned(),
                    seconds(entrant.seconds()),
                    format!("{}x", significant(case.ratio(entrant), 3)),
                ];
                let figures = self.figures.iter().enumerate();
                cells.extend(figures.map(|(i, figure)| {
                    let value = entrant.over(|turn| turn.figures[i]);
                    if value.is_nan() { "-".into() } else { (figure.show)(value) }
                }));
                table.push(cells);
            }
        }
        let mut tables = vec![table];
        for (columns, pairs) in
            [(["<beside", "value"], &self.beside), (["<system", "version"], &self.versions)]
        {
            if !pairs.is_empty() {
                let mut table = Table::new("", &columns);
                pairs.iter().for_each(|(value, what)| table.push([what.clone(), value.clone()]));
                tables.push(table);
            }
        }
        tables
    }

    /// Every turn.
    pub fn csv(&self) -> Csv {
        let names = self.figures.iter().map(|figure| figure.name);
        let columns: Vec<&str> = ["case", "system", "round", "seconds"].into_iter().chain(names).collect();
        let mut csv = Csv::new(&columns);
        for case in &self.cases {
            for entrant in &case.entrants {
                for (round, turn) in entrant.turns.iter().enumerate() {
                    let mut cells = vec![case.name.clone(), entrant.name.to_owned(), (round + 1).to_string()];
                    cells.extend(
                        std::iter::once(turn.seconds).chain(turn.figures.clone()).map(|x| x.to_string()),
                    );
                    csv.push(&cells);
                }
            }
        }
        csv
    }

    fn bars(&self) -> Chart {
        let group = |case: &Case| Group {
            name: case.name.clone(),
            bars: case.entrants.iter().map(|one| (one.name.to_owned(), case.ratio(one))).collect(),
        };
        Chart::Bar(BarChart {
            title: "Times, ours = 1".into(),
            axis: Axis::linear("times as long as ours [x]"),
            groups: self.cases.iter().map(group).collect(),
            reference: Some(1.0),
        })
    }

    /// The page.
    pub fn page(&self, machine: Machine) -> Page {
        let mut figures = Vec::new();
        for case in &self.cases {
            for entrant in &case.entrants[1..] {
                let what = format!("as long as ours: {}, {}", entrant.name, case.name);
                figures.push((format!("{}x", significant(case.ratio(entrant), 3)), what));
            }
        }
        figures.extend(self.beside.iter().cloned());
        let mut first = Section::new("In short").with(Block::Figures(figures));
        for what in &self.missing {
            first = first.with(Block::Note(format!("Left out: {what}")));
        }
        let times = Section::new("Times").with(Block::Charts(vec![self.bars()]));
        let times = self.tables().into_iter().fold(times, |section, table| section.with(Block::Table(table)));
        let method = Section::new("Method and its biases");
        let method =
            self.method.iter().fold(method, |section, text| section.with(Block::Prose(text.clone())));
        Page {
            title: self.title.into(),
            summary: self.summary.clone(),
            machine: Some(machine),
            sections: vec![first, times, method],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Error;

    const FIGURES: &[Figure] = &[Figure { name: "AUC", show: |x| format!("{x:.3}") }];

    fn findings(cases: Vec<Case>) -> Findings {
        Findings {
            title: "A comparison",
            summary: String::new(),
            method: vec!["By hand.".into()],
            figures: FIGURES,
            cases,
            beside: vec![("7 ms".into(), "a round".into())],
            versions: vec![("1.0".into(), "theirs".into())],
            missing: vec!["absent: why".into()],
        }
    }

    #[test]
    fn ratios_are_of_the_same_round_and_the_order_rotates() {
        let (mut missing, mut order) = (Vec::new(), Vec::new());
        // The machine is twice as slow in the second round and four times in the third: no matter to ratios.
        let case = Case::run("a".into(), &["ours", "theirs", "broken"], 3, &mut missing, |name, round| {
            order.push(name);
            let seconds = [1.0, 2.0, 4.0][round] * if name == "ours" { 1.0 } else { 3.0 };
            match name == "broken" && round == 1 {
                true => Err(Error::other("it broke")),
                false => Ok(Turn { seconds, figures: vec![0.5 + round as f64 / 8.0] }),
            }
        })
        .unwrap();
        assert_eq!(order, ["ours", "theirs", "broken", "theirs", "broken", "ours", "ours", "theirs"]);
        assert_eq!(missing, ["broken in a: it broke"]);
        assert_eq!(case.entrants.len(), 2);
        assert_eq!((case.ratio(&case.entrants[0]), case.ratio(&case.entrants[1])), (1.0, 3.0));
        let findings = findings(vec![case]);
        let rows = findings.tables()[0].rows().to_vec();
        assert_eq!(rows[1], ["a", "theirs", "6.00 s", "3.00x", "0.625"]);
        assert_eq!(findings.csv().text().lines().nth(3), Some("a,ours,3,4,0.75"));
        let page = findings.page(Machine::default()).markdown();
        for part in ["as long as ours: theirs, a", "7 ms", "absent: why", "By hand."] {
            assert!(page.contains(part), "{part}\n{page}");
        }
    }

    #[test]
    fn without_ours_there_is_no_comparison() {
        let fails = |name: &'static str, _| match name {
            "ours" => Err(Error::other("no")),
            _ => Ok(Turn { seconds: 1.0, figures: vec![f64::NAN] }),
        };
        assert!(Case::run("a".into(), &["ours", "theirs"], 1, &mut Vec::new(), fails).is_err());
        let case = Case::run("a".into(), &["theirs"], 2, &mut Vec::new(), fails).unwrap();
        assert_eq!(findings(vec![case]).tables()[0].rows()[0][4], "-");
    }

    #[test]
    fn words_choose_cases() {
        let only = vec!["boosting".into(), "2000000".into()];
        let options = Options { rounds: 1, quick: false, only, rows: None, target: PathBuf::new() };
        assert!(options.wants("boosting, 2000000 x 28") && !options.wants("boosting, 1000000 x 28"));
    }
}
