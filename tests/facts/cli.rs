//! The command line, as a person or a script meets it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use engine::diffusion::{BetaSchedule, NoiseSource, SamplerOptions, ScheduleOptions};
use engine::images::{RecipeOrigin, read_recipe};
use engine::recipe::{Guidance, Recipe};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::support::cli::{CommandOutput, command, tidepool};
use crate::support::folders::{folder, names};
use crate::support::models::text_width;

/// Renders small and fast on the CPU; `args` are words.
fn render(folder: &Path, args: &str) -> CommandOutput {
    let mut all = vec!["render", "a red fox", "--device", "cpu", "--size", "64x64", "--steps", "3"];
    all.extend(args.split_whitespace());
    let said = tidepool(folder, &all);
    assert_eq!(said.status, Some(0), "{args}: {}", said.stderr);
    said
}

fn json(said: &CommandOutput) -> Value {
    serde_json::from_str(&said.stdout).expect("one JSON object on stdout")
}

#[test]
fn a_picture_is_written_and_its_recipe_reads_back() {
    let folder = folder();
    let said = render(
        folder.path(),
        "-o fox.png --negative blurry --seed 18446744073709551615 --cfg 4.5 --sampler dpmpp-2m \
         --schedule karras",
    );
    assert_eq!(said.stdout.trim(), "fox.png");
    assert!(said.stderr.contains("18446744073709551615"), "{}", said.stderr);
    let path = folder.path().join("fox.png");
    let found = read_recipe(&path).expect("a PNG").expect("with a recipe");
    assert_eq!(found.origin, RecipeOrigin::Tidepool);
    let asked = Recipe {
        prompt: "a red fox".to_owned(),
        negative_prompt: "blurry".to_owned(),
        width: 64,
        height: 64,
        seed: u64::MAX,
        batch: 1,
        steps: 3,
        sampler: engine::diffusion::Sampler::DpmPp2m,
        schedule: engine::diffusion::Schedule::Karras,
        guidance: Guidance { cfg_scale: 4.5 },
        ..Recipe::default()
    };
    assert_eq!(found.provenance.recipe, asked);
    assert_eq!(image::image_dimensions(&path).ok(), Some((64, 64)));
}

#[test]
fn the_same_seed_makes_the_same_file_and_another_does_not() {
    let folder = folder();
    for (name, seed) in [("a", 7), ("b", 7), ("c", 8)] {
        render(folder.path(), &format!("-o {name}.png --seed {seed}"));
    }
    let bytes = |name: &str| fs::read(folder.path().join(name)).expect("a picture");
    assert_eq!(bytes("a.png"), bytes("b.png"));
    assert_ne!(bytes("a.png"), bytes("c.png"));
}

#[test]
fn a_name_that_was_given_is_written_over_and_one_that_was_not_never_is() {
    let folder = folder();
    fs::write(folder.path().join("tidepool-1.png"), "mine").expect("writes");
    fs::write(folder.path().join("old.png"), "old").expect("writes");
    assert_eq!(render(folder.path(), "").stdout.trim(), "tidepool-2.png");
    render(folder.path(), "-o old.png");
    assert_eq!(names(folder.path()), ["old.png", "tidepool-1.png", "tidepool-2.png"]);
    let text = |name: &str| fs::read(folder.path().join(name)).expect("a file");
    assert_eq!(text("tidepool-1.png"), b"mine");
    assert!(text("old.png").starts_with(b"\x89PNG"));
}

#[test]
fn runs_at_the_same_time_take_different_names() {
    let folder = folder();
    let line = "render fox --device cpu --size 64x64 --steps 2 --batch 2";
    let args: Vec<_> = line.split(' ').collect();
    let start = || command(folder.path(), &args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let runs: Vec<_> = (0..4).map(|_| start().expect("starts")).collect();
    let mut written = Vec::new();
    for run in runs {
        let said = CommandOutput::from(run.wait_with_output().expect("it ends"));
        assert_eq!(said.status, Some(0), "{}", said.stdout);
        written.extend(said.stdout.lines().map(str::to_owned));
    }
    written.sort();
    assert_eq!(written, (1..=8).map(|number| format!("tidepool-{number}.png")).collect::<Vec<_>>());
    assert_eq!(names(folder.path()), written);
}

#[test]
fn a_run_that_fails_lets_go_of_the_name_it_took() {
    let folder = folder();
    for line in ["render fox", "xy-plot fox --vary cfg=1,2"] {
        let args: Vec<_> = line.split(' ').chain(["--model", "nowhere"]).collect();
        let said = tidepool(folder.path(), &args);
        assert!(said.status == Some(1) && said.stderr.contains("nowhere"), "{line}: {}", said.stderr);
        assert_eq!(names(folder.path()), [""; 0], "{line}");
    }
}

#[test]
fn a_name_that_is_too_long_for_a_file_is_refused_before_the_model_is_opened() {
    let folder = folder();
    // 255 bytes are the limit of Linux and macOS. The first has them with `.png`, the second one more.
    let (fits, long) = ("x".repeat(251), "狐".repeat(84));
    let cases = [
        ("-o", format!("{fits}.png"), "nowhere"),
        ("-o", format!("{long}.png"), "255"),
        ("-o", "x".repeat(300) + ".png", "255"),
        ("-o", format!("{}/a.png", "x".repeat(300)), "255"),
        ("--film", format!("{long}.gif"), "255"),
        ("--film", format!("{}/", "x".repeat(300)), "255"),
        ("--contact-sheet", format!("{long}.png"), "255"),
        ("--attention", format!("{long}.png"), "255"),
        ("--map", format!("{long}.png"), "255"),
        ("--trace", format!("{fits}.safetensors"), "255"),
    ];
    let check = |more: &[&str], (option, name, word): &(&str, String, &str)| {
        let args = [&["render", "fox", "--model", "nowhere", option, name], more].concat();
        let said = tidepool(folder.path(), &args);
        assert_eq!(said.status, Some(1), "{option}: {}", said.stderr);
        assert!(said.stderr.contains(word), "{option}: no {word} in {}", said.stderr);
    };
    cases.iter().for_each(|case| check(&[], case));
    // The number of a picture makes the name of the first case too long.
    check(&["--batch", "2"], &("-o", format!("{fits}.png"), "255"));
    assert_eq!(names(folder.path()), [""; 0]);
}

/// Mesa's Vulkan layer asks libwayland for a display, which complains where this variable is missing.
#[cfg(target_os = "linux")]
#[test]
fn a_missing_runtime_folder_is_nothing_to_complain_about() {
    let folder = folder();
    for value in [None, Some(""), Some("relative")] {
        let mut devices = command(folder.path(), &["devices"]);
        match value {
            None => devices.env_remove("XDG_RUNTIME_DIR"),
            Some(value) => devices.env("XDG_RUNTIME_DIR", value),
        };
        let said = CommandOutput::from(devices.output().expect("the program starts"));
        assert_eq!((said.status, said.stderr.as_str()), (Some(0), ""), "{value:?}");
    }
}

#[test]
fn json_tells_everything_in_one_object() {
    let folder = folder();
    let said = json(&render(folder.path(), "-o a.png --seed random --batch 2 --film f.gif --json"));
    assert_eq!(said["paths"], serde_json::json!(["a-1.png", "a-2.png"]));
    assert_eq!((&said["width"], &said["height"]), (&64.into(), &64.into()));
    let seed = said["seed"].as_u64().expect("a seed");
    let of_second = read_recipe(&folder.path().join("a-2.png")).expect("a PNG").expect("a recipe");
    assert_eq!(of_second.provenance.recipe.seed, seed + 1, "picture 2 alone");
    let timings = &said["timings"];
    assert_eq!(timings["step_secs"].as_array().map(Vec::len), Some(3));
    for name in ["text_encode_secs", "decode_secs", "generate_secs", "load_secs"] {
        assert!(timings[name].as_f64().is_some_and(|secs| secs > 0.0), "{name}: {timings}");
    }
    assert!(said["model"].is_string() && said["device"]["why"].is_string(), "{said}");
    assert_eq!(names(folder.path()), ["a-1.png", "a-2.png", "f-1.gif", "f-2.gif"]);
}

#[test]
fn a_trace_holds_the_numbers_of_every_step() {
    let folder = folder();
    render(folder.path(), "-o a.png --seed 5 --batch 2 --trace t.safetensors");
    let bytes = fs::read(folder.path().join("t.safetensors")).expect("a trace");
    let (_, header) = SafeTensors::read_metadata(&bytes).expect("a sound file");
    let recipe = &header.metadata().as_ref().expect("metadata")["recipe"];
    let recipe: Recipe = serde_json::from_str(recipe).expect("a recipe");
    assert_eq!((recipe.seed, recipe.batch), (5, 2));

    let trace = SafeTensors::deserialize(&bytes).expect("a sound file");
    let shape = |name: &str| {
        let tensor = trace.tensor(name).expect("a named tensor");
        assert_eq!(tensor.dtype(), Dtype::F32, "{name}");
        tensor.shape().to_vec()
    };
    assert_eq!(shape("sigmas"), [4]);
    for step in 0..3 {
        assert_eq!(shape(&format!("x.{step}")), [2, 4, 8, 8]);
        assert_eq!(shape(&format!("denoised.{step}")), [2, 4, 8, 8]);
    }
    assert_eq!(shape("latents"), [2, 4, 8, 8]);
    assert_eq!(shape("image"), [2, 3, 64, 64]);
    assert_eq!(shape("cond")[1..], [77, text_width()]);
    assert_eq!(shape("uncond")[1..], [77, text_width()]);
    assert_eq!(trace.len(), 5 + 2 * 3);
}

#[test]
fn strength_and_start_step_are_one_number() {
    let folder = folder();
    render(folder.path(), "-o start.png --seed 1");
    let by_strength =
        render(folder.path(), "-o a.png --seed 2 --steps 8 --init start.png --strength 0.625 --json");
    let by_step = render(folder.path(), "-o b.png --seed 2 --steps 8 --init start.png --start-step 3 --json");
    assert_eq!(json(&by_strength)["start_step"], 3);
    assert_eq!(json(&by_step)["timings"]["step_secs"].as_array().map(Vec::len), Some(5));
    let pixels = |name: &str| image::open(folder.path().join(name)).expect("a picture");
    assert_eq!(pixels("a.png"), pixels("b.png"));
    assert_ne!(pixels("a.png"), pixels("start.png"));
}

#[test]
fn inspect_says_what_a_file_is() {
    let folder = folder();
    render(folder.path(), "-o fox.png --seed 99 --cfg 7.3 --trace t.safetensors");
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo");
    let unet = format!("{demo}/unet/diffusion_pytorch_model.safetensors");
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/data/checkpoints");
    let pickle = format!("{golden}/state-zip.ckpt");
    fs::write(folder.path().join("lfs.bin"), "version https://git-lfs.github.com/spec/v1\n").expect("writes");
    let cases = [
        ("fox.png", &["PNG", "64 x 64", "a red fox", "99", "euler"][..], "picture"),
        ("t.safetensors", &["trace", "11 tensors"], "safetensors"),
        (demo, &["StableDiffusionPipeline", "UNet2DConditionModel"], "model_folder"),
        (&unet, &["a UNet alone", "F16"], "safetensors"),
        (&pickle, &["F32"], "pickle"),
        ("lfs.bin", &["pointer"], "other"),
    ];
    for (file, words, kind) in cases {
        let said = tidepool(folder.path(), &["inspect", file]);
        assert_eq!(said.status, Some(0), "{file}: {}", said.stderr);
        for word in words {
            assert!(said.stdout.contains(word), "{file}: no {word:?} in {}", said.stdout);
        }
        assert_eq!(json(&tidepool(folder.path(), &["inspect", file, "--json"]))["kind"], kind);
    }
    let said = json(&tidepool(folder.path(), &["inspect", "fox.png", "--json"]));
    assert_eq!(said["recipe"]["seed"], 99);
    assert_eq!(said["recipe"]["guidance"]["cfg_scale"], 7.3);
}

#[test]
fn devices_says_what_is_used_and_why() {
    let folder = folder();
    let said = tidepool(folder.path(), &["devices"]);
    assert_eq!(said.status, Some(0), "{}", said.stderr);
    assert!(said.stdout.contains("Used: "), "{}", said.stdout);
    let said = json(&tidepool(folder.path(), &["devices", "--json", "--device", "cpu"]));
    assert!(said["adapters"].is_array(), "{said}");
    assert_eq!(said["used"]["is_gpu"], false);
    assert!(said["used"]["why"].is_string(), "{said}");
}

#[test]
fn bench_measures_what_it_names() {
    let folder = folder();
    let args = ["bench", "--device", "cpu", "--size", "64x64", "--steps", "2", "--repeat", "1"];
    let words = tidepool(folder.path(), &args);
    assert!(words.stdout.contains("one step"), "{} {}", words.stdout, words.stderr);
    let said = json(&tidepool(folder.path(), &[&args[..], &["--json"]].concat()));
    for name in [
        "text_encode_secs",
        "step_secs",
        "decode_secs",
        "generate_secs",
        "first_preview_secs",
        "load_secs",
        "peak_memory_bytes",
        "threads",
    ] {
        assert!(said[name].as_f64().is_some_and(|number| number > 0.0), "{name} in {said}");
    }
    assert!(said["stop_secs"].is_number() && said["device"].is_string(), "{said}");
    assert_eq!((&said["size"], &said["steps"]), (&serde_json::json!([64, 64]), &2.into()));
}

#[cfg(target_os = "linux")]
#[test]
fn without_a_display_the_way_to_render_is_shown() {
    let said = tidepool(folder().path(), &[]);
    assert_eq!(said.status, Some(1), "{}", said.stderr);
    assert!(said.stderr.contains("tidepool render"), "{}", said.stderr);
}

#[test]
fn a_word_that_is_neither_a_command_nor_a_file_is_a_usage_error() {
    let folder = folder();
    for args in [&["rendr", "a fox"][..], &["no such picture.png"]] {
        let said = tidepool(folder.path(), args);
        assert_eq!(said.status, Some(2), "{}", said.stderr);
        assert!(said.stderr.trim_end().ends_with(args[0]), "{}", said.stderr);
    }
}

#[test]
fn help_and_version_succeed() {
    for args in [&["--help"][..], &["render", "--help"], &["bench", "--help"], &["--version"]] {
        let said = tidepool(folder().path(), args);
        assert_eq!((said.status, said.stderr.as_str()), (Some(0), ""), "{args:?}");
        assert!(!said.stdout.is_empty(), "{args:?}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_run_and_leaves_no_half_file() {
    use std::io::{BufRead, BufReader};

    use crate::support::cli::wait_until_busy;

    let folder = folder();
    let args = ["render", "", "--device", "cpu", "--steps", "1000", "--film", "a.gif"];
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

#[test]
fn every_option_of_sampling_is_taken_and_kept_with_the_picture() {
    let folder = folder();
    let said = render(
        folder.path(),
        "-o fox.png --sampler euler-a --eta 0.5 --schedule karras --rho 5 --beta-start 0.001 --beta-end 0.02 \
         --beta-kind linear --train-steps 500 --noise nvidia --seed 3 --json",
    );
    assert_eq!(json(&said)["remarks"], serde_json::json!([]));
    let path = folder.path().join("fox.png");
    let recipe = read_recipe(&path).expect("a PNG").expect("with a recipe").provenance.recipe;
    assert_eq!(recipe.sampler_options, SamplerOptions { eta: Some(0.5), ..SamplerOptions::default() });
    let schedule_options = ScheduleOptions {
        rho: Some(5.0),
        beta_start: Some(0.001),
        beta_end: Some(0.02),
        beta_kind: Some(BetaSchedule::Linear),
        train_steps: Some(500),
    };
    assert_eq!((recipe.schedule_options, recipe.noise), (schedule_options, NoiseSource::Nvidia));

    let said = json(&render(folder.path(), "-o fox.png --eta 0.5 --rho 5 --json"));
    let remarks: Vec<&str> =
        said["remarks"].as_array().expect("remarks").iter().filter_map(Value::as_str).collect();
    let [eta, rho] = remarks[..] else { panic!("{remarks:?}") };
    assert!(eta.contains("Euler") && eta.contains("eta") && rho.contains("rho"), "{remarks:?}");
}

#[test]
fn impossible_options_are_refused_with_a_reason() {
    let folder = folder();
    let cases: [(&str, &[&str]); 15] = [
        ("--eta -1", &["eta", "-1", "0 to 1"]),
        ("--eta 2", &["eta", "2"]),
        ("--eta nan", &["eta", "NaN"]),
        ("--order 9", &["order", "9", "1 to 4"]),
        ("--order 2.5", &["order", "2.5"]),
        ("--rho 0", &["rho", "0"]),
        ("--momentum 1", &["momentum", "1"]),
        ("--learning-rate 0", &["learning rate", "0"]),
        ("--steps 0", &["0 steps"]),
        ("--beta-start 0", &["beta", "0"]),
        ("--beta-start 0.5", &["0.5", "0.012"]),
        ("--train-steps 1", &["training steps", "1"]),
        ("--train-steps 100000 --beta-start 0.5 --beta-end 0.9", &["betas", "100000"]),
        ("--steps 1000 --schedule polyexponential --rho 100", &["rho", "1000"]),
        ("--sampler adam --batch 2", &["Adam"]),
    ];
    for (args, words) in cases {
        let mut all = vec!["render", "a fox", "--device", "cpu", "--size", "64x64"];
        all.extend(args.split_whitespace());
        let said = tidepool(folder.path(), &all);
        assert_eq!(said.status, Some(2), "{args}: {}", said.stderr);
        for word in words {
            assert!(
                said.stderr.to_lowercase().contains(&word.to_lowercase()),
                "{args}: no {word:?} in {}",
                said.stderr
            );
        }
    }
    assert!(names(folder.path()).is_empty());
}

#[test]
fn the_bench_measures_the_orders_of_the_samplers() {
    let folder = folder();
    let said = tidepool(folder.path(), &["bench", "--orders", "--json"]);
    assert_eq!(said.status, Some(0), "{}", said.stderr);
    let rows = json(&said)["orders"].as_array().expect("rows").clone();
    assert!(rows.len() >= 9);
    for row in rows {
        let of = |key: &str| row[key].as_f64().expect(key);
        assert!((of("order") - of("measured_order")).abs() < 0.3, "{row}");
    }
}
