//! Ctrl-C: the first asks the fit to end at its next round and keep what it has, the second ends the process.

use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C (and SIGTERM) set the flag that is returned.
pub(crate) fn flag() -> &'static AtomicBool {
    let handler = || {
        if ASKED.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(crate::failure::INTERRUPTED));
        }
        crate::failure::note(
            "stopping",
            "at the end of this round, keeping the model; once more to end at once",
        );
    };
    if ctrlc::set_handler(handler).is_err() {
        crate::failure::note("warning", "Ctrl-C cannot be caught here; it will end training without a model");
    }
    &ASKED
}

/// Whether the person asked to stop.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}
