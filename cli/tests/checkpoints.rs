//! Training that is killed: what it kept on the way goes on to what it would have been.

#[path = "support/run.rs"]
mod run;

use run::{Folder, fails, people, works};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;
use std::{fs, path::Path};

#[test]
fn a_killed_training_goes_on_to_the_same_bytes() {
    let folder = Folder::new("checkpoints");
    let data = folder.file("people.csv", people(&["age", "job", "member", "price"]));
    let (out, whole) = (folder.path("m.safetensors"), folder.path("whole.safetensors"));
    let train = |stages: &str, further: &[&str]| {
        let stages = format!("stages={stages}");
        let set =
            ["--set", &stages, "--set", "min_samples_leaf=5", "--set", "goss=0.5:0.2"].map(String::from);
        let args = ["train", "--model", "gbdt", "--data", &data, "--target", "price", "--threads", "1", "-q"];
        args.into_iter().chain(further.iter().copied()).map(String::from).chain(set).collect::<Vec<String>>()
    };
    // It would go on for days: it is killed after its first model, whenever that comes and however many have followed.
    let mut child = Command::new(env!("CARGO_BIN_EXE_tilewise"))
        .args(train("16000000", &["--out", &out, "--checkpoint-every", "3"]))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while !Path::new(&out).exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let shown = works(&["inspect", "--model", &out]);
    let counted = |part: &str| part.strip_suffix(" stages")?.parse::<usize>().ok();
    let done = shown.split(", ").find_map(counted).unwrap_or_else(|| panic!("{shown}"));
    assert!(done >= 3 && done % 3 == 0, "{done}");
    assert_eq!(works(&["predict", "--model", &out, "--data", &data]).lines().count(), 61);
    let more = (done + 4).to_string();
    let run = |args: Vec<String>| works(&args.iter().map(String::as_str).collect::<Vec<_>>());
    run(train(&more, &["--continue", &out, "--out", &out, "--checkpoint-every", "1"]));
    run(train(&more, &["--out", &whole]));
    assert!(fs::read(&out).unwrap() == fs::read(&whole).unwrap());

    let first = |stages: &str| works(&["predict", "--model", &out, "--stages", stages, "--data", &data]);
    let short = folder.path("short.safetensors");
    run(train("2", &["--out", &short]));
    assert_eq!(first("2"), works(&["predict", "--model", &short, "--data", &data]));
    assert_eq!(first(&more), works(&["predict", "--model", &out, "--data", &data]));
    let predict = |model: &str, stages: &str, parts: &[&str]| {
        fails(&["predict", "--model", model, "--stages", stages, "--data", &data], parts);
    };
    predict(&short, "3", &["short.safetensors", "stages: 3", "2"]);
    predict(&short, "0", &["stages: 0"]);
    let line = folder.path("line.safetensors");
    works(&["train", "--model", "linear", "--data", &data, "--target", "price", "--out", &line, "-q"]);
    predict(&line, "1", &["line.safetensors", "no stages"]);
    fails(
        &[
            "train",
            "--model",
            "forest",
            "--data",
            &data,
            "--target",
            "price",
            "--out",
            &out,
            "--checkpoint-every",
            "3",
        ],
        &["forest", "checkpoints are for gbdt"],
    );
}
