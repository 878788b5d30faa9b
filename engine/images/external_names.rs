//! What other programs call things, and the nearest that we have.

use crate::diffusion::{Sampler, Schedule};
use crate::format::ellipsize;

/// Our schedule in A1111's words. Its Uniform is k-diffusion's normal; the lesson's, which differs from
/// that by less than a picture shows, has no name there.
pub(super) fn schedule_label(schedule: Schedule) -> &'static str {
    match schedule {
        Schedule::Linspace | Schedule::Normal => "Uniform",
        other => other.label(),
    }
}

/// Other names of samplers that we have, by their plain names (see [`plain`]).
const SAME_SAMPLER: &[(&str, Sampler)] = &[
    ("euler ancestral", Sampler::EulerAncestral),
    ("dpm 2", Sampler::Dpm2),
    ("kdpm 2", Sampler::Dpm2),
    ("dpm 2 a", Sampler::Dpm2Ancestral),
    ("dpm 2 ancestral", Sampler::Dpm2Ancestral),
    ("kdpm 2 a", Sampler::Dpm2Ancestral),
    ("dpm++2m", Sampler::DpmPp2m),
    ("dpmpp 2s", Sampler::DpmPp2sAncestral),
    ("dpmpp 2s ancestral", Sampler::DpmPp2sAncestral),
    ("uni pc", Sampler::UniPc),
    ("pndm", Sampler::Plms),
];

/// Samplers that we lack, by how their plain names begin; the first row that fits counts.
const NEAREST_SAMPLER: &[(&str, Sampler)] = &[
    ("dpm++ 2s", Sampler::DpmPp2sAncestral),
    ("dpmpp 2s", Sampler::DpmPp2sAncestral),
    ("dpm++", Sampler::DpmPp2m),
    ("dpmpp", Sampler::DpmPp2m),
    ("restart", Sampler::Heun),
    ("dpm", Sampler::DpmPp2m),
    ("uni pc", Sampler::UniPc),
    ("deis", Sampler::DpmPp2m),
    ("ipndm", Sampler::Plms),
    ("lms", Sampler::Lms),
    ("lcm", Sampler::Lcm),
    ("ddpm", Sampler::Ddpm),
    ("ddim", Sampler::Ddim),
    ("heun", Sampler::Heun),
    ("euler", Sampler::Euler),
];

/// The sampler of that name in any program, or the nearest with a note.
pub(super) fn sampler_of(spoken: &str, notes: &mut Vec<String>) -> Sampler {
    let (name, _) = split_old_name(spoken);
    if name.is_empty() {
        let default = Sampler::default();
        notes.push(format!("Sampler is not said in the file: {} is set", default.label()));
        return default;
    }
    let ours = |sampler: &Sampler| [plain(sampler.label()), plain(sampler.name())].contains(&name);
    if let Some(sampler) = Sampler::ALL.into_iter().find(ours) {
        return sampler;
    }
    if let Some((_, sampler)) = SAME_SAMPLER.iter().find(|(other, _)| *other == name) {
        return *sampler;
    }
    let near = NEAREST_SAMPLER.iter().find(|(start, _)| name.starts_with(start));
    let (sampler, which) = match near {
        Some((_, sampler)) => (*sampler, ", the nearest,"),
        None => (Sampler::default(), ""),
    };
    let label = sampler.label();
    notes.push(format!("The sampler “{}” is not here: {label}{which} is set", short(spoken)));
    sampler
}

/// Other names of schedules that we have.
const SAME_SCHEDULE: &[(&str, Schedule)] =
    &[("uniform", Schedule::Normal), ("default", Schedule::Normal), ("discrete", Schedule::Normal)];

/// Schedules that we lack, by their names' beginnings: those that dwell on low noise.
const NEAREST_SCHEDULE: &[(&str, Schedule)] =
    &[("align your steps", Schedule::Karras), ("kl optimal", Schedule::Karras)];

/// What "Automatic" means for a sampler (Forge `modules/sd_samplers_kdiffusion.py`), by the plain
/// name's beginning; the first row that fits counts, and no row means the model's own schedule.
const AUTOMATIC: &[(&str, &str)] = &[
    ("dpm++ 2m sde", "exponential"),
    ("dpm++ 3m sde", "exponential"),
    ("dpm++ 2m", "karras"),
    ("dpm++ sde", "karras"),
    ("dpm++ 2s a", "karras"),
    ("dpm2", "karras"),
    ("restart", "karras"),
];

/// The schedule of that name in any program, or the nearest with a note. Before 1.9 A1111 said it
/// at the end of the sampler's name.
pub(super) fn schedule_of(spoken: Option<&str>, spoken_sampler: &str, notes: &mut Vec<String>) -> Schedule {
    let (sampler, old_schedule) = split_old_name(spoken_sampler);
    let mut name = spoken.map(plain).or(old_schedule).unwrap_or_default();
    if name.is_empty() || name == "automatic" {
        let row = AUTOMATIC.iter().find(|(start, _)| sampler.starts_with(start));
        name = row.map_or("uniform", |(_, schedule)| schedule).to_owned();
    }
    let ours = |schedule: &Schedule| [plain(schedule.label()), plain(schedule.name())].contains(&name);
    if let Some(schedule) = Schedule::ALL.into_iter().find(ours) {
        return schedule;
    }
    if let Some((_, schedule)) = SAME_SCHEDULE.iter().find(|(other, _)| *other == name) {
        return *schedule;
    }
    let near = NEAREST_SCHEDULE.iter().find(|(start, _)| name.starts_with(start));
    let schedule = near.map_or(Schedule::Normal, |(_, schedule)| *schedule);
    let label = schedule.label();
    let said = short(spoken.filter(|said| plain(said) != "automatic").unwrap_or(&name));
    notes.push(format!("The schedule “{said}” is not here: {label}, the nearest, is set"));
    schedule
}

/// "DPM++ 2M Karras" is "dpm++ 2m" on the schedule "karras".
fn split_old_name(spoken: &str) -> (String, Option<String>) {
    let name = plain(spoken);
    for schedule in ["karras", "polyexponential", "exponential", "normal", "simple"] {
        if let Some(sampler) = name.strip_suffix(schedule).filter(|rest| rest.ends_with(' ')) {
            return (sampler.trim_end().to_owned(), Some(schedule.to_owned()));
        }
    }
    (name, None)
}

/// "k_euler_a", "euler-a" and "Euler a" are one name.
fn plain(name: &str) -> String {
    let spaced = name.to_lowercase().replace(['_', '-'], " ");
    let name = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    name.strip_prefix("k ").map(str::to_owned).unwrap_or(name)
}

/// Settings that change the picture and that we cannot honour: how the key begins, and what to say
/// with the value in place of `{}`.
pub(super) const UNSUPPORTED: &[(&str, &str)] = &[
    ("Hires", "Hires fix, a second pass at a larger size, is not done here: this is its first pass"),
    ("Lora hashes", "It was made with LoRA files, which are not used here: the picture will differ"),
    ("Hypernet", "It was made with a hypernetwork, which is not used here: the picture will differ"),
    ("Variation seed", "Variations of a seed are not made here: the picture will differ"),
    ("Seed resize", "Resizing the noise of a seed is not done here: the picture will differ"),
    ("Face restoration", "Faces were restored afterwards ({}): that is not done here"),
    ("ControlNet", "It was guided by ControlNet, which is not used here: the picture will differ"),
    ("ADetailer", "Details were painted anew afterwards (ADetailer): that is not done here"),
    ("Mask", "Only a masked part was painted: here the whole picture is made"),
    ("Inpaint", "Only a masked part was painted: here the whole picture is made"),
    ("Conditional mask", "Only a masked part was painted: here the whole picture is made"),
    ("Refiner", "A second model finished it (refiner): that is not done here"),
    ("VAE", "It was decoded by another VAE ({}): colours may differ"),
    ("Tiling", "Tiling is not done here: the edges will not meet"),
    ("ENSD", "Its noise seed was shifted (ENSD {}): ancestral samplers will differ"),
    ("Eta", "Its sampler has no eta here: {} is not set"),
];

/// Takes `<lora:name:weight>` and its like out of a prompt, as A1111 does before it reads the rest.
pub(super) fn without_extra_networks(prompt: &str, notes: &mut Vec<String>) -> String {
    /// Enough sentences for one picture.
    const NAMED: usize = 8;
    const TAG_LETTERS: usize = 300;
    let mut kept = String::with_capacity(prompt.len());
    let mut named = 0;
    let mut rest = prompt;
    while let Some(start) = rest.find('<') {
        let (before, tag) = rest.split_at(start);
        kept += before;
        let known = ["<lora:", "<lyco:", "<hypernet:"].iter().any(|kind| tag.starts_with(kind));
        // An open tag ends the search at its line, or where no file's name is that long.
        let mut letters = tag.char_indices().take(TAG_LETTERS);
        let end = letters.find(|&(_, c)| c == '>' || c == '\n').map(|(end, _)| end);
        let end = end.filter(|&end| known && tag[end..].starts_with('>'));
        match end {
            Some(end) => {
                if named < NAMED {
                    let tag = short(&tag[..=end]);
                    notes.push(format!("{tag} was left out: such files are not used here"));
                    named += 1;
                }
                rest = &tag[end + 1..];
            }
            None => {
                kept.push('<');
                rest = &tag[1..];
            }
        }
    }
    kept += rest;
    kept.trim().to_owned()
}

/// At most 60 letters of a text from a file, for a sentence.
pub(super) fn short(text: &str) -> String {
    ellipsize(text, 60)
}
