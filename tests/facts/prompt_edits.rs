//! Edited embeddings, mixes, skipped layers and attention maps against transformers and diffusers, by
//! `tests/golden/surgery.py`.

use engine::diffusion::{Latents, TorchGenerator};
use engine::inspect::attention_maps::attention_maps_at;
use engine::inspect::token::token_trace;
use engine::pipeline::Pipeline;
use engine::pipeline::StopFlag;
use engine::prompt::{EmbeddingEdit, Mix, MixMethod, Mixed, TextOptions, TokenPlace};
use engine::recipe::Recipe;
use serde_json::Value;

use crate::support::models::{model_info, pipeline};
use crate::support::numbers::{Golden, assert_near, notes};

const MODELS: [&str; 2] = ["demo", "narrow"];
const TOLERANCE: f32 = 1e-4;

fn recipe(notes: &Value) -> Recipe {
    let prompt = notes["prompt"].as_str().expect("a prompt").to_owned();
    Recipe { prompt, text: TextOptions::PLAIN, ..Recipe::default() }
}

fn edits(notes: &Value) -> Vec<EmbeddingEdit> {
    let written = notes["edits"].as_array().expect("edits").iter();
    written.map(|edit| edit.as_str().expect("an edit").parse().expect("it is one")).collect()
}

fn output(pipeline: &Pipeline, recipe: &Recipe) -> Vec<f32> {
    let mut parts = pipeline.output_embeddings(recipe, 0).expect("embeddings");
    assert_eq!((parts.len(), parts[0].0), (1, 1.0));
    parts.remove(0).1.data
}

fn assert_same(model: &str, name: &str, ours: &[f32]) {
    let (golden, notes) =
        (Golden::open(&format!("surgery-{model}.safetensors")), notes(&format!("surgery-{model}.json")));
    let stride = notes["tensors"][name]["stride"].as_u64().expect("a stride") as usize;
    assert_near(&format!("{model} {name}"), ours, &golden.get(name), stride, TOLERANCE);
}

fn notes_of(model: &str) -> Value {
    notes(&format!("surgery-{model}.json"))
}

#[test]
fn edited_outputs_equal_those_of_transformers_edited_by_hand() {
    for model in MODELS {
        let (pipeline, notes) = (pipeline(model), notes_of(model));
        let plain = recipe(&notes);
        assert_same(model, "plain", &output(&pipeline, &plain));
        for (index, edit) in edits(&notes).into_iter().enumerate() {
            let edited = Recipe { edits: vec![edit], ..plain.clone() };
            assert_same(model, &format!("edit.{index}"), &output(&pipeline, &edited));
        }
    }
}

#[test]
fn skipped_layers_equal_those_of_transformers() {
    for model in MODELS {
        let (pipeline, notes) = (pipeline(model), notes_of(model));
        for clip_skip in [2, 3] {
            let text = TextOptions { clip_skip, ..TextOptions::PLAIN };
            let edits = edits(&notes)[..1].to_vec();
            let ours = output(&pipeline, &Recipe { text, edits, ..recipe(&notes) });
            assert_same(model, &format!("skip.{clip_skip}"), &ours);
        }
    }
}

#[test]
fn mixes_equal_torchs_arithmetic_on_transformers_outputs() {
    for model in MODELS {
        let (pipeline, notes) = (pipeline(model), notes_of(model));
        let mixed = |index: usize, weight| {
            let prompt = notes["others"][index].as_str().expect("a prompt").to_owned();
            Mixed { prompt, weight }
        };
        for (name, way, with) in [
            ("mix.linear", MixMethod::Linear, vec![mixed(0, 0.4)]),
            ("mix.three", MixMethod::Linear, vec![mixed(0, 0.7), mixed(1, -0.2)]),
            ("mix.spherical", MixMethod::Spherical, vec![mixed(0, 0.4)]),
        ] {
            let ours =
                output(&pipeline, &Recipe { mix: Mix { prompts: with, method: way }, ..recipe(&notes) });
            assert_same(model, name, &ours);
        }
    }
}

#[test]
fn the_ends_of_a_mix_are_its_prompts() {
    let (pipeline, notes) = (pipeline("demo"), notes_of("demo"));
    let main = recipe(&notes);
    let prompt = "a large leopard at night".to_owned();
    let other = output(&pipeline, &Recipe { prompt: prompt.clone(), ..main.clone() });
    for way in MixMethod::ALL {
        let mixed = |weight| {
            let with = vec![Mixed { prompt: prompt.clone(), weight }];
            output(&pipeline, &Recipe { mix: Mix { prompts: with, method: way }, ..main.clone() })
        };
        assert_near("all of the main prompt", &mixed(0.0), &output(&pipeline, &main), 1, 1e-6);
        assert_near("all of the other", &mixed(1.0), &other, 1, 1e-6);
    }
}

#[test]
fn outputs_before_an_edited_word_stay_bit_for_bit() {
    for model in MODELS {
        let (pipeline, notes) = (pipeline(model), notes_of(model));
        let plain = recipe(&notes);
        let words = pipeline.tokenize(&plain.prompt);
        let (place, _) =
            words.tokens().find(|(_, token)| &plain.prompt[token.range.clone()] == "puppy").expect("a puppy");
        let bits = |recipe: &Recipe| -> Vec<Vec<u32>> {
            let rows = output(&pipeline, recipe);
            let rows = rows.chunks_exact(rows.len() / 77);
            rows.map(|row| row.iter().map(|value| value.to_bits()).collect()).collect()
        };
        let before = bits(&plain);
        for edit in edits(&notes) {
            let after = bits(&Recipe { edits: vec![edit.clone()], ..plain.clone() });
            assert_eq!(after[..place.position], before[..place.position], "{model}: {edit}");
            let moved = (place.position..77).filter(|&row| after[row] != before[row]).count();
            assert_eq!(moved, 77 - place.position, "{model}: {edit} moves all that follows");
        }
    }
}

#[test]
fn the_stages_of_a_word_are_what_the_encoder_adds_up() {
    let (pipeline, notes) = (pipeline("demo"), notes_of("demo"));
    let edited = Recipe { edits: edits(&notes)[..1].to_vec(), ..recipe(&notes) };
    let place = TokenPlace { chunk: 0, position: 5 };
    let stages = token_trace(&pipeline, &edited, 0, 0, place).expect("stages");
    let [token, position, sum, output] = &stages.stages;
    assert_eq!(token.nearest[0].piece, "cat</w>");
    assert!((token.nearest[0].cosine - 1.0).abs() < 1e-5 && token.nearest[1].cosine < 0.999);
    for ((token, position), sum) in token.vector.iter().zip(&position.vector).zip(&sum.vector) {
        assert_eq!(token + position, *sum);
    }
    let outputs = self::output(&pipeline, &edited);
    assert_eq!(output.vector, outputs[5 * output.vector.len()..][..output.vector.len()]);
    let moved: Vec<bool> = stages.differences.iter().map(|&moved| moved > 0.0).collect();
    assert_eq!(moved, (0..77).map(|at| at >= 5).collect::<Vec<_>>(), "only what follows moves");
}

#[test]
fn attention_maps_equal_those_of_diffusers() {
    for model in MODELS {
        let (pipeline, notes) = (pipeline(model), notes_of(model));
        let seed = notes["maps"]["seed"].as_u64().expect("a seed");
        let timestep = notes["maps"]["timestep"].as_f64().expect("a timestep") as f32;
        let x = Latents::new([1, 4, 12, 20], TorchGenerator::new(seed).randn(4 * 12 * 20));
        let maps = attention_maps_at(&pipeline, &x, timestep, &recipe(&notes).prompt, &StopFlag::default());
        let maps = maps.expect("maps");
        assert_eq!((maps.width, maps.height), (20, 12));
        assert_same(model, "maps", &maps.weights);
    }
}

#[test]
fn an_edit_whose_word_is_gone_is_left_out_and_reported() {
    let pipeline = pipeline("demo");
    let lost = |prompt: &str| {
        let edits = vec!["puppy=cat".parse().expect("an edit")];
        let recipe =
            Recipe { prompt: prompt.into(), edits, steps: 1, width: 64, height: 64, ..Recipe::default() };
        pipeline.generate(&recipe, &StopFlag::default(), &mut |_| ()).expect("a picture").notes
    };
    assert!(lost("a fox")[0].contains("\"puppy\""));
    assert!(lost("a puppy").is_empty());
}

#[test]
fn what_an_edit_cannot_find_in_the_model_is_said() {
    let pipeline = pipeline("demo");
    let refused = |edit: &str| {
        let edits = vec![edit.parse().expect("an edit")];
        let recipe = Recipe { prompt: "a puppy".into(), edits, ..Recipe::default() };
        pipeline.output_embeddings(&recipe, 0).expect_err("no such thing").to_string()
    };
    let words = model_info().tokenizer.vocabulary_len();
    assert!(refused("puppy=#99999").contains(&format!("{words} words")));
    assert!(refused("puppy=\" \"").contains("\" \""));
}
