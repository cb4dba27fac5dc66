//! `Heap`: the values of a pickle, in a few flat arenas whose memory is counted before it is taken.

/// A run of bytes in the text arena, or of values in the item arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// Nothing.
    pub const EMPTY: Self = Self { start: 0, len: 0 };

    /// How many bytes or values.
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// Is there nothing?
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    fn range(self) -> std::ops::Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }
}

/// A value on the stack, in the memo or in a container. Small and `Copy`: what is big lies in the heap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// None.
    None,
    /// A boolean.
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// A longer integer: its little-endian two's complement bytes.
    Long(Span),
    /// A float.
    Float(f64),
    /// A text.
    Text(Span),
    /// Bytes or a bytearray.
    Bytes(Span),
    /// A tuple: values in the item arena.
    Tuple(Span),
    /// A container that can grow.
    Node(u32),
    /// A global, by the number that the builder gave it.
    Global(u16),
    /// What the builder made: its own kind and number.
    Made(u8, u32),
}

/// Which container a [`Node`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// `list`
    List,
    /// `dict`
    Dict,
    /// `collections.OrderedDict`
    OrderedDict,
    /// `collections.Counter`
    Counter,
    /// `set` and `frozenset`
    Set,
}

impl NodeKind {
    /// Python's name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Dict => "dict",
            Self::OrderedDict => "OrderedDict",
            Self::Counter => "Counter",
            Self::Set => "set",
        }
    }

    /// Are its items keys and values in turn?
    pub fn is_dict(self) -> bool {
        matches!(self, Self::Dict | Self::OrderedDict | Self::Counter)
    }
}

/// A list, dict or set. A dict's items are keys and values in turn.
#[derive(Debug)]
pub struct Node {
    /// Which container.
    pub kind: NodeKind,
    /// What it holds.
    pub items: Vec<Value>,
}

/// The budget is spent: the pickle would take more memory than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Bytes that may still be taken.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    left: usize,
}

impl Budget {
    /// This many bytes.
    pub fn new(bytes: usize) -> Self {
        Self { left: bytes }
    }

    /// Takes bytes, or says that there are not enough left.
    pub fn charge(&mut self, bytes: usize) -> Result<(), Full> {
        self.left = self.left.checked_sub(bytes).ok_or(Full)?;
        Ok(())
    }

    /// Makes room for `extra` more, paid by capacity: what is charged is what is held.
    pub fn room<T>(&mut self, vec: &mut Vec<T>, extra: usize) -> Result<(), Full> {
        if vec.capacity() - vec.len() < extra {
            let more = extra.max(vec.len() / 2).max(2);
            let before = vec.capacity();
            // 16 bytes are the allocator's own, once for each block.
            let own = if before == 0 { 16 } else { 0 };
            let bytes = (vec.len() + more - before).checked_mul(size_of::<T>()).ok_or(Full)?;
            self.charge(bytes.checked_add(own).ok_or(Full)?)?;
            vec.reserve_exact(more);
        }
        Ok(())
    }

    /// Pushes a value.
    pub fn push<T>(&mut self, vec: &mut Vec<T>, value: T) -> Result<(), Full> {
        self.room(vec, 1)?;
        vec.push(value);
        Ok(())
    }

    /// Gives back what a vector held.
    pub fn release<T>(&mut self, vec: Vec<T>) {
        self.left += vec.capacity() * size_of::<T>();
    }
}

/// Where values live.
#[derive(Debug)]
pub struct Heap {
    /// What may still be taken.
    pub budget: Budget,
    text: Vec<u8>,
    items: Vec<Value>,
    nodes: Vec<Node>,
}

impl Heap {
    /// An empty heap that may grow to about this many bytes.
    pub fn new(bytes: usize) -> Self {
        Self { budget: Budget::new(bytes), text: Vec::new(), items: Vec::new(), nodes: Vec::new() }
    }

    /// The text arena with room for `len` more bytes, for a reader to fill, and where they begin.
    pub(super) fn text_room(&mut self, len: usize) -> Result<(&mut Vec<u8>, usize), Full> {
        let start = self.text.len();
        // Every place in the arena must fit a `Span`.
        u32::try_from(start.checked_add(len).ok_or(Full)?).map_err(|_| Full)?;
        self.budget.room(&mut self.text, len)?;
        Ok((&mut self.text, start))
    }

    /// The bytes that were filled in from `start` on.
    pub(super) fn text_since(&self, start: usize) -> Span {
        Span { start: start as u32, len: (self.text.len() - start) as u32 }
    }

    /// Keeps the values as a tuple.
    pub fn tuple(&mut self, values: &[Value]) -> Result<Value, Full> {
        let start = u32::try_from(self.items.len()).map_err(|_| Full)?;
        let len = u32::try_from(values.len()).map_err(|_| Full)?;
        start.checked_add(len).ok_or(Full)?;
        self.budget.room(&mut self.items, values.len())?;
        self.items.extend_from_slice(values);
        Ok(Value::Tuple(Span { start, len }))
    }

    /// A new empty container.
    pub fn node(&mut self, kind: NodeKind) -> Result<u32, Full> {
        let id = u32::try_from(self.nodes.len()).map_err(|_| Full)?;
        self.budget.push(&mut self.nodes, Node { kind, items: Vec::new() })?;
        Ok(id)
    }

    /// Adds values to a container.
    pub fn extend(&mut self, id: u32, values: &[Value]) -> Result<(), Full> {
        let node = &mut self.nodes[id as usize];
        self.budget.room(&mut node.items, values.len())?;
        node.items.extend_from_slice(values);
        Ok(())
    }

    /// Makes a container one of another kind.
    pub fn set_kind(&mut self, id: u32, kind: NodeKind) {
        self.nodes[id as usize].kind = kind;
    }

    /// The container of this number. Numbers come from this heap alone, so there is one.
    pub fn get(&self, id: u32) -> &Node {
        &self.nodes[id as usize]
    }

    /// The values of a tuple.
    pub fn values(&self, span: Span) -> &[Value] {
        &self.items[span.range()]
    }

    /// The bytes of a text, of bytes or of a long integer.
    pub fn bytes(&self, span: Span) -> &[u8] {
        &self.text[span.range()]
    }

    /// The bytes of a value that is a text. They are UTF-8.
    pub fn text_bytes(&self, value: Value) -> Option<&[u8]> {
        match value {
            Value::Text(span) => Some(self.bytes(span)),
            _ => None,
        }
    }

    /// The text of a value that is one. It costs its length each time: bound that where a file can repeat it.
    pub fn text(&self, value: Value) -> Option<&str> {
        std::str::from_utf8(self.text_bytes(value)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_small() {
        assert_eq!(size_of::<Value>(), 16);
        assert_eq!(size_of::<Option<Value>>(), 16);
    }

    #[test]
    fn a_spent_budget_takes_nothing_more() {
        let mut heap = Heap::new(1000);
        let list = heap.node(NodeKind::List).unwrap();
        let mut held = 0;
        while heap.extend(list, &[Value::None]).is_ok() {
            held += 1;
            assert!(held < 100, "the budget has no end");
        }
        assert!(held > 10);
        assert_eq!(heap.get(list).items.len(), held, "a refused value is not half added");
        assert_eq!(heap.tuple(&[Value::None; 100]), Err(Full));
    }

    #[test]
    fn what_is_charged_is_what_is_held() {
        let mut budget = Budget::new(1 << 20);
        let mut vec: Vec<u64> = Vec::new();
        for i in 0..1000 {
            budget.push(&mut vec, i).unwrap();
        }
        assert_eq!((1 << 20) - budget.left, vec.capacity() * 8 + 16);
        budget.release(vec);
        assert_eq!((1 << 20) - budget.left, 16);
    }
}
