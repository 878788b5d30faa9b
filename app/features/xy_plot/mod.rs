//! The X/Y plot: its axes, and the plot that is being made.

mod handle;
pub(crate) mod panel;

use std::sync::Arc;

use engine::concepts::ConceptRef;
use engine::images::{Animation, Grid, Panel, Pixels, Provenance};
use engine::pipeline::animation_export::AnimationOptions;
use engine::recipe::Recipe;
use engine::recipe::xy_plot::{Axis, PlotCell, XyPlot};
use engine::session::{Job, JobId};

/// What varies along an axis, as it was chosen and typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AxisField {
    /// One of [`Axis::NAMES`].
    pub name: &'static str,
    /// Separated by commas.
    pub values: String,
}

/// The state of the tab.
#[derive(Clone, Debug)]
pub struct XyPlotState {
    pub across: AxisField,
    pub down: Option<AxisField>,
    /// The last plot that was requested.
    pub made: Option<XyPlotRun>,
}

/// A plot and its pictures so far.
#[derive(Clone)]
pub struct XyPlotRun {
    pub plot: XyPlot,
    pub cells: Vec<PlotCell>,
    /// The job of the cell that is being made.
    pub job: Job,
    /// The pictures of the finished cells.
    pub pictures: Vec<Arc<Pixels>>,
    /// The concepts that the prompts used.
    pub concepts: Vec<ConceptRef>,
    pub phase: XyPlotPhase,
    /// Shown on the canvas, until another picture is.
    pub is_shown: bool,
    grid: Grid,
    picture: Arc<Pixels>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XyPlotPhase {
    Making,
    Finished,
    /// Stopped early; finished pictures stay.
    Stopped,
}

impl AxisField {
    pub fn new(name: &'static str, recipe: &Recipe) -> Self {
        Self { name, values: usual_values(name, recipe) }
    }

    /// The axis as the command line writes it.
    pub fn written(&self) -> String {
        format!("{}={}", self.name, self.values)
    }
}

/// Common values to start from.
fn usual_values(name: &str, recipe: &Recipe) -> String {
    match name {
        "sampler" => "euler, heun, dpmpp-2m".to_owned(),
        "schedule" => "linspace, karras, exponential".to_owned(),
        "steps" => "5, 10, 20, 40".to_owned(),
        "seed" => {
            let seeds = (0..4).map(|more| recipe.seed.wrapping_add(more).to_string());
            seeds.collect::<Vec<_>>().join(", ")
        }
        "strength" => "0.3, 0.5, 0.7, 0.9".to_owned(),
        "mix" | "blend" => "0, 0.25, 0.5, 0.75, 1".to_owned(),
        _ => "1, 4, 7.5, 12".to_owned(),
    }
}

impl Default for XyPlotState {
    fn default() -> Self {
        Self { across: AxisField::new("cfg", &Recipe::default()), down: None, made: None }
    }
}

impl XyPlotState {
    /// The plot over a recipe, or why it cannot be made.
    pub fn plot(&self, recipe: &Recipe) -> Result<XyPlot, String> {
        let read = |side: &AxisField| side.written().parse::<Axis>().map_err(|error| error.to_string());
        let sides = std::iter::once(&self.across).chain(&self.down).map(read).collect::<Result<_, _>>()?;
        // Each cell is sampled from the start.
        let recipe = Recipe { batch: 1, branch: None, ..recipe.clone() };
        XyPlot::new(recipe, sides).map_err(|error| error.to_string())
    }

    /// The plot that is being made.
    pub fn making(&self) -> Option<&XyPlotRun> {
        self.made.as_ref().filter(|made| made.phase == XyPlotPhase::Making)
    }

    pub fn making_mut(&mut self, job: JobId) -> Option<&mut XyPlotRun> {
        self.made.as_mut().filter(|made| made.phase == XyPlotPhase::Making && made.job.id == job)
    }

    /// The plot's picture, if the canvas shows it.
    pub fn on_canvas(&self) -> Option<&Arc<Pixels>> {
        self.made.as_ref().filter(|made| made.is_shown).map(XyPlotRun::picture)
    }
}

impl XyPlotRun {
    pub fn new(plot: XyPlot, job: Job) -> Self {
        let cells: Vec<PlotCell> = plot.cells().collect();
        let (columns, rows) = (plot.columns(), plot.rows());
        let size = size_on_canvas((plot.recipe.width, plot.recipe.height), columns.len(), rows.len());
        let grid = Grid::new(&columns, &rows, size);
        let picture = Arc::new(grid.picture().clone());
        let (pictures, concepts, phase) = (Vec::new(), Vec::new(), XyPlotPhase::Making);
        Self { plot, cells, job, pictures, concepts, phase, is_shown: true, grid, picture }
    }

    /// The cell that is being made.
    pub fn current_cell(&self) -> Option<&PlotCell> {
        self.cells.get(self.pictures.len())
    }

    /// Adds the picture of the current cell. True if there is another cell to make.
    pub fn put(&mut self, picture: Arc<Pixels>) -> bool {
        let Some(cell) = self.cells.get(self.pictures.len()) else { return false };
        self.grid.put(cell.column as u32, cell.row as u32, &picture);
        self.picture = Arc::new(self.grid.picture().clone());
        self.pictures.push(picture);
        self.pictures.len() < self.cells.len()
    }

    /// The provenance that its file stores, except the model.
    pub fn provenance(&self, model: &str, vae: Option<&str>) -> Provenance {
        let vary = self.plot.axes().cloned().collect();
        let (recipe, concepts) = (self.plot.recipe.clone(), self.concepts.clone());
        Provenance { vary, ..Provenance::of_run(model, vae.map(str::to_owned), recipe, concepts) }
    }

    /// The plot so far, at the size of the canvas.
    pub fn picture(&self) -> &Arc<Pixels> {
        &self.picture
    }

    /// The whole plot, with its pictures at full size.
    pub fn whole(&self) -> Pixels {
        let size = (self.plot.recipe.width, self.plot.recipe.height);
        let mut grid = Grid::new(&self.plot.columns(), &self.plot.rows(), size);
        for (cell, picture) in self.cells.iter().zip(&self.pictures) {
            grid.put(cell.column as u32, cell.row as u32, picture);
        }
        grid.picture().clone()
    }
}

/// The pictures of a plot one after the other, row by row, as an animation.
pub fn strip(
    plot: &XyPlot,
    pictures: &[Arc<Pixels>],
    options: &AnimationOptions,
    provenance: Provenance,
) -> Animation {
    let frames = plot.cells().zip(pictures).map(|(cell, picture)| {
        let caption = options.has_captions.then(|| [plot.label(&cell), String::new()]);
        vec![Panel { picture: Arc::clone(picture), caption }]
    });
    Animation {
        frames: frames.collect(),
        size: (plot.recipe.width, plot.recipe.height),
        fps: options.fps,
        playback: options.playback,
        provenance,
    }
}

/// No larger than a canvas can show, so that each new picture appears at once.
fn size_on_canvas((width, height): (u32, u32), columns: usize, rows: usize) -> (u32, u32) {
    const CANVAS: f32 = 2048.0;
    let (across, down) = (width as f32 * columns as f32, height as f32 * rows as f32);
    let scale = (CANVAS / across.max(down)).min(1.0);
    ((width as f32 * scale).round().max(1.0) as u32, (height as f32 * scale).round().max(1.0) as u32)
}

impl std::fmt::Debug for XyPlotRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Made({} of {}, {:?})", self.pictures.len(), self.cells.len(), self.phase)
    }
}

/// A request about the X/Y plot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XyPlotCommand {
    /// Changes what varies along an axis, with common values to start from.
    Vary {
        down: bool,
        /// One of [`Axis::NAMES`].
        name: &'static str,
    },
    Across(AxisField),
    /// `None` makes a single row.
    Down(Option<AxisField>),
    Make,
    Cancel,
    /// Shows the plot on the canvas, or the run's picture.
    Show(bool),
}
