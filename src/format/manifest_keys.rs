//! Every key that a manifest may have, with its type and meaning: one table for the check and for the JSON schema.
//!
//! `null` counts as absent for a key that may be absent. Keys that are not here are kept and never rejected.

/// What stands at a key.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A text.
    Text,
    /// A text that is not empty.
    Word,
    /// A text of a certain form.
    Form(Form),
    /// A whole number from this on.
    Count(u64),
    /// A number.
    Number,
    /// A number from 0 on.
    Amount,
    /// A number above 0.
    Positive,
    /// A number from 0 to 1.
    Share,
    /// `true` or `false`.
    Flag,
    /// A list of these, of at least so many.
    List(&'static Self, usize),
    /// An object with these keys.
    Object(&'static [Key]),
    /// An object with any keys.
    Map,
    /// An object with any keys, each of which has one of these. Keys that begin with `_` are comments.
    Each(&'static Self),
    /// A text or one of these.
    TextOr(&'static Self),
    /// A number or a text, as people write scores.
    Score,
    /// Any value.
    Any,
    /// An adapter: `ADAPTER`, and what its type asks for.
    Adapter,
}

/// Texts that must have a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An expert's name.
    Name,
    /// A semantic version.
    Version,
    /// A version of the manifest's schema.
    SchemaVersion,
    /// The path of a file in the expert's folder.
    Path,
    /// The same, or empty for none.
    PathOrNone,
}

/// A key of an object.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The key.
    pub name: &'static str,
    /// What stands there.
    pub kind: Kind,
    /// Is it an error if it is absent?
    pub required: bool,
    /// What it means.
    pub doc: &'static str,
}

/// Longest name of an expert.
pub const NAME_MAX: usize = 100;

/// Most that a whole number may be, so that every reader of JSON reads the same: 2^53.
pub const COUNT_MAX: u64 = 9_007_199_254_740_992;

/// The types of adapter that have a rank and an alpha.
pub const RANKED: &[&str] = &["lora", "dora", "lokr", "adalora"];

/// The types of adapter that have neither.
pub const UNRANKED: &str = "ia3";

/// The types of adapter that target no modules.
pub const PROMPTS: &[&str] = &["prompt_tuning", "prefix_tuning", "p_tuning"];

/// Keys at the top that every manifest should have.
pub const EXPECTED: &[&str] = &["capabilities", "constraints", "license", "training", "perf", "quality_metrics"];

const fn must(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, required: true, doc }
}

const fn may(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, required: false, doc }
}

const TEXTS: Kind = Kind::List(&Kind::Text, 0);

/// The document.
#[rustfmt::skip] // one key, one line
pub static ROOT: &[Key] = &[
    must("name", Kind::Form(Form::Name), "The expert's name, in lower case: part of file names and of `requires` in other manifests."),
    must("version", Kind::Form(Form::Version), "The expert's semantic version, such as `1.2.0` or `1.2.0-rc.1`."),
    may("schema_version", Kind::Form(Form::SchemaVersion), "Version of the manifest's form. Absent means 1.0."),
    must("description", Kind::Text, "What the expert is good at, in a sentence or two."),
    may("author", Kind::Text, "Who made it. The publisher of the package, unless the Expertfile names one."),
    may("homepage", Kind::Text, "Address of the expert's page."),
    may("repository", Kind::TextOr(&Kind::Object(REPOSITORY)), "Where the sources are: an address, or type and address."),
    may("base_model", Kind::Object(BASE_MODEL), "Schema 1.0: the model that the adapters are for. They stand beside it in `adapters`."),
    may("base_models", Kind::List(&Kind::Object(BASE_MODEL_2), 1), "Schema 2.0: the models that the expert has adapters for. One package is made for each, so their names differ."),
    may("adapters", Kind::List(&Kind::Adapter, 0), "Schema 1.0: the adapters for `base_model`. May be empty where there are soft prompts."),
    may("soft_prompts", Kind::List(&Kind::Object(SOFT_PROMPT), 0), "Trained prompts that are put before the input."),
    may("capabilities", TEXTS, "What the expert can do, as `kind:value` words that routers match: `task:text2sql`, `language:en`."),
    may("limitations", Kind::List(&Kind::TextOr(&Kind::Object(LIMITATION)), 0), "What the expert is known to do badly."),
    may("routing", Kind::Object(ROUTING), "Hints for choosing this expert for a query."),
    may("constraints", Kind::Object(CONSTRAINTS), "How the expert goes together with others."),
    may("perf", Kind::Object(PERF), "What the expert costs at run time."),
    may("runtime", Kind::Object(RUNTIME), "What the expert needs from the program that runs it."),
    may("training", Kind::Object(TRAINING), "How the expert was trained and how its output is decoded."),
    may("evaluation", Kind::Object(EVALUATION), "How the expert is evaluated."),
    may("quality_metrics", Kind::Object(QUALITY), "How well the expert did."),
    may("license", Kind::Text, "The licence of the weights, as an SPDX expression: `MIT`, `Apache-2.0 OR MIT`."),
    may("tags", TEXTS, "Words to find the expert by."),
    may("integrity", Kind::Object(INTEGRITY), "Written by the build into the packaged manifest; whatever a source manifest has here is replaced."),
    may("package", Kind::Object(PACKAGE), "Written by the build into the packaged manifest; whatever a source manifest has here is replaced."),
];

#[rustfmt::skip] // one key, one line
static REPOSITORY: &[Key] = &[
    may("type", Kind::Text, "Kind of version control, such as `git`."),
    may("url", Kind::Text, "Its address."),
];

/// A model of schema 1.0.
#[rustfmt::skip] // one key, one line
pub static BASE_MODEL: &[Key] = &[
    must("name", Kind::Word, "The model's name as others know it, such as `Qwen3-0.6B`; not a path."),
    may("sha256", Kind::Text, "SHA-256 of the model's weights, or empty."),
    may("quantization", Kind::Text, "How the model is quantised: `none`, `int4`, `int8`, `bf16` …"),
    may("rope_scaling", Kind::TextOr(&Kind::Object(ROPE)), "How positions are scaled: a word, or the values."),
    may("prompt_template", Kind::Text, "Name of the chat template: `chatml`, `qwen3`, `llama2` …"),
];

/// A model of schema 2.0.
#[rustfmt::skip] // one key, one line
pub static BASE_MODEL_2: &[Key] = &[
    BASE_MODEL[0],
    BASE_MODEL[1],
    BASE_MODEL[2],
    BASE_MODEL[3],
    BASE_MODEL[4],
    may("adapters", Kind::List(&Kind::Adapter, 0), "The adapters for this model. May be empty where there are soft prompts."),
];

#[rustfmt::skip] // one key, one line
static ROPE: &[Key] = &[
    may("type", Kind::Text, "`ntk-by-parts`, `yarn`, `dynamic` or `linear`."),
    may("factor", Kind::Positive, "How many times longer the context becomes."),
    may("max_position_embeddings", Kind::Count(1), "The longest context after scaling."),
    may("original_max_position_embeddings", Kind::Count(1), "The longest context before scaling."),
    may("fine_grained", Kind::Flag, "Are frequencies scaled one by one?"),
];

/// An adapter.
#[rustfmt::skip] // one key, one line
pub static ADAPTER: &[Key] = &[
    must("type", Kind::Word, "`lora`, `dora`, `ia3`, `lokr`, `adalora` or `prompt_tuning`. Other types are packaged with a warning."),
    may("target_modules", Kind::List(&Kind::Word, 1), "The modules that the adapter changes, such as `q_proj`. Required but for prompt tuning."),
    may("feedforward_modules", TEXTS, "IA3: which of the target modules are feed-forward."),
    may("r", Kind::Count(1), "The rank. Required for lora, dora, lokr and adalora; ia3 has none."),
    may("alpha", Kind::Positive, "The scaling numerator. Required for lora, dora, lokr and adalora; ia3 has none."),
    may("scaling", Kind::Text, "How the change is scaled: `standard`, `dora`, `rslora` …"),
    may("dropout", Kind::Share, "Dropout in training."),
    may("use_dora", Kind::Flag, "Does a lora have magnitude vectors?"),
    may("path", Kind::Form(Form::PathOrNone), "The weights' file in the expert's folder. The packaged manifest has its place in the package."),
    may("checkpoint_step", Kind::Count(0), "The training step that the weights are of."),
    may("size_bytes", Kind::Count(0), "Size of the weights' file. 0 or absent: filled in by the build."),
    may("sha256", Kind::Text, "SHA-256 of the weights' file in hex. Empty or absent: filled in by the build."),
];

/// A soft prompt.
#[rustfmt::skip] // one key, one line
pub static SOFT_PROMPT: &[Key] = &[
    may("name", Kind::Text, "What the prompt is called."),
    must("path", Kind::Form(Form::Path), "The file in the expert's folder, such as `soft_prompts/style.pt`."),
    may("tokens", Kind::Count(1), "How many virtual tokens it has: the rows of the tensor."),
    may("length", Kind::Count(1), "Older name of `tokens`."),
    may("init_method", Kind::Text, "How it was initialised: `random`, `text` or `vocab_sample`."),
    may("init_text", Kind::Text, "The text that it was initialised with."),
    may("purpose", Kind::Text, "What it is for."),
];

#[rustfmt::skip] // one key, one line
static LIMITATION: &[Key] = &[
    may("pattern", Kind::Text, "A short name of the weakness."),
    may("description", Kind::Text, "What goes wrong."),
    may("example", Kind::Text, "An input that shows it."),
    may("workaround", Kind::Text, "What to do instead."),
];

#[rustfmt::skip] // one key, one line
static ROUTING: &[Key] = &[
    may("keywords", TEXTS, "Words in a query that speak for this expert."),
    may("exclude_keywords", TEXTS, "Words in a query that speak against it."),
    may("router_hint", Kind::Text, "An expression over capabilities, for routers that read it."),
    may("priority", Kind::Share, "Which expert wins where several fit, from 0 to 1."),
];

#[rustfmt::skip] // one key, one line
static CONSTRAINTS: &[Key] = &[
    may("max_chain", Kind::Count(1), "How many experts may be loaded together with this one."),
    may("load_order", Kind::Count(0), "Its turn among experts that are loaded together; lower is earlier."),
    may("incompatible_with", TEXTS, "Experts that must not be loaded with it: names, perhaps with a version range (`name@<2.0.0`)."),
    may("requires", TEXTS, "Experts that it needs: names, perhaps with a version range (`english-basic@>=1.0.0`)."),
];

#[rustfmt::skip] // one key, one line
static PERF: &[Key] = &[
    may("latency_ms_overhead", Kind::Amount, "Milliseconds that it adds."),
    may("vram_mb_overhead", Kind::Amount, "Megabytes of video memory that it takes."),
    may("supported_batch_sizes", Kind::List(&Kind::Count(1), 0), "Batch sizes that it was tried with."),
];

#[rustfmt::skip] // one key, one line
static RUNTIME: &[Key] = &[
    may("candle_compatible", Kind::Flag, "Can Candle run it?"),
    may("requires_kv_cache_persistence", Kind::Flag, "Must the key-value cache be kept between calls?"),
    may("attention_kernel", Kind::Text, "The attention kernel that it was tried with."),
];

#[rustfmt::skip] // one key, one line
static TRAINING: &[Key] = &[
    may("dataset", Kind::Object(DATASET), "What it was trained on."),
    may("config", Kind::Object(CONFIG), "The trainer's settings."),
    may("decoding", Kind::Object(DECODING), "How its output is decoded."),
    may("trained_on", Kind::Text, "The day of training, such as `2025-11-06`."),
    may("base_model_version", Kind::Text, "The exact base model that was trained on."),
    may("checkpoint", Kind::Text, "The checkpoint that the metrics are of."),
    may("packaging_checkpoint", Kind::Form(Form::PathOrNone), "The checkpoint folder whose weights are packaged, such as `checkpoint-1000` or `final`."),
    may("quality_score", Kind::Score, "A score of the chosen checkpoint."),
    may("test_scenarios", Kind::Each(&Kind::TextOr(&Kind::Object(SCENARIO))), "Results per scenario."),
    may("alternative_checkpoints", Kind::Each(&Kind::TextOr(&Kind::Object(CHECKPOINT))), "Other checkpoints and what speaks for them."),
];

#[rustfmt::skip] // one key, one line
static DATASET: &[Key] = &[
    may("path", Kind::Text, "The training data. Not packaged."),
    may("validation_path", Kind::Text, "The validation data. Not packaged."),
    may("test_path", Kind::Text, "The test data. Not packaged."),
    may("type", Kind::Text, "`single` or `multi_task`."),
    may("format", Kind::Text, "`jsonl`, `csv`, `parquet`, `huggingface` …"),
    may("streaming", Kind::Flag, "Was the data streamed?"),
    may("source", Kind::Text, "Where the data come from."),
    may("sources", Kind::List(&Kind::TextOr(&Kind::Object(SOURCE)), 0), "Each source with its numbers."),
    may("field_mapping", Kind::Each(&Kind::Text), "Which field of the data is which part of an example."),
    may("tasks", Kind::Each(&Kind::TextOr(&Kind::Object(TASK))), "The data of each task, where there are several."),
    may("validation", Kind::TextOr(&Kind::Object(DATA_CHECKS)), "How examples were checked."),
    may("augmentation", Kind::TextOr(&Kind::Object(AUGMENTATION)), "How examples were varied."),
    may("preprocessing", Kind::TextOr(&Kind::Object(PREPROCESSING)), "What was done to the data before training, with numbers."),
    may("format_distribution", Kind::Each(&Kind::Score), "Share of each format."),
    may("task_distribution", Kind::Each(&Kind::Score), "Share of each task."),
    may("splits", Kind::Each(&Kind::Score), "Size of each split."),
];

#[rustfmt::skip] // one key, one line
static SOURCE: &[Key] = &[
    may("name", Kind::Text, "What the source is called, such as a data set's id."),
    may("original_examples", Kind::Score, "How many examples it has."),
    may("processed_examples", Kind::Score, "How many of them are used."),
    may("duplicates_removed", Kind::Score, "How many were there twice."),
    may("invalid_removed", Kind::Score, "How many were not valid."),
];

#[rustfmt::skip] // one key, one line
static TASK: &[Key] = &[
    may("train", Kind::Text, "The task's training data."),
    may("valid", Kind::Text, "The task's validation data."),
    may("test", Kind::Text, "The task's test data."),
    may("weight", Kind::Amount, "How often the task is drawn, against the others."),
    may("format", Kind::Text, "The format of its data."),
];

#[rustfmt::skip] // one key, one line
static DATA_CHECKS: &[Key] = &[
    may("validate_json", Kind::Flag, "Were examples parsed as JSON?"),
    may("validate_schema", Kind::Flag, "Were examples checked against a schema?"),
    may("deduplicate", Kind::Flag, "Were repeated examples dropped?"),
    may("min_length", Kind::Amount, "Shortest example that was kept."),
    may("max_length", Kind::Amount, "Longest example that was kept."),
];

#[rustfmt::skip] // one key, one line
static AUGMENTATION: &[Key] = &[
    may("schema_injection_prob", Kind::Share, "How often a schema was put into the prompt."),
    may("table_aliases", Kind::Flag, "Were table aliases varied?"),
    may("comment_stripping", Kind::Flag, "Were comments taken out?"),
    may("case_normalization", Kind::Text, "`preserve`, `upper` or `lower`."),
];

#[rustfmt::skip] // one key, one line
static PREPROCESSING: &[Key] = &[
    may("total_examples", Kind::Score, "Examples in all, after preprocessing."),
    may("total_raw_examples", Kind::Score, "Examples in all, before it."),
    may("processed_examples", Kind::Score, "Examples that were kept."),
    may("duplicates_removed", Kind::Score, "Examples that were there twice."),
    may("target_total", Kind::Score, "How many examples were aimed at."),
    may("generic_ratio", Kind::Score, "Share of general examples."),
    may("validation", Kind::Any, "How examples were checked."),
    may("format", Kind::Any, "The format that they were brought into."),
    may("deduplication", Kind::Any, "By what they were told to be the same."),
    may("schema_extraction", Kind::Any, "How schemas were taken from them."),
    may("size_filter", Kind::Any, "Which sizes were kept."),
    may("rebalanced", Kind::Any, "Were kinds of examples balanced, and how?"),
    may("corrections_balanced", Kind::Any, "Were corrections balanced, and how?"),
    may("splits", Kind::Each(&Kind::Score), "Size of each split."),
    may("task_distribution", Kind::Each(&Kind::Score), "Share of each task."),
    may("by_source", Kind::Each(&Kind::Score), "Examples of each source."),
];

#[rustfmt::skip] // one key, one line
static SCENARIO: &[Key] = &[
    may("total", Kind::Score, "How many cases it has."),
    may("passed", Kind::Score, "How many of them passed."),
    may("success_rate", Kind::Score, "Share of cases that passed."),
    may("metrics", Kind::Any, "Other results."),
    may("notes", Kind::Any, "What to know about it."),
];

#[rustfmt::skip] // one key, one line
static CHECKPOINT: &[Key] = &[
    may("path", Kind::Text, "Where the checkpoint lies. Not packaged."),
    may("step", Kind::Score, "Its training step."),
    may("score", Kind::Score, "Its score."),
    may("win_rate", Kind::Score, "Share of queries on which it wins."),
    may("best_for", Kind::TextOr(&TEXTS), "What it is best for."),
];

#[rustfmt::skip] // one key, one line
static CONFIG: &[Key] = &[
    may("method", Kind::Text, "`sft`, `dpo`, `rlhf` …"),
    may("adapter_type", Kind::Text, "The adapter type that was trained."),
    may("rank", Kind::Count(1), "The rank that was trained."),
    may("alpha", Kind::Positive, "The alpha that was trained."),
    may("target_modules", Kind::TextOr(&TEXTS), "The modules that were trained."),
    may("feedforward_modules", Kind::TextOr(&TEXTS), "IA3: which of them are feed-forward."),
    may("dropout", Kind::Share, "Dropout of the adapter."),
    may("epochs", Kind::Amount, "Passes over the data."),
    may("num_epochs", Kind::Amount, "Older name of `epochs`."),
    may("max_steps", Kind::Number, "Most steps of training; -1 for no bound."),
    may("learning_rate", Kind::Amount, "The peak learning rate."),
    may("lr_scheduler", Kind::Text, "How the learning rate changes: `cosine`, `linear` …"),
    may("warmup_steps", Kind::Amount, "Steps until the peak."),
    may("warmup_ratio", Kind::Share, "The same as a share of all steps."),
    may("batch_size", Kind::Count(1), "Examples per device and step."),
    may("gradient_accumulation_steps", Kind::Count(1), "Steps per update."),
    may("max_seq_length", Kind::Count(1), "Longest example in tokens."),
    may("optim", Kind::Text, "The optimiser."),
    may("use_unsloth", Kind::Flag, "Was Unsloth used?"),
    may("fp16", Kind::Flag, "Training in half precision."),
    may("bf16", Kind::Flag, "Training in bfloat16."),
    may("use_tf32", Kind::Flag, "TF32 matrix products."),
    may("use_sdpa", Kind::Flag, "PyTorch's scaled dot product attention."),
    may("flash_attention_2", Kind::Flag, "FlashAttention 2."),
    may("memory_efficient_attention", Kind::Flag, "Memory-efficient attention."),
    may("memory_clear_every", Kind::Count(0), "Steps between clearing of caches; 0 for never."),
    may("packing", Kind::Flag, "Were short examples put together?"),
    may("group_by_length", Kind::Flag, "Were examples of similar length batched?"),
    may("gradient_checkpointing", Kind::Flag, "Were activations recomputed?"),
    may("activation_checkpointing", Kind::Text, "Which activations were recomputed."),
    may("dataloader_num_workers", Kind::Count(0), "Workers of the data loader."),
    may("dataloader_pin_memory", Kind::Flag, "Pinned memory in the data loader."),
    may("dataloader_prefetch_factor", Kind::Count(0), "Batches that each worker prefetches."),
    may("dataloader_persistent_workers", Kind::Flag, "Do the workers outlive an epoch?"),
    may("logging_steps", Kind::Amount, "Steps between log lines."),
    may("save_strategy", Kind::Text, "When checkpoints are saved: `steps`, `epoch`, `no`."),
    may("save_steps", Kind::Amount, "Steps between checkpoints."),
    may("save_total_limit", Kind::Count(1), "Most checkpoints that are kept."),
    may("evaluation_strategy", Kind::Text, "When it is evaluated: `steps`, `epoch`, `no`."),
    may("eval_steps", Kind::Amount, "Steps between evaluations."),
    may("load_best_model_at_end", Kind::Flag, "Was the best checkpoint taken at the end?"),
    may("metric_for_best_model", Kind::Text, "The metric that decides which is best."),
    may("greater_is_better", Kind::Flag, "Is more of that metric better?"),
    may("torch_compile", Kind::Flag, "Was the model compiled?"),
    may("torch_compile_backend", Kind::Text, "By which backend."),
    may("torch_compile_mode", Kind::Text, "In which mode."),
    may("use_cuda_graphs", Kind::Flag, "Were CUDA graphs used?"),
    may("cuda_graph_warmup_steps", Kind::Count(0), "Steps before graphs are captured."),
    may("pretokenized_cache", Kind::Text, "Where tokenised data were kept."),
];

#[rustfmt::skip] // one key, one line
static DECODING: &[Key] = &[
    may("use_grammar", Kind::Flag, "Is the output held to a grammar?"),
    may("grammar_type", Kind::Text, "`gbnf`, or a language: `json`, `sql-postgres` …"),
    may("grammar_file", Kind::Form(Form::PathOrNone), "The grammar's file in the expert's folder. It is packaged."),
    may("validation", Kind::Text, "How output is checked: `parser-strict`, `none` …"),
    may("validation_cmd", Kind::Text, "A command that checks output. Never run by a build."),
    may("stop_sequences", TEXTS, "Texts that end the output."),
    may("temperature", Kind::Amount, "Sampling temperature."),
    may("top_p", Kind::Share, "Nucleus sampling: the share of probability that is kept."),
    may("top_k", Kind::Count(0), "How many tokens are kept; 0 for all."),
    may("min_p", Kind::Share, "Least probability, as a share of the best token's."),
];

#[rustfmt::skip] // one key, one line
static EVALUATION: &[Key] = &[
    may("test_cases", Kind::TextOr(&Kind::List(&Kind::TextOr(&Kind::Map), 0)), "The cases, or the file that has them."),
    may("suite", Kind::TextOr(&TEXTS), "Names of test suites."),
    may("metrics", Kind::Any, "What is measured, perhaps with results."),
];

#[rustfmt::skip] // one key, one line
static QUALITY: &[Key] = &[
    may("benchmark_score", Kind::Score, "The expert's score."),
    may("base_model_score", Kind::Score, "The base model's score on the same benchmark."),
    may("improvement_percent", Kind::Score, "How much better the expert is."),
    may("win_rate_vs_base", Kind::Score, "Share of queries on which the expert is better."),
    may("test_queries", Kind::Count(0), "How many queries it was tested with."),
    may("training_steps", Kind::Count(0), "Steps of training before the test."),
    may("checkpoint", Kind::Text, "The checkpoint that was tested."),
    may("test_date", Kind::Text, "The day of the test."),
];

#[rustfmt::skip] // one key, one line
static INTEGRITY: &[Key] = &[
    may("files", Kind::Map, "Path → SHA-256 in hex, for every entry of the package but `signature.sig`. The manifest's own is the SHA-256 of its RFC 8785 canonical JSON without `integrity.files` and `integrity.signature`."),
    may("publisher", Kind::Text, "Who publishes the package."),
    may("signature_algorithm", Kind::Text, "`ed25519`."),
    may("created_at", Kind::Text, "The time of `SOURCE_DATE_EPOCH`, where it was set."),
    may("pubkey", Kind::Text, "The publisher's key: `ed25519:` and 64 hex digits."),
    may("timestamp", Kind::Text, "Other tools' name of `created_at`."),
    may("public_key", Kind::Text, "Other tools' name of `pubkey`."),
    may("signature", Kind::Text, "Ed25519 signature in hex over the lines `path:hash` of `files`."),
];

#[rustfmt::skip] // one key, one line
static PACKAGE: &[Key] = &[
    may("format_version", Kind::Count(1), "Version of the package format: 1."),
    may("archive", Kind::Text, "`tar`."),
    may("compression", Kind::Text, "`gzip`, `zstd` or `none`."),
    may("level", Kind::Count(0), "The compression level."),
];
