//! The time that a thread spends computing, for work that nothing counts.
//!
//! It does not run while the thread waits for a core, so a busy machine changes it little. A limit is still
//! at least ten times what was measured: it tells a linear pass over the input from a quadratic one, not a
//! fast machine from a slow one. How fast things are is what `tests/bench` says.

use std::time::Duration;

/// The time that some work computes on this thread.
pub fn cpu_time(work: impl FnOnce()) -> Duration {
    let before = thread_time();
    work();
    thread_time().saturating_sub(before)
}

/// Fails if some work takes more of the processor than `limit`.
#[track_caller]
pub fn assert_cpu_time_below(limit: Duration, what: &str, work: impl FnOnce()) {
    let spent = cpu_time(work);
    println!("{what}: {:.1} ms of the processor", 1e3 * spent.as_secs_f64());
    assert!(spent < limit, "{what}: {spent:?} of the processor, where {limit:?} is many times the usual");
}

/// `CLOCK_THREAD_CPUTIME_ID` of POSIX.
#[cfg(unix)]
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The ordinary clock where that one is missing. It never shows less.
#[cfg(not(unix))]
fn thread_time() -> Duration {
    static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    START.elapsed()
}
