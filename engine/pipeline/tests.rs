use std::cell::Cell;
use std::ops::ControlFlow;

use safetensors::SafeTensors;

use super::*;
use crate::device::{DeviceInfo, DeviceSelector, Precision};
use crate::diffusion::{
    Denoiser, DenoiserGradient, EpsGradient, EpsModel, F32Fallback, LossGuidance, NoiseStreams, SampleArgs,
    Sampler, SamplerOptions, denoise_mixture, sample,
};
use crate::losses::TrainingFree;
use crate::memory::low_memory::MemoryGuard;
use crate::pipeline::guided_unet::{GradientState, GuidedUnet};
use crate::pipeline::loss_guidance::LossGuided;
use crate::recipe::Recipe;

fn built_in() -> Pipeline {
    let choice = DeviceChoice { device: DeviceSelector::Cpu, ..DeviceChoice::default() };
    Pipeline::open(&ModelSource::BuiltIn, choice, &mut |_| true).expect("a pipeline")
}

/// Under autodiff every layer uses burn's own operations, as on a GPU.
fn on_burns_own_operations(unet_dtype: FloatDType) -> Pipeline {
    let device = Device::flex().autodiff();
    let model = open(&ModelSource::BuiltIn, None, &device, unet_dtype, &mut |_| (), &mut |_| true)
        .expect("the model");
    let info = DeviceInfo {
        name: String::new(),
        driver: String::new(),
        is_gpu: false,
        precision: Precision::F32,
        why: String::new(),
    };
    let selected = SelectedDevice { device, unet_dtype, info };
    Pipeline::new("Built-in".into(), model, selected).expect("a pipeline")
}

#[track_caller]
fn assert_near(what: &str, a: &[f32], b: &[f32], tolerance: f32) {
    let largest = b.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let difference = a.iter().zip(b).fold(0.0f32, |difference, (a, b)| difference.max((a - b).abs()));
    assert!(
        a.len() == b.len() && difference <= tolerance * largest,
        "{what}: a difference of {difference} of {largest}"
    );
}

#[test]
fn our_kernels_and_burns_operations_agree() {
    let (ours, theirs) = (built_in(), on_burns_own_operations(FloatDType::F32));
    let never = StopFlag::default();

    let text = |pipeline: &Pipeline| pipeline.text_embeddings("a large fox").expect("text").data;
    assert_near("text", &text(&ours), &text(&theirs), 1e-5);
    let x = NoiseStreams::new(7, 2).draw([2, 4, 12, 20]);
    let prompts = ["a large fox", "an owl"];
    let eps = |pipeline: &Pipeline| pipeline.predict_eps(&x, 500.3, &prompts).expect("eps").data;
    assert_near("eps", &eps(&ours), &eps(&theirs), 1e-5);
    let pixels = NoiseStreams::new(8, 1).draw([1, 3, 64, 96]);
    let mean = |pipeline: &Pipeline| {
        pipeline.encode_moments(MemoryMode::Full, &pixels, &never).expect("moments").0.data
    };
    assert_near("mean", &mean(&ours), &mean(&theirs), 1e-5);
    let latents = NoiseStreams::new(9, 1).draw([1, 4, 8, 12]);
    let decoded =
        |pipeline: &Pipeline| pipeline.decode_raw(MemoryMode::Full, &latents, &never).expect("pixels").data;
    assert_near("pixels", &decoded(&ours), &decoded(&theirs), 1e-5);
}

#[test]
fn gradients_of_our_kernels_and_of_burns_operations_agree() {
    let (ours, theirs) = (built_in(), on_burns_own_operations(FloatDType::F32));
    // The larger picture is computed segment by segment.
    for [height, width] in [[8, 12], [36, 30]] {
        let latents = NoiseStreams::new(9, 1).draw([1, 4, height, width]);
        let direction = NoiseStreams::new(10, 1).draw([1, 4, height, width]);
        let through_decoder = |pipeline: &Pipeline| {
            let x = pipeline.upload(&latents, FloatDType::F32);
            let gradient = pipeline.model.vae.decoder_gradient(x, |picture| Ok(picture.cos()), &|| false);
            values(gradient.expect("a gradient").inner()).expect("numbers")
        };
        assert_near("decoder", &through_decoder(&ours), &through_decoder(&theirs), 1e-4);
        let through_unet = |pipeline: &Pipeline| {
            let [x, direction] = [&latents, &direction].map(|x| pipeline.upload(x, FloatDType::F32));
            let ids = pipeline.model.tokenizer.tokenize("a large fox").chunks.swap_remove(0).ids;
            let text =
                pipeline.model.text_encoder.forward(pipeline.model.text_encoder.token_embeddings(&[&ids]));
            let context = crate::models::Context { text: &text, observer: None };
            let gradient = pipeline.model.unet.input_gradient(x, 500.3, context, direction, &|| false);
            values(gradient.expect("a gradient").inner()).expect("numbers")
        };
        assert_near("unet", &through_unet(&ours), &through_unet(&theirs), 1e-4);
    }
}

/// Sides in latent pixels, which give 3 to 40 tiles of the last level.
const SIDES: [[usize; 2]; 5] = [[1, 1], [5, 3], [17, 2], [2, 19], [13, 11]];

#[test]
fn low_memory_mode_changes_numbers_by_rounding_only() {
    let never = StopFlag::default();
    for (name, pipeline) in
        [("our kernels", built_in()), ("burn's operations", on_burns_own_operations(FloatDType::F32))]
    {
        for [height, width] in SIDES {
            let what = |part: &str| format!("{part} of {width} x {height} by {name}");
            let latents = NoiseStreams::new(3, 1).draw([1, 4, height, width]);
            let decode = |mode| pipeline.decode_raw(mode, &latents, &never).expect("pixels").data;
            assert_near(&what("pixels"), &decode(MemoryMode::LowMemory), &decode(MemoryMode::Full), 1e-5);
            let pixels = NoiseStreams::new(4, 1).draw([1, 3, 8 * height, 8 * width]);
            let encode = |mode| pipeline.encode_moments(mode, &pixels, &never).expect("moments");
            let (low_memory, full) = (encode(MemoryMode::LowMemory), encode(MemoryMode::Full));
            assert_near(&what("mean"), &low_memory.0.data, &full.0.data, 1e-5);
            assert_near(&what("log variance"), &low_memory.1.data, &full.1.data, 1e-5);
        }
        let x = NoiseStreams::new(5, 2).draw([2, 4, 6, 10]);
        let eps = |mode| guided(&pipeline, mode, |unet| unet.eps_pair(&x, 300.0)).expect("eps");
        let (low_memory, full) = (eps(MemoryMode::LowMemory), eps(MemoryMode::Full));
        assert_near(name, &low_memory.0.data, &full.0.data, 1e-5);
        assert_near(name, &low_memory.1.data, &full.1.data, 1e-5);
    }
}

/// Calls the UNet with the conditioning of a prompt.
fn guided<T>(pipeline: &Pipeline, mode: MemoryMode, ask: impl FnOnce(&mut GuidedUnet<'_>) -> T) -> T {
    guided_by("an owl", pipeline, mode, ask)
}

fn guided_by<T>(
    prompt: &str,
    pipeline: &Pipeline,
    mode: MemoryMode,
    ask: impl FnOnce(&mut GuidedUnet<'_>) -> T,
) -> T {
    let (memory, stop, step) =
        (MemoryGuard::new(pipeline.device.clone(), mode), StopFlag::default(), Cell::new(0));
    let recipe = Recipe { prompt: prompt.into(), ..Recipe::default() };
    let conditioning = pipeline.encode_prompts(&recipe, &memory).expect("conditioning");
    let gradient = GradientState::default();
    ask(&mut GuidedUnet { pipeline, stop: &stop, memory: &memory, conditioning, step: &step, gradient })
}

#[test]
fn and_adds_up_what_each_prompt_changes() {
    let long = format!("a boat {}", "at night ".repeat(50));
    let prompt = format!("an owl AND {long} :0.5");
    let x = NoiseStreams::new(5, 2).draw([2, 4, 6, 10]);
    for pipeline in [built_in(), on_burns_own_operations(FloatDType::F32)] {
        let eps = |prompt: &str| {
            guided_by(prompt, &pipeline, MemoryMode::Full, |unet| unet.eps_pair(&x, 300.0)).expect("eps")
        };
        let ((uncond, owl), (_, boat), (_, both)) = (eps("an owl"), eps(&long), eps(&prompt));
        let apart = |cond: &Latents| cond.zip_with(&uncond, |cond, uncond| cond - uncond);
        let expected = uncond.clone().add_scaled(1.0, &apart(&owl)).add_scaled(0.5, &apart(&boat));
        assert_near("both", &both.data, &expected.data, 1e-5);
        let alone = guided_by(&prompt, &pipeline, MemoryMode::Full, |unet| unet.eps(&x, 300.0)).expect("eps");
        assert_near("at a guidance of 1", &alone.data, &expected.data, 1e-5);
    }
}

#[test]
fn a_prediction_that_is_kept_for_its_gradient_is_the_same_and_so_is_the_gradient() {
    let pipeline = built_in();
    let [x, direction] = [5, 6].map(|seed| NoiseStreams::new(seed, 1).draw([1, 4, 6, 10]));
    for (prompt, cfg_scale) in [("an owl", 7.5), ("an owl AND a boat :0.5", 7.5), ("an owl AND a boat", 1.0)]
    {
        let ask = |is_expected: bool| {
            guided_by(prompt, &pipeline, MemoryMode::Full, |unet| {
                if is_expected {
                    unet.expect_gradient();
                }
                let (uncond, cond) = unet.eps_pair(&x, 300.0).expect("eps");
                [uncond, cond, unet.eps_gradient(&x, 300.0, cfg_scale, &direction).expect("a gradient")]
            })
        };
        for (kept, again) in ask(true).iter().zip(&ask(false)) {
            assert_near(prompt, &kept.data, &again.data, 1e-6);
        }
    }
}

#[test]
fn a_prompt_that_changes_over_the_run_is_read_at_its_step() {
    let pipeline = built_in();
    let x = NoiseStreams::new(5, 1).draw([1, 4, 6, 10]);
    let at = |prompt: &str, step: usize| {
        let eps = guided_by(prompt, &pipeline, MemoryMode::Full, |unet| {
            unet.step.set(step);
            unet.eps(&x, 300.0)
        });
        eps.expect("eps").data
    };
    let (owl, boat) = (at("an owl", 0), at("a boat", 0));
    // In A1111's counting, step 5 still has the first text of `[a:b:5]`.
    for (step, expected) in [(0, &owl), (5, &owl), (6, &boat), (19, &boat)] {
        assert_eq!(&at("[an owl:a boat:5]", step), expected, "step {step}");
    }
}

#[test]
fn numbers_that_leave_the_range_of_f16_are_made_again_in_f32() {
    let (full_precision, half) = (built_in(), on_burns_own_operations(FloatDType::F16));
    let added = std::cell::RefCell::new(Vec::new());
    for (scale, notes) in [(1.0, 0), (1e6, 1)] {
        // Noise beyond f16's 65504, which the first norm of the network brings back in f32.
        let x = NoiseStreams::new(6, 2).draw([2, 4, 8, 8]).scale(scale);
        let expected =
            guided(&full_precision, MemoryMode::Full, |unet| unet.eps_pair(&x, 700.0)).expect("eps");
        let (uncond, cond) = guided(&half, MemoryMode::Full, |unet| {
            let fast = unet.cast(FloatDType::F16);
            let full_precision = Some(unet.cast(FloatDType::F32));
            let on_fallback = |text: &str| added.borrow_mut().push(text.to_owned());
            F32Fallback { model: fast, full_precision, on_fallback: &on_fallback }
                .eps_pair(&x, 700.0)
                .expect("eps")
        });
        // The weights stay rounded to f16.
        assert_near("uncond", &uncond.data, &expected.0.data, 2e-2);
        assert_near("cond", &cond.data, &expected.1.data, 2e-2);
        assert_eq!(added.borrow().len(), notes, "{:?}", added.borrow());
    }
}

#[test]
fn a_guide_that_needs_more_memory_than_there_is_is_refused_with_a_cheaper_way() {
    let pipeline = built_in();
    let refused = |through: &str, free| {
        let guide = format!("tile,through={through}").parse().expect("a guide");
        let recipe = Recipe { guides: vec![guide], width: 512, height: 512, ..Recipe::default() };
        pipeline.check_guides_fit(&recipe, free).err().map(|error| error.to_string())
    };
    let few = Some(10 << 20);
    assert!(refused("unet", few).is_some_and(|error| error.contains("through=decoder")));
    assert!(refused("decoder", few).is_some_and(|error| error.contains("through=preview")));
    assert_eq!(refused("preview", few), None);
    assert_eq!(refused("unet", Some(64 << 30)), None);
    assert_eq!(refused("unet", None), None, "a GPU does not tell");
}

/// The denoiser in closed form.
struct Mixture;

impl Denoiser for Mixture {
    fn denoise(&mut self, x: &Latents, sigma: f32) -> Result<Latents, EngineError> {
        denoise_mixture(x, sigma)
    }
}

impl DenoiserGradient for Mixture {
    fn input_gradient(&mut self, _: &Latents, _: f32, _: &Latents) -> Result<Latents, EngineError> {
        unreachable!("no guide goes back through it")
    }
}

/// `tests/facts/loss_guidance.rs` has the same for a random network.
#[test]
fn training_free_guidance_of_a_denoiser_in_closed_form_is_that_of_torch() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/data");
    let read = |name: &str| std::fs::read(data.join(name)).expect(name);
    let golden = read("training_free_analytic.safetensors");
    let golden = SafeTensors::deserialize(&golden).expect("safetensors");
    let golden = |name: &str| -> Vec<f32> {
        let bytes = golden.tensor(name).expect(name).data().as_chunks().0.to_vec();
        bytes.into_iter().map(f32::from_le_bytes).collect()
    };
    let notes: serde_json::Value =
        serde_json::from_slice(&read("training_free_analytic.json")).expect("JSON");
    let sigmas: Vec<f32> = serde_json::from_value(notes["sigmas"].clone()).expect("sigmas");
    let guides: Vec<(String, String, f32)> = serde_json::from_value(notes["guides"].clone()).expect("guides");
    let guide = |(loss, through, scale): (String, String, f32)| {
        format!("{loss},scale={scale},every=1,through={through}").parse().expect("a guide")
    };
    let recipe = Recipe {
        guides: guides.into_iter().map(guide).collect(),
        steps: sigmas.len() as u32 - 1,
        seed: 32,
        ..Recipe::default()
    };
    let pipeline = Pipeline { latent_rgb: SD1_LATENT_RGB, ..built_in() };
    let options: Vec<TrainingFree> = serde_json::from_value(notes["options"].clone()).expect("options");
    for (index, training_free) in options.into_iter().enumerate() {
        let recipe = Recipe { training_free, ..recipe.clone() };
        let memory = MemoryGuard::new(pipeline.device.clone(), MemoryMode::Full);
        let (step, guidance) = (Cell::new(0), Cell::new(None));
        let mut model = LossGuided {
            model: Mixture,
            pipeline: &pipeline,
            recipe: &recipe,
            losses: pipeline.prepare_losses(&recipe, &memory).expect("losses"),
            sigmas: &sigmas,
            step: &step,
            memory: &memory,
            stop: &StopFlag::default(),
            guidance: &guidance,
        };
        let mut noise = NoiseStreams::new(recipe.seed, 1);
        let x = noise.draw([1, 4, 4, 4]).scale(sigmas[0]);
        let mut first = None;
        let args = SampleArgs {
            sampler: Sampler::Euler,
            options: SamplerOptions::default(),
            model: &mut model,
            sigmas: &sigmas,
            noise: &mut noise,
            observe: &mut |of_step| {
                first = first.take().or(guidance.take());
                step.set(of_step.index + 1);
                ControlFlow::Continue(())
            },
        };
        let end = sample(args, x).expect("neither the mixture nor the observer ends it");
        let LossGuidance { gradient, .. } = first.expect("every step is guided");
        let what = format!("{training_free:?}");
        assert_near(&what, &gradient.data, &golden(&format!("{index}.grad.0")), 1e-3);
        assert_near(&what, &end.data, &golden(&format!("{index}.latents")), 1e-3);
    }
}
