//! Brings libFuzzer; the targets are in `targets.rs`, which `run` compiles.
