//! Scales pictures by a product with matrices, which every device can differentiate.

use burn::tensor::{Tensor, TensorData};

/// Scales to `width` x `height` with a triangle filter that is as wide as a new pixel, at least as an old one: PyTorch's
/// `interpolate(.., mode="bilinear", antialias=True)`.
///
/// # Shapes
/// - x: `[batch, channels, old height, old width]`
/// - output: `[batch, channels, height, width]`
pub(super) fn resize(x: Tensor<4>, width: usize, height: usize) -> Tensor<4> {
    let [batch, channels, old_height, old_width] = x.dims();
    if (old_width, old_height) == (width, height) {
        return x;
    }
    let matrix = |old: usize, new: usize| {
        Tensor::<2>::from_data(TensorData::new(weights(old, new), [new, old]), &x.device())
    };
    let (columns, rows) = (matrix(old_width, width), matrix(old_height, height));
    let x = x.reshape([batch * channels * old_height, old_width]).matmul(columns.transpose());
    let x = x.reshape([batch * channels, old_height, width]).swap_dims(1, 2);
    let x = x.reshape([batch * channels * width, old_height]).matmul(rows.transpose());
    x.reshape([batch * channels, width, height]).swap_dims(1, 2).reshape([batch, channels, height, width])
}

/// The weight of each old pixel in each new one, a row for each new one.
fn weights(old: usize, new: usize) -> Vec<f32> {
    let scale = old as f64 / new as f64;
    let support = scale.max(1.0);
    let row = |index: usize| {
        let center = scale * (index as f64 + 0.5);
        let weight = |pixel: usize| (1.0 - ((pixel as f64 + 0.5 - center) / support).abs()).max(0.0);
        let weights: Vec<f64> = (0..old).map(weight).collect();
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(move |weight| (weight / sum) as f32)
    };
    (0..new).flat_map(row).collect()
}
