//! Waiting for threads and processes.
//!
//! A fact waits for a condition or a message. No fact says how long that takes: a machine may be as busy
//! as it likes. [`GUARD`] only turns a hang into a failure.

use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

/// Guards against waiting for ever, and measures nothing.
pub const GUARD: Duration = Duration::from_secs(10 * 60);

/// Looks again and again until something is so.
///
/// # Panics
/// After [`GUARD`], which says that it never will be.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < GUARD, "this never came: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The next message.
///
/// # Panics
/// After [`GUARD`], or when nobody is left to send one.
#[track_caller]
pub fn next<T>(messages: &Receiver<T>) -> T {
    messages.recv_timeout(GUARD).expect("a message comes")
}
