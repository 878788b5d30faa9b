//! A desk to test at: the whole window in `egui_kittest`, with an engine that says what it is told.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use app::app::{Engine, TidepoolApp};
use app::command::Command;
use app::library::Work;
use app::settings::Settings;
use crossbeam_channel::{Receiver, Sender, unbounded};
use egui_kittest::{Harness, HarnessBuilder};
use engine::diffusion::{NoiseSchedule, Schedule};
use engine::recipe::Recipe;
use engine::session::{Event, Frame, JobEvent, JobId, Look, ModelEvent, Request, Session};

use super::fake_answers::tide;
use super::models::card;

/// A window whose engine is the test.
pub struct Desk {
    pub harness: Harness<'static, TidepoolApp>,
    pub requests: Receiver<Request>,
    events: Sender<Event>,
    // Removed with everything that was saved.
    _home: tempfile::TempDir,
}

struct Puppet {
    requests: Sender<Request>,
    events: Receiver<Event>,
}

impl Engine for Puppet {
    fn send(&self, request: Request) {
        self.requests.send(request).expect("the test listens");
    }

    fn events(&self) -> &Receiver<Event> {
        &self.events
    }
}

impl Desk {
    pub fn new(builder: HarnessBuilder<TidepoolApp>, settings: Settings) -> Self {
        let (requests, asked) = unbounded();
        let (events, told) = unbounded();
        let (mut harness, home) =
            harness(builder, settings, move |_| Box::new(Puppet { requests, events: told }));
        // The librarian is a real one: what a test says of the library comes after its say.
        let begun = Instant::now();
        while harness.state().state.library.work == Work::Looking {
            assert!(begun.elapsed() < Duration::from_secs(20), "no folder was looked through");
            std::thread::sleep(Duration::from_millis(2));
            harness.step();
        }
        Self { harness, requests: asked, events, _home: home }
    }

    /// With the built-in model's card on it.
    pub fn opened(builder: HarnessBuilder<TidepoolApp>, settings: Settings) -> Self {
        let mut desk = Self::new(builder, settings);
        desk.tell(Event::Model(ModelEvent::Opened(Box::new(card()))));
        desk
    }

    pub fn tell(&mut self, event: Event) {
        self.events.send(event).expect("the window listens");
        self.harness.step();
    }

    pub fn tell_job(&mut self, id: JobId, event: JobEvent) {
        self.tell(Event::Job { id, event });
    }

    /// As if a panel had asked for it.
    pub fn press(&mut self, command: Command) {
        self.harness.state_mut().press(command);
        self.harness.step();
    }

    /// The next job that the window sends.
    pub fn job(&mut self) -> (JobId, Recipe) {
        self.harness.step();
        let generate = self.requests.try_iter().find_map(|request| match request {
            Request::Generate { job, recipe, .. } => Some((job.id, *recipe)),
            _ => None,
        });
        generate.expect("a job was sent")
    }

    /// Tells of the first `steps` steps of a job.
    pub fn run_steps(&mut self, id: JobId, recipe: &Recipe, steps: usize) {
        let sigmas = sigmas(recipe.steps as usize);
        let start_step = recipe.start_step() as usize;
        self.tell_job(id, JobEvent::Started { sigmas: sigmas.clone(), start_step });
        for (step, &sigma) in sigmas.iter().enumerate().skip(start_step).take(steps) {
            let frame = Frame {
                step,
                sigma,
                predicted: (0..recipe.batch).map(|at| tide(16, step as f32 / 20.0, at)).collect(),
                noisy: (0..recipe.batch).map(|at| tide(16, step as f32 / 40.0, at)).collect(),
                noise: (0..recipe.batch).map(|at| tide(16, 0.0, at)).collect(),
                guidance: (0..recipe.batch).map(|at| tide(16, 1.0 - step as f32 / 20.0, at)).collect(),
                elapsed: Duration::from_millis(80 * (step - start_step + 1) as u64),
            };
            self.tell_job(id, JobEvent::Step(frame));
        }
    }

    /// Ends a job and waits until its pictures are kept.
    pub fn finish(&mut self, id: JobId, recipe: &Recipe) {
        let pictures = (0..recipe.batch).map(|at| tide(128, 1.0, at)).collect();
        let elapsed = Duration::from_millis(1700);
        self.tell_job(id, JobEvent::Finished { pictures, concepts: Vec::new(), elapsed });
        // The saver is a thread: wait for it, so that what the window says is always the same.
        let begun = Instant::now();
        while self.harness.state().state.saved.len() < recipe.batch as usize {
            assert!(begun.elapsed() < Duration::from_secs(20), "the pictures were not saved");
            std::thread::sleep(Duration::from_millis(5));
            self.harness.step();
        }
    }
}

/// A window with the real engine.
pub fn with_engine(
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
    // Icons are read by a thread: on a busy machine it takes a few frames until they are there.
    const MOST_STEPS: u64 = 32;
    let harness = builder
        .with_max_steps(MOST_STEPS)
        .build_eframe(move |cc| TidepoolApp::new(cc, settings, folder, start_engine));
    (harness, home)
}

/// The lesson's schedule, over Stable Diffusion's own noise levels.
fn sigmas(steps: usize) -> Vec<f32> {
    Schedule::Lesson.sigmas(steps, &NoiseSchedule::scaled_linear(0.00085, 0.012, 1000))
}

pub fn window() -> HarnessBuilder<TidepoolApp> {
    Harness::builder().with_size([1280.0, 720.0])
}

/// Lets the window live until something is so.
pub fn until(harness: &mut Harness<'static, TidepoolApp>, what: &str, is_so: impl Fn(&TidepoolApp) -> bool) {
    let begun = Instant::now();
    while !is_so(harness.state()) {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(5));
        harness.step();
    }
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

/// The number of the look of a kind that was asked for last.
pub fn look_asked(desk: &Desk, is_meant: fn(&Look) -> bool) -> u64 {
    let looks = desk.requests.try_iter().filter_map(|request| match request {
        Request::Look { id, look } if is_meant(&look) => Some(id),
        _ => None,
    });
    looks.last().expect("a look was asked for")
}
