//! How good predictions are over several seeds of rows and draws, beside ours: what a speed is worth.

use super::super::Run;
use super::super::outcome::Compared;
use super::super::peers::OURS;
use super::super::problems::Listed;
use super::paired::{DIGITS, Paired, mean_text};
use super::{Scores, is_full_training, write};
use crate::compare::{Agreement, Quality, threads_text};
use std::io;
use tilewise_report::Table;

/// Judges everything that is trained in full size once for each of `seeds` seeds; nothing is timed.
pub(in crate::compare) fn over_seeds(
    run: &mut Run<'_>,
    listed: &[Listed],
    seeds: u64,
    compared: &mut Compared,
    hear: &mut impl FnMut(&str),
) -> io::Result<()> {
    let title = format!(
        "Quality over {seeds} seeds, {}: ours less theirs (standard error)",
        threads_text(run.threads)
    );
    let columns = ["<case", "<data", "<system", "<metric", "mean", "<ours less theirs", "<no worse"];
    let mut table = Table::new(title, &columns);
    for one in listed.iter().filter(|one| is_full_training(one)) {
        // Scores of each system, one for every seed that it solved.
        let mut scores: Vec<Vec<Option<Scores>>> = vec![Vec::new(); run.systems.len()];
        for seed in 1..=seeds {
            hear(&format!("{}, seed {seed} of {seeds}", one.describe()));
            let problem = run.problem(one);
            let agreement: Agreement = write(&problem, Some(seed))?;
            let agreeing = run.agree(&problem, &agreement, &one.describe(), compared)?;
            for (scores, judged) in scores.iter_mut().zip(agreeing) {
                scores.push(match judged {
                    Some(Some(Quality::Predictions(found))) => Some(found),
                    _ => None,
                });
            }
        }
        for (system, scores) in run.systems.iter().zip(&scores) {
            let solved = scores.iter().flatten().count();
            if solved < scores.len() && system.peer.required && !system.peer.lacks.contains(&one.kind) {
                let name = system.peer.name;
                compared
                    .incomplete
                    .push(format!("{name} solved {} on {solved} of {seeds} seeds", one.describe()));
            }
        }
        push(&mut table, one, &run.names(), &scores);
    }
    compared.tables.push(table);
    Ok(())
}

/// A metric: its name, its value, and 1 where more is better, else -1.
type Metric = (&'static str, fn(&Scores) -> f64, f64);

fn push(table: &mut Table, listed: &Listed, names: &[&str], scores: &[Vec<Option<Scores>>]) {
    let auc: Metric = ("AUC", |scores| scores.auc, 1.0);
    let accuracy: Metric = ("accuracy", |scores| scores.accuracy, 1.0);
    let loss: Metric = ("log loss", |scores| scores.log_loss, -1.0);
    let binary = listed.shape.last() == Some(&2);
    for (metric, value, sign) in binary.then_some(auc).into_iter().chain([accuracy, loss]) {
        for (name, theirs) in names.iter().zip(scores) {
            let pairs: Vec<[f64; 2]> = scores[0]
                .iter()
                .zip(theirs)
                .filter_map(|(ours, theirs)| Some([value(ours.as_ref()?), value(theirs.as_ref()?)]))
                .collect();
            if pairs.is_empty() {
                continue;
            }
            let differences: Vec<f64> = pairs.iter().map(|[ours, theirs]| ours - theirs).collect();
            let signed: Vec<f64> = differences.iter().map(|d| sign * d).collect();
            let mean = mean_text(&pairs.iter().map(|pair| pair[1]).collect::<Vec<_>>(), DIGITS);
            let (paired, verdict) = match *name == OURS.name {
                true => (String::new(), String::new()),
                false => (Paired::of(&differences).text(DIGITS), Paired::of(&signed).verdict()),
            };
            let cells = [listed.kind, listed.group, name, metric].map(String::from);
            table.push(cells.into_iter().chain([mean, paired, verdict]).collect::<Vec<_>>());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tilewise_report::worker::Layout;

    #[test]
    fn pairs_are_those_of_the_seeds_that_both_solved() {
        let layout = Layout::default();
        let listed = Listed { group: "rows", kind: "tree", element: "f32", shape: vec![9, 9, 3, 2], layout };
        let scores = |accuracy| Some(Scores { auc: accuracy, accuracy, log_loss: 1.0 - accuracy });
        let mut table = Table::new("", &["<", "<", "<", "<", "", "<", "<"]);
        let ours = vec![scores(0.75), scores(0.5), scores(0.5)];
        push(&mut table, &listed, &["tilewise", "other"], &[ours, vec![scores(0.5), None, scores(0.75)]]);
        assert_eq!(table.rows().len(), 6);
        assert_eq!(table.rows()[1], ["tree", "rows", "other", "AUC", "0.62500", "+0.00000 (0.25000)", "yes"]);
        assert_eq!(table.rows()[4][4..6], ["0.41667", ""]);
    }
}
