//! Why the engine ended early: stopped, out of memory, or failed.

/// Why sampling ended early.
#[derive(Clone, Debug, PartialEq)]
pub enum EngineError {
    /// Somebody asked for it.
    Stopped,
    /// Memory ran out, in the device's words.
    OutOfMemory(String),
    /// The device failed; a sentence.
    Failed(String),
}

impl EngineError {
    /// From what a device says of its trouble: first that there is one, then its cause, then where in the
    /// code, which is nobody's concern.
    pub fn of_device(words: &str) -> Self {
        let is_said = |line: &&str| !line.is_empty() && !line.starts_with("Caused by");
        let lines: Vec<&str> = words.lines().map(str::trim).filter(is_said).take(2).collect();
        let cause = lines.iter().find(|line| !line.starts_with("An error happened")).or(lines.first());
        let cause: String = cause.map_or("no reason was given", |cause| cause).chars().take(160).collect();
        let lower = lines.join(" ").to_lowercase();
        if OUT_OF_MEMORY_MESSAGES.iter().any(|sign| lower.contains(sign)) {
            return Self::OutOfMemory(cause);
        }
        Self::Failed(format!("The device failed ({cause}). Try again, or use the CPU"))
    }
}

/// How cubecl, wgpu and the drivers say that something does not fit, in lower case.
const OUT_OF_MEMORY_MESSAGES: [&str; 7] = [
    "out of memory",
    "out-of-memory",
    "out of device memory",
    "not enough memory",
    "allocate",
    "maximum buffer size",
    "buffer_binding_size",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_says_of_its_memory_is_told_from_its_other_troubles() {
        let full = "An error happened during execution\nCaused by:\n  out of device memory allocating 9 bytes\n  at x";
        assert_eq!(
            EngineError::of_device(full),
            EngineError::OutOfMemory("out of device memory allocating 9 bytes".into())
        );
        for full in
            ["wgpu error: Out of Memory", "Not enough memory left.", "can't allocate buffer of size: 9"]
        {
            assert_eq!(EngineError::of_device(full), EngineError::OutOfMemory(full.into()));
        }
        let lost =
            "The device is poisoned\nCaused by:\n  illegal memory access\n\n0: alloc::allocate\n1: allocate";
        for other in [lost, "", "Caused by:", "index out of bounds"] {
            let EngineError::Failed(text) = EngineError::of_device(other) else {
                panic!("{other:?} is no lack of memory")
            };
            assert!(!text.contains('\n'), "one line: {text}");
        }
    }
}
