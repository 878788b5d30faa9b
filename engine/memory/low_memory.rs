//! Low-memory mode: work that runs out of memory is repeated in smaller pieces, once.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use burn::tensor::Device;

use crate::error::EngineError;
use crate::memory::mode::MemoryMode;

/// The memory mode of a run, and notes for the user that come with its result.
pub struct MemoryGuard {
    device: Device,
    mode: Cell<MemoryMode>,
    notes: RefCell<Vec<String>>,
}

impl MemoryGuard {
    pub fn new(device: Device, mode: MemoryMode) -> Self {
        Self { device, mode: Cell::new(mode), notes: RefCell::default() }
    }

    /// Does some work. If memory runs out, frees unused memory and repeats the work in low-memory mode, in which
    /// all later work is done, too.
    pub fn retry_in_low_memory<T>(
        &self,
        mut work: impl FnMut(MemoryMode) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        match catch_out_of_memory(|| work(self.mode.get())) {
            Err(EngineError::OutOfMemory(_)) if self.mode.get() == MemoryMode::Full => {
                self.mode.set(MemoryMode::LowMemory);
                self.note("Memory ran out, so the work continued in smaller pieces, which takes longer");
                self.device.memory_cleanup();
                catch_out_of_memory(|| work(MemoryMode::LowMemory))
            }
            done => done,
        }
    }

    /// Adds a note for the user, once.
    pub fn note(&self, text: &str) {
        let mut notes = self.notes.borrow_mut();
        if !notes.iter().any(|note| note == text) {
            notes.push(text.into());
        }
    }

    pub fn take_notes(self) -> Vec<String> {
        self.notes.into_inner()
    }
}

/// A device may also panic when it is out of memory. Other panics continue.
fn catch_out_of_memory<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    let done = catch_unwind(AssertUnwindSafe(work));
    done.unwrap_or_else(|panic| match EngineError::of_device(panic_text(&*panic)) {
        out_of_memory @ EngineError::OutOfMemory(_) => Err(out_of_memory),
        _ => resume_unwind(panic),
    })
}

/// The message of a panic.
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason was given")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of cubecl, shortened.
    const FULL: &str = "out of device memory allocating 1073741824 bytes";

    fn memory() -> MemoryGuard {
        MemoryGuard::new(Device::flex(), MemoryMode::Full)
    }

    #[test]
    fn work_that_runs_out_of_memory_is_repeated_in_low_memory_mode_and_so_is_all_that_follows() {
        let memory = memory();
        let decode = |mode| match mode {
            MemoryMode::Full => Err(EngineError::of_device(FULL)),
            MemoryMode::LowMemory => Ok("a picture"),
        };
        assert_eq!(memory.retry_in_low_memory(decode), Ok("a picture"));
        assert_eq!(memory.retry_in_low_memory(Ok), Ok(MemoryMode::LowMemory));
        let notes = memory.take_notes();
        assert_eq!(notes.len(), 1, "{notes:?}");
    }

    #[test]
    fn an_allocation_that_panics_counts_as_out_of_memory() {
        let memory = memory();
        let decode = |mode| match mode {
            MemoryMode::Full => panic!("wgpu error: Out of Memory"),
            MemoryMode::LowMemory => Ok(1),
        };
        assert_eq!(memory.retry_in_low_memory(decode), Ok(1));
    }

    #[test]
    fn running_out_of_memory_in_low_memory_mode_is_an_error_after_two_attempts() {
        let (memory, mut attempts) = (memory(), 0);
        let never = memory.retry_in_low_memory(|_| {
            attempts += 1;
            Err::<(), _>(EngineError::of_device(FULL))
        });
        assert!(matches!(never, Err(EngineError::OutOfMemory(_))));
        assert_eq!(attempts, 2);
        // The next stage starts in low-memory mode, so it has one attempt.
        let never = memory.retry_in_low_memory(|_| {
            attempts += 1;
            Err::<(), _>(EngineError::of_device(FULL))
        });
        assert!(matches!(never, Err(EngineError::OutOfMemory(_))));
        assert_eq!(attempts, 3);
    }

    #[test]
    fn other_errors_are_not_repeated() {
        for error in [EngineError::Stopped, EngineError::of_device("the device is lost")] {
            let (memory, mut attempts) = (memory(), 0);
            let result = memory.retry_in_low_memory(|_| {
                attempts += 1;
                Err::<(), _>(error.clone())
            });
            assert_eq!((result, attempts), (Err(error), 1));
            assert!(memory.take_notes().is_empty());
        }
    }

    #[test]
    #[should_panic(expected = "a bug of ours")]
    fn a_bug_stays_a_panic() {
        let _ = memory().retry_in_low_memory(|_| -> Result<(), EngineError> { panic!("a bug of ours") });
    }
}
