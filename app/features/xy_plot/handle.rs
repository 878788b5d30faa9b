//! Makes an X/Y plot: one job per cell, one after the other.

use std::sync::Arc;

use engine::pipeline::StopFlag;
use engine::session::{Job, JobEvent, JobId, Request};

use crate::features::effect::{Effect, PlotToSave};
use crate::features::errors::ErrorSlot;
use crate::features::state::{AppState, Model, Shared};
use crate::features::xy_plot::{AxisField, XyPlotCommand, XyPlotPhase, XyPlotRun, XyPlotState};

impl AppState {
    pub(crate) fn handle_sheet(&mut self, command: XyPlotCommand) -> Vec<Effect> {
        match command {
            XyPlotCommand::Across(side) => self.xy_plot.across = side,
            XyPlotCommand::Down(side) => self.xy_plot.down = side,
            XyPlotCommand::Vary { down: false, name } => {
                self.xy_plot.across = AxisField::new(name, &self.shared.recipe);
            }
            XyPlotCommand::Vary { down: true, name } => {
                self.xy_plot.down = Some(AxisField::new(name, &self.shared.recipe));
            }
            XyPlotCommand::Make => return self.make_sheet(),
            XyPlotCommand::Cancel => {
                if let Some(making) = self.xy_plot.making() {
                    making.job.stop.raise();
                }
            }
            XyPlotCommand::Show(is_shown) => {
                if let Some(made) = &mut self.xy_plot.made {
                    made.is_shown = is_shown;
                }
            }
        }
        Vec::new()
    }

    /// True while the engine has a run or a plot to make.
    pub fn is_making(&self) -> bool {
        self.runs.live().is_some() || self.xy_plot.making().is_some()
    }

    pub(crate) fn make_sheet(&mut self) -> Vec<Effect> {
        let Ok(plot) = self.xy_plot.plot(&self.shared.recipe) else { return Vec::new() };
        if self.is_making() || self.xy_plot.sheet_problem(&self.shared).is_some() {
            return Vec::new();
        }
        let job = Job { id: self.runs.next_id(), stop: StopFlag::default() };
        self.shared.errors.clear(ErrorSlot::Run);
        (self.film.pinned, self.film.play) = (None, None);
        (self.film.compared, self.film.beside) = (None, None);
        self.xy_plot.made = Some(XyPlotRun::new(plot, job));
        self.make_cell()
    }

    pub(crate) fn make_cell(&self) -> Vec<Effect> {
        let Some(made) = self.xy_plot.making() else { return Vec::new() };
        let Some(cell) = made.current_cell() else { return Vec::new() };
        let (job, recipe, concepts) = (made.job.clone(), cell.recipe.clone(), self.concepts.set.clone());
        vec![Effect::Send(Request::Generate {
            job,
            recipe: Box::new(recipe),
            concepts,
            recorded_by: None,
            // The steps of a cell are not shown.
            keeps_run: false,
        })]
    }

    /// Handles an event of a cell; `None` if the job does not belong to a plot.
    pub(crate) fn receive_cell(&mut self, id: JobId, event: &JobEvent) -> Option<Vec<Effect>> {
        let made = self.xy_plot.making_mut(id)?;
        match event {
            JobEvent::Finished { pictures, concepts, .. } => {
                made.concepts.clone_from(concepts);
                let is_more = pictures.first().is_some_and(|picture| made.put(Arc::clone(picture)));
                if is_more && !made.job.stop.is_raised() {
                    made.job.id = self.runs.next_id();
                    return Some(self.make_cell());
                }
            }
            JobEvent::Stopped => {}
            JobEvent::Failed { text } => self.shared.errors.set(ErrorSlot::Run, text),
            _ => return Some(Vec::new()),
        }
        Some(self.end_sheet())
    }

    /// Ends the plot with the pictures it has, and starts what was queued.
    pub(crate) fn end_sheet(&mut self) -> Vec<Effect> {
        let (model, vae) = self.names_of_model();
        let Some(made) = &mut self.xy_plot.made else { return Vec::new() };
        made.phase = if made.current_cell().is_none() { XyPlotPhase::Finished } else { XyPlotPhase::Stopped };
        let mut effects = Vec::new();
        if !made.pictures.is_empty() {
            let folder = self.shared.settings.output_folder();
            effects.push(Effect::SavePlot(PlotToSave { model, vae, folder, made: Box::new(made.clone()) }));
        }
        let queued = self.runs.queued.take();
        effects.extend(queued.map_or_else(Vec::new, |queued_run| self.start(queued_run)));
        effects
    }

    /// Hides the plot from the canvas.
    pub(crate) fn hide_sheet(&mut self) {
        if let Some(made) = &mut self.xy_plot.made {
            made.is_shown = false;
        }
    }
}

impl XyPlotState {
    /// Why a plot cannot be made now.
    pub fn sheet_problem(&self, shared: &Shared) -> Option<String> {
        if let Err(text) = self.plot(&shared.recipe) {
            return Some(text);
        }
        let is_closed = matches!(shared.model, Model::Missing);
        is_closed.then(|| "No model is open: choose one at the top of the window".to_owned())
    }
}
