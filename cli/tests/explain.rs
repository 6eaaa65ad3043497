//! What models learned and why they answer as they do, as a person asks: explanations, trees as text and pictures, pruning.

#[path = "support/run.rs"]
mod run;

use run::{Folder, fails, people, text, tilewise, works};
use std::fs;

const ORDER: &[&str] = &["age", "job", "member", "price", "class"];

/// Trains on the people; `more` are further arguments.
fn train(folder: &Folder, model: &str, target: &str, more: &[&str]) -> String {
    let data = folder.file("people.csv", people(ORDER));
    let out = folder.path(&format!("{model}-{target}.safetensors"));
    let ignored = if target == "class" { "price" } else { "class" };
    let args =
        ["train", "--model", model, "--data", &data, "--target", target, "--ignore", ignored, "--out", &out];
    works(&[&args, more].concat());
    out
}

/// The lines of CSV without quotes, by columns.
fn cells(csv: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let mut lines = csv.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    (lines.next().unwrap(), lines.collect())
}

#[test]
fn contributions_sum_to_the_prediction() {
    let folder = Folder::new("contributions");
    let data = folder.file("people.csv", people(ORDER));
    for (family, target, more) in [
        ("tree", "class", &[][..]),
        ("tree", "price", &["--set", "max_depth=3"]),
        ("forest", "class", &["--set", "trees=7"]),
        ("forest", "price", &["--set", "trees=5"]),
    ] {
        let model = train(&folder, family, target, more);
        let csv = works(&["explain", "--model", &model, "--data", &data, "--rows", "11"]);
        assert_eq!(
            csv,
            works(&["explain", "--model", &model, "--data", &data, "--rows", "11", "--threads", "3"])
        );
        let (names, lines) = cells(&csv);
        let classes: &[&str] = if target == "class" { &["cheap", "dear"] } else { &[] };
        let class: &[&str] = if target == "class" { &["class"] } else { &[] };
        assert_eq!(names, [&["row"], class, &["base", "age", "job", "member", "prediction"]].concat());
        let outputs = classes.len().max(1);
        assert_eq!(lines.len(), 11 * outputs);
        let answers = works(
            &["predict", "--model", &model, "--data", &data, "--proba"].as_slice()
                [..if outputs > 1 { 6 } else { 5 }],
        );
        let (_, answers) = cells(&answers);
        for (at, line) in lines.iter().enumerate() {
            let (row, output) = (at / outputs, at % outputs);
            assert_eq!(line[0], (row + 1).to_string());
            assert!(classes.is_empty() || line[1] == classes[output]);
            let numbers: Vec<f64> =
                line[1 + class.len()..].iter().map(|cell| cell.parse().unwrap()).collect();
            let (prediction, parts) = numbers.split_last().unwrap();
            assert!((parts.iter().sum::<f64>() - prediction).abs() < 1e-9, "{line:?}");
            assert_eq!(*prediction, answers[row][class.len() + output].parse::<f64>().unwrap());
        }
        // Who earns what depends on the age.
        let age = names.iter().position(|name| name == "age").unwrap();
        assert!(lines.iter().any(|line| line[age].parse::<f64>().unwrap().abs() > 0.1));
    }
}

#[test]
fn what_columns_add_together_sums_to_what_each_adds() {
    let folder = Folder::new("together");
    let data = folder.file("people.csv", people(ORDER));
    let few = ["--set", "min_samples_leaf=3", "--set", "stages=9"];
    for (family, target, more) in [
        ("tree", "class", &[][..]),
        ("forest", "price", &["--set", "trees=5"]),
        ("gbdt", "price", &few),
        ("gbdt", "class", &few),
    ] {
        let model = train(&folder, family, target, more);
        let asked = ["explain", "--model", &model, "--data", &data, "--rows", "4"];
        let (plain_names, plain) = cells(&works(&asked));
        let csv = works(&[&asked[..], &["--interactions", "--threads", "3"]].concat());
        let (names, lines) = cells(&csv);
        let class: &[&str] = if target == "class" { &["class"] } else { &[] };
        assert_eq!(names, [&["row"], class, &["column", "age", "job", "member", "sum"]].concat());
        let (first, outputs) = (class.len() + 2, class.len() + 1);
        assert_eq!(lines.len(), 4 * outputs * 3);
        let number = |cell: &str| cell.parse::<f64>().unwrap();
        let mut together = 0.0_f64;
        for (at, line) in lines.iter().enumerate() {
            let (of_row, i) = (at / 3, at % 3);
            assert_eq!(line[..class.len() + 1], plain[of_row][..class.len() + 1]);
            assert_eq!(line[first - 1], ["age", "job", "member"][i]);
            let of_column = plain_names.iter().position(|name| *name == line[first - 1]).unwrap();
            let adds = number(&plain[of_row][of_column]);
            let sum: f64 = (0..3).map(|j| number(&line[first + j])).sum();
            assert!((sum - adds).abs() < 1e-9 && (number(&line[first + 3]) - adds).abs() < 1e-9, "{line:?}");
            for j in (0..3).filter(|&j| j != i) {
                // Each of two has half.
                assert_eq!(line[first + j], lines[of_row * 3 + j][first + i]);
                together = together.max(number(&line[first + j]).abs());
            }
        }
        assert!(together > 1e-3, "{family} {target}: {together}");
    }
    let line = train(&folder, "linear", "price", &[]);
    let data = ["--data", &data, "--interactions"];
    fails(&[&["explain", "--model", &line], &data[..]].concat(), &["linear", "what inputs add together"]);
}

#[test]
fn explanations_go_to_files_and_keep_names_apart() {
    let folder = Folder::new("explained");
    // A column with the name of one of the answer's.
    let data = folder.file("base.csv", "base,x,y\n1,5,1\n2,5,2\n3,6,9\n4,6,10\n");
    let (model, why) = (folder.path("m.safetensors"), folder.path("why.csv"));
    works(&["train", "--model", "tree", "--data", &data, "--target", "y", "--out", &model]);
    works(&["explain", "--model", &model, "--data", &data, "--out", &why]);
    let written = fs::read_to_string(&why).unwrap();
    assert!(written.starts_with("row,base,base (column),x,prediction\n1,5.5,"), "{written}");
    fails(&["explain", "--model", &model, "--data", &data, "--out", &data], &["--data", "would be lost"]);
    let other = folder.file("other.csv", "x\n1\n");
    fails(&["explain", "--model", &model, "--data", &other], &["other.csv", "\"base\"", "missing"]);
    assert_eq!(folder.names(), ["base.csv", "m.safetensors", "other.csv", "why.csv"]);
    // The new name is that of a column too.
    let taken = folder.file("taken.csv", "row,row (column),y\n1,5,1\n2,5,2\n3,6,9\n4,6,10\n");
    works(&["train", "--model", "tree", "--data", &taken, "--target", "y", "--out", &model]);
    let csv = works(&["explain", "--model", &model, "--data", &taken]);
    assert!(csv.starts_with("row,base,row (column) (column),row (column),prediction\n1,5.5,"), "{csv}");
}

#[test]
fn a_training_is_shown_on_a_page() {
    let folder = Folder::new("page");
    let data = folder.file("people.csv", people(ORDER));
    let page = folder.path("page.html");
    let report = |family: &str, target: &str, more: &[&str]| {
        let ignored = if target == "class" { "price" } else { "class" };
        let args = [
            "train", "--model", family, "--data", &data, "--target", target, "--ignore", ignored, "--report",
        ];
        let printed = works(&[&args[..], &[page.as_str()], more].concat());
        (printed, fs::read_to_string(&page).unwrap())
    };
    let few = ["--set", "min_samples_leaf=3", "--set", "stages=600"];
    let stop = ["--set", "early_stopping=7", "--set", "validation=0.3", "--test-fraction", "0.25"];
    let (printed, html) = report("gbdt", "class", &[few, [stop[0], stop[1], stop[2], stop[3]]].concat());
    assert!(html.starts_with("<!doctype html>") && !html.contains("NaN"), "{html}");
    // The ring is where the fit says that the least loss was.
    let best = printed.split("after stage ").nth(1).unwrap().split(';').next().unwrap();
    assert!(html.contains(&format!(">least, after {best}</text>")), "{best}");
    let kept: usize = best.parse().unwrap();
    assert!(kept < 600 && html.matches("<circle class=\"ring\"").count() == 2);
    for part in ["rows learned from", "rows held out", ">age</text>", "called dear", "on the training rows"] {
        assert!(html.contains(part), "{part} is missing");
    }
    let (_, html) = report("gbdt", "price", &[few, [stop[4], stop[5], "--seed", "1"]].concat());
    assert!(html.contains("answer less the prediction") && html.contains("on 15 rows held out"));
    assert!(!html.contains("least, after") && html.contains("rows learned from"));
    // A forest has no stages, a line no importances either.
    let (_, html) = report("forest", "class", &["--set", "trees=3"]);
    assert!(!html.contains("rows learned from") && html.contains(">job</text>"));
    let (_, html) = report("linear", "price", &[]);
    assert!(!html.contains("Importance of columns") && html.contains("<td>R2</td>"), "{html}");
    for part in [
        "Residuals against predictions",
        "Normal Q-Q",
        "Scale-location",
        ">residual of price<",
        ">predicted price<",
    ] {
        assert!(html.contains(part), "{part} is missing");
    }
    fails(
        &["train", "--model", "tree", "--data", &data, "--target", "price", "--report", &data],
        &["--report", "--data", "would be lost"],
    );
    fails(
        &[
            "train", "--model", "tree", "--data", &data, "--target", "price", "--out", &page, "--report",
            &page,
        ],
        &["page.html", "--out and --report"],
    );
}

#[test]
fn a_penalty_and_residuals_are_shown_on_a_page() {
    let folder = Folder::new("penalty");
    let data = folder.file("people.csv", people(ORDER));
    let page = folder.path("page.html");
    let report = |data: &str, family: &str, target: &str, more: &[&str]| {
        let args = ["train", "--model", family, "--data", data, "--target", target, "--report", &page];
        let printed = works(&[&args[..], more].concat());
        let html = fs::read_to_string(&page).unwrap();
        assert!(!html.contains("NaN") && !html.contains("inf\""), "{html}");
        // The same bytes again, but for the time that it took.
        works(&[&args[..], more, &["--threads", "3"]].concat());
        let body = |html: &str| html.split_once("How good it is").unwrap().1.to_owned();
        assert_eq!(body(&html), body(&fs::read_to_string(&page).unwrap()));
        (printed, html)
    };
    let ignore = ["--ignore", "class"];
    let (printed, html) = report(&data, "lasso", "price", &ignore);
    let chosen: f64 = printed.split("alpha ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let drawn = html.split(">alpha ").nth(1).unwrap().split(", chosen by 5 folds<").next().unwrap();
    assert!((drawn.parse::<f64>().unwrap() / chosen - 1.0).abs() < 1e-3, "{drawn} {chosen}");
    // Only columns that come in have lines.
    for part in [
        "What the penalty does",
        ">age<",
        ">job=nurse<",
        ">coefficient, standardised<",
        "choose=one-standard-error",
    ] {
        assert!(html.contains(part), "{part} is missing");
    }
    // A mean and a bar for each of a hundred weights.
    assert_eq!(html.matches("<title>alpha ").count(), 100);
    let given = ["--set", "alpha=0.3", "--set", "standardise=false"];
    let (_, html) =
        report(&data, "elastic-net", "price", &[ignore, [given[0], given[1]], [given[2], given[3]]].concat());
    assert!(html.contains(">alpha 0.3, as given<") && html.contains(">coefficient per unit<"));
    assert!(!html.contains("on rows left out") && html.matches("<title>alpha ").count() == 0);
    let (_, html) = report(&data, "ridge", "price", &ignore);
    assert!(!html.contains("What the penalty does"));
    // Names that would break a page, numbers that have nothing to do with each other.
    let long = "x".repeat(300);
    let mut csv = format!("\"<b>&\"\"'\",{long},\"</svg><script>\"\n");
    (0..40).for_each(|i| csv += &format!("{},{},{}\n", i * 7 % 11, i * i % 13, 1 + i * 5 % 17));
    let hostile = folder.file("hostile.csv", csv);
    for family in ["lasso", "poisson"] {
        let cv = ["--set", "alpha=cv", "--set", "alpha_ratio=1e-2"];
        let (_, html) = report(&hostile, family, "</svg><script>", &cv);
        assert!(
            !html.contains("<script") && !html.contains("<b>&") && html.contains("&lt;b&gt;&amp;"),
            "{html}"
        );
        assert!(html.contains("predicted &lt;/svg&gt;&lt;script&gt;") && html.contains("xxx…"), "{html}");
        assert_eq!(html.contains("deviance residual"), family == "poisson");
    }
    // Nothing comes in at so large a weight; rows held out are one.
    let one = ["--set", "alpha=1000", "--test-fraction", "0.02"];
    let (_, html) = report(&hostile, "lasso", "</svg><script>", &one);
    assert!(
        html.contains("Residuals against")
            && !html.contains("Normal Q-Q")
            && html.contains("on 1 row held out")
    );
    // A quantile has residuals, which are not normal around it.
    let (_, html) = report(&data, "quantile", "price", &[&ignore[..], &["--set", "quantile=0.9"]].concat());
    assert!(html.contains("Residuals against predictions") && !html.contains("Normal Q-Q"));
    // Weights: a row of none is not drawn.
    let mut csv = "x,w,y\n".to_owned();
    (0..30).for_each(|i| csv += &format!("{i},{},{}\n", u8::from(i != 7), i * 3 + i % 4));
    let weighted = folder.file("weighted.csv", csv);
    let (_, html) = report(&weighted, "linear", "y", &["--weight", "w"]);
    assert_eq!(html.matches("<title>predicted ").count(), 3 * 29);
}

#[test]
fn the_way_of_a_row_is_told_in_words() {
    let folder = Folder::new("way");
    let model = train(&folder, "tree", "class", &[]);
    let asked = folder.file("asked.csv", "age,job,member\n22,clerk,true\n,smith,false\n60,pilot,\n");
    let output = tilewise(&["explain", "--model", &model, "--data", &asked, "--path"]);
    let told = text(&output.stdout);
    assert!(
        text(&output.stderr).contains("warning: column \"job\": 1 row holds a value")
            && output.status.success()
    );
    let rows: Vec<&str> = told.split("row ").skip(1).collect();
    assert!(rows.len() == 3 && told.matches("  leaf: \"").count() == 3, "{told}");
    assert!(rows[0].starts_with("1\n  ") && rows[0].contains("age = 22 <= "), "{told}");
    assert!(rows[1].contains("age is missing: ") && rows[1].contains("where missing values go"), "{told}");
    // Each says what predict says.
    let answers = works(&["predict", "--model", &model, "--data", &asked]);
    for (row, answer) in rows.iter().zip(answers.lines().skip(1)) {
        assert!(row.contains(&format!("leaf: {answer:?}")), "{row} {answer}");
    }
    let out = folder.path("way.txt");
    works(&["explain", "--model", &model, "--data", &asked, "--path", "--rows", "1", "--out", &out]);
    assert_eq!(fs::read_to_string(out).unwrap(), format!("row {}", rows[0]));
}

#[test]
fn families_that_cannot_tell_say_so() {
    let folder = Folder::new("cannot");
    let data = folder.file("people.csv", people(ORDER));
    let (ridge, forest) =
        (train(&folder, "ridge", "price", &[]), train(&folder, "forest", "price", &["--set", "trees=3"]));
    fails(
        &["explain", "--model", &ridge, "--data", &data],
        &["ridge-price", "family \"ridge\"", "each input adds"],
    );
    fails(
        &["explain", "--model", &forest, "--data", &data, "--path"],
        &["family \"forest\"", "a single tree does"],
    );
    let svg = folder.path("no.svg");
    fails(&["inspect", "--model", &ridge, "--svg", &svg], &["family \"ridge\"", "no tree to show"]);
    fails(&["inspect", "--model", &ridge, "--importances", &svg], &["family \"ridge\"", "no importances"]);
    fails(&["inspect", "--model", &forest, "--text", "--tree", "4"], &["forest-price", "has 3 trees"]);
    fails(&["inspect", "--model", &forest, "--svg", &forest], &["--model", "would be lost"]);
    assert_eq!(tilewise(&["inspect", "--model", &forest, "--text", "--tree", "0"]).status.code(), Some(2));
    assert!(!folder.names().contains(&"no.svg".to_owned()));
}

#[test]
fn a_tree_is_shown_as_text_and_pictures() {
    let folder = Folder::new("pictures");
    let model = train(&folder, "tree", "class", &[]);
    let whole = works(&["inspect", "--model", &model]);
    let tree = works(&["inspect", "--model", &model, "--text"]);
    let (title, tree) = tree.split_once('\n').unwrap();
    assert!(title.starts_with("class, by a tree with ") && title.ends_with(" leaves"), "{title}");
    // Both are the same tree in the same words.
    assert!(whole.ends_with(tree), "{whole}{tree}");
    let lines = tree.lines().count();
    let short = works(&["inspect", "--model", &model, "--text", "--depth", "1"]);
    assert!(short.lines().count() < lines && short.contains("nodes more, \""), "{short}");

    let (svg, dot) = (folder.path("tree.svg"), folder.path("tree.dot"));
    let told = tilewise(&["inspect", "--model", &model, "--svg", &svg, "--dot", &dot, "--depth", "2"]);
    assert!(told.status.success() && told.stdout.is_empty());
    assert!(text(&told.stderr).contains("tree.svg") && text(&told.stderr).contains("tree.dot"));
    let (svg, dot) = (fs::read_to_string(svg).unwrap(), fs::read_to_string(dot).unwrap());
    assert!(svg.starts_with("<svg ") && svg.contains(">cheap</text>") && svg.contains(">dear</text>"));
    assert!(svg.contains(">age ≤ ") && svg.contains(">60 rows</text>") && svg.contains(" more</text>"));
    // A box and a curve for each node but the root.
    let boxes = svg.matches("class=\"panel\"").count();
    assert_eq!(svg.matches("class=\"way\"").count(), boxes - 1);
    assert!(dot.starts_with("digraph tree {\n") && dot.ends_with("}\n"));
    assert_eq!(
        (dot.matches("[label=\"").count() - boxes, dot.matches(" -> ").count()),
        (boxes - 1, boxes - 1)
    );
    // Graphviz needs quotes inside quotes to be escaped.
    assert!(
        dot.contains("\\\"cheap\\\" ")
            && works(&["inspect", "--model", &model, "--dot", "-", "--depth", "2"]) == dot
    );
}

#[test]
fn trees_of_a_forest_and_importances_are_drawn() {
    let folder = Folder::new("drawn");
    let model = train(&folder, "forest", "price", &["--set", "trees=3"]);
    let tree = |k: &str| works(&["inspect", "--model", &model, "--text", "--tree", k]);
    assert!(tree("1").starts_with("price, by tree 1 of a forest with ") && tree("1") != tree("3"));
    let svg = works(&["inspect", "--model", &model, "--svg", "-", "--tree", "2"]);
    assert!(svg.contains("tree 2 of a forest") && svg.contains("the number predicted, from "));
    let bars = works(&["inspect", "--model", &model, "--importances", "-"]);
    let places: Vec<usize> =
        ["age", "job", "member"].map(|name| bars.find(&format!(">{name}</text>")).unwrap()).to_vec();
    assert!(places[0] < places[2] && bars.contains("share of what all splits gained"), "{bars}");
}

#[test]
fn a_price_of_leaves_prunes() {
    let folder = Folder::new("pruned");
    let leaves = |family: &str, alpha: &str| -> usize {
        let model = train(&folder, family, "price", &["--set", &format!("ccp_alpha={alpha}")]);
        works(&["inspect", "--model", &model])
            .split(" leaves")
            .next()
            .unwrap()
            .rsplit(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    for family in ["tree", "forest"] {
        let (whole, some, one) = (leaves(family, "0"), leaves(family, "0.5"), leaves(family, "1e9"));
        assert!(whole > 2 * some && some > one, "{family}: {whole} {some} {one}");
        assert_eq!(one, if family == "tree" { 1 } else { 100 });
    }
    let data = folder.file("people.csv", people(ORDER));
    let out = folder.path("m.safetensors");
    let args = ["train", "--model", "tree", "--data", &data, "--target", "price", "--out", &out, "--set"];
    fails(&[&args[..], &["ccp_alpha=-1"]].concat(), &["ccp_alpha", "-1", "0 or more"]);
}

#[test]
fn help_has_examples() {
    for command in ["explain", "inspect"] {
        let help = works(&[command, "--help"]);
        assert!(
            help.contains("Examples:") && help.contains(&format!("tilewise {command} --model")),
            "{help}"
        );
    }
}
