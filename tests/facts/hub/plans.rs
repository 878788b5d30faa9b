//! Which files of a repository are downloaded: a whole model in one format, and nothing else.

use std::ops::ControlFlow;

use app::hub::{Checksum, DownloadRequest, FetchError, Layout, Plan};

use crate::support::fake_hub::{COMMIT, Files, NAME, client, demo, git_blob, honest, sha256};
use crate::support::fake_server::{Reply, Server};

fn plan(files: &Files, command: &DownloadRequest) -> Result<Plan, FetchError> {
    let files = files.clone();
    let server = Server::start(move |seen, _| honest(&files, seen));
    let repository = NAME.parse().expect("a name");
    client(&server.address(), None).plan(&repository, "main", command, &mut |_| ControlFlow::Continue(()))
}

fn paths(plan: &Plan) -> Vec<&str> {
    let mut paths: Vec<_> = plan.files.iter().map(|file| file.path.as_str()).collect();
    paths.sort_unstable();
    paths
}

fn full() -> DownloadRequest {
    DownloadRequest { full: true, ..DownloadRequest::default() }
}

/// Names as `stable-diffusion-v1-5/stable-diffusion-v1-5` has them, each with its path as contents.
fn published() -> Files {
    let mut names: Vec<String> = [
        "README.md",
        "model_index.json",
        "v1-5-pruned-emaonly.ckpt",
        "v1-5-pruned-emaonly.safetensors",
        "v1-5-pruned.ckpt",
        "v1-5-pruned.safetensors",
        "v1-inference.yaml",
        "feature_extractor/preprocessor_config.json",
        "scheduler/scheduler_config.json",
        "tokenizer/merges.txt",
        "tokenizer/special_tokens_map.json",
        "tokenizer/tokenizer_config.json",
        "tokenizer/vocab.json",
        "safety_checker/config.json",
        "safety_checker/model.fp16.safetensors",
        "unet/diffusion_pytorch_model.non_ema.bin",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
    ]
    .map(str::to_owned)
    .to_vec();
    for (part, safetensors, pickle) in [
        ("unet", "diffusion_pytorch_model", "diffusion_pytorch_model"),
        ("vae", "diffusion_pytorch_model", "diffusion_pytorch_model"),
        ("text_encoder", "model", "pytorch_model"),
    ] {
        names.push(format!("{part}/config.json"));
        for variant in ["", ".fp16"] {
            names.push(format!("{part}/{safetensors}{variant}.safetensors"));
            names.push(format!("{part}/{pickle}{variant}.bin"));
        }
    }
    let mut files: Files = names.into_iter().map(|name| (name.clone(), name.into_bytes())).collect();
    let demo = demo();
    files.extend(["model_index.json", "unet/config.json"].map(|name| (name.to_owned(), demo[name].clone())));
    files
}

const CONFIGS: [&str; 9] = [
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "vae/config.json",
];

fn with_configs(weights: &[&'static str]) -> Vec<&'static str> {
    let mut all = [&CONFIGS, weights].concat();
    all.sort_unstable();
    all
}

#[test]
fn of_the_published_model_one_form_of_each_network_is_taken() {
    let half = plan(&published(), &DownloadRequest::default()).expect("a plan");
    let weights = [
        "text_encoder/model.fp16.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
    ];
    assert_eq!(paths(&half), with_configs(&weights));
    assert!(half.description.contains("16-bit"), "{}", half.description);
    let whole = plan(&published(), &full()).expect("a plan");
    let weights = [
        "text_encoder/model.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    ];
    assert_eq!(paths(&whole), with_configs(&weights));
    assert_eq!((whole.layout, whole.commit.as_str()), (Layout::Folder, COMMIT));
    assert!(whole.licence.name() == "CreativeML Open RAIL-M" && whole.licence.url().is_some());
}

#[test]
fn pickles_are_taken_where_there_is_nothing_else() {
    let mut files = published();
    files.retain(|path, _| !path.starts_with("unet/") || !path.ends_with(".safetensors"));
    let half = plan(&files, &DownloadRequest::default()).expect("a plan");
    assert!(paths(&half).contains(&"unet/diffusion_pytorch_model.fp16.bin"));
    assert!(paths(&half).contains(&"vae/diffusion_pytorch_model.fp16.safetensors"), "each for itself");
}

/// Every variant that opens, as published repositories have them.
#[test]
fn any_variant_is_taken_where_there_is_nothing_else() {
    for variant in ["", ".fp32", ".fp16", ".bf16", ".non_ema"] {
        let mut files = published();
        let name = format!("unet/diffusion_pytorch_model{variant}.safetensors");
        files.retain(|path, _| !path.starts_with("unet/diffusion_pytorch_model"));
        files.insert(name.clone(), vec![7; 2000]);
        for request in [DownloadRequest::default(), full()] {
            let found = plan(&files, &request).expect("a plan");
            assert!(paths(&found).contains(&&*name), "{variant}: {:?}", paths(&found));
        }
    }
}

#[test]
fn weights_in_shards_come_with_their_index_and_whole() {
    for variant in ["", ".fp16"] {
        for (first, second, index) in [
            (
                format!("-00001-of-00002{variant}"),
                format!("-00002-of-00002{variant}"),
                format!("safetensors.index{variant}"),
            ),
            (
                format!("{variant}-00001-of-00002"),
                format!("{variant}-00002-of-00002"),
                format!("safetensors.index{variant}"),
            ),
        ] {
            let mut files = published();
            files.retain(|path, _| !path.starts_with("unet/diffusion_pytorch_model"));
            let stem = "unet/diffusion_pytorch_model";
            let names = [
                format!("{stem}{first}.safetensors"),
                format!("{stem}{second}.safetensors"),
                format!("{stem}.{index}.json"),
            ];
            files.extend(names.clone().map(|name| (name, vec![7; 2000])));
            let found = plan(&files, &DownloadRequest::default()).expect("a plan");
            let mut unet: Vec<_> = paths(&found).into_iter().filter(|path| path.starts_with(stem)).collect();
            unet.sort_unstable();
            let mut wanted = names.clone();
            wanted.sort();
            assert_eq!(unet, wanted, "{variant}");
            // One shard short, that is not a model. The checkpoint beside it is one.
            files.remove(&names[1]);
            assert_eq!(plan(&files, &DownloadRequest::default()).expect("a plan").layout, Layout::File);
        }
    }
}

/// The tokenizer that transformers 4 saves for CLIP is two files, that of transformers 5 one.
#[test]
fn a_tokenizer_in_any_form_is_taken_with_all_that_belongs_to_it() {
    let tokenizer = |files: &[&str]| {
        let mut published = published();
        published.retain(|path, _| !path.starts_with("tokenizer/"));
        published.extend(files.iter().map(|file| (format!("tokenizer/{file}"), vec![1; 10])));
        let plan = plan(&published, &DownloadRequest::default()).expect("a plan");
        let names = paths(&plan).into_iter().filter_map(|path| path.strip_prefix("tokenizer/"));
        (plan.layout, names.map(str::to_owned).collect::<Vec<_>>())
    };
    let cases: [&[&str]; 4] = [
        &["merges.txt", "vocab.json"],
        &["tokenizer.json", "tokenizer_config.json"],
        &["added_tokens.json", "merges.txt", "special_tokens_map.json", "tokenizer.json", "vocab.json"],
        &["added_tokens.json", "tokenizer.json"],
    ];
    for files in cases {
        assert_eq!(tokenizer(files), (Layout::Folder, files.iter().map(ToString::to_string).collect()));
    }
    for half in [&["vocab.json"][..], &["merges.txt", "tokenizer_config.json"], &[]] {
        assert_eq!(tokenizer(half).0, Layout::File, "{half:?}: the checkpoint is whole");
    }
}

/// Of these files, by name and kilobytes, which one is taken.
fn chosen(files: &[(&str, usize)], command: &DownloadRequest) -> Result<String, FetchError> {
    let files = files.iter().map(|&(name, kilobytes)| (name.to_owned(), vec![1; kilobytes << 10])).collect();
    plan(&files, command).map(|plan| plan.files[0].path.clone())
}

#[test]
fn of_checkpoints_the_small_safetensors_is_taken_unless_another_is_named() {
    let files = [
        ("README.md", 1),
        ("big.safetensors", 40),
        ("small.safetensors", 20),
        ("tiny.ckpt", 15),
        ("model-vae.safetensors", 12),
        ("some-lora.safetensors", 11),
        ("sub/other.safetensors", 10),
    ];
    assert_eq!(chosen(&files, &DownloadRequest::default()).expect("a plan"), "small.safetensors");
    let named = |name: &str| DownloadRequest { file: Some(name.to_owned()), ..DownloadRequest::default() };
    for name in ["tiny.ckpt", "sub/other.safetensors", "some-lora.safetensors"] {
        assert_eq!(chosen(&files, &named(name)).expect("a plan"), name);
    }
    assert!(matches!(chosen(&files, &named("absent.ckpt")), Err(FetchError::NotFound(_))));
    assert!(matches!(chosen(&files, &named("README.md")), Err(FetchError::NotAModel { .. })));
}

/// The sizes are those of published files in tenths of a gigabyte: a model in 32 bits with and without the
/// averages of its training, in 16 bits, a VAE, a ControlNet, a LoRA.
#[test]
fn what_is_added_to_a_model_is_not_taken_for_it() {
    let cases: [(&[(&str, usize)], &str); 10] = [
        (&[("dreams.safetensors", 213), ("add_detail.safetensors", 15)], "dreams.safetensors"),
        (
            &[("dreams.ckpt", 770), ("dreams-pruned.ckpt", 427), ("kl-f8-anime2.ckpt", 40)],
            "dreams-pruned.ckpt",
        ),
        (&[("dreams.safetensors", 770), ("dreams-fp16.safetensors", 213)], "dreams-fp16.safetensors"),
        (&[("dreams.safetensors", 213), ("dreams.vae.safetensors", 34)], "dreams.safetensors"),
        (&[("dreams.safetensors", 213), ("control_v11p_sd15_canny.safetensors", 145)], "dreams.safetensors"),
        (&[("dreams.safetensors", 213), ("dreamsLoRA.safetensors", 30)], "dreams.safetensors"),
        (&[("dreams.safetensors", 213), ("LORA2.safetensors", 300)], "dreams.safetensors"),
        (
            &[("dreams.safetensors", 427), ("dreams-fp8.safetensors", 107), ("style.safetensors", 30)],
            "dreams-fp8.safetensors",
        ),
        (&[("dreams.ckpt", 213), ("part-00001-of-00002.safetensors", 200)], "dreams.ckpt"),
        (&[("gulf16.safetensors", 200), ("gulf.f16.safetensors", 213)], "gulf.f16.safetensors"),
    ];
    for (files, expected) in cases {
        assert_eq!(chosen(files, &DownloadRequest::default()).expect(expected), expected);
    }
}

#[test]
fn a_name_is_read_word_by_word() {
    for name in [
        "lovae.safetensors",
        "explora.safetensors",
        "embedded.safetensors",
        "Floral-v2.safetensors",
        "outcontrolled.ckpt",
        "colorado_v1.safetensors",
    ] {
        assert_eq!(chosen(&[(name, 20)], &DownloadRequest::default()).expect(name), name);
    }
    for name in [
        "a-lora.safetensors",
        "Lora_v2.pt",
        "vae.ckpt",
        "my.VAE.ckpt",
        "styleLora3.safetensors",
        "TI embeddings.pt",
    ] {
        let error = chosen(&[(name, 20)], &DownloadRequest::default()).expect_err(name);
        assert!(matches!(error, FetchError::NotAModel { .. }), "{name}: {error}");
    }
}

#[test]
fn a_repository_of_other_files_is_not_a_model() {
    let error = plan(&Files::from([("README.md".into(), b"hello".to_vec())]), &DownloadRequest::default());
    assert!(matches!(error, Err(FetchError::NotAModel { .. })));
    let mut files = published();
    files.insert("model_index.json".into(), b"{\"_class_name\": ".to_vec());
    let error = plan(&files, &DownloadRequest::default()).expect_err("a cut file");
    assert!(error.to_string().contains("model_index.json"), "{error}");
}

#[test]
fn names_that_lead_elsewhere_are_never_chosen() {
    for name in [
        "..\\evil.safetensors",
        ".hidden.safetensors",
        "c:evil.safetensors",
        "a\u{0}b.safetensors",
        "../evil.safetensors",
        "a/../../evil.safetensors",
        "/evil.safetensors",
        "a//evil.safetensors",
    ] {
        let files = Files::from([(name.to_owned(), vec![1; 2000])]);
        assert!(plan(&files, &DownloadRequest::default()).is_err(), "{name}");
        let command = DownloadRequest { file: Some(name.to_owned()), ..DownloadRequest::default() };
        assert!(plan(&files, &command).is_err(), "{name}");
    }
}

#[test]
fn each_file_is_known_by_its_checksum_beforehand() {
    let files = demo();
    let plan = plan(&files, &DownloadRequest::default()).expect("a plan");
    for wanted in &plan.files {
        let contents = &files[&wanted.path];
        let digest = match contents.len() {
            1000.. => Checksum::Sha256(sha256(contents)),
            _ => Checksum::GitBlob(git_blob(contents)),
        };
        assert_eq!((wanted.bytes, &wanted.checksum), (contents.len() as u64, &digest), "{}", wanted.path);
    }
}

#[test]
fn a_mirror_that_lists_no_sizes_is_asked_for_each_file() {
    let files = demo();
    let served = files.clone();
    let server = Server::start(move |seen, _| {
        let reply = honest(&served, seen);
        if !seen.path.starts_with("/api/") {
            return reply;
        }
        let names: Vec<_> = served.keys().map(|path| serde_json::json!({ "rfilename": path })).collect();
        Reply::new(200, serde_json::json!({ "sha": COMMIT, "siblings": names }).to_string())
    });
    let folder = tempfile::tempdir().expect("a folder");
    let hub = client(&server.address(), None);
    let plan = crate::support::fake_hub::plan(&hub).expect("a plan");
    // After the listing and the two files that tell what it is.
    assert!(server.received().iter().skip(3).all(|seen| seen.method == "HEAD"));
    for wanted in &plan.files {
        assert_eq!(wanted.checksum, Checksum::Sha256(sha256(&files[&wanted.path])), "from its headers");
    }
    let target = folder.path().join("model");
    assert_eq!(hub.fetch(&plan, &target, &mut |_| ControlFlow::Continue(())).expect("fetches"), target);
}
