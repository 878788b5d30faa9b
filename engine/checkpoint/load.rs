//! Loads the weights of a file into a network, found by the path of each parameter.
//!
//! A [`LoadPlan`] lists the weights of the network and is made before any data is read, so a file that does
//! not match is refused at once. It is carried out on every core: each takes the next weight, reads it in
//! pieces and stores each piece in the precision and memory order that the network uses, while others wait
//! for the disk.

use std::array;
use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use half::f16;

use super::OpenError;
use super::dtype::TensorDtype;
use super::key_map::{KeyCandidate, KeyMap, TensorSlice};
use super::read::{TensorRequest, read_all};
use super::weight_file::WeightFile;
use crate::cpu;
use crate::gpu;

/// Where the weights go, and in which precision.
pub struct Target<'a> {
    pub device: &'a Device,
    pub dtype: FloatDType,
}

/// The numbers of a weight in their final memory order.
pub enum WeightData {
    F32(Vec<f32>),
    F16(Vec<f16>),
}

/// The order of a weight's axes in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AxisOrder {
    /// `[outputs, inputs, ..]`.
    File,
    /// `[.., inputs, outputs]`: what the kernels of `cpu` and `gpu` read.
    OutputsLast,
    /// `[outputs, .., inputs]`: what burn's convolution by matrix units reads.
    InputsLast,
}

impl AxisOrder {
    fn axes<const D: usize>(self) -> [usize; D] {
        array::from_fn(|axis| match (self, D - axis) {
            (Self::File, _) => axis,
            (Self::OutputsLast, 1) => 0,
            (Self::OutputsLast, 2) | (Self::InputsLast, 1) => 1,
            (Self::OutputsLast, _) => axis + 2,
            (Self::InputsLast, _) => {
                if axis == 0 {
                    0
                } else {
                    axis + 1
                }
            }
        })
    }
}

impl Target<'_> {
    /// The order in which a layer reads a weight. `layer` is the type of the layer, as burn names it.
    pub fn order(&self, axes: usize, layer: &str) -> AxisOrder {
        let by_matrix_units = self.dtype == FloatDType::F16 && gpu::has_matrix_units(self.device);
        match layer {
            "Struct:Conv2d" if axes > 1 && by_matrix_units => AxisOrder::InputsLast,
            "Struct:Linear" | "Struct:Conv2d" if axes > 1 && !by_matrix_units => AxisOrder::OutputsLast,
            _ => AxisOrder::File,
        }
    }

    /// Uploads the numbers as a flat tensor; those of a table stay on the CPU.
    pub fn upload(&self, data: WeightData, is_table: bool) -> Tensor<1> {
        let (data, dtype) = match data {
            WeightData::F32(values) => {
                let len = values.len();
                (TensorData::new(values, [len]), DType::F32)
            }
            WeightData::F16(values) => {
                let len = values.len();
                (TensorData::new(values, [len]), DType::F16)
            }
        };
        if is_table {
            return Tensor::from_data(data, &Device::flex());
        }
        gpu::keep(self.device, || Tensor::from_data(data, (self.device, dtype)))
    }
}

/// Networks with as many numbers keep the f16 matrices and kernels of their file on the CPU too, whose kernels widen them
/// block by block: half the memory, and half the bytes to fetch in each step. Smaller ones are in the cache or nearly
/// so, and are widened once.
const MIN_LARGE_NETWORK: usize = 50_000_000;

/// Shapes flat numbers in memory order into the weight `[outputs, inputs, ..]`.
pub fn shaped<const D: usize>(data: Tensor<1>, shape: [usize; D], order: AxisOrder) -> Tensor<D> {
    if order == AxisOrder::File {
        return data.reshape(shape);
    }
    let memory_axes: [usize; D] = order.axes();
    let memory_shape: [usize; D] = memory_axes.map(|axis| shape[axis]);
    let logical_axes: [isize; D] = array::from_fn(|axis| {
        memory_axes.iter().position(|&memory_axis| memory_axis == axis).expect("a permutation") as isize
    });
    data.reshape(memory_shape).permute(logical_axes)
}

/// True for the embeddings of the vocabulary, by the path of the parameter.
pub fn is_table(path: &[(String, String)]) -> bool {
    path.iter().any(|(name, _)| name == "token_embedding")
}

/// The weights of one network in a file, and how the file names them.
pub struct ComponentSource<'a> {
    pub file: &'a WeightFile,
    /// The prefix of this component's keys.
    pub prefix: &'static str,
    pub key_map: KeyMap,
}

/// The weights of a network, each located and of the right shape.
pub struct LoadPlan<'a> {
    file: &'a WeightFile,
    target: &'a Target<'a>,
    requests: Vec<TensorRequest>,
    indices: HashMap<ParamId, usize>,
}

impl<'a> LoadPlan<'a> {
    /// # Errors
    /// The first weight that is missing, misshapen or of an unsupported type, by its name.
    pub fn new<M: Module>(
        network: &M,
        source: &'a ComponentSource<'a>,
        target: &'a Target<'a>,
    ) -> Result<Self, OpenError> {
        let file = source.file;
        let key_map = &source.key_map;
        let mut planner = LoadPlanner { file, key_map, target, path: Vec::new(), found: Ok(Vec::new()) };
        network.visit(&mut planner);
        let mut found = planner.found?;
        // Hard disks read fastest in file order.
        found.sort_by_key(|(_, request)| file.location(&request.name));
        let indices = found.iter().enumerate().map(|(index, (id, _))| (*id, index)).collect();
        let requests = found.into_iter().map(|(_, request)| request).collect();
        let mut plan = Self { file, target, requests, indices };
        if plan.requests.iter().map(TensorRequest::count).sum::<usize>() >= MIN_LARGE_NETWORK {
            plan.keep_halves();
        }
        Ok(plan)
    }

    /// Leaves f16 what the kernels of the CPU widen themselves.
    fn keep_halves(&mut self) {
        if !cpu::is_cpu(self.target.device) {
            return;
        }
        for request in self.requests.iter_mut().filter(|request| request.order == AxisOrder::OutputsLast) {
            request.is_half = self.file.dtype(&request.name) == Some(TensorDtype::F16);
        }
    }

    /// The keys of the weights.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.requests.iter().map(|request| request.name.as_str())
    }

    /// Bytes that will be read.
    pub fn byte_len(&self) -> u64 {
        let len = |name: &str| self.file.dtype(name).map_or(0, TensorDtype::len);
        self.requests.iter().map(|request| (request.count() * len(&request.name)) as u64).sum()
    }

    /// Bytes that the weights take on the device.
    pub fn held_bytes(&self) -> u64 {
        let bytes = |request: &TensorRequest| request.count() * if request.is_half { 2 } else { 4 };
        self.requests.iter().map(|request| bytes(request) as u64).sum()
    }

    /// Reads the weights. `progress` is called several times a second with the bytes read since its last
    /// call, and returns whether to continue.
    pub fn fill<M: Module>(self, network: M, progress: &mut dyn FnMut(u64) -> bool) -> Result<M, OpenError> {
        let mut tensors: Vec<Option<Tensor<1>>> = self.requests.iter().map(|_| None).collect();
        read_all(self.file, &self.requests, progress, &mut |index, data| {
            tensors[index] = Some(self.target.upload(data, self.requests[index].is_table));
        })?;
        Ok(network.map(&mut WeightLoader { plan: self, tensors }))
    }
}

/// Visits a network and locates the weight of each parameter.
struct LoadPlanner<'a> {
    file: &'a WeightFile,
    key_map: &'a KeyMap,
    target: &'a Target<'a>,
    /// The names of the enclosing fields, each with the type that contains it.
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
            (Ok(request), Ok(found)) => found.push((param.id, request)),
            (Err(error), found) => *found = Err(error),
            _ => {}
        }
    }
}

impl LoadPlanner<'_> {
    fn find(&self, shape: Vec<usize>) -> Result<TensorRequest, OpenError> {
        let file = self.file;
        // The variant of an enum is not part of the key.
        let fields = self.path.iter().filter(|(_, container)| !container.starts_with("Enum:"));
        let path = fields.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(".");
        let candidates = self.key_map.candidates(&path);
        let is_there = |candidate: &&KeyCandidate| file.shape(&candidate.name).is_some();
        let fits = |candidate: &&KeyCandidate| {
            let found = file.shape(&candidate.name);
            found.is_some_and(|found| is_same_shape(&whole_shape(&shape, candidate.slice), found))
        };
        let found = candidates.iter().find(fits).or_else(|| candidates.iter().find(is_there));
        let Some(candidate) = found else { return Err(file.missing(&candidates[0].name)) };
        let KeyCandidate { name, slice } = candidate;
        if !fits(&candidate) {
            let (expected, found) = (whole_shape(&shape, *slice), file.shape(name).unwrap_or_default());
            let (name, found, path) = (name.clone(), found.to_vec(), file.path().to_owned());
            return Err(OpenError::Misshapen { name, expected, found, path });
        }
        let dtype = file.weight_dtype(name)?;
        // The names of ComfyUI.
        let is_scaled = name.strip_suffix("weight").is_some_and(|stem| {
            ["scale_weight", "weight_scale"]
                .iter()
                .any(|scale| file.shape(&format!("{stem}{scale}")).is_some())
        });
        if dtype.len() == 1 && is_scaled {
            let what = "weights of 8 bits with a scale each (scaled fp8)";
            return Err(OpenError::Unsupported(what.into(), file.path().to_owned()));
        }
        let layer = self.path.last().map_or("", |(_, container)| container.as_str());
        let order = self.target.order(shape.len(), layer);
        let skip = slice.index * shape.iter().product::<usize>();
        let is_table = is_table(&self.path);
        let is_half = self.target.dtype == FloatDType::F16;
        Ok(TensorRequest { name: name.clone(), shape, skip, order, is_table, is_half })
    }
}

/// Gives each parameter its tensor.
struct WeightLoader<'a> {
    plan: LoadPlan<'a>,
    tensors: Vec<Option<Tensor<1>>>,
}

impl ModuleMapper for WeightLoader<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let index = self.plan.indices[&param.id];
        let request = &self.plan.requests[index];
        let data =
            self.tensors[index].take().expect("every weight of the plan was read, each for one parameter");
        let shape = array::from_fn(|axis| request.shape[axis]);
        Param::initialized(param.id, shaped(data, shape, request.order))
    }
}

/// The shape of the tensor that a weight is a slice of.
fn whole_shape(shape: &[usize], slice: TensorSlice) -> Vec<usize> {
    let mut whole = shape.to_vec();
    if let Some(first) = whole.first_mut() {
        *first *= slice.parts;
    }
    whole
}

/// True if the shapes are equal; a matrix equals the kernel of a 1 x 1 convolution.
fn is_same_shape(expected: &[usize], found: &[usize]) -> bool {
    let (short, long) = if expected.len() <= found.len() { (expected, found) } else { (found, expected) };
    let extra = long.get(short.len()..).unwrap_or_default();
    long.starts_with(short) && (extra.is_empty() || short.len() == 2 && extra == [1, 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::ModelSource;
    use crate::checkpoint::component_files::{ComponentFiles, DIFFUSERS};
    use crate::checkpoint::config::ModelConfig;
    use crate::checkpoint::key_map;
    use crate::diffusion::NoiseStreams;
    use crate::models::{Context, values};

    /// Widening is exact; only the order of the sums differs.
    #[test]
    fn a_unet_whose_weights_stay_f16_predicts_what_the_widened_one_predicts() {
        let files = ComponentFiles::new(&ModelSource::BuiltIn);
        let config = ModelConfig::read(&files, true).expect("a configuration");
        let file = files.weights("unet", DIFFUSERS).expect("weights");
        let source = ComponentSource { file: &file, prefix: "", key_map: key_map::unet() };
        let device = Device::flex();
        let target = Target { device: &device, dtype: FloatDType::F32 };
        let random = |seed, shape: [usize; 4]| {
            let noise = NoiseStreams::new(seed, shape[0]).draw(shape);
            Tensor::<4>::from_data(TensorData::new(noise.data, shape), &device)
        };
        let text = random(2, [1, 1, 77, config.unet.cross_attention_dim]).reshape([1, 77, -1]);
        let [(wide, wide_bytes), (half, half_bytes)] = [false, true].map(|keeps| {
            let network = config.unet.init(&device);
            let mut plan = LoadPlan::new(&network, &source, &target).expect("a plan");
            if keeps {
                plan.keep_halves();
            }
            let bytes = plan.held_bytes();
            let network = plan.fill(network, &mut |_| true).expect("a network");
            let context = Context { text: &text, observer: None };
            let x = random(1, [1, 4, 16, 16]);
            let predicted = network.forward(x, 500.0, context, &|| false).expect("a prediction");
            (values(predicted).expect("numbers"), bytes)
        });
        assert!(half_bytes * 100 < wide_bytes * 51, "{half_bytes} of {wide_bytes}");
        let largest = wide.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        for (wide, half) in wide.iter().zip(&half) {
            assert!((wide - half).abs() <= 1e-5 * largest, "{wide} {half}");
        }
    }
}
