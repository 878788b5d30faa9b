//! Which pipelines of diffusers open as text to image: the library, a download and opening give one answer.

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use app::hub::DownloadRequest;
use engine::checkpoint::WeightKind;
use serde_json::{Value, json};

use crate::support::fake_hub::{Files, NAME, client, demo, honest};
use crate::support::fake_server::Server;
use crate::support::folders::folder;
use crate::support::library::scan_folders;
use crate::support::models::open;
use crate::support::numbers::golden_folder;
use crate::support::weight_files::{Small, save_safetensors};

/// They run the networks of Stable Diffusion 1.x and 2.x, alone or beside others, in another loop; it is such a
/// model that they were saved with.
const OPEN: [&str; 25] = [
    "CycleDiffusionPipeline",
    "LatentConsistencyModelImg2ImgPipeline",
    "LatentConsistencyModelPipeline",
    "SemanticStableDiffusionPipeline",
    "StableDiffusionAdapterPipeline",
    "StableDiffusionAttendAndExcitePipeline",
    "StableDiffusionControlNetImg2ImgPipeline",
    "StableDiffusionControlNetInpaintPipeline",
    "StableDiffusionControlNetPAGInpaintPipeline",
    "StableDiffusionControlNetPAGPipeline",
    "StableDiffusionControlNetPipeline",
    "StableDiffusionControlNetXSPipeline",
    "StableDiffusionDiffEditPipeline",
    "StableDiffusionImg2ImgPipeline",
    "StableDiffusionInpaintPipeline",
    "StableDiffusionModelEditingPipeline",
    "StableDiffusionPAGImg2ImgPipeline",
    "StableDiffusionPAGInpaintPipeline",
    "StableDiffusionPAGPipeline",
    "StableDiffusionPanoramaPipeline",
    "StableDiffusionParadigmsPipeline",
    "StableDiffusionPipeline",
    "StableDiffusionPix2PixZeroPipeline",
    "StableDiffusionSAGPipeline",
    "TextToVideoZeroPipeline",
];

/// A model on the disk and on a hub, whose `model_index.json` and UNet can be replaced.
struct Model {
    place: tempfile::TempDir,
    files: Arc<Mutex<Files>>,
    server: Server,
}

impl Model {
    fn new() -> Self {
        let place = folder();
        Small::new().save_folder(&place.path().join("model"), &|folder, stem, tensors| {
            save_safetensors(&folder.join(format!("{stem}.safetensors")), tensors);
        });
        let files = Arc::new(Mutex::new(demo()));
        let served = Arc::clone(&files);
        let server = Server::start(move |seen, _| honest(&served.lock().expect("no panic in here"), seen));
        Self { place, files, server }
    }

    fn path(&self) -> PathBuf {
        self.place.path().join("model")
    }

    fn put(&self, name: &str, json: &Value) {
        fs::write(self.path().join(name), json.to_string()).expect("writes");
        self.files.lock().expect("no panic in here").insert(name.into(), json.to_string().into_bytes());
    }

    fn unet(&self) -> Value {
        let json = fs::read(self.path().join("unet/config.json")).expect("reads");
        serde_json::from_slice(&json).expect("JSON")
    }

    /// What the library, a download and opening say of it; nothing if they take it.
    fn answers(&self) -> [Option<String>; 3] {
        let found = scan_folders(&[&self.path()]);
        let repository = NAME.parse().expect("a name");
        let plan = client(&self.server.address(), None).plan(
            &repository,
            "main",
            &DownloadRequest::default(),
            &mut |_| ControlFlow::Continue(()),
        );
        let of_library = found.entries[0].refusal.clone();
        [of_library, plan.err().map(|error| error.to_string()), open(&self.path()).err()]
    }

    fn check(&self, what: &str, word: Option<&str>) {
        for answer in self.answers() {
            match (word, &answer) {
                (None, None) => {}
                (Some(word), Some(said)) if said.contains(word) => {}
                _ => panic!("{what}: {word:?} was expected, not {answer:?}"),
            }
        }
    }
}

/// `model_index.json` with these components; what is not a network is of diffusers or transformers alike.
fn index(class: Value, components: &[(&str, &str)]) -> Value {
    let mut index = json!({ "_class_name": class, "_diffusers_version": "0.42.1" });
    for (name, class) in components {
        index[*name] = json!(["diffusers", class]);
    }
    index
}

const SD: [(&str, &str); 3] =
    [("unet", "UNet2DConditionModel"), ("vae", "AutoencoderKL"), ("text_encoder", "CLIPTextModel")];

#[test]
fn every_pipeline_of_diffusers_opens_or_is_refused_by_name_everywhere() {
    let json = fs::read(golden_folder().join("data/pipelines.json")).expect("golden data");
    let json: Value = serde_json::from_slice(&json).expect("JSON");
    let pipelines = json["components"].as_object().expect("pipelines");
    assert!(pipelines.len() > 250 && OPEN.iter().all(|name| pipelines.contains_key(*name)));
    let model = Model::new();
    for (name, components) in pipelines {
        let components = components.as_object().expect("components").iter();
        let components: Vec<_> =
            components.map(|(name, class)| (name.as_str(), class.as_str().expect("a class"))).collect();
        model.put("model_index.json", &index(json!(name), &components));
        model.check(name, (!OPEN.contains(&name.as_str())).then_some(name));
    }
}

/// Classes that are not diffusers' own, or not any more, as they are found in repositories.
#[test]
fn a_custom_pipeline_is_judged_by_its_networks() {
    let model = Model::new();
    let with = |more: &[(&'static str, &'static str)]| [&SD[..], more].concat();
    let cases = [
        (index(json!("StableDiffusionLongPromptWeightingPipeline"), &SD), None),
        (index(json!(["my_pipeline", "MyPipeline"]), &SD), None),
        (
            index(
                json!("StableDiffusionPipelineSafe"),
                &with(&[("safety_checker", "SafeStableDiffusionSafetyChecker")]),
            ),
            None,
        ),
        (
            index(
                json!("MyPipeline"),
                &with(&[("controlnet", "ControlNetModel"), ("image_encoder", "CLIPVisionModel")]),
            ),
            None,
        ),
        (index(Value::Null, &SD), None),
        (
            index(json!(["my_pipeline", "MyPipeline"]), &with(&[("text_encoder_2", "CLIPTextModel")])),
            Some("MyPipeline"),
        ),
        (index(json!("MyPipeline"), &SD[..2]), Some("text_encoder")),
        (index(json!("MyPipeline"), &with(&[("unet", "UNetMotionModel")])), Some("UNetMotionModel")),
        (index(json!("OnnxStableDiffusionPipeline"), &[("unet", "OnnxRuntimeModel")]), Some("ONNX")),
        (index(json!("FlaxStableDiffusionPipeline"), &[("unet", "FlaxUNet2DConditionModel")]), Some("Flax")),
        (index(Value::Null, &[]), Some("unet")),
    ];
    for (index, word) in cases {
        model.put("model_index.json", &index);
        model.check(&index.to_string(), word);
    }
}

#[test]
fn a_unet_that_reads_more_than_latents_is_named_for_what_it_is() {
    let model = Model::new();
    model.put("model_index.json", &index(json!("StableDiffusionInpaintPipeline"), &SD));
    let unet = model.unet();
    let cases = [
        ("in_channels", json!(9), "inpainting"),
        ("in_channels", json!(8), "InstructPix2Pix"),
        ("in_channels", json!(5), "depth"),
        ("in_channels", json!(7), "upscaler"),
        ("time_cond_proj_dim", json!(256), "consistency"),
    ];
    for (key, value, word) in cases {
        let mut changed = unet.clone();
        changed[key] = value;
        model.put("unet/config.json", &changed);
        model.check(word, Some(word));
    }
    model.put("unet/config.json", &unet);
    model.check("a UNet of four channels", None);
    let kind = scan_folders(&[&model.path()]).entries[0].kind;
    assert_eq!(kind, WeightKind::StableDiffusion1);
}
