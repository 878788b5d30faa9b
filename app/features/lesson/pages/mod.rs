//! The pages of the lesson, one file each, in the order of [`super::LessonPage`].

pub(crate) mod autoencoder;
pub(crate) mod guidance;
pub(crate) mod losses;
pub(crate) mod noise;
pub(crate) mod prediction;
pub(crate) mod samplers;
pub(crate) mod sampling_loop;
pub(crate) mod start_image;
pub(crate) mod text;
