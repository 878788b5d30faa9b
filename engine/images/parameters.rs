//! The `parameters` text of AUTOMATIC1111, which most Stable Diffusion programs read and write.
//!
//! The prompt, then `Negative prompt:` and its text, then one line of `Key: value` pairs. It is
//! written with the order and quoting of A1111's `create_infotext` and read by its grammar.

use std::str::FromStr;

use super::external_names::{UNSUPPORTED, sampler_of, schedule_label, schedule_of, without_extra_networks};
use super::metadata::{FoundRecipe, Provenance, RecipeOrigin, make_runnable};
use crate::concepts::ConceptRef;
use crate::diffusion::{NoiseSource, Sampler, SamplerOption};
use crate::format::short;
use crate::prompt::PromptWeights;
use crate::recipe::{Recipe, Start};

const NEGATIVE: &str = "Negative prompt:";

/// Writes the recipe as a text for other programs.
pub fn to_parameters(provenance: &Provenance) -> String {
    let Provenance { program, model, model_hash, vae, concepts, recipe, .. } = provenance;
    let strength = match recipe.start {
        Start::Noise => None,
        Start::Image { strength, .. } => Some(strength.to_string()),
    };
    let pairs = [
        ("Steps", Some(recipe.steps.to_string())),
        ("Sampler", Some(recipe.sampler.label().to_owned())),
        ("Schedule type", Some(schedule_label(recipe.schedule).to_owned())),
        ("CFG scale", Some(recipe.guidance.cfg_scale.to_string())),
        ("Seed", Some(recipe.seed.to_string())),
        ("Size", Some(format!("{}x{}", recipe.width, recipe.height))),
        ("Model hash", model_hash.clone()),
        ("Model", Some(model.clone())),
        ("VAE", vae.clone()),
        ("Denoising strength", strength),
        ("Clip skip", (recipe.text.clip_skip > 1).then(|| recipe.text.clip_skip.to_string())),
        // A1111 has its own prompt weights or none; ComfyUI's are nearest to its own.
        ("Emphasis", (recipe.text.weights == PromptWeights::None).then(|| "None".to_owned())),
        ("RNG", Some(rng(recipe.noise).to_owned())),
        ("TI hashes", Some(concept_hashes(concepts))),
        (eta_key(recipe.sampler), non_default_eta(recipe).map(|eta| eta.to_string())),
        ("Schedule rho", non_default_rho(recipe).map(|rho| rho.to_string())),
        ("Version", Some(program.clone())),
    ];
    let pairs: Vec<String> = pairs
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.filter(|value| !value.is_empty())?)))
        .map(|(key, value)| format!("{key}: {}", quoted_if_needed(&value)))
        .collect();

    let mut text = format!("{}\n", recipe.prompt);
    if !recipe.negative_prompt.is_empty() {
        text += &format!("{NEGATIVE} {}\n", recipe.negative_prompt);
    }
    text += &pairs.join(", ");
    // A PNG text chunk must not contain a NUL.
    text.replace('\0', " ").trim().to_owned()
}

/// A1111's name of the noise source.
fn rng(noise: NoiseSource) -> &'static str {
    match noise {
        NoiseSource::Torch => "CPU",
        NoiseSource::Nvidia => "NV",
    }
}

/// A1111's key for eta: one for DDIM and one for all other samplers.
fn eta_key(sampler: Sampler) -> &'static str {
    if sampler == Sampler::Ddim { "Eta DDIM" } else { "Eta" }
}

/// A1111's default eta: 0 for DDIM and 1 for all others, even DPM fast and DPM adaptive, whose own default is
/// 0.
fn a1111_default_eta(sampler: Sampler) -> f32 {
    if sampler == Sampler::Ddim { 0.0 } else { 1.0 }
}

/// The eta to write: only one that differs from A1111's default.
fn non_default_eta(recipe: &Recipe) -> Option<f32> {
    let own = recipe.sampler.default_of(SamplerOption::Eta)?;
    let eta = recipe.sampler_options.eta.unwrap_or(own);
    (eta != a1111_default_eta(recipe.sampler)).then_some(eta)
}

/// The rho to write: only one that differs from the schedule's default.
fn non_default_rho(recipe: &Recipe) -> Option<f32> {
    let own = recipe.schedule.default_rho()?;
    recipe.schedule_options.rho.filter(|&rho| rho != own)
}

/// Reads the text of any program. A text without settings is a prompt. `None` if it is empty.
pub fn from_parameters(text: &str) -> Option<FoundRecipe> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    let (prompts, settings) = text.split_at(settings_start(text).unwrap_or(text.len()));
    let pairs = Pairs::parse(settings);
    let mut notes = Vec::new();
    let (prompt, negative_prompt) = split_prompts(prompts);
    let program = program_of(pairs.get("Version"));

    let defaults = Recipe::default();
    let (width, height) = size_of(&pairs, &mut notes).unwrap_or((defaults.width, defaults.height));
    let sampler_in_file = pairs.get("Sampler").unwrap_or_default();
    let sampler = sampler_of(sampler_in_file, &mut notes);
    let mut recipe = Recipe {
        prompt: without_extra_networks(&prompt, &mut notes),
        negative_prompt: without_extra_networks(&negative_prompt, &mut notes),
        width,
        height,
        seed: number(&pairs, "Seed", defaults.seed, &mut notes),
        steps: number(&pairs, "Steps", defaults.steps, &mut notes),
        sampler,
        schedule: schedule_of(pairs.get("Schedule type"), sampler_in_file, &mut notes),
        ..defaults
    };
    recipe.guidance.cfg_scale = number(&pairs, "CFG scale", recipe.guidance.cfg_scale, &mut notes);
    if let Some(own) = recipe.sampler.default_of(SamplerOption::Eta) {
        let value = optional_number(&pairs, eta_key(recipe.sampler), &mut notes);
        let eta = value.unwrap_or(a1111_default_eta(recipe.sampler));
        recipe.sampler_options.eta = (eta != own).then_some(eta);
    }
    if recipe.schedule.default_rho().is_some() {
        recipe.schedule_options.rho = optional_number(&pairs, "Schedule rho", &mut notes);
    }
    recipe.text.clip_skip = optional_number(&pairs, "Clip skip", &mut notes).unwrap_or(1);
    match pairs.get("Emphasis") {
        Some("None") => recipe.text.weights = PromptWeights::None,
        Some(other) if other != "Original" => notes.push(format!(
            "Its prompt weights ({}) are not supported: those of \"Original\" are used",
            short(other)
        )),
        _ => {}
    }
    recipe.noise = noise_of(&program, pairs.get("RNG"), &mut notes);
    make_runnable(&mut recipe, &mut notes);

    notes.extend(start_note(&pairs));
    unsupported_notes(&pairs, &recipe, &mut notes);
    let provenance = Provenance {
        program,
        model: pairs.get("Model").unwrap_or_default().to_owned(),
        model_hash: pairs.get("Model hash").map(str::to_owned),
        vae: pairs.get("VAE").map(str::to_owned),
        concepts: concepts_of(pairs.get("TI hashes").unwrap_or_default()),
        recipe,
        ..Provenance::default()
    };
    Some(FoundRecipe { provenance, origin: RecipeOrigin::Parameters, notes })
}

/// Whether a text has settings, so that it is not just any comment.
pub(super) fn has_settings(text: &str) -> bool {
    settings_start(text.trim()).is_some()
}

/// Where the settings begin: at the last line with the steps, which A1111 writes first. A value after them may have raw
/// line breaks. Other programs may begin with another setting; then it is the last line if it has three, which is A1111's
/// own criterion.
fn settings_start(text: &str) -> Option<usize> {
    const STEPS: &str = "Steps: ";
    let is_line = |start: &usize| *start == 0 || text[..*start].ends_with('\n');
    let has_number = |start: &usize| text[start + STEPS.len()..].starts_with(|c: char| c.is_ascii_digit());
    let steps = text.rmatch_indices(STEPS).map(|(start, _)| start);
    steps.filter(has_number).find(is_line).or_else(|| {
        let last_line = text.rfind('\n').map_or(0, |end| end + 1);
        (Pairs::parse(&text[last_line..]).0.len() >= 3).then_some(last_line)
    })
}

/// Splits the lines before the settings into the prompt and the negative prompt.
fn split_prompts(prompts: &str) -> (String, String) {
    let (mut prompt, mut negative) = (Vec::new(), Vec::new());
    let mut in_negative = false;
    for line in prompts.lines().map(str::trim) {
        match line.strip_prefix(NEGATIVE) {
            Some(rest) => {
                in_negative = true;
                negative.push(rest.trim());
            }
            None if in_negative => negative.push(line),
            None => prompt.push(line),
        }
    }
    (prompt.join("\n").trim().to_owned(), negative.join("\n").trim().to_owned())
}

/// `name: 12hex, name: 12hex`
fn concept_hashes(concepts: &[ConceptRef]) -> String {
    let hashes = concepts.iter().map(|ConceptRef { name, sha256, .. }| format!("{name}: {sha256}"));
    hashes.collect::<Vec<_>>().join(", ")
}

fn concepts_of(hashes: &str) -> Vec<ConceptRef> {
    /// More than fit into a prompt.
    const MAX: usize = 75;
    let pairs = hashes.split(", ").filter_map(|pair| pair.rsplit_once(": ")).take(MAX);
    pairs
        .map(|(name, sha256)| ConceptRef {
            name: name.into(),
            sha256: sha256.into(),
            ..ConceptRef::default()
        })
        .collect()
}

fn number<T>(pairs: &Pairs, key: &str, default: T, notes: &mut Vec<String>) -> T
where
    T: FromStr + std::fmt::Display,
{
    let value = pairs.get(key);
    if let Some(value) = value.and_then(|value| value.parse().ok()) {
        return value;
    }
    notes.push(match value {
        Some(value) => format!("{key} cannot be “{}”: {default} is used", short(value)),
        None => format!("The file has no {key}: {default} is used"),
    });
    default
}

fn optional_number<T: FromStr>(pairs: &Pairs, key: &str, notes: &mut Vec<String>) -> Option<T> {
    let value = pairs.get(key)?;
    let number = value.parse().ok();
    if number.is_none() {
        notes.push(format!("{key} cannot be “{}”: the default is used", short(value)));
    }
    number
}

/// Width and height in pixels.
fn size_of(pairs: &Pairs, notes: &mut Vec<String>) -> Option<(u32, u32)> {
    let value = pairs.get("Size");
    let sides = value
        .and_then(|size| size.split_once('x'))
        .and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    if sides.is_none() {
        notes.push(match value {
            Some(size) => format!("The size “{}” cannot be read: set it by hand", short(size)),
            None => "The file does not give the size: set it by hand".to_owned(),
        });
    }
    sides
}

/// The noise source. A1111 and Forge write it only if it was not the graphics card.
fn noise_of(program: &str, rng: Option<&str>, notes: &mut Vec<String>) -> NoiseSource {
    let uses_gpu_noise = ["AUTOMATIC1111", "Forge"].iter().any(|maker| program.starts_with(maker));
    match rng {
        Some("CPU" | "cpu") => NoiseSource::Torch,
        Some("NV" | "cuda") => NoiseSource::Nvidia,
        Some("GPU") => gpu_noise(notes),
        None if uses_gpu_noise => gpu_noise(notes),
        _ => {
            notes.push(
                "The file does not give its noise source: if the picture differs, try the noise of NVIDIA cards"
                    .to_owned(),
            );
            NoiseSource::Torch
        }
    }
}

fn gpu_noise(notes: &mut Vec<String>) -> NoiseSource {
    notes.push(
        "Its noise was made on a graphics card: that of NVIDIA cards is used. If it was another card, the picture \
         will differ"
            .to_owned(),
    );
    NoiseSource::Nvidia
}

/// A1111 writes the strength of a start image, and also that of a second pass (hires fix).
fn start_note(pairs: &Pairs) -> Option<String> {
    let strength = pairs.get("Denoising strength")?;
    let second_pass = pairs.0.iter().any(|(key, _)| key.starts_with("Hires"));
    (!second_pass).then(|| {
        format!(
            "It was made from a start image at strength {}, which is not in the file: choose that picture as the \
             start image",
            short(strength)
        )
    })
}

/// One note for each unsupported setting that changes the picture, and one for all others.
fn unsupported_notes(pairs: &Pairs, recipe: &Recipe, notes: &mut Vec<String>) {
    /// Settings that are read above or do not affect the picture.
    const HANDLED: [&str; 19] = [
        "Steps",
        "Sampler",
        "Schedule type",
        "CFG scale",
        "Seed",
        "Size",
        "Model hash",
        "Model",
        "Denoising strength",
        "RNG",
        "TI hashes",
        "Version",
        "VAE hash",
        "User",
        "Batch size",
        "Batch pos",
        "Init image hash",
        "Emphasis",
        "Clip skip",
    ];
    const MAX_NAMED: usize = 12;

    let mut rest = Vec::new();
    for (key, value) in &pairs.0 {
        let is_read = (key == eta_key(recipe.sampler)
            && recipe.sampler.default_of(SamplerOption::Eta).is_some())
            || (key == "Schedule rho" && recipe.schedule_options.rho.is_some());
        if HANDLED.contains(&key.as_str()) || is_read {
            continue;
        }
        match UNSUPPORTED.iter().find(|(prefix, _)| key.starts_with(prefix)) {
            Some((_, note)) => {
                let note = note.replace("{}", &short(value));
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
            None => rest.push(short(key)),
        }
    }
    if !rest.is_empty() {
        let more = if rest.len() > MAX_NAMED { " and more" } else { "" };
        rest.truncate(MAX_NAMED);
        notes.push(format!("Not supported: {}{more}", rest.join(", ")));
    }
}

/// The program, from the bare version numbers of A1111 and Forge, or a name.
fn program_of(version: Option<&str>) -> String {
    let Some(version) = version else { return String::new() };
    let numbered = |from: usize| version[from..].starts_with(|c: char| c.is_ascii_digit());
    match version.as_bytes().first() {
        Some(b'v') if numbered(1) => format!("AUTOMATIC1111 {version}"),
        Some(b'f') if numbered(1) => format!("Forge {version}"),
        _ => short(version),
    }
}

/// A1111's `quote`: a JSON string if the value would be read as several.
fn quoted_if_needed(value: &str) -> String {
    if value.contains([',', '\n', ':']) {
        serde_json::to_string(value).expect("a string is always JSON")
    } else {
        value.to_owned()
    }
}

/// The settings in order, each key once.
struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Every match of A1111's `re_param`, written by hand:
    /// `\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)`.
    /// A repeated key replaces the value of the first, as in a Python dict. A value without quotes also ends with its line.
    fn parse(settings: &str) -> Self {
        /// More than any program writes; the rest of hostile settings is ignored.
        const MAX: usize = 1000;
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut rest = settings;
        while !rest.is_empty() && pairs.len() < MAX {
            let Some(start) = rest.find(is_word) else { break };
            let run = &rest[start..];
            let end = run.find(|c| !is_word(c) && !" -/".contains(c)).unwrap_or(run.len());
            let (key, after) = run.split_at(end);
            let Some(after) = after.strip_prefix(':').filter(|_| key.chars().count() > 1) else {
                // No match can start inside these letters: it would end here too.
                rest = after;
                continue;
            };
            let (value, after) = split_value(after.trim_start());
            match pairs.iter_mut().find(|(known, _)| known == key) {
                Some((_, known_value)) => *known_value = value,
                None => pairs.push((key.to_owned(), value)),
            }
            rest = after;
        }
        Self(pairs)
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Splits `text` after its first value and the comma or line break behind it.
fn split_value(text: &str) -> (String, &str) {
    if let Some(end) = end_of_quoted(text) {
        let (quoted, after) = text.split_at(end);
        if after.is_empty() || after.starts_with([',', '\n']) {
            let value = serde_json::from_str(quoted).unwrap_or_else(|_| quoted.to_owned());
            return (value, after.get(1..).unwrap_or_default());
        }
    }
    let (value, after) = text.split_once([',', '\n']).unwrap_or((text, ""));
    (value.trim_end().to_owned(), after)
}

/// The end of the quoted string that `text` starts with; an empty one does not count.
fn end_of_quoted(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('"')?;
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return (at > 0).then_some(at + 2),
            _ => {}
        }
    }
    None
}
