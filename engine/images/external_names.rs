//! The names of samplers, schedules and settings in other programs, and our nearest equivalents.

use crate::diffusion::{Sampler, Schedule};
use crate::format::short;
use crate::prompt::parse::extra_networks::extra_networks;

/// The A1111 name of a schedule. Its Uniform is k-diffusion's normal schedule; linspace differs from that
/// invisibly and has no name there.
pub(super) fn schedule_label(schedule: Schedule) -> &'static str {
    match schedule {
        Schedule::Linspace | Schedule::Normal => "Uniform",
        other => other.label(),
    }
}

/// Other names of our samplers, normalized by [`normalize`].
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

/// Samplers that we do not have, by the start of their normalized names; the first match counts.
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

/// The sampler with that name in any program, or the nearest one with a note.
pub(super) fn sampler_of(name_in_file: &str, notes: &mut Vec<String>) -> Sampler {
    let (name, _) = split_old_name(name_in_file);
    if name.is_empty() {
        let default = Sampler::default();
        notes.push(format!("The file does not name a sampler: {} is used", default.label()));
        return default;
    }
    let ours = |sampler: &Sampler| [normalize(sampler.label()), normalize(sampler.name())].contains(&name);
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
    notes.push(format!("The sampler “{}” is not available: {label}{which} is used", short(name_in_file)));
    sampler
}

/// Other names of our schedules.
const SAME_SCHEDULE: &[(&str, Schedule)] =
    &[("uniform", Schedule::Normal), ("default", Schedule::Normal), ("discrete", Schedule::Normal)];

/// Schedules that we do not have, by the start of their names: those that spend many steps at low noise.
const NEAREST_SCHEDULE: &[(&str, Schedule)] =
    &[("align your steps", Schedule::Karras), ("kl optimal", Schedule::Karras)];

/// What "Automatic" means for a sampler (Forge `modules/sd_samplers_kdiffusion.py`), by the start of its
/// normalized name; the first match counts, and no match means the model's own schedule.
const AUTOMATIC: &[(&str, &str)] = &[
    ("dpm++ 2m sde", "exponential"),
    ("dpm++ 3m sde", "exponential"),
    ("dpm++ 2m", "karras"),
    ("dpm++ sde", "karras"),
    ("dpm++ 2s a", "karras"),
    ("dpm2", "karras"),
    ("restart", "karras"),
];

/// The schedule with that name in any program, or the nearest one with a note. Before version 1.9, A1111
/// put it at the end of the sampler's name.
pub(super) fn schedule_of(
    name_in_file: Option<&str>,
    sampler_in_file: &str,
    notes: &mut Vec<String>,
) -> Schedule {
    let (sampler, old_schedule) = split_old_name(sampler_in_file);
    let mut name = name_in_file.map(normalize).or(old_schedule).unwrap_or_default();
    if name.is_empty() || name == "automatic" {
        let row = AUTOMATIC.iter().find(|(start, _)| sampler.starts_with(start));
        name = row.map_or("uniform", |(_, schedule)| schedule).to_owned();
    }
    let ours =
        |schedule: &Schedule| [normalize(schedule.label()), normalize(schedule.name())].contains(&name);
    if let Some(schedule) = Schedule::ALL.into_iter().find(ours) {
        return schedule;
    }
    if let Some((_, schedule)) = SAME_SCHEDULE.iter().find(|(other, _)| *other == name) {
        return *schedule;
    }
    let near = NEAREST_SCHEDULE.iter().find(|(start, _)| name.starts_with(start));
    let schedule = near.map_or(Schedule::Normal, |(_, schedule)| *schedule);
    let label = schedule.label();
    let shown = short(name_in_file.filter(|name| normalize(name) != "automatic").unwrap_or(&name));
    notes.push(format!("The schedule “{shown}” is not available: {label}, the nearest, is used"));
    schedule
}

/// Splits "DPM++ 2M Karras" into the sampler "dpm++ 2m" and the schedule "karras".
fn split_old_name(name_in_file: &str) -> (String, Option<String>) {
    let name = normalize(name_in_file);
    for schedule in ["karras", "polyexponential", "exponential", "normal", "simple"] {
        if let Some(sampler) = name.strip_suffix(schedule).filter(|rest| rest.ends_with(' ')) {
            return (sampler.trim_end().to_owned(), Some(schedule.to_owned()));
        }
    }
    (name, None)
}

/// Normalizes a name: "k_euler_a", "euler-a" and "Euler a" are one.
fn normalize(name: &str) -> String {
    let spaced = name.to_lowercase().replace(['_', '-'], " ");
    let name = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    name.strip_prefix("k ").map(str::to_owned).unwrap_or(name)
}

/// Settings that change the picture and are not supported: the start of the key, and a note with the value
/// in place of `{}`.
pub(super) const UNSUPPORTED: &[(&str, &str)] = &[
    ("Hires", "Hires fix, a second pass at a larger size, is not supported: this is its first pass"),
    ("Lora hashes", "It was made with LoRA files, which are not supported: the picture will differ"),
    ("Hypernet", "It was made with a hypernetwork, which is not supported: the picture will differ"),
    ("Variation seed", "Variations of a seed are not supported: the picture will differ"),
    ("Seed resize", "Seed resizing is not supported: the picture will differ"),
    ("Face restoration", "Faces were restored afterwards ({}), which is not supported: they will differ"),
    ("ControlNet", "It was guided by ControlNet, which is not supported: the picture will differ"),
    ("ADetailer", "Details were repainted afterwards (ADetailer), which is not supported: they will differ"),
    ("Mask", "Only a masked part was repainted. Masks are not supported: the whole picture will be new"),
    ("Inpaint", "Only a masked part was repainted. Masks are not supported: the whole picture will be new"),
    (
        "Conditional mask",
        "Only a masked part was repainted. Masks are not supported: the whole picture will be new",
    ),
    ("Refiner", "A second model (refiner) finished it, which is not supported: the picture will differ"),
    ("VAE", "It was decoded by another VAE ({}): colours may differ"),
    ("Tiling", "Tiling is not supported: the edges will not match"),
    ("ENSD", "Its noise seed was shifted (ENSD {}): ancestral samplers will differ"),
    ("Eta", "Its sampler has no eta here: {} is ignored"),
];

/// Removes `<lora:name:weight>` and similar tags from a prompt, as A1111 does before it reads the rest.
pub(super) fn without_extra_networks(prompt: &str, notes: &mut Vec<String>) -> String {
    /// Notes for one picture.
    const MAX_NOTES: usize = 8;
    let mut kept = String::with_capacity(prompt.len());
    let mut from = 0;
    for (index, network) in extra_networks(prompt).enumerate() {
        if index < MAX_NOTES {
            let tag = short(&prompt[network.clone()]);
            notes.push(format!("{tag} was removed: such files are not supported"));
        }
        kept += &prompt[from..network.start];
        from = network.end;
    }
    kept += &prompt[from..];
    kept.trim().to_owned()
}
