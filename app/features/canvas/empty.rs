//! The canvas before the first picture: it explains, and offers prompts that work well.

use egui::text::LayoutJob;
use egui::{
    Align, Align2, CornerRadius, CursorIcon, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2,
    vec2,
};

use engine::checkpoint::ModelSource;

use crate::features::branches::Runs;
use crate::features::command::Command;
use crate::features::state::{Model, Shared};
use crate::ui::keys;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::logo_ui;

/// Prompts that the built-in model draws well whatever the seed.
pub const SUGGESTIONS: [&str; 3] =
    ["a puppy on the beach", "a panda in the forest", "a watercolor painting of a parrot"];

pub fn empty_ui(ui: &mut Ui, shared: &Shared, runs: &Runs, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    let area = ui.max_rect();
    if let Some(run) = runs.live() {
        let text = match &shared.model {
            Model::Opening { .. } => "Opening the model",
            _ if run.sigmas.is_empty() => "Reading the prompt",
            _ => "Sampling the first step",
        };
        ui.painter().text(area.center(), Align2::CENTER_CENTER, text, theme::body(), tokens.dim);
        return;
    }
    const ROW: f32 = 42.0;
    let height = 150.0 + SUGGESTIONS.len() as f32 * (ROW + 8.0);
    let width = (area.width() - 48.0).min(440.0);
    let block = Rect::from_center_size(area.center() - vec2(0.0, 12.0), vec2(width, height));
    let x = block.center().x;
    logo_ui(ui, Rect::from_center_size(pos2(x, block.top() + 16.0), vec2(48.0, 48.0)));
    ui.painter().text(
        pos2(x, block.top() + 58.0),
        Align2::CENTER_TOP,
        "What would you like to make?",
        theme::title(),
        tokens.text,
    );
    let line = format!("Type a prompt and press {}, or start with one of these.", keys::GENERATE_KEY);
    ui.painter().text(pos2(x, block.top() + 92.0), Align2::CENTER_TOP, line, theme::body(), tokens.dim);
    for (index, prompt) in SUGGESTIONS.into_iter().enumerate() {
        let top = block.top() + 132.0 + index as f32 * (ROW + 8.0);
        let rect = Rect::from_min_size(pos2(block.left(), top), vec2(width, ROW));
        if suggestion_ui(ui, rect, prompt) {
            let recipe = engine::recipe::Recipe { prompt: prompt.to_owned(), ..shared.recipe.clone() };
            commands.push(Command::Edit(Box::new(recipe)));
            commands.push(Command::Generate);
        }
    }
    if shared.settings.model == ModelSource::BuiltIn {
        let top = block.top() + 140.0 + SUGGESTIONS.len() as f32 * (ROW + 8.0);
        let text = LayoutJob {
            halign: Align::Center,
            ..LayoutJob::simple(BUILT_IN_WORLD.to_owned(), theme::small(), tokens.dim, width)
        };
        let text = ui.painter().layout_job(text);
        ui.painter().galley(pos2(x, top), text, tokens.dim);
    }
}

/// How much the built-in model knows; `assets/demo/README.md` lists it.
const BUILT_IN_WORLD: &str = "The built-in model is small: it draws 80 subjects, such as a fox, a castle or a robot, in 6 styles \
    and 8 settings. For anything else, get a larger one in the Models tab.";

fn suggestion_ui(ui: &Ui, rect: Rect, prompt: &str) -> bool {
    let tokens = Tokens::of(ui);
    let response = ui.interact(rect, ui.scope_id().with(("suggestion", prompt)), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("Try: {prompt}")));
    let lit = response.hovered() || response.has_focus();
    let line = if lit { tokens.accent } else { tokens.line };
    let corner = CornerRadius::same(theme::CORNER_CARD);
    ui.painter().rect(rect, corner, tokens.card, Stroke::new(1.0, line), StrokeKind::Inside);
    let ink = if lit { tokens.text } else { tokens.dim };
    ui.painter().text(
        rect.left_center() + vec2(16.0, 0.0),
        Align2::LEFT_CENTER,
        prompt,
        theme::prompt(),
        ink,
    );
    if lit {
        let at = rect.right_center() - vec2(16.0, 0.0);
        ui.painter().text(at, Align2::RIGHT_CENTER, "Generate", theme::small(), tokens.accent);
    }
    response.on_hover_cursor(CursorIcon::PointingHand).clicked()
}
