//! How long to wait for a server, and when to try again.

use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use super::{FetchError, Progress, TransferStage};

/// Timeouts, and retries with exponential backoff.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Timeout for connecting, and for the response's headers.
    pub connect: Duration,
    /// Timeout for the next bytes.
    pub stall: Duration,
    /// Before the second attempt; doubled for each further one.
    pub first_pause: Duration,
    pub max_pause: Duration,
    /// The longest `Retry-After` that is obeyed; a server that asks for more ends the download.
    pub max_retry_after: Duration,
    /// Attempts in a row without a new byte.
    pub max_attempts: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            stall: Duration::from_secs(30),
            first_pause: Duration::from_secs(1),
            max_pause: Duration::from_secs(30),
            max_retry_after: Duration::from_secs(10 * 60),
            max_attempts: 8,
        }
    }
}

/// Why an attempt ended.
#[derive(Debug)]
pub(crate) enum TransferError {
    /// The user stopped it.
    Stopped,
    /// The next attempt may succeed; the server may ask to wait this long.
    Temporary(String, Option<Duration>),
    Permanent(FetchError),
}

impl From<FetchError> for TransferError {
    fn from(error: FetchError) -> Self {
        Self::Permanent(error)
    }
}

/// A transfer in progress: reports it, asks whether to continue, and counts failed attempts.
pub(crate) struct Transfer<'a> {
    pub progress: Progress,
    report: &'a mut dyn FnMut(&Progress) -> ControlFlow<()>,
    policy: RetryPolicy,
    /// Attempts in a row that failed.
    failed: u32,
}

impl<'a> Transfer<'a> {
    pub fn new(
        total: u64,
        policy: RetryPolicy,
        report: &'a mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Self {
        Self { progress: Progress { total, ..Progress::default() }, report, policy, failed: 0 }
    }

    /// Reports the progress.
    ///
    /// # Errors
    /// If the user has stopped the transfer.
    pub fn tick(&mut self) -> Result<(), TransferError> {
        match (self.report)(&self.progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(TransferError::Stopped),
        }
    }

    /// Starts counting failed attempts anew: for the next file, or after progress.
    pub fn reset_attempts(&mut self) {
        self.failed = 0;
    }

    /// Waits before the next attempt. `place` is for the error message.
    ///
    /// # Errors
    /// If there were too many attempts, or the server asks for too long a wait.
    pub fn wait_to_retry(
        &mut self,
        place: &str,
        cause: String,
        retry_after: Option<Duration>,
    ) -> Result<(), TransferError> {
        let policy = self.policy;
        self.failed += 1;
        if self.failed >= policy.max_attempts {
            return Err(FetchError::Unreachable { tries: self.failed, cause, place: place.to_owned() }.into());
        }
        if let Some(wait) = retry_after.filter(|wait| *wait > policy.max_retry_after) {
            let minutes = wait.as_secs().div_ceil(60);
            return Err(FetchError::Busy { minutes, place: place.to_owned() }.into());
        }
        let doubled = policy.first_pause.saturating_mul(1 << (self.failed - 1).min(16));
        let until = Instant::now() + retry_after.unwrap_or_else(|| doubled.min(policy.max_pause));
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.progress.stage = TransferStage::Waiting { cause: cause.clone(), secs: left.as_secs() + 1 };
            self.tick()?;
            thread::sleep(left.min(TICK));
        }
        self.progress.stage = TransferStage::Downloading;
        Ok(())
    }
}

/// Time between ticks while no bytes arrive: short enough that a pause seems immediate.
pub(crate) const TICK: Duration = Duration::from_millis(50);
