//! The allow-list: every global that a tensor file may name, and what it stands for. Nothing else passes.
//!
//! It is a part of what torch's own `weights_only` unpickler allows (`torch/_weights_only_unpickler.py`):
//! what builds tensors out of storages, and Python's harmless containers. Names are compared whole and in two
//! parts, as a prefix of `torch.` proves nothing: `torch.os.system` runs a shell.

use std::fmt;

/// A type of elements: torch's name, and the bytes of one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Dtype {
    /// `float32`, `bfloat16`, …
    pub name: &'static str,
    /// Bytes of one element.
    pub size: u64,
}

impl fmt::Debug for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Dtype {
    /// Bytes.
    pub const UINT8: Self = Self { name: "uint8", size: 1 };

    /// Do its elements hold real numbers with fractions?
    pub fn is_float(self) -> bool {
        self.name.starts_with("float") || self.name == "bfloat16"
    }
}

/// What rebuilds a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rebuild {
    /// `_rebuild_tensor(storage, offset, size, stride)`
    V1,
    /// `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks, metadata=None)`
    V2,
    /// `_rebuild_tensor_v3(storage, offset, size, stride, requires_grad, hooks, dtype, metadata=None)`
    V3,
    /// `_rebuild_qtensor(storage, offset, size, stride, quantizer, requires_grad, hooks)`
    Quantized,
    /// `_rebuild_parameter(data, requires_grad, hooks)`
    Parameter,
    /// `_rebuild_parameter_with_state(data, requires_grad, hooks, state)`
    ParameterWithState,
    /// `_rebuild_meta_tensor_no_storage(dtype, size, stride, requires_grad)`
    Meta,
    /// `_rebuild_sparse_tensor(layout, data)`
    Sparse,
    /// `torch._tensor._rebuild_from_type_v2(function, type, args, state)`
    FromType,
}

/// What an allowed global stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    Rebuild(Rebuild),
    /// A storage class with its type; `None` is the untyped one.
    Storage(Option<Dtype>),
    Dtype(Dtype),
    Size,
    Device,
    Layout,
    Tensor,
    Parameter,
    OrderedDict,
    Counter,
    Set,
    Bytearray,
    Complex,
    Encode,
    /// A quantization scheme.
    Scheme,
}

const fn dtype(name: &'static str, size: u64) -> Dtype {
    Dtype { name, size }
}

macro_rules! allowed {
    (
        dtypes { $($name:literal $size:literal,)* }
        storages { $($storage:literal $of:literal $bytes:literal,)* }
        others { $($module:literal $other:literal => $what:expr,)* }
    ) => {
        static ALLOWED: &[(&str, &str, Global)] = &[
            $(($module, $other, $what),)*
            $(("torch", $storage, Global::Storage(Some(dtype($of, $bytes)))),)*
            $(("torch", $name, Global::Dtype(dtype($name, $size))),)*
        ];
    };
}

allowed! {
    dtypes {
        "float32" 4, "float16" 2, "bfloat16" 2, "float64" 8, "complex32" 4, "complex64" 8, "complex128" 16,
        "int8" 1, "int16" 2, "int32" 4, "int64" 8, "uint8" 1, "uint16" 2, "uint32" 4, "uint64" 8, "bool" 1,
        "float8_e4m3fn" 1, "float8_e5m2" 1, "float8_e4m3fnuz" 1, "float8_e5m2fnuz" 1, "float8_e8m0fnu" 1,
        "float4_e2m1fn_x2" 1, "qint8" 1, "quint8" 1, "qint32" 4, "quint4x2" 1, "quint2x4" 1,
        "bits8" 1, "bits16" 2, "bits1x8" 1, "bits2x4" 1, "bits4x2" 1,
    }
    storages {
        "FloatStorage" "float32" 4, "HalfStorage" "float16" 2, "BFloat16Storage" "bfloat16" 2,
        "DoubleStorage" "float64" 8, "LongStorage" "int64" 8, "IntStorage" "int32" 4, "ShortStorage" "int16" 2,
        "CharStorage" "int8" 1, "ByteStorage" "uint8" 1, "BoolStorage" "bool" 1,
        "ComplexFloatStorage" "complex64" 8, "ComplexDoubleStorage" "complex128" 16,
        "QInt8Storage" "qint8" 1, "QUInt8Storage" "quint8" 1, "QInt32Storage" "qint32" 4,
        "QUInt4x2Storage" "quint4x2" 1, "QUInt2x4Storage" "quint2x4" 1,
    }
    others {
        "torch._utils" "_rebuild_tensor_v2" => Global::Rebuild(Rebuild::V2),
        "collections" "OrderedDict" => Global::OrderedDict,
        "torch._utils" "_rebuild_tensor" => Global::Rebuild(Rebuild::V1),
        "torch._utils" "_rebuild_tensor_v3" => Global::Rebuild(Rebuild::V3),
        "torch._utils" "_rebuild_qtensor" => Global::Rebuild(Rebuild::Quantized),
        "torch._utils" "_rebuild_parameter" => Global::Rebuild(Rebuild::Parameter),
        "torch._utils" "_rebuild_parameter_with_state" => Global::Rebuild(Rebuild::ParameterWithState),
        "torch._utils" "_rebuild_meta_tensor_no_storage" => Global::Rebuild(Rebuild::Meta),
        "torch._utils" "_rebuild_sparse_tensor" => Global::Rebuild(Rebuild::Sparse),
        "torch._tensor" "_rebuild_from_type_v2" => Global::Rebuild(Rebuild::FromType),
        "torch.storage" "UntypedStorage" => Global::Storage(None),
        "torch" "UntypedStorage" => Global::Storage(None),
        "torch" "Size" => Global::Size,
        "torch" "device" => Global::Device,
        "torch" "Tensor" => Global::Tensor,
        "torch.nn.parameter" "Parameter" => Global::Parameter,
        "torch.serialization" "_get_layout" => Global::Layout,
        "torch" "per_tensor_affine" => Global::Scheme,
        "torch" "per_channel_affine" => Global::Scheme,
        "torch" "per_tensor_symmetric" => Global::Scheme,
        "torch" "per_channel_symmetric" => Global::Scheme,
        "torch" "per_channel_affine_float_qparams" => Global::Scheme,
        "collections" "Counter" => Global::Counter,
        "builtins" "set" => Global::Set,
        "__builtin__" "set" => Global::Set,
        "builtins" "bytearray" => Global::Bytearray,
        "__builtin__" "bytearray" => Global::Bytearray,
        "builtins" "complex" => Global::Complex,
        "__builtin__" "complex" => Global::Complex,
        "_codecs" "encode" => Global::Encode,
    }
}

/// The number of a global that is allowed.
pub(super) fn number(module: &str, name: &str) -> Option<u16> {
    let index = ALLOWED.iter().position(|(m, n, _)| *n == name && *m == module)?;
    u16::try_from(index).ok()
}

/// What the number that [`number`] gave stands for.
pub(super) fn global(number: u16) -> Global {
    ALLOWED[usize::from(number)].2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_whole() {
        assert_eq!(global(number("torch", "FloatStorage").unwrap()), Global::Storage(Some(dtype("float32", 4))));
        for (module, name) in [
            ("torch", "os.system"),
            ("torch._utils", "torch.os.system"),
            ("torch", "_utils._rebuild_tensor_v2"),
            ("torch._utils ", "_rebuild_tensor_v2"),
            ("torch.storage", "_load_from_bytes"),
            ("builtins", "eval"),
            ("builtins", "getattr"),
            ("os", "system"),
            ("", ""),
        ] {
            assert_eq!(number(module, name), None, "{module}.{name}");
        }
    }

    #[test]
    fn no_global_stands_twice() {
        let mut names: Vec<_> = ALLOWED.iter().map(|(m, n, _)| (m, n)).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
