//! Writing replies. Numbers are the shortest text that reads back to the same double; NaN and infinities, which JSON
//! lacks, are written as null.

use crate::failure::Failure;
use crate::predict::Done;
use crate::rows::Rows;
use crate::served::Served;
use crate::tensors::{Output, Tensors, Wanted};
use crate::waiting::Waiting;
use bytes::{BufMut, Bytes};
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

pub(crate) type Reply = Response<Pieces>;

/// Bytes of a reply that hyper gets at a time. It copies them into a buffer that the connection keeps: a large reply whole
/// would stay there, read or not, for as long as the connection.
const PIECE: usize = 64 * 1024;

/// A body that is there, given away piece by piece as the client reads it; the memory that it occupies stays counted.
pub(crate) struct Pieces {
    left: Bytes,
    /// What the body of the request occupied, and now this one does.
    _share: Option<Waiting>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let piece = self.left.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.left.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}

/// A reply of JSON.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Pieces { left: body.into(), _share: None });
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

/// A prediction; of its text the first `json` bytes are JSON and binary data follows, where there is such a number.
pub(crate) fn predicted(Done { reply: text, json, share, .. }: Done) -> Reply {
    let mut reply = self::json(StatusCode::OK, text);
    reply.body_mut()._share = share;
    if let Some(json) = json {
        let headers = reply.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(INFERENCE_HEADER, HeaderValue::from(json));
    }
    reply
}

/// Where JSON ends in a body with binary tensors.
const INFERENCE_HEADER: header::HeaderName =
    header::HeaderName::from_static("inference-header-content-length");

/// The reply to a request that failed.
#[cold]
pub(crate) fn failure(failure: &Failure) -> Reply {
    let mut reply = json(failure.status, error_body(&failure.message));
    if let Some(allow) = failure.allow {
        reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    if failure.status == StatusCode::SERVICE_UNAVAILABLE {
        reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(failure.retry_after));
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

fn number(out: &mut Vec<u8>, x: f64) {
    // Writing into memory does not fail.
    let _ = serde_json::to_writer(out.writer(), &x);
}

fn integer(out: &mut Vec<u8>, x: u64) {
    let _ = serde_json::to_writer(out.writer(), &x);
}

fn separated<T>(out: &mut Vec<u8>, items: impl Iterator<Item = T>, mut write: impl FnMut(&mut Vec<u8>, T)) {
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.put_u8(b',');
        }
        write(out, item);
    }
}

/// The most probable class, the first of equals; none where a probability is not a number.
fn best(probabilities: &[f64]) -> Option<usize> {
    let mut best = 0;
    for (i, &p) in probabilities.iter().enumerate() {
        if p.is_nan() {
            return None;
        }
        if p > probabilities[best] {
            best = i;
        }
    }
    Some(best)
}

/// The label of a row, null where there is none.
fn label(out: &mut Vec<u8>, served: &Served, probabilities: &[f64]) {
    out.put_slice(best(probabilities).map_or(b"null", |i| served.classes[i].as_bytes()));
}

/// The prediction of one row: a label, a number, or the list of several targets.
fn prediction(out: &mut Vec<u8>, served: &Served, row: &[f64]) {
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
fn probabilities(out: &mut Vec<u8>, served: &Served, row: &[f64]) {
    out.put_u8(b'{');
    separated(out, served.classes.iter().zip(row), |out, (class, &p)| {
        out.put_slice(class.as_bytes());
        out.put_u8(b':');
        number(out, p);
    });
    out.put_u8(b'}');
}

/// The reply to `POST /predict`.
pub(crate) fn rows(out: &mut Vec<u8>, served: &Served, rows: Rows, answers: &[f64]) {
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

/// The reply to `POST /v2/models/{name}/infer`. Returns the bytes of its JSON where binary data follows.
pub(crate) fn tensors(
    out: &mut Vec<u8>,
    served: &Served,
    request: &Tensors,
    answers: &[f64],
) -> Option<usize> {
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
    let all = wanted(served, request);
    let is_binary = |wanted: &Wanted| wanted.binary.unwrap_or(request.binary);
    separated(out, all.iter(), |out, wanted| {
        tensor(out, served, wanted.output, is_binary(wanted), request.rows, answers);
    });
    out.put_slice(b"]}");
    let json = out.len();
    let mut binary = all.iter().filter(|wanted| is_binary(wanted)).peekable();
    binary.peek()?;
    for wanted in binary {
        if wanted.output == Output::Prediction && !served.classes.is_empty() {
            for text in labels(served, answers) {
                // A name of gigabytes fits no model file.
                out.put_u32_le(text.len() as u32);
                out.put_slice(text.as_bytes());
            }
        } else {
            out.reserve(size_of_val(answers));
            answers.iter().for_each(|&x| out.put_f64_le(x));
        }
    }
    Some(json)
}

/// Digits, sign, point and exponent of the longest number, and the comma behind it.
const NUMBER: usize = 25;

/// Of `null`, which stands for a label where there is none.
const NULL: usize = 4;

/// The most bytes that the reply to `POST /predict` for so many rows can have.
pub(crate) fn most_of_rows(served: &Served, rows: usize) -> usize {
    let numbers = served.outputs.saturating_mul(NUMBER);
    let row = match served.classes.is_empty() {
        true => numbers.saturating_add(3),
        // The label, and each class with its probability behind a colon.
        false => served.longest.max(NULL) + 1 + numbers + served.outputs + served.named + 3,
    };
    row.saturating_mul(rows).saturating_add(64)
}

/// The most bytes that the reply to an inference request can have.
pub(crate) fn most_of_tensors(served: &Served, request: &Tensors) -> usize {
    let of_output = |wanted: &Wanted| {
        let is_labels = wanted.output == Output::Prediction && !served.classes.is_empty();
        let row = match (is_labels, wanted.binary.unwrap_or(request.binary)) {
            (true, true) => 4 + served.longest,
            (true, false) => served.longest.max(NULL) + 1,
            (false, true) => served.outputs.saturating_mul(size_of::<f64>()),
            (false, false) => served.outputs.saturating_mul(NUMBER),
        };
        row.saturating_mul(request.rows).saturating_add(160)
    };
    let of_outputs = wanted(served, request).iter().map(of_output).fold(0, usize::saturating_add);
    // Every byte of the identity may be written as six.
    let id = request.id.as_ref().map_or(0, |id| 6 * id.len() + 8);
    of_outputs.saturating_add(served.name.len() + id + 96)
}

/// The outputs that a request asks for: all where it names none.
fn wanted<'r>(served: &Served, request: &'r Tensors) -> &'r [Wanted] {
    const ALL: [Wanted; 2] = [Wanted::plain(Output::Prediction), Wanted::plain(Output::Probabilities)];
    match (&request.outputs[..], served.classes.is_empty()) {
        ([], true) => &ALL[..1],
        ([], false) => &ALL,
        (named, _) => named,
    }
}

/// The labels of all rows as plain text, empty where a probability is not a number.
fn labels<'s>(served: &'s Served, answers: &'s [f64]) -> impl Iterator<Item = &'s str> {
    answers.chunks_exact(served.outputs).map(|row| best(row).map_or("", |i| &served.labels[i]))
}

fn tensor(out: &mut Vec<u8>, served: &Served, output: Output, binary: bool, rows: usize, answers: &[f64]) {
    let is_labels = output == Output::Prediction && !served.classes.is_empty();
    out.put_slice(match output {
        Output::Prediction => b"{\"name\":\"prediction\",\"shape\":[",
        Output::Probabilities => b"{\"name\":\"probabilities\",\"shape\":[",
    });
    integer(out, rows as u64);
    if !is_labels && (served.outputs > 1 || output == Output::Probabilities) {
        out.put_u8(b',');
        integer(out, served.outputs as u64);
    }
    out.put_slice(if is_labels { b"],\"datatype\":\"BYTES\"," } else { b"],\"datatype\":\"FP64\"," });
    if binary {
        let size = match is_labels {
            true => labels(served, answers).map(|text| 4 + text.len()).sum(),
            false => size_of_val(answers),
        };
        out.put_slice(b"\"parameters\":{\"binary_data_size\":");
        integer(out, size as u64);
        return out.put_slice(b"}}");
    }
    out.put_slice(b"\"data\":[");
    if is_labels {
        separated(out, answers.chunks_exact(served.outputs), |out, row| label(out, served, row));
    } else {
        separated(out, answers.iter(), |out, &x| number(out, x));
    }
    out.put_slice(b"]}");
}
