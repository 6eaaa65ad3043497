//! Writing replies. Numbers are the shortest text that reads back to the same double; NaN and infinities, which JSON
//! lacks, are written as null.

use crate::failure::Failure;
use crate::rows::Rows;
use crate::served::Served;
use crate::tensors::{Output, Tensors};
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

pub(crate) type Reply = Response<Full<Bytes>>;

/// A reply of JSON.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

/// The reply to a request that failed.
#[cold]
pub(crate) fn failure(failure: &Failure) -> Reply {
    let mut reply = json(failure.status, error_body(&failure.message));
    if let Some(allow) = failure.allow {
        reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    if failure.status == StatusCode::SERVICE_UNAVAILABLE {
        reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if failure.close {
        close(&mut reply);
    }
    reply
}

/// The connection ends after this reply.
pub(crate) fn close(reply: &mut Reply) {
    reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
}

/// `{"error": "..."}`
pub(crate) fn error_body(message: &str) -> String {
    format!("{{\"error\":{}}}", crate::served::quote(message))
}

fn number(out: &mut BytesMut, x: f64) {
    // Writing into memory does not fail.
    let _ = serde_json::to_writer(out.writer(), &x);
}

fn integer(out: &mut BytesMut, x: u64) {
    let _ = serde_json::to_writer(out.writer(), &x);
}

fn separated<T>(out: &mut BytesMut, items: impl Iterator<Item = T>, mut write: impl FnMut(&mut BytesMut, T)) {
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.put_u8(b',');
        }
        write(out, item);
    }
}

/// The most probable class, the first of equals; null where a probability is not a number.
fn label(out: &mut BytesMut, served: &Served, probabilities: &[f64]) {
    let mut best = 0;
    for (i, &p) in probabilities.iter().enumerate() {
        if p.is_nan() {
            return out.put_slice(b"null");
        }
        if p > probabilities[best] {
            best = i;
        }
    }
    out.put_slice(served.classes[best].as_bytes());
}

/// The prediction of one row: a label, a number, or the list of several targets.
fn prediction(out: &mut BytesMut, served: &Served, row: &[f64]) {
    if !served.classes.is_empty() {
        label(out, served, row);
    } else if let [x] = row {
        number(out, *x);
    } else {
        out.put_u8(b'[');
        separated(out, row.iter(), |out, &x| number(out, x));
        out.put_u8(b']');
    }
}

/// Probabilities by class.
fn probabilities(out: &mut BytesMut, served: &Served, row: &[f64]) {
    out.put_u8(b'{');
    separated(out, served.classes.iter().zip(row), |out, (class, &p)| {
        out.put_slice(class.as_bytes());
        out.put_u8(b':');
        number(out, p);
    });
    out.put_u8(b'}');
}

/// The reply to `POST /predict`.
pub(crate) fn rows(out: &mut BytesMut, served: &Served, rows: Rows, answers: &[f64]) {
    if rows.single {
        out.put_slice(b"{\"prediction\":");
        prediction(out, served, answers);
        if !served.classes.is_empty() {
            out.put_slice(b",\"probabilities\":");
            probabilities(out, served, answers);
        }
        return out.put_u8(b'}');
    }
    out.put_slice(b"{\"predictions\":[");
    separated(out, answers.chunks_exact(served.outputs), |out, row| prediction(out, served, row));
    if !served.classes.is_empty() {
        out.put_slice(b"],\"probabilities\":[");
        separated(out, answers.chunks_exact(served.outputs), |out, row| probabilities(out, served, row));
    }
    out.put_slice(b"]}");
}

/// The reply to `POST /v2/models/{name}/infer`.
pub(crate) fn tensors(out: &mut BytesMut, served: &Served, request: &Tensors, answers: &[f64]) {
    out.put_slice(b"{\"model_name\":\"");
    out.put_slice(served.name.as_bytes());
    out.put_slice(b"\",\"model_version\":\"");
    integer(out, served.version);
    out.put_u8(b'"');
    if let Some(id) = &request.id {
        out.put_slice(b",\"id\":");
        out.put_slice(crate::served::quote(id).as_bytes());
    }
    out.put_slice(b",\"outputs\":[");
    let all: &[Output] = match (&request.outputs[..], served.classes.is_empty()) {
        ([], true) => &[Output::Prediction],
        ([], false) => &[Output::Prediction, Output::Probabilities],
        (wanted, _) => wanted,
    };
    separated(out, all.iter(), |out, output| tensor(out, served, *output, request.rows, answers));
    out.put_slice(b"]}");
}

fn tensor(out: &mut BytesMut, served: &Served, output: Output, rows: usize, answers: &[f64]) {
    let labels = output == Output::Prediction && !served.classes.is_empty();
    out.put_slice(match output {
        Output::Prediction => b"{\"name\":\"prediction\",\"shape\":[",
        Output::Probabilities => b"{\"name\":\"probabilities\",\"shape\":[",
    });
    integer(out, rows as u64);
    if !labels && (served.outputs > 1 || output == Output::Probabilities) {
        out.put_u8(b',');
        integer(out, served.outputs as u64);
    }
    out.put_slice(if labels {
        b"],\"datatype\":\"BYTES\",\"data\":["
    } else {
        b"],\"datatype\":\"FP64\",\"data\":["
    });
    if labels {
        separated(out, answers.chunks_exact(served.outputs), |out, row| label(out, served, row));
    } else {
        separated(out, answers.iter(), |out, &x| number(out, x));
    }
    out.put_slice(b"]}");
}
