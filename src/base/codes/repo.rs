//! Codes of findings about the repo: Expertfile and requirements between experts.

super::codes! {
    error REQUIREMENT_UNMET = "requirement-unmet": "an expert requires something that the repo does not have",
        "`constraints.requires` names an expert (and perhaps a version range) that is neither in the repo nor declared in `[workspace] externals`.\n\nAdd the expert, correct the range, or declare it: `externals = { \"english-basic\" = \"1.4.0\" }`.";
    error REQUIREMENT_CYCLE = "requirement-cycle": "experts require each other in a circle",
        "Following `constraints.requires` leads back to where it began, so there is no order in which the experts could be loaded.\n\nTake one of the requirements out of the chain that the message shows.";
    error REQUIREMENT_CONFLICT = "requirement-conflict": "an expert requires what it is incompatible with",
        "An expert requires, directly or through others, an expert that one of them names in `constraints.incompatible_with`.\n\nDrop one of the two statements in the chain that the message shows.";
    error REQUIREMENT_SYNTAX = "requirement-syntax": "a requirement cannot be read",
        "A requirement is a name, or a name and a version range: `english-basic`, `english-basic@>=1.0.0`.\n\nCorrect the text.";
    error DUPLICATE_EXPERT = "duplicate-expert": "two experts have the same name, version and output",
        "Two experts would write the same package, or `requires` could mean either of them.\n\nRename one, or give one another version.";
    error EXPERTFILE_SYNTAX = "expertfile-syntax": "Expertfile.toml cannot be read",
        "The file is not TOML, or a key is unknown, or a value has the wrong type. The position is that of the key or value.\n\nSee `expert-build schema expertfile` for every key.";
}
