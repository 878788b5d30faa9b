//! Fills a network with the weights of a file, found by the path of each parameter.

use std::collections::BTreeSet;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use rayon::prelude::*;

use super::OpenError;
use super::names::{Share, Spelling, Table};
use super::weights::WeightFile;
use crate::cpu;

/// What the weights become.
pub struct Target<'a> {
    pub device: &'a Device,
    pub dtype: FloatDType,
}

impl Target<'_> {
    /// A weight on the device, in the memory order in which its layer reads it. `holder` is the type of
    /// the layer, as burn names it.
    pub fn place<const D: usize>(&self, values: Vec<f32>, shape: [usize; D], holder: &str) -> Tensor<D> {
        let is_product = matches!(holder, "Struct:Linear" | "Struct:Conv2d");
        if is_product && D > 1 && cpu::is_cpu(self.device) {
            return outputs_last(&values, shape, self.device);
        }
        Tensor::from_data(TensorData::new(values, shape), (self.device, DType::from(self.dtype)))
    }
}

/// The weights of one network in a file, and how the file names them.
pub struct Part<'a> {
    pub file: &'a WeightFile,
    /// What the names of this part begin with; others are no concern of it.
    pub prefix: &'static str,
    pub table: Table,
}

impl Part<'_> {
    /// Bytes of its weights.
    pub fn byte_len(&self) -> u64 {
        self.names().map(|name| self.file.byte_len(name)).sum()
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.file.names().filter(|name| name.starts_with(self.prefix))
    }
}

/// Fills `network` from a part of a file. `progress` is told the bytes read, and answers whether to go on.
///
/// # Errors
/// The first weight that is missing, misshapen or spare, by its name.
pub fn load<M: Module>(
    network: M,
    part: &Part<'_>,
    target: &Target<'_>,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<M, OpenError> {
    let mut filler = Filler {
        file: part.file,
        table: &part.table,
        target,
        progress,
        path: Vec::new(),
        used: BTreeSet::new(),
        error: None,
    };
    let network = network.map(&mut filler);
    if let Some(error) = filler.error {
        return Err(error);
    }
    let mut spare = part
        .names()
        .filter(|name| !filler.used.contains(*name) && !part.table.is_spare(&name[part.prefix.len()..]));
    match spare.next() {
        Some(name) => Err(OpenError::Spare(name.into(), part.file.path().to_owned())),
        None => Ok(network),
    }
}

struct Filler<'a> {
    file: &'a WeightFile,
    table: &'a Table,
    target: &'a Target<'a>,
    progress: &'a mut dyn FnMut(u64) -> bool,
    /// Names of the fields we are in, each with the type that holds it.
    path: Vec<(String, String)>,
    used: BTreeSet<String>,
    error: Option<OpenError>,
}

impl ModuleMapper for Filler<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.push((name.into(), container_type.into()));
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.error.is_some() {
            return param;
        }
        match self.weight(&param) {
            Ok(value) => Param::initialized(param.id, value),
            Err(error) => {
                self.error = Some(error);
                param
            }
        }
    }
}

impl Filler<'_> {
    fn weight<const D: usize>(&mut self, param: &Param<Tensor<D>>) -> Result<Tensor<D>, OpenError> {
        // An enum's variant is our choice and no part of the name.
        let fields = self.path.iter().filter(|(_, container)| !container.starts_with("Enum:"));
        let path = fields.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(".");
        let spellings = self.table.spellings(&path);
        let file_path = || self.file.path().to_owned();
        let known = spellings.iter().find(|spelling| self.file.shape(&spelling.name).is_some());
        let Some(Spelling { name, share }) = known else {
            return Err(OpenError::Missing(spellings[0].name.clone(), file_path()));
        };
        let shape: [usize; D] = std::array::from_fn(|axis| param.lazy_shape()[axis]);
        let expected = whole_shape(&shape, *share);
        let found = self.file.shape(name).unwrap_or_default();
        if !is_same_shape(&expected, found) {
            return Err(OpenError::Misshapen {
                name: name.clone(),
                expected,
                found: found.to_vec(),
                path: file_path(),
            });
        }
        let (mut values, bytes) = self.file.read(name)?;
        if *share != Share::WHOLE {
            let len = values.len() / share.of;
            values = values[share.index * len..][..len].to_vec();
        }
        self.used.insert(name.clone());
        if !(self.progress)(bytes / share.of as u64) {
            return Err(OpenError::Stopped);
        }
        let holder = self.path.last().map_or("", |(_, container)| container.as_str());
        Ok(self.target.place(values, shape, holder))
    }
}

/// The shape of the tensor of which a weight is a share.
fn whole_shape(shape: &[usize], share: Share) -> Vec<usize> {
    let mut whole = shape.to_vec();
    if let Some(first) = whole.first_mut() {
        *first *= share.of;
    }
    whole
}

/// The same, but for a matrix written as the kernel of a convolution of 1 x 1, or the other way.
fn is_same_shape(expected: &[usize], found: &[usize]) -> bool {
    let (short, long) = if expected.len() <= found.len() { (expected, found) } else { (found, expected) };
    let extra = long.get(short.len()..).unwrap_or_default();
    long.starts_with(short) && (extra.is_empty() || short.len() == 2 && extra == [1, 1])
}

/// A weight `[outputs, inputs, ..]` that lies in memory as `[.., inputs, outputs]`, the order in
/// which the kernels read it.
fn outputs_last<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    /// Rows of the result written together, so that each cache line of the source is used whole.
    const ROWS: usize = 16;
    let (outputs, inputs) = (shape[0], shape[1]);
    let taps: usize = shape[2..].iter().product();
    let mut turned = vec![0.0; values.len()];
    turned.par_chunks_mut(ROWS * outputs).enumerate().for_each(|(block, turned)| {
        for output in 0..outputs {
            let source = &values[output * inputs * taps..][..inputs * taps];
            for row in 0..turned.len() / outputs {
                let (tap, input) = ((block * ROWS + row) / inputs, (block * ROWS + row) % inputs);
                turned[row * outputs + output] = source[input * taps + tap];
            }
        }
    });
    // Axes of the memory: those after the second, then inputs, then outputs.
    let memory_axes: [usize; D] = std::array::from_fn(|at| match D - at {
        1 => 0,
        2 => 1,
        _ => at + 2,
    });
    let memory_shape: [usize; D] = memory_axes.map(|axis| shape[axis]);
    let logical_axes: [isize; D] = std::array::from_fn(|axis| {
        memory_axes.iter().position(|&at| at == axis).expect("a permutation") as isize
    });
    Tensor::<D>::from_data(TensorData::new(turned, memory_shape), device).permute(logical_axes)
}
