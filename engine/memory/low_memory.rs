//! Sparing with memory: generous first, frugal once memory runs out, then a sentence.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use burn::tensor::Device;

use crate::error::Halt;

/// How a run treats memory. Frugal takes longer and comes to the same picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Thrift {
    /// The whole batch and the whole picture at once.
    #[default]
    Generous,
    /// One picture at a time, the autoencoder in bands.
    Frugal,
}

/// What a run has to take care of on its way: memory, and what must be told at the end.
pub struct Care {
    device: Device,
    thrift: Cell<Thrift>,
    notes: RefCell<Vec<String>>,
}

impl Care {
    pub fn new(device: Device, thrift: Thrift) -> Self {
        Self { device, thrift: Cell::new(thrift), notes: RefCell::default() }
    }

    /// Does some work. If memory runs out, frees what is unused and does it once more frugally, and so
    /// everything after it.
    pub fn sparing<T>(&self, mut work: impl FnMut(Thrift) -> Result<T, Halt>) -> Result<T, Halt> {
        match caught(|| work(self.thrift.get())) {
            Err(Halt::OutOfMemory(_)) if self.thrift.get() == Thrift::Generous => {
                self.thrift.set(Thrift::Frugal);
                self.note("Memory ran out, so the work went on in smaller pieces, which takes longer");
                self.device.memory_cleanup();
                caught(|| work(Thrift::Frugal))
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

    pub fn into_notes(self) -> Vec<String> {
        self.notes.into_inner()
    }
}

/// A device may also panic for want of memory; every other panic goes on its way.
fn caught<T>(work: impl FnOnce() -> Result<T, Halt>) -> Result<T, Halt> {
    let done = catch_unwind(AssertUnwindSafe(work));
    done.unwrap_or_else(|panic| match Halt::of_device(panic_text(&*panic)) {
        out_of_memory @ Halt::OutOfMemory(_) => Err(out_of_memory),
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

    fn care() -> Care {
        Care::new(Device::flex(), Thrift::Generous)
    }

    #[test]
    fn work_that_finds_no_room_is_done_frugally_and_so_is_all_that_follows() {
        let care = care();
        let decode = |thrift| match thrift {
            Thrift::Generous => Err(Halt::of_device(FULL)),
            Thrift::Frugal => Ok("a picture"),
        };
        assert_eq!(care.sparing(decode), Ok("a picture"));
        assert_eq!(care.sparing(Ok), Ok(Thrift::Frugal));
        let notes = care.into_notes();
        assert!(notes.len() == 1 && notes[0].contains("smaller pieces"), "{notes:?}");
    }

    #[test]
    fn an_allocation_that_panics_counts_as_no_room() {
        let care = care();
        let decode = |thrift| match thrift {
            Thrift::Generous => panic!("wgpu error: Out of Memory"),
            Thrift::Frugal => Ok(1),
        };
        assert_eq!(care.sparing(decode), Ok(1));
    }

    #[test]
    fn no_room_even_frugally_is_said_after_two_attempts() {
        let (care, mut attempts) = (care(), 0);
        let never = care.sparing(|_| {
            attempts += 1;
            Err::<(), _>(Halt::of_device(FULL))
        });
        assert!(matches!(never, Err(Halt::OutOfMemory(_))));
        assert_eq!(attempts, 2);
        // The next stage begins frugally, so it has one.
        let never = care.sparing(|_| {
            attempts += 1;
            Err::<(), _>(Halt::of_device(FULL))
        });
        assert!(matches!(never, Err(Halt::OutOfMemory(_))));
        assert_eq!(attempts, 3);
    }

    #[test]
    fn other_troubles_are_not_tried_again() {
        for halt in [Halt::Stopped, Halt::of_device("the device is lost")] {
            let (care, mut attempts) = (care(), 0);
            let trouble = care.sparing(|_| {
                attempts += 1;
                Err::<(), _>(halt.clone())
            });
            assert_eq!((trouble, attempts), (Err(halt), 1));
            assert!(care.into_notes().is_empty());
        }
    }

    #[test]
    #[should_panic(expected = "a bug of ours")]
    fn a_bug_stays_a_panic() {
        let _ = care().sparing(|_| -> Result<(), Halt> { panic!("a bug of ours") });
    }
}
