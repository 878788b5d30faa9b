//! Pickles as data: their values, and queries on them.
//!
//! Values are in one arena and refer to each other by index, so depth, cycles and sharing cannot cost more
//! than the opcodes that made them.

use std::io::Read;

use super::globals::Global;
use super::storage::{Element, StorageRef};
use super::unpickler::Unpickler;

/// A value; larger ones are in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// A floating-point number, whose value is not used.
    Float,
    Node(usize),
    Global(Global),
    /// A class or function without a meaning for weights, or anything made by it: see
    /// [`Pickle::unknown_global`].
    Unknown(usize),
    /// A number that is too large to matter, or a type.
    Opaque,
}

/// An entry of the arena.
#[derive(Debug)]
pub enum Node {
    Text(String),
    Bytes(Vec<u8>),
    Sequence(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Storage(StorageRef),
    Tensor(TensorRef),
    /// A numpy array, once its contents are known and can be a tensor's.
    NumpyArray(Option<TensorRef>),
    /// A numpy type, if PyTorch has it.
    NumpyDtype(Option<Element>),
    /// A module that holds parameters, with its state.
    Object(Value),
}

/// A tensor as the pickle describes it, unchecked.
#[derive(Clone, Debug)]
pub struct TensorRef {
    pub storage: StorageRef,
    pub element: Element,
    /// In elements.
    pub offset: u64,
    pub shape: Vec<u64>,
    pub strides: Vec<u64>,
}

/// A pickle that has been read.
#[derive(Debug)]
pub struct Pickle {
    pub root: Value,
    pub(super) nodes: Vec<Node>,
    /// Names of classes and functions without a meaning for weights.
    pub(super) unknown: Vec<String>,
}

impl Pickle {
    /// Reads one pickle and stops after it. `Err` is a clause.
    pub fn read(bytes: &mut dyn Read) -> Result<Self, String> {
        Unpickler::new(bytes).run()
    }

    pub fn node(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(index) => self.nodes.get(index),
            _ => None,
        }
    }

    /// The name of the class or function that would have to run to make the value, `module.name`.
    pub fn unknown_global(&self, value: Value) -> Option<&str> {
        let Value::Unknown(number) = value else { return None };
        self.unknown.get(number).map(String::as_str)
    }

    pub fn text(&self, value: Value) -> Option<&str> {
        match self.node(value) {
            Some(Node::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The bytes of a node; empty if it has none.
    pub(super) fn bytes(&self, node: usize) -> &[u8] {
        match self.nodes.get(node) {
            Some(Node::Bytes(bytes)) => bytes,
            _ => &[],
        }
    }

    pub fn dict(&self, value: Value) -> Option<&[(Value, Value)]> {
        match self.node(value) {
            Some(Node::Dict(entries)) => Some(entries),
            _ => None,
        }
    }

    pub fn sequence(&self, value: Value) -> Option<&[Value]> {
        match self.node(value) {
            Some(Node::Sequence(items)) => Some(items),
            _ => None,
        }
    }

    pub fn tensor(&self, value: Value) -> Option<&TensorRef> {
        match self.node(value) {
            Some(Node::Tensor(tensor)) => Some(tensor),
            _ => None,
        }
    }

    /// Every storage that is referred to, with repetitions.
    pub fn storages(&self) -> impl Iterator<Item = &StorageRef> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Storage(storage) => Some(storage),
            _ => None,
        })
    }

    /// The dict's value under `key`.
    pub fn get(&self, dict: Value, key: &str) -> Option<Value> {
        let entries = self.dict(dict)?;
        entries.iter().find(|(name, _)| self.text(*name) == Some(key)).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pickle(mut bytes: &[u8]) -> Pickle {
        Pickle::read(&mut bytes).expect("a pickle")
    }

    #[test]
    fn every_function_without_a_meaning_is_known_by_its_name() {
        let found = pickle(b"\x80\x02(cb\nb\nca\na\ncb\nb\nt.");
        let items = found.sequence(found.root).expect("a tuple").iter();
        let names: Vec<_> = items.map(|item| found.unknown_global(*item)).collect();
        assert_eq!(names, [Some("b.b"), Some("a.a"), Some("b.b")]);
    }

    #[test]
    fn what_such_a_function_rebuilds_is_named_by_it() {
        let found = pickle(b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cmine\nrebuild\nNNNtR.");
        assert_eq!(found.unknown_global(found.root), Some("mine.rebuild"));
    }
}
