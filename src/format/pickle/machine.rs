//! The pickle machine: runs the opcodes over plain values, asks a builder about globals and calls, executes nothing.

use std::io::Read;

use crate::format::pickle::heap::{Full, Heap, NodeKind, Span, Value};
use crate::format::pickle::opcode as op;
use crate::format::pickle::source::{MAX_LINE, Short, Source};
use crate::format::shown::shown;

/// Deepest stack, and most marks at once. Picklers write lists and dicts in batches of 1,000.
const MAX_STACK: usize = 1 << 18;
/// Memo slots. Picklers number them from 0 without a gap.
const MAX_MEMO: usize = 1 << 20;

/// Why a pickle is refused. `K` is what the builder adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind<K> {
    /// No pickler writes this.
    Malformed,
    /// The bytes end before the pickle does.
    Truncated,
    /// A global that the builder does not know: `module.name`.
    Global(String),
    /// More memory, depth or slots than a pickle may take.
    Limit,
    /// The source could not be read.
    Unreadable,
    /// The builder refuses a call or a persistent id.
    Refused(K),
}

/// Where and why a pickle is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault<K> {
    /// Offset of the opcode from the pickle's first byte.
    pub at: u64,
    /// Why.
    pub kind: Kind<K>,
    /// A lower-case phrase.
    pub what: String,
}

/// What a builder answers when it refuses.
#[derive(Debug)]
pub struct Refused<K> {
    /// Its own kind; `None` where the budget is spent.
    pub kind: Option<K>,
    /// A lower-case phrase.
    pub what: String,
}

impl<K> From<Full> for Refused<K> {
    fn from(_: Full) -> Self {
        Self { kind: None, what: "the pickle takes too much memory".into() }
    }
}

/// Knows which globals there are and what calling them means, in plain values.
pub trait Builder {
    /// What it says when it refuses.
    type Refusal;
    /// The number of a global that is allowed.
    fn global(&self, module: &str, name: &str) -> Option<u16>;
    /// What `callable(*args)` is.
    fn call(&mut self, heap: &mut Heap, callable: u16, args: Span) -> Result<Value, Refused<Self::Refusal>>;
    /// What a persistent id stands for.
    fn persistent(&mut self, heap: &mut Heap, id: Value) -> Result<Value, Refused<Self::Refusal>>;
    /// May this object get this state? The state itself is dropped.
    fn build(&mut self, heap: &Heap, object: Value, state: Value) -> Result<(), Refused<Self::Refusal>>;
}

/// What a pickle holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pickle {
    /// Its value.
    pub root: Value,
    /// Its protocol: what `PROTO` says, or 0.
    pub protocol: u8,
}

/// Runs one pickle from its first byte to its `STOP`.
pub fn run<R: Read, B: Builder>(
    source: &mut Source<R>,
    heap: &mut Heap,
    builder: &mut B,
) -> Result<Pickle, Fault<B::Refusal>> {
    let mut machine =
        Machine { source, heap, builder, stack: Vec::new(), marks: Vec::new(), memo: Vec::new(), at: 0, protocol: 0 };
    let done = machine.run();
    let Machine { stack, marks, memo, heap, .. } = machine;
    heap.budget.release(stack);
    heap.budget.release(marks);
    heap.budget.release(memo);
    done
}

struct Machine<'a, R, B> {
    source: &'a mut Source<R>,
    heap: &'a mut Heap,
    builder: &'a mut B,
    stack: Vec<Value>,
    /// Heights of the stack at each mark.
    marks: Vec<u32>,
    memo: Vec<Option<Value>>,
    /// Offset of the opcode that is being run.
    at: u64,
    protocol: u8,
}

type Step<T, B> = Result<T, Fault<<B as Builder>::Refusal>>;

impl<R: Read, B: Builder> Machine<'_, R, B> {
    fn run(&mut self) -> Step<Pickle, B> {
        loop {
            self.at = self.source.at();
            let code = self.u8()?;
            if code == op::STOP {
                let root = self.pop()?;
                if !self.stack.is_empty() || !self.marks.is_empty() {
                    return self.malformed("the pickle ends with more than one value on its stack");
                }
                return Ok(Pickle { root, protocol: self.protocol });
            }
            self.step(code)?;
        }
    }

    fn step(&mut self, code: u8) -> Step<(), B> {
        match code {
            op::PROTO => {
                let version = self.u8()?;
                if version > 5 {
                    return self.malformed(format!("pickle protocol {version} is unknown"));
                }
                self.protocol = self.protocol.max(version);
                Ok(())
            }
            op::FRAME => {
                let [len] = [u64::from_le_bytes(self.bytes()?)];
                if len > self.source.left() { self.truncated(format!("a frame of {len} bytes")) } else { Ok(()) }
            }
            op::MARK => {
                if self.marks.len() == MAX_STACK {
                    return self.limit("too many marks");
                }
                let height = self.stack.len() as u32;
                self.heap.budget.push(&mut self.marks, height).or_else(|full| self.full(full))
            }
            op::POP => {
                // A mark counts as a value here.
                if self.stack.len() == self.fence() && self.marks.pop().is_some() {
                    Ok(())
                } else {
                    self.pop().map(drop)
                }
            }
            op::POP_MARK => {
                let height = self.mark()?;
                self.stack.truncate(height);
                Ok(())
            }
            op::DUP => {
                let top = self.top()?;
                self.push(top)
            }
            op::NONE => self.push(Value::None),
            op::NEWTRUE => self.push(Value::Bool(true)),
            op::NEWFALSE => self.push(Value::Bool(false)),
            op::BININT => {
                let bytes = self.bytes()?;
                self.push(Value::Int(i32::from_le_bytes(bytes).into()))
            }
            op::BININT1 => {
                let byte = self.u8()?;
                self.push(Value::Int(byte.into()))
            }
            op::BININT2 => {
                let bytes = self.bytes()?;
                self.push(Value::Int(u16::from_le_bytes(bytes).into()))
            }
            op::BINFLOAT => {
                let bytes = self.bytes()?;
                self.push(Value::Float(f64::from_be_bytes(bytes)))
            }
            op::LONG1 | op::LONG4 | op::INT | op::LONG | op::FLOAT => self.number(code),
            op::STRING | op::UNICODE => self.quoted(code),
            op::BINUNICODE | op::SHORT_BINUNICODE | op::BINUNICODE8 | op::BINSTRING | op::SHORT_BINSTRING => {
                self.text(code)
            }
            op::BINBYTES | op::SHORT_BINBYTES | op::BINBYTES8 | op::BYTEARRAY8 => {
                let span = self.counted(code)?;
                self.push(Value::Bytes(span))
            }
            op::EMPTY_TUPLE => self.push(Value::Tuple(Span::EMPTY)),
            op::TUPLE1 => self.tuple_of(1),
            op::TUPLE2 => self.tuple_of(2),
            op::TUPLE3 => self.tuple_of(3),
            op::TUPLE => {
                let height = self.mark()?;
                self.tuple_of(self.stack.len() - height)
            }
            op::EMPTY_LIST => self.empty(NodeKind::List),
            op::EMPTY_DICT => self.empty(NodeKind::Dict),
            op::EMPTY_SET => self.empty(NodeKind::Set),
            op::LIST => self.filled(NodeKind::List),
            op::DICT => self.filled(NodeKind::Dict),
            op::FROZENSET => self.filled(NodeKind::Set),
            op::APPEND => self.add(1, |kind| kind == NodeKind::List, "appends to what is no list"),
            op::SETITEM => self.add(2, NodeKind::is_dict, "sets an item of what is no dict"),
            op::APPENDS | op::SETITEMS | op::ADDITEMS => {
                let height = self.mark()?;
                let count = self.stack.len() - height;
                match code {
                    op::APPENDS => self.add(count, |kind| kind == NodeKind::List, "appends to what is no list"),
                    op::ADDITEMS => self.add(count, |kind| kind == NodeKind::Set, "adds to what is no set"),
                    _ if count % 2 == 1 => self.malformed("a dict gets a key without a value"),
                    _ => self.add(count, NodeKind::is_dict, "sets items of what is no dict"),
                }
            }
            op::GET | op::BINGET | op::LONG_BINGET => {
                let index = self.memo_index(code)?;
                match usize::try_from(index).ok().and_then(|i| self.memo.get(i).copied().flatten()) {
                    Some(value) => self.push(value),
                    None => self.malformed(format!("memo slot {index} was never filled")),
                }
            }
            op::PUT | op::BINPUT | op::LONG_BINPUT => {
                let index = self.memo_index(code)?;
                self.put(index)
            }
            op::MEMOIZE => self.put(self.memo.len() as u64),
            op::GLOBAL => {
                let (module, name) = (self.line()?, self.line()?);
                let value = self.global(&module, &name)?;
                self.push(value)
            }
            op::STACK_GLOBAL => {
                let (name, module) = (self.pop()?, self.pop()?);
                let fits = |text: &&str| text.len() <= MAX_LINE;
                let owned = |value| self.heap.text(value).filter(fits).map(str::to_owned);
                match (owned(module), owned(name)) {
                    (Some(module), Some(name)) => {
                        let value = self.global(&module, &name)?;
                        self.push(value)
                    }
                    _ => self.malformed("STACK_GLOBAL takes its names from what is no text, or a long one"),
                }
            }
            op::INST => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(&module, &name)?;
                self.malformed("the opcode INST makes an object, which no tensor needs")
            }
            op::REDUCE | op::NEWOBJ => self.call(),
            op::BUILD => {
                let state = self.pop()?;
                let object = self.top()?;
                self.builder.build(self.heap, object, state).or_else(|refused| self.refused(refused))
            }
            op::BINPERSID => {
                let id = self.pop()?;
                let value = self.builder.persistent(self.heap, id).or_else(|refused| self.refused(refused))?;
                self.push(value)
            }
            other => match op::name(other) {
                Some(name) => self.malformed(format!("the opcode {name} is not one that torch.save writes")),
                None => self.malformed(format!("0x{other:02x} is no pickle opcode")),
            },
        }
    }

    /// REDUCE and NEWOBJ: a callable and its tuple of arguments.
    fn call(&mut self) -> Step<(), B> {
        let (args, callable) = (self.pop()?, self.pop()?);
        let Value::Tuple(args) = args else { return self.malformed("the arguments of a call are no tuple") };
        let Value::Global(callable) = callable else { return self.malformed("calls what is no function or class") };
        let value = self.builder.call(self.heap, callable, args).or_else(|refused| self.refused(refused))?;
        self.push(value)
    }

    /// Takes `count` values off the stack and puts a tuple of them there.
    fn tuple_of(&mut self, count: usize) -> Step<(), B> {
        let start = self.below(count)?;
        let tuple = self.heap.tuple(&self.stack[start..]).or_else(|full| self.full(full))?;
        self.stack.truncate(start);
        self.push(tuple)
    }

    fn empty(&mut self, kind: NodeKind) -> Step<(), B> {
        let id = self.heap.node(kind).or_else(|full| self.full(full))?;
        self.push(Value::Node(id))
    }

    /// LIST, DICT and FROZENSET: a container of what lies above the mark.
    fn filled(&mut self, kind: NodeKind) -> Step<(), B> {
        let start = self.mark()?;
        if kind.is_dict() && (self.stack.len() - start) % 2 == 1 {
            return self.malformed("a dict gets a key without a value");
        }
        let id = self.heap.node(kind).or_else(|full| self.full(full))?;
        self.heap.extend(id, &self.stack[start..]).or_else(|full| self.full(full))?;
        self.stack.truncate(start);
        self.push(Value::Node(id))
    }

    /// Moves the `count` values on top into the container below them.
    fn add(&mut self, count: usize, fits: impl Fn(NodeKind) -> bool, wrong: &str) -> Step<(), B> {
        let start = self.below(count)?;
        if start == self.fence() {
            return self.malformed("the stack is empty");
        }
        match self.stack[start - 1] {
            Value::Node(id) if fits(self.heap.get(id).kind) => {
                self.heap.extend(id, &self.stack[start..]).or_else(|full| self.full(full))?;
                self.stack.truncate(start);
                Ok(())
            }
            _ => self.malformed(wrong),
        }
    }

    fn put(&mut self, index: u64) -> Step<(), B> {
        let value = self.top()?;
        let Some(index) = usize::try_from(index).ok().filter(|i| *i < MAX_MEMO) else {
            return self.limit(format!("memo slot {index} is past the limit of {MAX_MEMO}"));
        };
        if index >= self.memo.len() {
            let extra = index + 1 - self.memo.len();
            self.heap.budget.room(&mut self.memo, extra).or_else(|full| self.full(full))?;
            self.memo.resize(index + 1, None);
        }
        self.memo[index] = Some(value);
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Step<Value, B> {
        match self.builder.global(module, name) {
            Some(number) => Ok(Value::Global(number)),
            None => {
                let full = shown(&format!("{module}.{name}"));
                let what = format!("names `{full}`, which is not on the list of what a tensor file may name");
                Err(Fault { at: self.at, kind: Kind::Global(full), what })
            }
        }
    }

    // Arguments of opcodes.

    fn number(&mut self, code: u8) -> Step<(), B> {
        let value = match code {
            op::LONG1 | op::LONG4 => {
                let len = if code == op::LONG1 { self.u8()?.into() } else { u32::from_le_bytes(self.bytes()?) };
                let span = self.source.text(self.heap, len.into()).or_else(|short| self.short(short))?;
                let bytes = self.heap.bytes(span);
                if bytes.len() <= 8 {
                    let negative = bytes.last().is_some_and(|b| *b >= 0x80);
                    let mut wide = if negative { [0xff; 8] } else { [0; 8] };
                    wide[..bytes.len()].copy_from_slice(bytes);
                    Value::Int(i64::from_le_bytes(wide))
                } else {
                    Value::Long(span)
                }
            }
            _ => {
                let line = self.line()?;
                let parsed = match (code, line.as_str()) {
                    (op::INT, "00") => Some(Value::Bool(false)),
                    (op::INT, "01") => Some(Value::Bool(true)),
                    (op::FLOAT, text) => text.parse().ok().map(Value::Float),
                    (_, text) => text.strip_suffix('L').unwrap_or(text).parse().ok().map(Value::Int),
                };
                match parsed {
                    Some(value) => value,
                    None => return self.malformed(format!("`{}` is no number", shown(&line))),
                }
            }
        };
        self.push(value)
    }

    /// STRING and UNICODE: a line of text. Nothing that holds a tensor has one with an escape.
    fn quoted(&mut self, code: u8) -> Step<(), B> {
        let line = self.line()?;
        let text = if code == op::UNICODE {
            Some(line.as_str())
        } else {
            ['\'', '"'].iter().find_map(|q| line.strip_prefix(*q)?.strip_suffix(*q))
        };
        let Some(text) = text.filter(|text| !text.contains('\\')) else {
            return self.malformed("a text of pickle protocol 0 with escapes or without quotes");
        };
        let (arena, start) = match self.heap.text_room(text.len()) {
            Ok(room) => room,
            Err(full) => return self.full(full),
        };
        arena.extend_from_slice(text.as_bytes());
        let span = self.heap.text_since(start);
        self.push(Value::Text(span))
    }

    fn text(&mut self, code: u8) -> Step<(), B> {
        let span = self.counted(code)?;
        if std::str::from_utf8(self.heap.bytes(span)).is_ok() {
            self.push(Value::Text(span))
        } else if matches!(code, op::BINSTRING | op::SHORT_BINSTRING) {
            // Python 2 wrote bytes as strings.
            self.push(Value::Bytes(span))
        } else {
            self.malformed("a text is not UTF-8")
        }
    }

    /// A length of 1, 4 or 8 bytes, and as many bytes.
    fn counted(&mut self, code: u8) -> Step<Span, B> {
        let len = match code {
            op::SHORT_BINUNICODE | op::SHORT_BINSTRING | op::SHORT_BINBYTES => self.u8()?.into(),
            op::BINUNICODE8 | op::BINBYTES8 | op::BYTEARRAY8 => u64::from_le_bytes(self.bytes()?),
            _ => u32::from_le_bytes(self.bytes()?).into(),
        };
        if len > self.source.left() {
            return self.truncated(format!("{len} bytes of text"));
        }
        self.source.text(self.heap, len).or_else(|short| self.short(short))
    }

    fn memo_index(&mut self, code: u8) -> Step<u64, B> {
        match code {
            op::BINGET | op::BINPUT => Ok(self.u8()?.into()),
            op::LONG_BINGET | op::LONG_BINPUT => Ok(u32::from_le_bytes(self.bytes()?).into()),
            _ => {
                let line = self.line()?;
                line.parse().or_else(|_| self.malformed(format!("`{}` is no memo slot", shown(&line))))
            }
        }
    }

    fn u8(&mut self) -> Step<u8, B> {
        self.bytes::<1>().map(|[byte]| byte)
    }

    fn bytes<const N: usize>(&mut self) -> Step<[u8; N], B> {
        self.source.bytes().or_else(|short| self.short(short))
    }

    fn line(&mut self) -> Step<String, B> {
        match self.source.line() {
            Ok(Some(line)) => String::from_utf8(line).or_else(|_| self.malformed("a name is not UTF-8")),
            Ok(None) => self.limit(format!("a name or number of over {MAX_LINE} bytes")),
            Err(short) => self.short(short),
        }
    }

    // The stack. Nothing reaches below the last mark.

    fn fence(&self) -> usize {
        self.marks.last().map_or(0, |height| *height as usize)
    }

    fn push(&mut self, value: Value) -> Step<(), B> {
        if self.stack.len() == MAX_STACK {
            return self.limit("the stack is too deep");
        }
        self.heap.budget.push(&mut self.stack, value).or_else(|full| self.full(full))
    }

    fn top(&self) -> Step<Value, B> {
        let start = self.below(1)?;
        Ok(self.stack[start])
    }

    fn pop(&mut self) -> Step<Value, B> {
        let value = self.top()?;
        self.stack.pop();
        Ok(value)
    }

    /// Where the `count` values on top begin.
    fn below(&self, count: usize) -> Step<usize, B> {
        match self.stack.len().checked_sub(count) {
            Some(start) if start >= self.fence() => Ok(start),
            _ => self.malformed("the stack is empty"),
        }
    }

    /// Takes the last mark away; what lay above it begins there.
    fn mark(&mut self) -> Step<usize, B> {
        match self.marks.pop() {
            Some(height) => Ok(height as usize),
            None => self.malformed("there is no mark on the stack"),
        }
    }

    // Faults.

    fn fault<T>(&self, kind: Kind<B::Refusal>, what: impl Into<String>) -> Step<T, B> {
        Err(Fault { at: self.at, kind, what: what.into() })
    }

    fn malformed<T>(&self, what: impl Into<String>) -> Step<T, B> {
        self.fault(Kind::Malformed, what)
    }

    fn limit<T>(&self, what: impl Into<String>) -> Step<T, B> {
        self.fault(Kind::Limit, what)
    }

    fn truncated<T>(&self, wanted: impl std::fmt::Display) -> Step<T, B> {
        self.fault(Kind::Truncated, format!("the pickle ends where {wanted} should follow"))
    }

    fn full<T>(&self, _: Full) -> Step<T, B> {
        self.limit("the pickle takes too much memory")
    }

    fn short<T>(&self, short: Short) -> Step<T, B> {
        match short {
            Short::End => self.truncated("an opcode or its argument"),
            Short::Full => self.full(Full),
            Short::Io(error) => self.fault(Kind::Unreadable, error.to_string()),
        }
    }

    fn refused<T>(&self, refused: Refused<B::Refusal>) -> Step<T, B> {
        self.fault(refused.kind.map_or(Kind::Limit, Kind::Refused), refused.what)
    }
}
