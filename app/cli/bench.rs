//! `tidepool bench`: how fast this machine makes pictures, in medians after a warm-up.

use std::thread;
use std::time::{Duration, Instant};

use engine::pipeline::StopFlag;
use engine::pipeline::random_sd15;
use engine::pipeline::{GenerateError, Pipeline, Progress};
use engine::prompt::Source;
use engine::recipe::Recipe;
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::json;

use super::args::BenchArgs;
use super::bench_load::bench_load;
use super::bench_orders::bench_orders;
use super::{Failure, peak_memory, print, progress, render};

/// Asks for Stable Diffusion 1.5 in shape, with random weights.
const SD15_RANDOM: &str = "sd15-random";

const PROMPT: &str = "a red fox in the snow";

/// Medians in seconds, and what they were measured on.
#[derive(Debug, Serialize)]
struct Figures {
    /// The prompts through the text encoder.
    text_encode_secs: f64,
    /// The ten words of the vocabulary that are nearest to one.
    nearest_words_secs: f64,
    /// One guided step.
    step_secs: f64,
    /// Of all steps together, the part in which they are recorded and shown.
    film_share: f64,
    decode_secs: f64,
    /// From the recipe to the pixels.
    generate_secs: f64,
    /// From the recipe to the first preview.
    first_preview_secs: f64,
    /// From the stop flag, raised in mid-step, to the answer.
    stop_secs: f64,
    load_secs: f64,
    /// Most memory that the process ever had; null where the system does not tell.
    peak_memory_bytes: Option<u64>,
    model: String,
    device: String,
    threads: usize,
    /// Width and height, pixels.
    size: [u32; 2],
    steps: u32,
    repeat: u32,
}

pub fn bench(args: &BenchArgs) -> Result<(), Failure> {
    if args.orders {
        return bench_orders(args);
    }
    if args.load {
        return bench_load(args);
    }
    let is_random = args.model.as_os_str() == SD15_RANDOM;
    let steps = args.steps.unwrap_or(if is_random { 3 } else { 20 });
    let mut recipe = Recipe { prompt: PROMPT.to_owned(), steps, ..Recipe::default() };
    if let Some(size) = args.size {
        (recipe.width, recipe.height) = (size.width, size.height);
    }
    recipe.check().map_err(Failure::usage)?;

    let choice = args.device.choice();
    let started = Instant::now();
    let pipeline = if is_random {
        random_sd15(choice).map_err(Failure::failed)?
    } else {
        render::open(&super::models::source_of(&args.model)?, None, choice)?
    };
    let load_secs = started.elapsed().as_secs_f64();
    if args.size.is_none() {
        // A step at SD's own 512 x 512 is for GPUs; everybody can wait for a quarter of it.
        let side = if is_random { 256 } else { pipeline.info().native_side };
        (recipe.width, recipe.height) = (side, side);
    }

    let figures = measure(&pipeline, &recipe, args.repeat, load_secs)?;
    if args.json { print(json!(figures)) } else { print(in_words(&figures)) }
}

fn measure(pipeline: &Pipeline, recipe: &Recipe, repeat: u32, load_secs: f64) -> Result<Figures, Failure> {
    let bar = progress::bench_bar(u64::from(2 * repeat + 1));
    let result = measure_with(&bar, pipeline, recipe, repeat, load_secs);
    bar.finish_and_clear();
    result
}

fn measure_with(
    bar: &ProgressBar,
    pipeline: &Pipeline,
    recipe: &Recipe,
    repeat: u32,
    load_secs: f64,
) -> Result<Figures, Failure> {
    // Kernels are compiled and memory is found the first time.
    let warm_up = Recipe { steps: recipe.steps.min(2), ..recipe.clone() };
    time_picture(pipeline, &warm_up)?;
    bar.inc(1);

    let mut text_encode = Vec::new();
    let mut nearest_words = Vec::new();
    time_nearest(pipeline)?;
    let mut step = Vec::new();
    let mut decode = Vec::new();
    let mut generate = Vec::new();
    let mut first_preview = Vec::new();
    let mut film_share = Vec::new();
    for _ in 0..repeat {
        let picture = time_picture(pipeline, recipe)?;
        text_encode.push(picture.timings.text_secs);
        nearest_words.push(time_nearest(pipeline)?);
        film_share.push(picture.timings.record_secs / picture.timings.step_secs.iter().sum::<f64>());
        step.extend(picture.timings.step_secs);
        decode.push(picture.timings.decode_secs);
        generate.push(picture.generate_secs);
        first_preview.push(picture.first_preview_secs);
        bar.inc(1);
    }
    let step_secs = median(step);
    let mut stop = Vec::new();
    for _ in 0..repeat {
        stop.push(time_stop(pipeline, recipe, Duration::from_secs_f64(step_secs / 2.0))?);
        bar.inc(1);
    }
    let info = pipeline.info();
    Ok(Figures {
        text_encode_secs: median(text_encode),
        nearest_words_secs: median(nearest_words),
        step_secs,
        film_share: median(film_share),
        decode_secs: median(decode),
        generate_secs: median(generate),
        first_preview_secs: median(first_preview),
        stop_secs: median(stop),
        load_secs,
        peak_memory_bytes: peak_memory::peak_bytes(),
        model: info.name.clone(),
        device: info.device.name.clone(),
        threads: thread::available_parallelism().map_or(1, usize::from),
        size: [recipe.width, recipe.height],
        steps: recipe.steps,
        repeat,
    })
}

fn time_nearest(pipeline: &Pipeline) -> Result<f64, Failure> {
    let word = pipeline.word_vector(&Source::Word("fox".to_owned())).map_err(Failure::failed)?;
    let started = Instant::now();
    pipeline.nearest_to(word, 10).map_err(Failure::failed)?;
    Ok(started.elapsed().as_secs_f64())
}

struct TimedPicture {
    timings: engine::pipeline::Timings,
    generate_secs: f64,
    first_preview_secs: f64,
}

fn time_picture(pipeline: &Pipeline, recipe: &Recipe) -> Result<TimedPicture, Failure> {
    let started = Instant::now();
    let mut first_preview = None;
    let generated = pipeline
        .generate(recipe, &StopFlag::default(), &mut |progress| {
            if let Progress::Step(_) = progress {
                first_preview.get_or_insert_with(|| started.elapsed());
            }
        })
        .map_err(render::failure)?;
    Ok(TimedPicture {
        timings: generated.timings,
        generate_secs: started.elapsed().as_secs_f64(),
        first_preview_secs: first_preview.unwrap_or_default().as_secs_f64(),
    })
}

/// Raises the flag `into_step` after the first step was seen, and times the answer.
fn time_stop(pipeline: &Pipeline, recipe: &Recipe, into_step: Duration) -> Result<f64, Failure> {
    // Enough steps that the run is not over first.
    let recipe = Recipe { steps: recipe.steps.max(4), ..recipe.clone() };
    let stop = StopFlag::default();
    let mut finger = None;
    let generated = pipeline.generate(&recipe, &stop, &mut |progress| {
        if let Progress::Step(_) = progress
            && finger.is_none()
        {
            let stop = stop.clone();
            finger = Some(thread::spawn(move || {
                thread::sleep(into_step);
                stop.raise();
                Instant::now()
            }));
        }
    });
    let answered = Instant::now();
    match generated {
        Err(GenerateError::Stopped) => {}
        Err(error) => return Err(render::failure(error)),
        Ok(_) => return Err(Failure::failed("The run did not stop when it was asked to")),
    }
    let raised = finger.expect("only this stops the run").join().expect("sleeping cannot fail");
    Ok(answered.saturating_duration_since(raised).as_secs_f64())
}

/// The middle one, or the mean of the middle two; 0 of nothing.
pub fn median(mut secs: Vec<f64>) -> f64 {
    secs.sort_by(f64::total_cmp);
    match secs.len() {
        0 => 0.0,
        len if len % 2 == 1 => secs[len / 2],
        len => f64::midpoint(secs[len / 2 - 1], secs[len / 2]),
    }
}

fn in_words(figures: &Figures) -> String {
    let Figures { model, device, size: [width, height], steps, repeat, .. } = figures;
    let rows = [
        ("load", figures.load_secs),
        ("encode the text", figures.text_encode_secs),
        ("ten nearest words", figures.nearest_words_secs),
        ("one step", figures.step_secs),
        ("decode", figures.decode_secs),
        ("whole picture", figures.generate_secs),
        ("to the first preview", figures.first_preview_secs),
        ("to stop", figures.stop_secs),
    ];
    let mut lines =
        vec![format!("{model} on {device}, {width} x {height}, {steps} steps, medians of {repeat}")];
    lines.extend(rows.iter().map(|(what, secs)| format!("{what:<22}{secs:>10.4} s")));
    lines.push(format!("{:<22}{:>10.4} % of the steps", "film and previews", 100.0 * figures.film_share));
    if let Some(bytes) = figures.peak_memory_bytes {
        let mebibytes = bytes as f64 / f64::from(1 << 20);
        lines.push(format!("{:<22}{mebibytes:>10.1} MiB", "peak memory"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn a_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
