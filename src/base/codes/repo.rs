//! Codes of findings about the repo: Expertfile and requirements between experts.

super::codes! {
    error REQUIREMENT_UNMET = "requirement-unmet": "an expert requires something that the repo does not have",
        "`constraints.requires` names an expert (and perhaps a version range) that is neither in the repo nor declared in `[workspace] externals`.\n\nExample: `\"requires\": [\"english-basic@>=2.0.0\"]` in a repo that has no expert of that name.\n\nAdd the expert, correct the range, or declare it: `externals = { \"english-basic\" = \"1.4.0\" }`.";
    error REQUIREMENT_CYCLE = "requirement-cycle": "experts require each other in a circle",
        "Following `constraints.requires` leads back to where it began, so there is no order in which the experts could be loaded.\n\nExample: `sql` requires `tables`, and `tables` requires `sql`.\n\nTake one of the requirements out of the chain that the message shows.";
    error REQUIREMENT_CONFLICT = "requirement-conflict": "an expert requires what it is incompatible with",
        "An expert requires, directly or through others, an expert that one of them names in `constraints.incompatible_with`.\n\nExample: `sql` requires `english-basic` and names it in `incompatible_with` as well.\n\nDrop one of the two statements in the chain that the message shows.";
    error REQUIREMENT_SYNTAX = "requirement-syntax": "a requirement cannot be read",
        "A requirement is a name, or a name and a version range: `english-basic`, `english-basic@>=1.0.0`.\n\nExample: `\"requires\": [\"english-basic >= 1\"]`, which lacks the `@`.\n\nCorrect the text.";
    error DUPLICATE_EXPERT = "duplicate-expert": "two experts have the same name, version and output",
        "Two experts would write the same package, or `requires` could mean either of them.\n\nExample: `experts/sql` and `experts/sql-copy` both have `\"name\": \"expert-sql\", \"version\": \"1.0.0\"`.\n\nRename one, or give one another version.";
    error REQUIREMENT_VERSION = "requirement-version": "a required expert is there in another version",
        "`constraints.requires` names a version range, and the expert of that name (in the repo or in `[workspace] externals`) has a version outside of it. A pre-release such as `1.1.0-beta` is only taken by a range that names a pre-release of the same version.\n\nExample: `english-basic@>=2.0.0` where the repo's english-basic is 1.4.0.\n\nWiden the range, or bring the required expert to a version that fits.";
    deny REQUIREMENT_AMBIGUOUS = "requirement-ambiguous": "a requirement fits several versions of one expert",
        "The repo holds several versions of the required expert and the range takes more than one of them, so it is not clear which is meant.\n\nExample: `english-basic@^1.0.0` where the repo holds 1.3.0 and 1.4.0.\n\nNarrow the range until it picks one: `english-basic@=1.4.0`.";
    warn LOAD_ORDER = "load-order": "`load_order` contradicts a requirement",
        "Experts with a lower `constraints.load_order` are loaded first. Here an expert would be loaded before one that it requires, so it would find its requirement missing.\n\nExample: `sql` has `\"load_order\": 3` and requires `english-basic`, which has `\"load_order\": 7`.\n\nGive the required expert a `load_order` that is not higher, or take the requirement out.";
    error EXPERTFILE_SYNTAX = "expertfile-syntax": "Expertfile.toml cannot be read",
        "The file is not TOML. The position is that of the first character that cannot stand there.\n\nExample: `compression = zstd` lacks the quotes of a string.\n\nMend the file at that place; https://toml.io describes the format.";
    error EXPERTFILE_UNKNOWN_KEY = "expertfile-unknown-key": "a key in Expertfile.toml is unknown",
        "A key that nobody knows is most likely a slip, and to ignore it would build something else than was meant.\n\nExample: `compresion = \"zstd\"`; did you mean `compression`?\n\nCorrect it. `expert-build schema expertfile` lists every key, and editors that know `#:schema` complete them.";
    error EXPERTFILE_TYPE = "expertfile-type": "a value in Expertfile.toml has the wrong type",
        "A key wants a string, a number, a list or a table, and was given something else: `tests = \"yes\"` where `tests = true` is meant.\n\nExample: `level = \"6\"` must be `level = 6`.\n\nWrite the value in the form that the message names.";
    error EXPERTFILE_VALUE = "expertfile-value": "a value in Expertfile.toml makes no sense",
        "The value has the right type but cannot be used: a word that the key does not know, a level out of range, a path that leaves the expert's folder, an unknown `{placeholder}`, a key that is missing beside another.\n\nExample: `level = 12` with gzip, whose levels end at 9.\n\nThe message says what would be right.";
    error EXPERTFILE_VERSION = "expertfile-version": "the Expertfile is for another version of expert-build",
        "`required-version` excludes this version of expert-build, or `expertfile` names an edition of the format that this version does not know.\n\nExample: `required-version = \">=2.0\"` read by version 1.3.0.\n\nInstall a version that fits; nothing is built with a wrong one, as its bytes might differ.";
    error EXPERTFILE_MEMBER = "expertfile-member": "a member of the workspace cannot be used",
        "`[workspace] members` or the `path` of an `[[expert]]` names a folder that does not exist or holds neither a manifest nor an Expertfile.toml, or a member brings a `[workspace]` of its own.\n\nExample: `members = [\"expert/*\"]` where the folder is called `experts`.\n\nCorrect the path or the pattern; patterns follow gitignore's rules and paths are relative to the file they stand in.";
    error EXPERTFILE_DUPLICATE = "expertfile-duplicate": "an expert is described twice",
        "Two `[[expert]]` entries have the same `path`, perhaps one in the repo's Expertfile.toml and one in the member's own, so it is not clear which of them counts.\n\nExample: two `[[expert]]` with `path = \"experts/sql\"`.\n\nKeep one of the two.";
    error EXPERTFILE_PROFILE = "expertfile-profile": "a profile cannot be used",
        "`inherits` names a profile that does not exist, or profiles inherit from each other in a circle.\n\nExample: `[profile.ci]` with `inherits = \"strct\"` where the profile is called `strict`.\n\nCorrect the name, or take one `inherits` out of the chain that the message shows.";
    warn EXPERTFILE_IGNORED = "expertfile-ignored": "a part of an Expertfile.toml has no effect",
        "`[cache]` and `[profile]` count only in the Expertfile.toml of the repo's root, as they concern the whole run. A member's are used when it is built by itself.\n\nExample: `[cache] max-size = \"1GiB\"` in experts/sql/Expertfile.toml.\n\nMove them to the root if they are meant for all. `[expert.model.\"NAME\"]` counts only for a base model that the expert's manifest names; what stands in `[defaults]` may be meant for other experts.";
    error LOCKED_CONTENT_CHANGED = "locked-content-changed": "content changed, version did not",
        "`--locked` promises that a version that stands in Expertfile.lock keeps its bytes: whoever has that version already would never get the new content, and two packages of one name and version would go round.\n\nExample: README.md of expert-sql 0.3.0 was edited, and Expertfile.lock has 0.3.0 with the old one.\n\nThe message names the inputs that changed. Raise `version` in manifest.json, or run `expert-build lock` if the version was never published.";
    deny PACKAGE_OVER_BUDGET = "package-over-budget": "a package is larger than its budget",
        "`budget` in the Expertfile is the most bytes that the package may have. It keeps a forgotten checkpoint or a doubled rank from reaching every device.\n\nExample: `budget = \"80MiB\"`.\n\nLeave files out with `exclude`, compress harder, or raise the budget.";
    deny PACKAGE_GROWTH = "package-growth": "a package grew by more than it may",
        "`growth` in the Expertfile says how much larger a package may be than its latest version in Expertfile.lock. A jump in size is most often a file that came in by mistake.\n\nExample: `growth = \"25%\"`.\n\nLook at the package with `expert-build inspect`; if the growth is meant, raise `growth`, or agree to it with `expert-build lock`, which writes the new size into Expertfile.lock.";
}
