//! The tabs of the right panel.

use egui::Ui;
use serde::{Deserialize, Serialize};

use super::SettingsCommand;
use crate::features::command::Command;
use crate::ui::theme;

/// A tab of the right panel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tab {
    Schedule,
    #[serde(alias = "look")]
    Inspect,
    Branches,
    Map,
    Guides,
    #[serde(alias = "sheet")]
    XyPlot,
    Words,
    Concepts,
    #[default]
    Models,
    Lesson,
}

impl Tab {
    pub const ALL: [Self; 10] = [
        Self::Schedule,
        Self::Inspect,
        Self::Branches,
        Self::Map,
        Self::Guides,
        Self::XyPlot,
        Self::Words,
        Self::Concepts,
        Self::Models,
        Self::Lesson,
    ];

    /// Name in the window.
    pub fn label(self) -> &'static str {
        match self {
            Self::Schedule => "Schedule",
            Self::Inspect => "Inspect",
            Self::Branches => "Branches",
            Self::Map => "Map",
            Self::Guides => "Guides",
            Self::XyPlot => "X/Y plot",
            Self::Words => "Words",
            Self::Concepts => "Concepts",
            Self::Models => "Models",
            Self::Lesson => "Lesson",
        }
    }

    pub fn hint(self) -> &'static str {
        match self {
            Self::Schedule => "The noise level at each step.",
            Self::Inspect => "Inspects latents: channels, added noise, and the autoencoder's round trip.",
            Self::Branches => "The runs of this session and their branches.",
            Self::Map => "The runs of this session as paths from noise to a picture.",
            Self::Guides => "Losses that steer the picture besides the prompt.",
            Self::XyPlot => "Compares one recipe over lists of values, in one labelled picture.",
            Self::Words => "Inspects and edits the words of the prompt.",
            Self::Concepts => "Words that were taught to a model (textual inversion).",
            Self::Models => "The models on this machine.",
            Self::Lesson => "How it all works, in nine pages, each with something to try.",
        }
    }
}

/// True where the side panel has to be a drawer.
pub(crate) fn is_narrow(ui: &Ui) -> bool {
    ui.ctx().content_rect().width() < theme::THREE_COLUMNS_WIDTH
}

/// Brings a tab into sight, wherever it shows here.
pub(crate) fn open_tab(ui: &Ui, tab: Tab) -> Command {
    Command::Settings(SettingsCommand::ShowTab { tab: Some(tab), drawer: is_narrow(ui) })
}
