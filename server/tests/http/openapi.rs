//! The OpenAPI document is true: requests to every route, whose replies are validated against it.

use crate::client::{Client, post, serve};
use crate::models::{logistic, mixed, moody, outputs, quantiles};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tilewise_server::Config;

/// What is wrong with `value` under `schema`, if anything. Keywords that are not listed here end the test.
fn fault(document: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|x| x.fract() == 0.0),
        _ => panic!("type {kind}"),
    };
    let schema = schema.as_object().unwrap();
    let of = |key: &str| schema.get(key);
    for (key, wanted) in schema {
        let fault = match key.as_str() {
            "$ref" => {
                let pointer = wanted.as_str().unwrap().strip_prefix('#').unwrap();
                let target = document.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not there"));
                fault(document, target, value, at)
            }
            "type" => {
                let kinds = wanted.as_array().cloned().unwrap_or_else(|| vec![wanted.clone()]);
                let fits = kinds.iter().any(|kind| is(kind.as_str().unwrap()));
                (!fits).then(|| format!("{at}: {value} is no {wanted}"))
            }
            "enum" => (!wanted.as_array().unwrap().contains(value))
                .then(|| format!("{at}: {value} not in {wanted}")),
            "anyOf" => {
                let faults: Vec<_> =
                    wanted.as_array().unwrap().iter().map(|one| fault(document, one, value, at)).collect();
                if faults.contains(&None) { None } else { Some(format!("{faults:?}")) }
            }
            "minimum" => (value.as_f64().unwrap() < wanted.as_f64().unwrap())
                .then(|| format!("{at}: {value} < {wanted}")),
            "items" => value
                .as_array()
                .into_iter()
                .flatten()
                .find_map(|v| fault(document, wanted, v, &format!("{at}[]"))),
            "required" => {
                let lacks = |key: &&Value| value.get(key.as_str().unwrap()).is_none();
                wanted.as_array().unwrap().iter().find(lacks).map(|key| format!("{at}: {key} is missing"))
            }
            "properties" | "additionalProperties" => {
                let known = of("properties").and_then(Value::as_object);
                value.as_object().into_iter().flatten().find_map(|(name, inner)| {
                    let at = format!("{at}.{name}");
                    match (known.and_then(|known| known.get(name)), of("additionalProperties")) {
                        (Some(schema), _) => fault(document, schema, inner, &at),
                        (None, Some(Value::Bool(false))) => Some(format!("{at} is not known")),
                        (None, Some(schema @ Value::Object(_))) => fault(document, schema, inner, &at),
                        _ => None,
                    }
                })
            }
            "description" => None,
            _ => panic!("keyword {key}"),
        };
        if fault.is_some() {
            return fault;
        }
    }
    None
}

#[test]
fn the_validator_finds_faults() {
    let document = json!({"s": {"type": "array", "items": {"type": "integer", "minimum": 0}}});
    let schema = json!({
        "type": "object", "required": ["a"], "additionalProperties": false,
        "properties": {"a": {"$ref": "#/s"}, "b": {"anyOf": [{"type": "null"}, {"enum": ["x"]}]}},
    });
    let is_good = |value: Value| fault(&document, &schema, &value, "").is_none();
    assert!(is_good(json!({"a": [1, 2], "b": null})) && is_good(json!({"a": [], "b": "x"})));
    for bad in [
        json!([]),
        json!({}),
        json!({"a": [1.5]}),
        json!({"a": [-1]}),
        json!({"a": [], "b": "y"}),
        json!({"a": [], "c": 1}),
    ] {
        assert!(!is_good(bad.clone()), "{bad}");
    }
}

/// Of a path of the document, whether it stands for a real one.
fn stands_for(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template.iter().zip(&path).all(|(t, p)| t == p || t.starts_with('{') && !p.is_empty())
}

struct Checked {
    client: Client,
    document: Value,
    /// Paths and statuses that were seen.
    seen: BTreeSet<(String, u16)>,
}

impl Checked {
    fn ask(&mut self, method: &str, path: &str, headers: &str, body: &str, status: u16) {
        let request = match method {
            "GET" => format!("GET {path} HTTP/1.1\r\nhost: test\r\n{headers}\r\n"),
            _ => post(path, body).replacen("\r\n\r\n", &format!("\r\n{headers}\r\n"), 1),
        };
        self.client.send(request.as_bytes()).unwrap();
        let reply = self.client.reply().unwrap();
        assert_eq!(reply.status, status, "{method} {path} {body}: {reply:?}");
        let paths = self.document["paths"].as_object().unwrap();
        // A path without parameters comes first.
        let (template, operations) = paths
            .get_key_value(path)
            .or_else(|| paths.iter().find(|(template, _)| stands_for(template, path)))
            .unwrap_or_else(|| panic!("{path} is not in the document"));
        // A wrong method is told of the method that there is.
        let operation = operations.as_object().unwrap().values().next().unwrap();
        let described = &operation["responses"][status.to_string()];
        assert!(described.is_object(), "{path} has no {status} in the document");
        let content = described["content"].as_object().unwrap();
        let kind = reply.header("content-type").unwrap();
        let schema = &content
            .get(kind)
            .unwrap_or_else(|| panic!("{path} {status}: {kind} not in {content:?}"))["schema"];
        let value = match kind {
            "application/json" => reply.json(),
            _ => Value::from(reply.body.as_str()),
        };
        if let Some(fault) = fault(&self.document, schema, &value, path) {
            panic!("{fault} in {value}");
        }
        self.seen.insert((template.clone(), status));
        if reply.header("connection") == Some("close") {
            panic!("{path} closed");
        }
    }
}

#[test]
fn replies_are_as_the_document_says() {
    let models = [
        ("mixed", mixed()),
        ("logistic", logistic()),
        ("moody", moody()),
        ("many", outputs()),
        ("q", quantiles()),
    ];
    let server = serve(&models, Config { admin: true, ..Config::default() });
    let only = serve(&[("mixed", mixed())], Config::default());
    let mut client = Client::connect(server.address().unwrap());
    let document = client.get("/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut all = Checked { client, document: document.clone(), seen: BTreeSet::new() };
    let row30 = json!(vec![0.5; 30]).to_string();
    for path in ["/", "/v2", "/metrics", "/openapi.json", "/v2/health/live", "/v2/health/ready"] {
        all.ask("GET", path, "", "", 200);
        all.ask("POST", path, "", "{}", 405);
    }
    for (model, body) in [
        ("mixed", "[1,\"red\",true]"),
        ("mixed", "{\"instances\":[{\"age\":null,\"colour\":\"blue\",\"member\":false}]}"),
        ("mixed", "[]"),
        ("logistic", &row30),
        ("logistic", &format!("[{row30}]")),
        ("moody", "[0]"),
        ("many", "[1]"),
        ("many", "[[1],[2]]"),
        ("q", "[1]"),
    ] {
        for version in ["", "/versions/1"] {
            all.ask("POST", &format!("/predict/{model}{version}"), "", body, 200);
        }
    }
    for (model, width) in [("mixed", 3), ("logistic", 30), ("moody", 1), ("many", 1), ("q", 1)] {
        for base in [format!("/v2/models/{model}"), format!("/v2/models/{model}/versions/1")] {
            all.ask("GET", &base, "", "", 200);
            all.ask("GET", &format!("{base}/ready"), "", "", 200);
            if model != "mixed" {
                let input = json!({"name": "rows", "shape": [1, width], "datatype": "FP64", "data": vec![0.5; width]});
                for body in [
                    json!({"inputs": [input]}),
                    json!({"id": "7", "inputs": [input], "outputs": [{"name": "prediction"}]}),
                    json!({"inputs": [input], "parameters": {"binary_data_output": true}}),
                ] {
                    all.ask("POST", &format!("{base}/infer"), "", &body.to_string(), 200);
                }
            }
            all.ask("POST", &format!("{base}/infer"), "", "{}", 400);
        }
    }
    all.ask("POST", "/v2/repository/index", "", "", 200);
    all.ask("POST", "/v2/repository/index", "", "[]", 400);
    for (path, body, status) in [
        ("/predict/mixed", "[1]", 400),
        ("/predict/none", "[1]", 404),
        ("/predict/mixed/versions/2", "[1]", 404),
        ("/predict/moody", "[13]", 500),
        ("/v2/models/none/infer", "{}", 404),
        ("/v2/repository/models/none/load", "", 404),
        ("/v2/repository/models/mixed/unload", "", 400),
        ("/predict", "[1]", 404),
    ] {
        all.ask("POST", path, "", body, status);
    }
    for (path, status) in [("/v2/models/none", 404), ("/v2/models/none/ready", 404), ("/predict/mixed", 405)]
    {
        all.ask("GET", path, "", "", status);
    }
    all.client = Client::connect(only.address().unwrap());
    all.ask("POST", "/predict", "", "[1,\"red\",true]", 200);
    all.ask("POST", "/v2/repository/models/mixed/load", "", "", 403);
    all.ask("POST", "/v2/repository/models/mixed/unload", "", "", 403);
    // Every route of the document was asked, and answered with 200 where a repository is not needed.
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert!(paths.len() > 15);
    for path in paths {
        let wanted = if path.starts_with("/v2/repository/models/") { 403 } else { 200 };
        assert!(all.seen.contains(&(path.clone(), wanted)), "{path}");
    }
}

/// What the page fetches is there, and it needs nothing from elsewhere.
#[test]
fn the_page_is_whole() {
    let server = serve(&[("m", mixed())], Config::default());
    let mut client = Client::connect(server.address().unwrap());
    let page = client.get("/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    for reference in ["http:", "https:", "src=", "url(", "@import", "<link"] {
        assert!(!page.body.contains(reference), "{reference}");
    }
    assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
    for path in ["/metrics", "/openapi.json", "/v2/models/m"] {
        assert_eq!(client.get(path).status, 200);
        assert!(page.body.contains(path.trim_end_matches('m')));
    }
    assert_eq!(client.post("/v2/repository/index", "{}").status, 200);
}
