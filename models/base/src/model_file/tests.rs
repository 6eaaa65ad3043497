//! Model files that are whole, damaged and hostile.

use super::*;
use serde_json::json;
use tilewise_kernels::random::Philox;

fn sample() -> Writer {
    let metadata =
        json!({ "schema": { "b": [1, { "z": 0.1, "a": null }], "a": "text \"quoted\" \u{1F600}" } });
    let weights: Vec<f64> = (0..37).map(|i| (i as f64).sqrt()).collect();
    Writer::new("ridge", metadata)
        .tensor_f64("weights", &[37], &weights)
        .tensor_f32("single", &[1, 3], &[1.0, f32::NAN, -0.0])
        .tensor_u32("empty", &[0, 5], &[])
}

/// The message of the error, which every damaged file must give.
fn refused(bytes: &[u8]) -> String {
    match ModelFile::parse(bytes) {
        Ok(_) => panic!("a damaged file was accepted"),
        Err(error) => error.to_string(),
    }
}

/// Bytes with a right checksum, as an attacker would write them.
fn sealed(header: &str, tensors: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(tensors);
    let sum = xxh3_128(&bytes).to_le_bytes();
    bytes.extend(sum);
    bytes
}

#[test]
fn what_is_written_is_read_and_equal_models_are_equal_bytes() {
    let bytes = sample().to_bytes().unwrap();
    assert_eq!(bytes, sample().to_bytes().unwrap());
    let file = ModelFile::parse(&bytes).unwrap();
    assert_eq!(file.kind(), "ridge");
    assert_eq!(file.tensors().collect::<Vec<_>>(), ["empty", "single", "weights"]);
    assert_eq!(file.tensor_f64("weights", &[37]).unwrap()[2], 2f64.sqrt());
    let single = file.tensor_f32("single", &[1, 3]).unwrap();
    assert!(single[1].is_nan() && single[2].is_sign_negative());
    assert!(file.tensor_u32("empty", &[0, 5]).unwrap().is_empty());
    assert_eq!(file.metadata::<Value>("schema").unwrap()["b"][1]["z"], 0.1);
    // Other order of tensors, same file.
    let swapped = Writer::new("ridge", sample().metadata.clone())
        .tensor_u32("empty", &[0, 5], &[])
        .tensor_f32("single", &[1, 3], &[1.0, f32::NAN, -0.0])
        .tensor_f64("weights", &[37], &file.tensor_f64("weights", &[37]).unwrap());
    assert_eq!(swapped.to_bytes().unwrap(), bytes);
    let keys = String::from_utf8_lossy(&bytes);
    assert!(keys.contains(r#"\"format\":1,\"kind\":\"ridge\",\"schema\":{\"a\":"#), "{keys}");
    // Other readers of the format accept it.
    assert_eq!(SafeTensors::deserialize(&bytes).unwrap().len(), 4);
}

#[test]
fn a_mistaken_model_is_told_what_is_wrong() {
    let bytes = sample().to_bytes().unwrap();
    let file = ModelFile::parse(&bytes).unwrap();
    let message = file.tensor_f64("weights", &[36]).unwrap_err().to_string();
    assert!(message.contains("[37]") && message.contains("[36]"), "{message}");
    assert!(file.tensor_f32("weights", &[37]).is_err());
    assert!(file.tensor_f64("wings", &[37]).unwrap_err().to_string().contains("wings"));
    assert!(file.metadata::<u32>("schema").unwrap_err().to_string().contains("schema"));
    assert!(file.metadata::<u32>("scheme").is_err());
    let writer = || Writer::new("k", json!({}));
    assert!(writer().tensor_f64("w", &[2], &[1.0]).to_bytes().is_err());
    assert!(writer().tensor_f64("~w", &[1], &[1.0]).to_bytes().is_err());
    assert!(writer().tensor_u32("w", &[1], &[1]).tensor_f64("w", &[1], &[1.0]).to_bytes().is_err());
    assert!(Writer::new("k", json!([])).to_bytes().is_err());
}

#[test]
fn cut_at_every_length_it_is_refused() {
    let bytes = sample().to_bytes().unwrap();
    for len in 0..bytes.len() {
        refused(&bytes[..len]);
    }
    refused(&[bytes.clone(), vec![0]].concat());
}

#[test]
fn every_flipped_bit_is_refused() {
    let mut bytes = sample().to_bytes().unwrap();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        refused(&bytes);
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    // Several at once.
    let random = Philox::new(1, 2);
    for trial in 0..10_000 {
        let mut damaged = bytes.clone();
        let flips = 2 + random.below(trial * 64, 20);
        for k in 1..=flips {
            let bit = random.below(trial * 64 + k, bytes.len() as u64 * 8) as usize;
            damaged[bit / 8] ^= 1 << (bit % 8);
        }
        if damaged != bytes {
            refused(&damaged);
        }
    }
    assert!(ModelFile::parse(&bytes).is_ok());
}

/// Whoever computes the checksum still cannot make the reader panic, allocate by a claimed size, or read outside.
#[test]
fn crafted_files_are_refused() {
    let meta = r#""__metadata__":{"tilewise":"{\"format\":1,\"kind\":\"k\"}"}"#;
    let sum = r#""~checksum":{"dtype":"U8","shape":[16],"data_offsets":[0,16]}"#;
    assert!(ModelFile::parse(&sealed(&format!("{{{meta},{sum}}}"), &[])).is_ok());
    let huge = u64::MAX;
    for header in [
        "{}".to_owned(),
        format!("{{{sum}}}"),
        format!("{{{meta},\"w\":{{\"dtype\":\"F64\",\"shape\":[{huge},{huge}],\"data_offsets\":[0,16]}}}}"),
        format!("{{{meta},\"w\":{{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[{huge},15]}}}}"),
        format!("{{{meta},\"w\":{{\"dtype\":\"F64\",\"shape\":[99],\"data_offsets\":[0,792]}}}}"),
        format!("{{{sum},\"__metadata__\":{{\"tilewise\":\"{}\"}}}}", "[".repeat(5000)),
        format!("{{{sum},\"__metadata__\":{{\"tilewise\":\"{{\\\"format\\\":1}}\"}}}}"),
        "{".repeat(5000),
        "{\u{0}".to_owned(),
    ] {
        refused(&sealed(&header, &[]));
    }
    let later = format!(
        "{{{sum},\"__metadata__\":{{\"tilewise\":\"{{\\\"format\\\":9,\\\"kind\\\":\\\"k\\\"}}\"}}}}"
    );
    assert!(refused(&sealed(&later, &[])).contains("later version (format 9)"));
    let mut long = sealed("{}", &[0; 64]);
    long[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    refused(&long);
}

#[test]
fn files_are_saved_and_loaded() {
    let path = std::env::temp_dir().join(format!("tilewise-model-{}.safetensors", std::process::id()));
    sample().save(&path).unwrap();
    assert_eq!(ModelFile::load(&path).unwrap().kind(), "ridge");
    std::fs::write(&path, "age,income\n1,2\n3,4\n1,2\n3,4\n5,6\n").unwrap();
    let message = ModelFile::load(&path).err().unwrap().to_string();
    assert!(message.contains("not a model file") && message.contains("tilewise-model"), "{message}");
    std::fs::remove_file(&path).unwrap();
    assert!(ModelFile::load(&path).is_err());
    assert!(ModelFile::load(std::env::temp_dir()).is_err());
}
