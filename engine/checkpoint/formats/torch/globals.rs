//! The names that a pickle of weights may refer to. All others end the reading.

use super::storage::Element;

/// A class or function, known by what it means for weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Global {
    /// `torch._utils._rebuild_tensor` and its second version.
    RebuildTensor,
    /// Wraps a tensor and adds nothing to it.
    RebuildParameter,
    /// `collections.OrderedDict`.
    Dict,
    /// A module that is a dictionary of tensors.
    ParameterDict,
    /// `torch.Size`, a tuple.
    Size,
    /// A storage class, by its row in [`ELEMENTS`].
    Element(usize),
    /// What training programs leave behind; nothing is made of it.
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

/// Seen in published checkpoints beside their weights.
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
    /// `Err` is half a sentence that names it.
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

/// The element of [`Global::Element`]'s row.
pub fn element_of(row: usize) -> Element {
    ELEMENTS[row].1
}
