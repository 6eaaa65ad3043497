//! The side of the worker: reads jobs from stdin, writes answers to stdout.

use super::message::{self, Order, Reply, VERSION};
use super::shared;
use crate::part::Part;
use crate::{Error, Result};
use std::io::{self, IsTerminal, Read, Write};
use std::sync::mpsc;
use tilewise_kernels::parallel;

/// What a worker is started with.
#[derive(Debug)]
pub struct Start {
    /// Which jobs it is to do.
    pub kind: String,
    /// What it needs to know for all of them.
    pub setup: Vec<u8>,
    /// The file that the pool shares with its workers.
    pub part: Option<Part>,
}

/// Does one job after another.
pub type Work = Box<dyn FnMut(&[u8]) -> Result<Vec<u8>>>;

/// Does the jobs of the pool that started this process, until the pool has gone; then the process exits, in the middle of a
/// job if need be. `begin` is called once. Everything runs on one thread. Nothing else may be written to stdout.
///
/// # Errors
/// When stdin is a terminal, or what comes from there or the start is not accepted; the pool is told too.
pub fn serve(begin: impl FnOnce(Start) -> Result<Work>) -> Result<()> {
    let (from, mut to) = (io::stdin(), io::stdout().lock());
    if from.is_terminal() {
        let what = "a worker process is started by the process that it works for, and talks with it by stdin and stdout";
        return Err(Error::Worker(what.into()));
    }
    serve_between(from, &mut to, begin, || std::process::exit(0))
}

/// As [`serve`]. `gone` is called, on another thread, when `from` ends.
fn serve_between(
    mut from: impl Read + Send + 'static,
    to: &mut impl Write,
    begin: impl FnOnce(Start) -> Result<Work>,
    gone: impl FnOnce() + Send + 'static,
) -> Result<()> {
    // Whoever works does not see that the pool has gone, so another thread reads.
    let (send, orders) = mpsc::channel();
    let read = move || {
        loop {
            match message::receive::<Order>(&mut from) {
                Ok(Some(order)) => {
                    if send.send(Ok(order)).is_err() {
                        return;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                    // Whoever listens refuses; if nobody does, nobody need be told.
                    let _ = send.send(Err(Error::Worker(format!("stdin holds {e}"))));
                    return;
                }
                Ok(None) | Err(_) => return gone(),
            }
        }
    };
    std::thread::Builder::new().spawn(read).map_err(|e| Error::Worker(format!("no thread: {e}")))?;
    let mut begin = Some(begin);
    let mut work: Option<Work> = None;
    for order in orders {
        let done = order.and_then(|(order, body)| match (order, &mut work) {
            (Order::Start { version, kind, file }, None) => {
                if version != VERSION {
                    let what = format!("it is version {VERSION}; the process that started it is {version}");
                    return Err(Error::Worker(what));
                }
                let part = file.map(|number| Part::new(&shared::open(number)?)).transpose()?;
                let start = Start { kind, setup: body, part };
                if let Some(begin) = begin.take() {
                    work = Some(parallel::on_this_thread(|| begin(start))?);
                }
                Ok((Reply::Ready, Vec::new()))
            }
            (Order::Job { number }, Some(work)) => Ok(match parallel::on_this_thread(|| work(&body)) {
                Ok(answer) => (Reply::Done { number }, answer),
                Err(e) => (Reply::Failed { number }, e.to_string().into_bytes()),
            }),
            (Order::Start { .. }, Some(_)) => Err(Error::Worker("it was started twice".into())),
            (Order::Job { .. }, None) => Err(Error::Worker("a job came before the start".into())),
        });
        let (reply, body, error) = match done {
            Ok((reply, body)) => (reply, body, None),
            Err(e) => (Reply::Refused, e.to_string().into_bytes(), Some(e)),
        };
        let sent = match (message::send(to, &reply, &body), &reply) {
            // Nothing of it was written. Done again the answer would be as long, so this is an error and no loss.
            (Err(e), Reply::Done { number }) if e.kind() == io::ErrorKind::InvalidInput => {
                let why = format!("the answer to job {number} cannot be sent: {e}");
                message::send(to, &Reply::Failed { number: *number }, why.as_bytes())
            }
            (sent, _) => sent,
        };
        let sent = sent.map_err(|e| Error::io("<stdout>", e));
        if let Some(error) = error {
            return Err(error);
        }
        sent?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a worker replies to these orders, and how it ends. Its work is to turn jobs round; an empty one is an error.
    fn told(orders: Vec<u8>) -> (Vec<(Reply, String)>, Result<()>) {
        let begin = |start: Start| -> Result<Work> {
            assert!(start.part.is_none());
            if start.kind != "turn round" {
                return Err(Error::Worker(format!("it knows no {:?}", start.kind)));
            }
            Ok(Box::new(|job: &[u8]| match job {
                b"" => Err(Error::Fit("nothing to turn round".into())),
                // Zeros that nobody reads take no memory.
                b"too long" => Ok(vec![0; message::MOST]),
                job => Ok(job.iter().rev().copied().collect()),
            }))
        };
        let mut out = Vec::new();
        let ended = serve_between(io::Cursor::new(orders), &mut out, begin, || ());
        let (mut from, mut replies) = (&out[..], Vec::new());
        while let Some((reply, body)) = message::receive(&mut from).unwrap() {
            replies.push((reply, String::from_utf8(body).unwrap()));
        }
        (replies, ended)
    }

    fn sent(orders: &[(Order, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        orders.iter().for_each(|(order, body)| message::send(&mut bytes, order, body).unwrap());
        bytes
    }

    fn start(kind: &str) -> (Order, &'static [u8]) {
        (Order::Start { version: VERSION.into(), kind: kind.into(), file: None }, b"")
    }

    #[test]
    fn jobs_are_answered_or_fail_one_by_one() {
        let jobs: [(Order, &[u8]); 2] = [(Order::Job { number: 4 }, b"abc"), (Order::Job { number: 2 }, b"")];
        let (replies, ended) = told(sent(&[&[start("turn round")], &jobs[..]].concat()));
        let expected = [
            (Reply::Ready, String::new()),
            (Reply::Done { number: 4 }, "cba".into()),
            (Reply::Failed { number: 2 }, "nothing to turn round".into()),
        ];
        assert_eq!(replies, expected);
        ended.unwrap();
    }

    #[test]
    fn an_answer_that_is_too_long_is_an_error_of_its_job() {
        let jobs: [(Order, &[u8]); 2] =
            [(Order::Job { number: 0 }, b"too long"), (Order::Job { number: 1 }, b"abc")];
        let (replies, ended) = told(sent(&[&[start("turn round")], &jobs[..]].concat()));
        let (reply, text) = &replies[1];
        assert!(*reply == Reply::Failed { number: 0 } && text.contains("answer to job 0"), "{text}");
        assert!(text.contains("up to 1073741824"), "{text}");
        // The worker is as good as before.
        assert_eq!(replies[2..], [(Reply::Done { number: 1 }, "cba".into())]);
        ended.unwrap();
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |bytes: Vec<u8>, why: &str| {
            let (replies, ended) = told(bytes);
            let (reply, text) = replies.last().unwrap();
            assert!(*reply == Reply::Refused && text.contains(why), "{text}");
            assert_eq!(ended.unwrap_err().to_string(), *text);
        };
        let job: (Order, &[u8]) = (Order::Job { number: 0 }, b"x");
        refused(sent(&[job]), "before the start");
        refused(sent(&[start("turn round"), start("turn round")]), "started twice");
        refused(sent(&[start("dance")]), "\"dance\"");
        refused(b"hello, world".to_vec(), "begin with \"hello, w\"");
        let old = Order::Start { version: "0.0.1".into(), kind: "turn round".into(), file: None };
        refused(sent(&[(old, b"")]), "0.0.1");
        let file = Order::Start { version: VERSION.into(), kind: "turn round".into(), file: Some(99_999) };
        refused(sent(&[(file, b"")]), "99999");
    }
}
