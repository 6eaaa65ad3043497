//! Files of other libraries that are damaged, made up, or hold what is not read: errors say what and where. Mutants of all files of
//! `tests/golden` are tried by `tests/fuzz_foreign.rs` of the workspace.

use crate::golden::folder;
use proptest::prelude::*;
use tilewise_gbdt::ForeignModel;

proptest! {
    #[test]
    fn bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), start in 0usize..6) {
        let starts: [&[u8]; 6] = [b"", b"tree\n", b"{\"learner\":", b"{L", b"CBM1", b"{\"features_info\":"];
        let bytes = [starts[start], &bytes].concat();
        let told = ForeignModel::parse(&bytes, "bytes").unwrap_err().to_string();
        prop_assert!(told.starts_with("bytes: ") && told.len() < 600, "{told}");
    }
}

/// What a file is refused for.
fn told(library: &str, file: &str, change: impl Fn(String) -> String) -> String {
    let text = std::fs::read_to_string(folder().join(library).join(file)).unwrap();
    let changed = change(text.clone());
    assert_ne!(text, changed);
    ForeignModel::parse(changed.as_bytes(), "m").unwrap_err().to_string()
}

#[test]
fn errors_name_line_and_field() {
    for (from, to, parts) in [
        ("version=v4", "version=v9", &["line 2", "version", "v9", "v4"][..]),
        ("num_leaves=6", "num_leaves=0", &["num_leaves", "line 13"]),
        ("num_leaves=6", "num_leaves=7000000000", &["leaf_value", "6 numbers where 7000000000"]),
        ("left_child=1", "left_child=99", &["left_child", "99", "6 leaves"]),
        ("left_child=1", "left_child=-99", &["left_child", "-99"]),
        ("left_child=1", "left_child=0", &["tree 0", "node 0 has two parents"]),
        ("split_feature=", "split_feature=7 ", &["split_feature", "6 numbers where 5"]),
        ("threshold=", "threshold=nan", &["threshold"]),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=3", &["line 4", "5 trees"]),
        ("max_feature_idx=4", "max_feature_idx=18446744073709551615", &["feature_names", "5 names"]),
        ("objective=regression", "objective=dreams", &["objective", "dreams"]),
        ("is_linear=0", "is_linear=1", &["is_linear", "linear models in leaves"]),
        ("end of trees", "", &["end of trees", "5 trees"]),
    ] {
        let message = told("lightgbm", "regression.txt", |text| text.replacen(from, to, 1));
        assert!(parts.iter().all(|part| message.contains(part)), "{from} -> {to}: {message}");
    }
    let shared = told("lightgbm", "categories.txt", |text| {
        text.replacen("threshold=0 -0.50499999999999989 1", "threshold=0 0.5 0", 1)
    });
    assert!(shared.contains("set 0 of categories is that of two splits"), "{shared}");
    let json = |text: String, pointer: &str, value: serde_json::Value| {
        let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
        *file.pointer_mut(pointer).unwrap() = value;
        file.to_string()
    };
    let tree = "/learner/gradient_booster/model/trees/0";
    let cases: [(String, serde_json::Value, &[&str]); 11] = [
        (format!("{tree}/left_children/0"), 99.into(), &["trees[0].left_children[0]", "99"]),
        (format!("{tree}/left_children/0"), 0.into(), &["tree 0", "two parents"]),
        (format!("{tree}/split_indices/0"), 5.into(), &["split_indices[0]", "5 features"]),
        (format!("{tree}/right_children"), vec![2, 4].into(), &["right_children", "2 items"]),
        (format!("{tree}/split_conditions/0"), "x".into(), &["invalid type", "column"]),
        ("/learner/gradient_booster/name".into(), "gblinear".into(), &["gradient_booster.name", "gblinear"]),
        ("/learner/learner_model_param/base_score".into(), "[1,x]".into(), &["base_score", "x"]),
        (
            "/learner/learner_model_param/num_feature".into(),
            "1000000000000".into(),
            &["num_feature", "65536"],
        ),
        ("/learner/learner_model_param/num_class".into(), "1000000000000".into(), &["1000000000000 scores"]),
        ("/learner/objective/name".into(), "dreams".into(), &["objective.name", "dreams"]),
        (format!("{tree}/tree_param/size_leaf_vector"), "7".into(), &["size_leaf_vector", "7"]),
    ];
    for (pointer, value, parts) in cases {
        let message = told("xgboost", "reg-squarederror.json", |text| json(text, &pointer, value.clone()));
        assert!(parts.iter().all(|part| message.contains(part)), "{pointer}: {message}");
    }
    let cases: [(&str, serde_json::Value, &[&str]); 5] = [
        (
            "/oblivious_trees/0/leaf_values",
            vec![1.0, 2.0].into(),
            &["oblivious_trees[0]", "leaf_values has 2"],
        ),
        ("/oblivious_trees/0/splits/0/float_feature_index", 9.into(), &["float_feature_index 9"]),
        (
            "/oblivious_trees/0/splits/0/split_type",
            "OnlineCtr".into(),
            &["OnlineCtr", "FloatFeature and OneHotFeature"],
        ),
        (
            "/features_info/float_features/0/nan_value_treatment",
            "Odd".into(),
            &["nan_value_treatment", "Odd"],
        ),
        ("/model_info/params/loss_function/type", "Dreams".into(), &["loss_function", "Dreams"]),
    ];
    for (pointer, value, parts) in cases {
        let message = told("catboost", "rmse.json", |text| json(text, pointer, value.clone()));
        assert!(parts.iter().all(|part| message.contains(part)), "{pointer}: {message}");
    }
}

#[test]
fn what_is_not_read_is_refused_by_name() {
    let refused = |path: &str| ForeignModel::load(folder().join(path)).unwrap_err().to_string();
    for (path, part) in [
        ("lightgbm/linear.txt", "is_linear"),
        ("catboost/ctr.json", "OnlineCtr"),
        ("catboost/no-texts.json", "pool="),
        ("catboost/uncertainty.json", "RMSEWithUncertainty"),
    ] {
        let message = refused(path);
        assert!(message.contains(part) && message.contains(path), "{message}");
    }
    for (bytes, part) in [
        (&b"CBM1...................."[..], "format=\"json\""),
        (b"binf....................", "XGBoost's binary"),
        (br#"{"name":"tree","version":"v4","tree_info":[]}"#, "LightGBM dumps"),
        (br#"{"some":"thing"}"#, "JSON, but not"),
    ] {
        let message = ForeignModel::parse(bytes, "m").unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
}
