#!/usr/bin/env python3
"""Times expert-build against what people use today: whole commands, in pairs (A B A B ...), medians and ratios.

    tests/bench/peers.py [--pairs 5] [--size-mib 1024] [--only cold-gzip,readme,...] [--keep DIR]

Builds the release binary, makes workloads with make_workload.py of the shared tools (MAKE_WORKLOAD names another
place), and prints a table: wall seconds, CPU seconds (user + system of all processes), peak memory of the largest
process, bytes of output. Peers come from Debian: pigz, isal (igzip), zstd, ninja-build, coreutils, openssl; one that
is absent is said and left out. Not part of CI: timings never decide whether a build passes.
"""
import argparse, glob, hashlib, json, os, shutil, statistics, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
TAR = "tar --sort=name --mtime=@315532800 --owner=0 --group=0 --numeric-owner --exclude=weights -cf - ."


def run(command, cwd, env=None):
    """-> wall, cpu, peak KiB of one command, everything it prints thrown away"""
    before = os.times()
    start = time.perf_counter()
    child = subprocess.Popen(command, cwd=cwd, shell=isinstance(command, str), env=env, stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, executable="/bin/bash" if isinstance(command, str) else None)
    error = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    if child.returncode != 0:
        sys.exit("failed (%d): %s\n%s" % (child.returncode, command, error.decode(errors="replace")))
    del before
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


class Side:
    """A command, what must be done before each run, and where its output lies."""

    def __init__(self, name, command, cwd, before=None, output=None, env=None):
        self.name, self.command, self.cwd, self.before, self.output, self.env = name, command, cwd, before, output, env
        self.runs, self.bytes = [], 0

    def once(self, count=True):
        if self.before:
            self.before()
        os.sync()
        figures = run(self.command, self.cwd, self.env)
        if count:
            self.runs.append(figures)
        if self.output:
            self.bytes = sum(os.path.getsize(p) for p in glob.glob(self.output))

    def median(self, which):
        return statistics.median(r[which] for r in self.runs)


def pair(case, ours, peer, pairs, warm=True):
    if warm:
        ours.once(False)
    for _ in range(pairs):
        ours.once()
        peer.once()
    ratio = statistics.median(b[0] / a[0] for a, b in zip(ours.runs, peer.runs))
    cpu = statistics.median(b[1] / a[1] for a, b in zip(ours.runs, peer.runs))
    for side in (ours, peer):
        print("| %s | %s | %.3f | %.3f | %.1f | %s |" % (case, side.name, side.median(0), side.median(1), side.median(2) / 1024,
              "{:,}".format(side.bytes) if side.bytes else ""))
    print("| %s | **peer ÷ ours** | **%.2f×** | %.2f× | | %s |" % (case, ratio, cpu, "%.4f" % (peer.bytes / ours.bytes) if ours.bytes and peer.bytes else ""), flush=True)


def alone(case, side, pairs):
    side.once(False)
    for _ in range(pairs):
        side.once()
    print("| %s | %s | %.3f | %.3f | %.1f | |" % (case, side.name, side.median(0), side.median(1), side.median(2) / 1024), flush=True)


def ninja(folder, root, inputs, edge_for_each):
    """Writes a build.ninja over these inputs: an edge an expert, or one an input and one an expert; builds it once.
    The latter runs a command for each input, which takes minutes for 120,000."""
    os.makedirs(folder, exist_ok=True)
    by = {}
    for path in inputs:
        by.setdefault(path.split("/")[0], []).append(path)
    with open(os.path.join(folder, "build.ninja"), "w") as f:
        f.write("rule t\n command = touch $out\n")
        for name, paths in by.items():
            wanted = [os.path.join(root, path) for path in paths]
            if edge_for_each:
                stamps = ["stamps/%s" % path for path in paths]
                f.writelines("build %s: t %s\n" % pair for pair in zip(stamps, wanted))
                wanted = stamps
            f.write("build %s: t %s\n" % (name, " ".join(wanted)))
    run(["ninja", "-C", folder], root)
    return ["ninja", "-C", folder]


def upcast(root):
    """Makes the weights of every expert below here 32-bit floats that hold the 16-bit ones they were."""
    for path in glob.glob(os.path.join(root, "expert-*", "adapter_model.safetensors")):
        with open(path, "rb") as f:
            narrow = f.read()
        size = int.from_bytes(narrow[:8], "little")
        header, data = json.loads(narrow[8:8 + size]), narrow[8 + size:]
        for name, tensor in header.items():
            if name != "__metadata__":
                tensor["dtype"], tensor["data_offsets"] = "F32", [2 * at for at in tensor["data_offsets"]]
        wide = bytearray(2 * len(data))
        wide[2::4], wide[3::4] = data[0::2], data[1::2]
        text = json.dumps(header).encode()
        wide = len(text).to_bytes(8, "little") + text + wide
        with open(path, "wb") as f:
            f.write(wide)
        manifest = os.path.join(os.path.dirname(path), "manifest.json")
        with open(manifest) as f:
            old = f.read()
        with open(manifest, "w") as f:
            new = old.replace(str(len(narrow)), str(len(wide)))
            f.write(new.replace(hashlib.sha256(narrow).hexdigest(), hashlib.sha256(wide).hexdigest()))


def sizes(workload, ours, work):
    """Bytes of whole packages against what gzip and zstd make of the same tar, by kind of data."""
    kinds = (("bf16", ["--dtype", "bf16", "--size-mib", "64"]), ("f16", ["--dtype", "f16", "--size-mib", "64"]),
             ("f32", ["--dtype", "f32", "--size-mib", "64"]), ("upcast", ["--dtype", "bf16", "--size-mib", "32"]),
             ("tokenizer", ["--size-mib", "0.05", "--tokenizer-mib", "11"]),
             ("mixed", ["--dtype", "bf16", "--size-mib", "32", "--tokenizer-mib", "11", "--soft-prompts", "4"]))
    print("\n| data | package | bytes | peer | its bytes | ours ÷ peer |\n|---|---|---|---|---|---|")
    for kind, args in kinds:
        fresh = not os.path.isdir(os.path.join(work, "sizes-" + kind))
        root = workload("sizes-" + kind, "--experts", "1", *args)
        if fresh and kind == "upcast":
            upcast(root)
        for compression, level, unpack, peer in (
                ("gzip", None, "gzip -dc", "gzip -6 -n"), ("gzip", 9, "gzip -dc", "gzip -6 -n"), ("gzip", 9, "gzip -dc", "gzip -9 -n"),
                ("zstd", None, "zstd -dcq", "zstd -3 -q"), ("zstd", 19, "zstd -dcq", "zstd -3 -q"), ("zstd", 19, "zstd -dcq", "zstd -19 -q")):
            flags = ["--compression", compression] + (["--level", str(level)] if level else [])
            side = ours(root, args=flags)
            side.once()
            package = glob.glob(side.output)[0]
            out = subprocess.run("set -o pipefail; %s < '%s' | %s | wc -c" % (unpack, package, peer), shell=True, executable="/bin/bash", check=True, capture_output=True)
            its = int(out.stdout)
            print("| %s | %s | %s | %s | %s | %.4f |" % (kind, " ".join(flags), "{:,}".format(side.bytes), peer, "{:,}".format(its), side.bytes / its), flush=True)


def parts(ours, source, package, out, pairs):
    """CPU of a whole cold build against its unavoidable parts, each a program of its own on one thread: SHA-256 of the
    input, entropy coding of the input by this program's own coder, SHA-256 of the output."""
    built = subprocess.run(["cargo", "bench", "--locked", "--bench", "coding", "--no-run", "--message-format=json"], cwd=REPO,
                           check=True, stdout=subprocess.PIPE, text=True).stdout
    artifacts = (json.loads(line) for line in built.splitlines() if '"coding"' in line)
    coder = next(a["executable"] for a in artifacts if a.get("executable"))
    ours.once(False)
    sides = [Side("SHA-256 of the input", ["openssl", "dgst", "-sha256", source], REPO), Side("entropy coding", [coder, source, out], REPO),
             Side("SHA-256 of the output", ["openssl", "dgst", "-sha256", glob.glob(package)[0]], REPO)]
    for _ in range(pairs):
        ours.once()
        for side in sides:
            side.once()
    for side in [ours, *sides]:
        print("| parts | %s | %.3f | %.3f | %.1f | |" % (side.name, side.median(0), side.median(1), side.median(2) / 1024))
    ratio = statistics.median(o[1] / sum(part[1] for part in each) for o, *each in zip(ours.runs, *(side.runs for side in sides)))
    print("| parts | **ours ÷ their sum** | | **%.2f×** | | |" % ratio, flush=True)


def noop(root, experts, work, ours, build, pairs):
    """Nothing to do, or one README, among so many experts."""
    everything = glob.glob(os.path.join(root, "expert-*", "**"), recursive=True)
    inputs = sorted(os.path.relpath(p, root) for p in everything if os.path.isfile(p) and "/weights/" not in p)
    named = lambda what: "%s, %d × %d files" % (what, experts, len(inputs) // experts)
    nothing = lambda: None
    entries = os.path.join(root, "Expertfile.toml")
    with open(entries) as f:
        each = f.read()
    build()
    for form, text in (("an [[expert]] each", each), ("members = [\"expert-*\"]", "[workspace]\nmembers = [\"expert-*\"]\n")):
        with open(entries, "w") as f:
            f.write(text)
        time.sleep(0.1)
        for side in (ours(before=nothing) for _ in range(3)):
            side.once()
        for edge_for_each, about in ((True, "ninja, an edge an input"), (False, "ninja, an edge an expert")):
            command = ninja(os.path.join(work, "ninja-%d-%d" % (experts, edge_for_each)), root, inputs, edge_for_each)
            pair(named("no-op, " + form), ours(before=nothing), Side(about, command, work), pairs)
        for args in (["-n"], ["status"], ["ls"]):
            alone(named(args[0]), ours("expert-build " + args[0], args, nothing), pairs)
        readme = os.path.join(root, inputs[0].split("/")[0], "README.md")
        count = [0]

        def edit():
            count[0] += 1
            with open(readme, "a") as f:
                f.write("edit %d\n" % count[0])
            time.sleep(0.05)
        one = ours(before=edit)
        pair(named("one README"), one, Side("ninja", command, work, edit), pairs)
        for args in (["-n"], ["status"], ["ls"]):
            alone(named("one README, " + args[0]), ours("expert-build " + args[0], args, edit), pairs)
        one.once()
    with open(entries, "w") as f:
        f.write(each)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--only", default="")
    parser.add_argument("--binary", help="use this binary instead of building one")
    parser.add_argument("--keep", help="keep workloads here")
    options = parser.parse_args()
    only = [case for case in options.only.split(",") if case]
    wanted = lambda case: not only or case in only
    have = lambda *tools: all(shutil.which(t) for t in tools) or print("SKIPPED: %s absent" % ", ".join(t for t in tools if not shutil.which(t)))
    if not options.binary:
        subprocess.run(["cargo", "build", "--release", "--locked"], cwd=REPO, check=True)
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(REPO, "target"))
    binary = os.path.abspath(options.binary or os.path.join(target, "release", "expert-build"))
    maker = os.environ.get("MAKE_WORKLOAD", os.path.join(REPO, "..", "shared", "tools", "make_workload.py"))
    work = options.keep or tempfile.mkdtemp(prefix="expert-bench-")
    os.makedirs(work, exist_ok=True)

    def workload(name, *args):
        path = os.path.join(work, name)
        if not os.path.isdir(path):
            subprocess.run([sys.executable, maker, path, "--quiet", "--expertfile", *args], check=True)
        return path

    def clean(root, cache, outputs=True):
        def before():
            shutil.rmtree(cache, ignore_errors=True)
            if outputs:
                for folder in glob.glob(os.path.join(root, "*", "weights")):
                    shutil.rmtree(folder)
        return before

    env = dict(os.environ, NO_COLOR="1")
    cache = os.path.join(work, "cache")

    def ours(root, name="expert-build", args=(), before=None):
        command = [binary, "--cache-dir", cache, *args]
        return Side(name, command, root, before or clean(root, cache), os.path.join(root, "*", "weights", "*.expert"), env)

    print("| case | command | wall s | CPU s | peak MiB | bytes |\n|---|---|---|---|---|---|")
    try:
        big = None
        if any(wanted(c) for c in ("cold-gzip", "cold-igzip", "cold-cp", "cold-zstd", "cold-zstd-ni", "readme", "restore", "parts")):
            big = workload("big", "--experts", "1", "--size-mib", str(options.size_mib), "--dtype", "bf16")
        out = os.path.join(work, "peer.out")
        expert = glob.glob(os.path.join(big, "expert-*"))[0] if big else None
        sums = "find . -path ./weights -prune -o -type f -print0 | xargs -0 %s > ../sums & "
        sha = "sha256sum"
        openssl = "openssl dgst -sha256 -r"
        pipe = lambda compressor, hasher: "set -e; %s %s | %s > %s; wait; %s %s > ../sum" % (sums % hasher, TAR, compressor, out, hasher, out)
        if wanted("cold-gzip") and have("pigz"):
            pair("cold-gzip", ours(big), Side("tar|pigz -6 -p2 + sha256sum", pipe("pigz -6 -n -p2", sha), expert, None, out), options.pairs)
        if wanted("cold-igzip") and have("igzip"):
            pair("cold-igzip", ours(big), Side("tar|igzip -1 -T2 + sha256sum", pipe("igzip -1 -T 2 -n -c", sha), expert, None, out), options.pairs)
        if wanted("cold-cp"):
            pair("cold-cp", ours(big), Side("cp", "cp adapter_model.safetensors %s" % out, expert), options.pairs)
        if wanted("cold-zstd") and have("zstd"):
            pair("cold-zstd", ours(big, "expert-build --compression zstd", ["--compression", "zstd"]), Side("tar|zstd -3 -T2 + sha256sum", pipe("zstd -q -3 -T2", sha), expert, None, out), options.pairs)
        if wanted("cold-zstd-ni") and have("zstd", "openssl"):
            pair("cold-zstd-ni", ours(big, "expert-build --compression zstd", ["--compression", "zstd"]), Side("tar|zstd -3 -T2 + openssl", pipe("zstd -q -3 -T2", openssl), expert, None, out), options.pairs)
        package = os.path.join(expert, "weights", "*.expert") if expert else None
        if wanted("readme"):
            clean(big, cache)()
            run([binary, "--cache-dir", cache], big, env)
            count = [0]

            def edit():
                count[0] += 1
                with open(os.path.join(expert, "README.md"), "a") as f:
                    f.write("edit %d\n" % count[0])
                time.sleep(0.05)
            pair("readme", ours(big, before=edit), Side("cp + sha256", "cp %s %s && openssl dgst -sha256 -r %s" % (package, out, out), expert), options.pairs)
        if wanted("restore"):
            clean(big, cache)()
            run([binary, "--cache-dir", cache], big, env)

            def drop():
                shutil.rmtree(os.path.join(expert, "weights"), ignore_errors=True)
            keep = os.path.join(work, "package.expert")
            shutil.copy(glob.glob(package)[0], keep)
            pair("restore", ours(big, before=drop), Side("cp + sha256", "cp %s %s && openssl dgst -sha256 -r %s" % (keep, out, out), expert), options.pairs)
        if wanted("parts") and have("openssl"):
            parts(ours(big), os.path.join(expert, "adapter_model.safetensors"), package, out, options.pairs)
        if wanted("sizes") and have("gzip", "zstd"):
            sizes(workload, ours, work)
        if wanted("memory"):
            for folder, args in (("memory-one", ["--experts", "1", "--size-mib", "10240", "--dtype", "f32"]),
                                 ("memory-many", ["--experts", "10000", "--size-mib", "0.05"])):
                root = workload(folder, *args)
                experts = glob.glob(os.path.join(root, "expert-*", "adapter_model.safetensors"))
                about = "%d × %.2f MiB" % (len(experts), os.path.getsize(experts[0]) / 2**20)
                alone("cold, " + about, ours(root, "expert-build -j 2", ["-j", "2"]), 1)
        if wanted("hundred") and have("pigz"):
            root = workload("hundred", "--experts", "100", "--size-mib", "8", "--tokenizer-mib", "11")
            loop = "for d in expert-*; do (cd $d; %s); done" % pipe("pigz -6 -n -p2", sha).replace("set -e; ", "")
            pair("hundred", ours(root), Side("tar|pigz -6 -p2 + sha256sum, each", loop, root), max(1, options.pairs // 5))
        if wanted("hundred-igzip") and have("igzip"):
            root = workload("hundred", "--experts", "100", "--size-mib", "8", "--tokenizer-mib", "11")
            loop = "for d in expert-*; do (cd $d; %s); done" % pipe("igzip -1 -T 2 -n -c", sha).replace("set -e; ", "")
            pair("hundred-igzip", ours(root), Side("tar|igzip -1 -T2 + sha256sum, each", loop, root), options.pairs)
        if wanted("noop") and have("ninja"):
            for experts in (1000, 10000):
                root = workload("many-%d" % experts, "--experts", str(experts), "--size-mib", "0.05", "--soft-prompts", "4")
                noop(root, experts, work, lambda *a, **k: ours(root, *a, **k), lambda: (shutil.rmtree(cache, ignore_errors=True), run([binary, "--cache-dir", cache], root, env)), options.pairs)
    finally:
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
