//! Pickles and tensors that break one rule each, and the forms that torch has had over the years.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod torch_maker;

use std::io::Cursor;

use expert_build::format::torch::{self, FaultKind, Layout, TorchFault, TorchFile};
use torch_maker::{members, pickle, tensor, text, zip};

const DATA: [u8; 128] = [7; 128];

fn read(body: &[u8]) -> Result<TorchFile, TorchFault> {
    let bytes = zip(&members(&pickle(body), &[("0", &DATA)]));
    torch::read(&mut Cursor::new(&bytes), bytes.len() as u64)
}

/// Opcodes that put the storage `0` of this class and length on the stack.
fn storage(class: &str, numel: u8) -> Vec<u8> {
    let class = format!("ctorch\n{class}\n");
    [b"(".as_slice(), &text("storage"), class.as_bytes(), &text("0"), &text("cpu"), &[b'K', numel], b"tQ"].concat()
}

fn call(function: &str, args: &[&[u8]]) -> Vec<u8> {
    let function = format!("c{}\n", function.replace(' ', "\n"));
    [function.as_bytes(), b"(", &args.concat(), b"tR"].concat()
}

fn told(body: &[u8]) -> (FaultKind, String) {
    let fault = read(body).expect_err("a file that breaks a rule");
    (fault.kind, fault.malformed.what)
}

const SIZE: &[u8] = b"K\x04K\x08\x86";
const STRIDE: &[u8] = b"K\x08K\x01\x86";
const HOOKS: &[u8] = b"ccollections\nOrderedDict\n)R";

#[test]
fn every_form_of_a_tensor() {
    let float = storage("FloatStorage", 32);
    let plain = tensor("0");
    let v1 = call("torch._utils _rebuild_tensor", &[&float, b"K\0", SIZE, STRIDE]);
    let untyped = storage("UntypedStorage", 128);
    let v3 = |dtype: &str, size: &[u8]| {
        let dtype = format!("ctorch\n{dtype}\n");
        call(
            "torch._utils _rebuild_tensor_v3",
            &[&untyped, b"K\0", size, b"K\x01\x85", b"\x89", HOOKS, dtype.as_bytes()],
        )
    };
    let parameter = call("torch._utils _rebuild_parameter_with_state", &[&plain, b"\x88", HOOKS, b"}"]);
    let new_parameter = [b"ctorch.nn.parameter\nParameter\n".as_slice(), &plain, b"\x88\x86\x81"].concat();
    let quantized = call(
        "torch._utils _rebuild_qtensor",
        &[
            &storage("QInt8Storage", 128),
            b"K\0",
            SIZE,
            STRIDE,
            b"(ctorch\nper_tensor_affine\nG\x3f\xf0\0\0\0\0\0\0K\0t",
            b"\x89",
            HOOKS,
        ],
    );
    let csr = call(
        "torch._utils _rebuild_sparse_tensor",
        &[
            &call("torch.serialization _get_layout", &[&text("torch.sparse_csr")]),
            b"(",
            &plain,
            &plain,
            &plain,
            SIZE,
            b"t",
        ],
    );
    for (body, container, dtype, shape, layout) in [
        (plain, "Tensor", "float32", vec![4, 8], Layout::Strided),
        (v1, "Tensor", "float32", vec![4, 8], Layout::Strided),
        (v3("uint64", b"K\x10\x85"), "Tensor", "uint64", vec![16], Layout::Strided),
        (v3("float8_e5m2", b"K\x80\x85"), "Tensor", "float8_e5m2", vec![128], Layout::Strided),
        (parameter, "Parameter", "float32", vec![4, 8], Layout::Strided),
        (new_parameter, "Parameter", "float32", vec![4, 8], Layout::Strided),
        (quantized, "Tensor", "qint8", vec![4, 8], Layout::Strided),
        (csr, "Tensor", "float32", vec![4, 8], Layout::SparseCsr),
    ] {
        let file = read(&body).unwrap();
        let [found] = file.tensors.as_slice() else { panic!("{file:?}") };
        assert_eq!(
            (file.container.as_str(), found.dtype.name, &found.shape, found.layout),
            (container, dtype, &shape, layout)
        );
    }
    // Elements of 8 bytes: 16 of them fit, 17 do not.
    assert_eq!(told(&v3("uint64", b"K\x11\x85")).0, FaultKind::Shape);
}

#[test]
fn what_python_2_and_protocol_0_wrote() {
    let old = [
        b"ctorch._utils\n_rebuild_tensor\n((U\x07storageS'FloatStorage'\n0ctorch\nFloatStorage\nU\x010U\x03cpuI32\ntQI0\n(I4\nI8\nt(L8L\nI1\nttR"
            .as_slice(),
    ]
    .concat();
    assert_eq!(read(&old).unwrap().tensors[0].shape, [4, 8]);
    let pairs = [b"ccollections\nOrderedDict\n((lp5\n(lV1\na".as_slice(), &tensor("0"), b"aatRg5\n0"].concat();
    let file = read(&pairs).unwrap();
    assert_eq!((file.container.as_str(), file.tensors[0].key.as_str()), ("OrderedDict", "1"));
}

#[test]
fn keys_are_shown_as_python_shows_them() {
    let body = [
        b"}(".as_slice(),
        b"J\xff\xff\xff\xff",
        &tensor("0"),
        b"\x88",
        &tensor("0"),
        b"N",
        &tensor("0"),
        b"G\x3f\xf8\0\0\0\0\0\0",
        &tensor("0"),
        b"K\x01K\x02\x86",
        &tensor("0"),
        b"u",
    ]
    .concat();
    let file = read(&body).unwrap();
    let keys: Vec<&str> = file.tensors.iter().map(|t| t.key.as_str()).collect();
    assert_eq!(keys, ["-1", "True", "None", "1.5", "(1, 2)"]);
}

#[test]
fn one_broken_rule_each() {
    let tensor = tensor("0");
    let with = |ops: &[u8]| [ops, b"0", &tensor].concat();
    for (body, kind, phrase) in [
        (b"".to_vec(), FaultKind::Pickle, "the stack is empty"),
        (b"NN".to_vec(), FaultKind::Pickle, "more than one value"),
        (b"(N".to_vec(), FaultKind::Pickle, "more than one value"),
        (with(b"(0N1"), FaultKind::Pickle, "no mark"),
        // Nothing above a mark reaches below it.
        (with(b"N(\x85"), FaultKind::Pickle, "the stack is empty"),
        (with(b"](a"), FaultKind::Pickle, "the stack is empty"),
        (with(b"]N(s"), FaultKind::Pickle, "the stack is empty"),
        (with(b"NNa"), FaultKind::Pickle, "no list"),
        (with(b"](NNu"), FaultKind::Pickle, "no dict"),
        (with(b"}(Nu"), FaultKind::Pickle, "without a value"),
        (with(b"(Nd"), FaultKind::Pickle, "without a value"),
        (with(b"](N\x90"), FaultKind::Pickle, "no set"),
        (with(b"NNR"), FaultKind::Pickle, "no tuple"),
        (with(b"N)R"), FaultKind::Pickle, "no function"),
        (with(b"ctorch\nfloat32\n)R"), FaultKind::Pickle, "does not write"),
        (with(b"ctorch\nTensor\n)R"), FaultKind::Pickle, "does not write"),
        (with(b"ctorch\nSize\nK\x01\x85R"), FaultKind::Pickle, "does not write"),
        (with(b"NN\x93"), FaultKind::Pickle, "no text"),
        (with(b"\x80\x06"), FaultKind::Pickle, "protocol 6"),
        (with(b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f"), FaultKind::Truncated, "a frame"),
        (with(b"I12x\n"), FaultKind::Pickle, "no number"),
        (with(b"V\\u0041\n"), FaultKind::Pickle, "escapes"),
        (with(b"Sabc\n"), FaultKind::Pickle, "quotes"),
        (with(b"gx\n"), FaultKind::Pickle, "no memo slot"),
        (with(b"(NQ"), FaultKind::Pickle, "no tuple"),
        (with(b")Q"), FaultKind::Pickle, "is empty"),
        (with(b"K\x01\x85Q"), FaultKind::Pickle, "does not say that it is a storage"),
        (with(&[text("storage").as_slice(), b"\x85Q"].concat()), FaultKind::Pickle, "wrong number of items"),
        (with(b"}NNsNb"), FaultKind::Pickle, "neither an OrderedDict nor a parameter"),
        (with(&[HOOKS, b"Nb"].concat()), FaultKind::Pickle, "no dict"),
        (with(&[HOOKS, b"}", &text("__setstate__"), b"Nsb"].concat()), FaultKind::Pickle, "`__setstate__`"),
        (with(&[HOOKS, b"}K\x01Nsb"].concat()), FaultKind::Pickle, "no text"),
        ([b"}(".as_slice(), &text("w"), &tensor, &text("w"), b"Nu"].concat(), FaultKind::Pickle, "twice"),
        ([b"}(]".as_slice(), &tensor, b"u"].concat(), FaultKind::Pickle, "the key of a dict"),
        (b"]q\0h\0a".to_vec(), FaultKind::Limit, "nested"),
        (with(&[b"c".as_slice(), &[b'a'; 2000], b"\nb\n"].concat()), FaultKind::Limit, "over 1024 bytes"),
    ] {
        let (found, what) = told(&body);
        assert_eq!(found, kind, "{what}");
        assert!(what.contains(phrase), "`{what}` does not say `{phrase}`");
    }
}

#[test]
fn tensors_that_do_not_fit() {
    let v2 = |storage: &[u8], offset: &[u8], size: &[u8], stride: &[u8]| {
        call("torch._utils _rebuild_tensor_v2", &[storage, offset, size, stride, b"\x89", HOOKS])
    };
    let float = storage("FloatStorage", 32);
    assert!(read(&v2(&float, b"K\0", SIZE, STRIDE)).is_ok());
    for (offset, size, stride) in [
        (b"K\x01".as_slice(), SIZE, STRIDE),
        (b"J\xff\xff\xff\xff", SIZE, STRIDE),
        (b"N", SIZE, STRIDE),
        (b"K\0", b"K\x05K\x08\x86", STRIDE),
        (b"K\0", SIZE, b"K\x09K\x01\x86"),
        (b"K\0", SIZE, b"K\x01\x85"),
        (b"K\0", SIZE, b"K\x08N\x86"),
        (b"K\0", b"]", STRIDE),
        // 2^63 elements, by sizes and by strides.
        (b"K\0", b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fK\x04\x86", b"K\0K\0\x86"),
        (b"K\0", SIZE, b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fK\x01\x86"),
        (b"K\0", b"\x8a\x09\0\0\0\0\0\0\0\0\x01K\x01\x86", STRIDE),
    ] {
        assert_eq!(told(&v2(&float, offset, size, stride)).0, FaultKind::Shape, "{offset:?} {size:?} {stride:?}");
    }
    // One storage, two types.
    let both = [b"(".as_slice(), &float, &storage("IntStorage", 32), b"t"].concat();
    assert_eq!(told(&both).0, FaultKind::Dtype);
    let fewer = [b"(".as_slice(), &float, &storage("FloatStorage", 31), b"t"].concat();
    assert_eq!(told(&fewer).0, FaultKind::Dtype);
    assert_eq!(told(&v2(&storage("LongStorage", 32), b"K\0", SIZE, STRIDE)).0, FaultKind::Dtype);
    assert_eq!(told(&v2(&storage("FloatStorage", 33), b"K\0", SIZE, STRIDE)).0, FaultKind::Storage);
}
