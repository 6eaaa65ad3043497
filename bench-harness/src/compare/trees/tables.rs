//! What the rows of a comparison of trees come to.

use super::super::outcome::Row;
use super::super::peers::OURS;
use crate::compare::{Quality, threads_text};
use tilewise_report::{Table, ratio, seconds};

/// All tables that the rows give something for.
pub(in crate::compare) fn tables(rows: &[Row]) -> Vec<Table> {
    [against(rows), quality(rows), threads(rows)].into()
}

/// The peers, in the order in which they come.
fn peers<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<&'static str> {
    let mut peers = Vec::new();
    for row in rows.filter(|row| row.system != OURS.name) {
        if !peers.contains(&row.system) {
            peers.push(row.system);
        }
    }
    peers
}

fn of_trees(rows: &[Row]) -> impl Iterator<Item = &Row> {
    rows.iter().filter(|row| matches!(row.quality, Some(Quality::Predictions(_))))
}

/// Our rows, each with those of its problem.
fn problems(rows: &[Row]) -> impl Iterator<Item = (&Row, Vec<&Row>)> {
    let ours = of_trees(rows).filter(|row| row.system == OURS.name);
    ours.map(move |ours| {
        let same = |row: &&Row| {
            row.case == ours.case
                && row.shape == ours.shape
                && row.threads == ours.threads
                && row.system != OURS.name
        };
        (ours, of_trees(rows).filter(same).collect())
    })
}

/// Our speed over each peer, a line for each problem.
fn against(rows: &[Row]) -> Table {
    let peers = peers(of_trees(rows));
    let columns: Vec<&str> =
        ["<case", "<data", "threads", "ours"].into_iter().chain(peers.iter().copied()).collect();
    let mut table = Table::new("Speed over each peer (rounds, where not all)", &columns);
    let most = of_trees(rows).map(|row| row.rounds).max().unwrap_or(0);
    for (ours, theirs) in problems(rows).filter(|_| !peers.is_empty()) {
        let mut cells =
            vec![ours.case.clone(), ours.shape.clone(), ours.threads.to_string(), seconds(ours.seconds)];
        cells.extend(peers.iter().map(|peer| {
            let found = theirs.iter().find(|row| row.system == *peer);
            found.map_or("-".into(), |row| {
                let fewer = if row.rounds < most { format!(" ({})", row.rounds) } else { String::new() };
                ratio(row.behind) + &fewer
            })
        }));
        table.push(cells);
    }
    table
}

/// Whether everybody did the same work: how good the predictions are.
fn quality(rows: &[Row]) -> Table {
    let columns = ["<case", "<data", "threads", "<system", "time", "AUC", "accuracy", "log loss"];
    let mut table = Table::new("Quality on the test rows, one seed", &columns);
    for row in of_trees(rows) {
        let Some(Quality::Predictions(scores)) = row.quality else { continue };
        let four = |x: f64| if x.is_nan() { "-".into() } else { format!("{x:.4}") };
        table.push([
            row.case.clone(),
            row.shape.clone(),
            row.threads.to_string(),
            row.system.into(),
            seconds(row.seconds),
            four(scores.auc),
            four(scores.accuracy),
            four(scores.log_loss),
        ]);
    }
    table
}

/// What several threads bring.
fn threads(rows: &[Row]) -> Table {
    let mut table = Table::new(
        "Several threads over one, in the same rounds",
        &["<case", "<data", "<threads", "time", "speed-up"],
    );
    for row in of_trees(rows) {
        let Some(speed_up) = row.speed_up else { continue };
        let cells = [row.case.clone(), row.shape.clone(), threads_text(row.threads)];
        table.push(cells.into_iter().chain([seconds(row.seconds), ratio(speed_up.ours)]).collect::<Vec<_>>());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::super::outcome::SpeedUp;
    use super::super::super::outcome::tests::row;
    use super::super::Scores;
    use super::*;

    #[test]
    fn every_problem_has_its_line() {
        let quality = Some(Quality::Predictions(Scores { auc: f64::NAN, accuracy: 0.75, log_loss: 0.5 }));
        let speed_up = Some(SpeedUp { ours: 1.5, peak: f64::NAN });
        let ours = Row { quality, speed_up, ..row("a", 2.0) };
        let peer = Row { system: "slow", behind: 2.0, rounds: 1, quality, ..row("a", 1.0) };
        let tables =
            tables(&[ours.clone(), peer, Row { shape: "b".into(), ..ours }, row("of another kind", 1.0)]);
        let lines: Vec<usize> = tables.iter().map(|table| table.rows().len()).collect();
        assert_eq!(lines, [2, 3, 2]);
        assert_eq!(tables[0].rows()[0][3..], ["500 ms", "2.00x (1)"]);
        assert_eq!(tables[0].rows()[1][4..], ["-"]);
        assert_eq!(tables[1].rows()[1][3..], ["slow", "500 ms", "-", "0.7500", "0.5000"]);
        assert_eq!(tables[2].rows()[1][1..], ["b", "2 threads", "500 ms", "1.50x"]);
    }
}
