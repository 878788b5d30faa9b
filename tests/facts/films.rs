//! Animations on the command line: the file holds what was asked for and shows what the run recorded.

use std::fs;
use std::path::Path;

use engine::diffusion::Trajectory;
use engine::images::{Pixels, read_recipe};
use engine::pipeline::Pipeline;
use engine::pipeline::StopFlag;
use engine::pipeline::animation_export::{AnimationLayout, AnimationOptions, animate};
use engine::recipe::{Recipe, RecordedRun};
use image::AnimationDecoder;
use image::codecs::gif::GifDecoder;

use crate::support::cli::{CommandOutput, tidepool};
use crate::support::folders::{folder, names};
use crate::support::models::pipeline;

/// Renders small and fast on the CPU; `args` are words.
fn render(folder: &Path, args: &str) -> CommandOutput {
    let line = format!("render fox --device cpu --size 64x64 --steps 4 --seed 3 -o a.png {args}");
    let said = tidepool(folder, &line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(said.status, Some(0), "{args}: {}", said.stderr);
    said
}

/// Width, height and milliseconds of each frame of a GIF.
fn frames(path: &Path) -> Vec<(u32, u32, u32)> {
    let file = std::io::BufReader::new(fs::File::open(path).expect("a film"));
    let frames = GifDecoder::new(file).expect("a GIF").into_frames().collect_frames().expect("frames");
    let seen = |frame: &image::Frame| {
        let (width, height) = frame.buffer().dimensions();
        (width, height, frame.delay().numer_denom_ms().0)
    };
    frames.iter().map(seen).collect()
}

#[test]
fn a_film_has_a_frame_for_each_step_and_one_for_the_picture() {
    let folder = folder();
    render(folder.path(), "--film f.gif");
    let seen = frames(&folder.path().join("f.gif"));
    assert_eq!(seen.len(), 5);
    assert!(seen.iter().all(|&(width, height, _)| (width, height) == (64, 64)), "{seen:?}");
    assert_eq!(seen[4].2, 2000);

    render(
        folder.path(),
        "--film f.gif --film-fps 25 --film-view both --film-captions --film-play ping-pong",
    );
    let seen = frames(&folder.path().join("f.gif"));
    assert_eq!(seen.iter().map(|frame| frame.2).collect::<Vec<_>>(), [40, 40, 40, 40, 2000, 40, 40, 40]);
    let (width, height, _) = seen[0];
    assert!(width == 128 && height > 64, "{width} x {height}");
}

#[test]
fn every_kind_of_film_is_written_for_every_picture_of_a_batch() {
    let folder = folder();
    for film in ["f.png", "f.apng", "f.mp4", "frames/"] {
        let said = render(folder.path(), &format!("--batch 2 --film {film} --contact-sheet c.png --json"));
        let said: serde_json::Value = serde_json::from_str(&said.stdout).expect("JSON");
        assert_eq!(said["film"].as_array().map(Vec::len), Some(2), "{said}");
        assert_eq!(said["contact_sheet"], serde_json::json!(["c-1.png", "c-2.png"]));
    }
    let expected = ["a-1.png", "a-2.png", "c-1.png", "c-2.png", "f-1.apng", "f-1.mp4", "f-1.png"];
    let more = ["f-2.apng", "f-2.mp4", "f-2.png", "frames-1", "frames-2"];
    assert_eq!(names(folder.path()), [&expected[..], &more].concat());
    assert_eq!(names(&folder.path().join("frames-2")).len(), 5);
    // Each knows which picture it is of.
    for name in ["f-2.png", "c-2.png", "frames-2/0001.png"] {
        let found = read_recipe(&folder.path().join(name)).expect("a PNG").expect("a recipe");
        assert_eq!((found.provenance.recipe.seed, found.provenance.recipe.batch), (4, 1), "{name}");
    }
}

#[test]
fn impossible_animations_are_refused_before_anything_is_computed() {
    let folder = folder();
    fs::create_dir(folder.path().join("full")).expect("makes a folder");
    fs::write(folder.path().join("full/mine.txt"), "mine").expect("writes");
    let cases = [
        ("--film f.webm", 2, ".mp4"),
        ("--film f", 2, ".gif"),
        ("--film f.gif --film-fps 0", 2, "0 frames"),
        ("--film f.gif --film-fps 51", 2, "1 to 50"),
        ("--film f.gif --film-fps fast", 2, "--film-fps"),
        ("--film f.gif --film-view noisy", 2, "predicted"),
        ("--film f.gif --film-play backwards", 2, "ping-pong"),
        ("--film-captions", 2, "--film"),
        ("--film-fps 10", 2, "--film"),
        ("--contact-sheet c.jpg", 2, ".png"),
        ("--film no/f.gif", 1, "folder"),
        ("--film full/", 1, "not empty"),
        ("--film f.mp4 --size 2048x2048 --film-view both", 2, "3840 x 2160"),
        ("--film f.gif --film-full --size 2048x2048 --steps 500", 2, "previews"),
    ];
    for (args, status, words) in cases {
        let line = format!("render fox --device cpu --steps 1 {args}");
        let said = tidepool(folder.path(), &line.split_whitespace().collect::<Vec<_>>());
        assert_eq!(said.status, Some(status), "{args}: {}", said.stderr);
        assert!(said.stderr.contains(words), "{args}: no {words:?} in {}", said.stderr);
    }
    assert_eq!(names(folder.path()), ["full"]);
}

fn run(pipeline: &Pipeline, recipe: &Recipe) -> (Trajectory, std::sync::Arc<Pixels>) {
    let mut run = RecordedRun::default();
    let mut made =
        pipeline.generate_from(&mut run, recipe, &StopFlag::default(), &mut |_| ()).expect("a picture");
    (run.trajectory, made.pictures.swap_remove(1))
}

#[test]
fn a_full_film_shows_each_step_decoded_and_a_quick_one_its_preview() {
    let pipeline = pipeline("demo");
    let recipe = Recipe { steps: 3, batch: 2, ..Recipe::default() };
    let (film, finished) = run(&pipeline, &recipe);
    let stop = StopFlag::default();
    let cut =
        AnimationOptions { view: AnimationLayout::Both, has_captions: true, ..AnimationOptions::default() };
    let quick = animate(&pipeline, &film, 1, Some(&finished), &cut, &stop, &mut |_| ()).expect("a film");
    let full = AnimationOptions { is_full: true, ..cut };
    let full = animate(&pipeline, &film, 1, Some(&finished), &full, &stop, &mut |_| ()).expect("a film");
    assert_eq!((quick.frames.len(), full.frames.len(), full.size), (4, 4, (recipe.width, recipe.height)));
    for step in 0..3 {
        let recorded = &film.steps[step];
        for (pane, latents) in [&recorded.x, &recorded.denoised].into_iter().enumerate() {
            let decoded = &pipeline.pictures(latents, &stop).expect("pictures")[1];
            assert_eq!(full.frames[step][pane].picture, *decoded, "step {step}, pane {pane}");
            let preview = &quick.frames[step][pane].picture;
            assert_eq!(preview.width * pipeline.info().vae_factor, decoded.width);
        }
        let [number, sigma] = [format!("step {}", step + 1), format!("σ {:.3}", film.sigmas[step])];
        let texts = |pane: usize| quick.frames[step][pane].caption.clone().expect("a caption");
        assert_eq!([texts(0), texts(1)], [["noisy".into(), sigma], ["predicted".into(), number]]);
    }
    assert_eq!(full.frames[3][0].picture, finished);

    // A stopped run has no finished picture, and a stopped export no animation.
    let ended =
        animate(&pipeline, &film, 0, None, &AnimationOptions::default(), &stop, &mut |_| ()).expect("a film");
    assert_eq!((ended.frames.len(), ended.frames[0].len()), (3, 1));
    assert!(ended.frames[0][0].caption.is_none());
    stop.raise();
    assert!(animate(&pipeline, &film, 0, None, &AnimationOptions::default(), &stop, &mut |_| ()).is_err());
}
