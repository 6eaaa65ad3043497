//! What every trainer in rounds asks of the chunks of a table.

use tilewise_base::{Error, Result};

/// Takes that a chunk missed: the trainer is to ask again with a replay.
///
/// # Errors
/// When it has: nothing more can be told.
pub fn missed(replay: &mut bool) -> Result<()> {
    if *replay {
        return Err(Error::Fit("a chunk missed what does not depend on what it keeps".into()));
    }
    *replay = true;
    Ok(())
}

/// That chunks, of which `places` are the first row and the number of rows, ascending, have each of so many rows once.
///
/// # Errors
/// Naming the first row that none or another has.
pub fn each_row_once(places: impl Iterator<Item = (u64, u64)>, rows: u64) -> Result<()> {
    let mut next = 0;
    for (first, count) in places.filter(|(_, count)| *count > 0) {
        if first != next {
            let what =
                format!("chunks have row {first} where row {next} should come: each row must be in one");
            return Err(Error::Fit(what));
        }
        next = first.saturating_add(count);
    }
    if next != rows {
        return Err(Error::Fit(format!("chunks have {next} rows; those that cuts were made of were {rows}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_one_chunk_each() {
        let told =
            |places: &[(u64, u64)]| each_row_once(places.iter().copied(), 7).err().map(|e| e.to_string());
        assert_eq!(told(&[(0, 3), (3, 0), (3, 4)]), None);
        for (places, part) in [
            (&[(0, 3), (4, 3)][..], "row 4 where row 3"),
            (&[(0, 4), (3, 4)], "row 3 where row 4"),
            (&[(0, 4)], "have 4 rows"),
            (&[(0, u64::MAX)], "those that cuts were made of were 7"),
        ] {
            assert!(told(places).unwrap().contains(part), "{places:?}");
        }
    }

    #[test]
    fn what_was_replayed_cannot_be_missed_again() {
        let mut replay = false;
        assert!(missed(&mut replay).is_ok() && replay && missed(&mut replay).is_err());
    }
}
