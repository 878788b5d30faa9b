//! Prompts in chunks, token by token, against the answers of A1111's and ComfyUI's own code.

use engine::concepts::read;
use engine::prompt::{Chunk, PromptTokenizer, PromptWeights, TextOptions};
use serde_json::{Value, json};

use crate::support::models::{concept, model_info};
use crate::support::numbers::golden_folder;
use crate::support::prompts::{READ_DIFFERENTLY, STEPS, rows, table};

/// The built-in model's words with `<frost>` of two vectors and `mist` of nine.
fn words() -> PromptTokenizer {
    let frost = read(&golden_folder().join("data/checkpoints/frost.bin")).expect("a concept");
    model_info().prompt_tokenizer(&[frost, concept("mist.safetensors", "mist", 9)].into_iter().collect())
}

fn options(weights: PromptWeights) -> TextOptions {
    TextOptions { weights, ..TextOptions::default() }
}

/// A chunk as the table has it, but for the weights, which are f32.
fn said(chunk: &Chunk) -> (Value, Vec<f32>) {
    let mut ids = chunk.ids.clone();
    let mut weights = vec![1.0; ids.len()];
    let mut vectors = Vec::new();
    for (position, token) in (1..).zip(&chunk.tokens) {
        weights[position] = token.weight;
        if let Some((concept, index)) = &token.vector {
            ids[position] = 0;
            vectors.push(json!([position, concept.name(), index]));
        }
    }
    (json!({ "ids": ids, "vectors": vectors }), weights)
}

fn expected(chunk: &Value) -> (Value, Vec<f32>) {
    let weights = chunk["weights"].as_array().expect("weights").iter();
    let weights = weights.map(|weight| weight.as_f64().expect("a weight") as f32).collect();
    (json!({ "ids": chunk["ids"], "vectors": chunk["vectors"] }), weights)
}

fn check(prompt: &str, ours: &[Chunk], theirs: &Value) {
    let ours: Vec<_> = ours.iter().map(said).collect();
    let theirs: Vec<_> = theirs.as_array().expect("chunks").iter().map(expected).collect();
    assert_eq!(ours, theirs, "{prompt:?}");
}

#[test]
fn a1111s_chunks_are_a1111s_own() {
    let (table, words) = (table(), words());
    for (prompt, row) in rows(&table) {
        let row = &row["a1111"];
        let Some(parts) = row["parts"].as_array() else { continue };
        if READ_DIFFERENTLY.iter().any(|(odd, _)| *odd == prompt) {
            continue;
        }
        let reading = words.read(prompt, &options(PromptWeights::A1111), STEPS);
        for (part, theirs) in reading.parts.iter().zip(parts) {
            for row_of_schedule in theirs["schedule"].as_array().expect("a schedule") {
                let last = row_of_schedule[0].as_u64().expect("a step") as usize;
                let text = row_of_schedule[1].as_str().expect("letters");
                check(prompt, &part.at(last).chunks, &row["texts"][text]["chunks"]);
            }
        }
    }
}

#[test]
fn comfys_chunks_are_comfys_own() {
    let (table, words) = (table(), words());
    // The table has no chunks for a prompt that names a concept in a way that ComfyUI does not know.
    let known = rows(&table).filter(|(_, row)| !row["comfy"]["chunks"].is_null());
    for (prompt, row) in known {
        let reading = words.read(prompt, &options(PromptWeights::Comfy), STEPS);
        check(prompt, &reading.parts[0].at(0).chunks, &row["comfy"]["chunks"]);
    }
}
