//! Files of ONNX: what ONNX Runtime makes of them (`golden/exported.py`), and what they hold.

use crate::networks::networks;
use std::path::PathBuf;
use tilewise_kernels::MatRef;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/exported")
}

/// Of the largest number of an answer: sums of up to 45 products of f32 through up to 8 layers, in other orders, each of which may
/// be off by 45 x 2^-24 = 2.7e-6 of its terms at worst.
const ROUNDING: f32 = 1e-5;

#[test]
fn onnx_runtime_gives_the_same_answers_but_for_rounding() {
    let text = std::fs::read_to_string(folder().join("answers.csv")).unwrap();
    for (name, network) in networks() {
        assert!(
            std::fs::read(folder().join(format!("{name}.onnx"))).unwrap() == network.to_onnx().unwrap(),
            "{name}"
        );
        let mut rows = 0;
        for line in text.lines() {
            let Some(numbers) = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(',')) else {
                continue;
            };
            let numbers: Vec<f32> = numbers.split(',').map(|x| x.parse().unwrap()).collect();
            let (x, theirs) = numbers.split_at(network.inputs());
            let mut ours = vec![0.0; network.outputs()];
            network.predict(MatRef::new(x, 1, x.len()).unwrap(), &mut ours).unwrap();
            assert_eq!(ours.len(), theirs.len(), "{name}");
            let largest = theirs.iter().fold(1.0f32, |most, y| most.max(y.abs()));
            for (a, b) in ours.iter().zip(theirs) {
                assert!((a - b).abs() <= ROUNDING * largest, "{name}: {a}, theirs {b}");
            }
            rows += 1;
        }
        assert_eq!(rows, 6, "{name}");
    }
}
