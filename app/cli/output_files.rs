//! Where the results of a render go: tried before anything is computed, written when all is.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use engine::diffusion::Trajectory;
use engine::images::{
    Animation, AnimationFormat, Pixels, Provenance, Trace, replace_png, write_png, write_trace,
};
use engine::pipeline::{Generated, Pipeline};
use engine::pipeline::{ModelInfo, StopFlag};
use engine::recipe::{Recipe, RecordedRun};

use super::Failure;
use super::args::RenderArgs;
use super::film_args::{FilmArgs, write_films};

/// The files of one render.
pub struct Files {
    /// One a picture of the batch.
    pub pictures: Vec<PathBuf>,
    /// The user named them, so that they may replace what is there.
    is_named: bool,
    /// One a picture of the batch, or none.
    pub films: Vec<PathBuf>,
    /// One a picture of the batch, or none.
    pub contact_sheets: Vec<PathBuf>,
    pub trace: Option<PathBuf>,
}

impl Files {
    /// Names that were given are used, and replace what is there; without one, the pictures become
    /// the first `tidepool-N.png` that replace nothing.
    pub fn plan(args: &RenderArgs, batch: u32) -> Result<Self, Failure> {
        let pictures = match &args.output {
            Some(output) => of_batch(output, batch),
            None => free_paths(Path::new(""), batch),
        };
        let of_batch_if =
            |path: &Option<PathBuf>| path.iter().flat_map(|path| of_batch(path, batch)).collect();
        let films: Vec<PathBuf> = of_batch_if(&args.film.film);
        let contact_sheets: Vec<PathBuf> = of_batch_if(&args.film.contact_sheet);
        for picture in &pictures {
            check_writable(picture, "png", "-o")?;
        }
        for film in &films {
            check_film(film)?;
        }
        for sheet in &contact_sheets {
            check_writable(sheet, "png", "--contact-sheet")?;
        }
        if let Some(trace) = &args.trace {
            check_writable(trace, "safetensors", "--trace")?;
        }
        Ok(Self {
            pictures,
            is_named: args.output.is_some(),
            films,
            contact_sheets,
            trace: args.trace.clone(),
        })
    }

    /// Writes a picture under the name of this number.
    pub fn write_picture(&self, index: usize, pixels: &Pixels, about: &Provenance) -> Result<(), Failure> {
        let write = if self.is_named { replace_png } else { write_png };
        write(&self.pictures[index], pixels, about).map_err(Failure::failed)
    }

    pub fn write(
        &self,
        pipeline: &Pipeline,
        recorded: RecordedRun,
        generated: Generated,
        film: &FilmArgs,
        stop: &StopFlag,
    ) -> Result<(), Failure> {
        let (info, recipe) = (pipeline.info(), &recorded.recipe);
        for (index, pixels) in generated.pictures.iter().enumerate() {
            let alone = provenance(info, recipe.of_picture(index as u32), &generated);
            self.write_picture(index, pixels, &alone)?;
        }
        for (index, finished) in generated.pictures.iter().enumerate() {
            let wanted = [self.films.get(index), self.contact_sheets.get(index)];
            if wanted.iter().any(Option::is_some) {
                let alone = provenance(info, recipe.of_picture(index as u32), &generated);
                let made = film.animation(pipeline, &recorded.trajectory, (index, finished), stop)?;
                write_films(wanted, &Animation { provenance: alone, ..made }, stop)?;
            }
        }
        if let Some(path) = &self.trace {
            let provenance = provenance(info, recipe.clone(), &generated);
            let trace = trace_of(provenance, recorded.trajectory, generated);
            write_trace(path, &trace).map_err(Failure::failed)?;
        }
        Ok(())
    }
}

fn provenance(info: &ModelInfo, recipe: Recipe, generated: &Generated) -> Provenance {
    let (concepts, vae) = (generated.concepts.clone(), info.vae.clone());
    Provenance { concepts, vae, ..Provenance::new(&info.name, recipe) }
}

fn trace_of(provenance: Provenance, mut trajectory: Trajectory, generated: Generated) -> Trace {
    let sigmas = trajectory.sigmas.split_off(trajectory.start_step);
    let (mut x, mut denoised, mut later) = (Vec::new(), Vec::new(), Vec::new());
    for step in trajectory.steps {
        x.push(step.x.into());
        denoised.push(step.denoised.into());
        later.push(step.later.into_iter().map(Into::into).collect());
    }
    Trace {
        provenance,
        sigmas,
        x,
        denoised,
        later,
        cond: generated.cond,
        uncond: generated.uncond,
        latents: generated.latents.into(),
        image: generated.image,
    }
}

fn of_batch(path: &Path, batch: u32) -> Vec<PathBuf> {
    match batch {
        1 => vec![path.to_owned()],
        _ => (1..=batch).map(|number| numbered(path, number)).collect(),
    }
}

/// The same for a film, whose name says what kind it is.
fn check_film(path: &Path) -> Result<(), Failure> {
    let format = AnimationFormat::of_path(path).ok_or_else(|| {
        Failure::usage(format!(
            "The file of --film must end in .gif, .png or .apng (which plays), .mp4, or / for a folder \
             of numbered pictures: {}",
            path.display()
        ))
    })?;
    if format != AnimationFormat::Sequence {
        return check_place(path, "--film");
    }
    match fs::read_dir(path).map(|mut inside| inside.next().is_some()) {
        Ok(true) => Err(Failure::failed(format!(
            "The folder has something in it, which is left alone: choose another with --film: {}",
            path.display()
        ))),
        Ok(false) => Ok(()),
        Err(_) => check_place(&path.components().collect::<PathBuf>(), "--film"),
    }
}

/// Says beforehand what writing `path` would say afterwards.
///
/// `option` is the one to give another name with.
pub fn check_writable(path: &Path, extension: &str, option: &str) -> Result<(), Failure> {
    if !path.extension().is_some_and(|given| given.eq_ignore_ascii_case(extension)) {
        return Err(Failure::usage(format!(
            "The file of {option} must end in .{extension}, since that is what is written: {}",
            path.display()
        )));
    }
    check_place(path, option)
}

fn check_place(path: &Path, option: &str) -> Result<(), Failure> {
    if path.is_dir() {
        return Err(Failure::failed(format!(
            "A folder is in the way: choose another name with {option}: {}",
            path.display()
        )));
    }
    let folder = folder_of(path);
    if !folder.is_dir() {
        return Err(Failure::failed(format!(
            "There is no such folder: make it, or choose another with {option}: {}",
            folder.display()
        )));
    }
    let probe = folder.join(format!(".tidepool-{}.part", std::process::id()));
    let tried = OpenOptions::new().write(true).create_new(true).open(&probe);
    // Best effort: an empty hidden file is all that could stay.
    let _ = fs::remove_file(&probe);
    tried.map(drop).map_err(|error| {
        Failure::failed(format!(
            "Nothing can be written to this folder ({error}): allow it, or choose another with \
             {option}: {}",
            folder.display()
        ))
    })
}

fn free_paths(folder: &Path, batch: u32) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for number in 1_u32.. {
        let path = folder.join(format!("tidepool-{number}.png"));
        if !path.exists() {
            paths.push(path);
        }
        if paths.len() == batch as usize {
            break;
        }
    }
    paths
}

/// `out.png` as `out-3.png`, and the folder `frames/` as `frames-3/`.
fn numbered(output: &Path, number: u32) -> PathBuf {
    let is_folder = AnimationFormat::of_path(output) == Some(AnimationFormat::Sequence);
    let stem = if is_folder { output.file_name() } else { output.file_stem() };
    let mut name = stem.unwrap_or_default().to_owned();
    name.push(format!("-{number}"));
    if is_folder {
        name.push("/");
    } else {
        name.push(".");
        name.push(output.extension().unwrap_or_default());
    }
    output.with_file_name(name)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_a_batch_are_numbered_before_the_dot() {
        assert_eq!(numbered(Path::new("a.b/fox.v2.PNG"), 3), Path::new("a.b/fox.v2-3.PNG"));
        let folder = numbered(Path::new("a.b/frames.v2/"), 3);
        assert_eq!(folder, Path::new("a.b/frames.v2-3"));
        assert_eq!(AnimationFormat::of_path(&folder), Some(AnimationFormat::Sequence));
    }

    #[test]
    fn a_name_nobody_gave_replaces_nothing() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        fs::write(folder.path().join("tidepool-2.png"), "mine").expect("writes");
        let names: Vec<_> = free_paths(folder.path(), 3)
            .iter()
            .map(|path| path.file_name().expect("a name").to_owned())
            .collect();
        assert_eq!(names, ["tidepool-1.png", "tidepool-3.png", "tidepool-4.png"]);
    }

    #[test]
    fn what_cannot_be_written_is_said_before() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let says = |path: PathBuf| check_writable(&path, "png", "-o").map_err(|it| it.text);
        assert_eq!(says(folder.path().join("out.png")), Ok(()));
        assert!(says(folder.path().join("out.jpg")).is_err_and(|it| it.contains(".png")));
        assert!(says(folder.path().join("no/out.png")).is_err_and(|it| it.contains("no such")));
        fs::create_dir(folder.path().join("dir.png")).expect("makes a folder");
        assert!(says(folder.path().join("dir.png")).is_err_and(|it| it.contains("in the way")));
        let left = fs::read_dir(folder.path()).expect("reads").count();
        assert_eq!(left, 1, "trying leaves nothing behind");
    }
}
