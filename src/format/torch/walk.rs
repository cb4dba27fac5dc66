//! Walks the object of a torch file and lists its tensors under their keys.

use std::collections::BTreeSet;

use crate::format::pickle::{Full, Heap, Node, Span, Value};
use crate::format::shown::shown;
use crate::format::torch::rebuild::{Rebuilder, TENSOR};
use crate::format::torch::{FaultKind, TorchFault, TorchTensor};

/// Deepest nesting of containers.
const MAX_DEPTH: usize = 64;
/// Most values to look at: containers may be shared, and shared ones shared again.
const MAX_VALUES: u64 = 1 << 20;
/// Longest key of a tensor.
const MAX_KEY: usize = 4096;
/// Most bytes of a key that is no text but bytes.
const MAX_BYTES: usize = 32;

/// What the object is and holds.
pub(super) struct Found {
    pub container: &'static str,
    pub tensors: Vec<TorchTensor>,
}

/// Lists the tensors of the object `root`, whose pickle begins at byte `at`.
pub(super) fn walk(heap: &mut Heap, made: &Rebuilder, root: Value, at: u64) -> Result<Found, TorchFault> {
    let container = match root {
        Value::Made(TENSOR, id) if made.tensors[id as usize].parameter => "Parameter",
        Value::Made(TENSOR, _) => "Tensor",
        Value::Node(id) => heap.get(id).kind.name(),
        Value::Tuple(_) => "tuple",
        Value::None => "NoneType",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Long(_) => "int",
        Value::Float(_) => "float",
        Value::Text(_) => "str",
        Value::Bytes(_) => "bytes",
        Value::Global(_) | Value::Made(..) => "object",
    };
    let mut walk = Walk { made, at, left: MAX_VALUES, key: String::new(), tensors: Vec::new() };
    walk.value(heap, root, 0)?;
    Ok(Found { container, tensors: walk.tensors })
}

struct Walk<'a> {
    made: &'a Rebuilder,
    at: u64,
    left: u64,
    key: String,
    tensors: Vec<TorchTensor>,
}

impl Walk<'_> {
    fn value(&mut self, heap: &mut Heap, value: Value, depth: usize) -> Result<(), TorchFault> {
        // A long key costs what it costs to copy.
        self.left = match self.left.checked_sub(1 + self.key.len() as u64 / 64) {
            Some(left) => left,
            None => return self.limit("the object holds too many values, or the same ones over and over"),
        };
        if depth > MAX_DEPTH {
            return self.limit(format!("containers are nested more than {MAX_DEPTH} deep"));
        }
        match value {
            Value::Made(TENSOR, id) => self.tensor(heap, id),
            // Indices and not slices: the budget of the heap is charged on the way.
            Value::Tuple(span) => {
                for i in 0..span.len() {
                    let item = heap.values(span)[i];
                    self.under(heap, &i.to_string(), item, depth)?;
                }
                Ok(())
            }
            Value::Node(id) if heap.get(id).kind.is_dict() => {
                self.unique(heap, heap.get(id))?;
                for i in (0..heap.get(id).items.len()).step_by(2) {
                    let key = key_text(heap, heap.get(id).items[i]);
                    let item = heap.get(id).items[i + 1];
                    self.under(heap, &key, item, depth)?;
                }
                Ok(())
            }
            Value::Node(id) => {
                for i in 0..heap.get(id).items.len() {
                    let item = heap.get(id).items[i];
                    self.under(heap, &i.to_string(), item, depth)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn under(&mut self, heap: &mut Heap, part: &str, value: Value, depth: usize) -> Result<(), TorchFault> {
        let len = self.key.len();
        if depth > 0 {
            self.key.push('/');
        }
        self.key.push_str(part);
        if self.key.len() > MAX_KEY {
            return self.limit(format!("the key of a value has over {MAX_KEY} bytes"));
        }
        self.value(heap, value, depth + 1)?;
        self.key.truncate(len);
        Ok(())
    }

    fn tensor(&mut self, heap: &mut Heap, id: u32) -> Result<(), TorchFault> {
        let tensor = self.made.tensors[id as usize];
        let bytes = self.key.len() + 8 * (tensor.shape.len() + tensor.stride.len()) + 48;
        let listed = TorchTensor {
            key: self.key.clone(),
            dtype: tensor.dtype,
            shape: numbers(heap, tensor.shape),
            stride: numbers(heap, tensor.stride),
            storage_offset: tensor.offset,
            layout: tensor.layout,
        };
        let kept = heap.budget.charge(bytes).and_then(|()| heap.budget.push(&mut self.tensors, listed));
        kept.or_else(|Full| self.limit("the file holds too many tensors"))
    }

    /// Each key once: a second one would replace the first when loaded, and no pickler writes that.
    fn unique(&self, heap: &Heap, node: &Node) -> Result<(), TorchFault> {
        if node.items.len() as u64 / 2 > self.left {
            return self.limit("the object holds too many values, or the same ones over and over");
        }
        let mut seen = BTreeSet::new();
        for key in node.items.iter().step_by(2) {
            if matches!(key, Value::Node(_)) {
                return Err(self.fault(FaultKind::Pickle, "a container is the key of a dict"));
            }
            if let Some(text) = heap.text_bytes(*key)
                && !seen.insert(text)
            {
                let told = shown(&String::from_utf8_lossy(text));
                return Err(self.fault(FaultKind::Pickle, format!("a dict sets the key `{told}` twice")));
            }
        }
        Ok(())
    }

    fn fault(&self, kind: FaultKind, what: impl Into<String>) -> TorchFault {
        TorchFault::new(kind, self.at, what)
    }

    fn limit<T>(&self, what: impl Into<String>) -> Result<T, TorchFault> {
        Err(self.fault(FaultKind::Limit, what))
    }
}

fn numbers(heap: &Heap, span: Span) -> Vec<u64> {
    let number = |value: &Value| match value {
        Value::Int(n) => u64::try_from(*n).unwrap_or(0),
        _ => 0,
    };
    heap.values(span).iter().map(number).collect()
}

/// A key as Python's `str` shows it. A file may name one long text as the key of a million things: no more of it is looked
/// at than decides that it is too long.
fn key_text(heap: &Heap, key: Value) -> String {
    match key {
        Value::Text(span) => {
            let bytes = heap.bytes(span);
            String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_KEY + 1)]).into_owned()
        }
        Value::Int(n) => n.to_string(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::None => "None".into(),
        Value::Float(x) => format!("{x:?}"),
        Value::Bytes(span) => {
            let bytes = heap.bytes(span);
            format!("b'{}'", shown(&String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_BYTES)])))
        }
        Value::Tuple(span) => {
            let parts: Vec<String> = heap
                .values(span)
                .iter()
                .take(8)
                .map(|v| match v {
                    Value::Tuple(_) => "(…)".into(),
                    other => key_text(heap, *other),
                })
                .collect();
            format!("({})", parts.join(", "))
        }
        Value::Long(_) | Value::Node(_) | Value::Global(_) | Value::Made(..) => "?".into(),
    }
}
