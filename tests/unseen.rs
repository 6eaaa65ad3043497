//! Categories that training did not see, from the command line to predictions, the server and model files: the policy is part of
//! the model, and every way to a prediction obeys it.

use crate::binary::{Folder, Server, tilewise, works};
use crate::surgery::Parts;
use std::fs;
use tilewise_base::model::UNSEEN;
use tilewise_base::{Model, Unseen};
use tilewise_kernels::{MatMut, MatRef};

/// Families, and what else they are given.
const FAMILIES: [(&str, &[&str]); 8] = [
    ("tree", &["--target", "y"]),
    ("tree", &["--target", "y", "--set", "growth=oblivious", "--set", "max_depth=3"]),
    ("forest", &["--target", "y", "--set", "trees=7"]),
    ("extra-trees", &["--target", "y", "--set", "trees=7"]),
    ("forest", &["--target", "y", "--set", "trees=7", "--set", "quantiles=0.5"]),
    ("isolation-forest", &["--ignore", "y", "--set", "subsample=120"]),
    ("gbdt", &["--target", "y", "--set", "stages=7"]),
    ("gbdt", &["--target", "y", "--set", "stages=7", "--set", "growth=oblivious", "--set", "max_depth=3"]),
];

/// More than half of the rows are red, wherever they lie; green is like blue, and missing is like nothing else.
fn table() -> String {
    let colour = |i: usize| ["red", "blue", "red", "green", "red", "", "red"][i % 7];
    let mut text = String::from("size,colour,y\n");
    for i in 0..210 {
        let (size, y) = (i * 31 % 97, if colour(i) == "red" { 10 } else { i % 3 });
        let y = if colour(i).is_empty() { 50 } else { y };
        text += &format!("{size},{},{y}\n", colour(i));
    }
    text
}

/// Rows of one size: a category that is known, one that is not, nothing.
const ROWS: &str = "colour,size\nred,40\nteal,40\n,40\nred,40\n";

struct Trained {
    folder: Folder,
}

impl Trained {
    fn new(family: &str, policy: &[&str], others: &[&str]) -> Self {
        let folder = Folder::new(&format!("unseen-{family}-{}{}", policy.concat(), others.concat()));
        fs::write(folder.path("t.csv"), table()).unwrap();
        fs::write(folder.path("rows.csv"), ROWS).unwrap();
        let (data, out) = (folder.path("t.csv"), folder.path("m.safetensors"));
        works(
            &[&["train", "--model", family, "--data", &data, "--out", &out, "--quiet"], policy, others]
                .concat(),
        );
        Self { folder }
    }
    fn model(&self) -> String {
        self.folder.path("m.safetensors")
    }
    /// What is predicted for each of the rows.
    fn answers(&self) -> Vec<String> {
        let told = works(&["predict", "--model", &self.model(), "--data", &self.folder.path("rows.csv")]);
        told.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect()
    }
}

#[test]
fn every_way_to_a_prediction_obeys_the_policy() {
    for (family, others) in FAMILIES {
        for policy in ["missing", "majority"] {
            let trained = Trained::new(family, &["--unseen", policy], others);
            let answers = trained.answers();
            let [red, teal, nothing, again] = &answers[..] else { panic!("four rows: {answers:?}") };
            assert!(red == again && red != nothing, "{family} {answers:?}");
            assert_eq!(teal, if policy == "majority" { red } else { nothing }, "{family} {policy}");
            let told = works(&["inspect", "--model", &trained.model()]);
            assert!(told.contains(&format!("unseen={policy}")), "{told}");
            let server = Server::start(&trained.model());
            let of = |reply: String| {
                let reply: serde_json::Value = serde_json::from_str(&reply).unwrap();
                reply["prediction"].as_f64().unwrap_or_else(|| panic!("{family}: {reply}"))
            };
            let teal_served = of(server.predict(r#"{"colour":"teal","size":40}"#));
            let like = if policy == "majority" { "\"red\"" } else { "null" };
            assert_eq!(
                teal_served,
                of(server.predict(&format!(r#"{{"colour":{like},"size":40}}"#))),
                "{family}"
            );
        }
    }
}

#[test]
fn a_strict_model_refuses_by_row_column_and_text() {
    let accepted = r#"accepted are "blue", "green", "red" and missing values"#;
    for (family, others) in FAMILIES {
        let trained = Trained::new(family, &["--unseen", "error"], others);
        let (model, rows) = (trained.model(), trained.folder.path("rows.csv"));
        let refuses = |arguments: &[&str]| {
            let output = tilewise(arguments);
            let told = String::from_utf8(output.stderr).unwrap();
            let named = told.contains("\"teal\"") && told.contains("colour") && told.contains(accepted);
            // The third line of the file, whose first is the header.
            assert!(!output.status.success() && named && told.contains("row 2"), "{family}: {told}");
        };
        refuses(&["predict", "--model", &model, "--data", &rows]);
        if family != "isolation-forest" && !others.contains(&"quantiles=0.5") {
            refuses(&["explain", "--model", &model, "--data", &rows]);
        }
        if family == "tree" {
            refuses(&["explain", "--path", "--model", &model, "--data", &rows]);
        }
        assert!(works(&["inspect", "--model", &model]).contains("are refused (unseen=error)"));
        let server = Server::start(&model);
        let (status, told) = server.post(r#"[{"colour":"red","size":1},{"colour":"teal","size":40}]"#);
        assert_eq!(status, 400);
        let told = told.replace("\\\"", "\"");
        assert!(told.contains("row 2: column \"colour\": \"teal\"") && told.contains(accepted), "{told}");
        assert_eq!(server.post(r#"{"colour":null,"size":40}"#).0, 200);
        let tensors = |text: &str| {
            format!(
                r#"{{"inputs":[{{"name":"size","shape":[2],"datatype":"FP64","data":[1,2]}},
                {{"name":"colour","shape":[2],"datatype":"BYTES","data":["red","{text}"]}}]}}"#
            )
        };
        let (status, told) = server.post_to("/v2/models/m/infer", &tensors("teal"));
        assert!(status == 400 && told.contains("row 2") && told.contains("teal"), "{status} {told}");
        assert_eq!(server.post_to("/v2/models/m/infer", &tensors("red")).0, 200);

        // Rows of cells, whose texts nobody knows.
        let model = tilewise_models::load(&model).unwrap();
        let predict = |colour: f64| predict(&*model, &[1.0, 0.0, 2.0, colour]);
        assert!(predict(f64::NAN).is_ok() && predict(2.0).is_ok());
        for colour in [UNSEEN, 3.0] {
            let told = predict(colour).unwrap_err().to_string();
            assert!(
                told.contains("row 2, column \"colour\": the category") && told.contains(accepted),
                "{told}"
            );
        }
    }
    let folder = Folder::new("unseen-words");
    fs::write(folder.path("t.csv"), table()).unwrap();
    let data = folder.path("t.csv");
    for (family, policy, named) in
        [("tree", "other", "missing, majority or error"), ("linear", "error", "no such parameter")]
    {
        let output =
            tilewise(&["train", "--model", family, "--data", &data, "--target", "y", "--unseen", policy]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && told.contains("unseen") && told.contains(named), "{told}");
    }
}

fn predict(model: &dyn Model, cells: &[f64]) -> tilewise_base::Result<Vec<f64>> {
    let rows = cells.len() / model.inputs().len();
    let mut out = vec![0.0; rows * model.outputs()];
    let cells = MatRef::new(cells, rows, model.inputs().len())?;
    model.predict(cells, None, MatMut::new(&mut out, rows, model.outputs())?)?;
    Ok(out)
}

#[test]
fn a_category_of_the_rows_held_out_alone_is_unseen_too() {
    // The only rows of "rare" are held out, so the dictionary has what training did not see.
    let folder = Folder::new("unseen-held-out");
    let mut text = String::from("colour,weight,y\n");
    (0..60).for_each(|i| text += &format!("{},1,{}\n", ["red", "blue", "red"][i % 3], i % 2));
    text += "rare,0,1\n";
    let (data, out) = (folder.path("t.csv"), folder.path("m.safetensors"));
    fs::write(&data, text).unwrap();
    let arguments =
        ["--data", &data, "--target", "y", "--weight", "weight", "--out", &out, "--unseen", "error"];
    let output = tilewise(&[&["train", "--model", "tree", "--quiet"][..], &arguments].concat());
    // The model is there; that it cannot be measured on all rows is told.
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("row 61") && told.contains("\"rare\"") && told.contains(r#""blue", "red""#),
        "{told}"
    );
    let model = tilewise_models::load(&out).unwrap();
    assert!(model.unseen() == Unseen::Error && model.saw(0, 0) && !model.saw(0, 1) && model.saw(0, 2));
    assert!(predict(&*model, &[2.0]).is_ok());
    assert!(predict(&*model, &[1.0]).unwrap_err().to_string().contains("\"rare\""));
}

#[test]
fn the_text_and_the_path_of_a_tree_know_the_policy() {
    // Red alone is high, and most of the weight; the one row of amber has none, so the dictionary has a colour that no tree saw.
    let folder = Folder::new("unseen-told");
    let mut text = String::from("colour,weight,y\namber,0,5\n");
    (0..100).for_each(|i| {
        text += &format!("{}\n", ["red,1,10", "red,1,10", "red,1,10", "blue,1,0", ",1,0"][i % 5])
    });
    let (data, rows) = (folder.path("t.csv"), folder.path("rows.csv"));
    fs::write(&data, text).unwrap();
    fs::write(&rows, "colour\namber\nteal\n\"\"\nred\nblue\n").unwrap();
    let from = ["--data", &data, "--target", "y", "--weight", "weight", "--quiet"];
    for (policy, beside, ways, unseen) in [
        ("majority", ", unseen right", ["yes, missing", "no, unseen"], "right, with the majority"),
        ("missing", "", ["yes, missing", "no"], "left, where missing values go"),
    ] {
        let out = folder.path("m.safetensors");
        works(&[&["train", "--model", "tree", "--out", &out, "--unseen", policy][..], &from].concat());
        let told = works(&["inspect", "--model", &out, "--text"]);
        assert!(
            told.contains(&format!("  colour in {{\"blue\"}}, missing left{beside} (100 rows)")),
            "{told}"
        );
        let dot = works(&["inspect", "--model", &out, "--dot", "-"]);
        let [yes, no] = ways.map(|way| dot.contains(&format!("[label=\"{way}\"]")));
        assert!(yes && no, "{dot}");
        let picture = works(&["inspect", "--model", &out, "--svg", "-"]);
        assert!(ways.iter().all(|way| picture.contains(&format!(">{way}<"))), "{picture}");

        let told = works(&["explain", "--path", "--model", &out, "--data", &rows]);
        let first: Vec<&str> = told.lines().filter(|line| line.contains("colour")).map(str::trim).collect();
        let expected = [
            &format!("colour = \"amber\" was not in training: {unseen}"),
            &format!("colour is a category that was not in training: {unseen}"),
            "colour is missing: left, where missing values go",
            "colour = \"red\" is not in {\"blue\"}: right",
            "colour = \"blue\" is in {\"blue\"}: left",
        ];
        assert_eq!(first, expected);
        // The leaf is the one that predictions come from.
        let leaves: Vec<&str> = told.lines().filter_map(|line| line.trim().strip_prefix("leaf: ")).collect();
        let high = if policy == "majority" { "10 (60 rows)" } else { "0 (40 rows)" };
        assert_eq!(leaves, [high, high, "0 (40 rows)", "10 (60 rows)", "0 (40 rows)"]);
    }
}

#[test]
fn a_file_that_names_no_policy_loads_as_missing() {
    for (family, others) in FAMILIES {
        let trained = Trained::new(family, &[], others);
        let bytes = fs::read(trained.model()).unwrap();
        let mut parts = Parts::of(&bytes);
        let params = &mut parts.metadata["params"];
        let tree = if params.get("tree").is_some() { &mut params["tree"] } else { params };
        assert_eq!(tree.as_object_mut().unwrap().remove("unseen").unwrap(), "missing");
        let old = tilewise_models::load_bytes(&parts.to_bytes()).unwrap();
        assert_eq!(old.unseen(), Unseen::Missing);
        let cells = [1.0, UNSEEN, 40.0, f64::NAN, 40.0, 2.0];
        let same = tilewise_models::load_bytes(&bytes).unwrap();
        assert_eq!(predict(&*old, &cells).unwrap(), predict(&*same, &cells).unwrap());
    }
}
