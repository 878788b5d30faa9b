//! Strength and start step of image to image, against diffusers, by `tests/golden/configurations.py`.

use std::io::Read;

use engine::recipe::{start_step_of, strength_of};
use serde_json::Value;

use crate::support::numbers::golden_folder;

/// By `StableDiffusionImg2ImgPipeline.get_timesteps` of diffusers 0.42.1.
#[test]
fn every_strength_in_hundredths_runs_as_many_steps_as_in_diffusers() {
    let file = std::fs::File::open(golden_folder().join("data/strengths.json.gz")).expect("golden strengths");
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("whole golden strengths");
    let json: Value = serde_json::from_str(&text).expect("JSON");
    let rows: Vec<Vec<u32>> = serde_json::from_value(json["steps_run"].clone()).expect("rows of numbers");
    assert_eq!((rows.len(), rows[0].len()), (100, 150));
    for (row, hundredths) in rows.iter().zip(1..) {
        let strength: f32 = format!("{:.2}", f64::from(hundredths) / 100.0).parse().expect("a number");
        for (run, steps) in row.iter().zip(1..) {
            assert_eq!(steps - start_step_of(strength, steps), *run, "{strength} of {steps}");
        }
    }
}

#[test]
fn the_strength_of_a_start_step_gives_that_step_again() {
    for steps in 1..=1000 {
        for start_step in 0..=steps {
            let strength = strength_of(start_step, steps);
            assert_eq!(start_step_of(strength, steps), start_step, "{strength} of {steps}");
        }
    }
}
