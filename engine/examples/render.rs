//! Prompt to picture with the built-in model: `cargo run --release -p engine --example render -- "a fox in the snow"`.

use std::error::Error;
use std::path::Path;

use engine::checkpoint::ModelSource;
use engine::device::DeviceChoice;
use engine::images::{Provenance, replace_png};
use engine::pipeline::{Pipeline, Progress, StopFlag};
use engine::recipe::Recipe;

fn main() -> Result<(), Box<dyn Error>> {
    let prompt = std::env::args().nth(1).unwrap_or_else(|| "a large fox in the snow".to_owned());
    let pipeline = Pipeline::open(&ModelSource::BuiltIn, DeviceChoice::default(), &mut |_fraction| true)?;
    let recipe = Recipe { prompt, ..Recipe::default() };
    let generated = pipeline.generate(&recipe, &StopFlag::default(), &mut |progress| {
        if let Progress::Step(frame) = progress {
            println!("step {:2}, sigma {:.3}", frame.step + 1, frame.sigma);
        }
    })?;
    let provenance = Provenance::new("Built-in", recipe);
    replace_png(Path::new("example.png"), &generated.pictures[0], &provenance)?;
    println!("example.png");
    Ok(())
}
