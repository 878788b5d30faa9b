//! Sparing with memory: generous first, frugal once memory runs out, then a sentence.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use burn::tensor::Device;

use crate::error::EngineError;

/// How a run treats memory. Frugal takes longer and comes to the same picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryMode {
    /// The whole batch and the whole picture at once.
    #[default]
    Full,
    /// One picture at a time, the autoencoder in bands.
    LowMemory,
}

/// What a run has to take care of on its way: memory, and what must be told at the end.
pub struct MemoryGuard {
    device: Device,
    mode: Cell<MemoryMode>,
    notes: RefCell<Vec<String>>,
}

impl MemoryGuard {
    pub fn new(device: Device, mode: MemoryMode) -> Self {
        Self { device, mode: Cell::new(mode), notes: RefCell::default() }
    }

    /// Does some work. If memory runs out, frees what is unused and does it once more frugally, and so
    /// everything after it.
    pub fn retry_in_low_memory<T>(
        &self,
        mut work: impl FnMut(MemoryMode) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        match catch_out_of_memory(|| work(self.mode.get())) {
            Err(EngineError::OutOfMemory(_)) if self.mode.get() == MemoryMode::Full => {
                self.mode.set(MemoryMode::LowMemory);
                self.note("Memory ran out, so the work went on in smaller pieces, which takes longer");
                self.device.memory_cleanup();
                catch_out_of_memory(|| work(MemoryMode::LowMemory))
            }
            done => done,
        }
    }

    /// Something to tell with the picture, once.
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

/// A device may also panic for want of memory; every other panic goes on its way.
fn catch_out_of_memory<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    let done = catch_unwind(AssertUnwindSafe(work));
    done.unwrap_or_else(|panic| match EngineError::of_device(panic_text(&*panic)) {
        out_of_memory @ EngineError::OutOfMemory(_) => Err(out_of_memory),
        _ => resume_unwind(panic),
    })
}

/// What a panic says of itself.
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason was given")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What cubecl says, cut short.
    const FULL: &str = "out of device memory allocating 1073741824 bytes";

    fn memory() -> MemoryGuard {
        MemoryGuard::new(Device::flex(), MemoryMode::Full)
    }

    #[test]
    fn work_that_finds_no_room_is_done_frugally_and_so_is_all_that_follows() {
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
    fn an_allocation_that_panics_counts_as_no_room() {
        let memory = memory();
        let decode = |mode| match mode {
            MemoryMode::Full => panic!("wgpu error: Out of Memory"),
            MemoryMode::LowMemory => Ok(1),
        };
        assert_eq!(memory.retry_in_low_memory(decode), Ok(1));
    }

    #[test]
    fn no_room_even_frugally_is_said_after_two_attempts() {
        let (memory, mut attempts) = (memory(), 0);
        let never = memory.retry_in_low_memory(|_| {
            attempts += 1;
            Err::<(), _>(EngineError::of_device(FULL))
        });
        assert!(matches!(never, Err(EngineError::OutOfMemory(_))));
        assert_eq!(attempts, 2);
        // The next stage begins frugally, so it has one.
        let never = memory.retry_in_low_memory(|_| {
            attempts += 1;
            Err::<(), _>(EngineError::of_device(FULL))
        });
        assert!(matches!(never, Err(EngineError::OutOfMemory(_))));
        assert_eq!(attempts, 3);
    }

    #[test]
    fn other_troubles_are_not_tried_again() {
        for halt in [EngineError::Stopped, EngineError::of_device("the device is lost")] {
            let (memory, mut attempts) = (memory(), 0);
            let trouble = memory.retry_in_low_memory(|_| {
                attempts += 1;
                Err::<(), _>(halt.clone())
            });
            assert_eq!((trouble, attempts), (Err(halt), 1));
            assert!(memory.take_notes().is_empty());
        }
    }

    #[test]
    #[should_panic(expected = "a bug of ours")]
    fn a_bug_stays_a_panic() {
        let _ = memory().retry_in_low_memory(|_| -> Result<(), EngineError> { panic!("a bug of ours") });
    }
}
