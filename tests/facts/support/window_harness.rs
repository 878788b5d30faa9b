//! The whole window in `egui_kittest`, with an engine that says what the fact tells it to say.

use std::path::{Path, PathBuf};
use std::time::Duration;

use app::features::command::Command;
use app::features::settings::Settings;
use app::library::ScanStatus;
use app::window::app::{Engine, TidepoolApp};
use crossbeam_channel::{Receiver, Sender, unbounded};
use egui_kittest::kittest::Queryable;
use egui_kittest::{Harness, HarnessBuilder};
use engine::diffusion::{NoiseSchedule, Schedule};
use engine::pipeline::Frame;
use engine::recipe::Recipe;
use engine::session::{Event, InspectRequest, JobEvent, JobId, ModelEvent, Request, Session};

use super::fake_answers::gradient_image;
use super::models::model_info;
use super::waiting::wait_until;

/// A window whose engine is the fact itself.
pub struct TestWindow {
    pub harness: Harness<'static, TidepoolApp>,
    pub requests: Receiver<Request>,
    events: Sender<Event>,
    // Removed with everything that was saved.
    _home: tempfile::TempDir,
}

struct FakeEngine {
    requests: Sender<Request>,
    events: Receiver<Event>,
}

impl Engine for FakeEngine {
    fn send(&self, request: Request) {
        self.requests.send(request).expect("the test listens");
    }

    fn events(&self) -> &Receiver<Event> {
        &self.events
    }
}

impl TestWindow {
    pub fn new(builder: HarnessBuilder<TidepoolApp>, settings: Settings) -> Self {
        let (requests, asked) = unbounded();
        let (events, told) = unbounded();
        let (mut harness, home) =
            harness(builder, settings, move |_| Box::new(FakeEngine { requests, events: told }));
        // The library is scanned by a real thread. What a fact says of the library comes after its answer.
        until(&mut harness, "the scan of the library", |app| {
            app.state.shared.library.status != ScanStatus::Scanning
        });
        Self { harness, requests: asked, events, _home: home }
    }

    /// With the built-in model opened.
    pub fn opened(builder: HarnessBuilder<TidepoolApp>, settings: Settings) -> Self {
        let mut window = Self::new(builder, settings);
        window.send(Event::Model(ModelEvent::Opened(Box::new(model_info()))));
        window
    }

    pub fn send(&mut self, event: Event) {
        self.events.send(event).expect("the window listens");
        self.harness.step();
    }

    pub fn send_job_event(&mut self, id: JobId, event: JobEvent) {
        self.send(Event::Job { id, event });
    }

    /// As if a panel had asked for it.
    pub fn press(&mut self, command: Command) {
        self.harness.state_mut().press(command);
        self.harness.step();
    }

    /// The next job that the window sends.
    pub fn next_job(&mut self) -> (JobId, Recipe) {
        self.harness.step();
        let generate = self.requests.try_iter().find_map(|request| match request {
            Request::Generate { job, recipe, .. } => Some((job.id, *recipe)),
            _ => None,
        });
        generate.expect("a job was sent")
    }

    /// Reports the first `steps` steps of a job.
    pub fn run_steps(&mut self, id: JobId, recipe: &Recipe, steps: usize) {
        let sigmas = sigmas(recipe.steps as usize);
        let start_step = recipe.start_step() as usize;
        self.send_job_event(id, JobEvent::Started { sigmas: sigmas.clone(), start_step });
        for (step, &sigma) in sigmas.iter().enumerate().skip(start_step).take(steps) {
            let frame = Frame {
                step,
                sigma,
                predicted: (0..recipe.batch).map(|at| gradient_image(16, step as f32 / 20.0, at)).collect(),
                noisy: (0..recipe.batch).map(|at| gradient_image(16, step as f32 / 40.0, at)).collect(),
                noise: (0..recipe.batch).map(|at| gradient_image(16, 0.0, at)).collect(),
                guidance: (0..recipe.batch)
                    .map(|at| gradient_image(16, 1.0 - step as f32 / 20.0, at))
                    .collect(),
                losses: None,
                elapsed: Duration::from_millis(80 * (step - start_step + 1) as u64),
            };
            self.send_job_event(id, JobEvent::Step(frame));
        }
    }

    /// Ends a job and waits until its pictures are saved.
    pub fn finish(&mut self, id: JobId, recipe: &Recipe) {
        let pictures = (0..recipe.batch).map(|at| gradient_image(128, 1.0, at)).collect();
        let elapsed = Duration::from_millis(1700);
        let saved = self.saved();
        self.send_job_event(id, JobEvent::Finished { pictures, concepts: Vec::new(), elapsed });
        self.until_saved(&saved);
    }

    /// The files of the last pictures that were saved.
    pub fn saved(&self) -> Vec<PathBuf> {
        self.harness.state().state.shared.saved.clone()
    }

    /// Draws frames until other pictures than `before` are saved. A thread saves them; a fact that waits for it always sees
    /// the same window.
    #[track_caller]
    pub fn until_saved(&mut self, before: &[PathBuf]) {
        self.until("the saved pictures", |app| app.state.shared.saved != before);
    }

    /// Draws frames until something is so.
    #[track_caller]
    pub fn until(&mut self, what: &str, is_so: impl Fn(&TidepoolApp) -> bool) {
        until(&mut self.harness, what, is_so);
    }

    /// Draws frames until a label is there.
    #[track_caller]
    pub fn until_label(&mut self, label: &str) {
        let harness = &mut self.harness;
        wait_until(label, || {
            harness.step();
            harness.query_by_label(label).is_some()
        });
    }
}

/// A window with the real engine.
pub fn window_with_engine(
    builder: HarnessBuilder<TidepoolApp>,
    settings: Settings,
) -> (Harness<'static, TidepoolApp>, tempfile::TempDir) {
    harness(builder, settings, |ctx| Box::new(Session::start(move || ctx.request_repaint())))
}

fn harness(
    builder: HarnessBuilder<TidepoolApp>,
    settings: Settings,
    start_engine: impl FnOnce(egui::Context) -> Box<dyn Engine> + 'static,
) -> (Harness<'static, TidepoolApp>, tempfile::TempDir) {
    let home = tempfile::tempdir().expect("a folder for the test");
    let folder: PathBuf = home.path().to_owned();
    let concept_folders = Some(settings.concept_folders.clone().unwrap_or_default());
    let output_folder = Some(folder.join("pictures"));
    let settings = Settings { output_folder, concept_folders, hub_cache_hidden: true, ..settings };
    // A thread reads the icons, and `run` draws a frame every quarter of a second until they are there. This
    // guards against a window that never rests.
    const MAX_STEPS: u64 = 4 * 60;
    let harness = builder
        .with_max_steps(MAX_STEPS)
        .build_eframe(move |cc| TidepoolApp::new(cc, settings, folder, start_engine));
    (harness, home)
}

/// diffusers' linspace schedule over Stable Diffusion's noise levels.
fn sigmas(steps: usize) -> Vec<f32> {
    Schedule::Linspace.sigmas(steps, &NoiseSchedule::scaled_linear(0.00085, 0.012, 1000))
}

/// A window of 1280 x 720.
pub fn window_builder() -> HarnessBuilder<TidepoolApp> {
    Harness::builder().with_size([1280.0, 720.0])
}

/// Draws frames until something is so.
#[track_caller]
pub fn until(harness: &mut Harness<'static, TidepoolApp>, what: &str, is_so: impl Fn(&TidepoolApp) -> bool) {
    wait_until(what, || {
        let is_so = is_so(harness.state());
        if !is_so {
            harness.step();
        }
        is_so
    });
}

pub fn drop_files(harness: &mut Harness<'static, TidepoolApp>, paths: &[&Path]) {
    #[derive(Debug)]
    struct File(PathBuf);
    impl egui::DroppedFile for File {
        fn path(&self) -> &Path {
            &self.0
        }
        fn bytes(&self) -> Result<Vec<u8>, String> {
            std::fs::read(&self.0).map_err(|error| error.to_string())
        }
    }
    for path in paths {
        let file = std::sync::Arc::new(File(path.to_path_buf()));
        harness.input_mut().dropped_files.push(file);
    }
    harness.step();
    harness.input_mut().dropped_files.clear();
}

pub fn drop_file(harness: &mut Harness<'static, TidepoolApp>, path: &Path) {
    drop_files(harness, &[path]);
}

/// The number of the last look of a kind that was asked for.
pub fn last_look(window: &TestWindow, is_meant: fn(&InspectRequest) -> bool) -> u64 {
    let looks = window.requests.try_iter().filter_map(|request| match request {
        Request::Inspect { id, request: look } if is_meant(&look) => Some(id),
        _ => None,
    });
    looks.last().expect("a look was asked for")
}
