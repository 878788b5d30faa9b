//! The residual block of the UNet and the VAE (diffusers' `ResnetBlock2D`).

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::layers::{Conv2d, GroupNorm, Linear};
use super::tiled_vae::{RowScale, TiledImage};
use crate::error::EngineError;

#[derive(Module, Debug)]
pub struct ResnetBlock {
    norm1: GroupNorm,
    conv1: Conv2d,
    /// `None` in the VAE, which has no timestep.
    time_emb_proj: Option<Linear>,
    norm2: GroupNorm,
    conv2: Conv2d,
    /// Present if the number of channels changes.
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
    /// - time: `[batch, 1, time_width]`, after its SiLU
    /// - output: `[batch, outputs, height, width]`
    pub fn forward(&self, x: Tensor<4>, time: Option<&Tensor<3>>) -> Tensor<4> {
        let h = self.norm1.forward_silu(x.clone());
        let h = match (&self.time_emb_proj, time) {
            (Some(projection), Some(time)) => {
                let shift = projection.forward(time.clone());
                let [batch, _, channels] = shift.dims();
                self.conv1.forward_add(h, shift.reshape([batch, channels, 1, 1]))
            }
            _ => self.conv1.forward(h),
        };
        let h = self.norm2.forward_silu(h);
        self.conv2.forward_add(h, self.shortcut(x))
    }

    /// [`Self::forward`] for a tiled picture, without time. The first half is computed twice, once for the
    /// statistics of its result, because keeping the result would take as much memory as the picture.
    pub fn forward_tiled<'a>(&self, x: TiledImage<'a>) -> Result<TiledImage<'a>, EngineError> {
        let x_stats = x.channel_stats();
        let first_half = |x: Tensor<4>| self.conv1.forward(self.norm1.forward_silu_with(x, &x_stats));
        let h_stats = x.channel_stats_after(RowScale::Same(1), &first_half)?;
        x.map(RowScale::Same(2), &|x| {
            let h = self.norm2.forward_silu_with(first_half(x.clone()), &h_stats);
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
