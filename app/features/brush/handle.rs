//! What becomes of strokes: the paint of the next branch, and the masks in the recipe.

use std::sync::Arc;

use engine::diffusion::StepView;
use engine::images::Pixels;
use engine::losses::Mask;

use crate::features::brush::{BrushCommand, BrushEvent, BrushState, Drawing, DrawingOf, Tool};
use crate::features::effect::{Effect, Task};
use crate::features::errors::ErrorSlot;
use crate::features::state::AppState;

/// Under a mask that is drawn before there is a picture.
const BLANK: [u8; 3] = [128, 128, 128];
/// By which `[` and `]` change the size.
const SIZE_FACTOR: f32 = 1.25;

impl AppState {
    pub(crate) fn handle_brush(&mut self, command: BrushCommand) -> Vec<Effect> {
        match command {
            BrushCommand::Paint => return self.paint_step(),
            BrushCommand::DrawMask(guide) => self.draw_mask(guide),
            BrushCommand::MaskFromWord(guide) => {
                if let Some(mask) = self.mask_of_word() {
                    self.set_mask(guide, Some(mask));
                }
            }
            BrushCommand::LoadMask(guide) => return vec![Effect::Task(Task::PickMask { guide })],
            BrushCommand::Paste => return vec![Effect::Task(Task::PastePaint)],
            BrushCommand::Close => self.brush.is_open = false,
            BrushCommand::Choose(tool) => self.brush.tool = tool,
            BrushCommand::ToggleErase => self.brush.toggle_erase(),
            BrushCommand::Size(size) => {
                self.brush.size = size.clamp(*BrushState::SIZE.start(), *BrushState::SIZE.end());
            }
            BrushCommand::Softness(softness) => self.brush.softness = softness.clamp(0.0, 1.0),
            BrushCommand::Hold(hold) => self.brush.hold = hold.clamp(0.0, 1.0),
            BrushCommand::Color(color) => (self.brush.color, self.brush.tool) = (color, Tool::Color),
            command => {
                self.brush.draw(&command);
                self.keep_mask();
            }
        }
        Vec::new()
    }

    pub(crate) fn receive_brush(&mut self, event: BrushEvent) {
        match event {
            BrushEvent::Pasted(Ok(picture)) => self.paste_paint(picture),
            BrushEvent::Pasted(Err(text)) => self.shared.warning = Some(text),
            BrushEvent::MaskLoaded { guide, mask: Ok(mask) } => self.set_mask(guide, Some(mask)),
            BrushEvent::MaskLoaded { mask: Err(text), .. } => {
                self.shared.errors.set(ErrorSlot::Guidance, text);
            }
        }
    }

    /// Whether a picture that is dropped or pasted is painted.
    pub(crate) fn is_painting(&self) -> bool {
        self.brush.open().is_some_and(|drawing| matches!(drawing.of, DrawingOf::Paint { .. }))
    }

    pub(crate) fn paste_paint(&mut self, picture: Arc<Pixels>) {
        if let Some(drawing) = self.brush.drawing.as_mut().filter(|_| self.brush.is_open) {
            drawing.paste(picture);
        }
    }

    /// Opens the brush on the shown step. What was painted there before is still there.
    fn paint_step(&mut self) -> Vec<Effect> {
        let Some(step) = self.branch_step() else { return Vec::new() };
        self.leave(Some(step));
        let Some(run) = self.runs.current() else { return Vec::new() };
        let of = DrawingOf::Paint { job: run.job.id, step };
        if self.brush.drawing.as_ref().is_none_or(|drawing| drawing.of != of) {
            let Some(source) = self.picture_of_step(step) else { return Vec::new() };
            let size = (run.recipe.width, run.recipe.height);
            self.brush.drawing = Some(Drawing::new(of, source, size, None));
        }
        self.brush.open_with(of);
        self.hide_sheet();
        self.decode_held_step()
    }

    fn picture_of_step(&self, step: usize) -> Option<Arc<Pixels>> {
        let (pictures, _) = self.runs.current()?.pictures_of(step, StepView::Predicted)?;
        pictures.get(self.film.picture.unwrap_or(0)).or(pictures.first()).cloned()
    }

    /// Opens the brush on the mask of a guide, over the picture that is shown.
    fn draw_mask(&mut self, guide: usize) {
        let Some(mask) = self.shared.recipe.guides.get(guide).map(|guide| guide.mask.clone()) else { return };
        let (width, height) = (self.shared.recipe.width, self.shared.recipe.height);
        let blank = || Arc::new(Pixels::filled(width, height, BLANK));
        let shown = self.runs.current().and_then(|run| run.latest()).map(|(pictures, _)| pictures);
        let source = shown.and_then(|pictures| pictures.get(self.film.picture.unwrap_or(0)).cloned());
        let of = DrawingOf::Mask { guide };
        self.brush.drawing =
            Some(Drawing::new(of, source.unwrap_or_else(blank), (width, height), mask.as_ref()));
        self.brush.open_with(of);
        self.hide_sheet();
        // One of another size is resized.
        self.keep_mask();
    }

    /// The recipe has the mask as it is drawn, from the end of each stroke.
    fn keep_mask(&mut self) {
        let Some(drawing) = self.brush.open().filter(|drawing| !drawing.is_touched()) else { return };
        if let DrawingOf::Mask { guide } = drawing.of
            && let Some(guide) = self.shared.recipe.guides.get_mut(guide)
        {
            guide.mask = drawing.mask();
        }
    }

    fn set_mask(&mut self, guide: usize, mask: Option<Mask>) {
        self.shared.errors.clear(ErrorSlot::Guidance);
        if let Some(guide) = self.shared.recipe.guides.get_mut(guide) {
            guide.mask = mask;
        }
    }

    /// Where the chosen word looks, if its maps are at hand: from black, where it looks least, to white.
    pub fn mask_of_word(&self) -> Option<Mask> {
        let (of, tokens) = self.reading_of_word()?;
        let maps = &self.attention.maps.as_ref().filter(|known| known.of == of)?.maps;
        let map = maps.of(tokens);
        let (least, most) = map
            .iter()
            .fold((f32::MAX, f32::MIN), |(least, most), &weight| (least.min(weight), most.max(weight)));
        let span = if most > least { most - least } else { return None };
        let coverage: Vec<u8> =
            map.iter().map(|weight| ((weight - least) / span * 255.0).round() as u8).collect();
        Some(Mask::new(maps.width as u32, maps.height as u32, coverage))
    }

    /// Follows what changes elsewhere: a full decode of the painted step, a guide that is removed or moved, a run that is
    /// removed.
    pub(crate) fn follow_drawing(&mut self) {
        let Some(drawing) = &self.brush.drawing else { return };
        match drawing.of {
            DrawingOf::Paint { job, step } => {
                if self.runs.get(job).is_none() {
                    (self.brush.drawing, self.brush.is_open) = (None, false);
                } else if self.runs.current().is_none_or(|run| run.job.id != job)
                    || self.runs.branch_from != Some(step)
                {
                    self.brush.is_open = false;
                } else if let Some(source) = self.picture_of_step(step)
                    && !Arc::ptr_eq(&source, &drawing.source)
                    && !drawing.is_touched()
                    && let Some(drawing) = &mut self.brush.drawing
                {
                    drawing.replace_under(source);
                }
            }
            DrawingOf::Mask { guide } => {
                let kept = self.shared.recipe.guides.get(guide).map(|guide| &guide.mask);
                if !drawing.is_touched() && kept != Some(&drawing.mask()) {
                    (self.brush.drawing, self.brush.is_open) = (None, false);
                }
            }
        }
    }
}

impl BrushState {
    fn open_with(&mut self, of: DrawingOf) {
        self.is_open = true;
        if !Tool::of(of).contains(&self.tool) || matches!(of, DrawingOf::Mask { .. }) {
            self.tool = Tool::of(of)[0];
        }
    }

    fn toggle_erase(&mut self) {
        let Some(of) = self.open().map(|drawing| drawing.of) else { return };
        self.tool = if self.tool == Tool::Erase { Tool::of(of)[0] } else { Tool::Erase };
    }

    /// The size after `[` or `]`, by how often each was pressed.
    pub fn stepped_size(&self, steps: i32) -> f32 {
        self.size * SIZE_FACTOR.powi(steps)
    }

    fn draw(&mut self, command: &BrushCommand) {
        let Self { tool, color, size, softness, .. } = *self;
        let Some(drawing) = self.drawing.as_mut().filter(|_| self.is_open) else { return };
        match *command {
            BrushCommand::Pick(point) => self.color = drawing.color_at(point),
            BrushCommand::Touch(point) => drawing.touch(point, tool, color, size, softness),
            BrushCommand::Move(point) => drawing.extend(point),
            BrushCommand::Lift => drawing.lift(),
            BrushCommand::Undo => drawing.undo(),
            BrushCommand::Redo => drawing.redo(),
            BrushCommand::Invert => drawing.invert(),
            BrushCommand::Clear => drawing.clear(),
            _ => {}
        }
    }
}
