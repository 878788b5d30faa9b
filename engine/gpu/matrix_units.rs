//! Convolution by matrix units (cooperative matrices, tensor cores): cubek's implicit GEMM, always the same one.
//!
//! burn would time it against others at the first use of every shape, among them one that sums in f16.

use burn::backend::TensorMetadata;
use burn_wgpu::CubeTensor;
use cubek_convolution::components::ConvSetupError;
use cubek_convolution::{
    AcceleratedTileKind, ConvAlgorithm, ConvolutionArgs, ConvolutionInputs, Strategy, launch_ref,
};
use cubek_matmul::definition::{MatmulElems, MatmulGlobalElems};
use cubek_std::InputBinding;

use super::{contiguous, dims, elem_type, empty};
use crate::cpu::Conv2dShape;

/// # Shapes
/// - x: `[batch, height, width, inputs]`
/// - weight: `[outputs, kernel, kernel, inputs]`
/// - bias: `[outputs]`
/// - output: `[batch, .., .., outputs]`
///
/// # Errors
/// If the GPU's matrix units do not take these shapes.
pub fn conv2d(
    x: &CubeTensor,
    weight: &CubeTensor,
    bias: Option<&CubeTensor>,
    shape: Conv2dShape,
) -> Result<CubeTensor, ConvSetupError> {
    let (x, weight) = (contiguous(x.clone()), contiguous(weight.clone()));
    let [batch, height, width, _] = dims(&x);
    let out = empty(&x, [batch, shape.reach(height), shape.reach(width), weight.shape()[0]]);
    let (client, elem) = (x.client.clone(), elem_type(&x));
    let input = |tensor: CubeTensor| InputBinding::Normal(tensor.binding(), elem);
    launch_ref::<2>(
        &Strategy::Inferred {
            algorithm: ConvAlgorithm::SimpleSyncCyclic,
            tile_kind: AcceleratedTileKind::Cmma,
        },
        &client,
        ConvolutionInputs::Forward {
            input: input(x),
            weight: input(weight),
            bias: bias.map(|bias| input(contiguous(bias.clone()))),
            out: out.clone().binding(),
        },
        ConvolutionArgs { stride: [shape.stride; 2], padding: [shape.pad_before; 2], dilation: [1; 2] },
        // The sums are f32: the accumulator that cubek chooses for f16.
        MatmulElems::from_globals(&MatmulGlobalElems { lhs: elem, rhs: elem, out: elem }),
    )?;
    Ok(out)
}
