//! The opcodes of pickle, protocols 0 to 5, under the names that Python's `pickletools` gives them.

macro_rules! opcodes {
    ($($name:ident = $byte:literal, $what:literal;)*) => {
        $(#[doc = $what] pub const $name: u8 = $byte;)*

        /// The name of an opcode; `None` for a byte that is none.
        pub fn name(byte: u8) -> Option<&'static str> {
            match byte {
                $($byte => Some(stringify!($name)),)*
                _ => None,
            }
        }
    };
}

opcodes! {
    MARK = b'(', "Pushes a mark.";
    STOP = b'.', "Ends the pickle; the top of the stack is its value.";
    POP = b'0', "Drops the top of the stack.";
    POP_MARK = b'1', "Drops everything down to the mark.";
    DUP = b'2', "Pushes the top once more.";
    FLOAT = b'F', "A float as a line of text.";
    INT = b'I', "An integer as a line of text; `00` and `01` are booleans.";
    BININT = b'J', "A 4-byte signed integer.";
    BININT1 = b'K', "A 1-byte integer.";
    LONG = b'L', "A long integer as a line of text.";
    BININT2 = b'M', "A 2-byte integer.";
    NONE = b'N', "None.";
    PERSID = b'P', "A persistent id as a line of text.";
    BINPERSID = b'Q', "The persistent id on the stack.";
    REDUCE = b'R', "Calls a callable with a tuple of arguments.";
    STRING = b'S', "A quoted byte string as a line of text.";
    BINSTRING = b'T', "A byte string with a 4-byte length.";
    SHORT_BINSTRING = b'U', "A byte string with a 1-byte length.";
    UNICODE = b'V', "A text as an escaped line.";
    BINUNICODE = b'X', "UTF-8 with a 4-byte length.";
    APPEND = b'a', "Appends the top to the list below.";
    BUILD = b'b', "Gives an object its state.";
    GLOBAL = b'c', "A global, module and name as two lines.";
    DICT = b'd', "A dict of what lies above the mark.";
    EMPTY_DICT = b'}', "An empty dict.";
    APPENDS = b'e', "Appends what lies above the mark to the list below it.";
    GET = b'g', "A memo slot, as a line of text.";
    BINGET = b'h', "A memo slot, 1-byte index.";
    INST = b'i', "Makes an instance of the class that two lines name.";
    LONG_BINGET = b'j', "A memo slot, 4-byte index.";
    LIST = b'l', "A list of what lies above the mark.";
    EMPTY_LIST = b']', "An empty list.";
    OBJ = b'o', "Makes an instance of the class above the mark.";
    PUT = b'p', "Stores the top in the memo, index as a line of text.";
    BINPUT = b'q', "Stores the top in the memo, 1-byte index.";
    LONG_BINPUT = b'r', "Stores the top in the memo, 4-byte index.";
    SETITEM = b's', "Sets one item of a dict.";
    TUPLE = b't', "A tuple of what lies above the mark.";
    EMPTY_TUPLE = b')', "An empty tuple.";
    SETITEMS = b'u', "Sets the items that lie above the mark.";
    BINFLOAT = b'G', "An 8-byte big-endian float.";
    BINBYTES = b'B', "Bytes with a 4-byte length.";
    SHORT_BINBYTES = b'C', "Bytes with a 1-byte length.";
    PROTO = 0x80, "The protocol number.";
    NEWOBJ = 0x81, "Makes an object by `cls.__new__`.";
    EXT1 = 0x82, "A global by its 1-byte extension code.";
    EXT2 = 0x83, "A global by its 2-byte extension code.";
    EXT4 = 0x84, "A global by its 4-byte extension code.";
    TUPLE1 = 0x85, "A tuple of one.";
    TUPLE2 = 0x86, "A tuple of two.";
    TUPLE3 = 0x87, "A tuple of three.";
    NEWTRUE = 0x88, "True.";
    NEWFALSE = 0x89, "False.";
    LONG1 = 0x8a, "A long integer with a 1-byte length.";
    LONG4 = 0x8b, "A long integer with a 4-byte length.";
    SHORT_BINUNICODE = 0x8c, "UTF-8 with a 1-byte length.";
    BINUNICODE8 = 0x8d, "UTF-8 with an 8-byte length.";
    BINBYTES8 = 0x8e, "Bytes with an 8-byte length.";
    EMPTY_SET = 0x8f, "An empty set.";
    ADDITEMS = 0x90, "Adds what lies above the mark to the set below it.";
    FROZENSET = 0x91, "A frozenset of what lies above the mark.";
    NEWOBJ_EX = 0x92, "Makes an object by `cls.__new__` with keyword arguments.";
    STACK_GLOBAL = 0x93, "A global, module and name from the stack.";
    MEMOIZE = 0x94, "Stores the top in the next memo slot.";
    FRAME = 0x95, "The length of the next frame.";
    BYTEARRAY8 = 0x96, "A bytearray with an 8-byte length.";
    NEXT_BUFFER = 0x97, "The next out-of-band buffer.";
    READONLY_BUFFER = 0x98, "Makes the top buffer read-only.";
}
