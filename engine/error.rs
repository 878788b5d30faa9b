//! Why the engine ended early: stopped, out of memory, or failed.

/// Why the engine ended early.
#[derive(Clone, Debug, PartialEq)]
pub enum EngineError {
    /// A stop flag was raised.
    Stopped,
    /// Memory ran out; the device's message.
    OutOfMemory(String),
    /// The device or a network failed; a sentence.
    Failed(String),
}

impl EngineError {
    /// From the message of a device: a general line, then the cause, then a stack trace, which is dropped.
    pub fn of_device(message: &str) -> Self {
        let is_content = |line: &&str| !line.is_empty() && !line.starts_with("Caused by");
        let lines: Vec<&str> = message.lines().map(str::trim).filter(is_content).take(2).collect();
        let cause = lines.iter().find(|line| !line.starts_with("An error happened")).or(lines.first());
        let cause: String = cause.map_or("no reason was given", |cause| cause).chars().take(160).collect();
        let lower = lines.join(" ").to_lowercase();
        if OUT_OF_MEMORY_MESSAGES.iter().any(|message| lower.contains(message)) {
            return Self::OutOfMemory(cause);
        }
        Self::Failed(format!("The device failed ({cause}). Try again, or use the CPU"))
    }

    /// For a network whose output in f32 is not finite, or all zero.
    pub fn invalid_numbers(network: &str) -> Self {
        Self::Failed(format!(
            "The {network} produced invalid numbers (NaN or all zero) even in f32, so nothing was saved. The \
             model's weights may be damaged: download the model again, or choose another"
        ))
    }
}

/// Parts of the messages of cubecl, wgpu and drivers when they are out of memory, in lower case.
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
    fn a_device_that_is_out_of_memory_is_told_apart_from_other_failures() {
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
                panic!("{other:?} is not a lack of memory")
            };
            assert!(!text.contains('\n'), "one line: {text}");
        }
    }
}
