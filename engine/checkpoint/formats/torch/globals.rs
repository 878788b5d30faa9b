//! The classes and functions that a pickle of weights may refer to. Any other is an error.

use super::storage::Element;

/// A class or function, by its meaning for weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Global {
    /// `torch._utils._rebuild_tensor` and its second version.
    RebuildTensor,
    /// A wrapper of a tensor.
    RebuildParameter,
    /// `collections.OrderedDict`.
    Dict,
    /// A module that is a dictionary of tensors.
    ParameterDict,
    /// `torch.Size`, a tuple.
    Size,
    /// A storage class, by its row in [`ELEMENTS`].
    Element(usize),
    /// What training programs leave behind; ignored.
    Opaque,
}

/// Storage classes of module `torch`, and their elements.
const ELEMENTS: [(&str, Element); 10] = [
    ("FloatStorage", Element::F32),
    ("HalfStorage", Element::F16),
    ("BFloat16Storage", Element::BF16),
    ("DoubleStorage", Element::F64),
    ("LongStorage", Element::I64),
    ("IntStorage", Element::I32),
    ("ShortStorage", Element::I16),
    ("CharStorage", Element::I8),
    ("ByteStorage", Element::U8),
    ("BoolStorage", Element::Bool),
];

/// Classes and functions in published checkpoints that have nothing to do with their weights.
const IGNORED_GLOBALS: [(&str, &str); 17] = [
    ("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint"),
    ("pytorch_lightning.callbacks.early_stopping", "EarlyStopping"),
    ("lightning.pytorch.callbacks.model_checkpoint", "ModelCheckpoint"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
    ("builtins", "set"),
    ("__builtin__", "set"),
    ("builtins", "dict"),
    ("torch", "device"),
    ("torch", "float16"),
    ("torch", "float32"),
    ("torch", "bfloat16"),
    ("torch", "strided"),
    ("torch.serialization", "_get_layout"),
    ("argparse", "Namespace"),
];

impl Global {
    /// `Err` is a clause that names it.
    pub fn named(module: &str, name: &str) -> Result<Self, String> {
        Ok(match (module, name) {
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch.nn.parameter", "Parameter") => Self::RebuildParameter,
            ("collections", "OrderedDict") => Self::Dict,
            ("torch.nn.modules.container", "ParameterDict") => Self::ParameterDict,
            ("torch", "Size") => Self::Size,
            ("torch", _) if ELEMENTS.iter().any(|(class, _)| *class == name) => {
                let row = ELEMENTS.iter().position(|(class, _)| *class == name);
                Self::Element(row.expect("the row was just found"))
            }
            _ if IGNORED_GLOBALS.contains(&(module, name)) => Self::Opaque,
            _ => return Err(format!("it asks to run {module}.{name}, which weights do not need")),
        })
    }
}

/// The element type of a row of [`ELEMENTS`].
pub fn element_of(row: usize) -> Element {
    ELEMENTS[row].1
}
