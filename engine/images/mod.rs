//! Pictures in and out of files: pixels, PNG with the recipe inside, films.

mod pixels;

pub use pixels::Pixels;
