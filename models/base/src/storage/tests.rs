//! Arrays in memory and in files.

use super::*;
use proptest::prelude::*;

fn storage(bytes: u64) -> Storage {
    Storage::limited(bytes, std::env::temp_dir()).unwrap()
}

proptest! {
    /// What is put into an array comes out of it, wherever it lies, and no more of it is in memory than may be.
    #[test]
    fn arrays_hold_what_was_put_in(
        limit in prop::sample::select(vec![0_u64, 40_000, 100_000, u64::MAX]),
        pieces in prop::collection::vec((0_usize..9000, any::<u64>()), 0..12),
    ) {
        let (storage, mut expected) = (storage(limit), Vec::new());
        let mut growing = storage.grow::<f64>();
        for (len, first) in pieces {
            let piece: Vec<f64> = (0..len as u64).map(|i| (first % 1000 + i) as f64).collect();
            match len % 2 {
                0 => growing.extend_from_slice(&piece).unwrap(),
                _ => piece.iter().for_each(|&x| growing.push(x).unwrap()),
            }
            expected.extend(piece);
            prop_assert_eq!(growing.len(), expected.len());
        }
        let array = growing.finish().unwrap();
        prop_assert_eq!(&array, &expected);
        let bytes = 8 * expected.len() as u64;
        prop_assert_eq!(array.is_in_file(), storage.in_files() > 0);
        prop_assert!(array.is_in_file() || bytes <= limit.max(SMALL));
        if array.is_in_file() {
            prop_assert!(bytes > SMALL && storage.in_files() == bytes);
        }
        let doubled = storage.map(&array, |x| (2.0 * x) as u32).unwrap();
        prop_assert!(doubled.iter().zip(&expected).all(|(a, b)| *a == (2.0 * b) as u32));
        let places: Vec<usize> = (0..expected.len()).rev().step_by(3).collect();
        let gathered = storage.gather(&array, &places).unwrap();
        prop_assert!(gathered.iter().zip(&places).all(|(x, &place)| *x == expected[place]));
        drop((array, doubled, gathered));
        // All that was taken is given back.
        prop_assert_eq!(storage.0.unwrap().left.load(Ordering::Relaxed), limit);
    }
}

#[test]
fn memory_is_taken_first_and_given_back() {
    let storage = storage(100_000);
    let first = storage.zeros::<u8>(80_000).unwrap().finish().unwrap();
    let second = storage.zeros::<u8>(80_000).unwrap().finish().unwrap();
    assert_eq!((first.is_in_file(), second.is_in_file(), storage.in_files()), (false, true, 80_000));
    let shared = first.clone();
    drop(first);
    assert!(storage.zeros::<u8>(80_000).unwrap().finish().unwrap().is_in_file());
    drop(shared);
    assert!(!storage.zeros::<u8>(80_000).unwrap().finish().unwrap().is_in_file());
    // What is small is not counted.
    let small: Vec<_> = (0..100).map(|_| storage.zeros::<u8>(1000).unwrap().finish().unwrap()).collect();
    assert!(small.iter().all(|array| !array.is_in_file()));
}

#[test]
fn zeros_are_written_where_they_lie() {
    for storage in [Storage::default(), storage(0)] {
        let mut array = storage.zeros::<u16>(50_000).unwrap();
        assert!(array.iter().all(|x| *x == 0));
        array.iter_mut().enumerate().for_each(|(i, x)| *x = i as u16);
        let array = array.finish().unwrap();
        assert_eq!(array.is_in_file(), storage.0.is_some());
        assert!(array.iter().enumerate().all(|(i, x)| *x == i as u16));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn folders_in_memory_are_known() {
    if Path::new("/dev/shm").is_dir() {
        assert!(Storage::limited(0, "/dev/shm").unwrap().files_are_in_memory());
    }
    assert!(!Storage::default().files_are_in_memory());
}

#[test]
fn what_cannot_be_is_an_error() {
    let message = Storage::limited(1, "/nowhere/at/all").unwrap_err().to_string();
    assert!(message.contains("/nowhere/at/all"), "{message}");
    let message = storage(0).zeros::<f64>(usize::MAX / 2).unwrap_err().to_string();
    assert!(message.contains("addressed"), "{message}");
    for len in [1 << 59, usize::MAX] {
        let message = Storage::default().zeros::<f64>(len).unwrap_err().to_string();
        assert!(message.contains("no memory") && message.contains(&len.to_string()), "{message}");
    }
    // A petabyte is on no disk. (Elsewhere zeros would be written until it is full.)
    if cfg!(target_os = "linux") {
        let message = storage(0).zeros::<u8>(1 << 50).unwrap_err().to_string();
        assert!(message.contains(std::env::temp_dir().to_str().unwrap()), "{message}");
    }
}
