//! X/Y plots: each picture is the one that its recipe makes alone, under its label.

use std::path::Path;
use std::process::Command;

use engine::images::{Grid, Pixels, read_recipe};
use engine::recipe::xy_plot::Axis;
use image::RgbImage;
use serde_json::{Value, json};

use crate::support::cli::{CommandOutput, command, tidepool};
use crate::support::folders::{folder, names};

const SMALL: &str = "--device cpu --size 64x64 --steps 2 --seed 9";

fn run(folder: &Path, line: &str) -> CommandOutput {
    tidepool(folder, &line.split_whitespace().collect::<Vec<_>>())
}

fn picture(folder: &Path, name: &str) -> RgbImage {
    image::open(folder.join(name)).expect("a picture").into_rgb8()
}

/// True if `part` stands in `whole` with its upper left corner at (x, y).
fn stands_at(whole: &RgbImage, part: &RgbImage, x: u32, y: u32) -> bool {
    part.enumerate_pixels().all(|(dx, dy, pixel)| whole.get_pixel(x + dx, y + dy) == pixel)
}

#[test]
fn every_cell_of_a_sheet_is_the_picture_of_its_own_recipe() {
    let folder = folder();
    let at = folder.path();
    let line = format!("sheet fox -o sheet.png {SMALL} --vary cfg=1,4,7.5 --vary sampler=euler,heun --json");
    let said = run(at, &line);
    assert_eq!(said.status, Some(0), "{}", said.stderr);
    let said: Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!(said["columns"], json!(["Guidance 1", "Guidance 4", "Guidance 7.5"]));
    assert_eq!(said["rows"], json!(["Euler", "Heun"]));
    assert_eq!(said["timings"]["picture_secs"].as_array().map(Vec::len), Some(6));
    let sheet = picture(at, "sheet.png");
    assert_eq!(
        (said["width"].as_u64(), said["height"].as_u64()),
        (Some(sheet.width().into()), Some(sheet.height().into()))
    );
    // From the lower right corner: the pictures at 72 pixels from each other, 8 from the edge.
    for (row, sampler) in ["euler", "heun"].into_iter().enumerate() {
        for (column, cfg) in ["1", "4", "7.5"].into_iter().enumerate() {
            let alone = format!("render fox -o a.png {SMALL} --cfg {cfg} --sampler {sampler}");
            assert_eq!(run(at, &alone).status, Some(0));
            let (x, y) = (sheet.width() - 72 * (3 - column as u32), sheet.height() - 72 * (2 - row as u32));
            assert!(stands_at(&sheet, &picture(at, "a.png"), x, y), "{sampler} at {cfg}");
        }
    }
}

#[test]
fn a_sheet_knows_what_it_was_made_of() {
    let folder = folder();
    let at = folder.path();
    let said = run(at, &format!("sheet fox {SMALL} --vary steps=1,3 --negative blurry"));
    assert_eq!((said.status, said.stdout.trim()), (Some(0), "tidepool-1.png"), "{}", said.stderr);
    let found = read_recipe(&at.join("tidepool-1.png")).expect("a PNG").expect("a recipe").provenance;
    assert_eq!(found.vary, [Axis::Steps(vec![1, 3])]);
    assert_eq!((found.recipe.seed, found.recipe.prompt.as_str()), (9, "fox"));
    assert_eq!(found.recipe.negative_prompt, "blurry");
    let words = run(at, "inspect tidepool-1.png").stdout;
    assert!(words.contains("steps=1,3"), "{words}");
}

#[test]
fn a_sheet_that_cannot_be_made_says_why_before_anything_is_computed() {
    let folder = folder();
    let many = format!("--vary seed={}", vec!["1"; 65].join(","));
    let cases = [
        ("", "--vary"),
        ("--vary cfg", "NAME=VALUE"),
        ("--vary size=1,2", "sampler"),
        ("--vary cfg=1,x", "`x`"),
        ("--vary sampler=euler,best", "dpmpp-2m"),
        ("--vary cfg=1 --vary steps=2 --vary seed=3", "3"),
        ("--vary cfg=1 --vary cfg=2", "both axes"),
        ("--vary cfg=1,-3", "Guidance -3"),
        ("--vary steps=5,0", "0 steps"),
        ("--vary strength=0.5", "start image"),
        ("--vary cfg=1 --batch 2", "2"),
        ("--vary cfg=1 --attention f.png", "--attention"),
        ("--vary cfg=1 --trace t.safetensors", "--trace"),
        ("--vary cfg=1 -o sheet.jpg", ".png"),
        (&many, "65 values"),
    ];
    for (args, words) in cases {
        let said = run(folder.path(), &format!("sheet fox --device cpu {args}"));
        assert_eq!(said.status, Some(2), "{args}: {}", said.stderr);
        assert!(said.stderr.contains(words), "{args}: no {words:?} in {}", said.stderr);
    }
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn labels_cover_no_picture_and_large_sheets_are_made_smaller() {
    let label = |text: &str| text.to_owned();
    let black = Pixels::new(32, 24, vec![0; 32 * 24 * 3]);
    let columns = [label("a label that is far too long for this column"), label("σ")];
    let mut grid = Grid::new(&columns, &[label("Euler a"), label("DPM++ 2M SDE")], (32, 24));
    for (column, row) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        grid.put(column, row, &black);
    }
    let sheet = grid.picture();
    let is_black = |x: u32, y: u32| {
        let at = ((y * sheet.width + x) * 3) as usize;
        sheet.rgb[at..at + 3] == [0; 3]
    };
    for (column, row) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        let (left, top) = (sheet.width - 40 * (2 - column), sheet.height - 32 * (2 - row));
        assert!((0..24).all(|y| (0..32).all(|x| is_black(left + x, top + y))), "{column}, {row}");
        assert!(!is_black(left - 1, top) && !is_black(left, top - 1), "{column}, {row}");
    }
    let many = vec![label("Seed 1"); 40];
    let large = Grid::new(&many, &[String::new()], (2048, 1024));
    assert!((8000..=8192).contains(&large.picture().width), "{}", large.picture().width);
    assert!(large.picture().height < 200, "{}", large.picture().height);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_sheet_and_leaves_nothing() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    use crate::support::cli::wait_until_busy;

    let folder = folder();
    let args = ["sheet", "", "--device", "cpu", "--steps", "1000", "--vary", "cfg=1,2"];
    let mut run = command(folder.path(), &args).stderr(Stdio::piped()).spawn().expect("starts");
    let mut lines = BufReader::new(run.stderr.take().expect("a pipe")).lines();
    // The warning about the empty prompt comes when the model is open and the run begins.
    lines.next().expect("a remark").expect("UTF-8");
    wait_until_busy(&run);
    let kill = Command::new("kill").args(["-INT", &run.id().to_string()]).status();
    assert!(kill.is_ok_and(|status| status.success()), "the signal is sent");
    assert_eq!(run.wait().expect("it ends").code(), Some(1));
    assert!(lines.next().expect("a sentence").expect("UTF-8").starts_with("Stopped"));
    assert_eq!(names(folder.path()), [""; 0]);
}
