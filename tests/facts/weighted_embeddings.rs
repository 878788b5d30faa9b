//! Output embeddings of weighted prompts against the answers of A1111's and ComfyUI's own code.

use engine::concepts::{Concept, read};
use engine::prompt::{PromptWeights, TextOptions};
use engine::recipe::Recipe;

use crate::support::models::pipeline;
use crate::support::numbers::{Golden, assert_near, golden_folder, notes};

#[test]
fn weighted_embeddings_equal_those_of_a1111_and_comfyui() {
    let (golden, notes) = (Golden::open("weighted.safetensors"), notes("weighted.json"));
    let frost = read(&golden_folder().join("data/checkpoints/frost.bin")).expect("a concept");
    let mist = Concept {
        token: "mist".into(),
        vectors: golden.get("mist"),
        source: "mist.safetensors".into(),
        ..frost.clone()
    };
    let mut pipeline = pipeline("demo");
    pipeline.set_concepts(&[frost, mist].into_iter().collect());
    let mut checked = 0;
    for (name, note) in notes["tensors"].as_object().expect("tensors") {
        let [program, kind, index] = name.split('.').collect::<Vec<_>>()[..] else { continue };
        let weights = if program == "a1111" { PromptWeights::A1111 } else { PromptWeights::Comfy };
        let clip_skip = if kind == "skipped" { 2 } else { 1 };
        let prompt = &notes[kind][index.parse::<usize>().expect("an index")];
        let prompt = prompt.as_str().expect("a prompt").to_owned();
        let text = TextOptions { weights, clip_skip, ..TextOptions::default() };
        let recipe = Recipe { prompt: prompt.clone(), text, ..Recipe::default() };
        let parts = pipeline.output_embeddings(&recipe, 0).expect("embeddings");
        let stride = note["stride"].as_u64().expect("a stride") as usize;
        assert_near(&format!("{name} {prompt:?}"), &parts[0].1.data, &golden.get(name), stride, 1e-4);
        checked += 1;
    }
    assert!(checked >= 90, "{checked} references");
}
