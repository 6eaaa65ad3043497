//! Ctrl-C: the first asks the work to end soon and keep what it has, the second ends the process.

use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C (and SIGTERM) set the flag that is returned, which ends a fit.
pub(crate) fn flag() -> &'static AtomicBool {
    flag_for("at the end of this round, keeping the model")
}

/// The same for other work; `when` tells what comes first.
pub(crate) fn flag_for(when: &'static str) -> &'static AtomicBool {
    let handler = move || {
        if ASKED.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(crate::failure::INTERRUPTED));
        }
        crate::failure::note("stopping", format!("{when}; once more to end at once"));
    };
    if ctrlc::set_handler(handler).is_err() {
        crate::failure::note(
            "warning",
            "Ctrl-C cannot be caught here; it will end the work and lose what was done",
        );
    }
    &ASKED
}

/// Whether the person asked to stop.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}
