"""Verifies a signed .expert package: python3 verify_package.py PACKAGE ed25519:HEX (zstd needs Python 3.14)."""
import hashlib, json, re, sys, tarfile
from decimal import Decimal
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey as Key

def canonical(v):  # RFC 8785
    if isinstance(v, dict):
        return "{%s}" % ",".join(f"{canonical(k)}:{canonical(v[k])}" for k in sorted(v, key=lambda k: k.encode("utf-16-be")))
    if isinstance(v, list):
        return "[" + ",".join(map(canonical, v)) + "]"
    if isinstance(v, float) and (v == 0 or 1e-6 <= abs(v) < 1e21):
        return format(Decimal(repr(v or 0.0)), "f").removesuffix(".0")
    return re.sub(r"e([+-])0*", r"e\1", repr(v)) if isinstance(v, float) else json.dumps(v, ensure_ascii=False)

hashes = {}
with tarfile.open(sys.argv[1]) as tar:
    for entry in tar:
        if not entry.isfile() or entry.name in hashes:
            sys.exit(f"{entry.name}: not a file, or twice")
        hashes[entry.name] = hashlib.sha256(data := tar.extractfile(entry).read()).hexdigest()
        if entry.name == "manifest.json":
            manifest = json.loads(data, parse_int=float)
signed, signature = manifest["integrity"].pop("files"), manifest["integrity"].pop("signature")
hashes["manifest.json"] = hashlib.sha256(canonical(manifest).encode()).hexdigest()
wrong = {name for name, _ in (hashes.items() ^ signed.items())} - {"signature.sig"}
if wrong:
    sys.exit(f"changed, missing or extra: {sorted(wrong)}")
message = "\n".join(f"{name}:{signed[name]}" for name in sorted(signed, key=str.encode))
public = bytes.fromhex(sys.argv[2].removeprefix("ed25519:"))
Key.from_public_bytes(public).verify(bytes.fromhex(signature), message.encode())
