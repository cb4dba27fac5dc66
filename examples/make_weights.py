#!/usr/bin/env python3
"""Writes the weights of these examples: small random tensors, as PEFT and torch.save would lay them out.

The result is checked in, so nobody needs to run this. It needs only Python, and writes the same bytes everywhere:
what is in a file depends on its path alone.
"""
import json, random, struct, zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent


def numbers(seed, count, scale):
    rng = random.Random(zlib.crc32(seed.encode()))
    return [(rng.random() - 0.5) * 2 * scale for _ in range(count)]


def safetensors(path, tensors):
    """bfloat16 tensors: a float32 without its lower half."""
    header, data = {}, b""
    for name, shape, scale, offset in tensors:
        values = numbers(f"{path.parent.name} {name}", shape[0] * (shape[1] if len(shape) > 1 else 1), scale)
        packed = b"".join(struct.pack("<f", value + offset)[2:] for value in values)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    write(path, struct.pack("<Q", len(text)) + text + data)


def adapter(folder, model, rank, modules, dora=False):
    """The tensors of a LoRA (or DoRA) adapter for these modules in all layers of a model."""
    config = json.loads((HERE / "models" / model / "config.json").read_text())
    hidden, heads, kv = config["hidden_size"], config["num_attention_heads"], config["num_key_value_heads"]
    outputs = {"q_proj": hidden, "o_proj": hidden, "k_proj": hidden // heads * kv, "v_proj": hidden // heads * kv}
    tensors = []
    for layer in range(config["num_hidden_layers"]):
        for module in sorted(modules):
            name = f"base_model.model.model.layers.{layer}.self_attn.{module}."
            tensors.append((name + "lora_A.weight", [rank, hidden], 0.1, 0.0))
            tensors.append((name + "lora_B.weight", [outputs[module], rank], 0.02, 0.0))
            if dora:
                tensors.append((name + "lora_magnitude_vector", [outputs[module]], 0.1, 1.0))
    safetensors(HERE / "experts" / folder / "adapter_model.safetensors", tensors)


def soft_prompt(path, tokens, width):
    """A float32 tensor in the zip format of torch.save, with the opcodes that it writes."""
    data = struct.pack(f"<{tokens * width}f", *numbers(path, tokens * width, 0.02))

    def text(value, slot):
        return b"X" + struct.pack("<I", len(value)) + value + b"q" + bytes([slot])

    def whole(value):
        return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)

    pickle = (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x00((" + text(b"storage", 1) + b"ctorch\nFloatStorage\nq\x02"
        + text(b"0", 3) + text(b"cpu", 4) + whole(tokens * width) + b"tq\x05QK\x00" + whole(tokens) + whole(width)
        + b"\x86q\x06" + whole(width) + b"K\x01\x86q\x07\x89ccollections\nOrderedDict\nq\x08)Rq\ttq\nRq\x0b."
    )
    root = Path(path).stem
    out, directory = b"", b""
    for name, content in [("data.pkl", pickle), ("byteorder", b"little"), ("data/0", data), ("version", b"3\n")]:
        name = f"{root}/{name}".encode()
        pad = -(len(out) + 30 + len(name) + 4) % 64
        extra = b"FB" + struct.pack("<H", pad) + b"Z" * pad
        sizes = struct.pack("<III", zlib.crc32(content), len(content), len(content))
        directory += (
            struct.pack("<4sHHHHHH", b"PK\x01\x02", 0, 0, 0x800, 0, 0, 0) + sizes
            + struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, len(out)) + name
        )
        out += struct.pack("<4sHHHHH", b"PK\x03\x04", 0, 0x800, 0, 0, 0) + sizes
        out += struct.pack("<HH", len(name), len(extra)) + name + extra + content
    write(HERE / "experts" / path, out + directory
          + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 4, 4, len(directory), len(out), 0))


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


adapter("english-basic", "tiny-qwen3", 4, ["q_proj", "v_proj"])
adapter("sql/weights", "tiny-qwen3", 8, ["q_proj", "k_proj", "v_proj", "o_proj"])
soft_prompt("sql/soft_prompts/intro.pt", 8, 64)
adapter("summary", "tiny-qwen3", 4, ["q_proj", "v_proj"], dora=True)
adapter("translate/weights/tiny-qwen3", "tiny-qwen3", 4, ["q_proj", "v_proj"])
adapter("translate/weights/tiny-llama", "tiny-llama", 6, ["q_proj", "v_proj"])
