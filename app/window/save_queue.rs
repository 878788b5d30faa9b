//! Saves finished pictures on a separate thread, so that a slow disk never blocks the window.

use std::path::PathBuf;
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, unbounded};
use engine::images::{Provenance, save_new};

use crate::features::effect::{Batch, PlotToSave};
use crate::features::event::AppEvent;
use crate::features::settings::Settings;

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
            for work in received {
                match work {
                    SaveTask::Batch(batch) => send(match save(&batch) {
                        Ok(files) => AppEvent::Saved(files),
                        Err(text) => AppEvent::SaveFailed(text),
                    }),
                    SaveTask::Plot(plot) => send(match save_plot(&plot) {
                        Ok(file) => AppEvent::Saved(vec![file]),
                        Err(text) => AppEvent::SaveFailed(text),
                    }),
                    SaveTask::Settings(settings, folder) => {
                        if let Err(error) = settings.save(&folder) {
                            send(AppEvent::Warning(error.to_string()));
                        }
                    }
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
