//! Painting on a step from the command line.

use std::fs;

use engine::images::read_recipe;

use crate::support::cli::{CommandOutput, tidepool};
use crate::support::folders::folder;

#[test]
fn a_painted_picture_is_made_again_from_its_recipe_alone() {
    let folder = folder();
    let run = |args: &str| -> CommandOutput {
        tidepool(folder.path(), &args.split_whitespace().collect::<Vec<_>>())
    };
    let done = |args: &str| {
        let said = run(args);
        assert_eq!(said.status, Some(0), "{args}: {}", said.stderr);
    };
    let bytes = |name: &str| fs::read(folder.path().join(name)).expect(name);
    let red =
        image::RgbaImage::from_fn(20, 20, |x, _| image::Rgba([230, 20, 20, if x < 8 { 255 } else { 0 }]));
    red.save(folder.path().join("red.png")).expect("saves");
    let mask = image::GrayImage::from_fn(20, 20, |_, y| image::Luma([if y < 8 { 255 } else { 0 }]));
    mask.save(folder.path().join("mask.png")).expect("saves");

    done("render fox --device cpu --size 64x64 --steps 5 --seed 5 -o a.png --trace a.safetensors");
    let options = "--paint red.png --fresh-noise mask.png --fresh-noise-seed 7";
    done(&format!("render --continue a.safetensors --from 2 {options} --device cpu -o b.png"));
    assert_ne!(bytes("a.png"), bytes("b.png"));
    done("render --recipe b.png --device cpu -o c.png");
    assert_eq!(bytes("b.png"), bytes("c.png"));
    let found = read_recipe(&folder.path().join("c.png")).expect("a PNG").expect("with a recipe");
    let paint = found.provenance.recipe.branch.expect("a branch").paint.expect("painted");
    assert_eq!(paint.layer.map(|layer| (layer.width(), layer.height())), Some((20, 20)));
    assert_eq!(paint.noise.map(|noise| noise.seed), Some(7));

    fs::write(folder.path().join("no.png"), "no").expect("writes");
    for (args, status, words) in [
        ("--continue a.safetensors --from 2 --paint no.png", 1, "no.png"),
        ("--continue a.safetensors --from 2 --fresh-noise gone.png", 1, "gone.png"),
        ("fox --paint red.png", 2, "--continue"),
        ("--recipe red.png", 1, "no recipe"),
    ] {
        let said = run(&format!("render {args} --device cpu -o d.png"));
        assert_eq!(said.status, Some(status), "{args}: {}", said.stderr);
        assert!(said.stderr.contains(words), "{args}: {}", said.stderr);
    }
}
