//! The residual block that UNet and VAE are made of (diffusers' `ResnetBlock2D`).

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::layers::{Conv2d, GroupNorm, Linear, silu};
use super::tiled_vae::{RowPadding, TiledImage};
use crate::error::EngineError;

#[derive(Module, Debug)]
pub struct ResnetBlock {
    norm1: GroupNorm,
    conv1: Conv2d,
    /// Absent in the VAE, which knows no time.
    time_emb_proj: Option<Linear>,
    norm2: GroupNorm,
    conv2: Conv2d,
    /// Present where the channels change.
    conv_shortcut: Option<Conv2d>,
}

#[derive(Clone, Copy, Debug)]
pub struct ResnetConfig {
    pub inputs: usize,
    pub outputs: usize,
    pub groups: usize,
    pub epsilon: f64,
    pub time_width: Option<usize>,
}

impl ResnetConfig {
    pub fn init(&self, device: &Device) -> ResnetBlock {
        let Self { inputs, outputs, groups, epsilon, time_width } = *self;
        ResnetBlock {
            norm1: GroupNorm::new(groups, inputs, epsilon, device),
            conv1: Conv2d::new([inputs, outputs], 3, device),
            time_emb_proj: time_width.map(|width| Linear::new(width, outputs, device)),
            norm2: GroupNorm::new(groups, outputs, epsilon, device),
            conv2: Conv2d::new([outputs, outputs], 3, device),
            conv_shortcut: (inputs != outputs).then(|| Conv2d::new([inputs, outputs], 1, device)),
        }
    }
}

impl ResnetBlock {
    /// # Shapes
    /// - x: `[batch, inputs, height, width]`
    /// - time: `[batch, 1, time_width]`, after its SiLU is applied here
    /// - output: `[batch, outputs, height, width]`
    pub fn forward(&self, x: Tensor<4>, time: Option<&Tensor<3>>) -> Tensor<4> {
        let h = self.norm1.forward_silu(x.clone());
        let h = match (&self.time_emb_proj, time) {
            (Some(projection), Some(time)) => {
                let shift = projection.forward(silu(time.clone()));
                let [batch, _, channels] = shift.dims();
                self.conv1.forward_add(h, shift.reshape([batch, channels, 1, 1]))
            }
            _ => self.conv1.forward(h),
        };
        let h = self.norm2.forward_silu(h);
        self.conv2.forward_add(h, self.shortcut(x))
    }

    /// The same of a picture in bands, without time. The first half is done twice, once for the
    /// statistics of its result, since that would take as much room as the picture.
    pub fn forward_in_bands<'a>(&self, x: TiledImage<'a>) -> Result<TiledImage<'a>, EngineError> {
        let of_x = x.spread();
        let first_half = |x: Tensor<4>| self.conv1.forward(self.norm1.forward_silu_by(x, &of_x));
        let of_h = x.spread_after(RowPadding::Kept(1), &first_half)?;
        x.map(RowPadding::Kept(2), &|x| {
            let h = self.norm2.forward_silu_by(first_half(x.clone()), &of_h);
            self.conv2.forward_add(h, self.shortcut(x))
        })
    }

    fn shortcut(&self, x: Tensor<4>) -> Tensor<4> {
        match &self.conv_shortcut {
            Some(conv) => conv.forward(x),
            None => x,
        }
    }
}
