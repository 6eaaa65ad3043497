//! A request that is answered with anything but 200.

use hyper::StatusCode;
use std::time::Duration;

/// The result of a step of a request.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// The status and the text of the body's `error`.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// Value of the `Allow` header (405).
    pub(crate) allow: Option<&'static str>,
    /// Value of the `Retry-After` header in seconds (503).
    pub(crate) retry_after: u64,
    /// Whether the connection must end with this reply: the rest of the request is unread or cannot be trusted.
    pub(crate) close: bool,
}

impl Failure {
    #[cold]
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), allow: None, retry_after: 1, close: false }
    }

    /// 400: the request does not say what it should.
    #[cold]
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// The same, and the connection ends.
    #[cold]
    pub(crate) fn closing(self) -> Self {
        Self { close: true, ..self }
    }

    /// 503: the answer would come too late.
    #[cold]
    pub(crate) fn late() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the time that the request allows was over before its turn came",
        )
    }

    /// After how long there may be room again.
    pub(crate) fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: wait.as_secs() + 1, ..self }
    }

    /// 405: the route exists for other methods.
    #[cold]
    pub(crate) fn method(allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..Self::new(StatusCode::METHOD_NOT_ALLOWED, format!("this route accepts {allow}"))
        }
    }
}
