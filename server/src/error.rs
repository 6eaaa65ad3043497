//! Why a server could not be started.

/// The result of starting a server.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is not one that can be listened on.
    #[error(
        "address {address:?}: {what}; accepted are HOST:PORT, HOST, :PORT, [IPV6]:PORT, unix:PATH and fd://0"
    )]
    Address {
        /// As it was given.
        address: String,
        /// What is wrong with it.
        what: String,
    },
    /// The system did not let the server listen.
    #[error("cannot listen on {bind}: {source}")]
    Listen {
        /// Where.
        bind: crate::Bind,
        /// What the system said.
        source: std::io::Error,
    },
    /// A thread or its runtime could not be made.
    #[error("cannot start a thread of the server: {0}")]
    Thread(#[from] std::io::Error),
    /// A setting has a value that is not accepted.
    #[error("setting {name}: {value} is not accepted; {accepted}")]
    Setting {
        /// Its name in [`crate::Config`].
        name: &'static str,
        /// The value given.
        value: String,
        /// What would be accepted.
        accepted: &'static str,
    },
    /// The access log cannot be opened.
    #[error("access log {}: {source}", path.display())]
    AccessLog {
        /// Its file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file for the process's number cannot be written, or holds that of another process that runs.
    #[error("pid file {}: {what}", path.display())]
    PidFile {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// No model of a repository could be loaded, or it could not be listed.
    #[error("repository: {what}")]
    Repository {
        /// What is wrong and what would be accepted.
        what: String,
    },
    /// A model cannot be served under this name.
    #[error("model {name:?}: {what}")]
    Model {
        /// The name.
        name: String,
        /// What is wrong and what would be accepted.
        what: String,
    },
}
