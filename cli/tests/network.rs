//! Networks from the command line: embeddings of categories, and layers of images.

#[path = "support/run.rs"]
mod run;

use run::{Folder, fails, people, text, works};
use std::fs;
use std::path::Path;
use std::process::Command;
use tilewise_kernels::simd::Isa;

fn digits() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/digits.csv").display().to_string()
}

#[test]
fn categories_are_embedded_stored_and_inspected() {
    let folder = Folder::new("embedded");
    let data = folder.file("people.csv", people(&["age", "job", "price", "class"]));
    let model = folder.path("m.safetensors");
    let train = [
        "train", "--model", "network", "--data", &data, "--target", "price", "--ignore", "class", "--out",
        &model,
    ];
    works(&[&train[..], &["--set", "embedding=2", "--set", "epochs=2"]].concat());
    let told = works(&["inspect", "--model", &model]);
    assert!(
        told.contains("job: the number of one of") && told.contains("0: embedding of 1 column"),
        "{told}"
    );
    let answers = works(&["predict", "--model", &model, "--data", &data]);
    assert!(answers.lines().skip(1).all(|line| line.parse::<f64>().is_ok_and(f64::is_finite)));
    // Blocks around sums.
    works(&[&train[..], &["--set", "layers=9,layernorm,res(5,9)", "--set", "epochs=1"]].concat());
    let told = works(&["inspect", "--model", &model]);
    assert!(
        told.contains("1: layer norm")
            && told.contains("3: residual (dense, 5 outputs; relu; dense, 9 outputs)")
    );
    // Another width is another table.
    works(
        &[&train[..], &["--set", "embedding=2", "--set", "embedding_width=7", "--set", "epochs=1"]].concat(),
    );
    assert!(works(&["inspect", "--model", &model]).contains("0: embedding of 1 column, 7 numbers"));
    for (setting, parts) in [
        ("embedding=0", &["embedding", "none, or a whole number above 0"][..]),
        ("embedding=many", &["\"many\"", "none, or a whole number above 0"]),
        ("embedding_width=4", &["embedding_width", "without embedding"]),
    ] {
        let parts: Vec<&str> = parts.iter().map(|part| part.trim_matches('"')).collect();
        fails(&[&train[..], &["--set", setting]].concat(), &parts);
    }
}

#[test]
fn layers_of_images_are_trained_stored_and_served() {
    let folder = Folder::new("images");
    let (data, model) = (digits(), folder.path("m.safetensors"));
    let train = [
        "train",
        "--model",
        "network",
        "--data",
        &data,
        "--target",
        "digit",
        "--set",
        "task=classification",
        "--out",
        &model,
    ];
    let layers = ["--set", "image=1x8x8", "--set", "layers=conv8x3,norm,pool2,conv16x3,pool2,32"];
    let short = ["--set", "epochs=6", "--set", "learning_rate=0.01", "--test-fraction", "0.2", "--seed", "1"];
    let told = works(&[&train[..], &layers, &short].concat());
    let accuracy = told.lines().find_map(|line| line.trim().strip_prefix("accuracy")).unwrap();
    let accuracy: f64 = accuracy.split_whitespace().next().unwrap().parse().unwrap();
    assert!(accuracy > 0.93, "{told}");
    let told = works(&["inspect", "--model", &model]);
    for part in [
        "0: images of 1 x 8 x 8",
        "1: convolution, 8 channels, 3 x 3",
        "batch norm",
        "max pool, 2 x 2",
        "flatten",
        "dense, 10 outputs",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let answers = works(&["predict", "--model", &model, "--data", &data]);
    assert_eq!(answers.lines().count(), 1 + 1797);
    let bytes = run::tilewise(&["export", "--model", &model, "--to", "onnx", "--out", "-"]).stdout;
    assert!(
        ["Conv", "MaxPool", "BatchNormalization"]
            .iter()
            .all(|name| { bytes.windows(name.len()).any(|part| part == name.as_bytes()) })
    );
}

#[test]
fn layers_that_cannot_be_are_told_by_part_or_by_place() {
    let folder = Folder::new("no-images");
    let (data, out) = (digits(), folder.path("m.safetensors"));
    let train = ["train", "--model", "network", "--data", &data, "--target", "digit", "--out", &out];
    for (settings, parts) in [
        (&["image=1x8x8", "layers=conv16,pool2"][..], &["layers", "\"conv16\"", "convCxK"][..]),
        (&["layers=conv16x3"], &["\"conv16x3\"", "image=CxHxW"]),
        (&["image=8x8", "layers=conv16x3"], &["image", "8x8", "channels x height x width"]),
        (&["image=1x8x9", "layers=conv16x3"], &["image", "1x8x9", "64 columns"]),
        (&["image=1x8x8", "layers=pool2,pool2,pool2,pool2"], &["layer 4 (max pool", "1 x 1 x 1"]),
        (&["hidden=20", "layers=30"], &["hidden", "layers"]),
        (&["layers=30,res(30,20)"], &["layer 2 (residual", "20 columns of 30"]),
    ] {
        let sets: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
        fails(&[&train[..], &sets].concat(), parts);
    }
    let people = folder.file("people.csv", people(&["age", "job", "price", "class"]));
    let train = ["train", "--model", "network", "--data", &people, "--target", "price", "--out", &out];
    fails(
        &[&train[..], &["--set", "image=1x1x3", "--set", "layers=conv2x1"]].concat(),
        &["\"job\"", "pixels"],
    );
}

#[test]
fn networks_are_quantised_and_used_as_any_model() {
    let folder = Folder::new("quantised");
    let data = folder.file("people.csv", people(&["age", "job", "member", "price", "class"]));
    let (price, class) = (folder.path("price.safetensors"), folder.path("class.safetensors"));
    let settings = ["--set", "hidden=128,64", "--set", "epochs=30", "--data", &data];
    for (target, other, out) in [("price", "class", &price), ("class", "price", &class)] {
        let train = ["train", "--model", "network", "--target", target, "--ignore", other, "--out", out];
        works(&[&train[..], &settings].concat());
    }
    let small = folder.path("small.safetensors");
    let quantise = |model: &str, data: &str, threads: &str| {
        works(&["quantise", "--model", model, "--data", data, "--out", &small, "--threads", threads])
    };
    let told = quantise(&price, &data, "1");
    for part in ["by 60 rows", "before", "after", "change", "RMSE", "R2", "file", "answers differ by"] {
        assert!(told.contains(part), "{part:?} is not in\n{told}");
    }
    let bytes = fs::read(&small).unwrap();
    assert!(2 * bytes.len() < fs::read(&price).unwrap().len(), "{told}");
    assert!(quantise(&price, &data, "3") == told && fs::read(&small).unwrap() == bytes);
    // The measure that was told is that of the new file.
    let measured = works(&["evaluate", "--model", &small, "--data", &data]);
    let number = |text: &str, column: usize| {
        let line = text.lines().find(|line| line.trim().starts_with("RMSE")).unwrap();
        line.split_whitespace().nth(column).unwrap().to_owned()
    };
    assert_eq!(number(&measured, 1), number(&told, 2));
    assert!(works(&["inspect", "--model", &small]).contains("weights of 8 bits"));
    // The same text on every set of instructions.
    let answers = works(&["predict", "--model", &small, "--data", &data]);
    for isa in Isa::available() {
        let args = ["predict", "--model", &small, "--data", &data];
        let output = Command::new(env!("CARGO_BIN_EXE_tilewise"))
            .args(args)
            .env("TILEWISE_ISA", isa.name())
            .output()
            .unwrap();
        assert_eq!(text(&output.stdout), answers, "{}", isa.name());
    }
    let told = quantise(&class, &data, "2");
    for part in ["log loss", "accuracy", "the class is the same in", "of 60 rows"] {
        assert!(told.contains(part), "{part:?} is not in\n{told}");
    }
    let answers = works(&["predict", "--model", &small, "--data", &data, "--proba"]);
    assert!(answers.starts_with("prediction,cheap,dear\n"), "{answers}");
    let bare = folder.file("bare.csv", people(&["member", "job", "age"]));
    fails(&["quantise", "--model", &class, "--data", &bare, "--out", &small], &["bare.csv", "\"class\""]);
    fails(
        &["quantise", "--model", &small, "--data", &data, "--out", &folder.path("again")],
        &["small.safetensors", "8 bits already"],
    );
    fails(&["export", "--model", &small, "--to", "onnx", "--out", &folder.path("m.onnx")], &["of 8 bits"]);
    fails(
        &["quantise", "--model", &class, "--data", &data, "--out", &class],
        &["--out is the file of --model"],
    );
    let tree = folder.path("tree.safetensors");
    works(&["train", "--model", "tree", "--target", "price", "--data", &data, "--out", &tree]);
    fails(
        &["quantise", "--model", &tree, "--data", &data, "--out", &small],
        &["tree.safetensors", "family \"tree\"", "that of network has"],
    );
}

#[test]
fn networks_of_onnx_are_used_as_any_model() {
    let folder = Folder::new("onnx");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/network/tests/golden/imported");
    let model = golden.join("rows.onnx").display().to_string();
    let (mut data, mut expected) = ("x0,x1,x2,x3,x4,x5,class\n".to_owned(), Vec::new());
    for line in fs::read_to_string(golden.join("answers.csv")).unwrap().lines() {
        if let Some(numbers) = line.strip_prefix("rows,") {
            let numbers: Vec<&str> = numbers.split(',').collect();
            data += &format!("{},{}\n", numbers[..6].join(","), expected.len() % 3);
            expected.push(numbers[6..].iter().map(|y| y.parse::<f64>().unwrap()).collect::<Vec<_>>());
        }
    }
    let data = folder.file("rows.csv", data);
    let predicted = |model: &str| works(&["predict", "--model", model, "--data", &data, "--proba"]);
    let answers = predicted(&model);
    assert!(answers.starts_with("prediction,0,1,2\n") && expected.len() == 6, "{answers}");
    for (line, theirs) in answers.lines().skip(1).zip(&expected) {
        let ours = line.split(',').skip(1).map(|y| y.parse::<f64>().unwrap());
        assert!(ours.zip(theirs).all(|(a, b)| (a - b).abs() < 1e-5), "{line}: {theirs:?}");
    }
    let told = works(&["inspect", "--model", &model]);
    for part in ["one of 3 classes: 0, 1, 2", "x5", "1: gelu", "residual", "read from a file of ONNX"] {
        assert!(told.contains(part), "{part:?} is not in\n{told}");
    }
    // As a file of ours with weights of 8 bits, and as ONNX again, with what comes before and behind.
    let small = folder.path("small.safetensors");
    let told = works(&["quantise", "--model", &model, "--data", &data, "--target", "class", "--out", &small]);
    assert!(told.contains("the class is the same in"), "{told}");
    assert!(predicted(&small).starts_with("prediction,0,1,2\n"));
    assert!(works(&["inspect", "--model", &small]).contains("weights of 8 bits"));
    let whole = folder.path("whole.onnx");
    works(&["export", "--model", &model, "--to", "onnx", "--out", &whole]);
    // That is read too, and answers the same.
    assert_eq!(predicted(&whole), answers);
    let told = works(&["inspect", "--model", &whole]);
    assert!(
        told.contains("one of 3 classes: 0, 1, 2") && told.contains("read from a file of ONNX"),
        "{told}"
    );
    // Several numbers.
    let images = golden.join("images.onnx").display().to_string();
    let names: Vec<String> = (0..112).map(|i| format!("x{i}")).collect();
    let zeros = folder.file("zeros.csv", format!("{}\n{}\n", names.join(","), vec!["0"; 112].join(",")));
    assert!(works(&["predict", "--model", &images, "--data", &zeros]).starts_with("y0,y1,y2\n"));
    let gone = folder.file("gone.csv", fs::read_to_string(&data).unwrap() + ",1,1,1,1,1,0\n");
    fails(&["predict", "--model", &model, "--data", &gone], &["gone.csv", "\"x0\"", "missing"]);
}

#[test]
fn networks_are_trained_further() {
    let folder = Folder::new("further");
    let data = folder.file("people.csv", people(&["age", "job", "member", "price"]));
    let (whole, more) = (folder.path("whole.safetensors"), folder.path("more.safetensors"));
    let args = |settings: &[&str], out: &str| {
        let args = ["train", "--model", "network", "--data", &data, "--target", "price", "-q", "--out", out];
        let sets = settings.iter().flat_map(|setting| ["--set", setting]);
        args.into_iter().chain(sets).map(String::from).collect::<Vec<String>>()
    };
    let run = |settings: &[&str], out: &str, further: &[&str]| {
        let args = args(settings, out);
        works(&args.iter().map(String::as_str).chain(further.iter().copied()).collect::<Vec<_>>())
    };
    let settings = ["epochs=6", "validation_fraction=0", "hidden=5"];
    run(&settings, &whole, &[]);
    // What is kept on the way is for going on; the last file has nothing of it.
    run(&settings, &more, &["--checkpoint-every", "2"]);
    assert!(fs::read(&whole).unwrap() == fs::read(&more).unwrap());
    run(&["epochs=2", "hidden=5"], &more, &["--continue", &whole]);
    assert!(works(&["inspect", "--model", &more]).contains("2 epochs are done"));
    let refused = |settings: &[&str], further: &[&str], parts: &[&str]| {
        let args = args(settings, &more);
        fails(&args.iter().map(String::as_str).chain(further.iter().copied()).collect::<Vec<_>>(), parts);
    };
    refused(&["hidden=6"], &["--continue", &whole], &["other layers", "dense, 5 outputs"]);
    refused(&[], &["--checkpoint-every", "2"], &["validation_fraction", "checkpoints"]);
    refused(&["optimiser=lbfgs", "momentum=0.5"], &[], &["momentum", "lbfgs", "leave it out"]);
    refused(&["max_evaluations=9"], &[], &["max_evaluations", "optimiser=lbfgs only"]);
}
