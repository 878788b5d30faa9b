//! The files that a render writes: checked before anything is computed, written at the end.

use std::fs;
use std::path::{Path, PathBuf};

use engine::diffusion::Trajectory;
use engine::files::{ReservedName, SaveError, check_name};
use engine::images::{
    Animation, AnimationFormat, Pixels, Provenance, Trace, replace_png, write_png, write_trace,
};
use engine::pipeline::{Generated, Pipeline, StopFlag};
use engine::recipe::RecordedRun;

use super::Failure;
use super::animation_args::{AnimationArgs, write_animations};
use super::render_args::RenderArgs;

/// The files of one render.
pub struct OutputFiles {
    /// One per picture of the batch.
    pub pictures: Vec<PathBuf>,
    /// Of pictures that the user has not named, so that runs at the same time take other names. Files with
    /// names that the user chose are replaced.
    reserved: Vec<ReservedName>,
    /// One per picture of the batch, or none.
    pub animations: Vec<PathBuf>,
    /// One per picture of the batch, or none.
    pub contact_sheets: Vec<PathBuf>,
    pub trace: Option<PathBuf>,
}

impl OutputFiles {
    /// Given names are used as they are and replace existing files; without one, the pictures get the
    /// first free `tidepool-N.png`, which are theirs until this is dropped.
    pub fn plan(args: &RenderArgs, batch: u32) -> Result<Self, Failure> {
        let reserved = match args.output {
            Some(_) => Vec::new(),
            None => (0..batch).map(|_| reserve(Path::new(""))).collect::<Result<_, _>>()?,
        };
        let pictures = match &args.output {
            Some(output) => paths_of_batch(output, batch),
            None => reserved.iter().map(|name| name.path().to_owned()).collect(),
        };
        let of_batch =
            |path: &Option<PathBuf>| path.iter().flat_map(|path| paths_of_batch(path, batch)).collect();
        let animations: Vec<PathBuf> = of_batch(&args.animation.film);
        let contact_sheets: Vec<PathBuf> = of_batch(&args.animation.contact_sheet);
        for picture in &pictures {
            check_writable(picture, "png", "-o")?;
        }
        for animation in &animations {
            check_animation(animation)?;
        }
        for sheet in &contact_sheets {
            check_writable(sheet, "png", "--contact-sheet")?;
        }
        if let Some(trace) = &args.trace {
            check_writable(trace, "safetensors", "--trace")?;
        }
        Ok(Self { pictures, reserved, animations, contact_sheets, trace: args.trace.clone() })
    }

    /// Writes the picture with this index in the batch.
    pub fn write_picture(
        &mut self,
        index: usize,
        pixels: &Pixels,
        provenance: &Provenance,
    ) -> Result<(), Failure> {
        if self.reserved.is_empty() {
            return replace_png(&self.pictures[index], pixels, provenance).map_err(Failure::failed);
        }
        loop {
            match write_png(&self.pictures[index], pixels, provenance) {
                // Another program has written a file of this name.
                Err(SaveError::Exists { path }) => {
                    let name = reserve(path.parent().unwrap_or(Path::new("")))?;
                    self.pictures[index] = name.path().to_owned();
                    self.reserved[index] = name;
                }
                written => return written.map_err(Failure::failed),
            }
        }
    }

    pub fn write(
        &mut self,
        pipeline: &Pipeline,
        recorded: RecordedRun,
        generated: Generated,
        animation_args: &AnimationArgs,
        stop: &StopFlag,
    ) -> Result<(), Failure> {
        let recipe = &recorded.recipe;
        let provenance = |recipe| {
            let info = pipeline.info();
            Provenance::of_run(&info.name, info.vae.clone(), recipe, generated.concepts.clone())
        };
        for (index, pixels) in generated.pictures.iter().enumerate() {
            self.write_picture(index, pixels, &provenance(recipe.of_picture(index as u32)))?;
        }
        for (index, finished) in generated.pictures.iter().enumerate() {
            let paths = [self.animations.get(index), self.contact_sheets.get(index)];
            if paths.iter().any(Option::is_some) {
                let provenance = provenance(recipe.of_picture(index as u32));
                let animation =
                    animation_args.animation(pipeline, &recorded.trajectory, (index, finished), stop)?;
                write_animations(paths, &Animation { provenance, ..animation }, stop)?;
            }
        }
        if let Some(path) = &self.trace {
            let provenance = provenance(recipe.clone());
            let trace = trace_of(provenance, recorded.trajectory, generated);
            write_trace(path, &trace).map_err(Failure::failed)?;
        }
        Ok(())
    }
}

fn trace_of(provenance: Provenance, mut trajectory: Trajectory, generated: Generated) -> Trace {
    let sigmas = trajectory.sigmas.split_off(trajectory.start_step);
    Trace {
        provenance,
        sigmas,
        steps: trajectory.steps,
        cond: generated.cond,
        uncond: generated.uncond,
        latents: generated.latents,
        image: generated.image,
    }
}

fn paths_of_batch(path: &Path, batch: u32) -> Vec<PathBuf> {
    match batch {
        1 => vec![path.to_owned()],
        _ => (1..=batch).map(|number| numbered(path, number)).collect(),
    }
}

/// Like [`check_writable`], for an animation, whose name decides its format.
fn check_animation(path: &Path) -> Result<(), Failure> {
    let format = AnimationFormat::from_path(path).ok_or_else(|| {
        Failure::usage(format!(
            "The file name for --film must end in .gif, .png or .apng (an animated PNG), .mp4, or / for a \
             folder of numbered pictures: {}",
            path.display()
        ))
    })?;
    if format != AnimationFormat::Sequence {
        return check_place(path, "--film");
    }
    match fs::read_dir(path).map(|mut entries| entries.next().is_some()) {
        Ok(true) => Err(Failure::failed(format!(
            "The folder is not empty, and its files are not overwritten: choose another with --film: {}",
            path.display()
        ))),
        Ok(false) => Ok(()),
        Err(_) => check_place(&path.components().collect::<PathBuf>(), "--film"),
    }
}

/// Finds out before the run whether `path` can be written.
///
/// `option` is the option that sets the path, for the error message.
pub fn check_writable(path: &Path, extension: &str, option: &str) -> Result<(), Failure> {
    if !path.extension().is_some_and(|given| given.eq_ignore_ascii_case(extension)) {
        return Err(Failure::usage(format!(
            "The file name for {option} must end in .{extension}, the format that is written: {}",
            path.display()
        )));
    }
    check_place(path, option)
}

fn check_place(path: &Path, option: &str) -> Result<(), Failure> {
    check_name(path).map_err(Failure::failed)?;
    if path.is_dir() {
        return Err(Failure::failed(format!(
            "A folder of this name exists: choose another name with {option}: {}",
            path.display()
        )));
    }
    let folder = folder_of(path);
    if !folder.is_dir() {
        return Err(Failure::failed(format!(
            "This folder does not exist: create it, or choose another with {option}: {}",
            folder.display()
        )));
    }
    // Taken and dropped at once: at worst an empty hidden file stays behind.
    let probe = ReservedName::first_free(folder, |number| format!(".tidepool-probe-{number}"));
    probe.map(drop).map_err(|error| {
        Failure::failed(format!(
            "This folder is not writable ({error}): change its permissions, or choose another with \
             {option}: {}",
            folder.display()
        ))
    })
}

/// Takes the first free `tidepool-N.png`.
fn reserve(folder: &Path) -> Result<ReservedName, Failure> {
    ReservedName::first_free(folder, |number| format!("tidepool-{number}.png")).map_err(|error| {
        Failure::failed(format!(
            "This folder is not writable ({error}): change its permissions, or name the picture with -o: {}",
            folder_of(&folder.join("tidepool.png")).display()
        ))
    })
}

/// `out.png` as `out-3.png`, and the folder `frames/` as `frames-3/`.
fn numbered(output: &Path, number: u32) -> PathBuf {
    let is_folder = AnimationFormat::from_path(output) == Some(AnimationFormat::Sequence);
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
        assert_eq!(AnimationFormat::from_path(&folder), Some(AnimationFormat::Sequence));
    }

    #[test]
    fn a_picture_whose_name_another_program_takes_gets_the_next_one() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let name = reserve(folder.path()).expect("a name");
        let mut files = OutputFiles {
            pictures: vec![name.path().to_owned()],
            reserved: vec![name],
            animations: Vec::new(),
            contact_sheets: Vec::new(),
            trace: None,
        };
        fs::write(folder.path().join("tidepool-1.png"), "theirs").expect("writes");
        let pixels = Pixels::new(8, 8, vec![0; 192]);
        files.write_picture(0, &pixels, &Provenance::default()).expect("saved");
        assert_eq!(files.pictures, [folder.path().join("tidepool-2.png")]);
        assert_eq!(fs::read(folder.path().join("tidepool-1.png")).expect("theirs"), b"theirs");
        assert!(files.pictures[0].is_file());
    }

    #[test]
    fn a_path_that_cannot_be_written_is_refused() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let check = |name: &str| check_writable(&folder.path().join(name), "png", "-o");
        fs::create_dir(folder.path().join("dir.png")).expect("makes a folder");
        assert!(check("out.png").is_ok());
        let long = "\u{72d0}".repeat(100) + ".png";
        assert!(check(&long).is_err_and(|error| error.status == 1 && error.text.contains("255")));
        assert!(check("out.jpg").is_err_and(|error| error.status == 2 && error.text.contains(".png")));
        for path in ["no/out.png", "dir.png"] {
            assert!(check(path).is_err_and(|error| error.status == 1 && error.text.contains("-o")), "{path}");
        }
        let left = fs::read_dir(folder.path()).expect("reads").count();
        assert_eq!(left, 1, "checking leaves no file behind");
    }
}
