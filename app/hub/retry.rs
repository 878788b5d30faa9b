//! How long to wait for what, when to try again, and whom to tell.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::FetchError;

/// How far a download is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the plan that lie on the disk.
    pub done: u64,
    pub total: u64,
    /// The file at hand.
    pub file: String,
    pub doing: TransferStage,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TransferStage {
    #[default]
    Fetching,
    /// Reading again what came before a pause.
    Checking,
    /// The line failed, and this is the pause before the next try.
    Waiting { cause: String, secs: u64 },
}

/// How long to wait for a server.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// For a connection and for the beginning of an answer.
    pub connect: Duration,
    /// For the next bytes.
    pub stall: Duration,
    /// Before the second try; doubled for each after it.
    pub first_pause: Duration,
    pub longest_pause: Duration,
    /// A server may ask for so much and no more.
    pub longest_wish: Duration,
    /// Tries in a row that bring nothing.
    pub tries: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            stall: Duration::from_secs(30),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(30),
            longest_wish: Duration::from_secs(10 * 60),
            tries: 8,
        }
    }
}

/// Why a try ended.
#[derive(Debug)]
pub(crate) enum TransferError {
    /// Somebody wants it so.
    Stopped,
    /// It may go better next time, perhaps after so long.
    Passing(String, Option<Duration>),
    Lasting(FetchError),
}

impl From<FetchError> for TransferError {
    fn from(error: FetchError) -> Self {
        Self::Lasting(error)
    }
}

/// Tells of progress, and asks whether to go on.
pub(crate) struct TransferWatch<'a> {
    pub progress: Progress,
    tell: &'a mut dyn FnMut(&Progress) -> ControlFlow<()>,
}

impl<'a> TransferWatch<'a> {
    pub fn new(total: u64, tell: &'a mut dyn FnMut(&Progress) -> ControlFlow<()>) -> Self {
        Self { progress: Progress { total, ..Progress::default() }, tell }
    }

    pub fn tick(&mut self) -> Result<(), TransferError> {
        match (self.tell)(&self.progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(TransferError::Stopped),
        }
    }
}

/// Between ticks while nothing comes: quick enough that a pause feels obeyed.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// Counts the tries in a row that brought nothing.
pub(crate) struct RetryState<'a> {
    patience: &'a RetryPolicy,
    place: String,
    failed: u32,
}

impl<'a> RetryState<'a> {
    pub fn new(patience: &'a RetryPolicy, place: impl ToString) -> Self {
        Self { patience, place: place.to_string(), failed: 0 }
    }

    /// The try brought something: the count begins anew.
    pub fn encourage(&mut self) {
        self.failed = 0;
    }

    /// Waits until it is time to try again.
    ///
    /// # Errors
    /// When there is no use in it, or was no use in it often enough.
    pub fn pause(
        &mut self,
        cause: String,
        command: Option<Duration>,
        watch: &mut TransferWatch<'_>,
    ) -> Result<(), TransferError> {
        self.failed += 1;
        if self.failed >= self.patience.tries {
            return Err(
                FetchError::Unreachable { tries: self.failed, cause, place: self.place.clone() }.into()
            );
        }
        if let Some(command) = command.filter(|command| *command > self.patience.longest_wish) {
            let minutes = command.as_secs().div_ceil(60);
            return Err(FetchError::Busy { minutes, place: self.place.clone() }.into());
        }
        let doubled = self.patience.first_pause.saturating_mul(1 << (self.failed - 1).min(16));
        let pause = command.unwrap_or_else(|| doubled.min(self.patience.longest_pause));
        let until = Instant::now() + pause;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            watch.progress.doing = TransferStage::Waiting { cause: cause.clone(), secs: left.as_secs() + 1 };
            watch.tick()?;
            std::thread::sleep(left.min(TICK));
        }
        watch.progress.doing = TransferStage::Fetching;
        Ok(())
    }
}
