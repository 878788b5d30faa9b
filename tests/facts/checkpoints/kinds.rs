//! SD 2.x and its two predictions, and VAEs of their own.

use std::fs;
use std::path::{Path, PathBuf};

use engine::diffusion::{Latents, TorchGenerator};
use engine::memory::mode::MemoryMode;
use engine::pipeline::Pipeline;
use engine::pipeline::StopFlag;

use crate::support::folders::folder;
use crate::support::models::{open, open_with_vae};
use crate::support::weight_files::{Small, TestTensor, save_safetensors, save_torch_legacy, save_torch_zip};

#[test]
fn a_checkpoint_of_sd2_tells_what_it_predicts_by_its_biases_or_by_its_yaml() {
    let place = folder();
    let path = place.path().join("model.safetensors");
    let side = |path: &Path| {
        let pipeline = open(path).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(pipeline.info().kind, "Stable Diffusion 2.x");
        pipeline.info().native_side
    };
    // Of three levels, so that a latent pixel is 4 pixels wide.
    let (of_noise, of_v) = (64 * 4, 96 * 4);
    save_safetensors(&path, &Small::sd2().original);
    assert_eq!(side(&path), of_v, "biases that are far apart");
    let yaml = path.with_extension("yaml");
    fs::write(&yaml, "model:\n  params:\n    parameterization: \"eps\"\n").expect("writes");
    assert_eq!(side(&path), of_noise, "the YAML file is believed");

    let bias = "model.diffusion_model.output_blocks.8.1.transformer_blocks.0.norm1.bias";
    let mut narrow = Small::sd2().original;
    narrow
        .iter_mut()
        .filter(|given| given.name == bias)
        .for_each(|given| *given = TestTensor::new(bias, &given.shape));
    save_safetensors(&path, &narrow);
    fs::write(&yaml, "model:\n  params:\n    parameterization: v # velocity\n").expect("writes");
    assert_eq!(side(&path), of_v, "the YAML file is believed");
    fs::write(&yaml, "parameterization: \"x0\"\n").expect("writes");
    let error = open(&path).err().expect("clean latents are no prediction of ours");
    assert!(error.contains("x0 prediction"), "{error}");
    fs::remove_file(&yaml).expect("removes");
    assert_eq!(side(&path), of_noise, "biases that are close together");
}

#[test]
fn a_text_encoder_of_sd2_accounts_for_every_weight() {
    let place = folder();
    let path = place.path().join("model.ckpt");
    let sd2 = Small::sd2().original;
    let prefix = "cond_stage_model.model.";
    for victim in ["transformer.resblocks.1.attn.in_proj_weight", "ln_final.bias", "positional_embedding"] {
        let victim = &format!("{prefix}{victim}");
        let missing: Vec<TestTensor> = sd2.iter().filter(|given| given.name != *victim).cloned().collect();
        save_torch_zip(&path, &missing);
        let error = open(&path).err().unwrap_or_else(|| panic!("{victim} is not missed"));
        assert!(error.contains(victim) && error.contains("missing"), "{error}");
    }
    let fused = &format!("{prefix}transformer.resblocks.1.attn.in_proj_weight");
    let mut short = sd2.clone();
    short
        .iter_mut()
        .filter(|given| given.name == *fused)
        .for_each(|given| *given = TestTensor::new(fused, &[256, 128]));
    save_torch_zip(&path, &short);
    let error = open(&path).err().expect("a fused tensor of two thirds is refused");
    assert!(error.contains(fused) && error.contains("[384, 128]"), "{error}");
}

/// Another VAE for the small model, in every format: its own numbers in reverse.
fn save_vaes(small: &Small, place: &Path) -> Vec<PathBuf> {
    let change = |given: &TestTensor| {
        let mut data = given.data.clone();
        data.chunks_exact_mut(2).for_each(|half| half[0] ^= 0x55);
        TestTensor { data, ..given.clone() }
    };
    let prefix = "first_stage_model.";
    let original: Vec<TestTensor> =
        small.original.iter().filter(|given| given.name.starts_with(prefix)).map(change).collect();
    let bare: Vec<TestTensor> =
        original.iter().map(|given| given.moved(&given.name[prefix.len()..], &given.shape)).collect();
    let trained = [TestTensor::new("loss.logvar", &[]), TestTensor::new("model_ema.decay", &[])];
    let (_, own) = small.parts.iter().find(|(part, _)| part == "vae").expect("a VAE");
    let diffusers: Vec<TestTensor> = own.iter().map(change).collect();

    let folder = place.join("vae");
    let model = small.save_folder(&place.join("model"), &|folder, stem, tensors| {
        save_safetensors(&folder.join(format!("{stem}.safetensors")), tensors);
    });
    fs::create_dir(&folder).expect("makes a folder");
    fs::copy(model.join("vae/config.json"), folder.join("config.json")).expect("copies");
    save_safetensors(&folder.join("diffusion_pytorch_model.safetensors"), &diffusers);
    let at = |name: &str| place.join(name);
    save_safetensors(&at("original.safetensors"), &original);
    save_torch_zip(&at("bare.ckpt"), &[bare.as_slice(), &trained].concat());
    save_torch_legacy(&at("bare.pt"), &bare);
    save_safetensors(&at("diffusers.safetensors"), &diffusers);
    [folder]
        .into_iter()
        .chain(["original.safetensors", "bare.ckpt", "bare.pt", "diffusers.safetensors"].map(at))
        .collect()
}

#[test]
fn a_vae_in_any_form_takes_the_place_of_the_models_own() {
    let place = folder();
    let small = Small::new();
    let vaes = save_vaes(&small, place.path());
    let one = place.path().join("one.safetensors");
    save_safetensors(&one, &small.original);
    let without = place.path().join("no-vae.safetensors");
    let others = small.original.iter().filter(|given| !given.name.starts_with("first_stage_model."));
    save_safetensors(&without, &others.cloned().collect::<Vec<_>>());
    let models = [place.path().join("model"), one.clone()];

    let latents = Latents::new([1, 4, 4, 4], TorchGenerator::new(5).randn(64));
    let decode = |pipeline: &Pipeline| {
        pipeline.decode_raw(MemoryMode::Full, &latents, &StopFlag::default()).expect("pixels").data
    };
    let own = open(&one).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(own.info().vae, None);
    let mut expected = None;
    for vae in &vaes {
        for model in &models {
            let pipeline = open_with_vae(model, Some(vae)).unwrap_or_else(|error| panic!("{error}"));
            let name = vae.file_name().expect("a name").to_string_lossy();
            assert_eq!(pipeline.info().vae.as_deref(), Some(&*name));
            let (digest, pixels) = (pipeline.digest().expect("a digest"), decode(&pipeline));
            assert_ne!(pixels, decode(&own), "{name} is another VAE");
            let expected = expected.get_or_insert_with(|| (digest.clone(), pixels.clone()));
            assert!(*expected == (digest, pixels), "{name} in {}", model.display());
        }
    }
    let error = open(&without).err().expect("no VAE at all");
    assert!(error.contains("first_stage_model.") && error.contains("--vae"), "{error}");
}

#[test]
fn a_chosen_vae_stands_for_one_that_is_missing_or_incomplete() {
    let place = folder();
    let small = Small::new();
    let (_, own) = small.parts.iter().find(|(part, _)| part == "vae").expect("a VAE");
    let vae = place.path().join("vae.safetensors");
    save_safetensors(&vae, &with_another_level(own));
    let model = place.path().join("model.safetensors");
    for missing in ["first_stage_model.", "first_stage_model.encoder.", "first_stage_model.post_quant_conv."]
    {
        let rest = small.original.iter().filter(|given| !given.name.starts_with(missing));
        save_safetensors(&model, &rest.cloned().collect::<Vec<_>>());
        let pipeline = open_with_vae(&model, Some(&vae)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(pipeline.info().vae_factor, 8);
        assert!(
            pipeline.info().notes.is_empty(),
            "the rest of its own is known: {:?}",
            pipeline.info().notes
        );
        let error = open(&model).err().unwrap_or_else(|| panic!("opened without {missing}"));
        assert!(error.contains(missing), "{error}");
    }
}

/// A small VAE with a level more, so that a latent pixel is 8 pixels wide, as in SD 1.x: its second level once more.
fn with_another_level(vae: &[TestTensor]) -> Vec<TestTensor> {
    let copies = [
        ("encoder.down_blocks.1.", "encoder.down_blocks.2."),
        ("encoder.down_blocks.2.", "encoder.down_blocks.3."),
        ("decoder.up_blocks.1.upsamplers.", "decoder.up_blocks.2.upsamplers."),
        ("decoder.up_blocks.2.", "decoder.up_blocks.3."),
    ];
    let copied = vae.iter().flat_map(|given| {
        let renamed = |(from, to): (&str, &str)| Some(format!("{to}{}", given.name.strip_prefix(from)?));
        copies.into_iter().filter_map(renamed).map(|name| given.moved(&name, &given.shape))
    });
    let kept = vae.iter().filter(|given| !given.name.starts_with("encoder.down_blocks.2.")).cloned();
    kept.chain(copied).collect()
}

#[test]
fn what_is_not_a_vae_or_does_not_fit_is_refused_in_words() {
    let place = folder();
    let small = Small::new();
    let vaes = save_vaes(&small, place.path());
    let model = place.path().join("one.safetensors");
    save_safetensors(&model, &small.original);
    let refuse = |vae: &Path, words: &[&str]| {
        let error =
            open_with_vae(&model, Some(vae)).err().unwrap_or_else(|| panic!("{} is taken", vae.display()));
        for word in words {
            assert!(error.contains(word), "no {word:?} in: {error}");
        }
    };
    refuse(&model, &["not a VAE", "a Stable Diffusion 1.x model"]);
    refuse(&place.path().join("nothing.pt"), &["cannot be read", "nothing.pt"]);
    let page = place.path().join("page.safetensors");
    fs::write(&page, "<!DOCTYPE html>").expect("writes");
    refuse(&page, &["web page"]);
    let concept = place.path().join("concept.pt");
    save_torch_zip(&concept, &[TestTensor::new("emb_params", &[2, 768])]);
    refuse(&concept, &["not a VAE", "a concept"]);
    refuse(&place.path().join("model"), &["not a VAE", "no config.json"]);

    let config = vaes[0].join("config.json");
    let said = fs::read_to_string(&config).expect("reads");
    for (from, to, words) in [
        ("\"scaling_factor\": 0.18215", "\"scaling_factor\": 0.13025", ["0.13025", "0.18215"]),
        ("\"latent_channels\": 4", "\"latent_channels\": 16", ["16 channels", "have 4"]),
        (
            "\"scaling_factor\"",
            "\"_class_name\": \"AutoencoderTiny\", \"scaling_factor\"",
            ["not a VAE", "AutoencoderTiny"],
        ),
    ] {
        let said: String = said.replace("\":", "\": ").replace("\":  ", "\": ");
        assert!(said.contains(from), "{said}");
        fs::write(&config, said.replace(from, to)).expect("writes");
        refuse(&vaes[0], &words);
    }
}
