//! A progress bar.

use egui::{Color32, CornerRadius, Rect, Role, Sense, Ui, WidgetInfo, vec2};

use crate::ui::theme::Tokens;

/// `fraction` is 0 to 1.
pub fn bar_ui(ui: &mut Ui, fraction: f32, ink: Color32) {
    let tokens = Tokens::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 6.0), Sense::hover());
    let percent = format!("{:.0} %", fraction * 100.0);
    response.widget_info(|| WidgetInfo::labeled(Role::ProgressIndicator, true, &percent));
    let corner = CornerRadius::same(3);
    ui.painter().rect_filled(rect, corner, tokens.line);
    let done = Rect::from_min_size(rect.min, vec2(rect.width() * fraction.clamp(0.0, 1.0), rect.height()));
    // Clipped rather than rounded, so that the end of the progress stays straight.
    ui.painter().with_clip_rect(done).rect_filled(rect, corner, ink);
}
