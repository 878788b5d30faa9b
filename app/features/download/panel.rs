//! The download card: what a model is, then progress.

use egui::{Key, Margin, OpenUrl, RichText, TextEdit, Ui, vec2};

use crate::features::command::Command;
use crate::features::download::{DownloadCommand, DownloadPhase, Ending, Left, Running};
use crate::features::models::ModelCommand;
use crate::features::state::AppState;
use engine::format::human_size;

use crate::hub::{DownloadOffer, TransferStage};
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{
    bar_ui, card_ui, field_frame, link_ui, note_ui, outlined_button_ui, problem_ui, tip,
};

pub fn get_model_ui(ui: &mut Ui, state: &AppState, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    let mut requests = Vec::new();
    card_ui(ui, |ui| {
        let download = &state.download;
        match &download.phase {
            DownloadPhase::Idle => wish_ui(ui, &download.name, &mut requests),
            DownloadPhase::Asking { name, .. } => {
                name_ui(ui, name);
                note_ui(ui, "Asking the hub about it…", theme::small(), tokens.dim);
                buttons_ui(ui, None, Some(("Cancel", "Dismiss.", DownloadCommand::Cancel)), &mut requests);
            }
            DownloadPhase::Offered(offer) => offer_ui(ui, offer, &mut requests),
            DownloadPhase::Running(running) => running_ui(ui, running, &mut requests),
            DownloadPhase::Paused(left) => paused_ui(ui, left, &mut requests),
            DownloadPhase::Complete { name, source } => {
                name_ui(ui, name);
                note_ui(
                    ui,
                    "The download is complete, and every file was verified.",
                    theme::small(),
                    tokens.dim,
                );
                ui.horizontal(|ui| {
                    if outlined_button_ui(ui, "Open it", true).clicked() {
                        commands.push(Command::Model(ModelCommand::Open(source.clone())));
                        requests.push(DownloadCommand::Cancel);
                    }
                    if outlined_button_ui(ui, "Close", false).clicked() {
                        requests.push(DownloadCommand::Cancel);
                    }
                });
            }
        }
        if let Some(text) = &download.problem
            && problem_ui(ui, text, true)
        {
            requests.push(DownloadCommand::DismissProblem);
        }
    });
    commands.extend(requests.into_iter().map(Command::Download));
}

/// The initial state.
fn wish_ui(ui: &mut Ui, name: &str, requests: &mut Vec<DownloadCommand>) {
    let tokens = Tokens::of(ui);
    let sentence = "Shows the model, its licence and its size (about 2 GB) before anything is downloaded.";
    let button = outlined_button_ui(ui, "Get Stable Diffusion 1.5…", false);
    if tip(button, "Get Stable Diffusion 1.5", None, sentence).clicked() {
        requests.push(DownloadCommand::LookUpStandard);
    }
    let mut typed = name.to_owned();
    let id = ui.scope_id().with("repository");
    let is_focused = ui.memory(|memory| memory.has_focus(id));
    let field = TextEdit::singleline(&mut typed)
        .id(id)
        .font(theme::body())
        .text_color(tokens.text)
        .hint_text(RichText::new("or owner/name on Hugging Face").color(tokens.faint))
        .frame(field_frame(tokens, is_focused).inner_margin(Margin::symmetric(10, 6)))
        .desired_width(f32::INFINITY)
        .min_size(vec2(0.0, theme::FIELD_HEIGHT))
        .show(ui);
    let field = field.response.response.accessible_name("Model on Hugging Face");
    if field.changed() {
        requests.push(DownloadCommand::Name(typed.clone()));
    }
    if typed.trim().is_empty() {
        return;
    }
    let entered = field.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
    if outlined_button_ui(ui, "Look it up…", true).clicked() || entered {
        requests.push(DownloadCommand::LookUp);
    }
}

/// What the user should know before starting.
fn offer_ui(ui: &mut Ui, offer: &DownloadOffer, requests: &mut Vec<DownloadCommand>) {
    let tokens = Tokens::of(ui);
    let DownloadOffer { plan, done, free, page, .. } = offer;
    name_ui(ui, &plan.repository.to_string());
    note_ui(ui, format!("{}.", plan.description), theme::small(), tokens.dim);
    note_ui(ui, format!("Licence: {}.", plan.licence.name()), theme::small(), tokens.text);
    let came =
        if *done > 0 { format!(", of which {} are downloaded", human_size(*done)) } else { String::new() };
    let room = free.map_or_else(String::new, |free| format!("; {} free", human_size(free)));
    let files =
        if plan.files.len() == 1 { "one file".to_owned() } else { format!("{} files", plan.files.len()) };
    let size = format!("{} in {files}{came}{room}", human_size(plan.bytes()));
    note_ui(ui, size, theme::small(), tokens.dim);
    for (label, url) in [("Licence text", plan.licence.url()), ("Model page", Some(page.as_str()))] {
        if let Some(url) = url
            && link_ui(ui, label, theme::small(), tokens.dim, true).clicked()
        {
            ui.ctx().open_url(OpenUrl::new_tab(url));
        }
    }
    let start = ("Start", "Downloads it under this licence.", DownloadCommand::Start);
    let cancel = ("Cancel", "Dismiss.", DownloadCommand::Cancel);
    buttons_ui(ui, Some(start), Some(cancel), requests);
}

fn running_ui(ui: &mut Ui, running: &Running, requests: &mut Vec<DownloadCommand>) {
    let tokens = Tokens::of(ui);
    name_ui(ui, &running.left.plan.repository.to_string());
    bar_ui(ui, running.fraction(), tokens.accent);
    let progress = &running.progress;
    let amount = format!("{} of {}", human_size(progress.done), human_size(progress.total));
    let pace = running.pace.bytes_per_sec().map(|pace| format!(" · {}/s", human_size(pace as u64)));
    let left = running.secs_left().map(|secs| format!(" · {} left", time_in_words(secs)));
    let line = match (&progress.stage, running.ending) {
        (_, Some(Ending::Pause)) => "Pausing…".to_owned(),
        (_, Some(Ending::Cancel)) => "Cancelling…".to_owned(),
        (TransferStage::Verifying, _) => format!("{amount} · checking the part that is here"),
        (TransferStage::Waiting { cause, secs }, _) => {
            format!("{amount} · {cause}; retrying in {secs} s")
        }
        (TransferStage::Downloading, _) => {
            [amount, pace.unwrap_or_default(), left.unwrap_or_default()].concat()
        }
    };
    note_ui(ui, line, theme::small(), tokens.dim);
    let pause =
        ("Pause", "Keeps the downloaded part, even when the window is closed.", DownloadCommand::Pause);
    buttons_ui(ui, Some(pause), Some(CANCEL), requests);
}

fn paused_ui(ui: &mut Ui, left: &Left, requests: &mut Vec<DownloadCommand>) {
    let tokens = Tokens::of(ui);
    let total = left.plan.bytes();
    name_ui(ui, &left.plan.repository.to_string());
    bar_ui(ui, (left.done as f64 / total.max(1) as f64) as f32, tokens.dim);
    let line = format!("Paused · {} of {}", human_size(left.done), human_size(total));
    note_ui(ui, line, theme::small(), tokens.dim);
    let resume = ("Resume", "Resumes the download.", DownloadCommand::Start);
    buttons_ui(ui, Some(resume), Some(CANCEL), requests);
}

const CANCEL: Choice = ("Cancel", "Deletes the downloaded part.", DownloadCommand::Cancel);

/// Label, tooltip and command.
type Choice = (&'static str, &'static str, DownloadCommand);

fn buttons_ui(
    ui: &mut Ui,
    first: Option<Choice>,
    second: Option<Choice>,
    requests: &mut Vec<DownloadCommand>,
) {
    let is_strong = |command: &DownloadCommand| matches!(command, DownloadCommand::Start);
    ui.horizontal(|ui| {
        for (name, sentence, command) in first.into_iter().chain(second) {
            if tip(outlined_button_ui(ui, name, is_strong(&command)), name, None, sentence).clicked() {
                requests.push(command);
            }
        }
    });
}

fn name_ui(ui: &mut Ui, name: &str) {
    note_ui(ui, name, theme::heading(), Tokens::of(ui).text);
}

fn time_in_words(secs: u64) -> String {
    match secs {
        0..=59 => format!("{secs} s"),
        60..=5399 => format!("{} min", secs.div_ceil(60)),
        _ => format!("{:.1} h", secs as f64 / 3600.0),
    }
}
