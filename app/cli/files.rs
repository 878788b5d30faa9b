//! Where the results of a render go: tried before anything is computed, written when all is.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::generate::Generated;
use engine::images::{Pixels, Provenance, Trace, replace_png, write_gif, write_png, write_trace};
use engine::recipe::Recipe;
use engine::session::ModelCard;

use super::Failure;
use super::args::RenderArgs;

/// One preview a picture of the batch, for every step.
pub type Previews = Vec<Vec<Arc<Pixels>>>;

/// The files of one render.
pub struct Files {
    /// One a picture of the batch.
    pub pictures: Vec<PathBuf>,
    /// The user named them, so that they may replace what is there.
    is_named: bool,
    /// One a picture of the batch, or none.
    pub films: Vec<PathBuf>,
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
        let films = args.film.as_ref().map_or_else(Vec::new, |film| of_batch(film, batch));
        for picture in &pictures {
            check_writable(picture, "png", "-o")?;
        }
        for film in &films {
            check_writable(film, "gif", "--film")?;
        }
        if let Some(trace) = &args.trace {
            check_writable(trace, "safetensors", "--trace")?;
        }
        Ok(Self { pictures, is_named: args.output.is_some(), films, trace: args.trace.clone() })
    }

    pub fn write(
        &self,
        card: &ModelCard,
        recipe: &Recipe,
        generated: Generated,
        previews: &Previews,
    ) -> Result<(), Failure> {
        for (index, (path, pixels)) in self.pictures.iter().zip(&generated.pictures).enumerate() {
            let alone = provenance(card, recipe.of_picture(index as u32), &generated);
            let write = if self.is_named { replace_png } else { write_png };
            write(path, pixels, &alone).map_err(Failure::failed)?;
        }
        for (index, path) in self.films.iter().enumerate() {
            let mut frames: Vec<_> = previews.iter().map(|step| step[index].clone()).collect();
            frames.push(generated.pictures[index].clone());
            write_gif(path, &frames, (recipe.width, recipe.height), FILM_FPS).map_err(Failure::failed)?;
        }
        if let Some(path) = &self.trace {
            let trace = trace_of(provenance(card, recipe.clone(), &generated), generated);
            write_trace(path, &trace).map_err(Failure::failed)?;
        }
        Ok(())
    }
}

/// Slow enough to see each step.
const FILM_FPS: f32 = 10.0;

fn provenance(card: &ModelCard, recipe: Recipe, generated: &Generated) -> Provenance {
    let (concepts, vae) = (generated.concepts.clone(), card.vae.clone());
    Provenance { concepts, vae, ..Provenance::new(&card.name, recipe) }
}

fn trace_of(provenance: Provenance, generated: Generated) -> Trace {
    let mut film = generated.film;
    let sigmas = film.sigmas.split_off(film.start_step);
    let (mut x, mut denoised, mut later) = (Vec::new(), Vec::new(), Vec::new());
    for step in film.steps {
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

/// Says beforehand what writing `path` would say afterwards.
///
/// `option` is the one to give another name with.
fn check_writable(path: &Path, extension: &str, option: &str) -> Result<(), Failure> {
    if !path.extension().is_some_and(|given| given.eq_ignore_ascii_case(extension)) {
        return Err(Failure::usage(format!(
            "The file of {option} must end in .{extension}, since that is what is written: {}",
            path.display()
        )));
    }
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

/// `out.png` as `out-3.png`.
fn numbered(output: &Path, number: u32) -> PathBuf {
    let mut name = output.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{number}."));
    name.push(output.extension().unwrap_or_default());
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
