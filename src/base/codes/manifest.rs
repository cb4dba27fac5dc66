//! Codes of findings in manifest.

super::codes! {
    error MANIFEST_TYPE = "manifest-type": "a value in the manifest has the wrong type or is out of range",
        "Readers of manifests expect certain types: `r` is a whole number from 1, `target_modules` a list of texts, `constraints` an object. A reader that meets another type refuses the manifest or, worse, ignores the value.\n\nExample: `\"r\": \"8\"` must be `\"r\": 8`.\n\nWrite the value as the message says; `expert-build schema manifest` documents every key. `null` is the same as leaving an optional key out.";
    deny MANIFEST_VALUE = "manifest-value": "a descriptive value in the manifest has the wrong type or is out of range",
        "Keys such as `routing`, `perf`, `training.config` or `quality_metrics` describe the expert; no build depends on them. Programs that read them expect certain types, though, and some refuse the whole manifest over one.\n\nExample: `\"priority\": \"high\"` must be a number from 0 to 1.\n\nWrite the value as the message says; `expert-build schema manifest` documents every key. If your own tools use the key otherwise, allow this finding in `[lints]`.";
    error MANIFEST_KEY_MISSING = "manifest-key-missing": "a required key of the manifest is missing",
        "Without `name`, `version`, `description`, a base model with a `name`, and for each adapter its `type` and `target_modules` (and `r` and `alpha` for lora, dora, lokr and adalora), nobody can tell what the package is or load it.\n\nExample: an adapter `{ \"type\": \"lora\", \"target_modules\": [\"q_proj\"] }` lacks `r` and `alpha`.\n\nAdd the key. If the message says \"did you mean\", rename the key that it names.";
    warn MANIFEST_KEY_EXPECTED = "manifest-key-expected": "a key that manifests are expected to have is missing",
        "`capabilities`, `constraints`, `license`, `training`, `perf` and `quality_metrics` are not needed to load an expert, but routers, registries and people choose by them.\n\nAdd the key, or allow this finding: `[defaults.lints] \"manifest-key-expected\" = \"allow\"`.";
    error MANIFEST_NAME = "manifest-name": "the expert's name cannot stand in file names and requirements",
        "The name becomes part of the package's file name and of other experts' requirements (`name@>=1.0.0`). So it has lower-case letters, digits, `-`, `_` and `.` only, begins with a letter or digit, and has at most 100 characters.\n\nExample: `SQL Expert` must be something like `expert-sql`.\n\nRename the expert.";
    error MANIFEST_VERSION = "manifest-version": "the version is not a semantic version",
        "Requirements between experts compare versions, which takes three numbers: `1.2.0`, perhaps with a pre-release: `1.2.0-rc.1`. See semver.org.\n\nExample: `1.2` must be `1.2.0`; `v1.2.0` must be `1.2.0`.\n\nCorrect the version.";
    error MANIFEST_SCHEMA_VERSION = "manifest-schema-version": "the manifest's schema version is unknown",
        "`schema_version` is `1.0` (one `base_model` with `adapters` beside it) or `2.0` (`base_models`, each with its own `adapters`). Another value means that the manifest may say things that this program does not understand.\n\nWrite one of the two, or use a newer expert-build.";
    warn MANIFEST_SCHEMA_FORM = "manifest-schema-form": "the manifest has another form than its schema version says",
        "Schema 1.0 has `base_model` and `adapters`, schema 2.0 has `base_models` with `adapters` in each. An absent `schema_version` means 1.0. The form decides here, but other readers go by the version and will not find the model.\n\nSet `schema_version` to the form that the manifest has, and move `adapters` to where that form keeps them.";
    error MANIFEST_BOTH_FORMS = "manifest-both-forms": "the manifest has both `base_model` and `base_models`",
        "`base_model` is schema 1.0, `base_models` schema 2.0. With both, readers disagree on which model the expert is for.\n\nKeep `base_models` and move what `base_model` says into it, or keep `base_model` alone.";
    error MANIFEST_MODEL_CLASH = "manifest-model-clash": "two base models of a manifest have the same name",
        "One package is made per base model, named after it; two models of the same name would overwrite each other's package.\n\nGive each model its own name, or put its adapters together under one.";
    warn MODEL_NAME_PATH = "model-name-path": "a base model is named by a path of one machine",
        "A base model's name is how others find it: `Qwen3-0.6B` or `Qwen/Qwen3-0.6B`. A path such as `F:/models/Qwen3-0.6B` means nothing on another machine and tells the world how the training machine is laid out.\n\nWrite the model's name alone; `expert-build check --fix` keeps the last segment of the path.";
    error ADAPTERS_MISSING = "adapters-missing": "a base model has neither adapters nor soft prompts",
        "An expert changes its base model by adapters or by soft prompts. With neither, the package would do nothing. An empty `adapters` is fine where `soft_prompts` has one (prompt tuning).\n\nAdd the adapter: `\"adapters\": [{ \"type\": \"lora\", \"target_modules\": [\"q_proj\"], \"r\": 8, \"alpha\": 16 }]`.";
    warn ADAPTER_TYPE_UNKNOWN = "adapter-type-unknown": "the adapter type is not one that is known",
        "Known types are lora, dora, ia3, lokr, adalora and prompt_tuning. Weights of another type are packaged, but not compared with the manifest, and loaders may refuse them.\n\nCorrect the type, or allow this finding if your loader knows it.";
    error ADAPTER_IA3_RANK = "adapter-ia3-rank": "an IA3 adapter has a rank or alpha",
        "IA3 scales activations by one learned vector per module; it has neither rank nor alpha. A manifest that gives them was probably copied from a LoRA, and so perhaps were its other values.\n\nTake `r` and `alpha` out, or correct `type`.";
    error ADAPTER_SHA256 = "adapter-sha256": "an adapter's `sha256` is not that of its file",
        "The manifest gives a hash of the weights, and the weights have another. Either the weights were changed after the manifest was written, or they are not the ones that were meant.\n\nCheck that these are the right weights. Then write the new hash, or an empty one: the package's manifest is filled in by the build.";
    error ADAPTER_SIZE = "adapter-size": "an adapter's `size_bytes` is not that of its file",
        "The manifest gives a size of the weights, and the file has another: truncated, or changed after the manifest was written.\n\nCheck that these are the right weights. Then correct the size, or leave it out: the package's manifest is filled in by the build.";
    warn HASH_MALFORMED = "hash-malformed": "a hash in the manifest is not a hash",
        "A SHA-256 is 64 hex digits. Another text in its place (`todo`, `adapter_hash`) cannot be compared with anything. An empty text is fine: the package's manifest is filled in by the build.\n\nWrite the hash, or an empty text.";
    note HASH_UNFILLED = "hash-unfilled": "an adapter's hash or size is left for the build to fill in",
        "The manifest has no `sha256` or `size_bytes` for an adapter. The manifest in the package has them. `expert-build check --fix` writes them into the source manifest too.";
    warn INTEGRITY_STALE = "integrity-stale": "`integrity` in the source manifest does not fit the files",
        "`integrity` is written by the build into the package's manifest. In a source manifest it is left from an earlier package, and replaced. Where it names other files or hashes than there are, the source was probably unpacked from a package and then changed.\n\nTake `integrity` out of the source manifest.";
    warn LICENSE_UNKNOWN = "license-unknown": "the licence is not an SPDX expression",
        "`license` is an SPDX licence expression: `MIT`, `Apache-2.0`, `MIT OR Apache-2.0`. Registries and companies' licence checks read it. For a licence that is not on the SPDX list use `LicenseRef-…`.\n\nSee spdx.org/licenses.";
    note LICENSE_SPELLING = "license-spelling": "the licence id is spelled otherwise than SPDX does",
        "SPDX ids have a canonical spelling: `CC-BY-4.0`, not `cc-by-4.0`. Tools compare them without regard to case, so this is for neatness; `expert-build check --fix` corrects it.";
    warn LICENSE_MISMATCH = "license-mismatch": "the LICENSE file is not the licence that the manifest names",
        "The text of LICENSE was recognised as one licence, and `license` in the manifest names another. Whoever receives the package cannot know which of them holds.\n\nCorrect the one that is wrong.";
    warn TOKENIZER_VOCABULARY = "tokenizer-vocabulary": "the tokenizer has more tokens than the model has embeddings",
        "A token whose number is past the last row of the embeddings makes the model fail or read foreign memory. It happens when tokens were added to the tokenizer and the embeddings were not resized, or when the tokenizer belongs to another model.\n\nPackage the tokenizer of the base model, or train and save the resized embeddings (`modules_to_save`).";
}
