//! Weight files made byte by byte: sound, malformed and malicious ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::checkpoint::WeightFile;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;

use super::cpu_time::assert_cpu_time_below;
use super::folders::folder;
use super::numbers::golden_folder;

/// A tensor to be written: its name, shape and numbers, which are f16.
#[derive(Clone)]
pub struct TestTensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub data: Vec<u8>,
}

impl TestTensor {
    pub fn new(name: &str, shape: &[usize]) -> Self {
        let count: usize = shape.iter().product();
        // Small numbers that differ from name to name and from place to place.
        let seed = name.bytes().fold(7u32, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
        let half = |index: usize| {
            let mixed = (index as u32 ^ seed).wrapping_mul(0x9e37_79b9);
            // An exponent of 2^-5 to 2^-4, any sign and mantissa.
            ((mixed >> 16) as u16 & 0x83ff | 0x2800).to_le_bytes()
        };
        Self { name: name.into(), shape: shape.into(), data: (0..count).flat_map(half).collect() }
    }

    /// Four times as large, all of them.
    fn widen(&mut self) {
        self.data.iter_mut().skip(1).step_by(2).for_each(|high| *high += 8);
    }

    /// The same numbers under another name, and in another shape.
    pub fn moved(&self, name: &str, shape: &[usize]) -> Self {
        assert_eq!(2 * shape.iter().product::<usize>(), self.data.len(), "{name}");
        Self { name: name.into(), shape: shape.into(), data: self.data.clone() }
    }
}

pub fn save_safetensors(path: &Path, tensors: &[TestTensor]) {
    let views = tensors.iter().map(|given| {
        let view = TensorView::new(Dtype::F16, given.shape.clone(), &given.data).expect("a tensor");
        (given.name.as_str(), view)
    });
    fs::write(path, safetensors::serialize(views, None).expect("serializes")).expect("writes");
}

/// A safetensors file with this header and `data_len` bytes of data.
pub fn safetensors_of(header: &str, data_len: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data_len]].concat()
}

// Pieces of a pickle of protocol 2.

pub fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

pub fn int(value: i64) -> Vec<u8> {
    [&b"\x8a\x08"[..], &value.to_le_bytes()].concat()
}

pub fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [b"(", items.concat().as_slice(), b"t"].concat()
}

pub fn ints(values: &[i64]) -> Vec<u8> {
    tuple(&values.iter().copied().map(int).collect::<Vec<_>>())
}

pub fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

pub fn call(global: Vec<u8>, arguments: Vec<u8>) -> Vec<u8> {
    [global, arguments, b"R".to_vec()].concat()
}

pub fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entries: Vec<u8> =
        entries.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect();
    [b"}(", entries.as_slice(), b"u"].concat()
}

pub fn storage(class: &str, key: &str, elements: i64) -> Vec<u8> {
    let parts = [text("storage"), global("torch", class), text(key), text("cpu"), int(elements)];
    [tuple(&parts), b"Q".to_vec()].concat()
}

pub fn tensor(storage: Vec<u8>, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let hooks = call(global("collections", "OrderedDict"), tuple(&[]));
    let parts = [storage, int(offset), ints(shape), ints(strides), b"\x89".to_vec(), hooks];
    call(global("torch._utils", "_rebuild_tensor_v2"), tuple(&parts))
}

/// A tensor over a storage of 32 bytes without a type, as PyTorch writes its newer types.
pub fn tensor_of(dtype: &str, key: &str, count: i64) -> Vec<u8> {
    let class = global("torch.storage", "UntypedStorage");
    let bytes = [tuple(&[text("storage"), class, text(key), text("cpu"), int(32)]), b"Q".to_vec()].concat();
    let hooks = call(global("collections", "OrderedDict"), tuple(&[]));
    let parts = [bytes, int(0), ints(&[count]), ints(&[1]), b"\x89".to_vec(), hooks, global("torch", dtype)];
    call(global("torch._utils", "_rebuild_tensor_v3"), tuple(&parts))
}

/// A tensor as a numpy array, as PyTorch writes what is on a device without storages.
pub fn device_array(code: &str, shape: &[i64], bytes: &[u8]) -> Vec<u8> {
    let bytes = [&[b'C', bytes.len() as u8], bytes].concat();
    let dtype = call(global("numpy", "dtype"), tuple(&[text(code)]));
    let empty = call(global("numpy.core.multiarray", "_reconstruct"), tuple(&[]));
    let state = tuple(&[int(1), ints(shape), dtype, b"\x89".to_vec(), bytes]);
    let array = [empty, state, b"b".to_vec()].concat();
    call(global("torch._utils", "_rebuild_device_tensor_from_numpy"), tuple(&[array]))
}

pub fn pickle(body: &[u8]) -> Vec<u8> {
    [b"\x80\x02", body, b"."].concat()
}

/// A pickle of the tensors, each in a storage of its own.
fn pickle_of(tensors: &[TestTensor]) -> Vec<u8> {
    let entries = tensors.iter().enumerate().map(|(index, given)| {
        let shape: Vec<i64> = given.shape.iter().map(|&side| side as i64).collect();
        let strides: Vec<i64> = (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect();
        let storage = storage("HalfStorage", &index.to_string(), given.data.len() as i64 / 2);
        (given.name.as_str(), tensor(storage, 0, &shape, &strides))
    });
    pickle(&dict(&[("epoch", int(3)), ("state_dict", dict(&entries.collect::<Vec<_>>()))]))
}

pub fn save_torch_zip(path: &Path, tensors: &[TestTensor]) {
    let mut entries = vec![("model/data.pkl".to_owned(), pickle_of(tensors))];
    entries.extend(
        tensors.iter().enumerate().map(|(at, given)| (format!("model/data/{at}"), given.data.clone())),
    );
    fs::write(path, zip(&entries)).expect("writes");
}

pub fn save_torch_legacy(path: &Path, tensors: &[TestTensor]) {
    let storages = tensors.iter().enumerate().map(|(at, given)| (at.to_string(), 2, given.data.clone()));
    fs::write(path, legacy(&pickle_of(tensors), &storages.collect::<Vec<_>>())).expect("writes");
}

/// A file as PyTorch wrote it before version 1.6; storages are key, bytes of an element, bytes.
pub fn legacy(object: &[u8], storages: &[(String, usize, Vec<u8>)]) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    let version = pickle(b"M\xe9\x03");
    let system = pickle(&dict(&[("little_endian", b"\x88".to_vec())]));
    let keys: Vec<u8> = storages.iter().flat_map(|(key, ..)| text(key)).collect();
    let keys = pickle(&[b"](", keys.as_slice(), b"e"].concat());
    let mut file = [magic, version.as_slice(), &system, object, &keys].concat();
    for (_, element, bytes) in storages {
        file.extend(((bytes.len() / element) as u64).to_le_bytes());
        file.extend(bytes);
    }
    file
}

/// An entry of an archive, with a description that may be false.
#[derive(Clone, Default)]
pub struct Packed {
    pub name: String,
    pub bytes: Vec<u8>,
    pub method: u16,
    pub flags: u16,
    pub len: Option<u32>,
    pub stored_len: Option<u32>,
    pub header_at: Option<u32>,
}

pub fn zip(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let plain = |(name, bytes): &(String, Vec<u8>)| Packed {
        name: name.clone(),
        bytes: bytes.clone(),
        ..Packed::default()
    };
    zip_of(&entries.iter().map(plain).collect::<Vec<_>>(), None)
}

/// An archive whose end record may claim another number of entries.
pub fn zip_of(entries: &[Packed], count: Option<u16>) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let header_at = entry.header_at.unwrap_or(file.len() as u32);
        let stored_len = entry.stored_len.unwrap_or(entry.bytes.len() as u32);
        let len = entry.len.unwrap_or(entry.bytes.len() as u32);
        let mut crc = flate2::Crc::new();
        crc.update(&entry.bytes);
        let mut shared = [[0; 2], entry.flags.to_le_bytes(), entry.method.to_le_bytes()].concat();
        shared.extend([0; 4]);
        for number in [crc.sum(), stored_len, len] {
            shared.extend(number.to_le_bytes());
        }
        shared.extend((entry.name.len() as u16).to_le_bytes());
        file.extend(b"PK\x03\x04".iter().chain(&shared).chain(&[0; 2]));
        file.extend(entry.name.bytes().chain(entry.bytes.iter().copied()));
        directory.extend(b"PK\x01\x02\0\0".iter().chain(&shared).chain(&[0; 12]));
        directory.extend(header_at.to_le_bytes());
        directory.extend(entry.name.bytes());
    }
    let count = count.unwrap_or(entries.len() as u16).to_le_bytes();
    let start = file.len() as u32;
    file.extend(&directory);
    file.extend([&b"PK\x05\x06\0\0\0\0"[..], &count, &count].concat());
    file.extend([(directory.len() as u32).to_le_bytes(), start.to_le_bytes()].concat());
    file.extend([0; 2]);
    file
}

/// A torch archive around this pickle.
pub fn around(pickle: &[u8], storages: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut entries = vec![("x/data.pkl".to_owned(), pickle.to_vec())];
    entries.extend(storages.iter().map(|(key, bytes)| (format!("x/data/{key}"), bytes.clone())));
    zip(&entries)
}

/// A small model of `data/checkpoints`: its weights under diffusers' names, by part, and under the
/// original ones.
pub struct Small {
    configs: Value,
    padding: Option<&'static str>,
    pub parts: Vec<(String, Vec<TestTensor>)>,
    pub original: Vec<TestTensor>,
}

impl Small {
    /// Of SD 1.x's kind.
    pub fn new() -> Self {
        Self::read("small.json")
    }

    /// Of SD 2.x's kind, with the biases of one that predicts v.
    pub fn sd2() -> Self {
        let mut small = Self { padding: Some("!"), ..Self::read("small-sd2.json") };
        let parts = small.parts.iter_mut().flat_map(|(_, tensors)| tensors);
        for given in parts
            .chain(&mut small.original)
            .filter(|given| given.name.ends_with("transformer_blocks.0.norm1.bias"))
        {
            given.widen();
        }
        small
    }

    fn read(name: &str) -> Self {
        let file = fs::read(golden_folder().join("data/checkpoints").join(name)).expect("golden data");
        let json: Value = serde_json::from_slice(&file).expect("JSON");
        let shape = |value: &Value| -> Vec<usize> { serde_json::from_value(value.clone()).expect("a shape") };
        let configs = json["configs"].clone();
        let mut small = Self { configs, padding: None, parts: Vec::new(), original: Vec::new() };
        let unused = json["unused"].as_object().into_iter().flatten();
        small.original.extend(unused.map(|(name, sides)| TestTensor::new(name, &shape(sides))));
        let mut thirds: BTreeMap<String, (Vec<usize>, [Vec<u8>; 3])> = BTreeMap::new();
        for row in json["tensors"].as_array().expect("rows") {
            let [part, name, original] = [0, 1, 2].map(|at| row[at].as_str().expect("a name"));
            let given = TestTensor::new(name, &shape(&row[3]));
            match row[5].as_u64() {
                None => small.original.push(given.moved(original, &shape(&row[4]))),
                Some(third) => {
                    let (whole, thirds) = thirds.entry(original.into()).or_default();
                    *whole = shape(&row[4]);
                    thirds[third as usize].clone_from(&given.data);
                }
            }
            match small.parts.iter_mut().find(|(known, _)| known == part) {
                Some((_, tensors)) => tensors.push(given),
                None => small.parts.push((part.to_owned(), vec![given])),
            }
        }
        let fused = thirds.into_iter().map(|(name, (shape, thirds))| TestTensor {
            name,
            shape,
            data: thirds.concat(),
        });
        small.original.extend(fused);
        small
    }

    /// A diffusers folder; `save` writes the weights of a part.
    pub fn save_folder(&self, folder: &Path, save: &dyn Fn(&Path, &str, &[TestTensor])) -> PathBuf {
        let words = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo");
        for part in ["unet", "vae", "text_encoder", "scheduler", "tokenizer"] {
            fs::create_dir_all(folder.join(part)).expect("makes a folder");
        }
        for name in ["tokenizer/vocab.json", "tokenizer/merges.txt"] {
            fs::copy(words.join(name), folder.join(name)).expect("copies");
        }
        let index = golden_folder().join("models/narrow/model_index.json");
        fs::copy(index, folder.join("model_index.json")).expect("copies");
        if let Some(padding) = self.padding {
            let said = serde_json::json!({ "pad_token": padding });
            fs::write(folder.join("tokenizer/special_tokens_map.json"), said.to_string()).expect("writes");
        }
        for (part, tensors) in &self.parts {
            let stem = if part == "text_encoder" { "model" } else { "diffusion_pytorch_model" };
            fs::write(folder.join(part).join("config.json"), self.configs[part].to_string()).expect("writes");
            save(&folder.join(part), stem, tensors);
        }
        let scheduler = self.configs["scheduler"].to_string();
        fs::write(folder.join("scheduler/scheduler_config.json"), scheduler).expect("writes");
        folder.to_owned()
    }
}

/// Opens a file and reads all that it names.
pub fn read_all(path: &Path) -> Result<(), String> {
    let file = WeightFile::open(path).map_err(|error| error.to_string())?;
    let names: Vec<String> = file.names().map(str::to_owned).collect();
    names.iter().try_for_each(|name| file.read(name).map(drop).map_err(|error| error.to_string()))
}

/// Each case: what is wrong, the file's bytes, and a word of the sentence that says so.
pub fn check_refused(cases: &[(&str, Vec<u8>, &str)]) {
    let place = folder();
    let path = place.path().join("weights.bin");
    for (what, bytes, word) in cases {
        fs::write(&path, bytes).expect("writes");
        assert_cpu_time_below(Duration::from_secs(5), what, || {
            let said = read_all(&path).err().unwrap_or_else(|| panic!("{what}: it was read"));
            assert!(said.contains(word), "{what}: no {word:?} in: {said}");
            assert!(said.ends_with(&path.display().to_string()), "{what}: the path is not last: {said}");
        });
    }
}
