//! The command line: every command with its arguments.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::bench::BenchArgs;
use super::convert::ConvertArgs;
use super::devices::DevicesArgs;
use super::get::GetArgs;
use super::inspect::InspectArgs;
use super::models::ModelsArgs;
use super::render_args::RenderArgs;
use super::tokens::TokensArgs;
use super::words::WordsArgs;
use super::xy_plot::XyPlotArgs;

/// A studio for Stable Diffusion that shows its work. Without a command it opens its window.
#[derive(Debug, Parser)]
#[command(
    name = "tidepool",
    version = env!("TIDEPOOL_VERSION"),
    max_term_width = 100,
    // If an option is given twice, the later one counts, so that a shell alias can be overridden.
    args_override_self = true,
    args_conflicts_with_subcommands = true
)]
pub struct Args {
    /// Pictures, models, concepts or folders to open in the window, as if dropped on it
    pub files: Vec<PathBuf>,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make pictures from a prompt
    Render(Box<RenderArgs>),
    /// Compare values of one or two settings: every combination in one labelled picture
    #[command(alias = "sheet")]
    XyPlot(Box<XyPlotArgs>),
    /// Show the tokens of a prompt
    Tokens(TokensArgs),
    /// List the words nearest to a word's embedding, edited or not, or save the embedding as a concept
    Words(WordsArgs),
    /// Show what a file is; for a picture, its recipe
    Inspect(InspectArgs),
    /// List the models on this machine: those in the window's folders, or those in one folder
    Models(ModelsArgs),
    /// Download a model from the Hugging Face Hub
    Get(GetArgs),
    /// Convert pickles (.ckpt, .pt, .bin) to .safetensors files beside them
    Convert(ConvertArgs),
    /// List the graphics adapters, what each supports, and which one is used and why
    Devices(DevicesArgs),
    /// Measure how fast this machine makes pictures
    Bench(BenchArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
