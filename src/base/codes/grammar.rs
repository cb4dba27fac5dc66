//! Codes of findings in grammar.

super::codes! {
    error GRAMMAR_SYNTAX = "grammar-syntax": "the grammar does not parse",
        "The grammar is not GBNF, the format of llama.cpp: a bracket or quote is not closed, an escape does not exist, a rule has no `::=`. A rule ends with its line, except inside parentheses and after `|` and `::=`. A runtime that cannot read the grammar fails when the expert is loaded.\n\nExample: `root ::= \"a` lacks the closing quote.\n\nMend the grammar at that place; `grammars/README.md` of llama.cpp describes the format.";
    error GRAMMAR_UNDEFINED = "grammar-undefined-rule": "the grammar uses a rule that it does not define",
        "Every name on the right of `::=` must be defined somewhere in the same file. llama.cpp refuses a grammar where one is not.\n\nExample: `root ::= quary` where only `query` is defined.\n\nCorrect the name or define the rule.";
    error GRAMMAR_ROOT = "grammar-no-root": "the grammar defines no `root`",
        "Generation begins with the rule `root`: it is what the whole output must match.\n\nExample: `start ::= \"a\"` and no rule `root`.\n\nAdd `root ::= …` that uses your topmost rule.";
    warn GRAMMAR_LEFT_RECURSION = "grammar-left-recursion": "a rule of the grammar begins with itself",
        "A rule that can begin with itself, directly or through others, never gets anywhere for a parser that reads from the left: `expr ::= expr \"+\" term`. llama.cpp refuses such grammars; other runtimes may accept them.\n\nExample: `expr ::= expr \"+\" term | term`.\n\nWrite the recursion as a repetition: `expr ::= term (\"+\" term)*`.";
    warn GRAMMAR_DUPLICATE_RULE = "grammar-duplicate-rule": "a rule of the grammar is defined twice",
        "llama.cpp takes the last definition and says nothing, so the first one is dead.\n\nExample: `digit ::= [0-9]` in line 3 and `digit ::= [1-9]` in line 9.\n\nKeep one, or join the two by `|`.";
    warn GRAMMAR_REPETITION = "grammar-repetition": "the grammar repeats something more often than llama.cpp allows",
        "A bound such as `{0,5000}` becomes as many rules. llama.cpp refuses more than 2,000.\n\nExample: `root ::= [a-z]{0,5000}`.\n\nUse a smaller bound, or `*`.";
    warn GRAMMAR_RANGE_REVERSED = "grammar-range-reversed": "a character range of the grammar ends before it begins",
        "`[z-a]` matches no character at all. Nobody writes that on purpose.\n\nExample: `letter ::= [z-a]`.\n\nSwap the ends: `[a-z]`. For a hyphen itself put it last: `[a-z-]`.";
    note GRAMMAR_UNREACHABLE = "grammar-unreachable-rule": "a rule of the grammar is never used",
        "No way leads from `root` to this rule, so it changes nothing. It may be left over, or its use was forgotten.\n\nExample: `root ::= query` and a rule `comment` that no other rule uses.";
    note GRAMMAR_UNDERSCORE = "grammar-underscore": "a rule's name has an underscore",
        "Underscores in names came late to llama.cpp; older versions stop at them. A hyphen is understood by all.\n\nExample: `select_list ::= …`, which is understood everywhere as `select-list`.";
}
