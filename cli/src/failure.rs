//! Why a command ended, and what the person and the shell are told.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;
use tilewise_base::Error;

/// The shell's number for a program ended by Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

pub(crate) enum Failure {
    /// Something is wrong with data, a file or a parameter; the text is one line.
    Told(String),
    /// Ctrl-C ended the work early. What was done is kept, and the person was told.
    Interrupted,
    /// Whoever read our stdout went away: nobody is left to be told.
    ReaderGone,
}

impl Failure {
    /// An error about the table in `file`; errors that name only a row or column get the file's name too.
    pub(crate) fn in_table(file: &str, error: Error) -> Self {
        match error {
            Error::Cell { .. } | Error::Column { .. } => {
                let file = if file == "-" { "<stdin>" } else { file };
                Self::Told(format!("{file}: {error}"))
            }
            other => other.into(),
        }
    }

    pub(crate) fn tell(self) -> ExitCode {
        match self {
            Self::Told(text) => {
                note("error", tilewise_base::outline::printable(&text));
                ExitCode::FAILURE
            }
            Self::Interrupted => ExitCode::from(INTERRUPTED),
            Self::ReaderGone => ExitCode::SUCCESS,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => Self::ReaderGone,
            Error::Io { path, source } => Self::Told(format!("{}: {}", path.display(), system(&source))),
            other => Self::Told(other.to_string()),
        }
    }
}

/// For errors of stdout.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::Told(format!("<stdout>: {}", system(&error))),
        }
    }
}

/// What the system said, without its number.
fn system(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or folder".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "is a folder; a file is needed".to_owned(),
        _ => error.to_string(),
    }
}

/// A line on stderr; a closed stderr is no reason to stop.
pub(crate) fn note(kind: &str, text: impl Display) {
    use io::Write;
    let _ = writeln!(io::stderr(), "{kind}: {text}");
}
