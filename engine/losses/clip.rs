//! What CLIP sees in the picture.

use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{
    GuideError, LossFunction, MaskedPicture, PrepareArgs, PreparedLoss, SmallPicture, guide, prepared,
};
use crate::checkpoint::{ClipModel, open_clip};

/// 1 less the cosine similarity of CLIP's embeddings of the picture and of a text (Radford et al., 2021).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClipText {
    pub text: String,
    /// A folder as transformers saves a `CLIPModel`; without one, the CLIP of the model that makes the picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<PathBuf>,
}

/// The same with another picture in place of the text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClipPicture {
    pub picture: SmallPicture,
    /// As of [`ClipText`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<PathBuf>,
}

const SCALE: f32 = 200.0;

impl ClipPicture {
    /// CLIP sees no more of a picture.
    pub const MAX_SIDE: u32 = 336;
}

impl LossFunction for ClipText {
    const NAME: &'static str = "clip";
    const LABEL: &'static str = "CLIP, a text";
    const HINT: &'static str = "What CLIP finds like a text";
    const SCALE: f32 = SCALE;

    fn example() -> Self {
        Self { text: "a red fox".into(), model: None }
    }

    fn parse(what: Option<&str>, target: Option<f32>) -> Result<Self, String> {
        super::expect_none(None, target)?;
        let text = what.filter(|text| !text.is_empty()).ok_or("it needs a text, such as :'a red fox'")?;
        Ok(Self { text: text.into(), model: None })
    }

    fn settings(&self) -> String {
        format!(":{}", guide::quoted(&self.text))
    }

    fn model(&self) -> Option<&Path> {
        self.model.as_deref()
    }

    fn set_model(&mut self, model: PathBuf) -> Result<(), String> {
        self.model = Some(model);
        Ok(())
    }

    fn prepare(&self, args: &PrepareArgs<'_>) -> Result<PreparedLoss, GuideError> {
        let clip = open(self.model.as_deref(), args)?;
        let wanted = clip.text_embedding(&self.text);
        unlikeness(clip, wanted)
    }
}

impl LossFunction for ClipPicture {
    const NAME: &'static str = "clip-picture";
    const LABEL: &'static str = "CLIP, a picture";
    const HINT: &'static str = "What CLIP finds like another picture";
    const SCALE: f32 = SCALE;

    fn example() -> Self {
        Self { picture: super::Picture::example().picture, model: None }
    }

    fn parse(what: Option<&str>, target: Option<f32>) -> Result<Self, String> {
        super::expect_none(None, target)?;
        let path = what.ok_or("it needs a picture, such as :photo.jpg")?;
        let picture = SmallPicture::load(Path::new(path), Self::MAX_SIDE);
        let picture = picture.map_err(|error| format!("its file cannot be. {error}"))?;
        Ok(Self { picture, model: None })
    }

    fn settings(&self) -> String {
        ":FILE".into()
    }

    fn check(&self) -> Result<(), String> {
        self.picture.expect_side(Self::MAX_SIDE)
    }

    fn model(&self) -> Option<&Path> {
        self.model.as_deref()
    }

    fn set_model(&mut self, model: PathBuf) -> Result<(), String> {
        self.model = Some(model);
        Ok(())
    }

    fn prepare(&self, args: &PrepareArgs<'_>) -> Result<PreparedLoss, GuideError> {
        let clip = open(self.model.as_deref(), args)?;
        let wanted = picture_embedding(&clip, &MaskedPicture::new(self.picture.to_tensor(args.device), None));
        unlikeness(clip, wanted)
    }
}

fn open(model: Option<&Path>, args: &PrepareArgs<'_>) -> Result<ClipModel, GuideError> {
    let opened = match model {
        Some(folder) => open_clip(folder, args.device),
        None => (args.own_clip)(),
    };
    opened.map_err(|error| GuideError::Model(error.to_string()))
}

fn unlikeness(clip: ClipModel, wanted: Tensor<2>) -> Result<PreparedLoss, GuideError> {
    prepared(move |picture| {
        let similarity = (picture_embedding(&clip, picture) * wanted.clone()).sum_dim(1);
        let [batch, _] = similarity.dims();
        -similarity.reshape([batch]) + 1.0
    })
}

/// The embedding of a picture, of length 1. What a mask leaves out has the mean colour of CLIP's training.
///
/// # Shapes
/// - output: `[batch, width]`
fn picture_embedding(clip: &ClipModel, picture: &MaskedPicture) -> Tensor<2> {
    let device = picture.pixels.device();
    let color = |rgb: [f32; 3]| Tensor::<1>::from_floats(rgb, &device).reshape([1, 3, 1, 1]);
    let centered = picture.difference_from(color(clip.image_mean));
    let side = clip.image_encoder.image_size();
    let pixels = super::resize::resize(centered, side, side) / color(clip.image_std);
    clip.picture_embedding(pixels)
}
