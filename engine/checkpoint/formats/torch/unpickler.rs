//! The stack machine of pickles, reduced to building values.
//!
//! Nothing is ever called. A pickle may refer to classes and functions: those that PyTorch writes for
//! tensors are interpreted, a few that training programs leave behind are ignored, and any other is an
//! error.

use std::collections::HashMap;
use std::io::Read;

use super::globals::{Global, element_of};
use super::pickle::{Node, Pickle, TensorRef, Value};
use super::storage::StorageRef;

/// Opcodes per pickle; a checkpoint of SD 1.x has 40,000.
const MAX_OPCODES: u32 = 2_000_000;
/// Bytes of all texts of a pickle.
const MAX_TEXT_BYTES: usize = 32 << 20;
/// Letters of a storage key: PyTorch numbers its storages; in old files the number is an address.
const MAX_KEY_LEN: usize = 64;
/// Axes of a tensor; no weight has more than four.
const MAX_AXES: usize = 8;

pub struct Unpickler<'a> {
    bytes: &'a mut dyn Read,
    stack: Vec<Value>,
    /// The height of the stack at each MARK.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    nodes: Vec<Node>,
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
            text: 0,
            copied: 0,
        }
    }

    pub fn run(mut self) -> Result<Pickle, String> {
        for _ in 0..MAX_OPCODES {
            let opcode = self.array::<1>()?[0];
            if opcode == b'.' {
                let root = self.pop()?;
                return Ok(Pickle { root, nodes: self.nodes });
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
                self.push_text(len)?;
            }
            b'X' | b'T' | b'B' => {
                let len = u64::from(u32::from_le_bytes(self.array()?));
                self.push_text(len)?;
            }
            0x8d | 0x8e => {
                let len = u64::from_le_bytes(self.array()?);
                self.push_text(len)?;
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
                self.stack.push(Value::Global(Global::named(&module, &name)?));
            }
            0x93 => {
                let (name, module) = (self.pop_text()?, self.pop_text()?);
                self.stack.push(Value::Global(Global::named(&module, &name)?));
            }
            b'Q' => {
                let value = self.pop()?;
                match self.class_with_source(value) {
                    Some(class) => self.stack.push(class),
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
                if let Some(&Value::Node(at)) = self.stack.last()
                    && let Node::Object(kept) = &mut self.nodes[at]
                {
                    *kept = state;
                }
            }
            other => {
                return Err(format!("its pickle uses {}, which weights do not need", opcode_name(other)));
            }
        }
        Ok(())
    }

    /// The value that PyTorch's own function would make of the arguments.
    fn build_value(&mut self, callee: Value, arguments: Value) -> Result<Value, String> {
        let Value::Global(global) = callee else {
            return Err("its pickle calls a value that is not a function".into());
        };
        let arguments = self.sequence(arguments).ok_or("its pickle calls a function without arguments")?;
        let first = arguments.first().copied();
        Ok(match global {
            Global::RebuildTensor => {
                let &[storage, offset, shape, strides, ..] = arguments else {
                    return Err("a tensor in it lacks a part".into());
                };
                let tensor = self.tensor(storage, offset, shape, strides);
                self.node(Node::Tensor(tensor.ok_or("a tensor in it is invalid")?))
            }
            Global::RebuildParameter => first.ok_or("a parameter in it lacks its tensor")?,
            Global::Dict => {
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
            Global::ParameterDict => self.node(Node::Object(Value::None)),
            Global::Size => first.unwrap_or(Value::None),
            Global::Element(_) | Global::Opaque => Value::Opaque,
        })
    }

    fn tensor(&self, storage: Value, offset: Value, shape: Value, strides: Value) -> Option<TensorRef> {
        let Some(Node::Storage(storage)) = self.get(storage) else { return None };
        let whole = |value: &Value| match value {
            Value::Int(value) => u64::try_from(*value).ok(),
            _ => None,
        };
        let sides = |value| self.sequence(value).filter(|sides| sides.len() <= MAX_AXES);
        let numbers = |value| sides(value)?.iter().map(whole).collect::<Option<Vec<u64>>>();
        let tensor = TensorRef {
            storage: storage.clone(),
            offset: whole(&offset)?,
            shape: numbers(shape)?,
            strides: numbers(strides)?,
        };
        (tensor.shape.len() == tensor.strides.len()).then_some(tensor)
    }

    /// `("module", class, path, source)`: a class with its source code, in old files.
    fn class_with_source(&self, value: Value) -> Option<Value> {
        let &[tag, class @ Value::Global(_), _, _] = self.sequence(value)? else { return None };
        matches!(self.get(tag), Some(Node::Text(tag)) if tag == "module").then_some(class)
    }

    /// `("storage", class, key, location, elements)` and, in old files, a view, which must be `None`.
    fn storage(&self, value: Value) -> Result<StorageRef, String> {
        let invalid = || "a storage in it is invalid".to_owned();
        let parts = self.sequence(value).ok_or_else(invalid)?;
        let &[tag, Value::Global(Global::Element(element)), key, _, Value::Int(elements), ref view @ ..] =
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
        Ok(StorageRef { key: key.clone(), element: element_of(element), elements })
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
            // An ignored class that behaves like a dictionary.
            Some(Node::Object(_)) | None => {}
            _ => return Err("its pickle sets items of a value that is not a dictionary".into()),
        }
        Ok(())
    }

    /// The value on top of the stack, to be changed; `None` for an ignored one.
    fn top(&mut self) -> Result<Option<&mut Node>, String> {
        match self.stack.last() {
            Some(&Value::Node(at)) => Ok(Some(&mut self.nodes[at])),
            Some(Value::Opaque) => Ok(None),
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

    fn pop_text(&mut self) -> Result<String, String> {
        let value = self.pop()?;
        match self.get(value) {
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

    fn push_text(&mut self, len: u64) -> Result<(), String> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.text = self.text.saturating_add(len);
        if self.text > MAX_TEXT_BYTES {
            return Err(format!("its pickle has more than {} MiB of text", MAX_TEXT_BYTES >> 20));
        }
        let mut bytes = Vec::new();
        (&mut self.bytes).take(len as u64).read_to_end(&mut bytes).map_err(|_| TRUNCATED)?;
        if bytes.len() < len {
            return Err(TRUNCATED.into());
        }
        self.add(Node::Text(String::from_utf8_lossy(&bytes).into_owned()));
        Ok(())
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = Vec::new();
        loop {
            match self.array::<1>()?[0] {
                b'\n' => break,
                byte if line.len() < 256 => line.push(byte),
                _ => return Err("its pickle has a name of a global that is too long".into()),
            }
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}

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
