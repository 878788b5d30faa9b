//! How the window looks: every colour, type size and distance is here and nowhere else.
//!
//! The values are those of `assets/guide/window.md`. One hue means one thing: accent is progress and the
//! current step, coral the start image, concepts and errors, violet an edited word, amber a warning.

use std::sync::Arc;

use egui::{
    Color32, CornerRadius, FontFamily, FontId, Margin, Shadow, Stroke, Style, TextStyle, Theme, Ui, vec2,
};

/// The colours of one theme.
#[derive(Debug)]
pub struct Tokens {
    pub window: Color32,
    pub panel: Color32,
    pub card: Color32,
    pub field: Color32,
    pub canvas: Color32,
    pub line: Color32,
    pub line_strong: Color32,
    pub text: Color32,
    pub dim: Color32,
    /// The faintest text that is still readable.
    pub faint: Color32,
    pub accent: Color32,
    /// Text on the accent.
    pub accent_ink: Color32,
    /// Behind the progress of a run, inside the button.
    pub accent_deep: Color32,
    /// Fills and marks of the start image, strength and errors.
    pub coral: Color32,
    /// Text in coral.
    pub coral_text: Color32,
    /// An edited word: marks and text.
    pub violet: Color32,
    /// Text of a warning.
    pub amber_text: Color32,
    /// Lines of one plot, which mean nothing but "another one".
    pub series: [Color32; 6],
    /// The knob of a slider.
    pub knob: Color32,
    /// Under the picture, and under popups.
    pub shadow: Color32,
}

/// `#rrggbb`, as the table in `assets/guide/window.md` writes it.
const fn hex(rgb: u32) -> Color32 {
    Color32::from_rgb((rgb >> 16) as u8, (rgb >> 8) as u8, rgb as u8)
}

// Faint text is lighter, and the light theme's accent, coral and amber text darker, than in the drawings,
// whose contrast is below 4.5 to 1.
pub const DARK: Tokens = Tokens {
    window: hex(0x0f1517),
    panel: hex(0x151d20),
    card: hex(0x1c262a),
    field: hex(0x0c1113),
    canvas: hex(0x0a0e10),
    line: hex(0x2a373c),
    line_strong: hex(0x3a4a50),
    text: hex(0xe6eded),
    dim: hex(0x94a5a8),
    faint: hex(0x7f9195),
    accent: hex(0x3ec9b8),
    accent_ink: hex(0x06231f),
    accent_deep: hex(0x25544f),
    coral: hex(0xff8a6b),
    coral_text: hex(0xff8a6b),
    violet: hex(0xb79bf5),
    amber_text: hex(0xf2c14e),
    series: [hex(0x5aa9f8), hex(0xf0a35e), hex(0x8fcf6b), hex(0xe887c0), hex(0xc9c15a), hex(0xa79af2)],
    knob: hex(0xe6eded),
    shadow: Color32::from_black_alpha(150),
};

pub const LIGHT: Tokens = Tokens {
    window: hex(0xeef2f1),
    panel: hex(0xf8faf9),
    card: hex(0xffffff),
    field: hex(0xffffff),
    canvas: hex(0xdfe6e4),
    line: hex(0xd8e0de),
    line_strong: hex(0xbccac7),
    text: hex(0x15211f),
    dim: hex(0x56686a),
    faint: hex(0x5f7173),
    accent: hex(0x0a7a6d),
    accent_ink: hex(0xffffff),
    accent_deep: hex(0x9fd3cc),
    coral: hex(0xd9593a),
    coral_text: hex(0xb8432a),
    violet: hex(0x7350c9),
    amber_text: hex(0x825d00),
    series: [hex(0x1f6fc4), hex(0xb3590a), hex(0x3f7f1d), hex(0xb83a8a), hex(0x7a7012), hex(0x5a48c8)],
    knob: hex(0x15211f),
    shadow: Color32::from_black_alpha(70),
};

/// Tint of pictures in the background.
pub const MUTED: Color32 = Color32::from_rgba_premultiplied(115, 115, 115, 115);

impl Tokens {
    pub fn of(ui: &Ui) -> &'static Self {
        if ui.visuals().dark_mode { &DARK } else { &LIGHT }
    }
}

// Distances, in points.
pub const GAP_S: f32 = 4.0;
pub const GAP_M: f32 = 8.0;
pub const GAP_L: f32 = 12.0;
pub const EDGE: f32 = 14.0;

// Corners.
pub const CORNER_FIELD: u8 = 5;
pub const CORNER_TOOL: u8 = 7;
pub const CORNER_CARD: u8 = 9;

// Sizes of the window's parts.
pub const LEFT_WIDTH: f32 = 328.0;
pub const RIGHT_WIDTH: f32 = 300.0;
/// In a window narrower than this, the right column is a drawer.
pub const THREE_COLUMNS_WIDTH: f32 = 1100.0;
pub const TOP_HEIGHT: f32 = 40.0;
pub const STATUS_HEIGHT: f32 = 26.0;
pub const FILM_HEIGHT: f32 = 132.0;
pub const MODEL_ROW_HEIGHT: f32 = 46.0;
pub const FIELD_HEIGHT: f32 = 30.0;
pub const BUTTON_HEIGHT: f32 = 40.0;
pub const TOOL_SIDE: f32 = 30.0;
/// Folding and switching, in seconds.
pub const MOTION_SECS: f32 = 0.12;

/// Inter in semibold.
pub fn semibold() -> FontFamily {
    FontFamily::Name("semibold".into())
}

pub fn body() -> FontId {
    FontId::new(13.0, FontFamily::Proportional)
}

pub fn prompt() -> FontId {
    FontId::new(14.0, FontFamily::Proportional)
}

pub fn label() -> FontId {
    FontId::new(12.5, FontFamily::Proportional)
}

pub fn small() -> FontId {
    FontId::new(12.0, FontFamily::Proportional)
}

pub fn heading() -> FontId {
    FontId::new(13.0, semibold())
}

pub fn title() -> FontId {
    FontId::new(20.0, semibold())
}

pub fn button() -> FontId {
    FontId::new(14.0, semibold())
}

/// For numbers that change.
pub fn mono() -> FontId {
    FontId::new(11.5, FontFamily::Monospace)
}

pub fn mono_small() -> FontId {
    FontId::new(10.5, FontFamily::Monospace)
}

/// Styles both of egui's themes; `ctx.set_theme` switches between them.
pub fn apply_theme(ctx: &egui::Context) {
    ctx.set_style_of(Theme::Dark, Arc::new(style(&DARK, egui::Visuals::dark())));
    ctx.set_style_of(Theme::Light, Arc::new(style(&LIGHT, egui::Visuals::light())));
}

fn style(tokens: &Tokens, visuals: egui::Visuals) -> Style {
    let mut style = Style { visuals, animation_time: MOTION_SECS, ..Style::default() };
    style.text_styles = [
        (TextStyle::Small, small()),
        (TextStyle::Body, body()),
        (TextStyle::Button, body()),
        (TextStyle::Heading, heading()),
        (TextStyle::Monospace, mono()),
    ]
    .into();
    let spacing = &mut style.spacing;
    spacing.item_spacing = vec2(GAP_M, GAP_S);
    spacing.button_padding = vec2(10.0, 6.0);
    spacing.interact_size = vec2(24.0, 24.0);
    spacing.menu_margin = Margin::same(5);
    spacing.scroll = egui::style::ScrollStyle::floating();
    spacing.tooltip_width = 300.0;
    style.interaction.selectable_labels = false;
    style.interaction.tooltip_delay = 0.45;

    let visuals = &mut style.visuals;
    visuals.override_text_color = None;
    visuals.weak_text_color = Some(tokens.faint);
    visuals.panel_fill = tokens.panel;
    visuals.window_fill = tokens.card;
    visuals.window_stroke = Stroke::new(1.0, tokens.line_strong);
    visuals.window_corner_radius = CornerRadius::same(CORNER_CARD);
    visuals.menu_corner_radius = CornerRadius::same(CORNER_CARD);
    visuals.popup_shadow = Shadow { offset: [0, 6], blur: 18, spread: 0, color: tokens.shadow };
    visuals.extreme_bg_color = tokens.field;
    visuals.text_edit_bg_color = Some(tokens.field);
    visuals.faint_bg_color = tokens.card;
    visuals.hyperlink_color = tokens.accent;
    visuals.error_fg_color = tokens.coral_text;
    visuals.warn_fg_color = tokens.amber_text;
    visuals.selection.bg_fill = tokens.accent.gamma_multiply(0.35);
    visuals.selection.stroke = Stroke::new(1.0, tokens.accent);
    visuals.text_cursor.stroke = Stroke::new(1.5, tokens.accent);
    // A blinking cursor would redraw the window twice a second, forever.
    visuals.text_cursor.blink = false;
    let corner = CornerRadius::same(CORNER_FIELD);
    let widgets = &mut visuals.widgets;
    for (look, fill, line, ink) in [
        (&mut widgets.noninteractive, tokens.panel, tokens.line, tokens.text),
        (&mut widgets.inactive, tokens.card, tokens.line, tokens.text),
        (&mut widgets.hovered, tokens.card, tokens.line_strong, tokens.text),
        (&mut widgets.active, tokens.card, tokens.accent, tokens.text),
        (&mut widgets.open, tokens.card, tokens.line_strong, tokens.text),
    ] {
        look.bg_fill = fill;
        look.weak_bg_fill = fill;
        look.bg_stroke = Stroke::new(1.0, line);
        look.fg_stroke = Stroke::new(1.0, ink);
        look.corner_radius = corner;
        look.expansion = 0.0;
    }
    style
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG 2.2, relative luminance.
    fn luminance(colour: Color32) -> f32 {
        let linear = |byte: u8| {
            let c = f32::from(byte) / 255.0;
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(colour.r()) + 0.7152 * linear(colour.g()) + 0.0722 * linear(colour.b())
    }

    fn contrast(a: Color32, b: Color32) -> f32 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_stands_out_from_whatever_it_lies_on() {
        for tokens in [&DARK, &LIGHT] {
            let grounds = [tokens.window, tokens.panel, tokens.card, tokens.field];
            for ground in grounds {
                for ink in [
                    tokens.text,
                    tokens.dim,
                    tokens.faint,
                    tokens.accent,
                    tokens.coral_text,
                    tokens.violet,
                    tokens.amber_text,
                ] {
                    assert!(contrast(ink, ground) >= 4.5, "{ink:?} on {ground:?}");
                }
            }
            for ink in [tokens.text, tokens.dim] {
                assert!(contrast(ink, tokens.canvas) >= 4.5, "{ink:?} on the canvas");
            }
            assert!(contrast(tokens.accent_ink, tokens.accent) >= 4.5);
            assert!(contrast(tokens.text, tokens.accent_deep) >= 4.5);
        }
    }

    #[test]
    fn marks_stand_out_from_panels() {
        for tokens in [&DARK, &LIGHT] {
            for mark in [tokens.accent, tokens.coral, tokens.knob].iter().chain(&tokens.series) {
                assert!(contrast(*mark, tokens.panel) >= 3.0, "{mark:?}");
            }
        }
    }
}
