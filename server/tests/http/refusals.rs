//! Every documented status.

use crate::client::{Client, post, serve, serve_one};
use crate::models::{logistic, mixed};
use std::sync::Arc;
use tilewise_server::Config;

/// Each refusal names what is wrong, and the connection goes on.
#[test]
fn rows_that_do_not_fit() {
    let (_server, mut client) = serve_one(mixed());
    let deep = "[".repeat(100_000);
    for (body, named) in [
        ("", "ends where"),
        ("{", "a key in quotes"),
        ("[1,\"red\",true", "a comma or ]"),
        ("nul", "found 'n'"),
        ("7", "a row"),
        ("[1,\"red\",true] x", "the end of the text"),
        ("\u{feff}[1,\"red\",true]", "found"),
        ("[1,\"red\"]", "2 cells where 3 are needed"),
        ("[1,\"red\",true,4]", "4 cells where 3 are needed"),
        ("[[1,\"red\",true],[1]]", "row 2: a row of 1 cells"),
        ("[[1,\"red\",true],7]", "row 2: "),
        ("[{}]", "\"age\" is not given"),
        (r#"{"age":1,"member":true}"#, "\"colour\" is not given"),
        (r#"{"age":1,"age":1,"colour":"red","member":true}"#, "\"age\" is given twice"),
        (
            r#"{"age":1,"hue":"red","member":true}"#,
            "\"hue\" is not one of the model's inputs: \"age\", \"colour\"",
        ),
        (r#"{"age":"1","colour":"red","member":true}"#, "\"age\" accepts a number or null, not a string"),
        (r#"{"age":true,"colour":"red","member":true}"#, "\"age\" accepts a number or null, not true"),
        (r#"{"age":[1],"colour":"red","member":true}"#, "not an array"),
        (r#"{"age":1,"colour":{},"member":true}"#, "\"colour\" accepts a string or null, not an object"),
        (r#"{"age":1,"colour":2,"member":true}"#, "\"colour\" accepts a string or null, not a number"),
        (r#"{"age":1,"colour":"red","member":2}"#, "\"member\" accepts true, false, 0, 1 or null"),
        (
            r#"{"age":NaN,"colour":"red","member":true}"#,
            "\"age\": JSON at byte 7: NaN is not JSON; a missing value is null",
        ),
        (r#"{"age":-Infinity,"colour":"red","member":true}"#, "-Infinity is not JSON"),
        (r#"{"age":1e400,"colour":"red","member":true}"#, "outside the range"),
        (r#"{"age":01,"colour":"red","member":true}"#, "begin with 0"),
        (r#"{"age":1,"colour":"\ud800","member":true}"#, "surrogate"),
        (r#"{"age":2e300,"colour":"red","member":true}"#, "column \"age\": is above 1e300"),
        (r#"{"inputs":[[1,"red",true]],"more":1}"#, "\"more\""),
        (r#"{"inputs":{"inputs":[]}}"#, "\"inputs\" is not one"),
        (&deep, "a number or null"),
    ] {
        let reply = client.post("/predict", body);
        assert_eq!(reply.status, 400, "{body:.80}: {reply:?}");
        assert!(reply.error().contains(named), "{body:.80}: {}", reply.error());
    }
    client.send(b"POST /predict HTTP/1.1\r\nhost: test\r\ncontent-length: 3\r\n\r\n[\"\xff").unwrap();
    assert!(client.reply().unwrap().error().contains("UTF-8"));
    assert_eq!(client.post("/predict", "[1,\"red\",true]").status, 200);
}

/// The rows of a large request are divided; the error is that of the first bad row all the same.
#[test]
fn a_bad_row_of_a_large_request_is_named() {
    let (_server, mut client) = serve_one(mixed());
    let mut rows = vec![r#"[1,"red",true]"#; 50_000];
    for first in [49_999, 33_000, 21_000] {
        rows[first] = r#"[2e300,"red",true]"#;
        let reply = client.post("/predict", &format!("[{}]", rows.join(",")));
        let named = format!("row {}, column \"age\": is above 1e300", first + 1);
        assert_eq!((reply.status, reply.error()), (400, named));
    }
}

#[test]
fn tensors_that_do_not_fit() {
    let server = serve(&[("mixed", mixed()), ("wide", logistic())], Config::default());
    let mut client = Client::connect(server.address().unwrap());
    let colour = r#"{"name":"colour","shape":[1],"datatype":"BYTES","data":["red"]}"#;
    let member = r#"{"name":"member","shape":[1],"datatype":"BOOL","data":[true]}"#;
    let age = |shape: &str, datatype: &str, data: &str| {
        let age = format!(r#"{{"name":"age","shape":{shape},"datatype":"{datatype}","data":{data}}}"#);
        format!(r#"{{"inputs":[{age},{colour},{member}]}}"#)
    };
    for (body, named) in [
        ("[]".into(), "an object"),
        ("{}".into(), "no \"inputs\""),
        (r#"{"inputs":[]}"#.into(), "no inputs"),
        (r#"{"inputs":[],"inputs":[]}"#.into(), "given twice"),
        (r#"{"inputs":[],"else":1}"#.into(), "\"else\""),
        (format!(r#"{{"inputs":[{colour},{member}]}}"#), "\"age\" is not given"),
        (format!(r#"{{"inputs":[{colour},{colour}]}}"#), "\"colour\" is given twice"),
        (age("[1]", "FP64", "[1]").replace("\"age\"", "\"years\""), "\"years\" is not one"),
        (age("[2]", "FP64", "[1,2]"), "1 rows where \"age\" has 2"),
        (age("[2]", "FP64", "[1]"), "2 elements, but its data has 1"),
        (age("[1]", "FP64", "[1,2]"), "has more"),
        (age("[1,2]", "FP64", "[1,2]"), "accepted are [n] or [n, 1]"),
        (age("[1,1,1]", "FP64", "[1]"), "one or two sizes"),
        (age("[]", "FP64", "[1]"), "accepted are [n]"),
        (age("[-1]", "FP64", "[1]"), "an integer from 0"),
        (age("[1.5]", "FP64", "[1]"), "an integer from 0"),
        (age("[1e300]", "FP64", "[1]"), "an integer from 0"),
        (age("[9007199254740991]", "FP64", "[1]"), "its data has 1"),
        (age("[1,1]", "FP64", "[[1,2]]"), "has more"),
        (age("[1,1]", "FP64", "[[],[1]]"), "a list of 0 where 1"),
        (age("[1]", "FP64", "1"), "the array of data"),
        (age("[1]", "FP16", "[1]"), "datatype \"FP16\" is not accepted"),
        (age("[1]", "BYTES", "[\"1\"]"), "accepted is datatype FP64"),
        (age("[1]", "BOOL", "[true]"), "accepted is datatype FP64"),
        (age("[1]", "FP64", "[\"1\"]"), "a number"),
        (age("[1]", "FP64", "[NaN]"), "NaN is not JSON"),
        (age("[1]", "INT8", "[128]"), "not an integer of its datatype"),
        (age("[1]", "UINT8", "[-1]"), "not an integer of its datatype"),
        (age("[1]", "INT32", "[0.5]"), "not an integer of its datatype"),
        (age("[1]", "FP32", "[1e39]"), "range of FP32"),
        (age("[1]", "FP64", "[1]").replace(",\"data\":[1]", ""), "binary_data_size"),
        (
            age("[1]", "FP64", "[1]").replace("{\"inputs\"", "{\"outputs\":[{\"name\":\"x\"}],\"inputs\""),
            "output \"x\"",
        ),
    ] {
        let reply = client.post("/v2/models/mixed/infer", &body);
        assert_eq!(reply.status, 400, "{body}: {reply:?}");
        assert!(reply.error().contains(named), "{body}: {}", reply.error());
    }
    let matrix = |shape: &str, data: &str| {
        format!(r#"{{"inputs":[{{"name":"input","shape":{shape},"datatype":"FP64","data":{data}}}]}}"#)
    };
    for (body, named) in [
        (matrix("[1,29]", "[]"), "[n, 30] for rows"),
        (matrix("[9007199254740991,30]", "[]"), "data has 0"),
        (matrix("[2,30]", &format!("[[{}1]]", "1,".repeat(59))), "a list of 60 where 30"),
        (matrix("[2,30]", &format!("[{}1]", "1,".repeat(58))), "data has 59"),
        (matrix("[1,30]", &"[".repeat(10_000)), "a number"),
    ] {
        let reply = client.post("/v2/models/wide/infer", &body);
        assert_eq!(reply.status, 400, "{reply:?}");
        assert!(reply.error().contains(named), "{}", reply.error());
    }
}

#[test]
fn routes_methods_and_heads() {
    let (server, _) = serve_one(mixed());
    let row = "[1,\"red\",true]";
    let lengthy = format!("content-length: {}\r\n", row.len());
    let send = |head: &str, body: &str| {
        let mut client = Client::connect(server.address().unwrap());
        client.send(format!("{head}\r\n{body}").as_bytes()).unwrap();
        client.reply().unwrap()
    };
    let with = |headers: &str| send(&format!("POST /predict HTTP/1.1\r\n{headers}{lengthy}"), row).status;
    assert_eq!(with("host: a\r\n"), 200);
    assert_eq!(with("host: a\r\ncontent-encoding: identity\r\n"), 200);
    for (headers, status) in [
        ("", 400),
        ("host: a\r\nhost: a\r\n", 400),
        ("host: a\r\ncontent-type: a/b\r\ncontent-type: a/b\r\n", 400),
        ("host: a\r\ncontent-encoding: gzip\r\n", 415),
        ("host: a\r\nexpect: tea\r\n", 417),
        ("host: a\r\ninference-header-content-length: 3\r\n", 400),
        ("host: a\r\ncontent-length: 3\r\n", 400),
        ("host: a\r\nbad header\r\n", 400),
        ("host: a\r\nbad\u{1}name: x\r\n", 400),
    ] {
        assert_eq!(with(headers), status, "{headers:?}");
    }
    for (head, status) in [
        ("POST /predict HTTP/1.1\r\nhost: a\r\n", 411),
        ("POST /predict HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n", 501),
        ("POST /predict HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n", 400),
        ("POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n", 400),
        ("POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 1x\r\n", 400),
        ("POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999\r\n", 413),
        ("GET /predict HTTP/1.1\r\nhost: a\r\n", 405),
        ("POST /v2/health/live HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n", 405),
        ("DELETE /v2/models/m HTTP/1.1\r\nhost: a\r\n", 405),
        ("GET //nothing HTTP/1.1\r\nhost: a\r\n", 404),
        ("GET /v2/models/x HTTP/1.1\r\nhost: a\r\n", 404),
        ("GET /v2/models/../m HTTP/1.1\r\nhost: a\r\n", 404),
        ("GET /v2/models/m/else HTTP/1.1\r\nhost: a\r\n", 404),
        ("OPTIONS * HTTP/1.1\r\nhost: a\r\n", 404),
        ("GE T / HTTP/1.1\r\nhost: a\r\n", 400),
        ("GET /\u{7f} HTTP/1.1\r\nhost: a\r\n", 400),
        ("GET / HTTP/3.7\r\nhost: a\r\n", 400),
        ("GET /v2 HTTP/1.0\r\n", 200),
    ] {
        let reply = send(head, "");
        assert_eq!(reply.status, status, "{head:?} {reply:?}");
        if status != 200 {
            assert!(!reply.error().is_empty());
        }
        if status == 405 {
            assert!(["GET, HEAD", "POST"].contains(&reply.header("allow").unwrap()));
        }
    }
    let path = format!("GET /{} HTTP/1.1\r\nhost: a\r\n", "a".repeat(20_000));
    assert!([414, 431].contains(&send(&path, "").status));
    let many = format!("GET /v2 HTTP/1.1\r\nhost: a\r\n{}", "x: y\r\n".repeat(200));
    assert_eq!(send(&many, "").status, 431);
    let large = format!("GET /v2 HTTP/1.1\r\nhost: a\r\nx: {}\r\n", "y".repeat(20_000));
    let reply = send(&large, "");
    assert_eq!((reply.status, reply.header("connection")), (431, Some("close")));
}

/// The same bytes cut in any way have the same answer.
#[test]
fn cuts_do_not_matter() {
    let model = mixed();
    let (server, _) = serve_one(Arc::clone(&model));
    let chunked = "POST /predict HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let requests = [
        (post("/predict", "[1,\"red\",true]"), 200),
        (format!("{chunked}4\r\n[1,\"\r\na;x=y\r\nred\",true]\r\n0\r\n\r\n"), 200),
        (format!("{chunked}zz\r\n"), 400),
        (post("/predict", "[1,\"red\",tru"), 400),
        (post("/nothing", "{}"), 404),
        ("G\u{1}T / HTTP/1.1\r\n\r\n".into(), 400),
    ];
    for (request, status) in requests {
        for piece in [1, 2, 7, 61, usize::MAX] {
            let mut client = Client::connect(server.address().unwrap());
            for bytes in request.as_bytes().chunks(piece) {
                // A refusal may come before the last byte is sent.
                if client.send(bytes).is_err() {
                    break;
                }
            }
            let reply = client.reply().unwrap_or_else(|e| panic!("{request:?} in pieces of {piece}: {e}"));
            assert_eq!(reply.status, status, "{request:?} in pieces of {piece}");
        }
    }
    let mut client = Client::connect(server.address().unwrap());
    client.send(chunked.as_bytes()).unwrap();
    let body = format!("[1,\"{}red\",true]", "r".repeat(20_000));
    let tiny: String = body.chars().map(|c| format!("1\r\n{c}\r\n")).collect();
    client.send(format!("{tiny}0\r\n\r\n").as_bytes()).unwrap();
    assert_eq!(client.reply().unwrap().status, 200);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (_server, mut client) = serve_one(mixed());
    let requests: String = (0..50).map(|i| post("/predict", &format!("[{i},\"blue\",false]"))).collect();
    client.send((requests + "BAD\r\n\r\n").as_bytes()).unwrap();
    for i in 0..50 {
        assert_eq!(client.reply().unwrap().json()["prediction"], f64::from(i));
    }
    assert!(client.reply().unwrap().error().contains("malformed"));
    assert!(client.ends());
}

#[test]
fn a_truncated_body_is_refused() {
    let (_server, mut client) = serve_one(mixed());
    client.send(b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n[1,").unwrap();
    client.end_of_requests();
    let reply = client.reply().unwrap();
    assert_eq!((reply.status, reply.error().contains("announced length")), (400, true));
    assert!(client.ends());
}

/// A refusal before the body is read leaves the connection usable or says that it closes.
#[test]
fn refused_before_the_body() {
    let (server, mut client) = serve_one(mixed());
    for path in ["/nothing", "/v2", "/predict/other"] {
        let reply = client.post(path, "{\"a\": 1}");
        assert!([404, 405].contains(&reply.status) && reply.header("connection").is_none());
    }
    assert_eq!(client.post("/predict", "[1,\"red\",true]").status, 200);
    let mut head = Client::connect(server.address().unwrap());
    head.send(b"HEAD /v2/health/live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    assert!(head.reply().unwrap_err().kind() == std::io::ErrorKind::UnexpectedEof, "a head without its body");
    for request in [
        post("/nothing", &"x".repeat(100_000)),
        "POST /nothing HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\n[1]\r\n0\r\n\r\n".into(),
        "POST /nothing HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n".into(),
    ] {
        let mut client = Client::connect(server.address().unwrap());
        client.send(request.as_bytes()).unwrap();
        let reply = client.reply().unwrap();
        assert_eq!((reply.status, reply.header("connection")), (404, Some("close")));
        assert!(client.ends());
    }
}

#[test]
fn expect_continue() {
    let (_server, mut client) = serve_one(mixed());
    client
        .send(b"POST /predict HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 14\r\n\r\n")
        .unwrap();
    assert_eq!(client.reply().unwrap().status, 100);
    client.send(b"[1,\"red\",true]").unwrap();
    assert_eq!(client.reply().unwrap().status, 200);
    // A body that would be refused is not asked for.
    client
        .send(
            b"POST /predict HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 99999999\r\n\r\n",
        )
        .unwrap();
    assert_eq!(client.reply().unwrap().status, 413);
    assert!(client.ends());
}
