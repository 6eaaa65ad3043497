//! Boosted trees as a person trains them: rankings and survival from tables, what is refused, and training that is interrupted.

#[path = "support/run.rs"]
mod run;

use run::{Folder, fails, people, text, tilewise, works};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// 40 queries of 6 rows whose relevance follows from `x`; rows of no use in `z`.
fn results() -> String {
    let mut csv = String::from("query,x,z,relevance\n");
    for i in 0..240_usize {
        let x = (i * 37) % 101;
        csv += &format!("q{},{x},{},{}\n", i / 6, (i * 53) % 17, x / 34);
    }
    csv
}

/// The value behind a measure's name.
fn value(printed: &str, measure: &str) -> f64 {
    let line = printed.lines().find(|line| line.trim_start().starts_with(&format!("{measure} ")));
    let line = line.unwrap_or_else(|| panic!("{measure} is not in {printed}"));
    line.trim_start()[measure.len()..].split_whitespace().next().unwrap().parse().unwrap()
}

const SMALL: [&str; 4] = ["--set", "stages=12", "--set", "min_samples_leaf=5"];

#[test]
fn rankings_are_measured_by_the_order_within_queries() {
    let folder = Folder::new("ranking");
    let data = folder.file("results.csv", results());
    let model = folder.path("ranks.safetensors");
    let lesson = ["--model", "gbdt", "--data", &data, "--target", "relevance", "--group", "query"];
    let lesson = [&lesson[..], &SMALL, &["--set", "loss=lambda_rank"]].concat();
    let more = ["--test-fraction", "0.25", "--out", &model];
    let printed = works(&[&["train"], &lesson[..], &more].concat());
    assert!(printed.contains("the table's order") && !printed.contains("RMSE"), "{printed}");
    // x decides, and is known.
    assert!(value(&printed, "NDCG@10") > 0.99 && value(&printed, "MAP") > 0.99, "{printed}");
    let measured = works(&["evaluate", "--model", &model, "--data", &data]);
    assert!(
        measured.contains("order by relevance predicted") && value(&measured, "NDCG@1") > 0.99,
        "{measured}"
    );
    // The scores against their order, by the definition: pairs of a query that differ in relevance.
    let scores = works(&["predict", "--model", &model, "--data", &data]);
    let scores: Vec<f64> = scores.lines().skip(1).map(|line| line.parse().unwrap()).collect();
    assert_eq!(scores.len(), 240);
    let stopped = ["--set", "early_stopping=3", "--set", "validation=0.25"];
    let printed = works(&[&["train"], &lesson[..], &stopped].concat());
    assert!(printed.contains("loss on rows held out was least after stage"), "{printed}");
    let folds = works(&[&["cv"], &lesson[..], &["--folds", "3"]].concat());
    assert!(folds.contains("NDCG@10") && folds.contains("grouped by query"), "{folds}");
    let searched = ["--folds", "2", "--search", "max_leaves=2,7", "--metric", "ndcg@5"];
    let found = works(&[&["tune"], &lesson[..], &searched].concat());
    assert!(found.contains("NDCG@5"), "{found}");
    let columns = works(&["importance", "--model", &model, "--data", &data]);
    assert!(columns.starts_with("NDCG@10 is ") && columns.find(" x ") < columns.find(" z "), "{columns}");
    assert!(works(&["inspect", "--model", &model]).contains("rank rows of one query by relevance"));

    let asked =
        ["train", "--model", "gbdt", "--data", &data, "--target", "relevance", "--set", "loss=lambda_rank"];
    fails(&asked, &["loss lambda_rank:30 needs a group column"]);
    let torn = folder.file("torn.csv", results() + "q0,1,1,1\n");
    let asked = ["train", "--model", "gbdt", "--data", &torn, "--target", "relevance", "--group", "query"];
    fails(
        &[&asked[..], &["--set", "loss=lambda_rank"]].concat(),
        &["row 241", "\"query\"", "sorted by query"],
    );
    let odd = folder.file("odd.csv", results() + "q99,1,1,1.5\n");
    let asked = ["train", "--model", "gbdt", "--data", &odd, "--target", "relevance", "--group", "query"];
    fails(&[&asked[..], &["--set", "loss=lambda_rank"]].concat(), &["row 241", "\"relevance\"", "1.5", "31"]);
}

/// Days until an event that comes sooner where `x` is large; every third row was not observed so long.
fn patients() -> String {
    let mut csv = String::from("x,z,days,died\n");
    for i in 0..240_usize {
        let x = (i * 37) % 101;
        let days = 400.0 / (4.0 + x as f64) + ((i * 29) % 13) as f64 * 0.2;
        let died = i % 3 != 0;
        csv += &format!("{x},{},{},{died}\n", (i * 53) % 17, if died { days } else { days * 0.7 });
    }
    csv
}

#[test]
fn survival_is_learned_from_times_and_events() {
    let folder = Folder::new("survival");
    let data = folder.file("patients.csv", patients());
    let model = folder.path("hazards.safetensors");
    let lesson = ["--model", "gbdt", "--data", &data, "--target", "days", "--event", "died"];
    let lesson = [&lesson[..], &SMALL, &["--set", "loss=cox"]].concat();
    works(&[&["train"], &lesson[..], &["--out", &model]].concat());
    let measured = works(&["evaluate", "--model", &model, "--data", &data]);
    // Harrell's index by its definition, over all pairs.
    let hazards = works(&["predict", "--model", &model, "--data", &data]);
    let hazards: Vec<f64> = hazards.lines().skip(1).map(|line| line.parse().unwrap()).collect();
    let rows: Vec<(f64, bool)> = patients()
        .lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            (cells[2].parse().unwrap(), cells[3] == "true")
        })
        .collect();
    let (mut right, mut pairs) = (0.0, 0.0);
    for (a, first) in rows.iter().enumerate().filter(|(_, row)| row.1) {
        for (b, second) in rows.iter().enumerate() {
            if second.0 > first.0 || second.0 == first.0 && !second.1 {
                pairs += 1.0;
                right += if hazards[a] > hazards[b] {
                    1.0
                } else {
                    f64::from(u8::from(hazards[a] == hazards[b])) / 2.0
                };
            }
        }
    }
    let concordance = value(&measured, "concordance");
    assert!((concordance - right / pairs).abs() < 1e-6 && concordance > 0.85, "{measured} {}", right / pairs);
    let folds = works(&[&["cv"], &lesson[..], &["--folds", "3"]].concat());
    assert!(folds.contains("concordance"), "{folds}");
    assert!(works(&["inspect", "--model", &model]).contains("hazards of the event died"));
    let answer = works(&["explain", "--model", &model, "--data", &data, "--rows", "1"]);
    assert!(answer.starts_with("row,base,x,z,prediction\n"), "{answer}");

    let asked = ["train", "--model", "gbdt", "--data", &data, "--target", "days"];
    let cox = ["--set", "loss=cox"];
    fails(&[&asked[..], &cox].concat(), &["loss cox needs an event column"]);
    fails(&[&asked[..], &["--event", "died"]].concat(), &["\"died\"", "only loss cox"]);
    fails(&[&asked[..], &["--event", "days"]].concat(), &["\"days\"", "two roles"]);
    fails(&[&asked[..], &cox, &["--event", "z"]].concat(), &["\"z\"", "true and false, or 1 and 0"]);
    let forest = ["train", "--model", "forest", "--data", &data, "--target", "days", "--event", "died"];
    fails(&forest, &["\"died\"", "forest", "gbdt can"]);
    let early = folder.file("early.csv", patients() + "1,1,-3,true\n");
    let asked = ["train", "--model", "gbdt", "--data", &early, "--target", "days", "--event", "died"];
    fails(&[&asked[..], &cox].concat(), &["row 241", "\"days\"", "-3", "above 0"]);
}

#[test]
fn what_a_loss_cannot_learn_is_refused_by_row_column_and_value() {
    let folder = Folder::new("domains");
    let table = |cell: &str| {
        let mut csv = String::from("x,amount\n");
        (0..60).for_each(|i| csv += &format!("{i},{}\n", 1 + i % 7));
        folder.file("amounts.csv", csv + "7," + cell + "\n")
    };
    for (loss, cell, accepted) in [
        ("poisson", "-2", "from 0 to 1e30"),
        ("tweedie", "-2", "from 0 to 1e30"),
        ("gamma", "0", "above 0"),
        ("squared", "2e30", "from -1e30 to 1e30"),
    ] {
        let (data, loss) = (table(cell), format!("loss={loss}"));
        let asked = ["train", "--model", "gbdt", "--data", &data, "--target", "amount", "--set", &loss];
        let shown = if cell == "2e30" { "2000000000000000000000000000000" } else { cell };
        fails(&asked, &["row 61", "\"amount\"", shown, accepted]);
    }
    let data = table("1");
    let asked = |loss: &'static str| {
        ["train", "--model", "gbdt", "--data", &data, "--target", "amount", "--set", loss].map(String::from)
    };
    let refused =
        |args: &[String], parts: &[&str]| fails(&args.iter().map(String::as_str).collect::<Vec<_>>(), parts);
    refused(&asked("loss=logistic"), &["loss: logistic", "two classes", "numbers"]);
    let classes = [&asked("loss=logistic")[..], &["--set".into(), "task=classification".into()]].concat();
    refused(&classes, &["loss: logistic", "7 classes"]);
    let classes = [&asked("loss=poisson")[..], &["--set".into(), "task=classification".into()]].concat();
    refused(&classes, &["loss: poisson", "for numbers"]);
}

#[test]
fn tables_that_are_not_those_of_training_are_refused_by_name() {
    let folder = Folder::new("others");
    let data = folder.file("people.csv", people(&["age", "job", "member", "price"]));
    let model = folder.path("m.safetensors");
    let train = ["train", "--model", "gbdt", "--data", &data, "--target", "price", "--out", &model];
    works(&[&train[..], &SMALL].concat());
    // Order does not matter, and further columns do not.
    let turned = folder.file("turned.csv", people(&["price", "id", "member", "age", "job"]));
    let measured = |data: &str| {
        let printed = works(&["evaluate", "--model", &model, "--data", data]);
        printed.split_once('\n').unwrap().1.to_owned()
    };
    assert_eq!(measured(&turned), measured(&data));
    let fewer = folder.file("fewer.csv", people(&["age", "member", "price"]));
    let without = folder.file("without.csv", people(&["age", "job", "member"]));
    let other =
        folder.file("other.csv", people(&["age", "job", "member", "price"]).replace("\n20,", "\nold,"));
    for command in ["evaluate", "importance"] {
        fails(&[command, "--model", &model, "--data", &fewer], &["fewer.csv", "\"job\"", "missing"]);
        fails(&[command, "--model", &model, "--data", &without], &["without.csv", "\"price\""]);
        fails(&[command, "--model", &model, "--data", &other], &["other.csv", "age", "old"]);
    }
}

/// A table of a weight and a target that are these times what they are in others.
fn scaled(weight: f64, target: f64) -> String {
    let mut csv = String::from("x,z,y,w\n");
    for i in 0..200_usize {
        let (x, z) = ((i * 37) % 101, (i * 53) % 17);
        let y = ((x * z) as f64 / 100.0 - x as f64 / 10.0) * target;
        csv += &format!("{x},{z},{y:e},{:e}\n", (1 + i % 3) as f64 * weight);
    }
    csv
}

#[test]
fn huge_and_tiny_numbers_are_learned_or_refused() {
    let folder = Folder::new("sizes");
    let data = folder.path("scaled.csv");
    let more = ["--weight", "w", "--set", "l2=0", "--set", "min_child_weight=0"];
    let args = [&["train", "--model", "gbdt", "--data", &data, "--target", "y"], &more[..], &SMALL].concat();
    let r2 = |weight: f64, target: f64| {
        fs::write(&data, scaled(weight, target)).unwrap();
        value(&works(&args), "R2")
    };
    let as_it_is = r2(1.0, 1.0);
    assert!(as_it_is > 0.8, "{as_it_is}");
    for (weight, target) in
        [(1e-28, 1.0), (1e28, 1.0), (1.0, 1e-28), (1.0, 1e28), (1e-28, 1e28), (1e20, 1e15)]
    {
        let found = r2(weight, target);
        assert!((found - as_it_is).abs() < 1e-4, "{weight:e} {target:e}: {found} {as_it_is}");
    }
    let refused = |weight: f64, target: f64, parts: &[&str]| {
        fs::write(&data, scaled(weight, target)).unwrap();
        fails(&args, parts);
    };
    refused(1.0, 1e-38, &["column \"y\"", "too small", "1e-30"]);
    refused(1.0, 1e38, &["column \"y\"", "1e30"]);
    refused(1e-38, 1.0, &["column \"w\"", "too small", "1e-30"]);
    refused(1e38, 1.0, &["column \"w\"", "too large", "1e30"]);
    refused(1e25, 1e20, &["column \"w\"", "times the answer", "1e37"]);
    // With the penalties that there are by default small weights learn nothing, which is told.
    fs::write(&data, scaled(1e-9, 1.0)).unwrap();
    let asked = ["train", "--model", "gbdt", "--data", &data, "--target", "y", "--weight", "w"];
    let told = text(&tilewise(&asked).stderr);
    assert!(told.contains("warning: no tree has a split") && told.contains("min_child_weight"), "{told}");
}

#[test]
fn ctrl_c_leaves_a_model_that_goes_on_to_the_same_bytes() {
    let folder = Folder::new("interrupted");
    let data = folder.file("people.csv", people(&["age", "job", "member", "price"]));
    let (out, whole) = (folder.path("m.safetensors"), folder.path("whole.safetensors"));
    let args = |stages: &str, more: &[&str]| {
        let stages = format!("stages={stages}");
        let plain = ["train", "--model", "gbdt", "--data", &data, "--target", "price", "--threads", "1"];
        let set = ["--set", "subsample=0.7", "--set", "min_samples_leaf=5", "--set", &stages];
        plain.iter().chain(&set).chain(more).map(|text| text.to_string()).collect::<Vec<String>>()
    };
    // It would go on for days; the first line of progress tells that there is a stage.
    let mut child = Command::new(env!("CARGO_BIN_EXE_tilewise"))
        .args(args("16000000", &["--out", &out]))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.starts_with("progress: round "), "{first}");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    let round = rest.iter().find_map(|line| line.strip_prefix("stopped: by Ctrl-C after round "));
    let done: u64 = round.unwrap_or_else(|| panic!("{rest:?}")).parse().unwrap();
    assert!(works(&["inspect", "--model", &out]).contains(&format!(" {done} stages, ")));
    assert_eq!(works(&["predict", "--model", &out, "--data", &data]).lines().count(), 61);
    let more = (done + 5).to_string();
    let run = |args: Vec<String>| works(&args.iter().map(String::as_str).collect::<Vec<_>>());
    run(args(&more, &["--continue", &out, "--out", &out, "-q"]));
    run(args(&more, &["--out", &whole, "-q"]));
    assert!(fs::read(&out).unwrap() == fs::read(&whole).unwrap());
}

#[test]
fn a_column_tells_which_rows_are_held_out() {
    let folder = Folder::new("held-out");
    let marked: Vec<String> = (results().lines().enumerate())
        .map(|(i, line)| match i.checked_sub(1) {
            None => format!("{line},out\n"),
            Some(row) => format!("{line},{}\n", row / 6 % 4 == 1),
        })
        .collect();
    let data = folder.file("results.csv", marked.concat());
    let asked = ["train", "--model", "gbdt", "--data", &data, "--target", "relevance", "--ignore", "query"];
    let told = [&asked[..], &SMALL, &["--held-out", "out"]].concat();
    let printed = works(&[&told[..], &["--set", "early_stopping=2"]].concat());
    assert!(printed.contains("held out") && printed.contains("2 inputs"), "{printed}");
    fails(&told, &["\"out\"", "early_stopping must be a number of stages"]);
    fails(
        &[&told[..], &["--set", "early_stopping=2", "--set", "validation=0.3"]].concat(),
        &["validation: 0.3", "\"out\""],
    );
    let forest =
        ["train", "--model", "forest", "--data", &data, "--target", "relevance", "--held-out", "out"];
    fails(&forest, &["\"out\"", "gbdt stops early by them"]);
    let odd = [&asked[..], &["--held-out", "x", "--set", "early_stopping=2"]].concat();
    fails(&odd, &["row 2", "\"x\"", "true and false, or 1 and 0"]);
    // Of rankings whole queries.
    let ranking = ["train", "--model", "gbdt", "--data", &data, "--target", "relevance", "--group", "query"];
    let ranking = [&ranking[..], &["--set", "loss=lambda_rank", "--set", "early_stopping=2"]].concat();
    works(&[&ranking[..], &["--held-out", "out"]].concat());
    let torn = folder.file("torn.csv", marked.concat().replacen("false", "true", 1));
    let ranking: Vec<&str> =
        ranking.iter().map(|word| if *word == data { &torn[..] } else { word }).collect();
    fails(&[&ranking[..], &["--held-out", "out"]].concat(), &["row 2", "\"out\"", "whole queries"]);
}
