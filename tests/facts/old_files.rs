//! Files that Tidepool wrote before its names were changed (commit c9f94260d7) open as they did then.
//!
//! `old_files/` holds what that program wrote: pictures with recipes, an X/Y plot, a trace, a concept, the
//! window's settings and the library's cache. `tests/golden/byte_identical` compares latents.

use std::fs;
use std::path::{Path, PathBuf};

use app::features::settings::{Settings, Tab};
use app::library::MetadataCache;
use engine::diffusion::{NoiseSource, Sampler, Schedule, StepView};
use engine::images::{read_recipe, read_trace};
use engine::prompt::{PromptOverflow, PromptWeights};
use engine::recipe::{Recipe, Start};

use crate::support::folders::folder;

fn old(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/facts/old_files").join(name)
}

fn recipe_in(picture: &str) -> Recipe {
    let found = read_recipe(&old(picture)).expect("a picture that reads").expect("a recipe");
    assert!(found.notes.is_empty(), "{picture}: {:?}", found.notes);
    assert_eq!(found.provenance.program, "Tidepool 0.1.0");
    found.provenance.recipe.check().expect("a recipe that can be run");
    found.provenance.recipe
}

#[test]
fn an_old_recipe_keeps_every_value() {
    let plain = recipe_in("01-euler.png");
    let expected =
        Recipe { prompt: "a large fox in the snow".into(), seed: 32, steps: 6, ..Recipe::default() };
    // The command line reads prompts as A1111 does.
    assert_eq!(plain, Recipe { text: plain.text, ..expected });
    assert_eq!((plain.sampler, plain.schedule), (Sampler::Euler, Schedule::Linspace));
    assert_eq!((plain.text.weights, plain.text.clip_skip), (PromptWeights::A1111, 1));

    let lms = recipe_in("02-lesson-lms.png");
    assert_eq!((lms.sampler, lms.schedule, lms.seed), (Sampler::Lms, Schedule::Linspace, 3));
    assert_eq!(lms.sampler_options.order, Some(3.0));

    let karras = recipe_in("03-karras-nvidia.png");
    assert_eq!((karras.schedule, karras.noise), (Schedule::Karras, NoiseSource::Nvidia));
    assert_eq!(karras.schedule_options.rho, Some(5.0));

    let image = recipe_in("05-image-to-image.png");
    let Start::Image { path, strength } = &image.start else { panic!("{:?}", image.start) };
    assert!(path.ends_with("text.png") && *strength == 0.6, "{:?}", image.start);
}

#[test]
fn old_edits_and_mixes_are_those_that_were_made() {
    let edits = |picture: &str| recipe_in(picture).edits.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(edits("06-edit-blend.png"), ["puppy=0.5*puppy+0.5*skunk"]);
    assert_eq!(edits("07-edit-all.png"), ["puppy=skunk, scale 1.5, noise 0.25 seed 9, no position"]);

    let linear = recipe_in("08-mix.png");
    assert_eq!((linear.text.weights, linear.text.clip_skip), (PromptWeights::Comfy, 2));
    assert_eq!((linear.mix.prompts[0].prompt.as_str(), linear.mix.prompts[0].weight), ("a leopard", 0.4));
    let spherical = recipe_in("09-mix-spherical.png");
    assert_ne!(spherical.mix.method, linear.mix.method);

    let cut = recipe_in("10-concept-cut.png");
    assert_eq!((cut.text.overflow, cut.negative_prompt.as_str()), (PromptOverflow::Truncate, "a blob"));
    let found = read_recipe(&old("10-concept-cut.png")).expect("reads").expect("a recipe");
    assert_eq!(found.provenance.concepts[0].token, "<half>");
}

#[test]
fn an_old_branch_knows_the_run_that_it_leaves() {
    let branch = recipe_in("11-branch.png");
    let left = branch.branch.as_ref().expect("a branch");
    assert_eq!((left.step, left.from.prompt.as_str()), (2, "a large fox in the snow"));
    assert_eq!((branch.prompt.as_str(), branch.guidance.cfg_scale), ("an owl", 4.0));
}

#[test]
fn an_old_sheet_keeps_its_axes() {
    let found = read_recipe(&old("12-sheet.png")).expect("reads").expect("a recipe");
    let axes: Vec<String> = found.provenance.vary.iter().map(ToString::to_string).collect();
    assert_eq!(axes, ["cfg=1,7.5", "sampler=euler,heun"]);
}

#[test]
fn an_old_trace_has_its_steps() {
    let trace = read_trace(&old("trace.safetensors")).expect("a trace");
    assert_eq!((trace.model.as_str(), trace.run.recipe.steps), ("Built-in", 2));
    assert_eq!(trace.run.trajectory.steps.len(), 2);
    assert_eq!(trace.run.trajectory.steps[0].x.shape, [1, 4, 16, 16]);
}

#[test]
fn an_old_concept_opens() {
    let concept = engine::concepts::read(&old("half.safetensors")).expect("a concept");
    assert_eq!((concept.token.as_str(), concept.vectors.len()), ("<half>", concept.width));
}

/// The folder of a program that has the old settings or cache.
fn home(file: &str) -> tempfile::TempDir {
    let home = folder();
    fs::copy(old(file), home.path().join(file)).expect("copies");
    home
}

#[test]
fn old_settings_keep_every_value() {
    let home = home("settings.json");
    let (settings, warning) = Settings::load(home.path());
    assert_eq!(warning, None);
    assert_eq!(settings.window.tab, Tab::Inspect);
    assert_eq!((settings.window.size, settings.window.right_folded), ([1280.0, 800.0], true));
    assert_eq!((settings.views.one, settings.views.side_by_side), (StepView::NoisyLatents, true));
    assert!(settings.views.hidden.contains(&StepView::PredictedNoise));
    assert!(!settings.playing.loops && settings.playing.ping_pong && settings.playing.fps == 24.0);
    assert!(settings.schedule_plot.is_linear && !settings.schedule_plot.with_others);
    assert_ne!(settings.device, Settings::default().device);
    assert!(settings.seed_locked && settings.hub_cache_hidden && settings.hashing_paused);
    assert_eq!(settings.recent_models.len(), 3);
    assert_eq!(settings.unknown["from_the_future"]["kept"], 1);

    let lesson = &settings.lesson;
    let saved = lesson.previous.as_ref().expect("the workspace before the experiment");
    assert_eq!((lesson.strength, saved.recipe.prompt.as_str()), (0.45, "a puppy"));
    assert_eq!((saved.views.one, saved.seed_locked), (StepView::Guidance, true));
    assert_eq!(lesson.page.number(), 7);

    let recipe = &settings.last_recipe;
    assert_eq!((recipe.sampler, recipe.schedule), (Sampler::Lms, Schedule::Linspace));
    assert_eq!(recipe.edits[0].to_string(), "puppy=0.5*puppy+0.5*skunk");
    assert_eq!((recipe.text.weights, recipe.text.overflow), (PromptWeights::Comfy, PromptOverflow::Truncate));

    // Written under today's keys, they are the same settings.
    settings.save(home.path()).expect("saves");
    assert_eq!(Settings::load(home.path()), (settings, None));
}

/// Hashing a checkpoint takes seconds: what an old cache has is not computed again.
#[test]
fn an_old_library_cache_keeps_its_hashes() {
    let home = home("library.json");
    let model = home.path().join("model.safetensors");
    fs::write(&model, [0; 8]).expect("writes");
    let about = fs::metadata(&model).expect("a file");
    let modified = about.modified().expect("a time").duration_since(std::time::UNIX_EPOCH).expect("a time");
    // The cache knows files by path, length and time, so its entry is moved to a file of this machine.
    let cache = home.path().join("library.json");
    let mut json: serde_json::Value =
        serde_json::from_slice(&fs::read(&cache).expect("reads")).expect("JSON");
    let files = json["files"].as_object_mut().expect("files");
    let mut entry = files
        .iter()
        .find(|(path, _)| path.ends_with("unet/diffusion_pytorch_model.safetensors"))
        .map(|(_, entry)| entry.clone())
        .expect("the entry of a model");
    entry["bytes"] = 8.into();
    entry["modified_nanos"] = (modified.as_nanos() as u64).into();
    files.insert(model.to_string_lossy().into_owned(), entry);
    fs::write(&cache, json.to_string()).expect("writes");

    let hash = MetadataCache::open(home.path()).sha256(&[model]);
    assert_eq!(hash.as_deref(), Some("bec4ed7da884e13899bb4d6b26239b30bab2eeb731104842715706705f3efe7d"));
}
