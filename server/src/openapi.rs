//! The OpenAPI document of the routes, served at `/openapi.json`. A test sends requests to every route and validates the
//! replies against it.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// The document, made once.
pub(crate) fn document() -> Bytes {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| make().to_string().into());
    DOCUMENT.clone()
}

/// Statuses other than 200, and what they say.
const ERRORS: [(u16, &str); 12] = [
    (400, "The request does not say what it should"),
    (403, "Loading and unloading is switched off"),
    (404, "No such route, model or version"),
    (405, "Another method than Allow names"),
    (408, "The body was too slow"),
    (411, "Neither Content-Length nor Transfer-Encoding"),
    (413, "The body is too large"),
    (415, "The body is compressed"),
    (417, "Another expectation than 100-continue"),
    (500, "The model failed"),
    (501, "Another transfer encoding than chunked"),
    (503, "Not ready, or too much waits: Retry-After says when to try again"),
];

/// Of every route.
const ANY: [u16; 5] = [400, 405, 415, 417, 501];

/// Of every route that reads a body, too.
const BODY: [u16; 3] = [408, 413, 503];

fn make() -> Value {
    let name =
        json!({"name": "name", "in": "path", "required": true, "description": "The model", "schema": text()});
    let version = json!({"name": "version", "in": "path", "required": true, "description": "A number from 1", "schema": text()});
    let mut paths = Map::new();
    let mut add = |path: &str, operation: Value| drop(paths.insert(path.to_owned(), operation));
    for (path, parameters) in [
        ("/predict", vec![]),
        ("/predict/{name}", vec![&name]),
        ("/predict/{name}/versions/{version}", vec![&name, &version]),
    ] {
        let reply = json!({"anyOf": [of("Prediction"), of("Predictions")]});
        let parameters = parameters.into_iter().cloned().chain([timeout()]).collect();
        add(path, post("Predict rows", "Rows", reply, parameters, &[404, 411, 500]));
    }
    for (base, parameters) in [
        ("/v2/models/{name}", vec![name.clone()]),
        ("/v2/models/{name}/versions/{version}", vec![name.clone(), version.clone()]),
    ] {
        add(base, get("Inputs, outputs and versions", of("Model"), parameters.clone(), &[404, 503]));
        let ready = get("Whether the model can be asked", of("Ready"), parameters.clone(), &[404, 503]);
        add(&format!("{base}/ready"), ready);
        let parameters = parameters.into_iter().chain([timeout(), bytes_of_json()]).collect();
        let mut infer =
            post("Predict tensors", "InferRequest", of("InferReply"), parameters, &[404, 411, 500]);
        let binary =
            json!({"schema": {"type": "string", "description": "JSON, then the data of binary tensors"}});
        infer["post"]["requestBody"]["content"]["application/octet-stream"] = binary.clone();
        infer["post"]["responses"]["200"]["content"]["application/octet-stream"] = binary;
        add(&format!("{base}/infer"), infer);
    }
    add("/v2", get("Name and version of the server", of("Server"), vec![], &[]));
    add("/v2/health/live", get("Whether the server runs", of("Live"), vec![], &[]));
    add("/v2/health/ready", get("Whether the server takes requests", of("Ready"), vec![], &[503]));
    add("/v2/repository/index", post("Versions and their states", "IndexRequest", of("Index"), vec![], &[]));
    for what in ["load", "unload"] {
        let summary = format!("Have a model {what}ed");
        let change = post(&summary, "Change", of("Changed"), vec![name.clone()], &[403, 404, 500]);
        add(&format!("/v2/repository/models/{{name}}/{what}"), change);
    }
    add("/metrics", get_text("Counters for Prometheus", super::routes::METRICS_TYPE));
    add("/openapi.json", get("This document", json!({"type": "object"}), vec![], &[]));
    add("/", get_text("A page to look at models and try them", super::routes::PAGE_TYPE));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tilewise server",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Predictions of rows and, in the form of the Open Inference Protocol, of tensors.",
        },
        "paths": paths,
        "components": {"schemas": schemas()},
    })
}

/// A reference to a schema.
fn of(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn timeout() -> Value {
    json!({
        "name": "X-Request-Timeout-Ms", "in": "header", "required": false,
        "description": "Within how many milliseconds the answer is of use; who would wait longer is refused with 503",
        "schema": {"type": "integer", "minimum": 1, "maximum": u32::MAX},
    })
}

fn bytes_of_json() -> Value {
    json!({
        "name": "Inference-Header-Content-Length", "in": "header", "required": false,
        "description": "Bytes of the body that are JSON, where the data of binary tensors follows",
        "schema": {"type": "integer", "minimum": 0},
    })
}

/// The replies of a route: 200, and the errors.
fn replies(kind: &str, reply: Value, errors: &[&[u16]]) -> Value {
    let mut replies = Map::new();
    replies.insert("200".into(), json!({"description": "It is so", "content": {kind: {"schema": reply}}}));
    for (status, what) in ERRORS {
        if errors.iter().any(|some| some.contains(&status)) {
            let content = json!({"application/json": {"schema": of("Error")}});
            replies.insert(status.to_string(), json!({"description": what, "content": content}));
        }
    }
    replies.into()
}

fn get(summary: &str, reply: Value, parameters: Vec<Value>, errors: &[u16]) -> Value {
    let responses = replies("application/json", reply, &[&ANY, errors]);
    json!({"get": {"summary": summary, "parameters": parameters, "responses": responses}})
}

fn get_text(summary: &str, kind: &str) -> Value {
    json!({"get": {"summary": summary, "responses": replies(kind, text(), &[&ANY])}})
}

fn post(summary: &str, body: &str, reply: Value, parameters: Vec<Value>, errors: &[u16]) -> Value {
    let responses = replies("application/json", reply, &[&ANY, &BODY, errors]);
    json!({"post": {
        "summary": summary,
        "parameters": parameters,
        // Whoever predicts says of what.
        "requestBody": {"required": errors.contains(&411), "content": {"application/json": {"schema": of(body)}}},
        "responses": responses,
    }})
}

/// An object with these properties, the first `needed` of which it must have, and no others.
fn object(needed: usize, properties: &[(&str, Value)]) -> Value {
    let required: Vec<_> = properties[..needed].iter().map(|(name, _)| *name).collect();
    let properties: Map<_, _> =
        properties.iter().map(|(name, of)| ((*name).to_owned(), of.clone())).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn list(of: Value) -> Value {
    json!({"type": "array", "items": of})
}

fn one_of(values: &[&str]) -> Value {
    json!({"type": "string", "enum": values})
}

fn schemas() -> Value {
    let yes = json!({"type": "boolean", "enum": [true]});
    let number = json!({"type": ["number", "null"]});
    let cell = json!({"type": ["number", "string", "boolean", "null"]});
    let one = json!({"anyOf": [{"type": ["number", "string", "null"]}, list(number.clone())]});
    let probabilities = json!({"type": "object", "additionalProperties": number});
    let rows = json!({"anyOf": [of("Row"), list(of("Row"))]});
    let parameters =
        json!({"type": "object", "additionalProperties": {"type": ["number", "string", "boolean"]}});
    let shape = |least: i32| list(json!({"type": "integer", "minimum": least}));
    let datatype = one_of(&[
        "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP32", "FP64",
        "BYTES",
    ]);
    let data = list(json!({"anyOf": [cell.clone(), list(cell.clone())]}));
    let about = object(
        3,
        &[
            ("name", text()),
            ("datatype", datatype.clone()),
            ("shape", shape(-1)),
            ("parameters", parameters.clone()),
        ],
    );
    let input = object(
        3,
        &[
            ("name", text()),
            ("shape", shape(0)),
            ("datatype", datatype),
            ("parameters", parameters.clone()),
            ("data", data),
        ],
    );
    let output = object(
        3,
        &[
            ("name", one_of(&["prediction", "probabilities"])),
            ("shape", shape(0)),
            ("datatype", one_of(&["FP64", "BYTES"])),
            ("parameters", parameters.clone()),
            ("data", list(json!({"type": ["number", "string", "null"]}))),
        ],
    );
    let wanted = object(1, &[("name", text()), ("parameters", parameters.clone())]);
    let version = object(
        4,
        &[
            ("name", text()),
            ("version", text()),
            ("state", one_of(&["READY", "UNAVAILABLE"])),
            ("reason", text()),
        ],
    );
    json!({
        "Error": object(1, &[("error", text())]),
        "Row": {"anyOf": [{"type": "object", "additionalProperties": cell}, list(cell)]},
        "Rows": {"anyOf": [rows, object(1, &[("inputs", rows.clone())]), object(1, &[("instances", rows)])]},
        "Prediction": object(1, &[("prediction", one.clone()), ("probabilities", probabilities.clone())]),
        "Predictions": object(1, &[("predictions", list(one)), ("probabilities", list(probabilities))]),
        "InferRequest": object(1, &[
            ("inputs", list(input)), ("id", text()), ("parameters", parameters), ("outputs", list(wanted)),
        ]),
        "InferReply": object(3, &[
            ("model_name", text()), ("model_version", text()), ("outputs", list(output)), ("id", text()),
        ]),
        "Model": object(5, &[
            ("name", text()), ("versions", list(text())), ("platform", text()), ("inputs", list(about.clone())), ("outputs", list(about)),
        ]),
        "Server": object(3, &[("name", one_of(&["tilewise"])), ("version", text()), ("extensions", list(text()))]),
        "Live": object(1, &[("live", yes.clone())]),
        "Ready": object(1, &[("ready", yes)]),
        "IndexRequest": {"type": "object", "properties": {"ready": {"type": "boolean"}}},
        "Index": list(version),
        "Change": {"type": "object", "properties": {"parameters": {"type": "object"}}},
        "Changed": object(2, &[("name", text()), ("versions", list(text()))]),
    })
}
