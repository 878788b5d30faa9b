//! Configurations as diffusers, transformers and latent-diffusion write them, by `tests/golden/configurations.py`.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use engine::checkpoint::{ModelSource, SchedulerConfig};
use engine::device::{DeviceChoice, DeviceSelector};
use engine::diffusion::{Latents, TorchGenerator};
use engine::memory::mode::MemoryMode;
use engine::models::{ClipTextConfig, UnetConfig, VaeConfig};
use engine::pipeline::{OpenOptions, Pipeline, StopFlag};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Map, Value, json};

use crate::support::folders::folder;
use crate::support::models::open;
use crate::support::numbers::{Golden, assert_near, golden_folder, notes};
use crate::support::weight_files::{Small, save_safetensors};

/// As in `models.rs`.
const TOLERANCE: f32 = 1e-4;

/// Networks of small configurations, and what is known of them.
struct Reference {
    base: Value,
    cases: Map<String, Value>,
    notes: Value,
}

impl Reference {
    fn read() -> Self {
        let file = fs::File::open(golden_folder().join("data/configurations.json.gz")).expect("golden data");
        let mut text = String::new();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("whole golden data");
        let mut json: Value = serde_json::from_str(&text).expect("JSON");
        let cases = json["cases"].as_object().expect("cases").clone();
        Self { base: json["base"].take(), cases, notes: notes("configurations.json") }
    }

    /// The base model, as a diffusers folder.
    fn save(&self, folder: &Path) -> Model {
        let words = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo");
        for part in ["unet", "vae", "text_encoder", "scheduler", "tokenizer"] {
            fs::create_dir_all(folder.join(part)).expect("makes a folder");
        }
        for name in ["model_index.json", "tokenizer/vocab.json", "tokenizer/merges.txt"] {
            fs::copy(words.join(name), folder.join(name)).expect("copies");
        }
        let model = Model(folder.to_owned());
        for part in ["unet", "vae", "text_encoder"] {
            model.write_weights(part, &self.weights(part, &self.base[part]["weights"]));
        }
        for part in PARTS {
            model.write_config(part, &self.base[part]["config"]);
        }
        model
    }

    /// A part's weights, filled by the rules of `randomize` in `tests/golden/random_models.py`.
    fn weights(&self, part: &str, names: &Value) -> Vec<Weight> {
        let mut noise = TorchGenerator::new(self.base[part]["seed"].as_u64().expect("a seed"));
        let rows = names.as_array().expect("names").iter();
        rows.map(|row| {
            let (name, sides) = row.as_str().and_then(|row| row.split_once(' ')).expect("a name and a shape");
            let shape: Vec<usize> = sides.split('x').map(|side| side.parse().expect("a side")).collect();
            let mut values = noise.randn(shape.iter().product());
            let scale = match (name, shape.len()) {
                _ if name.ends_with("embedding.weight") => 0.5,
                (_, 2..) => (shape[1..].iter().product::<usize>() as f64).powf(-0.5) as f32,
                _ if name.ends_with("bias") => 0.1,
                _ => 0.2,
            };
            let offset = if shape.len() == 1 && !name.ends_with("bias") { 1.0 } else { 0.0 };
            values.iter_mut().for_each(|value| *value = offset + scale * *value);
            Weight { name: name.into(), shape, values }
        })
        .collect()
    }

    /// What a part computes of the inputs that the script gave it.
    fn answer(&self, part: &str, pipeline: &Pipeline) -> Vec<f32> {
        let prompt = self.notes["prompt"].as_str().expect("a prompt");
        let timestep = self.notes["timestep"].as_f64().expect("a timestep") as f32;
        let seed = self.notes["input_seed"].as_u64().expect("a seed");
        let x = Latents::new([1, 4, 8, 8], TorchGenerator::new(seed).randn(256));
        match part {
            "unet" => pipeline.predict_eps(&x, timestep, &[prompt]).expect("eps").data,
            "vae" => pipeline.decode_raw(MemoryMode::Full, &x, &StopFlag::default()).expect("pixels").data,
            _ => pipeline.text_embeddings(prompt).expect("text").data,
        }
    }
}

const PARTS: [&str; 4] = ["unet", "vae", "text_encoder", "scheduler"];

struct Weight {
    name: String,
    shape: Vec<usize>,
    values: Vec<f32>,
}

fn save_weights(path: &Path, weights: &[Weight]) {
    let bytes: Vec<Vec<u8>> = weights
        .iter()
        .map(|weight| weight.values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let views = weights.iter().zip(&bytes).map(|(weight, bytes)| {
        let view = TensorView::new(Dtype::F32, weight.shape.clone(), bytes).expect("a tensor");
        (weight.name.as_str(), view)
    });
    fs::write(path, safetensors::serialize(views, None).expect("serializes")).expect("writes");
}

/// A diffusers folder whose parts can be changed.
struct Model(PathBuf);

impl Model {
    fn config_path(&self, part: &str) -> PathBuf {
        self.0.join(part).join(if part == "scheduler" { "scheduler_config.json" } else { "config.json" })
    }

    fn write_config(&self, part: &str, config: &Value) {
        fs::write(self.config_path(part), config.to_string()).expect("writes");
    }

    fn write_weights(&self, part: &str, weights: &[Weight]) {
        let stem = if part == "text_encoder" { "model" } else { "diffusion_pytorch_model" };
        save_weights(&self.0.join(part).join(format!("{stem}.safetensors")), weights);
    }

    fn open(&self) -> Pipeline {
        open(&self.0).unwrap_or_else(|error| panic!("{error}"))
    }

    #[track_caller]
    fn check_refused(&self, part: &str, config: &Value, word: &str) {
        self.write_config(part, config);
        let error = open(&self.0).err().unwrap_or_else(|| panic!("{part} opens with another {word}"));
        assert!(error.contains(word), "no {word} in: {error}");
        // Some models are told by one setting before their configurations are read: then the path is the folder's.
        let paths = [self.config_path(part), self.0.clone()].map(|path| path.display().to_string());
        assert!(paths.iter().any(|path| error.ends_with(path)), "the path is last: {error}");
    }
}

/// `config` with some settings more.
fn with(config: &Value, settings: impl IntoIterator<Item = (String, Value)>) -> Value {
    let mut config = config.clone();
    config.as_object_mut().expect("an object").extend(settings);
    config
}

#[test]
fn networks_of_many_configurations_equal_those_of_diffusers_and_transformers() {
    let place = folder();
    let reference = Reference::read();
    let model = reference.save(place.path());
    let golden = Golden::open("configurations.safetensors");
    for (name, case) in &reference.cases {
        let part = case["part"].as_str().expect("a part");
        model.write_config(part, &case["config"]);
        model.write_weights(part, &reference.weights(part, &case["weights"]));
        let pipeline = model.open();
        let stride = reference.notes["tensors"][name]["stride"].as_u64().expect("a stride") as usize;
        assert_near(name, &reference.answer(part, &pipeline), &golden.get(name), stride, TOLERANCE);
        if name == "lists" {
            assert_eq!(
                pipeline.info().native_side,
                2 * 16,
                "the shorter side of the latents, which are halved"
            );
        }
        model.write_config(part, &reference.base[part]["config"]);
        model.write_weights(part, &reference.weights(part, &reference.base[part]["weights"]));
    }
}

/// In the original layout, and with the numbers of diffusers' script for converting to it.
#[test]
fn a_distilled_model_in_one_file_is_that_of_diffusers() {
    let place = folder();
    let path = place.path().join("distilled.safetensors");
    let reference = Reference::read();
    let case = &reference.cases["without a middle"];
    let unet = || reference.weights("unet", &case["weights"]);
    let renamed = |weights: Vec<Weight>, names: &Value| -> Vec<Weight> {
        let names = names.as_array().expect("names").iter();
        let pairs = weights.into_iter().zip(names);
        pairs.map(|(weight, name)| Weight { name: name.as_str().expect("a name").into(), ..weight }).collect()
    };
    let vae = &reference.base["vae"];
    for numbering in ["original", "with_holes"] {
        let mut weights = renamed(unet(), &case[numbering]);
        weights.extend(renamed(reference.weights("vae", &vae["weights"]), &vae["original"]).into_iter().map(
            |mut weight| {
                if weight.name.contains(".attn_1.") && weight.shape.len() == 2 {
                    weight.shape.extend([1, 1]);
                }
                weight
            },
        ));
        let text = reference.weights("text_encoder", &reference.base["text_encoder"]["weights"]);
        weights.extend(text.into_iter().map(|weight| Weight {
            name: format!("cond_stage_model.transformer.text_model.{}", weight.name),
            ..weight
        }));
        save_weights(&path, &weights);
        let pipeline = open(&path).unwrap_or_else(|error| panic!("{error}"));
        let theirs = Golden::open("configurations.safetensors").get("without a middle");
        assert_near(numbering, &reference.answer("unet", &pipeline), &theirs, 1, TOLERANCE);
    }
}

fn rows(settings: &Value, part: &str, kind: &str) -> Vec<(String, Value)> {
    let rows = settings[part].as_array().expect("settings").iter().filter(|row| row["kind"] == kind);
    rows.map(|row| (row["key"].as_str().expect("a key").to_owned(), row.clone())).collect()
}

/// Every setting of diffusers' and transformers' signatures, in `settings.json`; what is read is in the test above.
#[test]
fn a_setting_that_would_change_a_network_is_read_or_refused_by_name() {
    let place = folder();
    let reference = Reference::read();
    let settings = notes("settings.json");
    let model = reference.save(place.path());
    let mut checked = 0;
    for part in PARTS {
        let base = &reference.base[part]["config"];
        let answer = |model: &Model| {
            let pipeline = model.open();
            let noise = pipeline.info().scheduler.noise_schedule().training_sigmas;
            if part == "scheduler" { noise } else { reference.answer(part, &pipeline) }
        };
        let expected = answer(&model);
        for (key, row) in rows(&settings, part, "required") {
            model.check_refused(part, &with(base, [(key.clone(), row["other"].clone())]), &key);
            checked += 1;
        }
        let others = rows(&settings, part, "free").into_iter().map(|(key, row)| (key, row["other"].clone()));
        checked += others.len();
        model.write_config(part, &with(base, others));
        assert_eq!(answer(&model), expected, "what is free in {part} changes nothing");

        let all = settings[part].as_array().expect("settings").iter();
        let defaults =
            all.filter_map(|row| Some((row["key"].as_str()?.to_owned(), row.get("default")?.clone())));
        let base_settings = base.as_object().expect("settings").clone();
        model.write_config(part, &with(&Value::Object(defaults.collect()), base_settings));
        assert_eq!(answer(&model), expected, "what is left out of {part} has its default");
        model.write_config(part, base);
    }
    assert!(checked > 90, "{checked} settings");
}

#[test]
fn an_empty_configuration_is_one_of_defaults() {
    let settings = notes("settings.json");
    let defaults = |part: &str| {
        let rows = rows(&settings, part, "read").into_iter().chain(rows(&settings, part, "required"));
        Value::Object(rows.map(|(key, row)| (key, row["default"].clone())).collect())
    };
    fn said<T: std::fmt::Debug + serde::de::DeserializeOwned>(config: Value) -> String {
        format!("{:?}", serde_json::from_value::<T>(config).expect("a configuration"))
    }
    assert_eq!(said::<UnetConfig>(json!({})), said::<UnetConfig>(defaults("unet")));
    assert_eq!(said::<VaeConfig>(json!({})), said::<VaeConfig>(defaults("vae")));
    assert_eq!(said::<ClipTextConfig>(json!({})), said::<ClipTextConfig>(defaults("text_encoder")));
}

#[test]
fn a_scheduler_that_leaves_out_its_betas_has_those_of_its_class() {
    let place = folder();
    let model = Reference::read().save(place.path());
    let index_path = place.path().join("model_index.json");
    let index: Value = serde_json::from_slice(&fs::read(&index_path).expect("reads")).expect("JSON");
    let choose = |class: &str| {
        let index = with(&index, [("scheduler".to_owned(), json!(["diffusers", class]))]);
        fs::write(&index_path, index.to_string()).expect("writes");
    };
    let classes = notes("settings.json")["schedulers"].as_object().expect("classes").clone();
    assert!(classes.len() > 20);
    for (class, defaults) in classes {
        choose(&class);
        let theirs: SchedulerConfig = serde_json::from_value(defaults).expect("a scheduler");
        assert_eq!(model.open().info().scheduler, theirs, "{class}");
    }
    // Its noise is not made by betas.
    choose("FlowMatchEulerDiscreteScheduler");
    model.check_refused("scheduler", &json!({ "shift": 3.0 }), "FlowMatchEulerDiscreteScheduler");
    choose("SchedulerOfMyOwn");
    let betas = json!({ "beta_start": 0.001, "beta_end": 0.02, "beta_schedule": "linear" });
    model.write_config("scheduler", &betas);
    assert_eq!(model.open().info().scheduler.beta_start, 0.001, "who says all betas needs no class");
}

#[test]
fn a_setting_that_makes_no_sense_is_named() {
    let place = folder();
    let reference = Reference::read();
    let model = reference.save(place.path());
    for (part, key, value) in [
        ("unet", "norm_num_groups", json!(null)),
        ("unet", "norm_num_groups", json!(0)),
        ("unet", "attention_head_dim", json!("8")),
        ("unet", "attention_head_dim", json!([8])),
        ("unet", "cross_attention_dim", json!([512, 768])),
        ("unet", "out_channels", json!(8)),
        ("unet", "layers_per_block", json!(1e12 as u64)),
        ("vae", "scaling_factor", json!([1])),
        ("vae", "layers_per_block", json!(1e12 as u64)),
        ("text_encoder", "num_hidden_layers", json!(1e12 as u64)),
        ("text_encoder", "vocab_size", json!(-1)),
        ("scheduler", "beta_start", json!("0.1")),
        ("scheduler", "num_train_timesteps", json!(1.5)),
    ] {
        let base = &reference.base[part]["config"];
        let word = if value == 0 { "groups" } else { key };
        model.check_refused(part, &with(base, [(key.to_owned(), value)]), word);
        model.write_config(part, base);
    }
}

/// As transformers' `PreTrainedConfig.from_pretrained` does.
#[test]
fn a_configuration_of_both_encoders_of_clip_holds_that_of_the_text_encoder() {
    let place = folder();
    let reference = Reference::read();
    let model = reference.save(place.path());
    let expected = reference.answer("text_encoder", &model.open());
    let text = &reference.base["text_encoder"]["config"];
    let both =
        json!({ "model_type": "clip", "text_config": text, "vision_config": {}, "hidden_act": "relu" });
    model.write_config("text_encoder", &both);
    assert_eq!(reference.answer("text_encoder", &model.open()), expected);
}

#[test]
fn a_vae_in_a_folder_of_its_own_has_its_settings_checked_too() {
    let place = folder();
    let reference = Reference::read();
    let model = reference.save(place.path());
    let vae = place.path().join("vae");
    let open_with_vae = || {
        let device = DeviceChoice { device: DeviceSelector::Cpu, ..DeviceChoice::default() };
        let options = OpenOptions { device, vae: Some(&vae), make_room: None };
        Pipeline::open(&ModelSource::BuiltIn, options, &mut |_| true).map_err(|error| error.to_string())
    };
    let base = &reference.base["vae"]["config"];
    model.write_config("vae", &with(base, [("act_fn".to_owned(), json!("gelu"))]));
    let error = open_with_vae().err().expect("another activation");
    assert!(error.contains("act_fn") && error.ends_with("config.json"), "{error}");
}

/// `json.dumps` of Python writes them, as diffusers does for `lambda_min_clipped`.
#[test]
fn numbers_that_only_python_writes_do_not_stop_a_model_from_opening() {
    let place = folder();
    let model = Reference::read().save(place.path());
    let text = r#"{"_class_name": "a \" NaN", "lambda_min_clipped": -Infinity, "sample_max_value": NaN, "\\": Infinity,
        "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}"#;
    fs::write(model.config_path("scheduler"), text).expect("writes");
    assert_eq!(model.open().info().scheduler, SchedulerConfig::default());
}

#[test]
fn a_yaml_file_beside_a_checkpoint_says_what_it_predicts_in_every_style() {
    let place = folder();
    let path = place.path().join("model.safetensors");
    save_safetensors(&path, &Small::sd2().original);
    let yaml = path.with_extension("yaml");
    // Its biases say v, so eps is what the file says. PyYAML loads all of these as eps.
    for text in [
        "model:\n  params:\n    parameterization: eps\n",
        "model:\n  params:\n    parameterization : 'eps'\n",
        "model:\r\n  params:\r\n    parameterization:   \"eps\"   # of the noise\r\n",
        "model: {target: ldm.Diffusion, params: {linear_start: 0.00085, parameterization: eps}}\n",
        "{\"model\": {\"params\": {\"parameterization\": \"eps\"}}}",
        "\u{feff}---\nmodel:\n  params:\n    ? parameterization\n    : eps\n",
        "prediction: &eps eps\nmodel:\n  params:\n    parameterization: *eps\n",
        "model:\n  params:\n    \"parameterization\": !!str eps\n    note: |\n      parameterization: v\n",
        "# parameterization: v\nmodel:\n  params:\n    parameterization: >-\n      eps\n",
        "base: &base {parameterization: eps}\nmodel:\n  params:\n    <<: *base\n",
        // latent-diffusion's default, as in v2-inference.yaml.
        "model:\n  target: ldm.models.diffusion.ddpm.LatentDiffusion\n  params:\n    timesteps: 1000\n    use_ema: False\n",
    ] {
        fs::write(&yaml, text).expect("writes");
        let pipeline = open(&path).unwrap_or_else(|error| panic!("{error}"));
        // Three levels; models that predict v were trained at 96 latent pixels.
        assert_eq!(pipeline.info().native_side, 64 * 4, "{text}");
    }
    fs::write(
        &yaml,
        b"# d\xe9but\nmodel:\n  params: {linear_start: 1e-3, linear_end: 0.02, timesteps: 500}\n",
    )
    .expect("writes");
    let scheduler = open(&path).unwrap_or_else(|error| panic!("{error}")).info().scheduler.clone();
    assert_eq!((scheduler.beta_start, scheduler.beta_end, scheduler.num_train_timesteps), (0.001, 0.02, 500));
    fs::write(&yaml, "prompts: [a fox]\n").expect("writes");
    let pipeline = open(&path).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(pipeline.info().native_side, 96 * 4, "a file of something else says nothing");
    for text in ["model:\n  params: {parameterization: v", "a: *b", "\t- : :\n - {"] {
        fs::write(&yaml, text).expect("writes");
        let error = open(&path).err().unwrap_or_else(|| panic!("{text} is believed"));
        assert!(error.ends_with(&yaml.display().to_string()), "{error}");
    }
}
