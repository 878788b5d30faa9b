//! The folders of other programs, recognised by what lies in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use app::library::{Layout, MetadataCache, concept_folders, hub_cache, layout_of};

use crate::support::cpu_time::assert_cpu_time_below;
use crate::support::folders::folder;
use crate::support::library::{CONCEPT, SD1, VAE, entry, look_with, names, put, scan_folders};
use crate::support::weight_files::{Small, save_safetensors};

#[test]
fn the_folders_of_a1111_and_forge_are_known() {
    let root = folder();
    let root = root.path();
    put(root.join("models/Stable-diffusion/anime/night.safetensors"), SD1);
    put(root.join("models/VAE/mse.safetensors"), VAE);
    put(root.join("models/Lora/style.safetensors"), &["lora_up.weight"]);
    put(root.join("models/ESRGAN/4x.pt"), SD1);
    put(root.join("embeddings/birb.safetensors"), CONCEPT);
    // The whole folder, or the folder of models in it.
    for chosen in [root.to_owned(), root.join("models")] {
        let found = scan_folders(&[&chosen]);
        assert_eq!(names(&found), ["anime/night", "mse"], "what lies elsewhere is of no use here");
        assert_eq!(found.folders[0].layout, Layout::A1111);
        assert_eq!(found.folders[0].count, 2);
        assert_eq!(found.concept_folders, [root.join("embeddings")]);
    }
    assert_eq!(concept_folders(&[root.to_owned()]), [root.join("embeddings")]);
}

#[test]
fn the_folders_of_comfyui_are_known_and_those_of_its_portable_form() {
    let root = folder();
    for comfy in [root.path().to_owned(), root.path().join("portable/ComfyUI")] {
        put(comfy.join("models/checkpoints/v1-5.safetensors"), SD1);
        put(comfy.join("models/vae/mse.safetensors"), VAE);
        put(comfy.join("models/clip/l.safetensors"), &["text_model.x"]);
        fs::create_dir_all(comfy.join("models/embeddings")).expect("makes it");
    }
    for chosen in [root.path().to_owned(), root.path().join("portable"), root.path().join("models")] {
        let found = scan_folders(&[&chosen]);
        assert_eq!(names(&found), ["v1-5", "mse"]);
        assert_eq!(found.folders[0].layout, Layout::ComfyUi);
        assert_eq!(found.concept_folders.len(), 1);
    }
}

#[test]
fn the_folders_of_swarmui_are_known() {
    let root = folder();
    put(root.path().join("Models/Stable-Diffusion/OfficialStableDiffusion/v1.safetensors"), SD1);
    put(root.path().join("Models/VAE/mse.safetensors"), VAE);
    put(root.path().join("Models/Embeddings/birb.safetensors"), CONCEPT);
    let found = scan_folders(&[root.path()]);
    assert_eq!(names(&found), ["OfficialStableDiffusion/v1", "mse"]);
    assert_eq!(found.folders[0].layout, Layout::SwarmUi);
    assert_eq!(found.concept_folders, [root.path().join("Models/Embeddings")]);
}

#[test]
fn any_other_folder_is_looked_through_to_the_bottom() {
    let root = folder();
    put(root.path().join("a/b/c/deep.safetensors"), SD1);
    put(root.path().join("birb.safetensors"), CONCEPT);
    put(root.path().join(".trash/old.safetensors"), SD1);
    put(root.path().join("llm-00001-of-00003.safetensors"), SD1);
    put(root.path().join("sd-vae-ft-mse/diffusion_pytorch_model.safetensors"), VAE);
    fs::write(root.path().join("half.safetensors.part"), "half").expect("writes");
    let found = scan_folders(&[root.path()]);
    assert_eq!(names(&found), ["a/b/c/deep", "sd-vae-ft-mse"]);
    assert_eq!(found.folders[0].layout, Layout::Plain);
}

#[test]
fn a_model_folder_may_be_added_itself() {
    let root = folder();
    let model = Small::new().save_folder(&root.path().join("dreams"), &|folder, stem, tensors| {
        save_safetensors(&folder.join(format!("{stem}.safetensors")), tensors);
    });
    assert_eq!(layout_of(&model), Layout::Diffusers);
    assert_eq!(names(&scan_folders(&[&model])), ["dreams"]);
    // A checkpoint beside its parts is one more model. Its parts are not models.
    put(model.join("pruned.safetensors"), SD1);
    assert_eq!(names(&scan_folders(&[&model])), ["dreams", "pruned"]);
}

/// `extra_model_paths.yaml` in the form of ComfyUI's own example.
#[test]
fn the_paths_that_comfyui_was_told_are_read() {
    let root = folder();
    let (comfy, other) = (root.path().join("comfy"), root.path().join("webui"));
    put(comfy.join("models/checkpoints/own.safetensors"), SD1);
    put(other.join("models/Stable-diffusion/theirs.safetensors"), SD1);
    put(other.join("more models/third.safetensors"), SD1);
    put(other.join("models/VAE/mse.safetensors"), VAE);
    put(comfy.join("beside/fourth.safetensors"), SD1);
    put(root.path().join("far/fifth.safetensors"), SD1);
    fs::create_dir_all(other.join("embeddings")).expect("makes it");
    let yaml = format!(
        "#Rename this to extra_model_paths.yaml and ComfyUI will load it\n\
         a111:\n    base_path: {}\n    is_default: true\n\n    checkpoints: |\n        \
         models/Stable-diffusion\n        more models\n    configs: models/Stable-diffusion\n    \
         vae: models/VAE\n    loras: |\n         models/Lora\n         models/LyCORIS\n    \
         embeddings: embeddings\n\n#comfyui:\n#     base_path: nowhere/\nempty:\n\
         without_base:\n    checkpoints: beside\nlist:\n    base_path: ../far\n    checkpoints: [., ./]\n",
        other.display()
    );
    fs::write(comfy.join("extra_model_paths.yaml"), yaml).expect("writes");
    let found = scan_folders(&[&comfy]);
    assert_eq!(names(&found), ["fifth", "fourth", "own", "theirs", "third", "mse"]);
    assert_eq!(found.concept_folders, [other.join("embeddings")]);
    assert_eq!((found.folders.len(), found.folders[0].problem.as_deref()), (1, None));
}

#[test]
fn paths_that_make_no_sense_are_said_and_cost_nothing_else() {
    let root = folder();
    put(root.path().join("models/checkpoints/own.safetensors"), SD1);
    let bombs = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\ncheckpoints: [*c, *c]\n";
    let deep = format!("a: {}", "[".repeat(100_000));
    for (yaml, is_said) in [
        ("a: [b", true),
        ("\t- : :\n - {", true),
        (&deep, true),
        (bombs, false),
        ("just a line", false),
        ("", false),
        ("? {a: b}\n: c\nx:\n  base_path: [1, 2]\n  checkpoints: {a: b}\n", false),
    ] {
        fs::write(root.path().join("extra_model_paths.yaml"), yaml).expect("writes");
        let found = scan_folders(&[root.path()]);
        assert_eq!(names(&found), ["own"], "{yaml:.40}");
        let said = found.folders[0].problem.as_deref();
        assert_eq!(said.is_some_and(|said| said.ends_with("extra_model_paths.yaml")), is_said, "{said:?}");
    }
    fs::write(root.path().join("extra_model_paths.yaml"), b"\xff\xfe\x00").expect("writes");
    assert!(scan_folders(&[root.path()]).folders[0].problem.is_some());
}

#[test]
fn a_file_of_many_paths_costs_time_and_memory_by_its_length() {
    let root = folder();
    let (many, long) = ("e,".repeat(200_000), "x/".repeat(200_000));
    for yaml in
        [format!("a: {{embeddings: [{many}]}}"), format!("a: {{base_path: {long}, embeddings: [{many}]}}")]
    {
        fs::write(root.path().join("extra_model_paths.yaml"), yaml).expect("writes");
        assert_cpu_time_below(Duration::from_secs(5), "200,000 paths", || {
            let found = concept_folders(&[root.path().to_owned()]);
            assert!((1..1000).contains(&found.len()), "{}", found.len());
        });
    }
}

/// The variables, in the order in which `huggingface_hub` reads them.
#[test]
fn the_hugging_face_cache_is_where_its_variables_say() {
    let variables = |given: &'static [(&str, &str)]| {
        move |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
    };
    for (given, place) in [
        (&[("HF_HUB_CACHE", "/a"), ("HF_HOME", "/b"), ("XDG_CACHE_HOME", "/c")][..], "/a"),
        (&[("HF_HOME", "/b"), ("XDG_CACHE_HOME", "/c")], "/b/hub"),
        (&[("HF_HUB_CACHE", ""), ("XDG_CACHE_HOME", "/c")], "/c/huggingface/hub"),
    ] {
        assert_eq!(hub_cache(variables(given)).as_deref(), Some(Path::new(place)));
    }
    let at_home = hub_cache(|_| None).expect("there is a home");
    assert!(at_home.ends_with(".cache/huggingface/hub"), "{}", at_home.display());
}

#[cfg(unix)]
mod with_links {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A repository as `huggingface_hub` keeps it: blobs, and a revision of links to them.
    fn repository(hub: &Path, name: &str, revision: &str, files: &[(&str, &[&str])]) -> PathBuf {
        let repository = hub.join(format!("models--{}", name.replace('/', "--")));
        let snapshot = repository.join("snapshots").join(revision);
        for (at, (file, tensors)) in files.iter().enumerate() {
            let blob = put(repository.join(format!("blobs/{revision}{at}.safetensors")), tensors);
            let blob_name = blob.with_extension("");
            fs::rename(&blob, &blob_name).expect("blobs have no endings");
            let link = snapshot.join(file);
            fs::create_dir_all(link.parent().expect("a folder")).expect("makes it");
            symlink(&blob_name, &link).expect("links");
        }
        fs::create_dir_all(repository.join("refs")).expect("makes it");
        fs::write(repository.join("refs/main"), revision).expect("writes");
        repository
    }

    fn save_config(repository: &Path, revision: &str) {
        let index = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/model_index.json");
        fs::copy(index, repository.join("snapshots").join(revision).join("model_index.json"))
            .expect("copies");
    }

    const PARTS: [(&str, &[&str]); 3] = [
        ("unet/diffusion_pytorch_model.safetensors", SD1),
        ("vae/diffusion_pytorch_model.safetensors", VAE),
        ("text_encoder/model.safetensors", &["text_model.x"]),
    ];

    #[test]
    fn models_in_the_hugging_face_cache_go_by_owner_and_name() {
        let hub = folder();
        let hub = hub.path();
        let whole = repository(hub, "runway/sd-v1-5", "aaa", &PARTS);
        save_config(&whole, "aaa");
        repository(hub, "stab/sd-vae", "bbb", &[("diffusion_pytorch_model.safetensors", VAE)]);
        repository(
            hub,
            "one/file",
            "ccc",
            &[("dreams.safetensors", SD1), ("style.safetensors", &["lora_up"])],
        );
        repository(hub, "bert", "ddd", &[("model.safetensors", &["text_model.x"])]);
        let found = look_with(&[], Some(hub), &mut MetadataCache::default());
        assert_eq!(names(&found), ["one/file/dreams", "runway/sd-v1-5", "stab/sd-vae"]);
        let model = entry(&found, "runway/sd-v1-5");
        assert!(
            model.path().ends_with("models--runway--sd-v1-5/snapshots/aaa"),
            "{}",
            model.path().display()
        );
        assert_eq!((found.folders[0].layout, found.folders[0].count), (Layout::Hub, 3));
        // Added as a folder it is the same.
        assert_eq!(names(&scan_folders(&[hub])), names(&found));
        // Without its VAE, it opens with another one.
        fs::remove_file(whole.join("blobs/aaa1")).expect("removes");
        let found = look_with(&[], Some(hub), &mut MetadataCache::default());
        let model = entry(&found, "runway/sd-v1-5");
        assert!(model.opens() && model.remark.is_some(), "{model:?}");
    }

    #[test]
    fn the_main_revision_counts_and_half_of_a_model_does_not() {
        let hub = folder();
        let hub = hub.path();
        let both = repository(hub, "a/b", "old", &PARTS);
        save_config(&both, "old");
        repository(hub, "a/b", "new", &PARTS);
        save_config(&both, "new");
        let found = look_with(&[], Some(hub), &mut MetadataCache::default());
        assert!(entry(&found, "a/b").path().ends_with("snapshots/new"));
        // A download that was cut leaves a link to nowhere.
        fs::remove_file(both.join("blobs/new0")).expect("removes");
        fs::write(both.join("blobs/new0.incomplete"), "half").expect("writes");
        assert_eq!(names(&look_with(&[], Some(hub), &mut MetadataCache::default())), [""; 0]);
        // refs/main cannot lead elsewhere.
        fs::write(both.join("refs/main"), "../../../../etc").expect("writes");
        fs::remove_dir_all(both.join("snapshots/new")).expect("removes");
        let found = look_with(&[], Some(hub), &mut MetadataCache::default());
        assert!(entry(&found, "a/b").path().ends_with("snapshots/old"));
    }

    #[test]
    fn links_in_a_circle_end_and_one_file_is_listed_once() {
        let root = folder();
        let root = root.path();
        let model = put(root.join("a/model.ckpt.safetensors"), SD1);
        symlink(root, root.join("a/up")).expect("links");
        symlink(root.join("a"), root.join("b")).expect("links");
        symlink("nowhere", root.join("nowhere.safetensors")).expect("links");
        symlink("itself", root.join("itself")).expect("links");
        symlink(&model, root.join("again.safetensors")).expect("links");
        // A web of folders that all lead to each other.
        for at in 0..12 {
            fs::create_dir(root.join(format!("w{at}"))).expect("makes it");
        }
        for (from, to) in (0..12).flat_map(|from| (0..12).map(move |to| (from, to))) {
            symlink(root.join(format!("w{to}")), root.join(format!("w{from}/to{to}"))).expect("links");
        }
        let found = scan_folders(&[root, &root.join("a")]);
        assert_eq!((found.entries.len(), found.folders[0].count, found.folders[1].count), (1, 1, 0));
        assert_eq!(found.folders[0].problem, None);
    }

    #[test]
    fn pipes_are_passed_by_and_what_cannot_be_read_is_said() {
        use std::os::unix::fs::PermissionsExt;
        let root = folder();
        put(root.path().join("good.safetensors"), SD1);
        let pipe = root.path().join("pipe.safetensors");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.is_ok_and(|status| status.success()), "a pipe");
        let shut = root.path().join("shut");
        fs::create_dir(&shut).expect("makes it");
        fs::set_permissions(&shut, fs::Permissions::from_mode(0o0)).expect("shuts it");
        // Root may read everything, and then there is nothing to say.
        let is_shut = fs::read_dir(&shut).is_err();
        let found = scan_folders(&[root.path()]);
        assert_eq!(names(&found), ["good"]);
        let said = found.folders[0].problem.as_deref();
        assert_eq!(said.is_some_and(|said| said.contains("permissions")), is_shut, "{said:?}");
        fs::set_permissions(&shut, fs::Permissions::from_mode(0o700)).expect("opens it");
    }
}

#[test]
fn a_folder_that_is_gone_is_said_and_the_others_are_found() {
    let root = folder();
    put(root.path().join("here.safetensors"), SD1);
    let found = scan_folders(&[&root.path().join("gone"), root.path()]);
    assert_eq!(names(&found), ["here"]);
    let said = found.folders[0].problem.as_deref().expect("it is said");
    assert!(said.contains("gone") && said.ends_with("gone"), "{said}");
    assert_eq!(found.folders[1].problem, None);
}
