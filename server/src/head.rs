//! What a request's head must be, beyond what hyper demands of it.
//!
//! hyper reads `Transfer-Encoding: gzip, chunked` as chunked, and lets a missing or second `Host` pass. Whoever stands
//! in front of the server may read such a request in another way, so it is refused.

use crate::failure::{Failure, Result};
use hyper::header::{self, HeaderMap};
use hyper::{StatusCode, Version};
use std::time::Duration;

/// What the headers say about the body.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Head {
    /// Whether they announce one.
    pub(crate) body: bool,
    /// Whether the client waits for a 100 before it sends the body.
    pub(crate) expects: bool,
    /// Bytes of JSON at the beginning of the body, behind which binary tensors follow.
    pub(crate) json: Option<usize>,
    /// Within what time the answer is wanted.
    pub(crate) timeout: Option<Duration>,
}

/// Checks version and headers in one pass.
pub(crate) fn check(version: Version, headers: &HeaderMap) -> Result<Head> {
    let (mut hosts, mut types) = (0, 0);
    let mut head = Head::default();
    for (name, value) in headers {
        if *name == header::HOST {
            hosts += 1;
        } else if *name == header::CONTENT_LENGTH {
            head.body = true;
        } else if *name == header::CONTENT_TYPE {
            types += 1;
        } else if *name == header::TRANSFER_ENCODING {
            head.body = true;
            if !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
                return Err(refuse(
                    StatusCode::NOT_IMPLEMENTED,
                    "of transfer encodings only \"chunked\" is known",
                ));
            }
        } else if *name == header::CONTENT_ENCODING {
            if !value.as_bytes().eq_ignore_ascii_case(b"identity") {
                return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must not be compressed"));
            }
        } else if *name == header::EXPECT {
            if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") {
                return Err(refuse(StatusCode::EXPECTATION_FAILED, "only 100-continue can be expected"));
            }
            head.expects = true;
        } else if name.as_str() == "inference-header-content-length" {
            let digits = value.as_bytes().iter().all(u8::is_ascii_digit);
            let length = value.to_str().ok().filter(|_| digits).and_then(|text| text.parse().ok());
            if head.json.is_some() || length.is_none() {
                return Err(refuse(
                    StatusCode::BAD_REQUEST,
                    "there is one Inference-Header-Content-Length, a number of bytes in digits",
                ));
            }
            head.json = length;
        } else if name.as_str() == "x-request-timeout-ms" {
            let digits = value.as_bytes().iter().all(u8::is_ascii_digit);
            let milliseconds: Option<u32> = value
                .to_str()
                .ok()
                .filter(|_| digits)
                .and_then(|text| text.parse().ok())
                .filter(|&ms| ms > 0);
            if head.timeout.is_some() || milliseconds.is_none() {
                return Err(refuse(
                    StatusCode::BAD_REQUEST,
                    "there is one X-Request-Timeout-Ms, a number from 1 to 4294967295 in digits",
                ));
            }
            head.timeout = milliseconds.map(|ms| Duration::from_millis(ms.into()));
        }
    }
    if hosts > 1 {
        return Err(refuse(StatusCode::BAD_REQUEST, "there is more than one Host header"));
    }
    if hosts == 0 && version >= Version::HTTP_11 {
        return Err(refuse(StatusCode::BAD_REQUEST, "there is no Host header"));
    }
    if types > 1 {
        return Err(refuse(StatusCode::BAD_REQUEST, "there is more than one Content-Type header"));
    }
    Ok(head)
}

/// Such a request's end is not trusted: the connection closes.
#[cold]
fn refuse(status: StatusCode, message: &str) -> Failure {
    Failure::new(status, message).closing()
}
