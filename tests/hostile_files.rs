//! Damaged model files: an error each time, and no more memory than twice the file.

use crate::binary::{Folder, embedded};
use crate::counting::peak;
use std::fs;
use tilewise_base::{Context, Roles};
use tilewise_data::{ReadOptions, read};
use tilewise_kernels::random::Philox;
use tilewise_models::{Settings, load, load_bytes, train};

/// Room for what does not grow with the file: a path, an error's text, a reader's state.
const SLACK: usize = 16 * 1024;

fn models() -> Vec<(&'static str, Vec<u8>)> {
    let cases = [
        ("linear", "diabetes", "progression"),
        ("logistic", "breast_cancer", "diagnosis"),
        ("logistic", "digits", "digit"),
    ];
    let model = |(family, data, target)| {
        let table = read(embedded(&format!("{data}.csv")), &ReadOptions::default()).unwrap();
        let model =
            train(family, &table, &Roles::target(target), &Settings::default(), &Context::default()).unwrap();
        (data, model.to_bytes().unwrap())
    };
    cases.map(model).to_vec()
}

/// Loads damaged bytes, from a file too.
fn refused(what: &str, bytes: &[u8], file: Option<&str>) {
    let bound = 2 * bytes.len() + SLACK;
    let (result, most) = peak(|| load_bytes(bytes).map(|_| ()));
    assert!(result.is_err() && most <= bound, "{what}: {result:?}, {most} bytes allocated of {bound}");
    if let Some(file) = file {
        fs::write(file, bytes).unwrap();
        let (result, most) = peak(|| load(file).map(|_| ()));
        let error = result.expect_err(what).to_string();
        assert!(error.contains(file) && most <= bound, "{what}: {error}, {most} bytes allocated of {bound}");
    }
}

#[test]
fn cut_files_are_refused() {
    let folder = Folder::new("cut");
    for (name, bytes) in models() {
        for percent in 0..100 {
            let length = bytes.len() * percent / 100;
            refused(
                &format!("{name} cut at {length}"),
                &bytes[..length],
                Some(&folder.path("cut.safetensors")),
            );
        }
        for end in 1..=64 {
            refused(&format!("{name} without {end}"), &bytes[..bytes.len() - end], None);
        }
        refused(&format!("{name} and more"), &[&bytes[..], &[0]].concat(), None);
        assert!(load_bytes(&bytes).is_ok(), "{name} whole");
    }
}

#[test]
fn flipped_bits_are_refused() {
    let folder = Folder::new("flip");
    let draw = Philox::new(1, Philox::purpose("bit flips"));
    let models = models();
    for i in 0..10_000u64 {
        let (name, bytes) = &models[(i % 3) as usize];
        let mut bytes = bytes.clone();
        // Half of the flips hit the header, where lengths and shapes are.
        let within = if i % 2 == 0 { bytes.len() } else { bytes.len().min(1024) };
        let bit = draw.below(i, within as u64 * 8) as usize;
        bytes[bit / 8] ^= 1 << (bit % 8);
        let file = (i % 100 == 0).then(|| folder.path("flip.safetensors"));
        refused(&format!("{name} with bit {bit} flipped"), &bytes, file.as_deref());
    }
}
