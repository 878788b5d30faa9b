//! Text encoder, UNet and VAE against transformers and diffusers, on models of three shapes.

use engine::diffusion::{Latents, TorchGenerator};
use engine::memory::mode::MemoryMode;
use engine::pipeline::StopFlag;
use serde_json::Value;

use crate::support::models::{MODELS, pipeline};
use crate::support::numbers::{Golden, assert_near, notes};

/// Measured: within 2e-6 of the largest value. A wrong epsilon or activation is further off.
const TOLERANCE: f32 = 1e-4;

fn input(note: &Value) -> Latents {
    let numbers = note["input_shape"].as_array().expect("an input shape").iter();
    let sides: Vec<usize> = numbers.map(|side| side.as_u64().expect("a side") as usize).collect();
    let shape: [usize; 4] = sides.try_into().expect("four sides");
    let seed = note["input_seed"].as_u64().expect("a seed");
    Latents::new(shape, TorchGenerator::new(seed).randn(shape.iter().product()))
}

#[test]
fn each_network_equals_its_reference() {
    for model in MODELS {
        let (golden, notes) =
            (Golden::open(&format!("{model}.safetensors")), notes(&format!("{model}.json")));
        let pipeline = pipeline(model);
        let never = StopFlag::default();
        let prompts: Vec<&str> =
            notes["prompts"].as_array().expect("prompts").iter().filter_map(Value::as_str).collect();
        let mut checked = 0;
        for (name, note) in notes["tensors"].as_object().expect("tensors") {
            let ours = match name.split('.').collect::<Vec<_>>()[..] {
                ["text", index] => {
                    let prompt = prompts[index.parse::<usize>().expect("an index")];
                    pipeline.text_embeddings(prompt).expect("text").data
                }
                ["unet", ..] => {
                    let timestep = note["timestep"].as_f64().expect("a timestep") as f32;
                    let x = input(note);
                    let texts = if x.batch() == 2 { vec![prompts[0], prompts[2]] } else { vec![prompts[0]] };
                    pipeline.predict_eps(&x, timestep, &texts).expect("eps").data
                }
                ["vae", "encode", _, part] => {
                    let (mean, log_variance) =
                        pipeline.encode_moments(MemoryMode::Full, &input(note), &never).expect("moments");
                    if part == "mean" { mean.data } else { log_variance.data }
                }
                ["vae", "decode", _] => {
                    pipeline.decode_raw(MemoryMode::Full, &input(note), &never).expect("pixels").data
                }
                _ => panic!("{name} is no part of a model"),
            };
            let stride = note["stride"].as_u64().expect("a stride") as usize;
            assert_near(&format!("{model} {name}"), &ours, &golden.get(name), stride, TOLERANCE);
            checked += 1;
        }
        assert!(checked >= 14, "{model} has {checked} references");
    }
}
