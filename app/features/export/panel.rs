//! The export card: format, contents, speed, then progress.

use egui::{Popup, PopupCloseBehavior, RectAlign, Response, RichText, Ui, vec2};
use engine::images::{AnimationFormat, FPS, Playback};
use engine::pipeline::animation_export::{AnimationLayout, AnimationOptions};

use crate::features::branches::Runs;
use crate::features::command::Command;
use crate::features::export::{ExportCommand, ExportPhase, ExportState};
use crate::features::xy_plot::XyPlotState;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{
    Number, NumberLook, SelectItem, bar_ui, label_ui, menu_item_ui, note_ui, number_ui, outlined_button_ui,
    problem_ui, select_ui, text_button_ui, tip,
};

const WIDTH: f32 = 300.0;

/// The button in the filmstrip's header, and the card over it.
pub fn export_ui(ui: &mut Ui, runs: &Runs, export: &ExportState, commands: &mut Vec<Command>) {
    if runs.run_to_export().is_some() || export.phase.stop().is_some() {
        let sentence = "Exports the steps as a GIF, a video or pictures.";
        opener_ui(text_button_ui(ui, None, "Export…", None), sentence, false, export, commands);
    }
}

/// The export button and card of the X/Y plot.
pub fn export_sheet_ui(
    ui: &mut Ui,
    export: &ExportState,
    xy_plot: &XyPlotState,
    commands: &mut Vec<Command>,
) {
    if xy_plot.plot_to_export().is_some() {
        let sentence = "Exports its pictures one after the other as a GIF, a video or numbered files.";
        opener_ui(outlined_button_ui(ui, "Export animation…", false), sentence, true, export, commands);
    }
}

/// The card opens above the button that was pressed.
fn opener_ui(
    button: Response,
    sentence: &str,
    of_sheet: bool,
    export: &ExportState,
    commands: &mut Vec<Command>,
) {
    let is_open = export.is_open && export.is_of_plot == of_sheet;
    let button = if is_open { button } else { tip(button, "Export", None, sentence) };
    if button.clicked() {
        let show = if of_sheet { ExportCommand::ShowOfSheet } else { ExportCommand::Show };
        commands.push(Command::Export(show(!is_open)));
    }
    if is_open {
        card_ui(&button, export, commands);
    }
}

fn card_ui(button: &Response, export: &ExportState, commands: &mut Vec<Command>) {
    let mut is_open = true;
    let mut requests = Vec::new();
    Popup::from_response(button)
        .open_bool(&mut is_open)
        .align(RectAlign::TOP_START)
        .gap(6.0)
        .width(WIDTH)
        .close_behavior(PopupCloseBehavior::IgnoreClicks)
        .show(|ui| {
            ui.set_width(WIDTH);
            ui.spacing_mut().item_spacing.y = theme::GAP_S + 2.0;
            let is_plot = export.is_of_plot;
            let head = if is_plot { "Export the X/Y plot" } else { "Export the steps" };
            ui.label(RichText::new(head).font(theme::heading()).color(Tokens::of(ui).text));
            match export.phase.stop() {
                Some(_) => progress_ui(ui, &export.phase, &mut requests),
                None => choices_ui(ui, export, is_plot, &mut requests),
            }
        });
    if !is_open {
        requests.push(ExportCommand::Show(false));
    }
    commands.extend(requests.into_iter().map(Command::Export));
}

fn choices_ui(ui: &mut Ui, export: &ExportState, is_plot: bool, requests: &mut Vec<ExportCommand>) {
    let (mut format, mut options) = (export.format, export.options);
    row_ui(ui, "Format", |ui, width| {
        select_ui(ui, "Animation format", format.label(), format.hint(), width, |ui| {
            for one in AnimationFormat::ALL {
                let item = SelectItem { label: one.label(), hint: one.hint(), chosen: one == format };
                if menu_item_ui(ui, item) {
                    format = one;
                }
            }
        });
    });
    if !is_plot {
        choice_ui(
            ui,
            "Shows",
            &AnimationLayout::ALL.map(|it| (it, it.label(), it.hint())),
            &mut options.view,
        );
        choice_ui(ui, "Steps", &STEPS, &mut options.is_full);
    }
    choice_ui(ui, "Captions", if is_plot { &PLOT_CAPTIONS } else { &CAPTIONS }, &mut options.has_captions);
    if matches!(format, AnimationFormat::Gif | AnimationFormat::Apng | AnimationFormat::Mp4) {
        pace_ui(ui, if is_plot { "pictures per second" } else { "steps per second" }, &mut options);
        choice_ui(ui, "Plays", &Playback::ALL.map(|it| (it, it.label(), it.hint())), &mut options.playback);
    }
    if (format, options) != (export.format, export.options) {
        requests.push(ExportCommand::Choose(format, options));
    }
    match &export.phase {
        ExportPhase::Failed { text } => {
            problem_ui(ui, text, false);
        }
        ExportPhase::Done { path } => {
            let text = format!("Saved: {}", path.display());
            note_ui(ui, text, theme::small(), Tokens::of(ui).dim);
        }
        _ => {}
    }
    ui.horizontal(|ui| {
        let save = outlined_button_ui(ui, "Save as…", true);
        if tip(save, "Save as", None, "Asks for a file name, then writes the file while you keep working.")
            .clicked()
        {
            requests.push(ExportCommand::Start);
        }
        if matches!(export.phase, ExportPhase::Done { .. })
            && outlined_button_ui(ui, "Open folder", false).clicked()
        {
            requests.push(ExportCommand::OpenFolder);
        }
        if outlined_button_ui(ui, "Close", false).clicked() {
            requests.push(ExportCommand::Show(false));
        }
    });
}

const STEPS: [(bool, &str, &str); 2] = [
    (false, "As previews", "Quick, and a little blurry."),
    (true, "Decoded", "Every step as sharp as the final picture. Decoding takes time."),
];
const CAPTIONS: [(bool, &str, &str); 2] = [
    (false, "None", "Pictures without captions."),
    (true, "Step and σ", "A caption strip under each picture."),
];
const PLOT_CAPTIONS: [(bool, &str, &str); 2] =
    [(false, "None", "Pictures without captions."), (true, "Values", "A caption strip under each picture.")];

fn progress_ui(ui: &mut Ui, phase: &ExportPhase, requests: &mut Vec<ExportCommand>) {
    let (doing, fraction) = match phase {
        ExportPhase::Cutting { fraction, .. } => ("Rendering every step…", *fraction),
        ExportPhase::Writing { fraction, .. } => ("Writing the file…", *fraction),
        _ => return,
    };
    let tokens = Tokens::of(ui);
    bar_ui(ui, fraction, tokens.accent);
    note_ui(ui, doing, theme::small(), tokens.dim);
    let cancel = outlined_button_ui(ui, "Cancel", false);
    if tip(cancel, "Cancel", None, "Cancels and removes the partial file.").clicked() {
        requests.push(ExportCommand::Cancel);
    }
}

fn pace_ui(ui: &mut Ui, unit: &str, options: &mut AnimationOptions) {
    row_ui(ui, "Speed", |ui, _| {
        let limits = f64::from(*FPS.start())..=f64::from(*FPS.end());
        let number =
            Number { name: "Steps per second", limits, decimals: 0, step: 1.0, look: NumberLook::default() };
        let mut value = f64::from(options.fps);
        number_ui(ui, &number, &mut value);
        options.fps = value as u32;
        note_ui(ui, unit, theme::small(), Tokens::of(ui).dim);
    });
}

/// A choice among a few, each with a hint.
fn choice_ui<T: Copy + PartialEq>(ui: &mut Ui, name: &str, choices: &[(T, &str, &str)], chosen: &mut T) {
    row_ui(ui, name, |ui, width| {
        let shown = choices.iter().find(|(value, ..)| value == chosen);
        let (label, hint) = shown.map_or(("", ""), |(_, label, hint)| (*label, *hint));
        select_ui(ui, name, label, hint, width, |ui| {
            for (value, label, hint) in choices {
                if menu_item_ui(ui, SelectItem { label, hint, chosen: value == chosen }) {
                    *chosen = *value;
                }
            }
        });
    });
}

fn row_ui(ui: &mut Ui, name: &str, field: impl FnOnce(&mut Ui, f32)) {
    const NAME_WIDTH: f32 = 78.0;
    ui.horizontal(|ui| {
        ui.allocate_ui(vec2(NAME_WIDTH, theme::FIELD_HEIGHT), |ui| {
            ui.set_min_width(NAME_WIDTH);
            label_ui(ui, name);
        });
        field(ui, ui.available_width());
    });
}
