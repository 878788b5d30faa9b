//! Fills a network with the weights of a file, found by the path of each parameter.
//!
//! A [`LoadPlan`] says what the network takes and is made before a number is read, so that a file that
//! does not fit is refused at once. Carrying it out is work for every core: each takes the next
//! weight, reads it by pieces and puts each piece where it belongs, in the precision and the order
//! that the network computes with, while the others wait for the disk.

use std::collections::{BTreeSet, HashMap};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use half::f16;

use super::OpenError;
use super::dtype::TensorDtype;
use super::key_map::{KeyCandidate, KeyMap, TensorSlice};
use super::read::{TensorRequest, read_all};
use super::weight_file::WeightFile;
use crate::cpu;

/// What the weights become.
pub struct Target<'a> {
    pub device: &'a Device,
    pub dtype: FloatDType,
}

/// Numbers as they are to lie in memory.
pub enum WeightData {
    F32(Vec<f32>),
    F16(Vec<f16>),
}

impl Target<'_> {
    /// True for weights that lie outputs last here, `[.., inputs, outputs]`, as their layer reads them.
    /// `holder` is the type of the layer, as burn names it.
    pub fn turns(&self, axes: usize, holder: &str) -> bool {
        axes > 1 && matches!(holder, "Struct:Linear" | "Struct:Conv2d") && cpu::is_cpu(self.device)
    }

    /// Numbers on the device, one after the other.
    pub fn upload(&self, numbers: WeightData) -> Tensor<1> {
        let data = match numbers {
            WeightData::F32(values) => {
                let len = values.len();
                TensorData::new(values, [len])
            }
            WeightData::F16(values) => {
                let len = values.len();
                TensorData::new(values, [len])
            }
        };
        Tensor::from_data(data, (self.device, DType::from(self.dtype)))
    }
}

/// The weight `[outputs, inputs, ..]` of numbers in the order of memory.
pub fn shaped<const D: usize>(numbers: Tensor<1>, shape: [usize; D], turned: bool) -> Tensor<D> {
    if !turned {
        return numbers.reshape(shape);
    }
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
    numbers.reshape(memory_shape).permute(logical_axes)
}

/// The weights of one network in a file, and how the file names them.
pub struct ComponentSource<'a> {
    pub file: &'a WeightFile,
    /// What the names of this part begin with; others are no concern of it.
    pub prefix: &'static str,
    pub table: KeyMap,
}

/// Which weights a network takes, each found and of the right shape.
pub struct LoadPlan<'a> {
    file: &'a WeightFile,
    target: &'a Target<'a>,
    wanted: Vec<TensorRequest>,
    places: HashMap<ParamId, usize>,
}

impl<'a> LoadPlan<'a> {
    /// # Errors
    /// The first weight that is missing, misshapen or spare, by its name.
    pub fn new<M: Module>(
        network: &M,
        part: &'a ComponentSource<'a>,
        target: &'a Target<'a>,
    ) -> Result<Self, OpenError> {
        let file = part.file;
        let table = &part.table;
        let mut planner = LoadPlanner { file, table, target, path: Vec::new(), found: Ok(Vec::new()) };
        network.visit(&mut planner);
        let mut found = planner.found?;
        // A disk with a moving head reads forwards best.
        found.sort_by_key(|(_, wanted)| file.place(&wanted.name));
        let places = found.iter().enumerate().map(|(index, (id, _))| (*id, index)).collect();
        let wanted: Vec<TensorRequest> = found.into_iter().map(|(_, wanted)| wanted).collect();

        let used: BTreeSet<&str> = wanted.iter().map(|wanted| wanted.name.as_str()).collect();
        let mut names = file.names().filter(|name| name.starts_with(part.prefix));
        match names.find(|name| !used.contains(name) && !part.table.is_ignored(&name[part.prefix.len()..])) {
            Some(name) => Err(OpenError::Spare(name.into(), file.path().to_owned())),
            None => Ok(Self { file, target, wanted, places }),
        }
    }

    /// Bytes that will be read.
    pub fn byte_len(&self) -> u64 {
        let len = |name: &str| self.file.kind(name).map_or(0, TensorDtype::len);
        self.wanted.iter().map(|wanted| (wanted.count() * len(&wanted.name)) as u64).sum()
    }

    /// Bytes that the weights take on the device.
    pub fn held_bytes(&self) -> u64 {
        let numbers: usize = self.wanted.iter().map(TensorRequest::count).sum();
        numbers as u64 * if self.target.dtype == FloatDType::F16 { 2 } else { 4 }
    }

    /// Reads the weights. `progress` is told the bytes read since it was last told, many times a
    /// second, and answers whether to go on.
    pub fn fill<M: Module>(self, network: M, progress: &mut dyn FnMut(u64) -> bool) -> Result<M, OpenError> {
        let mut tensors: Vec<Option<Tensor<1>>> = self.wanted.iter().map(|_| None).collect();
        let has_halves = self.target.dtype == FloatDType::F16;
        read_all(self.file, &self.wanted, has_halves, progress, &mut |index, numbers| {
            tensors[index] = Some(self.target.upload(numbers));
        })?;
        Ok(network.map(&mut WeightLoader { plan: self, tensors }))
    }
}

/// Walks over a network and finds the weight of each parameter.
struct LoadPlanner<'a> {
    file: &'a WeightFile,
    table: &'a KeyMap,
    target: &'a Target<'a>,
    /// Names of the fields we are in, each with the type that holds it.
    path: Vec<(String, String)>,
    found: Result<Vec<(ParamId, TensorRequest)>, OpenError>,
}

impl ModuleVisitor for LoadPlanner<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.push((name.into(), container_type.into()));
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.found.is_err() {
            return;
        }
        match (self.find(param.lazy_shape().to_vec()), &mut self.found) {
            (Ok(wanted), Ok(found)) => found.push((param.id, wanted)),
            (Err(error), found) => *found = Err(error),
            _ => {}
        }
    }
}

impl LoadPlanner<'_> {
    fn find(&self, shape: Vec<usize>) -> Result<TensorRequest, OpenError> {
        let file = self.file;
        // An enum's variant is our choice and no part of the name.
        let fields = self.path.iter().filter(|(_, container)| !container.starts_with("Enum:"));
        let path = fields.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(".");
        let candidates = self.table.candidates(&path);
        let known = candidates.iter().find(|spelling| file.shape(&spelling.name).is_some());
        let Some(KeyCandidate { name, share }) = known else {
            return Err(OpenError::Missing(candidates[0].name.clone(), file.path().to_owned()));
        };
        let expected = whole_shape(&shape, *share);
        let found = file.shape(name).unwrap_or_default();
        if !is_same_shape(&expected, found) {
            let (name, found, path) = (name.clone(), found.to_vec(), file.path().to_owned());
            return Err(OpenError::Misshapen { name, expected, found, path });
        }
        let holder = self.path.last().map_or("", |(_, container)| container.as_str());
        let turned = self.target.turns(shape.len(), holder);
        let skip = share.index * shape.iter().product::<usize>();
        Ok(TensorRequest { name: name.clone(), shape, skip, turned })
    }
}

/// Gives each parameter its tensor.
struct WeightLoader<'a> {
    plan: LoadPlan<'a>,
    tensors: Vec<Option<Tensor<1>>>,
}

impl ModuleMapper for WeightLoader<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let index = self.plan.places[&param.id];
        let wanted = &self.plan.wanted[index];
        let numbers =
            self.tensors[index].take().expect("every weight of the plan was read, for one parameter");
        let shape = std::array::from_fn(|axis| wanted.shape[axis]);
        Param::initialized(param.id, shaped(numbers, shape, wanted.turned))
    }
}

/// The shape of the tensor of which a weight is a share.
fn whole_shape(shape: &[usize], share: TensorSlice) -> Vec<usize> {
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
