//! A repository of the Hugging Face cache that is given by its path: its current snapshot, by `owner/name`.

use std::fs;
use std::path::{Path, PathBuf};

use app::features::drop::{DroppedFiles, FileContents};
use app::library::{Layout, layout_of};
use engine::checkpoint::ModelSource;
use engine::images::read_recipe;

use crate::support::cli::tidepool;
use crate::support::folders::folder;
use crate::support::library::{SD1, VAE, names, put, scan_folders};
use crate::support::weight_files::{Small, save_safetensors};

/// A repository with two revisions, of which the newer one is not that of `refs/main`.
fn repository(cache: &Path, name: &str, fill: impl Fn(&Path)) -> PathBuf {
    let repository = cache.join(format!("models--{}", name.replace('/', "--")));
    for revision in ["1a", "0b"] {
        let snapshot = repository.join("snapshots").join(revision);
        fs::create_dir_all(&snapshot).expect("makes it");
        fill(&snapshot);
    }
    fs::create_dir_all(repository.join("refs")).expect("makes it");
    fs::write(repository.join("refs/main"), "1a\n").expect("writes");
    repository
}

fn model(cache: &Path) -> PathBuf {
    repository(cache, "ann/dreams", |snapshot| {
        Small::new().save_folder(snapshot, &|folder, stem, tensors| {
            save_safetensors(&folder.join(format!("{stem}.safetensors")), tensors);
        });
    })
}

/// The repository, its `snapshots`, and the snapshot itself.
fn paths(repository: &Path) -> [PathBuf; 3] {
    [repository.to_owned(), repository.join("snapshots"), repository.join("snapshots/1a")]
}

fn dropped(path: &Path) -> FileContents {
    let mut dropped = DroppedFiles::of(vec![path.to_owned()]);
    dropped.others.pop().expect("one folder").contents
}

#[test]
fn the_library_and_a_drop_find_the_revision_of_the_main_branch() {
    let cache = folder();
    let repository = model(cache.path());
    let main = repository.join("snapshots/1a");
    for path in paths(&repository) {
        let found = scan_folders(&[&path]);
        assert_eq!(names(&found), ["ann/dreams"], "{}", path.display());
        assert_eq!(found.entries[0].path(), main);
        assert_eq!(found.entries[0].refusal, None);
        let FileContents::Model(source) = dropped(&path) else { panic!("{} is a model", path.display()) };
        assert_eq!((source.name(), source), ("ann/dreams".to_owned(), ModelSource::Folder(main.clone())));
    }
    assert_eq!(layout_of(&repository), Layout::Hub);
}

#[test]
fn without_a_main_branch_it_is_the_newest_revision_or_the_only_one() {
    let cache = folder();
    let repository = model(cache.path());
    let found = || ModelSource::at(repository.clone());
    let snapshot = |revision: &str| ModelSource::Folder(repository.join("snapshots").join(revision));
    // A branch that was deleted, and one that leads out of the cache.
    for main in ["2c", "../../../elsewhere", ""] {
        fs::write(repository.join("refs/main"), main).expect("writes");
        assert_eq!(found(), snapshot("0b"), "{main:?}");
    }
    fs::remove_dir_all(repository.join("refs")).expect("removes");
    assert_eq!(found(), snapshot("0b"));
    fs::remove_dir_all(repository.join("snapshots/0b")).expect("removes");
    assert_eq!(found(), snapshot("1a"));
    fs::remove_dir_all(repository.join("snapshots/1a")).expect("removes");
    assert_eq!(found(), ModelSource::Folder(repository.clone()), "nothing is in it");
}

#[test]
fn the_only_checkpoint_of_a_repository_is_its_model_and_of_several_none() {
    let cache = folder();
    let one = repository(cache.path(), "bob/one", |snapshot| {
        put(snapshot.join("one.safetensors"), SD1);
    });
    let file = one.join("snapshots/1a/one.safetensors");
    assert!(matches!(dropped(&one), FileContents::Model(ModelSource::File(found)) if found == file));
    let both = repository(cache.path(), "bob/both", |snapshot| {
        put(snapshot.join("one.safetensors"), SD1);
        put(snapshot.join("two.safetensors"), SD1);
    });
    assert!(matches!(dropped(&both), FileContents::ModelsFolder), "a person chooses");
    assert_eq!(names(&scan_folders(&[&both])), ["bob/both/one", "bob/both/two"]);
}

#[test]
fn the_command_line_opens_a_repository_and_its_name_is_in_the_picture() {
    let home = folder();
    let repository = model(home.path());
    let vae = self::repository(home.path(), "ann/vae", |snapshot| {
        let part = repository.join("snapshots/1a/vae");
        for name in ["config.json", "diffusion_pytorch_model.safetensors"] {
            fs::copy(part.join(name), snapshot.join(name)).expect("copies");
        }
    });
    assert_eq!(names(&scan_folders(&[&vae])), ["ann/vae"]);
    for path in paths(Path::new("models--ann--dreams")) {
        let path = path.to_str().expect("UTF-8");
        let line = "render fox --device cpu --size 64x64 --steps 1 -o a.png --vae models--ann--vae --model";
        let args: Vec<_> = line.split(' ').chain([path]).collect();
        let said = tidepool(home.path(), &args);
        assert_eq!(said.status, Some(0), "{path}: {}", said.stderr);
        let found = read_recipe(&home.path().join("a.png")).expect("a PNG").expect("a recipe");
        assert_eq!(found.provenance.model, "ann/dreams", "{path}");
        let said = tidepool(home.path(), &["inspect", path]);
        assert!(said.stdout.contains("StableDiffusionPipeline"), "{path}: {} {}", said.stdout, said.stderr);
    }
}

#[cfg(unix)]
#[test]
fn links_and_dots_lead_to_a_repository_too() {
    let cache = folder();
    let repository = model(cache.path());
    let link = cache.path().join("link");
    std::os::unix::fs::symlink(&repository, &link).expect("links");
    let main = repository.join("snapshots/1a").canonicalize().expect("it is there");
    let below = |path: &str| repository.join(path);
    for path in [
        link.clone(),
        link.join("snapshots"),
        below("refs/.."),
        below("snapshots/0b/.."),
        below("refs/../snapshots/."),
    ] {
        let source = ModelSource::at(path.clone());
        assert_eq!(source.name(), "ann/dreams", "{}", path.display());
        let ModelSource::Folder(found) = source else { panic!("{} is a folder", path.display()) };
        assert_eq!(found.canonicalize().expect("it is there"), main, "{}", path.display());
    }
}

#[test]
fn a_repository_of_a_vae_is_listed_as_one() {
    let cache = folder();
    let vae = repository(cache.path(), "ann/vae", |snapshot| {
        put(snapshot.join("diffusion_pytorch_model.safetensors"), VAE);
    });
    let found = scan_folders(&[&vae]);
    assert!(names(&found) == ["ann/vae"] && found.entries[0].is_vae());
}
