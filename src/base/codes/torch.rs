//! Codes of findings in torch.

super::codes! {
    error PICKLE_GLOBAL = "pickle-global":
        "a torch file names a function or class that no tensor needs",
        "A torch file holds a pickle, and a pickle can name any function of any Python module, which `torch.load` then
imports and calls. So a soft prompt can run a program on the machine of whoever loads it. Only what rebuilds tensors is
let pass: `torch._utils._rebuild_tensor_v2` and its like, storages, dtypes, `torch.Size`, `torch.device`, `OrderedDict`
and a few plain containers. Everything else is refused by name, with the offset of the opcode that names it.

Example: `soft_prompts/style.pt: names `os.system`, which is not on the list of what a tensor file may name`.

A name such as `os.system`, `builtins.eval` or `runpy._run_code` means that the file is hostile: do not load it, and ask
where it comes from. A name such as `numpy._core.multiarray._reconstruct` or `transformers.training_args.TrainingArguments`
means that more than tensors was saved. Save the tensor alone: `torch.save(prompt.detach().cpu(), path)`.

Whatever Python would unpickle is looked at, also among the files that `include` adds by a pattern. One that receivers may
load all the same is named there by its own path, without wildcards.";
    error PICKLE_MALFORMED = "pickle-malformed":
        "the pickle of a torch file is not one that `torch.save` writes",
        "The pickle inside a torch file holds an unknown opcode, breaks its own rules, or does what `torch.save` never
does: a second pickle behind the first, a persistent id that is no storage, an object that is given `__setstate__`.
Such a file is damaged or made by hand to deceive one of its readers.

Example: `soft_prompts/style.pt: bytes follow the end of the pickle in `data.pkl``.

Load the file where you trust it and save it again: `torch.save(torch.load(path, weights_only=True), path)`.";
    error TORCH_FORMAT = "torch-format":
        "a file that should be torch's is something else",
        "The manifest, or the file's ending, says that this is a file of `torch.save`, but its first bytes say otherwise:
text, gzip, a bare pickle, safetensors, a Git LFS pointer. `torch.load` would fail on it at the user's machine.

Example: `soft_prompts/style.pt: a Git LFS pointer stands in the place of the file`.

For a pointer run `git lfs pull`. Else save the tensor with `torch.save(tensor, path)`, or correct the path in the manifest.";
    error TORCH_SCRIPT = "torch-script":
        "a torch file is a TorchScript archive, which holds code",
        "`torch.jit.save` writes a zip archive as `torch.save` does, but with compiled code in it, which runs when the file is
used. A package of adapters holds tensors and never code.

Example: `soft_prompts/style.pt: a TorchScript archive (torch.jit.save): it holds code, not tensors alone`.

Save the tensors: `torch.save(module.state_dict(), path)`.";
    error TORCH_ZIP = "torch-zip":
        "the zip archive of a torch file is damaged or can be read in two ways",
        "A torch file is a zip archive, and zip can be read from its end (the central directory) or from its start (the local
headers). Where the two disagree, where a name stands twice, where bytes hide between or around the entries, one reader
sees another file than the next: a scanner passes what the loader then runs. Checksums that do not match, entries that
are links, that climb out with `..`, that are encrypted or that unpack to a hundred times their size are refused too.

Example: `soft_prompts/style.pt: two entries are named `style/data.pkl``.

A checksum that does not match is most often a download or a disk gone wrong: fetch the file again. Else load the file
where you trust it and save it again with `torch.save`, which writes a plain archive.";
    error TORCH_RECORD = "torch-record":
        "the archive of a torch file lacks a record, or holds one that does not belong there",
        "The archive of a torch file is one folder with `data.pkl`, `version` and a record `data/<key>` for each storage that
`data.pkl` refers to. Without one of them the file cannot be loaded. A second folder, or another pickle beside `data.pkl`,
is no part of what torch writes: it is there to be run by something else.

Example: `soft_prompts/style.pt: the archive holds no record `data/0``.

Save the file again with `torch.save`.";
    error TORCH_STORAGE = "torch-storage":
        "a storage of a torch file has another size or type than the pickle says",
        "Each tensor lies on a storage, whose type and number of elements the pickle declares, and whose bytes stand beside
it. Where the two differ, `torch.load` fails, or reads elements of another width and gives noise.

Example: `soft_prompts/style.pt: the record `data/0` has 128 bytes, but 32 elements of int64 take 256`.

Save the file again with `torch.save`; do not edit or convert it in place.";
    error TORCH_SHAPE = "torch-shape":
        "a tensor's shape is impossible or reaches beyond its storage",
        "A tensor is a shape, strides and an offset over a storage. A shape that needs more elements than the storage has
would read memory that is not the tensor's; negative sizes, more than 64 dimensions or a size and stride of different
lengths cannot be loaded at all.

Example: `soft_prompts/style.pt: a tensor of shape [1000, 1000] at offset 0 needs 1000000 elements, its storage `0` has 32`.

Save the tensor again: `torch.save(tensor.contiguous(), path)`.";
    error TORCH_LIMIT = "torch-limit":
        "reading a torch file would take more memory, depth or entries than it may",
        "The checks read a file in bounded memory whatever it says. A file with containers nested more than 64 deep, lists that
hold themselves over and over, memo slots by the million or more than 65,536 records is refused: it is made to exhaust
its reader, or it is no adapter.

Example: `soft_prompts/style.pt: containers are nested more than 64 deep`.

Tensors by the ten thousand belong into a safetensors file. Else save the tensors alone in one flat dict.";
    error TORCH_TRUNCATED = "torch-truncated":
        "a torch file ends too early",
        "The file is cut off: the end of its archive is missing, or a pickle or storage is longer than what is left of the
file. Most often a copy or download was interrupted.

Example: `soft_prompts/style.pt: the end record of the archive is missing, the file is cut off`.

Fetch or save the file again, and compare its size and hash with the original's.";
    error TORCH_UNREADABLE = "torch-unreadable":
        "a torch file could not be read from the disk",
        "The system gave an error while the file was read, so nothing can be said about what is in it, and it cannot be
packaged.

Example: `soft_prompts/style.pt: Input/output error (os error 5)`.

Look at the disk or network mount that holds the file, and run again.";
    warn TORCH_EXTRA_DATA = "torch-extra-data":
        "a torch file holds data that no tensor refers to",
        "Entries of the archive that no tensor refers to, or bytes behind the last storage, are never loaded: they make the
package larger, and anything can be carried in them.

Example: `soft_prompts/style.pt: `style/data/1` and 2999 more entries belong to no tensor`.

Load the file and save it again: `torch.save(torch.load(path, weights_only=True), path)` writes what is used.";
    warn TORCH_PROTOCOL = "torch-protocol":
        "a torch file is written in a pickle protocol that `torch.load` refuses by default",
        "Since torch 2.6 `torch.load` reads with `weights_only=True`, and that reader knows the pickle protocols 2 and 3 alone.
A file of protocol 4 or 5 loads only with `weights_only=False`, which no one should have to say for a file of others.

Example: `soft_prompts/style.pt: written in pickle protocol 4, which torch.load refuses by default`.

Save the file without `pickle_protocol=…`: `torch.save(tensor, path)` uses protocol 2.";
    note TORCH_DEVICE = "torch-device":
        "a torch file's tensors say that they were on a GPU",
        "A tensor that is saved from a GPU says so in the file, and `torch.load(path)` then wants to put it back there: on a
machine without one it fails unless the caller gives `map_location`.

Example: `soft_prompts/style.pt: saved from `cuda:0``.

Save it from the CPU: `torch.save(tensor.cpu(), path)`.";
    deny SOFT_PROMPT_SHAPE = "soft-prompt-shape":
        "a soft prompt is not one dense tensor of tokens and width",
        "A soft prompt is a tensor of shape [tokens, hidden size]: one row for each virtual token, put before the embeddings of
the text. A file with no tensor, with several, with other than two dimensions, with a sparse one or with one that has no
elements cannot be put there.

Example: `soft_prompts/style.pt: a soft prompt is one tensor [tokens, width], this one is [1, 16, 64]`.

Save the two-dimensional tensor alone: `torch.save(prompt.squeeze(0).detach().cpu(), path)`.";
    deny SOFT_PROMPT_DTYPE = "soft-prompt-dtype":
        "a soft prompt's elements are not floats",
        "The rows of a soft prompt are embeddings, so floats: float32, float16, bfloat16. Integers are most often the token
numbers that the prompt was made from.

Example: `soft_prompts/style.pt: the soft prompt's elements are int64, embeddings are floats`.

Save the embeddings: `torch.save(model.get_input_embeddings()(ids).detach().cpu(), path)`.";
    deny SOFT_PROMPT_TOKENS = "soft-prompt-tokens":
        "a soft prompt has another number of tokens than the manifest says",
        "The manifest's `tokens` (or `length`) of a soft prompt is what a runtime reserves in the context; the first dimension of
the tensor is what it gets. Where they differ, positions shift or the load fails.

Example: `soft_prompts/style.pt: the tensor has 16 tokens (shape [16, 64]), the manifest says 32`.

Correct the number in the manifest, or put the right file in place.";
    deny SOFT_PROMPT_WIDTH = "soft-prompt-width":
        "a soft prompt is not as wide as the base model's embeddings",
        "The second dimension of a soft prompt must be the hidden size of the base model: the rows are joined to its embeddings.
The hidden size is taken from the model's `config.json` where it is given, else from the adapter's own tensors. With
several base models one that fits is enough.

Example: `soft_prompts/style.pt: the tensor is 96 wide (shape [16, 96]), `tiny-qwen3-h64-l2` has a hidden size of 64`.

A prompt of another width was trained for another model: train it again, or name the right base model.";
}
