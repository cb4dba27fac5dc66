//! Codes of findings about weights: safetensors files, adapters, and the base model they are for.

super::codes! {
    error SAFETENSORS_MALFORMED = "safetensors-malformed": "a safetensors file breaks the format",
        "The header does not describe the file: a tensor's shape and type do not give its bytes, tensors overlap or leave holes, a name stands twice, or it is not JSON at all. Two readers would see two different adapters, or none.\n\nThe position is the byte where the fault shows. Export the weights again with `save_file` of the safetensors library.";
    error SAFETENSORS_TRUNCATED = "safetensors-truncated": "a safetensors file ends too early",
        "The header promises more bytes than the file has: a download, copy or disk-full write was cut short. Every loader refuses such a file.\n\nFetch or export the file again.";
    warn SAFETENSORS_UNUSUAL = "safetensors-unusual": "a safetensors header holds something that the format does not know",
        "A tensor's entry has a field beside `dtype`, `shape` and `data_offsets`, or `__metadata__` is null. Readers pass over it, but another tool wrote it with something in mind that will be lost.\n\nPut such notes into `__metadata__`, whose values are strings.";
    warn WEIGHTS_EMPTY = "weights-empty": "the weights hold no tensor",
        "The file is valid and useless: nothing would be adapted. It is what saving an adapter writes when no module matched `target_modules`, or when another adapter's name was active.\n\nCheck what was saved after training.";
    deny ADAPTER_TYPE_MISMATCH = "adapter-type-mismatch": "the manifest names another adapter type than the weights are",
        "The names of the tensors tell the method: `lora_magnitude_vector` is DoRA, `ia3_l` is IA3, `lokr_w1` is LoKr. A runtime that believes the manifest would compute something else: DoRA loaded as LoRA gives wrong outputs without any error.\n\nExample: `\"type\": \"lora\"` with magnitude vectors in adapter_model.safetensors.\n\nCorrect `type` in manifest.json, or package the weights that were meant.";
    deny ADAPTER_CONFIG_TYPE_MISMATCH = "adapter-config-type-mismatch": "adapter_config.json names another adapter type than the weights are",
        "PEFT builds the adapter that `peft_type` and `use_dora` name and then fills in the tensors it finds by name; those of another method are dropped without an error.\n\nUse the adapter_config.json that was saved with these weights.";
    deny ADAPTER_RANK_MISMATCH = "adapter-rank-mismatch": "the rank of the weights is not the manifest's `r`",
        "The rank is the number of rows of `lora_A` (the inner dimension for LoKr and LoHa). It decides memory and, through alpha / r, the strength of the adapter: with a wrong `r` the adapter is loaded too strong, too weak or not at all. Modules that `rank_pattern` names may differ.\n\nExample: `layers 0-27, q_proj: rank 8, the manifest says 16`.\n\nCorrect `r` in manifest.json.";
    deny ADAPTER_CONFIG_RANK_MISMATCH = "adapter-config-rank-mismatch": "the rank of the weights is not what adapter_config.json says",
        "PEFT creates matrices of rank `r` (or what `rank_pattern` gives for the module) and refuses to load tensors of another shape.\n\nUse the adapter_config.json that was saved with these weights.";
    deny ADAPTER_ALPHA_MISMATCH = "adapter-alpha-mismatch": "manifest and adapter_config.json give different alphas",
        "Alpha scales the adapter's effect; it stands in no tensor, so the weights cannot tell which of the two is right. A runtime that reads the manifest and one that reads adapter_config.json would give different outputs.\n\nPut the alpha of the training run into both.";
    warn ADAPTER_SCALING_MISMATCH = "adapter-scaling-mismatch": "manifest and adapter_config.json disagree on how alpha scales",
        "Standard LoRA scales by alpha / r, rank-stabilised LoRA (`use_rslora`) by alpha / sqrt(r). At r = 16 that is a factor of four.\n\nLet `scaling` in manifest.json and `use_rslora` in adapter_config.json say the same.";
    deny ADAPTER_TARGET_MISSING = "adapter-target-missing": "the manifest names a target module that no tensor has",
        "A module in `target_modules` is not adapted by these weights: they come from another run, or the name is misspelt.\n\nTake the name out of `target_modules`, or package the weights that have it.";
    deny ADAPTER_TARGET_UNDECLARED = "adapter-target-undeclared": "the weights adapt a module that the manifest does not name",
        "A runtime that creates adapters for the manifest's `target_modules` alone would drop these tensors without an error, and the adapter would only half work.\n\nAdd the module to `target_modules`.";
    deny ADAPTER_CONFIG_TARGET_UNDECLARED = "adapter-config-target-undeclared": "the weights adapt a module that adapter_config.json does not select",
        "PEFT creates adapters for `target_modules` of adapter_config.json (less `exclude_modules`) and drops tensors of any other module without an error.\n\nUse the adapter_config.json that was saved with these weights.";
    warn ADAPTER_CONFIG_TARGET_MISSING = "adapter-config-target-missing": "adapter_config.json names a target module that no tensor has",
        "When it is loaded, PEFT creates an untrained adapter for each module that `target_modules` selects and warns of missing keys. Harmless where the base model has no such module, a lost part of the adapter where it has.\n\nTake the name out, or package the weights that have it.";
    deny ADAPTER_FEEDFORWARD_MISMATCH = "adapter-feedforward-mismatch": "`feedforward_modules` does not fit the shapes of an IA3 adapter",
        "IA3 scales the input of the modules in `feedforward_modules` (shape [1, inputs]) and the output of all others (shape [outputs, 1]). With the wrong list the loader creates scales of the wrong shape and fails, or applies them on the wrong side.\n\nName exactly the modules whose `ia3_l` is [1, inputs].";
    deny ADAPTER_TARGETS_DIFFER = "adapter-targets-differ": "manifest and adapter_config.json name different target modules",
        "No tensor can decide which list is right, as the weights are not there or show no adapter. Two runtimes would adapt different modules.\n\nPut the same modules into both.";
    deny ADAPTER_TENSOR_MISSING = "adapter-tensor-missing": "a module lacks one of the tensors that its method needs",
        "An adapter's tensors come in sets: `lora_A` with `lora_B`, `lokr_w2_a` with `lokr_w2_b`. A module with half a set does nothing, or keeps the loader from starting.\n\nSave the adapter again; if tensors were filtered by name, keep whole modules.";
    deny ADAPTER_SHAPE_INCONSISTENT = "adapter-shape-inconsistent": "tensors of one module do not fit together",
        "The columns of `lora_B` must be the rows of `lora_A` (both are the rank), and a magnitude vector must be as long as `lora_B` has rows. Otherwise the product does not exist.\n\nThe file was put together from different adapters, or a matrix was transposed. Export it again.";
    deny ADAPTER_DORA_INCOMPLETE = "adapter-dora-incomplete": "some modules of a DoRA adapter have no magnitude vector",
        "DoRA replaces the length of each output's weights by a trained magnitude. Without `lora_magnitude_vector` those modules would be loaded with untrained magnitudes.\n\nSave the adapter again with all of its tensors.";
    warn ADAPTER_WIDTH_MIXED = "adapter-width-mixed": "one module has different input widths in different layers",
        "In nearly every model a module such as q_proj is equally wide in all layers. Different widths in one file mean tensors of two base models were mixed.\n\nPackage the weights of one model at a time.";
    deny ADAPTER_SAVED_MODULE_MISSING = "adapter-saved-module-missing": "`modules_to_save` names a module whose weights are not there",
        "Modules in `modules_to_save` (a classification head, resized embeddings) are trained whole and stored beside the adapter. Without its tensors the module is loaded as it was before training, or at random.\n\nSave the adapter again, or take the name out.";
    warn BASE_MODEL_NAME_MISMATCH = "base-model-name-mismatch": "manifest and adapter_config.json name different base models",
        "`base_model_name_or_path` is where the training run took the base model from. Folders, organisations and quantisation suffixes are passed over in the comparison.\n\nAn adapter works with the very model it was trained on. Correct the name that is wrong.";
    deny ADAPTER_CONFIG_VALUE = "adapter-config-value": "a value in adapter_config.json has the wrong type",
        "PEFT would fail on it, or take it for something else: a string where a number belongs, an object where a list belongs.\n\nUse the file as PEFT's `save_pretrained` wrote it.";
    note ADAPTER_PATTERN_UNREAD = "adapter-pattern-unread": "a regular expression uses syntax that is not checked",
        "`target_modules` and `rank_pattern` may hold Python regular expressions. Look-around and back references exist in Python only, so what the expression selects was not compared with the tensors.\n\nNothing is wrong; a plain list of modules would be checked.";
    deny ADAPTER_PROMPT_SHAPE = "adapter-prompt-shape": "the prompt embeddings do not have the shape that adapter_config.json gives",
        "`prompt_embeddings` has one row per virtual token and one column per dimension of the base model's embeddings: `num_virtual_tokens` times `num_transformer_submodules` by `token_dim`.\n\nUse the adapter_config.json that was saved with these weights.";
    warn ADAPTER_TENSORS_UNKNOWN = "adapter-tensors-unknown": "tensors have names that no PEFT method writes",
        "PEFT finds tensors by name: `base_model.model.<module>.lora_A.weight`. What has another name is not loaded. Names such as `lora_down` or `lora_a` are those of other trainers.\n\nConvert the file to PEFT's names, or take the tensors out.";
    warn WEIGHTS_NOT_FINITE = "weights-not-finite": "weights are NaN or infinite",
        "One NaN in a matrix makes every output NaN that passes through it. It comes from a training run that diverged, or from an overflow when values were converted to float16.\n\nThe message counts them and names the modules. Take an earlier checkpoint, or convert to bfloat16.";
    warn ADAPTER_UNTRAINED = "adapter-untrained": "the adapter does nothing: it is as it was before training",
        "A low-rank adapter starts with one of its factors at zero (`lora_B`), so that it changes nothing until it is trained; IA3 starts with ones. In this file every module is still like that.\n\nMost often the adapter was saved before training, or the wrong adapter was active. Package the trained weights.";
    warn ADAPTER_MODULE_UNTRAINED = "adapter-module-untrained": "some modules of the adapter are as they were before training",
        "These modules still have a factor that is all zeros, so they change nothing, while others were trained. It happens where layers were frozen, or where a module never took part in the forward pass.\n\nTake the modules out of `target_modules` and of the weights, or find out why they were not trained.";
    note ADAPTER_FACTOR_ZERO = "adapter-factor-zero": "modules of a LoKr or LoHa adapter have a factor that is all zeros",
        "LoKr and LoHa start with one factor at zero and change nothing until it is trained. Which one that is depends on the initialisation that was chosen, so this is told and not counted; the same in LoRA is `adapter-untrained`.\n\nIf the adapter should do something, package the trained weights.";
    warn WEIGHTS_ALL_ZERO = "weights-all-zero": "a tensor that scales or is added holds nothing but zeros",
        "A magnitude vector, an IA3 scale or prompt embeddings of zeros erase what they apply to: the module's output becomes zero.\n\nExport the weights again; look for a failed conversion.";
    warn WEIGHTS_COPY = "weights-copy": "two adapters that should differ have the same tensors",
        "Names, types, shapes and every value are equal, whatever the metadata says. Under two base models that cannot be right; in two experts one was most likely copied as a start and never trained.\n\nPackage each with its own weights.";
    error BASE_CONFIG_INVALID = "base-config-invalid": "the base model's config.json cannot be used",
        "The Expertfile names a `config` for this base model, but the file holds no model configuration: `hidden_size` (or `n_embd`, `d_model`) is missing.\n\nGive the config.json that lies beside the base model's weights.";
    deny BASE_MODEL_WRONG = "base-model-wrong": "the weights were trained for another base model",
        "Every model has its own width (`hidden_size`). The adapter's matrices are made for another one, so they cannot be added to this model's.\n\nExample: `the adapter is for a model of hidden size 1024, Qwen3-8B has 4096`.\n\nName the base model that the adapter was trained on, or package the weights for this one.";
    deny BASE_MODEL_SHAPE = "base-model-shape": "a module's width is not that of the base model",
        "Head counts, head width and the feed-forward width of the base model's config.json give the input and output width of each module; the adapter's matrices have others. It was trained on a model of the same hidden size, but not on this one.\n\nName the base model that the adapter was trained on.";
    deny BASE_MODEL_LAYERS = "base-model-layers": "the adapter has layers that the base model does not have",
        "Tensors name a layer beyond the base model's last one: the adapter was trained on a deeper model.\n\nName the base model that the adapter was trained on.";
    warn BASE_MODEL_LAYERS_UNCOVERED = "base-model-layers-uncovered": "the adapter ends long before the base model's last layer",
        "`layers_to_transform` is not set, so every layer should have been adapted, but the base model has more layers than the adapter. It was most likely trained on a shallower model.\n\nName the base model that the adapter was trained on, or set `layers_to_transform`.";
    warn BASE_MODEL_VOCABULARY = "base-model-vocabulary": "embeddings do not have the base model's vocabulary",
        "An adapter on the embeddings or the output layer has one row per entry of the vocabulary. It must be the base model's `vocab_size`, unless tokens were added before training.\n\nName the base model that the adapter was trained on, or ship the tokenizer with the added tokens.";
}
