//! The stack machine of pickles, reduced to building values.
//!
//! Nothing is ever called. A pickle may refer to classes and functions: those that PyTorch writes for
//! tensors are interpreted, and what any other would make is a value without contents.

use std::collections::HashMap;
use std::io::Read;

use super::globals::Global;
use super::pickle::{Node, Pickle, TensorRef, Value};
use super::storage::{Element, StorageKey, StorageRef};

/// Opcodes per pickle; a checkpoint of SD 1.x has 40,000.
const MAX_OPCODES: u32 = 2_000_000;
/// Bytes of all texts of a pickle.
const MAX_TEXT_BYTES: usize = 32 << 20;
/// Letters of a storage key: PyTorch numbers its storages; in old files the number is an address.
const MAX_KEY_LEN: usize = 64;
/// Letters of the name of a class or function.
const MAX_NAME_LEN: usize = 256;
/// Axes of a tensor; no weight has more than four.
const MAX_AXES: usize = 8;

pub struct Unpickler<'a> {
    bytes: &'a mut dyn Read,
    stack: Vec<Value>,
    /// The height of the stack at each MARK.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    nodes: Vec<Node>,
    /// The numbers of classes and functions without a meaning for weights, by name.
    unknown: HashMap<String, usize>,
    text: usize,
    /// Items copied from one value to another, limited because a few opcodes could request many copies.
    copied: usize,
}

impl<'a> Unpickler<'a> {
    pub fn new(bytes: &'a mut dyn Read) -> Self {
        Self {
            bytes,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            nodes: Vec::new(),
            unknown: HashMap::new(),
            text: 0,
            copied: 0,
        }
    }

    pub fn run(mut self) -> Result<Pickle, String> {
        for _ in 0..MAX_OPCODES {
            let opcode = self.array::<1>()?[0];
            if opcode == b'.' {
                let root = self.pop()?;
                let mut unknown: Vec<_> = self.unknown.into_iter().collect();
                unknown.sort_unstable_by_key(|(_, number)| *number);
                let unknown = unknown.into_iter().map(|(name, _)| name).collect();
                return Ok(Pickle { root, nodes: self.nodes, unknown });
            }
            self.step(opcode)?;
        }
        Err(format!("its pickle has more than {MAX_OPCODES} opcodes"))
    }

    fn step(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            // PROTO and FRAME are not needed.
            0x80 => match self.array::<1>()?[0] {
                2..=5 => {}
                other => return Err(format!("its pickle is of protocol {other}")),
            },
            0x95 => drop(self.array::<8>()?),
            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
            b'J' => {
                let value = i64::from(i32::from_le_bytes(self.array()?));
                self.stack.push(Value::Int(value));
            }
            b'K' => {
                let value = i64::from(self.array::<1>()?[0]);
                self.stack.push(Value::Int(value));
            }
            b'M' => {
                let value = i64::from(u16::from_le_bytes(self.array()?));
                self.stack.push(Value::Int(value));
            }
            0x8a => {
                let len = usize::from(self.array::<1>()?[0]);
                let value = self.long(len)?;
                self.stack.push(value);
            }
            b'G' => {
                self.array::<8>()?;
                self.stack.push(Value::Float);
            }
            // Texts and bytes, by the size of their length field.
            0x8c | b'U' | b'C' => {
                let len = u64::from(self.array::<1>()?[0]);
                self.push_text(len, opcode == b'C')?;
            }
            b'X' | b'T' | b'B' => {
                let len = u64::from(u32::from_le_bytes(self.array()?));
                self.push_text(len, opcode == b'B')?;
            }
            0x8d | 0x8e => {
                let len = u64::from_le_bytes(self.array()?);
                self.push_text(len, opcode == 0x8e)?;
            }
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            b')' => self.add(Node::Sequence(Vec::new())),
            b']' | 0x8f => self.add(Node::Sequence(Vec::new())),
            b'}' => self.add(Node::Dict(Vec::new())),
            b't' | b'l' => {
                let items = self.pop_to_mark()?;
                self.add(Node::Sequence(items));
            }
            0x85..=0x87 => {
                let at = self.stack.len().checked_sub(usize::from(opcode - 0x84)).ok_or(UNDERFLOW)?;
                let items = self.pop_above(at)?;
                self.add(Node::Sequence(items));
            }
            b'd' => {
                let items = self.pop_to_mark()?;
                self.add(Node::Dict(pairs(&items)?));
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?;
                self.extend(items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(&items)?;
            }
            b'q' => {
                let slot = u32::from(self.array::<1>()?[0]);
                self.store(slot)?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.store(slot)?;
            }
            0x94 => self.store(self.memo.len() as u32)?,
            b'h' => {
                let slot = u32::from(self.array::<1>()?[0]);
                self.recall(slot)?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.recall(slot)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push_global(&module, &name)?;
            }
            0x93 => {
                let (name, module) = (self.pop_name()?, self.pop_name()?);
                self.push_global(&module, &name)?;
            }
            b'Q' => {
                let value = self.pop()?;
                match self.class_with_source(value).or_else(|| self.unknown_storage(value)) {
                    Some(value) => self.stack.push(value),
                    None => {
                        let storage = self.storage(value)?;
                        self.add(Node::Storage(storage));
                    }
                }
            }
            b'R' | 0x81 => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                let value = self.build_value(callee, arguments)?;
                self.stack.push(value);
            }
            b'b' => {
                let state = self.pop()?;
                self.set_state(state);
            }
            other => {
                return Err(format!("its pickle uses {}, which weights do not need", opcode_name(other)));
            }
        }
        Ok(())
    }

    /// The value that PyTorch's own function would make of the arguments.
    fn build_value(&mut self, callee: Value, arguments: Value) -> Result<Value, String> {
        let global = match callee {
            Value::Global(global) => global,
            Value::Unknown(_) => return Ok(callee),
            _ => return Err("its pickle calls a value that is not a function".into()),
        };
        let arguments = self.sequence(arguments).ok_or("its pickle calls a function without arguments")?;
        let first = arguments.first().copied();
        Ok(match (global, arguments) {
            (
                Global::RebuildTensor
                | Global::RebuildTensorV3
                | Global::RebuildDeviceTensor
                | Global::RebuildFromType,
                &[unknown @ Value::Unknown(_), ..],
            )
            | (Global::RebuildTensorV3, &[_, _, _, _, _, _, unknown @ Value::Unknown(_), ..]) => unknown,
            (Global::RebuildTensor, &[storage, offset, shape, strides, ..]) => {
                let tensor = self.tensor(storage, None, offset, shape, strides);
                self.node(Node::Tensor(tensor.ok_or(INVALID_TENSOR)?))
            }
            (
                Global::RebuildTensorV3,
                &[storage, offset, shape, strides, _, _, Value::Global(Global::Dtype(element)), ..],
            ) => {
                let tensor = self.tensor(storage, Some(element), offset, shape, strides);
                self.node(Node::Tensor(tensor.ok_or(INVALID_TENSOR)?))
            }
            (Global::RebuildTensor | Global::RebuildTensorV3, _) => {
                return Err("a tensor in it lacks a part".into());
            }
            (Global::RebuildDeviceTensor, _) => match first.and_then(|data| self.get(data)) {
                Some(Node::Tensor(tensor) | Node::NumpyArray(Some(tensor))) => {
                    let tensor = tensor.clone();
                    self.node(Node::Tensor(tensor))
                }
                _ => return Err(INVALID_TENSOR.into()),
            },
            (Global::RebuildParameter, _) => first.ok_or("a parameter in it lacks its tensor")?,
            // Nothing nests another of its kind, so this ends.
            (
                Global::RebuildFromType,
                &[
                    function @ Value::Global(
                        Global::RebuildTensor | Global::RebuildTensorV3 | Global::RebuildParameter,
                    ),
                    _,
                    inner,
                    ..,
                ],
            ) => self.build_value(function, inner)?,
            (Global::RebuildFromType, _) => return Err(INVALID_TENSOR.into()),
            (Global::Dict, _) => {
                let items = first.and_then(|items| self.sequence(items)).unwrap_or_default();
                let copied = self.copied + items.len();
                if copied > MAX_OPCODES as usize {
                    return Err("its pickle copies a dictionary too often".into());
                }
                let entries = items.iter().map(|item| match self.sequence(*item) {
                    Some(&[key, value]) => Ok((key, value)),
                    _ => Err("a dictionary in it is invalid"),
                });
                let entries = entries.collect::<Result<_, _>>()?;
                self.copied = copied;
                self.node(Node::Dict(entries))
            }
            (Global::ParameterDict, _) => self.node(Node::Object(Value::None)),
            (Global::Size, _) => first.unwrap_or(Value::None),
            (Global::NumpyArray, _) => self.node(Node::NumpyArray(None)),
            (Global::NumpyDtype, _) => {
                let code = first.and_then(|code| self.get(code));
                let element = match code {
                    Some(Node::Text(code)) => Element::of_numpy(code),
                    _ => None,
                };
                self.node(Node::NumpyDtype(element))
            }
            (Global::Encode, _) => self.encode(first)?,
            (Global::Storage(_) | Global::Dtype(_), _) => Value::Opaque,
        })
    }

    /// Puts the state into an object that was made without it.
    fn set_state(&mut self, state: Value) {
        let Some(&Value::Node(at)) = self.stack.last() else { return };
        match self.nodes[at] {
            Node::Object(_) => self.nodes[at] = Node::Object(state),
            Node::NumpyArray(_) => self.nodes[at] = Node::NumpyArray(self.numpy_array(state)),
            Node::NumpyDtype(Some(element)) if element.len > 1 => {
                // The second part is the order of bytes.
                let order = self.sequence(state).and_then(|parts| self.get(*parts.get(1)?));
                if matches!(order, Some(Node::Text(order)) if order == ">") {
                    self.nodes[at] = Node::NumpyDtype(None);
                }
            }
            _ => {}
        }
    }

    /// The array of a state `(version, shape, type, is_fortran, bytes)`.
    fn numpy_array(&self, state: Value) -> Option<TensorRef> {
        let &[_, shape, dtype, Value::Bool(is_fortran), data] = self.sequence(state)? else { return None };
        let (Some(Node::NumpyDtype(Some(element))), Value::Node(at)) = (self.get(dtype), data) else {
            return None;
        };
        let Node::Bytes(bytes) = &self.nodes[at] else { return None };
        let shape = self.sizes(shape)?;
        let mut strides = vec![1; shape.len()];
        let mut next = 1_u64;
        let mut set = |axis: usize| {
            strides[axis] = next;
            next = next.saturating_mul(shape[axis]);
        };
        match is_fortran {
            true => (0..shape.len()).for_each(&mut set),
            false => (0..shape.len()).rev().for_each(&mut set),
        }
        let (element, elements) = (*element, bytes.len() as u64 / element.len);
        let storage = StorageRef { key: StorageKey::Pickle(at), element, elements };
        Some(TensorRef { storage, element, offset: 0, shape, strides })
    }

    /// The bytes that a text of Latin letters stands for: pickles of protocol 2 have no bytes.
    fn encode(&mut self, text: Option<Value>) -> Result<Value, String> {
        let Some(Node::Text(text)) = text.and_then(|text| self.get(text)) else { return Ok(Value::Opaque) };
        let bytes: Vec<u8> = text.chars().map(|letter| u8::try_from(letter).unwrap_or(b'?')).collect();
        self.count_text(bytes.len())?;
        Ok(self.node(Node::Bytes(bytes)))
    }

    /// `element` is the type of the numbers, if it is not that of the storage.
    fn tensor(
        &self,
        storage: Value,
        element: Option<Element>,
        offset: Value,
        shape: Value,
        strides: Value,
    ) -> Option<TensorRef> {
        let Some(Node::Storage(storage)) = self.get(storage) else { return None };
        let Value::Int(offset) = offset else { return None };
        let tensor = TensorRef {
            storage: storage.clone(),
            element: element.unwrap_or(storage.element),
            offset: u64::try_from(offset).ok()?,
            shape: self.sizes(shape)?,
            strides: self.sizes(strides)?,
        };
        (tensor.shape.len() == tensor.strides.len()).then_some(tensor)
    }

    /// The sides of a shape, or its strides.
    fn sizes(&self, value: Value) -> Option<Vec<u64>> {
        let sides = self.sequence(value).filter(|sides| sides.len() <= MAX_AXES)?;
        let whole = |value: &Value| match value {
            Value::Int(value) => u64::try_from(*value).ok(),
            _ => None,
        };
        sides.iter().map(whole).collect()
    }

    /// `("module", class, path, source)`: a class with its source code, in old files.
    fn class_with_source(&self, value: Value) -> Option<Value> {
        let &[tag, class @ (Value::Global(_) | Value::Unknown(_)), _, _] = self.sequence(value)? else {
            return None;
        };
        matches!(self.get(tag), Some(Node::Text(tag)) if tag == "module").then_some(class)
    }

    /// The class of a storage, if it is not one of PyTorch's.
    fn unknown_storage(&self, value: Value) -> Option<Value> {
        self.sequence(value)?.get(1).copied().filter(|class| matches!(class, Value::Unknown(_)))
    }

    /// `("storage", class, key, location, elements)` and, in old files, a view, which must be `None`.
    fn storage(&self, value: Value) -> Result<StorageRef, String> {
        let invalid = || "a storage in it is invalid".to_owned();
        let parts = self.sequence(value).ok_or_else(invalid)?;
        let &[tag, Value::Global(Global::Storage(element)), key, _, Value::Int(elements), ref view @ ..] =
            parts
        else {
            return Err(invalid());
        };
        let Some(Node::Text(key)) = self.get(key) else { return Err(invalid()) };
        if !matches!(self.get(tag), Some(Node::Text(tag)) if tag == "storage") {
            return Err(invalid());
        }
        if !matches!(view, [] | [Value::None]) {
            return Err("it has views of storages, which PyTorch wrote before version 0.4".into());
        }
        if key.len() > MAX_KEY_LEN {
            return Err(invalid());
        }
        let elements = u64::try_from(elements).map_err(|_| invalid())?;
        Ok(StorageRef { key: StorageKey::File(key.clone()), element, elements })
    }

    fn get(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(at) => self.nodes.get(at),
            _ => None,
        }
    }

    fn sequence(&self, value: Value) -> Option<&[Value]> {
        match self.get(value) {
            Some(Node::Sequence(items)) => Some(items),
            _ => None,
        }
    }

    fn node(&mut self, node: Node) -> Value {
        self.nodes.push(node);
        Value::Node(self.nodes.len() - 1)
    }

    fn add(&mut self, node: Node) {
        let value = self.node(node);
        self.stack.push(value);
    }

    fn extend(&mut self, items: Vec<Value>) -> Result<(), String> {
        match self.top()? {
            Some(Node::Sequence(list)) => list.extend(items),
            None => {}
            _ => return Err("its pickle appends to a value that is not a list".into()),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Value]) -> Result<(), String> {
        let pairs = pairs(items)?;
        match self.top()? {
            Some(Node::Dict(entries)) => entries.extend(pairs),
            // A module whose state follows.
            Some(Node::Object(_)) | None => {}
            _ => return Err("its pickle sets items of a value that is not a dictionary".into()),
        }
        Ok(())
    }

    /// The value on top of the stack, to be changed; `None` for an ignored one.
    fn top(&mut self) -> Result<Option<&mut Node>, String> {
        match self.stack.last() {
            Some(&Value::Node(at)) => Ok(Some(&mut self.nodes[at])),
            Some(Value::Opaque | Value::Unknown(_)) => Ok(None),
            Some(_) => Err("its pickle changes a value that cannot be changed".into()),
            None => Err(UNDERFLOW.into()),
        }
    }

    fn store(&mut self, slot: u32) -> Result<(), String> {
        let value = *self.stack.last().ok_or(UNDERFLOW)?;
        self.memo.insert(slot, value);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<(), String> {
        let value = *self.memo.get(&slot).ok_or("its pickle recalls a value that it never stored")?;
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Value, String> {
        // Values below an open mark must not be popped.
        if self.marks.last().is_some_and(|&mark| self.stack.len() <= mark) {
            return Err(UNDERFLOW.into());
        }
        Ok(self.stack.pop().ok_or(UNDERFLOW)?)
    }

    fn pop_name(&mut self) -> Result<String, String> {
        let value = self.pop()?;
        match self.get(value) {
            Some(Node::Text(text)) if text.len() > MAX_NAME_LEN => Err(LONG_NAME.into()),
            Some(Node::Text(text)) => Ok(text.clone()),
            _ => Err("its pickle names a global by a value that is not text".into()),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, String> {
        let mark = self.marks.pop().ok_or(UNDERFLOW)?;
        self.pop_above(mark)
    }

    fn pop_above(&mut self, height: usize) -> Result<Vec<Value>, String> {
        if height > self.stack.len() || self.marks.last().is_some_and(|&mark| height < mark) {
            return Err(UNDERFLOW.into());
        }
        Ok(self.stack.split_off(height))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        self.bytes.read_exact(&mut bytes).map_err(|_| TRUNCATED)?;
        Ok(bytes)
    }

    fn long(&mut self, len: usize) -> Result<Value, String> {
        let mut bytes = vec![0; len];
        self.bytes.read_exact(&mut bytes).map_err(|_| TRUNCATED)?;
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        if len > 8 {
            return Ok(Value::Opaque);
        }
        wide[..len].copy_from_slice(&bytes);
        Ok(Value::Int(i64::from_le_bytes(wide)))
    }

    fn push_global(&mut self, module: &str, name: &str) -> Result<(), String> {
        let value = match Global::named(module, name) {
            Some(global) => Value::Global(global),
            None => {
                let (name, number) = (format!("{module}.{name}"), self.unknown.len());
                // Two short opcodes can make a long name of texts that are in the memo.
                self.count_text(name.len())?;
                Value::Unknown(*self.unknown.entry(name).or_insert(number))
            }
        };
        self.stack.push(value);
        Ok(())
    }

    fn count_text(&mut self, len: usize) -> Result<(), String> {
        self.text = self.text.saturating_add(len);
        match self.text > MAX_TEXT_BYTES {
            true => Err(format!("its pickle has more than {} MiB of text", MAX_TEXT_BYTES >> 20)),
            false => Ok(()),
        }
    }

    fn push_text(&mut self, len: u64, is_bytes: bool) -> Result<(), String> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.count_text(len)?;
        let mut bytes = Vec::new();
        (&mut self.bytes).take(len as u64).read_to_end(&mut bytes).map_err(|_| TRUNCATED)?;
        if bytes.len() < len {
            return Err(TRUNCATED.into());
        }
        self.add(match is_bytes {
            true => Node::Bytes(bytes),
            false => Node::Text(String::from_utf8_lossy(&bytes).into_owned()),
        });
        Ok(())
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = Vec::new();
        loop {
            match self.array::<1>()?[0] {
                b'\n' => break,
                byte if line.len() < MAX_NAME_LEN => line.push(byte),
                _ => return Err(LONG_NAME.into()),
            }
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}

const INVALID_TENSOR: &str = "a tensor in it is invalid";
const LONG_NAME: &str = "its pickle has a name of a global that is too long";
const TRUNCATED: &str = "its pickle is truncated";
const UNDERFLOW: &str = "its pickle pops more values than it has";

fn pairs(items: &[Value]) -> Result<Vec<(Value, Value)>, String> {
    match items.as_chunks() {
        (pairs, []) => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
        _ => Err("its pickle has a key without a value".into()),
    }
}

/// The name of an opcode that could run code or is not expected in weights, as Python calls it.
fn opcode_name(opcode: u8) -> String {
    let known = [
        (b'i', "INST"),
        (b'o', "OBJ"),
        (b'P', "PERSID"),
        (b'2', "DUP"),
        (0x82, "EXT1"),
        (0x83, "EXT2"),
        (0x84, "EXT4"),
        (0x92, "NEWOBJ_EX"),
        (0x8b, "LONG4"),
        (0x91, "FROZENSET"),
        (0x96, "BYTEARRAY8"),
        (0x97, "NEXT_BUFFER"),
        (0x98, "READONLY_BUFFER"),
    ];
    let name = known.iter().find(|(code, _)| *code == opcode);
    name.map_or_else(|| format!("the opcode 0x{opcode:02x}"), |(_, name)| format!("the opcode {name}"))
}
