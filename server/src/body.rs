//! Reading a request's body within its limits of size and time.

use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::waiting::Waiting;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::{Body as _, Frame, Incoming};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// A body, and the share of memory that a large one occupies.
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    pub(crate) share: Option<Waiting>,
}

/// Reads the whole of `incoming`.
///
/// A body that came with its head is one piece, which is not copied, and whose clock is never started: the first wait
/// is for hyper to hand it over, only the second is for the client.
pub(crate) async fn read(mut incoming: Incoming, config: &Config, waiting: &Waiting) -> Result<Body> {
    let too_large = || {
        let message = format!("the body is larger than {} bytes", config.max_body);
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message).closing()
    };
    let announced = incoming.size_hint().exact();
    let length = match announced {
        Some(n) if n > config.max_body as u64 => return Err(too_large()),
        Some(n) => n as usize,
        None => usize::MAX,
    };
    let mut share = waiting.empty();
    let mut clock = None;
    let mut first = Bytes::new();
    let mut rest: Vec<u8> = Vec::new();
    loop {
        let size = first.len() + rest.len();
        if size == length {
            break;
        }
        let mut waited = false;
        let piece = poll_fn(|cx| {
            if let Poll::Ready(piece) = Pin::new(&mut incoming).poll_frame(cx) {
                return Poll::Ready(Ok(piece));
            }
            if waited || size > 0 {
                let clock = clock.get_or_insert_with(|| Box::pin(tokio::time::sleep(config.body_timeout)));
                if clock.as_mut().poll(cx).is_ready() {
                    let message = format!("the body did not arrive within {:?}", config.body_timeout);
                    return Poll::Ready(Err(Failure::new(StatusCode::REQUEST_TIMEOUT, message).closing()));
                }
            }
            waited = true;
            Poll::Pending
        })
        .await?;
        match piece {
            None => break,
            Some(Err(_)) => {
                let message = if announced.is_some() {
                    "the body ends before its announced length"
                } else {
                    "the body is not in the form its headers announce"
                };
                return Err(Failure::bad(message).closing());
            }
            Some(Ok(frame)) => {
                let Ok(data) = Frame::into_data(frame) else { continue };
                let size = size + data.len();
                if size > config.max_body {
                    return Err(too_large());
                }
                if size > config.inline_bytes {
                    // Counted as it comes, so that announcing a lot and sending nothing takes no room from others.
                    share.grow(size)?;
                }
                if size == data.len() {
                    first = data;
                } else {
                    if rest.is_empty() {
                        // Grows with what comes, not with what was announced.
                        rest.reserve((2 * size).min(length.min(config.max_body)));
                        rest.extend_from_slice(&first);
                        first = Bytes::new();
                    }
                    rest.extend_from_slice(&data);
                }
            }
        }
    }
    let bytes = if rest.is_empty() { first } else { Bytes::from(rest) };
    if announced.is_some() && bytes.len() != length {
        return Err(Failure::bad("the body ends before its announced length").closing());
    }
    Ok(Body { bytes, share: (share.size() > 0).then_some(share) })
}
