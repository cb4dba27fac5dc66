//! Codes of findings about files and paths.

super::codes! {
    error FILE_MISSING = "file-missing": "a file that something refers to does not exist",
        "The manifest (or the layout of an expert) names a file that is not in the expert's folder. A package without it would fail when it is loaded.\n\nExample: `\"path\": \"soft_prompts/style.pt\"` where the folder `soft_prompts` is empty.\n\nAdd the file, or take the reference out of manifest.json. Adapter weights are looked for in `weights` of the Expertfile, then weights/<name>.v<version>, weights/<model>, the manifest's packaging checkpoint, weights, and the expert's own folder; never in a training checkpoint that nothing names.";
    error PATH_ESCAPE = "path-escape": "a path or a link leaves the expert's folder",
        "Nothing outside the expert's folder is packaged: `../secret`, an absolute path, or a symbolic link that points outside could carry a private file into a public package.\n\nExample: `LICENSE` is a symbolic link to `../../LICENSE`.\n\nCopy the file into the expert's folder and refer to it there.";
    error FILE_KIND = "file-kind": "a package member is not a regular file",
        "Only regular files can be packaged. A folder, pipe, socket or device stands where a file is expected.\n\nExample: `README.md` is a named pipe, or a folder.\n\nReplace it by a regular file, or exclude it.";
    error PATH_CLASH = "path-clash": "two files would have the same path in the package",
        "Two inputs map to one path of the package, or to paths that differ by case alone: on a case-insensitive file system one would overwrite the other.\n\nExample: `docs/Notes.md` and `docs/notes.md`.\n\nRename or exclude one of them.";
    error PATH_NAME = "path-name": "a file's name cannot stand in a package",
        "Paths in a package are valid UTF-8, at most 4,096 bytes, without control characters or backslashes, so that they mean the same on every system.\n\nExample: `docs\\notes.md`, one file whose name has a backslash in it.\n\nRename the file or exclude it.";
    error FILE_CHANGED = "file-changed": "a file changed while it was being read",
        "The file's size or times changed between the beginning and the end of reading. What was read may mix two versions, so no package was made of it.\n\nExample: a training run saves `adapter_model.safetensors` again while the build hashes it.\n\nWait until whatever writes the file has finished, and build again.";
    note TRAINING_ARGS = "training-args-left-out": "`training_args.bin` was left out of the package",
        "`training_args.bin` is a pickle of arbitrary classes. No loader needs it; it can run code when loaded and it leaks paths and host names of the training machine. It is left out unless `include` in the Expertfile names it.\n\nExample: `include = [\"training_args.bin\"]` packages it all the same.";
    error LFS_POINTER = "git-lfs-pointer": "the file is a Git LFS pointer, not the content",
        "The checkout holds a small text file that points to the content in Git LFS. Packaging it would ship the pointer instead of the weights.\n\nExample: `adapter_model.safetensors` has 134 bytes and begins with `version https://git-lfs.github.com/spec/v1`.\n\nRun `git lfs pull` in the repository, then build again.";
    error JSON_SYNTAX = "json-syntax": "a JSON file does not parse",
        "The file is not JSON: a comma too many, a missing brace, a comment, an unquoted key. The position is that of the first byte that cannot stand there.\n\nExample: `{ \"name\": \"x\", }` has a comma too many.\n\nMend the file at that place.";
    error JSON_BOM = "json-bom": "a JSON file begins with a byte order mark",
        "RFC 8259 forbids a byte order mark at the start of JSON, and most parsers refuse it. PowerShell's `Out-File -Encoding utf8` writes one.\n\nExample: `manifest.json` begins with the bytes EF BB BF.\n\nSave the file as UTF-8 without BOM.";
    error JSON_DUPLICATE_KEY = "json-duplicate-key": "a key stands twice in one JSON object",
        "Readers disagree on which of the two values counts, so two tools would see two different documents.\n\nExample: `{ \"r\": 8, \"alpha\": 16, \"r\": 12 }`.\n\nRemove one of the two.";
}
