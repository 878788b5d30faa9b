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

use crate::support::cli::tidepool;
use crate::support::folders::folder;
use crate::support::models::open;
use crate::support::numbers::golden_folder;
use crate::support::weight_files::*;

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
    type Save = fn(&Path, &str, &[TestTensor]);
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
            let old: Vec<TestTensor> = tensors.iter().map(old_name).collect();
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
fn old_name(given: &TestTensor) -> TestTensor {
    let names = [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")];
    let is_vae = given.name.contains("coder.mid_block.attentions");
    let name =
        names.iter().filter(|_| is_vae).fold(given.name.clone(), |name, (new, old)| name.replace(new, old));
    given.moved(&name, &given.shape)
}

fn save_shards(folder: &Path, stem: &str, tensors: &[TestTensor]) {
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
fn with_the_rest(tensors: &[TestTensor]) -> Vec<TestTensor> {
    let averages = tensors.iter().filter_map(|given| {
        let name = given.name.strip_prefix("model.")?.replace('.', "");
        Some(TestTensor::new(&format!("model_ema.{name}"), &given.shape))
    });
    let rest = [
        TestTensor::new("alphas_cumprod", &[1000]),
        TestTensor::new("betas", &[1000]),
        TestTensor::new("sqrt_recipm1_alphas_cumprod", &[1000]),
        TestTensor::new("cond_stage_model.transformer.text_model.embeddings.position_ids", &[1, 77]),
        TestTensor::new("first_stage_model.loss.discriminator.main.0.weight", &[4, 3]),
        TestTensor::new("model_ema.decay", &[]),
        TestTensor::new("model_ema.num_updates", &[]),
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
fn every_number_of_every_float_type_is_what_pytorch_casts_it_to() {
    let data = golden_folder().join("data/checkpoints");
    let open = |name: &str| WeightFile::open(&data.join(name)).unwrap_or_else(|error| panic!("{error}"));
    let cast = open("types-f32.safetensors");
    for form in ["types.safetensors", "types-zip.pt", "types-legacy.pt"] {
        let file = open(form);
        let dtypes = ["e4m3", "e5m2", "f64"].map(|name| file.dtype(name).expect("a weight"));
        assert_eq!(dtypes, [TensorDtype::F8E4M3, TensorDtype::F8E5M2, TensorDtype::F64], "{form}");
        for (name, count) in [("e4m3", 256), ("e5m2", 256), ("f64", 64)] {
            let [ours, theirs] = [&file, &cast].map(|file| file.read(name).expect("numbers").0);
            assert_eq!(ours.len(), count);
            for (at, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
                let is_same = ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan();
                assert!(is_same, "{form}, {name}[{at}]: {ours} is not {theirs}");
            }
        }
    }
}

#[test]
fn a_model_of_64_or_8_bits_is_the_model_of_the_same_numbers() {
    let place = folder();
    let small = Small::new();
    // With one bit of mantissa, the numbers of `TestTensor` are the same in all these types: 1 or 1.5 times 2^-5.
    let coarse = |given: &TestTensor| {
        let mut data = given.data.clone();
        data.chunks_exact_mut(2).for_each(|half| (half[0], half[1]) = (0, half[1] & 0xfe));
        TestTensor { data, ..given.clone() }
    };
    let tensors: Vec<TestTensor> = small.original.iter().map(coarse).collect();
    let halves = |given: &TestTensor| -> Vec<u16> {
        given.data.chunks_exact(2).map(|half| u16::from_le_bytes([half[0], half[1]])).collect()
    };
    let wide = |half: u16| {
        let magnitude = (1.0 + f64::from(half >> 9 & 1) / 2.0) / 32.0;
        if half & 0x8000 == 0 { magnitude } else { -magnitude }
    };
    type Encode<'a> = &'a dyn Fn(u16) -> Vec<u8>;
    let forms: [(&str, Encode<'_>); 4] = [
        ("F16", &|half| half.to_le_bytes().to_vec()),
        ("F64", &|half| wide(half).to_le_bytes().to_vec()),
        ("F8_E5M2", &|half| vec![(half >> 8) as u8]),
        // An exponent with a bias of 7 in place of 15.
        ("F8_E4M3", &|half| vec![(half >> 8) as u8 & 0x80 | ((half >> 7) as u8 & 0x7f).wrapping_sub(8 << 3)]),
    ];
    let mut expected = None;
    for (dtype, encode) in forms {
        let bytes = |given| halves(given).into_iter().flat_map(encode).collect();
        let encoded: Vec<_> = tensors.iter().map(|given| (given, dtype, bytes(given))).collect();
        let path = place.path().join(format!("{dtype}.safetensors"));
        save_typed(&path, &encoded);
        let fingerprint = fingerprint(&open(&path).unwrap_or_else(|error| panic!("{error}")));
        let expected = expected.get_or_insert_with(|| fingerprint.clone());
        assert!(*expected == fingerprint, "{dtype} is another model");
    }
}

#[test]
fn a_weight_of_a_type_that_cannot_be_one_is_refused_by_its_type() {
    let place = folder();
    let path = place.path().join("model.safetensors");
    let small = Small::new().original;
    for dtype in ["I16", "U16", "F6_E9M9"] {
        let bias = "model.diffusion_model.out.2.bias";
        let of = |given: &TestTensor| if given.name == bias { dtype } else { "F16" };
        let tensors: Vec<_> = small.iter().map(|given| (given, of(given), given.data.clone())).collect();
        save_typed(&path, &tensors);
        let error = open(&path).err().unwrap_or_else(|| panic!("{dtype} is taken"));
        for word in [dtype, bias, "not supported"] {
            assert!(error.contains(word), "no {word} in: {error}");
        }
        assert!(!error.contains("damaged"), "{error}");
    }
    for scale in ["scale_weight", "weight_scale"] {
        let scaled = [TestTensor::new(&format!("model.diffusion_model.out.2.{scale}"), &[1])];
        let bytes = |given: &TestTensor| given.data[..given.data.len() / 2].to_vec();
        let tensors: Vec<_> =
            small.iter().chain(&scaled).map(|given| (given, "F8_E4M3", bytes(given))).collect();
        save_typed(&path, &tensors);
        let error = open(&path).err().expect("numbers without their scales are not the weights");
        assert!(error.contains("scaled fp8"), "{error}");
    }
}

/// Writes tensors of any type: each with the type and its bytes.
fn save_typed(path: &Path, tensors: &[(&TestTensor, &str, Vec<u8>)]) {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (given, dtype, bytes) in tensors {
        let offsets = [data.len(), data.len() + bytes.len()];
        data.extend_from_slice(bytes);
        let entry = serde_json::json!({ "dtype": dtype, "shape": given.shape, "data_offsets": offsets });
        header.insert(given.name.clone(), entry);
    }
    let header = serde_json::Value::from(header).to_string();
    fs::write(path, [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat())
        .expect("writes");
}

#[test]
fn a_model_of_another_kind_is_refused_by_its_name() {
    let place = folder();
    let path = place.path().join("model.safetensors");
    let sd1 = Small::new().original;
    let with = |extra: &[(&str, &[usize])]| {
        let mut all: Vec<TestTensor> =
            extra.iter().map(|(name, shape)| TestTensor::new(name, shape)).collect();
        all.extend(sd1.iter().filter(|given| extra.iter().all(|(name, _)| *name != given.name)).cloned());
        all
    };
    let only = |extra: &[(&str, &[usize])]| -> Vec<TestTensor> {
        extra.iter().map(|(name, shape)| TestTensor::new(name, shape)).collect()
    };
    let inputs = "model.diffusion_model.input_blocks.0.0.weight";
    let classes: (&str, &[usize]) = ("model.diffusion_model.label_emb.0.0.weight", &[8, 8]);
    let without = |prefixes: &[&str], extra: &[(&str, &[usize])]| -> Vec<TestTensor> {
        let is_kept = |given: &TestTensor| !prefixes.iter().any(|prefix| given.name.starts_with(prefix));
        with(extra).into_iter().filter(is_kept).collect()
    };
    let cases: Vec<(WeightKind, Vec<TestTensor>)> = vec![
        (
            WeightKind::Sdxl,
            without(&["cond_stage_model."], &[("conditioner.embedders.1.model.ln_final.weight", &[8])]),
        ),
        (WeightKind::Sdxl, without(&["cond_stage_model."], &[classes])),
        (
            WeightKind::SdxlRefiner,
            without(&["cond_stage_model."], &[("conditioner.embedders.0.model.ln_final.weight", &[8])]),
        ),
        (WeightKind::Unclip, with(&[classes])),
        (WeightKind::Upscaler, with(&[classes, (inputs, &[32, 7, 3, 3])])),
        (WeightKind::Inpainting, with(&[(inputs, &[32, 9, 3, 3])])),
        (WeightKind::InstructPix2Pix, with(&[(inputs, &[32, 8, 3, 3])])),
        (WeightKind::Depth, with(&[(inputs, &[32, 5, 3, 3])])),
        (WeightKind::Upscaler, with(&[(inputs, &[32, 7, 3, 3])])),
        (WeightKind::Unet, without(&["cond_stage_model.", "first_stage_model."], &[])),
        (WeightKind::TextEncoder, without(&["model.diffusion_model.", "first_stage_model."], &[])),
        (WeightKind::TextEncoder, only(&[("cond_stage_model.model.token_embedding.weight", &[8, 8])])),
        (
            WeightKind::StableDiffusion3,
            only(&[("model.diffusion_model.joint_blocks.0.x_block.mlp.fc1.weight", &[8])]),
        ),
        (WeightKind::Flux, only(&[("double_blocks.0.img_attn.proj.weight", &[8])])),
        (WeightKind::ControlNet, only(&[("control_model.input_blocks.0.0.weight", &[8])])),
        (WeightKind::Vae, only(&[("decoder.conv_in.weight", &[8])])),
        (WeightKind::Concept, only(&[("emb_params", &[2, 768])])),
        (WeightKind::Unknown, only(&[("tide", &[8])])),
    ];
    // The same with averages alone, whose keys have no dots.
    let has_unet = |tensors: &[TestTensor]| tensors.iter().any(|given| given.name == inputs);
    let averages = cases.iter().filter(|(_, tensors)| has_unet(tensors));
    let averages: Vec<_> = averages.map(|(kind, tensors)| (*kind, averaged(tensors))).collect();
    assert!(averages.len() > 8);
    for (kind, tensors) in cases.into_iter().chain(averages) {
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
        "model.diffusion_model.input_blocks.0.0.weight",
        "model.diffusion_model.output_blocks.3.1.transformer_blocks.0.attn2.to_out.0.bias",
        "first_stage_model.decoder.mid.attn_1.q.weight",
        "cond_stage_model.transformer.text_model.encoder.layers.1.mlp.fc2.bias",
        "first_stage_model.post_quant_conv.weight",
    ];
    for victim in victims {
        let missing: Vec<TestTensor> = sd1.iter().filter(|given| given.name != victim).cloned().collect();
        save_torch_zip(&path, &missing);
        let error = open(&path).err().unwrap_or_else(|| panic!("{victim} is not missed"));
        assert!(error.contains(victim) && error.contains("missing"), "{error}");

        let misshapen = missing.iter().cloned().chain([TestTensor::new(victim, &[3, 5])]).collect::<Vec<_>>();
        save_torch_zip(&path, &misshapen);
        let error = open(&path).err().unwrap_or_else(|| panic!("{victim} has any shape"));
        assert!(["shape", "channels", victim].iter().any(|word| error.contains(word)), "{error}");
    }
}

/// Where programs put the weights of a pickle: A1111 and ComfyUI look into the same places.
#[test]
fn weights_in_a_pickle_are_found_wherever_programs_put_them() {
    let place = folder();
    let path = place.path().join("weights.pt");
    let one = || tensor(storage("HalfStorage", "0", 16), 0, &[16], &[1]);
    let inner = || dict(&[("a", one())]);
    let of_list = |items: &[Vec<u8>]| [b"](", items.concat().as_slice(), b"e"].concat();
    let by_default = [
        call(global("collections", "defaultdict"), tuple(&[global("builtins", "list")])),
        text("a"),
        one(),
        b"s".to_vec(),
    ];
    let places: [(&str, Vec<u8>, &[&str]); 9] = [
        ("alone", one(), &[""]),
        ("in a dictionary", inner(), &["a"]),
        ("as a state", dict(&[("state_dict", inner()), ("epoch", int(3))]), &["a"]),
        ("as a state in a state", dict(&[("state_dict", dict(&[("state_dict", inner())]))]), &["a"]),
        ("as a model", dict(&[("model", inner()), ("epoch", int(3))]), &["a"]),
        (
            "as two parts",
            dict(&[("image_proj", inner()), ("ip_adapter", inner())]),
            &["image_proj.a", "ip_adapter.a"],
        ),
        ("in a dictionary with defaults", by_default.concat(), &["a"]),
        ("in a list", of_list(&[one(), one()]), &["0", "1"]),
        ("in a list of dictionaries", of_list(&[inner()]), &["a"]),
    ];
    for (what, object, names) in places {
        fs::write(&path, around(&pickle(&object), &[("0", vec![0; 32])])).expect("writes");
        let file = WeightFile::open(&path).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(file.names().eq(names.iter().copied()), "{what}: {:?}", file.names().collect::<Vec<_>>());
    }
}

/// The keys are those of the programs named: kohya-ss's scripts, LyCORIS, diffusers before and after version 0.22, peft,
/// A1111, ComfyUI's and TencentARC's adapters, GLIGEN's authors.
#[test]
fn what_is_added_to_a_model_is_called_by_its_name() {
    let place = folder();
    let kohya = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q";
    let diffusers = "down_blocks.0.attentions.0.transformer_blocks.0.attn1";
    let at = |outer: &str, inner: &str| format!("{outer}.{inner}");
    let cases = [
        (WeightKind::Lora, at(kohya, "lora_up.weight")),
        (WeightKind::Lora, at("lora_te_text_model_encoder_layers_0_mlp_fc1", "lora_down.weight")),
        (WeightKind::Lora, at(diffusers, "processor.to_q_lora.down.weight")),
        (WeightKind::Lora, format!("unet.{diffusers}.to_q.lora.down.weight")),
        (WeightKind::Lora, format!("unet.{diffusers}.to_q.lora_A.weight")),
        (WeightKind::Lora, format!("base_model.model.{diffusers}.to_q.lora_B.default.weight")),
        (
            WeightKind::Lora,
            "text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_linear_layer.up.weight".into(),
        ),
        (WeightKind::Loha, at(kohya, "hada_w1_a")),
        (WeightKind::Lokr, at(kohya, "lokr_w1")),
        (WeightKind::Lokr, at(kohya, "lokr_w1_a")),
        (WeightKind::Oft, at(kohya, "oft_blocks")),
        (WeightKind::Oft, format!("base_model.model.{diffusers}.to_q.oft_r")),
        (WeightKind::Ia3, at(kohya, "on_input")),
        (WeightKind::Ia3, format!("base_model.model.{diffusers}.to_k.ia3_l")),
        (WeightKind::ControlLora, "lora_controlnet".into()),
        (WeightKind::ControlNet, "controlnet_cond_embedding.conv_in.weight".into()),
        (WeightKind::ControlNet, "lllite_unet_input_blocks_1_1_attn1_to_q.down.0.weight".into()),
        (WeightKind::T2iAdapter, "body.0.block1.weight".into()),
        (WeightKind::T2iAdapter, "adapter.body.0.resnets.0.block1.weight".into()),
        (WeightKind::IpAdapter, "ip_adapter.1.to_k_ip.weight".into()),
        (WeightKind::Gligen, "position_net.linears.0.weight".into()),
        (WeightKind::Gligen, format!("{diffusers}.fuser.attn.to_q.weight")),
        (WeightKind::MotionModule, "down_blocks.0.motion_modules.0.temporal_transformer.norm.weight".into()),
        (WeightKind::Hypernetwork, "768.0.linear.0.weight".into()),
        (WeightKind::Unet, "time_embedding.linear_1.weight".into()),
        (WeightKind::Unet, "input_blocks.0.0.weight".into()),
        (WeightKind::Unet, "diffusion_model.input_blocks.0.0.weight".into()),
    ];
    for (kind, name) in cases {
        let path = place.path().join("added.safetensors");
        // Programs put the most telling key anywhere.
        save_safetensors(
            &path,
            &[TestTensor::new("a", &[4, 4]), TestTensor::new(&name, &[4, 4]), TestTensor::new("z", &[])],
        );
        assert_eq!(kind_of(&WeightFile::open(&path).expect("a weight file")), kind, "{name}");
        let error = open(&path).err().unwrap_or_else(|| panic!("{kind} opened"));
        assert!(error.contains(&kind.to_string()), "{kind}: {error}");
    }
    // `{768: (state of keys, state of values)}`, as A1111 saves a hypernetwork.
    let network = |key: &str| {
        dict(&[("linear.0.weight", tensor(storage("HalfStorage", key, 16), 0, &[4, 4], &[4, 1]))])
    };
    let both = tuple(&[network("0"), network("1")]);
    let root = [b"}", text("name").as_slice(), &text("tide"), b"s", &int(768), &both, b"s"].concat();
    let path = place.path().join("tide.pt");
    fs::write(&path, around(&pickle(&root), &[("0", vec![0; 32]), ("1", vec![0; 32])])).expect("writes");
    assert_eq!(kind_of(&WeightFile::open(&path).expect("a weight file")), WeightKind::Hypernetwork);
}

#[test]
fn weights_that_no_part_needs_are_a_note_and_the_model_is_the_same() {
    let place = folder();
    let (sd1, sd2) = (Small::new(), Small::sd2());
    let vision = [
        TestTensor::new("cond_stage_model.transformer.vision_model.post_layernorm.weight", &[8]),
        TestTensor::new("cond_stage_model.transformer.visual_projection.weight", &[8, 8]),
        TestTensor::new("cond_stage_model.transformer.logit_scale", &[]),
        TestTensor::new("cond_stage_model.metrics.accuracy", &[]),
    ];
    let old_text: Vec<TestTensor> = sd1
        .original
        .iter()
        .filter_map(|given| {
            let name = given.name.strip_prefix("cond_stage_model.transformer.text_model.")?;
            Some(TestTensor::new(&format!("cond_stage_model.transformer.{name}"), &given.shape))
        })
        .collect();
    let lora = [TestTensor::new("lora_unet_mid_block_attentions_0_proj_in.lora_up.weight", &[32, 4])];
    let spare = [TestTensor::new("first_stage_model.decoder.tide.weight", &[2])];
    let spare_open_clip =
        [TestTensor::new("cond_stage_model.model.transformer.resblocks.0.tide.weight", &[2])];
    let control = [TestTensor::new("control_model.input_blocks.0.0.weight", &[32, 4, 3, 3])];
    let cases: [(&str, &Small, &[TestTensor], &str); 7] = [
        ("a whole CLIP", &sd1, &vision, "4 weights"),
        ("both names of the text encoder", &sd1, &old_text, "weights are"),
        ("a LoRA's key", &sd1, &lora, "1 weight"),
        ("a ControlNet's key", &sd1, &control, "1 weight"),
        ("a key of the VAE's", &sd1, &spare, "1 weight"),
        ("a key of OpenCLIP's", &sd1, &spare_open_clip, "1 weight"),
        ("a key of OpenCLIP's", &sd2, &spare_open_clip, "1 weight"),
    ];
    for (at, (what, small, extra, count)) in cases.into_iter().enumerate() {
        let [plain, with_extra] =
            ["plain", "extra"].map(|name| place.path().join(format!("{name}{at}.ckpt")));
        save_torch_zip(&plain, &small.original);
        save_torch_zip(&with_extra, &[small.original.as_slice(), extra].concat());
        let [plain, with_extra] =
            [plain, with_extra].map(|path| open(&path).unwrap_or_else(|error| panic!("{what}: {error}")));
        assert!(plain.info().notes.is_empty(), "{:?}", plain.info().notes);
        let [note] = with_extra.info().notes.as_slice() else {
            panic!("{what}: {:?}", with_extra.info().notes)
        };
        assert!(note.contains(count) && note.contains(&extra[0].name), "{what}: {note}");
        assert!(note.ends_with(&format!("extra{at}.ckpt")), "the path is last: {note}");
        assert!(fingerprint(&plain) == fingerprint(&with_extra), "{what} changes the model");
    }
    // What a person sees.
    let said = tidepool(
        place.path(),
        &[
            "render",
            "a fox",
            "--model",
            "extra2.ckpt",
            "--size",
            "64x64",
            "--steps",
            "1",
            "--device",
            "cpu",
            "--json",
            "-o",
            "a.png",
        ],
    );
    assert_eq!(said.status, Some(0), "{}", said.stderr);
    assert!(said.stderr.contains("lora_unet_mid_block"), "{}", said.stderr);
    let report: serde_json::Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert!(report["remarks"].to_string().contains("lora_unet_mid_block"), "{}", report["remarks"]);
}

#[test]
fn a_text_encoder_with_its_vision_tower_in_a_folder_is_the_text_encoder() {
    let place = folder();
    let extra = [
        TestTensor::new("vision_model.post_layernorm.weight", &[8]),
        TestTensor::new("visual_projection.weight", &[8, 8]),
        TestTensor::new("logit_scale", &[]),
    ];
    let save = |folder: &Path, stem: &str, tensors: &[TestTensor]| {
        let extra: &[TestTensor] = if folder.ends_with("text_encoder") { &extra } else { &[] };
        save_safetensors(&folder.join(format!("{stem}.safetensors")), &[tensors, extra].concat());
    };
    let model = Small::new().save_folder(&place.path().join("whole"), &save);
    let notes = open(&model).unwrap_or_else(|error| panic!("{error}")).info().notes.clone();
    assert!(
        notes.len() == 1 && notes[0].contains("3 weights") && notes[0].contains("logit_scale"),
        "{notes:?}"
    );
}

#[test]
fn a_weight_that_fits_is_preferred_to_one_of_another_shape() {
    let place = folder();
    let path = place.path().join("merged.safetensors");
    let small = Small::new().original;
    let old = "cond_stage_model.transformer.text_model.final_layer_norm.weight";
    let new = "cond_stage_model.transformer.final_layer_norm.weight";
    let mut tensors: Vec<TestTensor> = small.iter().filter(|given| given.name != old).cloned().collect();
    let moved = small.iter().find(|given| given.name == old).expect("a norm");
    tensors.extend([moved.moved(new, &moved.shape), TestTensor::new(old, &[5])]);
    save_safetensors(&path, &tensors);
    open(&path).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_checkpoint_says_which_part_it_lacks() {
    let place = folder();
    let path = place.path().join("part.safetensors");
    for small in [Small::new(), Small::sd2()] {
        for (prefix, words) in [
            ("first_stage_model.", ["no VAE", "first_stage_model.", "--vae"]),
            ("cond_stage_model.", ["no text encoder", "cond_stage_model.", "complete"]),
        ] {
            let rest = small.original.iter().filter(|given| !given.name.starts_with(prefix));
            save_safetensors(&path, &rest.cloned().collect::<Vec<_>>());
            let error = open(&path).err().unwrap_or_else(|| panic!("opened without {prefix}"));
            for word in words {
                assert!(error.contains(word), "no {word} in: {error}");
            }
            assert!(error.ends_with(&path.display().to_string()), "the path is last: {error}");
        }
    }
    for (part, words) in [
        ("unet", ["no UNet", "complete"]),
        ("vae", ["no VAE", "--vae"]),
        ("text_encoder", ["no text encoder", "complete"]),
    ] {
        let model = Small::new().save_folder(&place.path().join(part), &|folder, stem, tensors| {
            if !folder.ends_with(part) {
                save_safetensors(&folder.join(format!("{stem}.safetensors")), tensors);
            }
        });
        let error = open(&model).err().unwrap_or_else(|| panic!("opened without {part}"));
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
        assert!(error.ends_with(&model.display().to_string()), "the path is last: {error}");
    }
}

/// A checkpoint with the averages of its UNet in place of the weights, as `LitEma` of latent-diffusion names them.
fn averaged(tensors: &[TestTensor]) -> Vec<TestTensor> {
    let averages = tensors.iter().map(|given| match given.name.strip_prefix("model.") {
        Some(name) => given.moved(&format!("model_ema.{}", name.replace('.', "")), &given.shape),
        None => given.clone(),
    });
    let counts = [TestTensor::new("model_ema.decay", &[]), TestTensor::new("model_ema.num_updates", &[])];
    averages.chain(counts).collect()
}

#[test]
fn averages_stand_for_weights_that_were_removed() {
    let place = folder();
    let small = Small::new().original;
    let [whole, ema] = ["whole", "ema"].map(|name| place.path().join(format!("{name}.safetensors")));
    save_safetensors(&whole, &small);
    save_safetensors(&ema, &averaged(&small));
    let [whole, ema] = [whole, ema].map(|path| open(&path).unwrap_or_else(|error| panic!("{error}")));
    assert!(fingerprint(&whole) == fingerprint(&ema));
    assert!(ema.info().notes.is_empty(), "{:?}", ema.info().notes);
}

#[test]
fn a_weight_that_only_a_call_would_make_is_refused_by_the_call() {
    let place = folder();
    let path = place.path().join("model.pt");
    let made = call(global("bitsandbytes.nn.modules", "Params4bit"), tuple(&[]));
    let name = "cond_stage_model.transformer.text_model.final_layer_norm.bias";
    let sound = tensor(storage("HalfStorage", "0", 16), 0, &[16], &[1]);
    let of = |entries: &[(&str, Vec<u8>)]| around(&pickle(&dict(entries)), &[("0", vec![0; 32])]);
    // What is not needed may be anything.
    fs::write(&path, of(&[("a", sound.clone()), (name, made.clone())])).expect("writes");
    let file = WeightFile::open(&path).expect("what is a tensor is read");
    assert!(file.names().eq(["a"]));
    let error = file.read(name).expect_err("it is not a tensor").to_string();
    assert!(error.contains("bitsandbytes.nn.modules.Params4bit") && !error.contains("damaged"), "{error}");
    fs::write(&path, of(&[("state_dict", made)])).expect("writes");
    let error = WeightFile::open(&path).err().expect("no tensor").to_string();
    assert!(error.contains("bitsandbytes.nn.modules.Params4bit") && !error.contains("damaged"), "{error}");
}
