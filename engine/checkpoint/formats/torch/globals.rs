//! The classes and functions of a pickle that have a meaning for weights.

use super::storage::Element;

/// A class or function, by its meaning for weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Global {
    /// `torch._utils._rebuild_tensor` and its second version.
    RebuildTensor,
    /// Its third version, whose storage has no type.
    RebuildTensorV3,
    /// Moves a tensor, or a numpy array, to a device that cannot be saved, such as a TPU.
    RebuildDeviceTensor,
    /// A wrapper of a tensor.
    RebuildParameter,
    /// A tensor with attributes.
    RebuildFromType,
    /// `dict` and its subclasses that are made of a list of pairs, or empty.
    Dict,
    /// A module that is a dictionary of tensors.
    ParameterDict,
    /// `torch.Size`, a tuple.
    Size,
    /// A storage class.
    Storage(Element),
    /// A type of module `torch`.
    Dtype(Element),
    /// `numpy.dtype`.
    NumpyDtype,
    /// An empty numpy array, whose contents follow.
    NumpyArray,
    /// `_codecs.encode`, which makes bytes of a text.
    Encode,
}

impl Global {
    /// `None` for any other, which is never used.
    pub fn named(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_tensor_v3") => Self::RebuildTensorV3,
            (
                "torch._utils",
                "_rebuild_device_tensor_from_numpy"
                | "_rebuild_device_tensor_from_cpu_tensor"
                | "_rebuild_xla_tensor",
            ) => Self::RebuildDeviceTensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")
            | ("torch.nn.parameter", "Parameter") => Self::RebuildParameter,
            ("torch._tensor", "_rebuild_from_type_v2") => Self::RebuildFromType,
            ("collections", "OrderedDict" | "defaultdict") | ("builtins" | "__builtin__", "dict") => {
                Self::Dict
            }
            ("torch.nn.modules.container", "ParameterDict") => Self::ParameterDict,
            ("torch", "Size") => Self::Size,
            ("torch.storage", "UntypedStorage") => Self::Storage(Element::BYTE),
            ("torch", name) => Element::of_class(name)
                .map(Self::Storage)
                .or_else(|| Element::of_dtype(name).map(Self::Dtype))?,
            ("numpy", "dtype") => Self::NumpyDtype,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Self::NumpyArray,
            ("_codecs", "encode") => Self::Encode,
            _ => return None,
        })
    }
}
