//! `tidepool bench`: how fast this machine makes pictures, as medians after a warm-up.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use engine::inspect::launches::guided_step;
use engine::inspect::token::{nearest_words, word_vector};
use engine::losses::LossGuide;
use engine::pipeline::{GenerateError, Pipeline, Progress, StopFlag, Timings, random_sd15};
use engine::prompt::Source;
use engine::recipe::Recipe;
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::json;

use super::bench_load::bench_load;
use super::bench_orders::bench_orders;
use super::models::source_of;
use super::run::{failure, open};
use super::shared_args::{DeviceArgs, Size};
use super::{Failure, peak_memory, print, progress};

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// `sd15-random` has the architecture of Stable Diffusion 1.5 and random weights: nothing to download
    #[arg(long, value_name = "DIR|demo|sd15-random", default_value = "demo")]
    pub model: PathBuf,
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Width and height in pixels [default: the model's native size; 256x256 for sd15-random]
    #[arg(long, value_name = "WxH")]
    pub size: Option<Size>,
    /// Steps per picture [default: 20; 3 for sd15-random]
    #[arg(long, value_name = "N")]
    pub steps: Option<u32>,
    /// Guide the steps by a loss, as `tidepool render` does: with `every=1` each of them
    #[arg(long = "guide", value_name = "LOSS", conflicts_with_all = ["load", "orders"])]
    pub guides: Vec<LossGuide>,
    /// Measure instead how long the model takes to open and how much memory it needs, compared with
    /// reading the same bytes from the disk
    #[arg(long, conflicts_with_all = ["size", "steps"])]
    pub load: bool,
    /// Measure instead how fast each sampler's error falls with the number of steps, on a denoiser with a
    /// known solution
    #[arg(long, conflicts_with_all = ["size", "steps", "load", "model"])]
    pub orders: bool,
    /// Count instead how often a guided step launches each kernel on the GPU
    #[arg(long, conflicts_with_all = ["steps", "load", "orders"])]
    pub launches: bool,
    /// Pictures to time, after one to warm up; with --load, how often to open the model
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeat: u32,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// The `--model` with the architecture of Stable Diffusion 1.5 and random weights.
const SD15_RANDOM: &str = "sd15-random";

const PROMPT: &str = "a red fox in the snow";

/// Medians in seconds, and what was measured.
#[derive(Debug, Serialize)]
struct Measurements {
    /// Encoding the prompts.
    text_encode_secs: f64,
    /// Finding the ten nearest words to one word.
    nearest_words_secs: f64,
    /// One guided step.
    step_secs: f64,
    /// The share of the steps' time that goes into recording them and making previews.
    film_share: f64,
    decode_secs: f64,
    /// From recipe to pixels.
    generate_secs: f64,
    /// From recipe to first preview.
    first_preview_secs: f64,
    /// From raising the stop flag in the middle of a step to the end of the run.
    stop_secs: f64,
    load_secs: f64,
    /// Peak memory of the process; null where the system does not count it.
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
    let guides = args.guides.clone();
    let mut recipe = Recipe { prompt: PROMPT.to_owned(), steps, guides, ..Recipe::default() };
    if let Some(size) = args.size {
        (recipe.width, recipe.height) = (size.width, size.height);
    }
    recipe.check().map_err(Failure::usage)?;

    let choice = args.device.choice();
    let started = Instant::now();
    let pipeline = if is_random {
        random_sd15(choice).map_err(Failure::failed)?
    } else {
        open(&source_of(&args.model)?, None, choice)?
    };
    let load_secs = started.elapsed().as_secs_f64();
    if args.size.is_none() {
        // A step at the native 512 x 512 is slow on a CPU; 256 x 256 takes a quarter of the time.
        let side = if is_random { 256 } else { pipeline.info().native_side };
        (recipe.width, recipe.height) = (side, side);
    }

    if args.launches {
        return print_launches(&pipeline, &recipe, args.json);
    }
    let measurements = measure(&pipeline, &recipe, args.repeat, load_secs)?;
    if args.json { print(json!(measurements)) } else { print(to_text(&measurements)) }
}

fn print_launches(pipeline: &Pipeline, recipe: &Recipe, as_json: bool) -> Result<(), Failure> {
    let launches = guided_step(pipeline, recipe.width, recipe.height).map_err(Failure::failed)?;
    if as_json {
        return print(json!(launches));
    }
    let mut kernels: Vec<_> = launches.iter().collect();
    kernels.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (name, count) in kernels {
        print(format!("{count:>6}  {name}"))?;
    }
    print(format!("{:>6}  in all", launches.values().sum::<usize>()))
}

fn measure(
    pipeline: &Pipeline,
    recipe: &Recipe,
    repeat: u32,
    load_secs: f64,
) -> Result<Measurements, Failure> {
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
) -> Result<Measurements, Failure> {
    // The first run compiles kernels and allocates memory.
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
    Ok(Measurements {
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
    let word = word_vector(pipeline, &Source::Word("fox".to_owned())).map_err(Failure::failed)?;
    let started = Instant::now();
    nearest_words(pipeline, word, 10).map_err(Failure::failed)?;
    Ok(started.elapsed().as_secs_f64())
}

struct TimedPicture {
    timings: Timings,
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
        .map_err(failure)?;
    Ok(TimedPicture {
        timings: generated.timings,
        generate_secs: started.elapsed().as_secs_f64(),
        first_preview_secs: first_preview.unwrap_or_default().as_secs_f64(),
    })
}

/// Raises the stop flag `delay` after the first step, and times how long the run takes to end.
fn time_stop(pipeline: &Pipeline, recipe: &Recipe, delay: Duration) -> Result<f64, Failure> {
    // So many steps that the run does not finish first, however late the thread that raises the flag is woken.
    let recipe = Recipe { steps: *Recipe::STEPS.end(), ..recipe.clone() };
    let stop = StopFlag::default();
    let mut raiser = None;
    let generated = pipeline.generate(&recipe, &stop, &mut |progress| {
        if let Progress::Step(_) = progress
            && raiser.is_none()
        {
            let stop = stop.clone();
            raiser = Some(thread::spawn(move || {
                thread::sleep(delay);
                stop.raise();
                Instant::now()
            }));
        }
    });
    let ended = Instant::now();
    match generated {
        Err(GenerateError::Stopped) => {}
        Err(error) => return Err(failure(error)),
        Ok(_) => return Err(Failure::failed("The run ignored the stop flag")),
    }
    let raised = raiser.expect("only this thread stops the run").join().expect("sleeping cannot fail");
    Ok(ended.saturating_duration_since(raised).as_secs_f64())
}

/// The middle value, or the mean of the middle two; 0 for an empty list.
pub fn median(mut secs: Vec<f64>) -> f64 {
    secs.sort_by(f64::total_cmp);
    match secs.len() {
        0 => 0.0,
        len if len % 2 == 1 => secs[len / 2],
        len => f64::midpoint(secs[len / 2 - 1], secs[len / 2]),
    }
}

fn to_text(measurements: &Measurements) -> String {
    let Measurements { model, device, size: [width, height], steps, repeat, .. } = measurements;
    let rows = [
        ("load", measurements.load_secs),
        ("encode the prompts", measurements.text_encode_secs),
        ("ten nearest words", measurements.nearest_words_secs),
        ("one step", measurements.step_secs),
        ("decode", measurements.decode_secs),
        ("picture in total", measurements.generate_secs),
        ("until first preview", measurements.first_preview_secs),
        ("until stopped", measurements.stop_secs),
    ];
    let mut lines =
        vec![format!("{model} on {device}, {width} x {height}, {steps} steps, medians of {repeat}")];
    lines.extend(rows.iter().map(|(name, secs)| format!("{name:<22}{secs:>10.4} s")));
    lines.push(format!(
        "{:<22}{:>10.4} % of the steps",
        "recording, previews",
        100.0 * measurements.film_share
    ));
    if let Some(bytes) = measurements.peak_memory_bytes {
        let mebibytes = bytes as f64 / f64::from(1 << 20);
        lines.push(format!("{:<22}{mebibytes:>10.1} MiB", "peak memory"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle_value() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
