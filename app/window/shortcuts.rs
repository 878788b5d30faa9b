//! Keyboard shortcuts that work everywhere, unless a field needs the key.

use egui::{Context, InputState, Key, KeyboardShortcut, Modifiers};

use crate::features::branches::BranchCommand;
use crate::features::brush::BrushCommand;
use crate::features::canvas::ViewCommand;
use crate::features::command::Command;
use crate::features::drop::DropCommand;
use crate::features::film::FilmCommand;
use crate::features::settings::SettingsCommand;
use crate::features::start_image::StartImageCommand;
use crate::features::state::AppState;
use crate::features::words::WordsCommand;
use crate::features::xy_plot::XyPlotCommand;

const GENERATE: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::Enter);
const CHOOSE_IMAGE: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::O);
const PASTE_IMAGE: KeyboardShortcut =
    KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::V);

/// Handles the keys that apply to the whole window. Called before the panels are drawn, so
/// that no field sees them.
pub fn take(ctx: &Context, state: &AppState, commands: &mut Vec<Command>) {
    let typing = ctx.text_edit_focused();
    // Sliders and buttons use the arrows and Space themselves.
    let focused = ctx.memory(|memory| memory.focused().is_some());
    let popup = egui::Popup::is_any_open(ctx);
    ctx.input_mut(|input| {
        if input.consume_shortcut(&GENERATE) {
            commands.push(Command::Generate);
        }
        if input.consume_shortcut(&CHOOSE_IMAGE) {
            commands.push(Command::StartImage(StartImageCommand::Choose));
        }
        if input.consume_shortcut(&PASTE_IMAGE) {
            commands.push(Command::StartImage(StartImageCommand::Paste));
        }
        if !popup && input.key_pressed(Key::Escape) {
            if state.dropped.is_some() {
                commands.push(Command::Drop(DropCommand::Dismiss));
            } else if state.brush.open().is_some() {
                commands.push(Command::Brush(BrushCommand::Close));
            } else if state.runs.live().is_some() {
                input.consume_key(Modifiers::NONE, Key::Escape);
                commands.push(Command::Stop);
            } else if state.xy_plot.making().is_some() {
                input.consume_key(Modifiers::NONE, Key::Escape);
                commands.push(Command::XyPlot(XyPlotCommand::Cancel));
            } else if state.runs.branch_from.is_some() {
                commands.push(Command::Branch(BranchCommand::Stay));
            } else if state.film.pinned.is_some() || state.film.play.is_some() {
                commands.push(Command::Film(FilmCommand::Pin(None)));
            }
        }
        if typing || popup {
            return;
        }
        if state.brush.open().is_some() {
            take_brush_keys(input, state, commands);
        }
        // Text fields have their own undo; this one is for edited words.
        if input.consume_key(Modifiers::COMMAND | Modifiers::SHIFT, Key::Z) {
            commands.push(Command::Words(WordsCommand::Redo));
        } else if input.consume_key(Modifiers::COMMAND, Key::Z) {
            commands.push(Command::Words(WordsCommand::Undo));
        }
        if input.consume_key(Modifiers::NONE, Key::F) {
            commands.push(Command::Settings(SettingsCommand::FoldPanels));
        }
        if input.consume_key(Modifiers::NONE, Key::C) {
            commands.push(match state.film.compared {
                Some(_) => Command::Film(FilmCommand::Pin(None)),
                None => Command::View(ViewCommand::Compare(state.film.other_step(&state.runs))),
            });
        }
        if focused {
            return;
        }
        if input.consume_key(Modifiers::NONE, Key::B) {
            commands.push(Command::Branch(BranchCommand::Leave(None)));
        }
        if input.consume_key(Modifiers::NONE, Key::P) {
            commands.push(Command::Brush(BrushCommand::Paint));
        }
        if input.consume_key(Modifiers::NONE, Key::Space) {
            commands.push(Command::Film(FilmCommand::TogglePlay { now: input.time }));
        }
        let right = input.count_and_consume_key(Modifiers::NONE, Key::ArrowRight) as isize;
        let left = input.count_and_consume_key(Modifiers::NONE, Key::ArrowLeft) as isize;
        if right != left {
            commands.push(Command::Film(FilmCommand::StepBy(right - left)));
        }
    });
}

/// The keys of the brush, while it is open.
fn take_brush_keys(input: &mut InputState, state: &AppState, commands: &mut Vec<Command>) {
    let mut push = |command| commands.push(Command::Brush(command));
    if input.consume_key(Modifiers::COMMAND | Modifiers::SHIFT, Key::Z) {
        push(BrushCommand::Redo);
    } else if input.consume_key(Modifiers::COMMAND, Key::Z) {
        push(BrushCommand::Undo);
    }
    let larger = input.count_and_consume_key(Modifiers::NONE, Key::CloseBracket) as i32;
    let smaller = input.count_and_consume_key(Modifiers::NONE, Key::OpenBracket) as i32;
    if larger != smaller {
        push(BrushCommand::Size(state.brush.stepped_size(larger - smaller)));
    }
    for key in [Key::X, Key::E] {
        if input.consume_key(Modifiers::NONE, key) {
            push(BrushCommand::ToggleErase);
        }
    }
}
