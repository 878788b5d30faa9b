//! How long the window makes people wait, with the real engine and the built-in model on this machine:
//! `cargo bench --bench window`.
//!
//! A frame is what our code does for it: input, panels, layout, and the shapes cut into triangles. What
//! the graphics driver adds is not in it. Times are medians but for the frames, which are the 99th of
//! a hundred.

use std::time::{Duration, Instant};

use app::features::command::Command;
use app::features::concepts::watch::ConceptsRead;
use app::features::event::AppEvent;
use app::features::generate::run::RunPhase;
use app::features::settings::Settings;
use app::window::app::TidepoolApp;
use egui_kittest::Harness;
use engine::concepts::Concept;
use engine::device::{DeviceChoice, DeviceSelector};
use engine::recipe::Recipe;
use engine::session::Session;

const RUNS: usize = 9;

fn main() {
    // `cargo test --benches` asks for nothing to be measured.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let home = tempfile::tempdir().expect("a folder to save in");
    let recipe = Recipe { prompt: "a large fox in the snow".into(), ..Recipe::default() };
    let settings = Settings {
        last_recipe: recipe,
        output_folder: Some(home.path().join("pictures")),
        device: DeviceChoice { device: DeviceSelector::Cpu, ..DeviceChoice::default() },
        ..Settings::default()
    };
    let folder = home.path().to_owned();
    let mut harness = Harness::builder().with_size([1440.0, 900.0]).build_eframe(move |cc| {
        TidepoolApp::new(cc, settings, folder, |ctx| Box::new(Session::start(move || ctx.request_repaint())))
    });
    while harness.state().state.shared.model_info().is_none() {
        harness.step();
    }

    let mut waits = Waits::default();
    for run in 0..=RUNS {
        let times = generate(&mut harness);
        if run > 0 {
            waits.add(times);
        }
    }
    waits.stops = (0..RUNS).map(|_| stop(&mut harness)).collect();
    waits.letters = letters(&mut harness, "a large (fox:1.2) in the snow, ".repeat(143));
    waits.letters_at_10_000 = letters(&mut harness, "a fox, ".repeat(3334));
    harness.state_mut().receive(AppEvent::ConceptsChosen(thousand_concepts()));
    waits.letters_with_concepts = letters(&mut harness, "<style-7>, a fox <stile-3> ".repeat(8));
    waits.print();
}

#[derive(Default)]
struct Waits {
    saved: Vec<Duration>,
    previews: Vec<Duration>,
    frames: Vec<Duration>,
    stops: Vec<Duration>,
    letters: Vec<Duration>,
    letters_at_10_000: Vec<Duration>,
    letters_with_concepts: Vec<Duration>,
}

struct Times {
    saved: Duration,
    preview: Duration,
    frames: Vec<Duration>,
}

impl Waits {
    fn add(&mut self, times: Times) {
        self.saved.push(times.saved);
        self.previews.push(times.preview);
        self.frames.extend(times.frames);
    }

    fn print(mut self) {
        println!("built-in model, 128 x 128, 20 steps of Euler, guidance 7.5, window of 1440 x 900");
        let rows = [
            ("Generate to saved picture", at(&mut self.saved, 50)),
            ("Generate to first preview", at(&mut self.previews, 50)),
            ("Stop to stopped", at(&mut self.stops, 50)),
            ("a letter at 1,000 tokens", at(&mut self.letters, 50)),
            ("a letter at 10,000 tokens", at(&mut self.letters_at_10_000, 50)),
            ("a letter with 1,000 concepts", at(&mut self.letters_with_concepts, 50)),
            ("frame while a job runs, median", at(&mut self.frames, 50)),
            ("frame while a job runs, 99 %", at(&mut self.frames, 99)),
        ];
        for (what, time) in rows {
            println!("{what:<32} {:8.1} ms", 1e3 * time.as_secs_f64());
        }
        println!("{} runs, {} frames", RUNS, self.frames.len());
    }
}

/// The time that `percent` of the times are below.
fn at(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

/// Presses Generate and draws the run at about sixty frames a second.
fn generate(harness: &mut Harness<'static, TidepoolApp>) -> Times {
    let saved_before = harness.state().state.shared.saved.clone();
    let started = Instant::now();
    harness.state_mut().press(Command::Generate);
    let (mut preview, mut frames) = (None, Vec::new());
    loop {
        frames.push(frame(harness));
        let state = &harness.state().state;
        let has_frames = state.runs.current().is_some_and(|run| !run.frames.is_empty());
        if preview.is_none() && has_frames {
            preview = Some(started.elapsed());
        }
        if state.runs.live().is_none() && state.shared.saved != saved_before {
            let preview = preview.expect("a run shows its steps");
            return Times { saved: started.elapsed(), preview, frames };
        }
        wait_for_the_next(frames[frames.len() - 1]);
    }
}

/// Stops a run at its first step.
fn stop(harness: &mut Harness<'static, TidepoolApp>) -> Duration {
    let before = harness.state().state.shared.recipe.clone();
    let long = Recipe { steps: 500, ..before.clone() };
    harness.state_mut().press(Command::Edit(Box::new(long)));
    harness.state_mut().press(Command::Generate);
    while harness.state().state.runs.live().is_none_or(|run| run.frames.is_empty()) {
        wait_for_the_next(frame(harness));
    }
    let asked = Instant::now();
    harness.state_mut().press(Command::Stop);
    while harness.state().state.runs.live().is_some() {
        frame(harness);
    }
    let stopped = asked.elapsed();
    assert_eq!(harness.state().state.runs.current().map(|run| run.phase), Some(RunPhase::Stopped));
    harness.state_mut().press(Command::Edit(Box::new(before)));
    stopped
}

/// Types at the end of a prompt. Each letter counts until its chips are drawn.
fn letters(harness: &mut Harness<'static, TidepoolApp>, prompt: String) -> Vec<Duration> {
    let mut recipe = Recipe { prompt, ..Recipe::default() };
    let type_one = |_| {
        recipe.prompt.push('a');
        let started = Instant::now();
        harness.state_mut().press(Command::Edit(Box::new(recipe.clone())));
        frame(harness);
        started.elapsed()
    };
    (0..10 * RUNS).map(type_one).skip(RUNS).collect()
}

fn thousand_concepts() -> ConceptsRead {
    let concept = |number: usize| Concept {
        token: format!("<style-{number}>"),
        width: 128,
        vectors: vec![0.5; 256],
        source: format!("/concepts/style-{number}.pt").into(),
        sha256: "0".repeat(64),
    };
    ConceptsRead { read: (0..1000).map(concept).collect(), ..ConceptsRead::default() }
}

fn frame(harness: &mut Harness<'static, TidepoolApp>) -> Duration {
    let started = Instant::now();
    harness.step();
    let shapes = harness.output().shapes.clone();
    let triangles = harness.ctx.tessellate(shapes, 1.0);
    std::hint::black_box(triangles);
    started.elapsed()
}

fn wait_for_the_next(spent: Duration) {
    std::thread::sleep(Duration::from_millis(16).saturating_sub(spent));
}
