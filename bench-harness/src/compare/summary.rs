//! What the rows of a comparison come to: means, losses, shares of the peak, what threads bring.

use super::outcome::Row;
use super::peers::OURS;
use super::problems::CUBES;
use super::{Quality, threads_text, trees};
use tilewise_report::{Table, percent, rate, ratio, seconds};

/// Products from this edge on are judged against the peak of multiply-adds.
const LARGE: f64 = 2.0 * 512.0 * 512.0 * 512.0;

/// All tables that the rows give something for.
pub(super) fn tables(rows: &[Row]) -> Vec<Table> {
    let tables = [
        against_each(rows),
        against_best(rows),
        functions(rows),
        streams(rows),
        losses(rows),
        peaks(rows),
        threads(rows),
    ];
    let tables = tables.into_iter().chain(trees::tables(rows));
    tables.filter(|table| !table.rows().is_empty()).collect()
}

/// Case and thread count: what is never mixed in a mean.
type Key<'a> = (&'a str, usize);

fn key(row: &Row) -> Key<'_> {
    (&row.case, row.threads)
}

fn keys(rows: &[Row]) -> Vec<Key<'_>> {
    let mut keys = Vec::new();
    for row in rows {
        if !keys.contains(&key(row)) {
            keys.push(key(row));
        }
    }
    keys
}

/// Our rows of a key that a peer can be compared with.
fn ours<'a>(rows: &'a [Row], of: Key<'a>) -> impl Iterator<Item = &'a Row> {
    rows.iter().filter(move |row| row.system == OURS.name && key(row) == of && !row.ratio.is_nan())
}

/// The geometric mean; NaN of nothing.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value.ln(), count + 1.0));
    (sum / count).exp()
}

fn heading((case, threads): Key<'_>) -> String {
    format!("{case}, {}", threads_text(threads))
}

fn against_each(rows: &[Row]) -> Table {
    let mut keys = keys(rows);
    // Functions have a table that tells it of every one.
    keys.retain(|&of| {
        rows.iter().any(|row| key(row) == of && !matches!(row.quality, Some(Quality::Units(_))))
    });
    let columns: Vec<String> = keys.iter().map(|&of| heading(of)).collect();
    let columns: Vec<&str> = std::iter::once("<peer").chain(columns.iter().map(String::as_str)).collect();
    let mut table = Table::new("Speed over each peer, geometric mean (problems)", &columns);
    let mut peers: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| row.system != OURS.name) {
        if !peers.contains(&row.system) {
            peers.push(row.system);
        }
    }
    for peer in peers.into_iter().filter(|_| !keys.is_empty()) {
        let mut cells = vec![peer.to_string()];
        for &of in &keys {
            let behind =
                || rows.iter().filter(|row| row.system == peer && key(row) == of).map(|row| row.behind);
            let count = behind().count();
            cells.push(match count {
                0 => "-".into(),
                _ => format!("{} ({count})", ratio(mean(behind()))),
            });
        }
        table.push(cells);
    }
    table
}

/// Functions: our speed over each peer, and the largest error of everyone.
fn functions(rows: &[Row]) -> Table {
    let units = |row: &Row| match row.quality {
        Some(Quality::Units(units)) => Some(units),
        _ => None,
    };
    let judged: Vec<&Row> = rows.iter().filter(|row| units(row).is_some()).collect();
    let mut peers: Vec<&str> = Vec::new();
    for row in judged.iter().filter(|row| row.system != OURS.name) {
        if !peers.contains(&row.system) {
            peers.push(row.system);
        }
    }
    let columns = ["<function", "n", "threads", "time", "ours"].into_iter().chain(peers.iter().copied());
    let columns: Vec<&str> = columns.collect();
    let mut table =
        Table::new("Speed over each peer (largest error seen, in units in the last place)", &columns);
    for ours in judged.iter().filter(|row| row.system == OURS.name) {
        let error = |row: &Row| format!("({:.2})", units(row).unwrap_or(f64::NAN));
        let mut cells = vec![
            ours.case.clone(),
            ours.shape.clone(),
            ours.threads.to_string(),
            seconds(ours.seconds),
            error(ours),
        ];
        for peer in &peers {
            let found = peers_of(rows, ours).find(|row| row.system == *peer);
            cells.push(found.map_or("-".into(), |row| format!("{} {}", ratio(row.behind), error(row))));
        }
        table.push(cells);
    }
    table
}

/// Passes over vectors against the fastest plain loop.
fn streams(rows: &[Row]) -> Table {
    let columns = ["<case", "n", "threads", "<system", "rate", "share", "<best stream", "its rate"];
    let mut table = Table::new("Share of the best streaming bandwidth, in the same rounds", &columns);
    for row in rows {
        let Some(streamed) = row.streamed else { continue };
        table.push([
            row.case.clone(),
            row.shape.clone(),
            row.threads.to_string(),
            row.system.into(),
            rate(streamed.rate, "B/s"),
            percent(streamed.share),
            streamed.of.into(),
            rate(streamed.best, "B/s"),
        ]);
    }
    table
}

fn against_best(rows: &[Row]) -> Table {
    let columns = ["<", "geometric mean", "problems", "under 1.00", "under 0.90", "least"];
    let mut table = Table::new("Speed over the best peer of each problem", &columns);
    for of in keys(rows) {
        let ratios: Vec<f64> = ours(rows, of).map(|row| row.ratio).collect();
        if ratios.is_empty() {
            continue;
        }
        let under = |limit| ratios.iter().filter(|&&ratio| ratio < limit).count().to_string();
        table.push([
            heading(of),
            ratio(mean(ratios.iter().copied())),
            ratios.len().to_string(),
            under(1.0),
            under(0.9),
            ratio(ratios.iter().copied().fold(f64::INFINITY, f64::min)),
        ]);
    }
    table
}

/// Every problem on which a peer is faster, worst first, with all peers that are.
fn losses(rows: &[Row]) -> Table {
    let columns = ["<case", "threads", "<shape", "speed / best peer", "time", "<faster peers"];
    let mut table = Table::new("Losses: speed under 1.00 of the best peer", &columns);
    let mut lost: Vec<&Row> = rows.iter().filter(|row| row.system == OURS.name && row.ratio < 1.0).collect();
    lost.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
    for row in lost {
        let mut faster: Vec<&Row> = peers_of(rows, row).filter(|peer| peer.behind < 1.0).collect();
        faster.sort_by(|a, b| a.behind.total_cmp(&b.behind));
        let faster: Vec<String> =
            faster.iter().map(|peer| format!("{} {}", peer.system, ratio(peer.behind))).collect();
        table.push([
            row.case.clone(),
            row.threads.to_string(),
            row.shape.clone(),
            ratio(row.ratio),
            seconds(row.seconds),
            faster.join(", "),
        ]);
    }
    table
}

/// The peers' rows of the problem that `ours` is about.
fn peers_of<'a>(rows: &'a [Row], ours: &'a Row) -> impl Iterator<Item = &'a Row> {
    let same = |row: &&Row| key(row) == key(ours) && row.shape == ours.shape;
    rows.iter().filter(same).filter(|row| row.system != OURS.name && !row.variant)
}

/// Large cubes against the peak of multiply-adds.
fn peaks(rows: &[Row]) -> Table {
    let columns = ["<case", "threads", "<shape", "share of FMA peak", "best peer's share"];
    let mut table = Table::new("Large cubes: share of the peak of multiply-adds", &columns);
    let large = |row: &&Row| row.system == OURS.name && row.group == CUBES && row.flops >= LARGE;
    for row in rows.iter().filter(large) {
        let Some(share) = row.share else { continue };
        let best = peers_of(rows, row).filter_map(|peer| peer.share).fold(f64::NAN, f64::max);
        table.push([
            row.case.clone(),
            row.threads.to_string(),
            row.shape.clone(),
            percent(share),
            percent(best),
        ]);
    }
    table
}

/// Several threads over one: large cubes beside what the processor gives, small products whether they suffer.
fn threads(rows: &[Row]) -> Table {
    let columns = ["<case", "threads", "<shape", "speed-up", "of the peak's", "<"];
    let mut table = Table::new("Several threads over one, in the same rounds", &columns);
    let mut small: Vec<(Key<'_>, Vec<&Row>)> = keys(rows).into_iter().map(|of| (of, Vec::new())).collect();
    for row in rows {
        let Some(speed_up) = row.speed_up.filter(|speed_up| !speed_up.peak.is_nan()) else { continue };
        if row.flops < LARGE {
            small.iter_mut().filter(|(of, _)| *of == key(row)).for_each(|(_, small)| small.push(row));
        } else if row.group == CUBES {
            table.push([
                row.case.clone(),
                row.threads.to_string(),
                row.shape.clone(),
                ratio(speed_up.ours),
                percent(speed_up.ours / speed_up.peak),
            ]);
        }
    }
    for ((case, threads), mut small) in small {
        let gain = |row: &Row| row.speed_up.map_or(f64::NAN, |speed_up| speed_up.ours);
        small.sort_by(|a, b| gain(a).total_cmp(&gain(b)));
        let slower = small.iter().filter(|row| gain(row) < 1.0).count();
        // The worst three tell whether it is noise.
        for row in small.iter().take(3) {
            table.push([
                case.to_string(),
                threads.to_string(),
                row.shape.clone(),
                ratio(gain(row)),
                String::new(),
                format!("among the least of {} smaller, {slower} under 1", small.len()),
            ]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::outcome::SpeedUp;
    use super::super::outcome::tests::row;
    use super::*;

    fn peer(system: &'static str, shape: &str, behind: f64) -> Row {
        Row { system, behind, seconds: 0.5 * behind, ..row(shape, 1.0) }
    }

    #[test]
    fn means_are_geometric_and_losses_named() {
        let rows = [
            row("a", 0.8),
            peer("MKL", "a", 0.8),
            peer("faer", "a", 4.0),
            row("b", 1.25),
            peer("MKL", "b", 1.25),
            Row { variant: true, ..peer("another way", "a", 0.5) },
        ];
        let tables = tables(&rows);
        let titles: Vec<&str> = tables.iter().map(|table| table.title()).collect();
        assert_eq!(titles.len(), 3, "{titles:?}");
        assert_eq!(
            tables[0].rows(),
            [["MKL", "1.00x (2)"], ["faer", "4.00x (1)"], ["another way", "0.500x (1)"]]
        );
        assert_eq!(tables[1].rows(), [["gemm f32, 2 threads", "1.00x", "2", "1", "1", "0.800x"]]);
        assert_eq!(tables[2].rows().len(), 1);
        assert_eq!(tables[2].rows()[0][2..], ["a", "0.800x", "500 ms", "MKL 0.800x"]);
    }

    #[test]
    fn peaks_and_threads_are_judged_where_they_were_measured() {
        let speed_up = |ours| Some(SpeedUp { ours, peak: 2.0 });
        let large = Row { flops: LARGE, share: Some(0.9), speed_up: speed_up(1.9), ..row("512", 1.0) };
        let small = Row { flops: 8.0, share: Some(0.1), speed_up: speed_up(0.9), ..row("4", 1.0) };
        let rows = [large.clone(), Row { system: "MKL", share: Some(0.8), ..large }, small];
        let tables = tables(&rows);
        let peaks = &tables[tables.len() - 2];
        assert_eq!(peaks.rows(), [["gemm f32", "2", "512", "90.0 %", "80.0 %"]]);
        let threads = tables[tables.len() - 1].rows();
        assert_eq!(threads[0][2..5], ["512", "1.90x", "95.0 %"]);
        assert_eq!(
            threads[threads.len() - 1][2..],
            ["4", "0.900x", "", "among the least of 1 smaller, 1 under 1"]
        );
    }
}
