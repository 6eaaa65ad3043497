//! What a pool and its workers say to each other.
//!
//! A message is 4 bytes `TWP1`, its length in 4 bytes (little-endian, without these 8), a head in postcard, and a body of
//! bytes that the head does not describe: a setup, a job, an answer, or the text of an error.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::io::{self, Read, Write};

const MAGIC: &[u8; 4] = b"TWP1";
/// Bytes of a message at most.
pub(super) const MOST: usize = 1 << 30;

/// The version of both sides, which must be the same: what jobs mean is not fixed across versions.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// To a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Order {
    /// The first message. The body is the setup.
    Start {
        version: String,
        kind: String,
        /// The number of the shared file that was inherited.
        file: Option<u32>,
    },
    /// Do this. The body is the job.
    Job { number: u64 },
}

/// From a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Reply {
    /// It can take jobs.
    Ready,
    /// The body is the answer.
    Done { number: u64 },
    /// The body says why not.
    Failed { number: u64 },
    /// It takes no jobs. The body says why.
    Refused,
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Writes a message.
///
/// # Errors
/// When `to` fails; of kind `InvalidInput` when the message is too long.
pub(super) fn send(to: &mut impl Write, head: &impl Serialize, body: &[u8]) -> io::Result<()> {
    let head = postcard::to_stdvec(head).map_err(io::Error::other)?;
    let length = head.len() + body.len();
    if length > MOST {
        let what = format!("a message of {length} bytes is too long for a pool: it takes up to {MOST}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    to.write_all(&[&MAGIC[..], &(length as u32).to_le_bytes(), &head].concat())?;
    to.write_all(body)?;
    to.flush()
}

/// Reads a message; `None` where there is none any more.
///
/// # Errors
/// When `from` fails or ends in a message; of kind `InvalidData` when what comes is none.
pub(super) fn receive<H: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<(H, Vec<u8>)>> {
    let mut front = Vec::new();
    from.take(8).read_to_end(&mut front)?;
    if front.is_empty() {
        return Ok(None);
    }
    if !front.starts_with(&MAGIC[..front.len().min(4)]) {
        let shown = String::from_utf8_lossy(&front).escape_debug().to_string();
        return Err(invalid(format!("bytes that are no message: they begin with \"{shown}\"")));
    }
    let Some(&[a, b, c, d]) = front.get(4..8) else { return Err(io::ErrorKind::UnexpectedEof.into()) };
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length > MOST {
        return Err(invalid(format!("a message of {length} bytes; {MOST} at most are accepted")));
    }
    // Memory grows as bytes come in, not as a length asks.
    let mut bytes = Vec::new();
    from.take(length as u64).read_to_end(&mut bytes)?;
    if bytes.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let (head, body) =
        postcard::take_from_bytes(&bytes).map_err(|e| invalid(format!("a message without a head: {e}")))?;
    let front = bytes.len() - body.len();
    bytes.drain(..front);
    Ok(Some((head, bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(head: &impl Serialize, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        send(&mut bytes, head, body).unwrap();
        bytes
    }

    #[test]
    fn messages_come_one_after_another() {
        let start = Order::Start { version: VERSION.into(), kind: "trees".into(), file: Some(3) };
        let bytes = [sent(&start, b"setup"), sent(&Order::Job { number: 7 }, b"")].concat();
        let mut from = &bytes[..];
        assert_eq!(receive(&mut from).unwrap(), Some((start, b"setup".to_vec())));
        assert_eq!(receive(&mut from).unwrap(), Some((Order::Job { number: 7 }, Vec::new())));
        assert_eq!(receive::<Order>(&mut from).unwrap(), None);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let bytes = sent(&Reply::Done { number: 300 }, b"answer");
        let kind = |bytes: &[u8]| receive::<Reply>(&mut &*bytes).map_err(|e| e.kind());
        for length in 1..bytes.len() {
            assert_eq!(kind(&bytes[..length]), Err(io::ErrorKind::UnexpectedEof), "{length}");
        }
        assert_eq!(kind(b"hello, world"), Err(io::ErrorKind::InvalidData));
        assert_eq!(kind(b"hi"), Err(io::ErrorKind::InvalidData));
        assert_eq!(kind(b"TWP1\xff\xff\xff\xff"), Err(io::ErrorKind::InvalidData));
        // A long message that does not come takes no memory.
        assert_eq!(kind(b"TWP1\x00\x00\x00\x40rest"), Err(io::ErrorKind::UnexpectedEof));
        // No head, and a head that is none of those known.
        assert_eq!(kind(b"TWP1\x00\x00\x00\x00"), Err(io::ErrorKind::InvalidData));
        assert_eq!(kind(b"TWP1\x01\x00\x00\x00\x09"), Err(io::ErrorKind::InvalidData));
    }
}
