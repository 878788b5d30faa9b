//! Handles the export card: rendering the animation, then writing it.

use std::path::PathBuf;

use engine::files::check_name;
use engine::images::{Animation, AnimationFormat, Provenance};
use engine::pipeline::StopFlag;
use engine::session::{AnimationEvent, Request};

use crate::features::branches::Runs;
use crate::features::effect::{Effect, Task};
use crate::features::export::{ExportCommand, ExportEvent, ExportOrder, ExportPhase, folder_of, with_ending};
use crate::features::generate::run::Run;
use crate::features::state::AppState;

use crate::features::xy_plot::{XyPlotPhase, XyPlotRun, XyPlotState, strip};

impl AppState {
    pub(crate) fn handle_export(&mut self, command: ExportCommand) -> Vec<Effect> {
        match command {
            ExportCommand::Show(is_open) | ExportCommand::ShowOfSheet(is_open) => {
                self.export.is_open = is_open;
                // The file dialog may still be open when the card is closed.
                if is_open {
                    self.export.is_of_plot = matches!(command, ExportCommand::ShowOfSheet(_));
                }
                if self.export.phase.stop().is_none() {
                    self.export.phase = ExportPhase::Idle;
                }
            }
            ExportCommand::Choose(format, options) => {
                self.export.format = format;
                self.export.options = options;
                if self.export.phase.stop().is_none() {
                    self.export.phase = ExportPhase::Idle;
                }
            }
            ExportCommand::Start => {
                let format = self.export.format;
                let end = if format == AnimationFormat::ContactSheet { "-steps" } else { "" };
                let name = match self.export.is_of_plot {
                    true => {
                        self.xy_plot.plot_to_export().map(|made| format!("{}-xy-plot", made.plot.recipe.seed))
                    }
                    false => self.runs.run_to_export().map(|run| format!("{}{end}", run.recipe.seed)),
                };
                let Some(name) = name else { return Vec::new() };
                return vec![Effect::Task(Task::PickFilm {
                    format,
                    name,
                    folder: self.shared.settings.output_folder(),
                })];
            }
            ExportCommand::Cancel => {
                if let Some(stop) = self.export.phase.stop() {
                    stop.raise();
                }
            }
            ExportCommand::OpenFolder => {
                if let ExportPhase::Done { path } = &self.export.phase {
                    return vec![Effect::Task(Task::OpenFolder(folder_of(path)))];
                }
            }
        }
        Vec::new()
    }

    pub(crate) fn export_to(&mut self, path: PathBuf) -> Vec<Effect> {
        if self.export.phase.stop().is_some() {
            return Vec::new();
        }
        let path = with_ending(path, self.export.format);
        if let Err(error) = check_name(&path) {
            self.export.phase = ExportPhase::Failed { text: error.to_string() };
            return Vec::new();
        }
        if self.export.is_of_plot {
            return self.export_sheet_to(path);
        }
        let Some(run) = self.runs.run_to_export() else { return Vec::new() };
        let picture = self.film.picture.unwrap_or(0);
        let (job, options, stop) = (run.job.id, self.export.options, StopFlag::default());
        let finished = run.pictures.get(picture).cloned();
        self.export.phase = ExportPhase::Cutting { path, fraction: 0.0, stop: stop.clone() };
        vec![Effect::Send(Request::ExportAnimation { job, picture, finished, options, stop })]
    }

    /// The plot's pictures exist already, so the engine has nothing to do.
    pub(crate) fn export_sheet_to(&mut self, path: PathBuf) -> Vec<Effect> {
        let Some(made) = self.xy_plot.plot_to_export() else { return Vec::new() };
        let (model, vae) = self.names_of_model();
        let provenance = made.provenance(&model, vae.as_deref());
        let animation = strip(&made.plot, &made.pictures, &self.export.options, provenance);
        self.write(animation, path, StopFlag::default())
    }

    pub(crate) fn receive_cut(&mut self, event: AnimationEvent) -> Vec<Effect> {
        let ExportPhase::Cutting { path, fraction, stop } = &mut self.export.phase else { return Vec::new() };
        match event {
            AnimationEvent::Progress { fraction: now } => *fraction = now,
            AnimationEvent::Done(animation) => {
                let (path, stop) = (path.clone(), stop.clone());
                let animation = Animation { provenance: self.provenance(), ..*animation };
                return self.write(animation, path, stop);
            }
            AnimationEvent::Stopped => self.export.phase = ExportPhase::Idle,
            AnimationEvent::Failed { text } => self.export.phase = ExportPhase::Failed { text },
        }
        Vec::new()
    }

    pub(crate) fn write(&mut self, animation: Animation, path: PathBuf, stop: StopFlag) -> Vec<Effect> {
        let (animation, format) = (Box::new(animation), self.export.format);
        let order = ExportOrder { animation, format, path: path.clone(), stop: stop.clone() };
        self.export.phase = ExportPhase::Writing { path, fraction: 0.0, stop };
        vec![Effect::WriteFilm(order)]
    }

    pub(crate) fn receive_film(&mut self, news: ExportEvent) {
        let ExportPhase::Writing { fraction, .. } = &mut self.export.phase else { return };
        match news {
            ExportEvent::Progress { fraction: now } => *fraction = now,
            ExportEvent::Written(path) => self.export.phase = ExportPhase::Done { path },
            ExportEvent::Stopped => self.export.phase = ExportPhase::Idle,
            ExportEvent::Failed(text) => self.export.phase = ExportPhase::Failed { text },
        }
    }

    /// The provenance of the exported picture.
    pub(crate) fn provenance(&self) -> Provenance {
        let Some(run) = self.runs.current() else { return Provenance::default() };
        let recipe = run.recipe.of_picture(self.film.picture.unwrap_or(0) as u32);
        let (model, vae) = self.names_of_model();
        Provenance::of_run(model, vae, recipe, Vec::new())
    }

    /// The names of the open model and its replacement VAE.
    pub(crate) fn names_of_model(&self) -> (String, Option<String>) {
        self.shared.model_info().map_or_else(Default::default, |info| (info.name.clone(), info.vae.clone()))
    }
}

impl XyPlotState {
    /// The plot that can be exported: one that has ended.
    pub fn plot_to_export(&self) -> Option<&XyPlotRun> {
        let is_over = |made: &&XyPlotRun| made.phase != XyPlotPhase::Making && made.pictures.len() > 1;
        self.made.as_ref().filter(is_over)
    }
}

impl Runs {
    /// The run that can be exported: one that has ended and has steps.
    pub fn run_to_export(&self) -> Option<&Run> {
        self.current().filter(|run| !run.is_live() && !run.frames.is_empty())
    }
}
