//! The X/Y plot tab: what varies along each axis, and progress.

use egui::{Frame, Id, Margin, RichText, TextEdit, Ui};
use engine::recipe::xy_plot::Axis;

use crate::features::branches::Runs;
use crate::features::command::Command;
use crate::features::export::panel::export_sheet_ui;
use crate::features::state::{AppState, Shared};
use crate::features::xy_plot::{AxisField, XyPlotCommand, XyPlotPhase, XyPlotRun, XyPlotState};
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{
    SelectItem, bar_ui, field_frame, label_ui, menu_item_ui, note_ui, outlined_button_ui, problem_ui,
    select_ui, tip,
};

pub fn sheet_ui(ui: &mut Ui, state: &AppState, commands: &mut Vec<Command>) {
    let mut requests = Vec::new();
    let text = "Varies one recipe over one or two lists. Every combination becomes a picture in one \
        labelled grid.";
    note_ui(ui, text, theme::small(), Tokens::of(ui).dim);
    ui.add_space(theme::GAP_L);
    side_ui(ui, "X axis", false, Some(&state.xy_plot.across), &mut requests);
    ui.add_space(theme::GAP_M);
    side_ui(ui, "Y axis", true, state.xy_plot.down.as_ref(), &mut requests);
    ui.add_space(theme::GAP_L);
    match state.xy_plot.making() {
        Some(made) => making_ui(ui, made, &mut requests),
        None => make_ui(ui, &state.shared, &state.runs, &state.xy_plot, &mut requests),
    }
    if let Some(made) = state.xy_plot.made.as_ref().filter(|made| made.phase != XyPlotPhase::Making) {
        made_ui(ui, made, &mut requests);
        ui.add_space(theme::GAP_S);
        export_sheet_ui(ui, &state.export, &state.xy_plot, commands);
    }
    commands.extend(requests.into_iter().map(Command::XyPlot));
}

/// What varies, and its values.
fn side_ui(ui: &mut Ui, name: &str, down: bool, side: Option<&AxisField>, requests: &mut Vec<XyPlotCommand>) {
    label_ui(ui, name);
    let shown = side.map_or("Nothing", |side| label_of(side.name));
    let sentence = if down { "What varies from row to row." } else { "What varies from column to column." };
    let chooser = if down { "Y axis varies" } else { "X axis varies" };
    select_ui(ui, chooser, shown, sentence, ui.available_width(), |ui| {
        if down
            && menu_item_ui(
                ui,
                SelectItem { label: "Nothing", hint: "A single row.", chosen: side.is_none() },
            )
        {
            requests.push(XyPlotCommand::Down(None));
        }
        for name in Axis::NAMES {
            let chosen = side.is_some_and(|side| side.name == name);
            if menu_item_ui(ui, SelectItem { label: label_of(name), hint: "", chosen }) {
                requests.push(XyPlotCommand::Vary { down, name });
            }
        }
    });
    let Some(side) = side else { return };
    ui.add_space(theme::GAP_S);
    let mut values = side.values.clone();
    let id = Id::unique(("plot values", down));
    let focused = ui.memory(|memory| memory.has_focus(id));
    let tokens = Tokens::of(ui);
    field_frame(tokens, focused).show(ui, |ui| {
        let hint = RichText::new("Values, separated by commas").font(theme::body()).color(tokens.faint);
        let field = TextEdit::singleline(&mut values).id(id).hint_text(hint).font(theme::body());
        let inset = Frame::NONE.inner_margin(Margin::symmetric(10, 6));
        let response = ui.add(field.frame(inset).desired_width(f32::INFINITY));
        response.accessible_name(if down { "Y axis values" } else { "X axis values" });
    });
    if values != side.values {
        let side = AxisField { values, ..side.clone() };
        requests.push(if down { XyPlotCommand::Down(Some(side)) } else { XyPlotCommand::Across(side) });
    }
}

fn label_of(name: &str) -> &'static str {
    match name {
        "sampler" => "Sampler",
        "schedule" => "Schedule",
        "steps" => "Steps",
        "cfg" => "Guidance",
        "seed" => "Seed",
        "strength" => "Strength",
        "mix" => "Mix",
        "blend" => "Blend",
        _ => "Something else",
    }
}

fn make_ui(
    ui: &mut Ui,
    shared: &Shared,
    runs: &Runs,
    xy_plot: &XyPlotState,
    requests: &mut Vec<XyPlotCommand>,
) {
    if let Some(text) = xy_plot.sheet_problem(shared) {
        problem_ui(ui, &text, false);
        return;
    }
    let count = xy_plot.plot(&shared.recipe).map_or(0, |plot| plot.cells().count());
    let is_busy = runs.live().is_some();
    let name = "Make the plot";
    let sentence =
        if is_busy { "Starts after the current run." } else { "Makes its pictures one after another." };
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = theme::GAP_M;
        let button = ui.add_enabled_ui(!is_busy, |ui| outlined_button_ui(ui, name, true)).inner;
        if tip(button, name, None, sentence).clicked() {
            requests.push(XyPlotCommand::Make);
        }
        let pictures = if count == 1 { "1 picture".to_owned() } else { format!("{count} pictures") };
        note_ui(ui, pictures, theme::small(), Tokens::of(ui).dim);
    });
}

fn making_ui(ui: &mut Ui, made: &XyPlotRun, requests: &mut Vec<XyPlotCommand>) {
    let tokens = Tokens::of(ui);
    let (done, all) = (made.pictures.len(), made.cells.len());
    let doing = made.current_cell().map_or_else(String::new, |cell| made.plot.label(cell));
    note_ui(ui, format!("Picture {} of {all}: {doing}", done + 1), theme::small(), tokens.dim);
    ui.add_space(theme::GAP_S);
    bar_ui(ui, done as f32 / all.max(1) as f32, tokens.accent);
    ui.add_space(theme::GAP_M);
    let sentence = "Stops within a step. Finished pictures stay in the plot.";
    if tip(outlined_button_ui(ui, "Cancel the plot", false), "Cancel", None, sentence).clicked() {
        requests.push(XyPlotCommand::Cancel);
    }
}

fn made_ui(ui: &mut Ui, made: &XyPlotRun, requests: &mut Vec<XyPlotCommand>) {
    ui.add_space(theme::GAP_L);
    let (done, all) = (made.pictures.len(), made.cells.len());
    if made.phase == XyPlotPhase::Stopped {
        let text = format!("Stopped after {done} of {all} pictures.");
        note_ui(ui, text, theme::small(), Tokens::of(ui).dim);
        ui.add_space(theme::GAP_S);
    }
    let name = if made.is_shown { "Back to the picture" } else { "Show the plot" };
    if outlined_button_ui(ui, name, false).clicked() {
        requests.push(XyPlotCommand::Show(!made.is_shown));
    }
}
