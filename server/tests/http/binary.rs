//! The binary tensor extension.

use crate::client::{Client, Reply, serve, serve_one};
use crate::models::{answers, logistic, mixed};
use serde_json::{Value, json};
use tilewise_server::Config;

/// Made by `golden/tritonclient_golden.py`.
const CLIENT: &str = include_str!("golden/client.txt");

fn send(client: &mut Client, path: &str, json: Option<usize>, body: &[u8]) -> Reply {
    let header = json.map_or(String::new(), |n| format!("inference-header-content-length: {n}\r\n"));
    let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\n{header}content-length: {}\r\n\r\n", body.len());
    client.send(&[head.as_bytes(), body].concat()).unwrap();
    client.reply().unwrap()
}

/// The JSON of a reply, and the bytes of each output, none for those in JSON.
fn parts(reply: &Reply) -> (Value, Vec<Vec<u8>>) {
    assert_eq!(reply.status, 200, "{reply:?}");
    let Some(length) = reply.header("inference-header-content-length") else {
        assert_eq!(reply.header("content-type"), Some("application/json"));
        return (reply.json(), vec![]);
    };
    assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
    let (text, mut rest) = reply.bytes.split_at(length.parse().unwrap());
    let value: Value = serde_json::from_slice(text).unwrap();
    let take = |output: &Value| {
        let size = output["parameters"]["binary_data_size"].as_u64();
        assert_eq!(size.is_none(), output.get("data").is_some());
        let (data, behind) = rest.split_at(size.unwrap_or(0) as usize);
        rest = behind;
        data.to_vec()
    };
    let parts = value["outputs"].as_array().unwrap().iter().map(take).collect();
    assert!(rest.is_empty());
    (value, parts)
}

fn doubles(x: &[f64]) -> Vec<u8> {
    x.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn texts(texts: &[&str]) -> Vec<u8> {
    texts.iter().flat_map(|t| [&(t.len() as u32).to_le_bytes()[..], t.as_bytes()].concat()).collect()
}

#[test]
fn a_client_by_others_is_understood() {
    let server = serve(&[("mixed", mixed()), ("wide", logistic())], Config::default());
    let mut client = Client::connect(server.address().unwrap());
    let wide: Vec<f64> = (0..60).map(|i| f64::from(i) / 8.0).collect();
    let probabilities = answers(&*logistic_ready(), &wide);
    let labels = probabilities.chunks(2).map(|p| if p[0] >= p[1] { "no" } else { "it's \"yes\"" });
    let labels: Vec<&str> = labels.collect();
    let ages = [1.5 + 20.0 + 100.0, 2.0 + 10.0];
    for line in CLIENT.lines() {
        let [name, length, hex] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let body: Vec<u8> =
            (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
        let model = if name.starts_with("rows") { "wide" } else { "mixed" };
        let reply = send(&mut client, &format!("/v2/models/{model}/infer"), length.parse().ok(), &body);
        let (value, data) = parts(&reply);
        match name {
            "columns_json" | "columns_binary_to_json" => {
                assert_eq!(value["outputs"][0]["data"], json!(ages));
                assert_eq!(value.get("id"), (name == "columns_json").then_some(&json!("a")));
            }
            "columns_binary" => {
                assert_eq!((&value["id"], &data), (&json!("b"), &vec![doubles(&ages)]));
            }
            "rows_binary" => {
                assert_eq!(data, [texts(&labels), doubles(&probabilities)]);
                assert_eq!(value["outputs"][1]["shape"], json!([2, 2]));
            }
            "rows_binary_probabilities" => {
                assert_eq!(
                    (&value["outputs"][1]["data"], &data[0]),
                    (&json!(labels), &doubles(&probabilities))
                );
            }
            _ => panic!("{name}"),
        }
    }
    assert_eq!(CLIENT.lines().count(), 5);
}

fn logistic_ready() -> std::sync::Arc<dyn tilewise_base::Model> {
    let model = logistic();
    model.prepare().unwrap();
    model
}

fn request(inputs: Value, data: &[u8]) -> (usize, Vec<u8>) {
    let text = json!({"inputs": inputs, "parameters": {"binary_data_output": true}}).to_string();
    (text.len(), [text.as_bytes(), data].concat())
}

/// Every bit arrives, in large requests too, and NaN is a missing value.
#[test]
fn every_datatype_and_size() {
    let (_server, mut client) = serve_one(logistic());
    let model = logistic_ready();
    for rows in [0, 1, 7, 1024] {
        let cells: Vec<f64> = (0..rows * 30).map(|i| ((i * 7919) % 1000) as f64 / 997.0 - 0.4).collect();
        let input = json!([{"name": "rows", "shape": [rows, 30], "datatype": "FP64",
            "parameters": {"binary_data_size": cells.len() * 8}}]);
        let (json, body) = request(input, &doubles(&cells));
        let (_, data) = parts(&send(&mut client, "/v2/models/m/infer", Some(json), &body));
        assert_eq!(data[1], doubles(&answers(&*model, &cells)));
    }
    let (_server, mut client) = serve_one(mixed());
    let pieces = |age: (&str, Vec<u8>), member: (&str, Vec<u8>)| {
        let colour = texts(&["red"]);
        let input = |name: &str, datatype: &str, data: &[u8]| {
            json!({"name": name, "shape": [1], "datatype": datatype,
                "parameters": {"binary_data_size": data.len()}})
        };
        let inputs = json!([
            input("age", age.0, &age.1),
            input("colour", "BYTES", &colour),
            input("member", member.0, &member.1)
        ]);
        request(inputs, &[age.1, colour, member.1].concat())
    };
    let no = ("BOOL", vec![0]);
    for (age, member, expected) in [
        (("FP64", 2.5_f64.to_le_bytes().to_vec()), no.clone(), 22.5),
        (("FP32", 2.5_f32.to_le_bytes().to_vec()), ("FP32", 1_f32.to_le_bytes().to_vec()), 122.5),
        (("FP64", f64::NAN.to_le_bytes().to_vec()), no.clone(), 1020.0),
        (("INT8", vec![0xfe]), ("UINT8", vec![1]), 118.0),
        (("INT16", (-2_i16).to_le_bytes().to_vec()), no.clone(), 18.0),
        (("INT32", (-2_i32).to_le_bytes().to_vec()), no.clone(), 18.0),
        (("INT64", (-2_i64).to_le_bytes().to_vec()), ("BOOL", vec![1]), 118.0),
        (("UINT16", vec![0, 1]), no.clone(), 276.0),
        (("UINT64", 3_u64.to_le_bytes().to_vec()), ("FP64", f64::NAN.to_le_bytes().to_vec()), 4023.0),
    ] {
        let (json, body) = pieces(age.clone(), member);
        let (_, data) = parts(&send(&mut client, "/v2/models/m/infer", Some(json), &body));
        assert_eq!(data, [doubles(&[expected])], "{age:?}");
    }
}

#[test]
fn hostile_binary_tensors() {
    let (server, mut client) = serve_one(mixed());
    let infer = "/v2/models/m/infer";
    let colour = texts(&["red"]);
    let input = |name: &str, shape: Value, datatype: &str, size: Value| json!({"name": name, "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": size}});
    let age = |size: Value| input("age", json!([1]), "FP64", size);
    let red = input("colour", json!([1]), "BYTES", json!(colour.len()));
    let member = input("member", json!([1]), "BOOL", json!(1));
    let with_age = |age: Value, data: &[u8]| {
        (json!([age, red.clone(), member.clone()]), [data, &colour[..], &[1]].concat())
    };
    let with_colour = |data: &[u8]| {
        let colour = input("colour", json!([1]), "BYTES", json!(data.len()));
        (json!([age(json!(8)), colour, member.clone()]), [&[0; 8], data, &[1]].concat())
    };
    let mut both = age(json!(8));
    both["data"] = json!([1]);
    let huge = 9_007_199_254_740_991_u64;
    for ((inputs, data), told) in [
        (with_age(age(json!(7)), &[0; 7]), "8 bytes where its binary_data_size is 7"),
        (with_age(age(json!(16)), &[0; 16]), "binary_data_size is 16"),
        (with_age(age(json!(0)), &[]), "binary_data_size is 0"),
        (with_age(age(json!(huge)), &[0; 8]), "bytes are left behind the JSON"),
        (with_age(age(json!(-1)), &[0; 8]), "a size is an integer from 0"),
        (with_age(age(json!(1.5)), &[0; 8]), "a size is an integer from 0"),
        (with_age(age(json!("8")), &[0; 8]), "a number"),
        (with_age(age(json!(null)), &[0; 8]), "a number"),
        (with_age(both, &[0; 8]), "both in the JSON and behind it"),
        (with_age(age(json!(8)), &[0; 9]), "element 1"),
        (with_age(age(json!(8)), &f64::INFINITY.to_le_bytes()), "infinity"),
        (with_age(age(json!(8)), &2e300_f64.to_le_bytes()), "above 1e300"),
        (with_age(input("age", json!([huge]), "FP64", json!(8)), &[0; 8]), "binary_data_size is 8"),
        (with_age(input("rows", json!([huge, huge]), "FP64", json!(8)), &[0; 8]), "shape"),
        (with_age(input("age", json!([1]), "BYTES", json!(8)), &[0; 8]), "FP64"),
        (with_age(input("age", json!([1]), "FP16", json!(2)), &[0; 2]), "FP16"),
        (with_colour(&[255, 255, 255, 255]), "4294967295 bytes are announced, 0 are left"),
        (with_colour(&[4, 0, 0, 0, b'r']), "4 bytes are announced, 1 are left"),
        (with_colour(&[1, 0]), "a length should be"),
        (with_colour(&[]), "a length should be"),
        (with_colour(&[1, 0, 0, 0, 0xff]), "UTF-8"),
        (with_colour(&[0, 0, 0, 0, 7]), "1 bytes are left behind its last element"),
        (
            (
                json!([age(json!(8)), red, input("member", json!([1]), "BOOL", json!(1))]),
                [&[0; 8], &colour[..], &[2]].concat(),
            ),
            "0 or 1",
        ),
        (
            (
                json!([age(json!(8)), red, input("member", json!([1]), "INT8", json!(1))]),
                [&[0; 8], &colour[..], &[2]].concat(),
            ),
            "member",
        ),
        (
            (json!([age(json!(8)), red, member]), [&[0; 8], &colour[..], &[1, 1]].concat()),
            "belong to no input",
        ),
    ] {
        let (json, body) = request(inputs, &data);
        let reply = send(&mut client, infer, Some(json), &body);
        assert_eq!(reply.status, 400, "{told}: {reply:?}");
        assert!(reply.error().contains(told), "{told}: {reply:?}");
        // Cut anywhere it is refused too, whatever stands there.
        for cut in [json / 2, json - 1, json] {
            assert_eq!(send(&mut client, infer, Some(cut), &body[..cut]).status, 400);
        }
    }
    // Lengths of the JSON that do not fit, on a connection that goes on; the good one at the end.
    let (json, body) = request(with_age(age(json!(8)), &[0; 8]).0, &with_age(age(json!(8)), &[0; 8]).1);
    for wrong in [0, 1, json - 1, json + 1, body.len(), body.len() + 1, usize::MAX] {
        assert_eq!(send(&mut client, infer, Some(wrong), &body).status, 400, "{wrong}");
    }
    assert_eq!(send(&mut client, infer, None, &body).status, 400);
    assert_eq!(parts(&send(&mut client, infer, Some(json), &body)).1, [doubles(&[120.0])]);
    // Headers that are not one number, and a route without tensors: the connection closes.
    for (path, value) in [
        (infer, "x"),
        (infer, ""),
        (infer, "-1"),
        (infer, "+1"),
        (infer, "1 1"),
        (infer, "0x10"),
        (infer, "99999999999999999999999"),
        (infer, "1\r\ninference-header-content-length: 1"),
        ("/predict", "3"),
    ] {
        let mut client = Client::connect(server.address().unwrap());
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ninference-header-content-length: {value}\r\ncontent-length: 3\r\n\r\n[1]"
        );
        client.send(head.as_bytes()).unwrap();
        let reply = client.reply().unwrap();
        assert_eq!((reply.status, reply.header("connection")), (400, Some("close")), "{value}");
        reply.error();
    }
}
