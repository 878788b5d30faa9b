//! Pictures in files: PNG with the recipe inside, animations, start images, traces.
//!
//! A recipe is stored in two forms: [`Provenance`] as JSON, which is our own and complete, and the
//! `parameters` text of AUTOMATIC1111, which other programs read ([`to_parameters`],
//! [`from_parameters`]). [`write_png`] stores both and [`read_recipe`] finds either,
//! also in pictures of other programs.
//!
//! Architecture Invariant: files are written atomically, and the size of everything that is read is checked
//! first.

mod animation;
mod exif;
mod external_names;
mod grid;
mod jpeg;
mod metadata;
mod output_folder;
mod parameters;
mod pixels;
mod png_chunks;
mod recipe_search;
mod start_image;
mod text_raster;
mod trace;

pub use animation::{Animation, AnimationFormat, AnimationFrame, FPS, Panel, Playback, write_animation};
pub(crate) use animation::{at_size, paste};
pub use grid::Grid;
pub use metadata::{FoundRecipe, PROGRAM, Provenance, RecipeOrigin};
pub use output_folder::save_new;
pub use parameters::{from_parameters, to_parameters};
pub use pixels::Pixels;
pub use png_chunks::{replace_png, write_png};
pub use recipe_search::{RecipeReadError, read_recipe};
pub use start_image::{
    CropRect, StartImage, StartImageError, crop_and_resize, crop_to_fill, load, to_signed_planes,
};
pub(crate) use text_raster::{TextRaster, fill};
pub use trace::{Array, Trace, TraceError, TraceFile, read_trace, write_trace};
