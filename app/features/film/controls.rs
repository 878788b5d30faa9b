//! The controls of the filmstrip: play, loop, back and forth, speed, and comparing two steps.

use egui::{CornerRadius, CursorIcon, Response, RichText, Role, Sense, Ui, Vec2, WidgetInfo, vec2};

use crate::features::branches::Runs;
use crate::features::canvas::ViewCommand;
use crate::features::command::Command;
use crate::features::film::{FilmCommand, FilmState, PlaybackSettings};
use crate::features::state::Shared;
use crate::ui::keys;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{Icon, Number, NumberLook, focus_ring, number_ui, text_button_ui, tip};

pub fn film_controls_ui(
    ui: &mut Ui,
    shared: &Shared,
    film: &FilmState,
    is_tight: bool,
    commands: &mut Vec<Command>,
) {
    let now = ui.input(|input| input.time);
    let (icon, name) = if film.play.is_some() { (Icon::Pause, "Pause") } else { (Icon::Play, "Play") };
    let key = Some(keys::PLAY_KEY);
    let response = text_button_ui(ui, Some(icon), name, key.filter(|_| !is_tight));
    let sentence = "Plays the steps one after another. Arrow keys move step by step; drag along the filmstrip \
        to scrub.";
    if tip(response, name, key, sentence).clicked() {
        commands.push(Command::Film(FilmCommand::TogglePlay { now }));
    }
    let mut how = shared.settings.playing;
    toggle_ui(ui, Icon::Loop, "Loop", "Starts again at the end.", &mut how.loops);
    toggle_ui(ui, Icon::PingPong, "Back and forth", "Plays forwards, then backwards.", &mut how.ping_pong);
    let number = Number {
        name: "Steps per second",
        limits: PlaybackSettings::FPS,
        decimals: 0,
        step: 1.0,
        look: NumberLook { size: vec2(32.0, 20.0), ..NumberLook::default() },
    };
    let response = number_ui(ui, &number, &mut how.fps);
    tip(response, "Steps per second", None, "Playback speed: 1 to 30 steps per second.");
    ui.add_space(-2.0);
    ui.label(RichText::new("/s").font(theme::mono()).color(Tokens::of(ui).faint));
    if how != shared.settings.playing {
        commands.push(Command::View(ViewCommand::Play { how, now }));
    }
}

/// An icon button that stays highlighted while it is on.
fn toggle_ui(ui: &mut Ui, icon: Icon, name: &str, sentence: &str, is_on: &mut bool) -> Response {
    let tokens = Tokens::of(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(22.0), Sense::click());
    if response.clicked() {
        *is_on = !*is_on;
    }
    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, ui.is_enabled(), *is_on, name));
    if *is_on || response.hovered() {
        let fill = if *is_on { tokens.accent.gamma_multiply(0.18) } else { tokens.line.gamma_multiply(0.6) };
        ui.painter().rect_filled(rect, CornerRadius::same(theme::CORNER_TOOL), fill);
    }
    let ink = match (*is_on, response.hovered()) {
        (true, _) => tokens.accent,
        (false, true) => tokens.text,
        (false, false) => tokens.dim,
    };
    icon.paint_sized(ui.painter(), rect, 14.0, ink);
    focus_ring(ui, &response, theme::CORNER_TOOL);
    tip(response.on_hover_cursor(CursorIcon::PointingHand), name, None, sentence)
}

/// Releases the selected step, or compares it with another.
pub fn compare_ui(ui: &mut Ui, runs: &Runs, film: &FilmState, is_tight: bool, commands: &mut Vec<Command>) {
    if film.compared.is_some() {
        let key = Some(keys::STOP_KEY).filter(|_| !is_tight);
        let response = text_button_ui(ui, Some(Icon::Compare), "Stop comparing", key);
        if response.clicked() {
            commands.push(Command::Film(FilmCommand::Pin(None)));
        }
        return;
    }
    let key = Some(keys::COMPARE_KEY);
    let sentence = "Compares two steps with a draggable divider. Then click the other step.";
    let response = text_button_ui(ui, Some(Icon::Compare), "Compare", key.filter(|_| !is_tight));
    if tip(response, "Compare", key, sentence).clicked() {
        commands.push(Command::View(ViewCommand::Compare(film.other_step(runs))));
    }
    if let Some(step) = film.pinned {
        let name = format!("Release step {}", step + 1);
        let text = if is_tight { "Release" } else { &name };
        let key = Some(keys::STOP_KEY);
        let response = text_button_ui(ui, None, text, key.filter(|_| !is_tight));
        if tip(response, &name, key, "The canvas follows the run again.").clicked() {
            commands.push(Command::Film(FilmCommand::Pin(None)));
        }
    }
}
