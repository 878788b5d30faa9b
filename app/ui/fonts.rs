//! The typefaces: Inter and JetBrains Mono, built in, and the system's fonts for the
//! scripts that they lack.
//!
//! The system's fonts are listed on a thread, and only once a character needs one.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use egui::{FallbackRequest, FontData, FontDefinitions, FontFamily, FontInsert, FontProvider};
use fontdb::{Database, ID, Source};
use skrifa::MetadataProvider as _;

use crate::ui::theme;

const INTER: &[u8] = include_bytes!("../../assets/fonts/Inter-Regular.otf");
const INTER_SEMIBOLD: &[u8] = include_bytes!("../../assets/fonts/Inter-SemiBold.otf");
const JETBRAINS_MONO: &[u8] = include_bytes!("../../assets/fonts/JetBrainsMono-Regular.ttf");

/// Installs the typefaces, and a provider that finds more.
pub fn install(ctx: &egui::Context) {
    let mut fonts = FontDefinitions::empty();
    for (name, bytes) in
        [("inter", INTER), ("inter semibold", INTER_SEMIBOLD), ("jetbrains mono", JETBRAINS_MONO)]
    {
        fonts.font_data.insert(name.to_owned(), Arc::new(FontData::from_static(bytes)));
    }
    for (family, names) in [
        (FontFamily::Proportional, ["inter", "jetbrains mono"]),
        (theme::semibold(), ["inter semibold", "jetbrains mono"]),
        (FontFamily::Monospace, ["jetbrains mono", "inter"]),
    ] {
        fonts.families.insert(family, names.map(str::to_owned).to_vec());
    }
    ctx.set_fonts(fonts);
    ctx.set_font_providers(vec![Arc::new(Unlisted { ctx: ctx.clone(), asked: AtomicBool::new(false) })]);
}

/// Lists the system's fonts at the first character that the built-in fonts lack.
struct Unlisted {
    ctx: egui::Context,
    asked: AtomicBool,
}

impl FontProvider for Unlisted {
    fn font_for(&self, _request: &FallbackRequest<'_>) -> Option<FontInsert> {
        if !self.asked.swap(true, Ordering::Relaxed) {
            let ctx = self.ctx.clone();
            let listing = std::thread::Builder::new().name("fonts".into()).spawn(move || {
                let mut database = Database::new();
                database.load_system_fonts();
                ctx.set_font_providers(vec![Arc::new(SystemFonts::new(database))]);
            });
            if let Err(error) = listing {
                tracing::warn!("the system's fonts cannot be listed: {error}");
            }
        }
        None
    }
}

/// The system's fonts, found by the characters that they cover.
struct SystemFonts {
    database: Database,
    /// Files that have been read: a CJK font has 20 MB and is asked for thousands of characters.
    read: Mutex<HashMap<PathBuf, Arc<Vec<u8>>>>,
    /// The plainest upright sans first.
    faces: Vec<ID>,
    /// Faces that were used before, which are tried first: a script's characters come together.
    answered: Mutex<Vec<ID>>,
}

impl SystemFonts {
    fn new(database: Database) -> Self {
        let plainness = |face: &fontdb::FaceInfo| {
            let name = face.families.first().map_or("", |(name, _)| name.as_str());
            (
                face.style != fontdb::Style::Normal,
                face.weight.0.abs_diff(400),
                name.contains("Serif") || face.monospaced,
                !name.starts_with("Noto Sans"),
                name.to_owned(),
            )
        };
        let mut faces: Vec<_> = database.faces().map(|face| (plainness(face), face.id)).collect();
        faces.sort_by(|a, b| a.0.cmp(&b.0));
        let faces = faces.into_iter().map(|(_, id)| id).collect();
        Self { database, read: Mutex::default(), faces, answered: Mutex::default() }
    }

    fn bytes(&self, id: ID) -> Option<Arc<Vec<u8>>> {
        let path = match &self.database.face(id)?.source {
            Source::Binary(bytes) | Source::SharedFile(_, bytes) => {
                return Some(Arc::new((**bytes).as_ref().to_vec()));
            }
            Source::File(path) => path,
        };
        let mut read = self.read.lock().ok()?;
        if let Some(bytes) = read.get(path) {
            return Some(Arc::clone(bytes));
        }
        let bytes = Arc::new(std::fs::read(path).ok()?);
        read.insert(path.clone(), Arc::clone(&bytes));
        Some(bytes)
    }
}

impl FontProvider for SystemFonts {
    fn font_for(&self, request: &FallbackRequest<'_>) -> Option<FontInsert> {
        let wanted = request.cluster.chars().next()?;
        let mut answered = self.answered.lock().ok()?;
        let id = answered.iter().chain(&self.faces).copied().find(|&id| {
            self.database.with_face_data(id, |bytes, index| has_glyph(bytes, index, wanted)).unwrap_or(false)
        })?;
        if !answered.contains(&id) {
            answered.push(id);
        }
        let face = self.database.face(id)?;
        let blob: Arc<dyn AsRef<[u8]> + Send + Sync> = Arc::new(SharedBytes(self.bytes(id)?));
        Some(FontInsert::new(
            &format!("system: {} {}", face.post_script_name, face.index),
            FontData::from_blob(blob, face.index),
            Vec::new(),
        ))
    }
}

struct SharedBytes(Arc<Vec<u8>>);

impl AsRef<[u8]> for SharedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Colour bitmaps have no outline to draw, so a font must have both the character and its shape.
fn has_glyph(bytes: &[u8], index: u32, wanted: char) -> bool {
    let Ok(font) = skrifa::FontRef::from_index(bytes, index) else { return false };
    font.charmap().map(wanted).is_some_and(|glyph| font.outline_glyphs().get(glyph).is_some())
}
