//! The harness: checks every kernel and model against a naive version, measures how it scales and how near it comes to
//! the machine's peaks, compares it with peers, and writes the reports.

pub mod case;
pub mod cases;
pub mod check;
pub mod compare;
// Memory of processes is read from /proc.
#[cfg(target_os = "linux")]
pub mod disk;
pub mod operand;
pub mod report;
pub mod roofline;
pub mod scale;
// Its load generator is built on epoll.
#[cfg(target_os = "linux")]
pub mod serve;
#[cfg(target_os = "linux")]
pub mod spark;
#[cfg(target_os = "linux")]
pub mod turns;
