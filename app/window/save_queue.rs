//! Saves finished pictures on a separate thread, so that a slow disk never blocks the window.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, unbounded};
use engine::images::{Provenance, save_new};
use engine::memory::low_memory::panic_text;

use crate::features::effect::{Batch, PlotToSave};
use crate::features::event::AppEvent;
use crate::features::settings::Settings;
use crate::window::crash_report::crash_if_asked;

/// The saving thread. Dropping it waits until everything queued is on the disk.
pub struct SaveQueue {
    work: Option<Sender<SaveTask>>,
    thread: Option<JoinHandle<()>>,
}

enum SaveTask {
    Batch(Box<Batch>),
    Plot(PlotToSave),
    Settings(Box<Settings>, PathBuf),
}

impl SaveQueue {
    /// `send` is called for every batch, saved or not.
    pub fn start(send: impl Fn(AppEvent) + Send + 'static) -> Self {
        let (work, received) = unbounded();
        let thread = std::thread::Builder::new().name("saver".into()).spawn(move || {
            for task in received {
                // A panic must not cost the pictures that come later.
                let done = catch_unwind(AssertUnwindSafe(|| do_task(&task)));
                if let Some(event) = done.unwrap_or_else(|panic| Some(failed(&task, panic_text(&*panic)))) {
                    send(event);
                }
            }
        });
        Self { work: Some(work), thread: thread.ok() }
    }

    pub fn save(&self, batch: Box<Batch>) {
        self.hand_over(SaveTask::Batch(batch));
    }

    pub fn save_plot(&self, plot: PlotToSave) {
        self.hand_over(SaveTask::Plot(plot));
    }

    pub fn remember(&self, settings: Settings, folder: PathBuf) {
        self.hand_over(SaveTask::Settings(Box::new(settings), folder));
    }

    fn hand_over(&self, work: SaveTask) {
        let is_sent = self.work.as_ref().is_some_and(|sender| sender.send(work).is_ok());
        if !is_sent {
            tracing::error!("the save queue has ended: something was not saved");
        }
    }
}

impl Drop for SaveQueue {
    fn drop(&mut self) {
        self.work = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the save queue panicked");
        }
    }
}

fn do_task(task: &SaveTask) -> Option<AppEvent> {
    crash_if_asked("saver");
    match task {
        SaveTask::Batch(batch) => Some(save(batch).map_or_else(AppEvent::SaveFailed, AppEvent::Saved)),
        SaveTask::Plot(plot) => {
            let saved = save_plot(plot).map(|file| vec![file]);
            Some(saved.map_or_else(AppEvent::SaveFailed, AppEvent::Saved))
        }
        SaveTask::Settings(settings, folder) => {
            settings.save(folder).err().map(|error| AppEvent::Warning(error.to_string()))
        }
    }
}

fn failed(task: &SaveTask, panic: &str) -> AppEvent {
    let end = "a bug in Tidepool; please report it";
    match task {
        SaveTask::Batch(_) | SaveTask::Plot(_) => {
            AppEvent::SaveFailed(format!("The pictures could not be saved ({panic}). This is {end}"))
        }
        SaveTask::Settings(..) => {
            AppEvent::Warning(format!("The settings could not be saved ({panic}). This is {end}"))
        }
    }
}

/// Pictures that were saved stay saved when a later one fails.
fn save(batch: &Batch) -> Result<Vec<PathBuf>, String> {
    let kept = |(index, pixels): (u32, &std::sync::Arc<engine::images::Pixels>)| {
        let recipe = batch.recipe.of_picture(index);
        let stem = recipe.seed.to_string();
        let (vae, concepts) = (batch.vae.clone(), batch.concepts.clone());
        let provenance = Provenance::of_run(batch.model.as_str(), vae, recipe, concepts);
        save_new(&batch.folder, &stem, pixels, &provenance).map_err(|error| error.to_string())
    };
    (0..).zip(&batch.pictures).map(kept).collect()
}

fn save_plot(PlotToSave { model, vae, folder, made }: &PlotToSave) -> Result<PathBuf, String> {
    let provenance = made.provenance(model, vae.as_deref());
    save_new(folder, "xy-plot", &made.whole(), &provenance).map_err(|error| error.to_string())
}
