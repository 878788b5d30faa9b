//! Too little memory, invalid numbers, and jobs that end early.

use std::panic::{AssertUnwindSafe, catch_unwind};

use engine::device::{DeviceChoice, DeviceSelector};
use engine::diffusion::{Latents, NoiseStreams};
use engine::memory::estimate::{MemoryEstimate, free_bytes};
use engine::memory::mode::MemoryMode;
use engine::pipeline::StopFlag;
use engine::pipeline::{GenerateError, Progress};
use engine::recipe::{Recipe, Start};

use crate::support::models::pipeline;

/// Largest difference of two decodes in 0..1.
fn apart(a: &Latents, b: &Latents) -> f32 {
    assert_eq!(a.shape, b.shape);
    a.data.iter().zip(&b.data).fold(0.0, |apart, (a, b)| apart.max((a - b).abs() / 2.0))
}

#[test]
fn a_picture_decoded_in_tiles_is_the_same() {
    let pipeline = pipeline("demo");
    let never = StopFlag::default();
    let check = |what: &str, latents: &Latents| {
        let decode = |mode| pipeline.decode_raw(mode, latents, &never).expect("pixels");
        let apart = apart(&decode(MemoryMode::LowMemory), &decode(MemoryMode::Full));
        println!("{what}: {:.6}/255 apart", apart * 255.0);
        // 2/255 would do. Tiles use the statistics of the whole picture, so only rounding differs.
        assert!(apart <= 0.02 / 255.0, "{what}: {} / 255 apart", apart * 255.0);
    };
    let scaled_back = |latents: Latents| latents.scale(1.0 / 0.467_031);

    let recipe = Recipe {
        prompt: "a watercolor painting of an owl".into(),
        width: 512,
        height: 512,
        steps: 2,
        ..Recipe::default()
    };
    let made = pipeline.generate(&recipe, &never, &mut |_| ()).expect("a picture");
    check("a picture of 512 x 512", &scaled_back(made.latents));
    for [height, width] in [[64, 64], [47, 101], [128, 31], [3, 160]] {
        let noise = NoiseStreams::new(1, 1).draw([1, 4, height, width]);
        check(&format!("noise of {} x {}", 8 * width, 8 * height), &scaled_back(noise));
    }
    // Nothing but a bright corner: the statistics of a tile are not those of the picture.
    let mut corner = Latents::zeros([1, 4, 64, 64]);
    corner.data.iter_mut().take(8 * 64).for_each(|value| *value = 12.0);
    check("a bright edge of 512 x 512", &corner);
}

#[test]
fn a_picture_encoded_in_tiles_has_the_same_latents() {
    let pipeline = pipeline("demo");
    let never = StopFlag::default();
    for [height, width] in [[512, 512], [376, 808]] {
        let pixels = NoiseStreams::new(2, 1).draw([1, 3, height, width]);
        let encode = |mode| pipeline.encode_moments(mode, &pixels, &never).expect("moments");
        let (low, full) = (encode(MemoryMode::LowMemory), encode(MemoryMode::Full));
        for (low, full) in [(low.0, full.0), (low.1, full.1)] {
            let apart = apart(&low, &full);
            assert!(apart <= 1e-4, "{width} x {height}: {apart} apart");
        }
    }
}

#[test]
fn free_memory_decides_between_full_low_memory_and_a_refusal() {
    let estimate = pipeline("demo").info().memory;
    let recipe = Recipe { width: 1024, height: 1024, ..Recipe::default() };
    let bytes = |mode| estimate.bytes(&recipe, mode);
    let (full, low) = (bytes(MemoryMode::Full), bytes(MemoryMode::LowMemory));
    assert!(3 * low < 2 * full, "{low} of {full}");
    assert_eq!(MemoryMode::choose(&estimate, &recipe, full), Ok(MemoryMode::Full));
    assert_eq!(MemoryMode::choose(&estimate, &recipe, full - 1), Ok(MemoryMode::LowMemory));
    assert_eq!(MemoryMode::choose(&estimate, &recipe, low - 1), Err(low));
    // Everything that makes more numbers needs more memory.
    for more in [
        Recipe { width: 1032, ..recipe.clone() },
        Recipe { batch: 8, ..recipe.clone() },
        Recipe { steps: 1000, ..recipe.clone() },
    ] {
        assert!(estimate.bytes(&more, MemoryMode::Full) > full, "{more:?}");
    }
    assert!(free_bytes().is_some_and(|free| free > 1 << 20));
    assert_eq!(MemoryEstimate::default().bytes(&Recipe::default(), MemoryMode::LowMemory) >> 20, 0);
}

#[test]
fn whatever_ends_a_job_early_leaves_the_next_one_unharmed() {
    let pipeline = pipeline("demo");
    let recipe = Recipe { prompt: "a puppy".into(), width: 64, height: 64, steps: 3, ..Recipe::default() };
    let make = || pipeline.generate(&recipe, &StopFlag::default(), &mut |_| ()).expect("a picture");
    let before = make();

    let stop = StopFlag::default();
    let stopped = pipeline.generate(&recipe, &stop, &mut |progress| {
        if matches!(progress, Progress::Step(frame) if frame.step == 1) {
            stop.raise();
        }
    });
    assert!(matches!(stopped, Err(GenerateError::Stopped)));
    assert_eq!(make().image.data, before.image.data);

    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _ = pipeline.generate(&recipe, &StopFlag::default(), &mut |progress| {
            assert!(!matches!(progress, Progress::Step(frame) if frame.step == 1), "a bug");
        });
    }));
    assert!(panicked.is_err());
    assert_eq!(make().image.data, before.image.data);

    let missing = Start::Image { path: "no/such.png".into(), strength: 0.5 };
    let failed = Recipe { start: missing, ..recipe.clone() };
    assert!(pipeline.generate(&failed, &StopFlag::default(), &mut |_| ()).is_err());
    assert_eq!(make().image.data, before.image.data);

    let broken = Latents::new([1, 4, 8, 8], vec![f32::NAN; 256]);
    let refused = pipeline.decode(&broken, &StopFlag::default());
    assert!(matches!(refused, Err(GenerateError::Device(_))));
    assert_eq!(make().image.data, before.image.data);
    assert!(before.notes.is_empty());
}

/// The resident bytes of this process, and their peak since it was last reset, as Linux counts them.
#[cfg(target_os = "linux")]
fn resident() -> [u64; 2] {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    };
    [of("VmRSS:"), of("VmHWM:")]
}

/// `MALLOC_MMAP_THRESHOLD_=65536 cargo test --release --test facts estimates -- --ignored --nocapture`: memory
/// that was freed must go back to the system, so that its next use is seen.
///
/// An estimate is never too small. It is at most a quarter too large, beside a part that does not depend on the
/// size of the picture and that small pictures do not use up: 8 MB of kernels and text encoder for the UNet, and
/// 60 MB of working set for tiles. (Measured: 1.1 times what is used, plus that part.)
#[cfg(target_os = "linux")]
#[test]
#[ignore = "measures the memory of its process, so nothing else may run in it"]
fn estimates_are_a_little_more_than_what_is_used() {
    let cpu = DeviceChoice { device: DeviceSelector::Cpu, ..DeviceChoice::default() };
    let set = "MALLOC_MMAP_THRESHOLD_";
    assert!(std::env::var_os(set).is_some(), "set {set}=65536, or memory that is used twice is seen once");
    let mut wrong = Vec::new();
    let mut check = |what: &str, estimate: u64, fixed: f64, work: &dyn Fn()| {
        std::fs::write("/proc/self/clear_refs", "5").expect("the peak can be reset");
        let [before, _] = resident();
        work();
        let used = resident()[1] - before;
        let [used, estimate] = [used, estimate].map(|bytes| bytes as f64 / 1e6);
        let row = format!("{what}: {used:.0} MB used, {estimate:.0} MB estimated");
        println!("{row}");
        if !(used..=1.25 * used + fixed).contains(&estimate) {
            wrong.push(row);
        }
    };
    let never = StopFlag::default();
    let models = [
        ("built-in", pipeline("demo"), vec![[256, 256], [512, 512], [768, 512], [1024, 1024]]),
        ("SD 1.5", engine::pipeline::random_sd15(cpu).expect("random weights"), vec![[256, 256], [512, 512]]),
    ];
    for (name, pipeline, sizes) in &models {
        let estimate = pipeline.info().memory;
        for &[width, height] in sizes {
            let pixels = (width * height) as u64;
            let what = |stage: &str| format!("{name}, {width} x {height}, {stage}");
            let noise = NoiseStreams::new(1, 1).draw([1, 4, height / 8, width / 8]);
            check(&what("UNet"), estimate.unet_bytes(pixels), 8.0, &|| {
                pipeline.predict_eps(&noise, 500.0, &["an owl"]).expect("eps");
            });
            let image = NoiseStreams::new(1, 1).draw([1, 3, height, width]);
            for (mode, fixed) in [(MemoryMode::Full, 0.0), (MemoryMode::LowMemory, 60.0)] {
                check(
                    &what(&format!("{mode:?} decode")),
                    estimate.decode_bytes(pixels, mode),
                    fixed,
                    &|| {
                        pipeline.decode_raw(mode, &noise, &never).expect("pixels");
                    },
                );
                check(
                    &what(&format!("{mode:?} encode")),
                    estimate.encode_bytes(pixels, mode),
                    fixed,
                    &|| {
                        pipeline.encode_moments(mode, &image, &never).expect("moments");
                    },
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
