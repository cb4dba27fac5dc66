//! `Rebuilder`: what the allowed globals do, in plain values: storages that are declared, tensors that lie on them.

use std::collections::BTreeMap;

use crate::format::pickle::{Builder, Heap, NodeKind, Refused, Span, Value};
use crate::format::shown::shown;
use crate::format::torch::fault::FaultKind;
use crate::format::torch::globals::{self, Dtype, Global, Rebuild};
use crate::format::torch::{Format, Layout};

/// Most dimensions of a tensor; numpy's limit.
const MAX_DIMS: usize = 64;
/// Most arguments of a call.
const MAX_ARGS: usize = 8;
/// Longest key or location of a storage.
const MAX_KEY: usize = 64;

/// Kinds of [`Value::Made`].
pub(super) const TENSOR: u8 = 0;
pub(super) const STORAGE: u8 = 1;
const OPAQUE: u8 = 2;

/// A storage that a persistent id declares.
#[derive(Debug)]
pub(super) struct Storage {
    /// `uint8` where it is untyped.
    pub dtype: Dtype,
    pub numel: u64,
    pub bytes: u64,
}

/// A tensor as it was rebuilt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tensor {
    pub dtype: Dtype,
    pub layout: Layout,
    pub parameter: bool,
    pub shape: Span,
    pub stride: Span,
    pub offset: u64,
}

/// Answers the pickle machine.
#[derive(Debug)]
pub(super) struct Rebuilder {
    format: Format,
    pub storages: Vec<Storage>,
    pub by_key: BTreeMap<String, u32>,
    pub tensors: Vec<Tensor>,
    /// Devices other than the CPU that storages say they were on; the first few.
    pub devices: Vec<String>,
}

type Answer<T> = Result<T, Refused<FaultKind>>;

fn refuse<T>(kind: FaultKind, what: impl Into<String>) -> Answer<T> {
    Err(Refused { kind: Some(kind), what: what.into() })
}

fn wrong<T>(what: impl Into<String>) -> Answer<T> {
    refuse(FaultKind::Pickle, what)
}

impl Rebuilder {
    pub fn new(format: Format) -> Self {
        Self { format, storages: Vec::new(), by_key: BTreeMap::new(), tensors: Vec::new(), devices: Vec::new() }
    }

    /// The key of a storage, for a message.
    pub fn key(&self, number: u32) -> String {
        self.by_key.iter().find(|(_, n)| **n == number).map_or_else(String::new, |(key, _)| shown(key))
    }

    fn rebuild(&mut self, heap: &mut Heap, how: Rebuild, args: &[Value]) -> Answer<Value> {
        match (how, args) {
            (Rebuild::V1, [storage, offset, size, stride]) => {
                self.strided(heap, *storage, *offset, [*size, *stride], None)
            }
            (Rebuild::V2, [storage, offset, size, stride, Value::Bool(_), _])
            | (Rebuild::V2, [storage, offset, size, stride, Value::Bool(_), _, _])
            | (Rebuild::Quantized, [storage, offset, size, stride, _, Value::Bool(_), _]) => {
                self.strided(heap, *storage, *offset, [*size, *stride], None)
            }
            (Rebuild::V3, [storage, offset, size, stride, Value::Bool(_), _, dtype])
            | (Rebuild::V3, [storage, offset, size, stride, Value::Bool(_), _, dtype, _]) => {
                let dtype = self.dtype(*dtype)?;
                self.strided(heap, *storage, *offset, [*size, *stride], Some(dtype))
            }
            (Rebuild::Parameter, [Value::Made(TENSOR, id), Value::Bool(_), _])
            | (Rebuild::ParameterWithState, [Value::Made(TENSOR, id), Value::Bool(_), _, _]) => {
                let tensor = Tensor { parameter: true, ..self.tensors[*id as usize] };
                self.tensor(heap, tensor)
            }
            (Rebuild::Meta, [dtype, size, stride, Value::Bool(_)]) => {
                let dtype = self.dtype(*dtype)?;
                let (shape, stride) = (dims(heap, *size, "size")?, dims(heap, *stride, "stride")?);
                extent(heap.values(shape), heap.values(stride), 0)?;
                self.tensor(heap, Tensor { dtype, layout: Layout::Meta, parameter: false, shape, stride, offset: 0 })
            }
            (Rebuild::Sparse, [layout, Value::Tuple(data)]) => self.sparse(heap, *layout, *data),
            (Rebuild::FromType, [Value::Global(function), Value::Global(class), Value::Tuple(inner), _])
                if inner.len() <= MAX_ARGS =>
            {
                match (globals::global(*function), globals::global(*class)) {
                    // One level: `_rebuild_from_type_v2` never wraps itself.
                    (Global::Rebuild(how), Global::Tensor | Global::Parameter) if how != Rebuild::FromType => {
                        let inner = heap.values(*inner).to_vec();
                        self.rebuild(heap, how, &inner)
                    }
                    _ => wrong("rebuilds a tensor by what is no tensor function"),
                }
            }
            _ => refuse(FaultKind::Shape, "a tensor is rebuilt with too few, too many or the wrong arguments"),
        }
    }

    fn strided(
        &mut self,
        heap: &mut Heap,
        storage: Value,
        offset: Value,
        [size, stride]: [Value; 2],
        dtype: Option<Dtype>,
    ) -> Answer<Value> {
        let Value::Made(STORAGE, id) = storage else { return wrong("a tensor lies on what is no storage") };
        let storage = &self.storages[id as usize];
        let dtype = dtype.unwrap_or(storage.dtype);
        let numel = storage.bytes / dtype.size;
        let offset = match offset {
            Value::Int(offset) if offset >= 0 => offset as u64,
            _ => return refuse(FaultKind::Shape, "a tensor's storage offset is negative or no integer"),
        };
        let (shape, stride) = (dims(heap, size, "size")?, dims(heap, stride, "stride")?);
        let needs = extent(heap.values(shape), heap.values(stride), offset)?;
        if needs > numel {
            let what = format!(
                "a tensor of shape {} at offset {offset} needs {needs} elements, its storage `{}` has {numel}",
                show(heap.values(shape)),
                self.key(id)
            );
            return refuse(FaultKind::Shape, what);
        }
        self.tensor(heap, Tensor { dtype, layout: Layout::Strided, parameter: false, shape, stride, offset })
    }

    /// `(indices, values, size[, coalesced])` for COO, `(outer, inner, values, size)` for the compressed layouts.
    fn sparse(&mut self, heap: &mut Heap, layout: Value, data: Span) -> Answer<Value> {
        let layout = match heap.text_bytes(layout) {
            Some(b"torch.sparse_coo") => Layout::SparseCoo,
            Some(b"torch.sparse_csr") => Layout::SparseCsr,
            Some(b"torch.sparse_csc") => Layout::SparseCsc,
            Some(b"torch.sparse_bsr") => Layout::SparseBsr,
            Some(b"torch.sparse_bsc") => Layout::SparseBsc,
            _ => return wrong("a sparse tensor has an unknown layout"),
        };
        let values = match (layout, heap.values(data)) {
            (
                Layout::SparseCoo,
                [Value::Made(TENSOR, _), Value::Made(TENSOR, values), size]
                | [Value::Made(TENSOR, _), Value::Made(TENSOR, values), size, Value::Bool(_)],
            ) => Some((*values, *size)),
            (_, [Value::Made(TENSOR, _), Value::Made(TENSOR, _), Value::Made(TENSOR, values), size])
                if layout != Layout::SparseCoo =>
            {
                Some((*values, *size))
            }
            _ => None,
        };
        let Some((values, size)) = values else {
            return refuse(FaultKind::Shape, "a sparse tensor is rebuilt with the wrong arguments");
        };
        let dtype = self.tensors[values as usize].dtype;
        let shape = dims(heap, size, "size")?;
        self.tensor(heap, Tensor { dtype, layout, parameter: false, shape, stride: Span::EMPTY, offset: 0 })
    }

    fn tensor(&mut self, heap: &mut Heap, tensor: Tensor) -> Answer<Value> {
        let id = self.tensors.len() as u32;
        heap.budget.push(&mut self.tensors, tensor)?;
        Ok(Value::Made(TENSOR, id))
    }

    fn dtype(&self, value: Value) -> Answer<Dtype> {
        match value {
            Value::Global(number) => match globals::global(number) {
                Global::Dtype(dtype) => Ok(dtype),
                _ => wrong("a tensor's dtype is none"),
            },
            _ => wrong("a tensor's dtype is none"),
        }
    }

    /// `OrderedDict()`, or of a list of pairs, as Python 2 wrote it.
    fn ordered_dict(heap: &mut Heap, args: &[Value]) -> Answer<Value> {
        let id = heap.node(NodeKind::OrderedDict)?;
        let (list, count) = match args {
            [] => (id, 0),
            [Value::Node(list)] if heap.get(*list).kind == NodeKind::List => (*list, heap.get(*list).items.len()),
            _ => return wrong("an OrderedDict is made of what is no list of pairs"),
        };
        for i in 0..count {
            let pair = match heap.get(list).items[i] {
                Value::Tuple(span) => heap.values(span).iter().take(3).copied().collect(),
                Value::Node(id) if heap.get(id).kind == NodeKind::List => {
                    heap.get(id).items.iter().take(3).copied().collect()
                }
                _ => Vec::new(),
            };
            if pair.len() != 2 {
                return wrong("an OrderedDict is made of what is no list of pairs");
            }
            heap.extend(id, &pair)?;
        }
        Ok(Value::Node(id))
    }
}

impl Builder for Rebuilder {
    type Refusal = FaultKind;

    fn global(&self, module: &str, name: &str) -> Option<u16> {
        globals::number(module, name)
    }

    fn call(&mut self, heap: &mut Heap, callable: u16, args: Span) -> Answer<Value> {
        let count = args.len();
        let args = heap.values(args);
        // More arguments than any of them takes; so copying them costs nothing.
        if count > MAX_ARGS {
            return wrong("a call has more arguments than any that torch.save writes");
        }
        let args = args.to_vec();
        let opaque = Ok(Value::Made(OPAQUE, u32::from(callable)));
        match (globals::global(callable), args.as_slice()) {
            (Global::Rebuild(how), args) => self.rebuild(heap, how, args),
            (Global::OrderedDict, args) => Self::ordered_dict(heap, args),
            (Global::Counter, []) => Ok(Value::Node(heap.node(NodeKind::Counter)?)),
            (Global::Counter, [Value::Node(id)]) if heap.get(*id).kind.is_dict() => {
                heap.set_kind(*id, NodeKind::Counter);
                Ok(Value::Node(*id))
            }
            (Global::Size, [size @ Value::Tuple(_)]) => dims(heap, *size, "torch.Size").map(Value::Tuple),
            (Global::Layout, [layout @ Value::Text(_)]) => Ok(*layout),
            (Global::Parameter, [Value::Made(TENSOR, id)] | [Value::Made(TENSOR, id), Value::Bool(_)]) => {
                let tensor = Tensor { parameter: true, ..self.tensors[*id as usize] };
                self.tensor(heap, tensor)
            }
            (Global::Device, [Value::Text(_)] | [Value::Text(_), Value::Int(_)])
            | (Global::Set, [] | [Value::Node(_)])
            | (Global::Complex, [Value::Float(_), Value::Float(_)])
            | (Global::Encode, [Value::Text(_), Value::Text(_)])
            | (Global::Bytearray, [] | [Value::Bytes(_)] | [Value::Made(OPAQUE, _)])
            | (Global::Bytearray, [Value::Text(_), Value::Text(_)]) => opaque,
            _ => wrong("a call with arguments that torch.save does not write"),
        }
    }

    /// `("storage", class, key, location, numel)`; the legacy format adds the metadata of a view.
    fn persistent(&mut self, heap: &mut Heap, id: Value) -> Answer<Value> {
        let Value::Tuple(span) = id else { return wrong("a persistent id is no tuple") };
        let (kind, class, key, location, numel) = match (self.format, heap.values(span)) {
            (Format::Zip, [kind, class, key, location, numel]) => (*kind, *class, *key, *location, *numel),
            (Format::Legacy, [kind, class, key, location, numel, Value::None]) => {
                (*kind, *class, *key, *location, *numel)
            }
            (Format::Legacy, [_, _, _, _, _, Value::Tuple(_)]) => {
                return wrong("a storage is a view of another one, as torch before 0.4 wrote it; save the file again");
            }
            (_, [kind, ..]) => (*kind, Value::None, Value::None, Value::None, Value::None),
            _ => return wrong("a persistent id is empty"),
        };
        match heap.text_bytes(kind) {
            Some(b"storage") if class == Value::None => {
                return wrong("a storage's persistent id has the wrong number of items");
            }
            Some(b"storage") => {}
            Some(_) => {
                let kind = heap.text(kind).map(shown).unwrap_or_default();
                return wrong(format!("a persistent id says `{kind}`, only storages are allowed"));
            }
            None => return wrong("a persistent id does not say that it is a storage"),
        }
        let dtype = match class {
            Value::Global(number) => match globals::global(number) {
                Global::Storage(dtype) => dtype.unwrap_or(Dtype::UINT8),
                _ => return wrong("a storage's class is none"),
            },
            _ => return wrong("a storage's class is none"),
        };
        let short = |value: Value| heap.text_bytes(value).filter(|b| b.len() <= MAX_KEY).and_then(|_| heap.text(value));
        let (Some(key), Some(location), Value::Int(numel)) = (short(key), short(location), numel) else {
            return wrong("a storage's key or location is no short text, or its length no integer");
        };
        let sizes = u64::try_from(numel).ok().and_then(|n| Some((n, n.checked_mul(dtype.size)?)));
        let Some((numel, bytes)) = sizes else {
            return refuse(FaultKind::Storage, format!("the storage `{}` says it has {numel} elements", shown(key)));
        };
        if location != "cpu" && location != "meta" && self.devices.len() < 8 {
            let device = shown(location);
            if !self.devices.contains(&device) {
                self.devices.push(device);
            }
        }
        if let Some(number) = self.by_key.get(key) {
            let known = &self.storages[*number as usize];
            if known.dtype != dtype || known.numel != numel {
                let what = format!(
                    "the storage `{}` is {} of {:?} here and {} of {:?} elsewhere",
                    shown(key),
                    numel,
                    dtype,
                    known.numel,
                    known.dtype
                );
                return refuse(FaultKind::Dtype, what);
            }
            return Ok(Value::Made(STORAGE, *number));
        }
        let (key, number) = (key.to_owned(), self.storages.len() as u32);
        // The key and its place in the tree.
        heap.budget.charge(key.len() + 16 + 56)?;
        heap.budget.push(&mut self.storages, Storage { dtype, numel, bytes })?;
        self.by_key.insert(key, number);
        Ok(Value::Made(STORAGE, number))
    }

    /// `OrderedDict` gets attributes this way (`_metadata` of a state dict), a parameter its own.
    fn build(&mut self, heap: &Heap, object: Value, state: Value) -> Answer<()> {
        match object {
            Value::Node(id) if heap.get(id).kind == NodeKind::OrderedDict => {}
            Value::Made(TENSOR, id) if self.tensors[id as usize].parameter => {}
            _ => return wrong("BUILD changes what is neither an OrderedDict nor a parameter"),
        }
        let Value::Node(id) = state else { return wrong("BUILD gives a state that is no dict") };
        let node = heap.get(id);
        if !node.kind.is_dict() {
            return wrong("BUILD gives a state that is no dict");
        }
        // `__setstate__` and its like would be called by the next BUILD. Repeated BUILDs of one big state must not
        // cost its size each time, and no state of torch has more than a few attributes.
        if node.items.len() > 64 {
            return wrong("BUILD gives an object more attributes than torch.save writes");
        }
        for key in node.items.iter().step_by(2) {
            match heap.text_bytes(*key) {
                Some(name) if !name.starts_with(b"__") => {}
                Some(name) => return wrong(format!("BUILD sets `{}`", shown(&String::from_utf8_lossy(name)))),
                None => return wrong("BUILD sets an attribute whose name is no text"),
            }
        }
        Ok(())
    }
}

/// A tuple of sizes or strides: not negative, not too many.
fn dims(heap: &Heap, value: Value, what: &str) -> Answer<Span> {
    let Value::Tuple(span) = value else { return refuse(FaultKind::Shape, format!("a tensor's {what} is no tuple")) };
    if span.len() > MAX_DIMS {
        return refuse(FaultKind::Shape, format!("a tensor has {} dimensions, the limit is {MAX_DIMS}", span.len()));
    }
    match heap.values(span).iter().find(|v| !matches!(v, Value::Int(n) if *n >= 0)) {
        None => Ok(span),
        Some(Value::Int(n)) => refuse(FaultKind::Shape, format!("a tensor's {what} has the negative value {n}")),
        Some(_) => refuse(FaultKind::Shape, format!("a tensor's {what} has a value that is no 64-bit integer")),
    }
}

/// How many elements a storage must have for this view of it.
fn extent(shape: &[Value], stride: &[Value], offset: u64) -> Answer<u64> {
    if shape.len() != stride.len() {
        let what = format!("a tensor has {} sizes and {} strides", shape.len(), stride.len());
        return refuse(FaultKind::Shape, what);
    }
    let number = |value: &Value| match value {
        Value::Int(n) => u64::try_from(*n).unwrap_or(0),
        _ => 0,
    };
    let elements = shape.iter().try_fold(1_u64, |product, size| product.checked_mul(number(size)));
    let last = shape.iter().zip(stride).try_fold(offset, |last, (size, stride)| {
        last.checked_add(number(size).saturating_sub(1).checked_mul(number(stride))?)
    });
    match (elements, last.and_then(|last| last.checked_add(1))) {
        (Some(0), _) => Ok(0),
        (Some(elements), Some(needs)) if elements <= i64::MAX as u64 => Ok(needs),
        _ => refuse(FaultKind::Shape, format!("a tensor of shape {} is too large for 64 bits", show(shape))),
    }
}

/// `[4, 8]`
fn show(shape: &[Value]) -> String {
    let parts: Vec<String> =
        shape.iter().map(|v| if let Value::Int(n) = v { n.to_string() } else { "?".into() }).collect();
    format!("[{}]", parts.join(", "))
}
