//! A line per request on the standard output or in a file, in gunicorn's form; off unless asked for.
//!
//! Workers never wait for whoever reads the lines: they pass through a bounded queue to a thread of their own, and are
//! dropped and counted when it is full. A line is at most [`LINE`] bytes long, so that the queue is bounded in bytes too:
//! 8 MiB wait at most, and 1 MiB is being written.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

/// Lines that may wait.
const QUEUE: usize = 8192;

/// Lines that are written at a time.
const WRITTEN: usize = 1024;

/// The longest line in bytes: what clients choose is cut, the rest (address, time, numbers) has fewer than 180 bytes.
const LINE: usize = 1024;

/// Bytes of a line that clients choose, escapes included.
const METHOD: usize = 32;
const PATH: usize = 512;
const AGENT: usize = 256;

/// A text as a line holds it: nothing but printable ASCII, cut to `most` bytes, and then with three dots at its end.
fn cut(text: &str, most: usize) -> String {
    // Escapes are ASCII: a character of them is a byte.
    let mut out: String = text.escape_default().take(most + 1).collect();
    if out.len() > most {
        out.replace_range(most - 3.., "...");
    }
    out
}

/// Where lines go in; the thread ends when the last is dropped.
#[derive(Clone)]
pub(crate) struct AccessLog {
    lines: SyncSender<Line>,
    /// Lines that were not written.
    dropped: Arc<AtomicU64>,
    /// The file was moved away: it is to be opened anew.
    moved: Arc<AtomicBool>,
}

enum Line {
    Text(String),
    /// Look whether the file was moved away.
    Look,
}

impl AccessLog {
    /// Opens the file, and starts the thread that writes.
    pub(crate) fn start(path: &Path) -> io::Result<(Self, JoinHandle<()>)> {
        let (lines, queue) = sync_channel(QUEUE);
        let (path, out) = (path.to_owned(), open(path)?);
        let moved = Arc::<AtomicBool>::default();
        let (is_moved, dropped) = (Arc::clone(&moved), Arc::<AtomicU64>::default());
        let lost = Arc::clone(&dropped);
        let thread = std::thread::Builder::new()
            .name("tilewise-log".into())
            .spawn(move || write_all(&path, out, &queue, &is_moved, &lost))?;
        Ok((Self { lines, dropped, moved }, thread))
    }

    /// Has the file opened anew, once what waits is written.
    pub(crate) fn reopen(&self) {
        self.moved.store(true, Ordering::Release);
        // Where the queue is full the thread is awake, and looks.
        let _ = self.lines.try_send(Line::Look);
    }

    /// Lines that found the queue full, or that could not be written.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Adds `host - - [time] "request" status bytes "referer" "agent" microseconds`.
    pub(crate) fn write(&self, entry: &Entry<'_>) {
        let Entry { peer, method, path, status, bytes, agent, micros } = entry;
        let (method, path, agent) = (cut(method, METHOD), cut(path, PATH), cut(agent, AGENT));
        let peer = peer.map_or_else(|| "-".to_owned(), |peer| peer.to_string());
        let time = time(SystemTime::now());
        // With room for the whole of it, and no more: what waits is bounded by this.
        let mut line =
            String::with_capacity(LINE - METHOD - PATH - AGENT + method.len() + path.len() + agent.len());
        // Writing into memory does not fail.
        let _ = writeln!(
            line,
            "{peer} - - [{time}] \"{method} {path}\" {status} {bytes} \"-\" \"{agent}\" {micros}"
        );
        if self.lines.try_send(Line::Text(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What a line tells.
pub(crate) struct Entry<'a> {
    /// None is written as `-`.
    pub(crate) peer: Option<std::net::IpAddr>,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    pub(crate) agent: &'a str,
    pub(crate) micros: u128,
}

/// Where lines go: a file, or the standard output for `-`.
fn open(path: &Path) -> io::Result<Option<File>> {
    match path.as_os_str() == "-" {
        true => Ok(None),
        false => OpenOptions::new().create(true).append(true).open(path).map(Some),
    }
}

/// Writes what waits, and counts what could not be.
fn write_all(
    path: &Path,
    mut file: Option<File>,
    queue: &Receiver<Line>,
    moved: &AtomicBool,
    lost: &AtomicU64,
) {
    let (mut waiting, mut torn) = (Vec::new(), false);
    while let Ok(line) = queue.recv() {
        for line in std::iter::once(line).chain(queue.try_iter().take(WRITTEN - 1)) {
            match line {
                Line::Text(text) => waiting.extend_from_slice(text.as_bytes()),
                Line::Look => {}
            }
        }
        // A closed or full output costs lines, not answers.
        let unwritten = match &mut file {
            Some(file) => write_lines(file, &waiting, &mut torn),
            None => write_lines(&mut io::stdout().lock(), &waiting, &mut torn),
        };
        lost.fetch_add(unwritten, Ordering::Relaxed);
        waiting.clear();
        if moved.swap(false, Ordering::AcqRel)
            && let Ok(fresh) = open(path)
        {
            file = fresh;
            torn = false;
        }
    }
}

/// Writes as much as can be; what is left.
fn write_some<'b>(out: &mut dyn Write, mut left: &'b [u8]) -> &'b [u8] {
    while !left.is_empty() {
        match out.write(left) {
            Ok(written) if written > 0 => left = &left[written.min(left.len())..],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => break,
        }
    }
    left
}

/// Writes lines; how many were not written whole. `torn` is whether the last line written has no end, which is written first then.
fn write_lines(out: &mut dyn Write, lines: &[u8], torn: &mut bool) -> u64 {
    if *torn && !lines.is_empty() {
        *torn = !write_some(out, b"\n").is_empty();
    }
    let left = if *torn { lines } else { write_some(out, lines) };
    if let Some(last) = lines[..lines.len() - left.len()].last() {
        *torn = *last != b'\n';
    }
    let left = if out.flush().is_err() && left.is_empty() { lines } else { left };
    left.iter().filter(|&&byte| byte == b'\n').count() as u64
}

/// `20/Nov/2025:14:40:48 +0000`
fn time(now: SystemTime) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{day:02}/{}/{year}:{hour:02}:{minute:02}:{second:02} +0000", MONTHS[month as usize - 1])
}

/// Year, month and day of a day counted from 1970-01-01. Counted in eras of 400 years that begin on 1 March, so that
/// the leap day is the last of its year (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn date(day: u64) -> (u64, u64, u64) {
    let day = day + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march_based = (5 * of_year + 2) / 153;
    let month = if march_based < 10 { march_based + 3 } else { march_based - 9 };
    (era * 400 + year + u64::from(month <= 2), month, of_year - (153 * march_based + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// The bound of the queue is one of bytes, whatever clients send.
    #[test]
    fn lines_are_cut() {
        let (lines, queue) = sync_channel(QUEUE);
        let log = AccessLog { lines, dropped: Arc::default(), moved: Arc::default() };
        let long = "\u{10ffff}\"x".repeat(5_000);
        let entry = Entry {
            peer: Some(std::net::Ipv6Addr::from([0xabcd; 8]).into()),
            method: &long,
            path: &long,
            status: 414,
            bytes: u64::MAX,
            agent: &long,
            micros: u128::MAX,
        };
        log.write(&entry);
        let agent = "\"a\\b\" ".repeat(10);
        log.write(&Entry { method: "POST", path: "/predict", agent: &agent, ..entry });
        let line = || match queue.try_recv() {
            Ok(Line::Text(text)) => text,
            _ => panic!("no line"),
        };
        let cut = line();
        assert!(cut.len() <= LINE && cut.capacity() <= LINE, "{} {}", cut.len(), cut.capacity());
        assert!(cut.starts_with("abcd:abcd:abcd:abcd:abcd:abcd:abcd:abcd - - ["), "{cut}");
        assert!(cut.contains("...\" 414 18446744073709551615 \"-\" \"\\u{10ffff}\\\"x\\u{10ffff}"), "{cut}");
        // What is short is whole.
        let whole = line();
        let agent = agent.replace('\\', "\\\\").replace('"', "\\\"");
        assert!(
            whole.contains("\"POST /predict\" 414 ") && whole.contains(&format!("\"-\" \"{agent}\" ")),
            "{whole}"
        );
    }

    /// Takes so many bytes, some at a time, and then none.
    struct Disk(usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0).min(3);
            self.0 -= taken;
            if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        for (room, lost) in [(0, 3), (3, 3), (4, 2), (9, 1), (11, 1), (12, 0), (100, 0)] {
            let mut torn = false;
            assert_eq!(write_lines(&mut Disk(room), b"one\ntwo\nsix\n", &mut torn), lost, "{room}");
            assert_eq!(torn, room % 4 != 0 && room < 12, "{room}");
        }
    }

    /// What follows a line that was written in part is not appended to it.
    #[test]
    fn a_line_begins_after_the_end_of_a_torn_one() {
        let (mut written, mut torn) = (b"on".to_vec(), false);
        assert_eq!(write_lines(&mut Disk(2), b"one\n", &mut torn), 1);
        // Still no room, not even for the end of the line.
        assert_eq!(write_lines(&mut Disk(0), b"two\n", &mut torn), 1);
        assert_eq!(write_lines(&mut written, b"", &mut torn), 0);
        assert_eq!(write_lines(&mut written, b"six\n", &mut torn), 0);
        assert_eq!(write_lines(&mut written, b"ten\n", &mut torn), 0);
        assert_eq!(written, b"on\nsix\nten\n");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_costs_lines_that_are_counted() {
        let (log, thread) = AccessLog::start(Path::new("/dev/full")).unwrap();
        let entry =
            Entry { peer: None, method: "GET", path: "/", status: 200, bytes: 2, agent: "-", micros: 7 };
        (0..5).for_each(|_| log.write(&entry));
        let dropped = Arc::clone(&log.dropped);
        drop(log);
        thread.join().unwrap();
        assert_eq!(dropped.load(Ordering::Relaxed), 5);
    }

    #[test]
    fn dates_of_known_days() {
        // From `date -u -d @N +%d/%b/%Y:%H:%M:%S`.
        for (seconds, expected) in [
            (0, "01/Jan/1970:00:00:00 +0000"),
            (951_782_399, "28/Feb/2000:23:59:59 +0000"),
            (951_782_400, "29/Feb/2000:00:00:00 +0000"),
            (1_735_689_599, "31/Dec/2024:23:59:59 +0000"),
            (4_107_542_400, "01/Mar/2100:00:00:00 +0000"),
        ] {
            assert_eq!(time(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }
}
