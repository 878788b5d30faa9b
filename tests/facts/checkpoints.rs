//! Models in every format that programs write, and files that are not models.

mod broken;
mod hostile;
mod kinds;

use std::fs;
use std::path::Path;

use engine::checkpoint::{TensorDtype, WeightFile, WeightKind, kind_of};
use engine::diffusion::{Latents, TorchGenerator};
use engine::memory::mode::MemoryMode;
use engine::pipeline::Pipeline;
use engine::pipeline::StopFlag;
use engine::recipe::Recipe;

use crate::support::folders::folder;
use crate::support::models::open;
use crate::support::numbers::golden_folder;
use crate::support::weight_files::{Given, Small, save_safetensors, save_torch_legacy, save_torch_zip};

/// Everything that a model computes, bit by bit, and a digest of what it computes with.
fn fingerprint(pipeline: &Pipeline) -> (String, Vec<u32>) {
    let noise = Latents::new([1, 4, 8, 8], TorchGenerator::new(5).randn(256));
    let never = StopFlag::default();
    let text = pipeline.text_embeddings("a fox on a hill").expect("text").data;
    let eps = pipeline.predict_eps(&noise, 500.0, &["a fox on a hill"]).expect("eps").data;
    let pixels = pipeline.decode_raw(MemoryMode::Full, &noise, &never).expect("pixels").data;
    let picture = Latents::new([1, 3, 32, 32], TorchGenerator::new(6).randn(3072));
    let mean = pipeline.encode_moments(MemoryMode::Full, &picture, &never).expect("moments").0.data;
    let recipe = Recipe { prompt: "a fox!".into(), width: 32, height: 32, steps: 2, ..Recipe::default() };
    let picture = pipeline.generate(&recipe, &never, &mut |_| ()).expect("a picture").image.data;
    let all: Vec<f32> = [text, eps, pixels, mean, picture].concat();
    assert!(all.iter().all(|value| value.is_finite()));
    let info = pipeline.info();
    let about = format!("{} {} {}", pipeline.digest().expect("a digest"), info.kind, info.native_side);
    (about, all.iter().map(|value| value.to_bits()).collect())
}

#[test]
fn every_form_of_a_model_is_the_same_model() {
    check_forms(&Small::new());
}

#[test]
fn every_form_of_a_model_of_sd2_is_the_same_model() {
    check_forms(&Small::sd2());
}

fn check_forms(small: &Small) {
    let place = folder();
    let at = |name: &str| place.path().join(name);
    type Save = fn(&Path, &str, &[Given]);
    let folders: [(&str, Save); 5] = [
        ("safetensors", |folder, stem, tensors| {
            save_safetensors(&folder.join(format!("{stem}.safetensors")), tensors);
        }),
        ("variant", |folder, stem, tensors| {
            save_safetensors(&folder.join(format!("{stem}.fp16.safetensors")), tensors);
        }),
        ("shards", |folder, stem, tensors| save_shards(folder, stem, tensors)),
        ("bin", |folder, stem, tensors| save_torch_zip(&folder.join(pickle_name(stem)), tensors)),
        ("old-bin", |folder, stem, tensors| {
            let old: Vec<Given> = tensors.iter().map(old_name).collect();
            save_torch_legacy(&folder.join(pickle_name(stem)), &old);
        }),
    ];
    let mut forms: Vec<_> = folders.iter().map(|(name, save)| small.save_folder(&at(name), save)).collect();
    save_safetensors(&at("one.safetensors"), &small.original);
    save_safetensors(&at("full.safetensors"), &with_the_rest(&small.original));
    save_torch_zip(&at("zip.ckpt"), &with_the_rest(&small.original));
    save_torch_zip(&at("zip.pt"), &small.original);
    save_torch_legacy(&at("legacy.ckpt"), &small.original);
    let files = ["one.safetensors", "full.safetensors", "zip.ckpt", "zip.pt", "legacy.ckpt"];
    forms.extend(files.map(at));

    let mut expected = None;
    for form in &forms {
        let pipeline = open(form).unwrap_or_else(|error| panic!("{error}"));
        let fingerprint = fingerprint(&pipeline);
        let expected = expected.get_or_insert_with(|| fingerprint.clone());
        assert!(*expected == fingerprint, "{} is another model", form.display());
    }
}

fn pickle_name(stem: &str) -> String {
    format!("{}.bin", stem.replace("model", "pytorch_model").replace("pytorch_pytorch", "pytorch"))
}

/// What attention in the VAE was called before diffusers 0.18.
fn old_name(given: &Given) -> Given {
    let names = [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")];
    let is_vae = given.name.contains("coder.mid_block.attentions");
    let name =
        names.iter().filter(|_| is_vae).fold(given.name.clone(), |name, (new, old)| name.replace(new, old));
    given.moved(&name, &given.shape)
}

fn save_shards(folder: &Path, stem: &str, tensors: &[Given]) {
    let mut map = serde_json::Map::new();
    for (index, tensors) in tensors.chunks(tensors.len().div_ceil(3)).enumerate() {
        let name = format!("{stem}-{:05}-of-00003.safetensors", index + 1);
        save_safetensors(&folder.join(&name), tensors);
        map.extend(tensors.iter().map(|given| (given.name.clone(), name.as_str().into())));
    }
    let index = serde_json::json!({ "metadata": {}, "weight_map": map });
    fs::write(folder.join(format!("{stem}.safetensors.index.json")), index.to_string()).expect("writes");
}

/// What training leaves in a file beside the model: averages, a schedule, a buffer.
fn with_the_rest(tensors: &[Given]) -> Vec<Given> {
    let averages = tensors.iter().filter_map(|given| {
        let name = given.name.strip_prefix("model.")?.replace('.', "");
        Some(Given::new(&format!("model_ema.{name}"), &given.shape))
    });
    let rest = [
        Given::new("alphas_cumprod", &[1000]),
        Given::new("betas", &[1000]),
        Given::new("sqrt_recipm1_alphas_cumprod", &[1000]),
        Given::new("cond_stage_model.transformer.text_model.embeddings.position_ids", &[1, 77]),
        Given::new("first_stage_model.loss.discriminator.main.0.weight", &[4, 3]),
        Given::new("model_ema.decay", &[]),
        Given::new("model_ema.num_updates", &[]),
    ];
    tensors.iter().cloned().chain(averages).chain(rest).collect()
}

#[test]
fn files_of_pytorchs_hold_the_numbers_that_were_put_in() {
    let data = golden_folder().join("data/checkpoints");
    let numbers = WeightFile::open(&data.join("numbers.safetensors")).expect("golden data");
    for form in ["state-zip.ckpt", "state-legacy.ckpt"] {
        let file = WeightFile::open(&data.join(form)).unwrap_or_else(|error| panic!("{error}"));
        assert!(file.names().eq(numbers.names()), "{form} has the same names");
        let weights = numbers.names().filter(|name| *name != "position_ids");
        for name in weights {
            let (ours, _) = file.read(name).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(file.shape(name), numbers.shape(name), "{form} {name}");
            assert_eq!(ours, numbers.read(name).expect("golden data").0, "{form} {name}");
        }
        let kinds = ["f32", "f16", "bf16", "position_ids"].map(|name| file.dtype(name));
        assert_eq!(kinds, [Some(TensorDtype::F32), Some(TensorDtype::F16), Some(TensorDtype::BF16), None]);
        let error = file.read("position_ids").expect_err("whole numbers are no weights").to_string();
        assert!(error.contains("position_ids"), "{error}");
    }
}

#[test]
fn a_model_of_another_kind_is_refused_by_its_name() {
    let place = folder();
    let path = place.path().join("model.safetensors");
    let sd1 = Small::new().original;
    let with = |extra: &[(&str, &[usize])]| {
        let mut all: Vec<Given> = extra.iter().map(|(name, shape)| Given::new(name, shape)).collect();
        all.extend(sd1.iter().filter(|given| extra.iter().all(|(name, _)| *name != given.name)).cloned());
        all
    };
    let only = |extra: &[(&str, &[usize])]| -> Vec<Given> {
        extra.iter().map(|(name, shape)| Given::new(name, shape)).collect()
    };
    let inputs = "model.diffusion_model.input_blocks.0.0.weight";
    let cases: [(WeightKind, Vec<Given>); 14] = [
        (WeightKind::Sdxl, with(&[("conditioner.embedders.1.model.ln_final.weight", &[8])])),
        (WeightKind::Sdxl, with(&[("model.diffusion_model.label_emb.0.0.weight", &[8, 8])])),
        (WeightKind::SdxlRefiner, with(&[("conditioner.embedders.0.model.ln_final.weight", &[8])])),
        (WeightKind::Inpainting, with(&[(inputs, &[32, 9, 3, 3])])),
        (WeightKind::InstructPix2Pix, with(&[(inputs, &[32, 8, 3, 3])])),
        (
            WeightKind::StableDiffusion3,
            only(&[("model.diffusion_model.joint_blocks.0.x_block.mlp.fc1.weight", &[8])]),
        ),
        (WeightKind::Flux, only(&[("double_blocks.0.img_attn.proj.weight", &[8])])),
        (WeightKind::ControlNet, only(&[("control_model.input_blocks.0.0.weight", &[8])])),
        (WeightKind::Lora, only(&[("lora_unet_down_blocks_0.lora_up.weight", &[8, 8])])),
        (WeightKind::Lora, only(&[("unet.up_blocks.0.attn1.to_q.lora.down.weight", &[8, 8])])),
        (WeightKind::Vae, only(&[("decoder.conv_in.weight", &[8])])),
        (WeightKind::Unet, only(&[("time_embedding.linear_1.weight", &[8])])),
        (WeightKind::Concept, only(&[("emb_params", &[2, 768])])),
        (WeightKind::Unknown, only(&[("tide", &[8])])),
    ];
    for (kind, tensors) in cases {
        save_safetensors(&path, &tensors);
        let error = open(&path).err().unwrap_or_else(|| panic!("{kind} opened"));
        assert_eq!(kind_of(&WeightFile::open(&path).expect("a weight file")), kind, "{error}");
        assert!(error.contains(&kind.to_string()), "{kind}: {error}");
        assert!(error.ends_with(&path.display().to_string()), "the path is last: {error}");
    }
}

#[test]
fn a_checkpoint_in_one_file_accounts_for_every_weight() {
    let place = folder();
    let path = place.path().join("model.ckpt");
    let sd1 = Small::new().original;
    let victims = [
        "model.diffusion_model.output_blocks.3.1.transformer_blocks.0.attn2.to_out.0.bias",
        "first_stage_model.decoder.mid.attn_1.q.weight",
        "cond_stage_model.transformer.text_model.encoder.layers.1.mlp.fc2.bias",
        "first_stage_model.post_quant_conv.weight",
    ];
    for victim in victims {
        let missing: Vec<Given> = sd1.iter().filter(|given| given.name != victim).cloned().collect();
        save_torch_zip(&path, &missing);
        let error = open(&path).err().unwrap_or_else(|| panic!("{victim} is not missed"));
        assert!(error.contains(victim) && error.contains("missing"), "{error}");

        let misshapen = missing.iter().cloned().chain([Given::new(victim, &[3, 5])]).collect::<Vec<_>>();
        save_torch_zip(&path, &misshapen);
        let error = open(&path).err().unwrap_or_else(|| panic!("{victim} has any shape"));
        assert!(["shape", "channels", victim].iter().any(|word| error.contains(word)), "{error}");
    }
    let spare = "first_stage_model.decoder.tide.weight";
    save_torch_zip(&path, &[sd1.as_slice(), &[Given::new(spare, &[2])]].concat());
    let error = open(&path).err().expect("a spare weight is said");
    assert!(error.contains(spare), "{error}");
}
