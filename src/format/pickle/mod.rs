//! Reads pickles as data: nothing is imported, called or executed.
//!
//! A pickle is a program for a stack machine (Python's `Lib/pickle.py` and `Lib/pickletools.py`, PEP 307, 3154, 574):
//! one byte of opcode, then its argument. `PROTO n` comes first from protocol 2 on, `STOP` last. `GLOBAL` names a
//! function or class, `REDUCE` calls it: that is how a pickle runs code. Here a global is a number that the
//! [`Builder`] knows or refuses, and a call is a question to the builder, which answers with a plain value.
//!
//! What this module does not know: torch. What bounds it: every byte that it keeps is taken from a [`Budget`] first.

mod heap;
mod machine;
pub mod opcode;
mod source;

pub use heap::{Budget, Full, Heap, Node, NodeKind, Span, Value};
pub use machine::{Builder, Fault, Kind, Pickle, Refused, run};
pub use source::Source;
