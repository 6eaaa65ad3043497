//! What training takes of memory, beside the rows that are there already.

use super::super::outcome::Compared;
use super::super::peers::{OURS, Peer, Place};
use super::super::problems::Listed;
use super::{is_full_training, workload, write};
use crate::compare::{problem_of, threads_text};
use std::io;
use tilewise_report::worker::{Problem, Remote};
use tilewise_report::{Table, ratio};

/// Trains all that has several trees and many rows in a process of its own for each system; what is told is the most memory that
/// the process held until it had trained less the most that it held before it read the rows.
pub(in crate::compare) fn memory(
    peers: &[&Peer],
    place: &Place,
    threads: usize,
    listed: &[Listed],
    compared: &mut Compared,
    hear: &mut impl FnMut(&str),
) -> io::Result<()> {
    let title = format!("Peak memory of training on {}, the rows included [MiB]", threads_text(threads));
    let columns = ["<case", "<data", "<system", "before", "training takes", "of ours"];
    let mut table = Table::new(title, &columns);
    let several = |one: &&Listed| workload(one.kind).is_some_and(|workload| workload.trees > 1);
    for one in listed.iter().filter(|one| is_full_training(one)).filter(several) {
        let problem = problem_of(one, place);
        write(&problem, None)?;
        let mut ours = f64::NAN;
        for peer in peers.iter().filter(|peer| peer.solves(&problem)) {
            hear(&format!("memory of {}: {}", peer.name, one.describe()));
            let [before, after] = match trained(peer, place, threads, &problem) {
                Ok(found) => found,
                Err(error) if peer.name == OURS.name => return Err(error),
                Err(error) => {
                    let what = format!("{}: {error}", peer.name);
                    if peer.required {
                        compared.incomplete.push(what);
                    } else {
                        compared.leave_out(what);
                    }
                    continue;
                }
            };
            let taken = after - before;
            if peer.name == OURS.name {
                ours = taken;
            }
            let mebibytes = |bytes: f64| format!("{:.1}", bytes / f64::from(1 << 20));
            let cells = [one.kind, one.group, peer.name].map(String::from);
            table.push(
                cells
                    .into_iter()
                    .chain([mebibytes(before), mebibytes(taken), ratio(taken / ours)])
                    .collect::<Vec<_>>(),
            );
        }
    }
    compared.tables.push(table);
    Ok(())
}

fn trained(peer: &Peer, place: &Place, threads: usize, problem: &Problem) -> io::Result<[f64; 2]> {
    let mut remote = Remote::start(place.command(peer, threads, false)?)?;
    // Once it answers its libraries are loaded.
    remote.ask("version")?;
    let before = remote.peak_memory()?;
    remote.load(problem)?;
    remote.run(1)?;
    Ok([before, remote.peak_memory()?])
}
