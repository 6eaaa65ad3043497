//! What comes back is what the model says in this process.

use crate::client::{Client, serve, serve_one};
use crate::models::{answers, logistic, mixed, moody, outputs, quantiles, scores, shifted, undecided};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;
use tilewise_base::model::UNSEEN;
use tilewise_server::Config;

const NAN: f64 = f64::NAN;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap_or(NAN)).collect()
}

fn bits(x: &[f64]) -> Vec<u64> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Deterministic cells with all digits.
fn cells(count: usize) -> Vec<f64> {
    (0..count).map(|i| ((i as f64 * 0.7548776662466927).fract() - 0.5) * 3.0).collect()
}

#[test]
fn a_row_by_name_by_position_wrapped_or_bare() {
    let (_server, mut client) = serve_one(mixed());
    for (body, expected) in [
        (r#"{"age": 41.5, "colour": "red", "member": true}"#, 41.5 + 20.0 + 100.0),
        (r#" { "member" : false , "colour":"blue","age":-1e1 } "#, -10.0),
        (r#"{"age":null,"colour":null,"member":null}"#, 1000.0 + 2000.0 + 4000.0),
        (r#"{"age":1,"colour":"never seen","member":1}"#, 1.0 + 10.0 * UNSEEN + 100.0),
        (r#"{"\u0061ge":1,"colour":"green, or \u00e9","member":0}"#, 1.0 + 10.0),
        (r#"[41.5, "red", true]"#, 161.5),
        (r#"{"inputs": {"age":1,"colour":"blue","member":true}}"#, 101.0),
        (r#"{"instances": [1, "blue", true]}"#, 101.0),
    ] {
        let reply = client.post("/predict", body);
        assert_eq!((reply.status, reply.json()), (200, json!({"prediction": expected})), "{body}");
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
    for (body, expected) in [
        (r#"[[1,"blue",true],{"colour":"red","age":2,"member":false}]"#, vec![101.0, 22.0]),
        (r#"{"inputs": [[1,"blue",true]]}"#, vec![101.0]),
        (r#"{"instances": [{"age":1,"colour":"blue","member":true}]}"#, vec![101.0]),
        ("[]", vec![]),
        (r#"{"inputs": []}"#, vec![]),
    ] {
        assert_eq!(client.post("/predict/m", body).json(), json!({"predictions": expected}), "{body}");
    }
}

#[test]
fn an_offset_is_a_column_like_others() {
    let (_server, mut client) = serve_one(shifted());
    for body in [r#"[{"known": 0.5, "x": 1}, {"x": 2, "known": -1}]"#, "[[1, 0.5], [2, -1]]"] {
        assert_eq!(client.post("/predict", body).json(), json!({"predictions": [10.5, 19.0]}), "{body}");
    }
    let tensors = r#"{"inputs": [{"name": "x", "shape": [2], "datatype": "FP64", "data": [1, 2]},
        {"name": "known", "shape": [2], "datatype": "FP64", "data": [0.5, -1]}]}"#;
    let reply = client.post("/v2/models/m/infer", tensors).json();
    assert_eq!(numbers(&reply["outputs"][0]["data"]), [10.5, 19.0]);
    for (body, expected) in [
        (r#"{"x": 1}"#, "\"known\" is not given; it is the model's offset"),
        ("[[1, 2], [1, null]]", "row 2, column \"known\": the offset is a number"),
        // The first of two faults is told, whichever it is.
        ("[[1, 2], [1, null], [2e300, 1]]", "row 2, column \"known\": the offset is a number"),
        ("[[1, 2], [2e300, 1], [1, null]]", "row 2, column \"x\": is above"),
    ] {
        let reply = client.post("/predict", body);
        assert!(reply.status == 400 && reply.error().contains(expected), "{}", reply.error());
    }
    let metadata = client.get("/v2/models/m").json();
    assert_eq!(metadata["inputs"][1]["name"], "known");
}

#[test]
fn classes_and_probabilities() {
    let model = logistic();
    let (_server, mut client) = serve_one(Arc::clone(&model));
    let cells = cells(60);
    let expected = answers(&*model, &cells);
    let rows: Vec<_> = cells.chunks(30).collect();
    let label = |row: &[f64]| if row[1] > row[0] { "it's \"yes\"" } else { "no" };
    let one = |p: &[f64]| json!({"no": p[0], "it's \"yes\"": p[1]});
    let reply = client.post("/predict", &json!(rows[0]).to_string()).json();
    assert_eq!(reply, json!({"prediction": label(&expected[..2]), "probabilities": one(&expected[..2])}));
    let reply = client.post("/predict", &json!(rows).to_string()).json();
    let labels: Vec<_> = expected.chunks(2).map(label).collect();
    let all: Vec<_> = expected.chunks(2).map(one).collect();
    assert_eq!(reply, json!({"predictions": labels, "probabilities": all}));
    // Equal probabilities: the first class.
    let reply = client.post("/predict", &json!(vec![0.0; 30]).to_string()).json();
    assert_eq!(reply["prediction"], "no");
    let reply = client.post("/predict", &json!(vec![Value::Null; 30]).to_string()).json();
    assert_eq!(reply, json!({"prediction": null, "probabilities": {"no": null, "it's \"yes\"": null}}));
}

#[test]
fn tensors_by_column_and_as_a_matrix() {
    let (_server, mut client) = serve_one(mixed());
    let infer = "/v2/models/m/infer";
    let prediction = |data: Value| {
        json!({"model_name": "m", "model_version": "1", "outputs": [
            {"name": "prediction", "shape": [data.as_array().unwrap().len()], "datatype": "FP64", "data": data}]})
    };
    let colour = json!({"name": "colour", "shape": [2], "datatype": "BYTES", "data": ["red", null]});
    let member = json!({"name": "member", "shape": [2, 1], "datatype": "BOOL", "data": [[true], [false]]});
    for (age, expected) in [
        (
            json!({"name": "age", "shape": [2], "datatype": "FP64", "data": [0.1, 2]}),
            [0.1 + 20.0 + 100.0, 2002.0],
        ),
        (json!({"name": "age", "shape": [2, 1], "datatype": "INT8", "data": [-128, 127]}), [-8.0, 2127.0]),
        (
            json!({"name": "age", "shape": [2, 1], "datatype": "UINT64", "data": [[0], [18446744073709551615_u64]]}),
            [120.0, 18446744073709551615.0 + 2000.0],
        ),
        (
            json!({"name": "age", "shape": [2], "datatype": "FP32", "data": [0.1, 16777217]}),
            [f64::from(0.1_f32) + 20.0 + 100.0, 16777216.0 + 2000.0],
        ),
    ] {
        let body = json!({"inputs": [member, age, colour], "parameters": {"any": [1, {"thing": null}]}});
        let reply = client.post(infer, &body.to_string());
        assert_eq!((reply.status, reply.json()), (200, prediction(json!(expected))), "{body}");
    }
    // Data before what describes it, id returned, outputs chosen.
    let body = r#"{"outputs":[{"name":"prediction","parameters":{"binary_data":false}}],"id":"a \"b\"","inputs":[
        {"data":[1],"shape":[1],"name":"age","datatype":"INT32"},
        {"data":["blue"],"datatype":"BYTES","shape":[1],"name":"colour"},
        {"data":[1],"datatype":"BOOL","shape":[1],"name":"member"}]}"#;
    let mut expected = prediction(json!([101.0]));
    expected["id"] = json!("a \"b\"");
    assert_eq!(client.post(infer, body).json(), expected);
}

#[test]
fn a_matrix_flat_or_nested_and_its_outputs() {
    let model = logistic();
    let (_server, mut client) = serve_one(Arc::clone(&model));
    let cells = cells(90);
    let expected = answers(&*model, &cells);
    let nested: Vec<_> = cells.chunks(30).collect();
    for data in [json!(cells), json!(nested)] {
        let body = json!({"inputs": [{"name": "input", "shape": [3, 30], "datatype": "FP64", "data": data}]});
        let reply = client.post("/v2/models/m/infer/", &body.to_string()).json();
        assert_eq!(reply["outputs"][0]["datatype"], "BYTES");
        assert_eq!(reply["outputs"][0]["shape"], json!([3]));
        assert_eq!(reply["outputs"][1]["name"], "probabilities");
        assert_eq!(reply["outputs"][1]["shape"], json!([3, 2]));
        assert_eq!(bits(&numbers(&reply["outputs"][1]["data"])), bits(&expected));
    }
    let body = json!({
        "inputs": [{"name": "input", "shape": [0, 30], "datatype": "FP64", "data": []}],
        "outputs": [{"name": "probabilities"}],
    });
    let outputs = client.post("/v2/models/m/infer", &body.to_string()).json()["outputs"].clone();
    assert_eq!(outputs, json!([{"name": "probabilities", "shape": [0, 2], "datatype": "FP64", "data": []}]));
}

#[test]
fn large_requests_have_the_bits_of_small_ones() {
    let model = logistic();
    let (_server, mut client) = serve_one(Arc::clone(&model));
    // 20,000 rows: 11 MB of text, several pieces on several threads.
    let cells = cells(20_000 * 30);
    let rows: Vec<_> = cells.chunks(30).collect();
    let body =
        json!({"inputs": [{"name": "input", "shape": [20_000, 30], "datatype": "FP64", "data": rows}]});
    let reply = client.post("/v2/models/m/infer", &body.to_string()).json();
    assert_eq!(bits(&numbers(&reply["outputs"][1]["data"])), bits(&answers(&*model, &cells)));
    // Small in bytes, large in cells.
    let body = json!({"inputs": [{"name": "input", "shape": [500, 30], "datatype": "INT8", "data": vec![1; 15_000]}]});
    let reply = client.post("/v2/models/m/infer", &body.to_string()).json();
    let expected = answers(&*model, &[1.0; 15_000]);
    assert_eq!(bits(&numbers(&reply["outputs"][1]["data"])), bits(&expected));
}

#[test]
fn a_client_written_by_others_is_understood() {
    let model = logistic();
    let (server, _) = serve_one(Arc::clone(&model));
    let agent = ureq::Agent::new_with_defaults();
    let url = |path: &str| format!("http://{}{path}", server.address().unwrap());
    for i in 0..20 {
        let row: Vec<f64> = (0..30).map(|j| f64::from(i * j) / 7.0).collect();
        let text = agent
            .post(url("/predict"))
            .send(json!(row).to_string())
            .unwrap()
            .body_mut()
            .read_to_string()
            .unwrap();
        let reply: Value = serde_json::from_str(&text).unwrap();
        let p = answers(&*model, &row);
        assert_eq!(reply["probabilities"]["no"].as_f64().unwrap().to_bits(), p[0].to_bits());
    }
    assert_eq!(agent.get(url("/v2/health/ready")).call().unwrap().status(), 200);
    assert!(matches!(agent.get(url("/nothing")).call(), Err(ureq::Error::StatusCode(404))));
}

#[test]
fn quantiles_are_lists_and_scores_numbers() {
    let server = serve(&[("q", quantiles()), ("s", scores())], Config::default());
    let mut client = Client::connect(server.address().unwrap());
    assert_eq!(client.post("/predict/q", "[2.5]").json(), json!({"prediction": [1.5, 2.5, 3.5]}));
    let both = client.post("/predict/q", "[[0], [1]]").json();
    assert_eq!(both, json!({"predictions": [[-1.0, 0.0, 1.0], [0.0, 1.0, 2.0]]}));
    assert_eq!(client.post("/predict/s", "[0.5]").json(), json!({"prediction": 0.5}));
    let output = |client: &mut Client, path: &str| client.get(path).json()["outputs"][0].clone();
    assert_eq!(
        output(&mut client, "/v2/models/q"),
        json!({"name": "prediction", "datatype": "FP64", "shape": [-1, 3], "parameters": {"quantiles": "[0.1,0.5,0.9]"}})
    );
    assert_eq!(
        output(&mut client, "/v2/models/s"),
        json!({"name": "prediction", "datatype": "FP64", "shape": [-1], "parameters": {"threshold": 0.75}})
    );
}

#[test]
fn several_targets_are_lists_whose_names_the_metadata_tells() {
    let server = serve(&[("two", outputs())], Config::default());
    let mut client = Client::connect(server.address().unwrap());
    assert_eq!(client.post("/predict", "[2.5]").json(), json!({"prediction": [5.0, -2.5]}));
    let both = client.post("/predict", "[[1], [null]]").json();
    assert_eq!(both, json!({"predictions": [[2.0, -1.0], [null, null]]}));
    assert_eq!(
        client.get("/v2/models/two").json()["outputs"],
        json!([{"name": "prediction", "datatype": "FP64", "shape": [-1, 2],
                "parameters": {"targets": "[\"double\",\"less \\\"x\\\"\"]"}}])
    );
}

#[test]
fn metadata_health_and_metrics() {
    let server = serve(&[("a", mixed()), ("b", logistic())], Config::default());
    let mut client = Client::connect(server.address().unwrap());
    for path in ["/v2/health/live", "/v2/health/ready", "/v2/models/a/ready", "/v2", "/v2/", "/v2?x=1"] {
        assert_eq!(client.get(path).status, 200, "{path}");
    }
    assert_eq!(client.get("/v2").json()["name"], "tilewise");
    let expected = json!({"name": "a", "versions": ["1"], "platform": "tilewise_fake", "inputs": [
        {"name": "age", "datatype": "FP64", "shape": [-1]},
        {"name": "colour", "datatype": "BYTES", "shape": [-1]},
        {"name": "member", "datatype": "BOOL", "shape": [-1]}],
        "outputs": [{"name": "prediction", "datatype": "FP64", "shape": [-1]}]});
    assert_eq!(client.get("/v2/models/a").json(), expected);
    let classes = client.get("/v2/models/b").json()["outputs"][1]["parameters"]["classes"].clone();
    assert_eq!(classes, "[\"no\",\"it's \\\"yes\\\"\"]");
    assert_eq!(client.post("/predict", "[1]").status, 404, "several models");
    assert_eq!(client.post("/predict/a", "[[1,null,true],[1,null,true]]").status, 200);
    assert_eq!(client.post("/predict/a", "[1]").status, 400);
    let metrics = client.get("/metrics");
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    for line in [
        "tilewise_requests_total{route=\"predict\",status=\"200\"} 1",
        "tilewise_requests_total{route=\"predict\",status=\"400\"} 1",
        "tilewise_requests_total{route=\"other\",status=\"404\"} 1",
        "tilewise_request_seconds_count{route=\"predict\"} 2",
        "tilewise_request_seconds_bucket{route=\"predict\",le=\"+Inf\"} 2",
        "tilewise_rows_total{model=\"a\"} 2",
        "tilewise_rows_total{model=\"b\"} 0",
        "tilewise_connections_open 1",
        "tilewise_ready 1",
    ] {
        assert!(metrics.body.lines().any(|l| l == line), "{line}\n{}", metrics.body);
    }
}

#[test]
fn a_panic_or_nan_in_a_model_is_one_answer() {
    let (_server, mut client) = serve_one(moody());
    assert_eq!(client.post("/predict", "[0]").body, "{\"prediction\":null}");
    let reply = client.post("/predict", "[13]");
    assert_eq!((reply.status, reply.error().contains("\"m\"")), (500, true));
    assert_eq!(client.post("/predict", "[1.5]").body, "{\"prediction\":3.0}");
    // On a compute thread too.
    let many = |x: &str| format!("[{}[{x}]]", "[1],".repeat(20_000));
    assert_eq!(client.post("/predict", &many("13")).status, 500);
    assert_eq!(client.post("/predict", &many("4")).json()["predictions"][20_000], 8.0);
}

/// Where a probability is not a number there is no label: `null`, which is longer than a short name.
#[test]
fn labels_that_are_none_fit_the_bound_of_a_reply() {
    let (_server, mut client) = serve_one(undecided());
    let count = 2_000;
    let body = json!({
        "inputs": [{"name": "x", "shape": [count, 1], "datatype": "FP64", "data": vec![0.0; count]}],
        "outputs": [{"name": "prediction"}],
    });
    let reply = client.post("/v2/models/m/infer", &body.to_string());
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.json()["outputs"][0]["data"], json!(vec![None::<&str>; count]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any double that goes in comes out: text, cell, model and text again keep every bit.
    #[test]
    fn every_bit_makes_the_round_trip(values in prop::collection::vec(any::<f64>(), 1..40)) {
        static SERVER: std::sync::OnceLock<tilewise_server::Handle> = std::sync::OnceLock::new();
        let server = SERVER.get_or_init(|| serve_one(moody()).0);
        let values: Vec<f64> = values.into_iter().filter(|x| (2.0 * x).is_finite() && *x != 0.0 && *x != 13.0).collect();
        let rows: Vec<_> = values.iter().map(|x| [x]).collect();
        let reply = Client::connect(server.address().unwrap()).post("/predict", &json!(rows).to_string()).json();
        let expected: Vec<f64> = values.iter().map(|x| 2.0 * x).collect();
        prop_assert_eq!(bits(&numbers(&reply["predictions"])), bits(&expected));
    }
}
