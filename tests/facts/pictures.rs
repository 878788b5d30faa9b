//! Pictures in and out of files.

#[path = "pictures/films.rs"]
mod films;
#[path = "pictures/mp4.rs"]
mod mp4;
#[path = "pictures/other_programs.rs"]
mod other_programs;
#[path = "pictures/recipe_texts.rs"]
mod recipe_texts;
#[path = "pictures/saving.rs"]
mod saving;
#[path = "pictures/start_images.rs"]
mod start_images;
