//! Resuming from a trace on the command line.

use std::fs;
use std::path::Path;

use engine::images::read_recipe;
use safetensors::SafeTensors;

use crate::support::cli::{CommandOutput, tidepool};
use crate::support::folders::folder;

fn run(folder: &Path, args: &str) -> CommandOutput {
    let words: Vec<&str> = args.split_whitespace().collect();
    tidepool(folder, &words)
}

fn done(folder: &Path, args: &str) -> CommandOutput {
    let said = run(folder, args);
    assert_eq!(said.status, Some(0), "{args}: {}", said.stderr);
    said
}

fn tensor(path: &Path, name: &str) -> Vec<u8> {
    let bytes = fs::read(path).expect("a trace");
    let trace = SafeTensors::deserialize(&bytes).expect("a sound file");
    trace.tensor(name).expect(name).data().to_vec()
}

#[test]
fn a_trace_resumed_unchanged_gives_the_identical_picture_and_recipe() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    for sampler in ["lms", "heun", "dpmpp-2m-sde"] {
        let options = "--device cpu --size 64x64 --steps 5 --seed 5";
        done(
            folder.path(),
            &format!("render fox {options} --sampler {sampler} -o a.png --trace a.safetensors"),
        );
        done(
            folder.path(),
            "render --continue a.safetensors --from 3 --device cpu -o b.png --trace b.safetensors",
        );
        for name in ["latents", "x.4", "denoised.0"] {
            assert_eq!(tensor(&at("a.safetensors"), name), tensor(&at("b.safetensors"), name), "{sampler}");
        }
        assert_eq!(fs::read(at("a.png")).expect("a picture"), fs::read(at("b.png")).expect("a picture"));
    }
}

#[test]
fn a_branch_keeps_x_and_its_picture_says_where_it_came_from() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    done(
        folder.path(),
        "render fox --device cpu --size 64x64 --steps 5 --seed 5 -o a.png --trace a.safetensors",
    );
    done(
        folder.path(),
        "render owl --continue a.safetensors --from 2 --cfg 3 --device cpu -o b.png --trace b.safetensors",
    );
    assert_eq!(tensor(&at("a.safetensors"), "x.2"), tensor(&at("b.safetensors"), "x.2"));
    assert_ne!(tensor(&at("a.safetensors"), "latents"), tensor(&at("b.safetensors"), "latents"));

    let recipe = read_recipe(&at("b.png")).expect("a PNG").expect("with a recipe").provenance.recipe;
    let branch = recipe.branch.expect("it is a branch");
    assert_eq!((recipe.prompt.as_str(), recipe.steps, recipe.seed), ("owl", 5, 5));
    assert_eq!((branch.from.prompt.as_str(), branch.step), ("fox", 2));
}

#[test]
fn what_cannot_be_resumed_is_reported() {
    let folder = folder();
    done(
        folder.path(),
        "render fox --device cpu --size 64x64 --steps 3 --seed 5 -o a.png --trace a.safetensors",
    );
    fs::write(folder.path().join("no.safetensors"), "no").expect("writes");
    for (args, status, words) in [
        ("--continue a.safetensors --from 3", 2, "0 to 2"),
        ("--continue a.safetensors", 2, "--from"),
        ("--continue a.safetensors --from 1 --size 128x128", 2, "--size"),
        ("--continue a.png --from 1", 1, "a.png"),
        ("--continue no.safetensors --from 1", 1, "no.safetensors"),
        ("--continue gone.safetensors --from 1", 1, "gone.safetensors"),
        ("--from 1", 2, "--continue"),
    ] {
        let said = run(folder.path(), &format!("render {args} --device cpu -o b.png"));
        assert_eq!(said.status, Some(status), "{args}: {}", said.stderr);
        assert!(said.stderr.contains(words), "{args}: {}", said.stderr);
        assert!(!folder.path().join("b.png").exists(), "{args}");
    }
}
