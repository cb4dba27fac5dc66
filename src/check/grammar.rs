//! Rules of grammars (GBNF): they parse, every rule is defined, `root` exists, llama.cpp can run them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::base::codes::grammar::{
    GRAMMAR_DUPLICATE_RULE, GRAMMAR_LEFT_RECURSION, GRAMMAR_RANGE_REVERSED, GRAMMAR_REPETITION, GRAMMAR_ROOT,
    GRAMMAR_SYNTAX, GRAMMAR_UNDEFINED, GRAMMAR_UNDERSCORE, GRAMMAR_UNREACHABLE,
};
use crate::base::{At, Code, Diagnostic};
use crate::format::grammar::{Grammar, Item};
use crate::format::places::Places;

/// How often llama.cpp repeats something at most.
const MOST_REPETITIONS: u64 = 2000;

/// Is this file a GBNF grammar? By its name, or by the manifest's `grammar_type` where the name has another ending.
pub fn applies(path: &str, grammar_type: Option<&str>) -> bool {
    match path.rsplit_once('.') {
        Some((_, ending)) if ending.eq_ignore_ascii_case("gbnf") => true,
        _ => grammar_type.is_some_and(|kind| kind.eq_ignore_ascii_case("gbnf")),
    }
}

/// Every finding of a grammar file.
pub fn check(bytes: &[u8], file: &str) -> Vec<Diagnostic> {
    let (grammar, faults) = Grammar::read(bytes);
    let text: Arc<str> = String::from_utf8_lossy(bytes).into();
    let mut findings = Findings { places: Places::new(&text), text, file, found: Vec::new() };
    for fault in &faults {
        let at = usize::try_from(fault.at).unwrap_or(usize::MAX);
        findings.add(&GRAMMAR_SYNTAX, at..at.saturating_add(1), fault.what.clone(), "mend the grammar at this place");
    }
    // What a rule that cannot be read defines and uses is not known.
    if faults.is_empty() {
        findings.names(&grammar);
        findings.left_recursion(&grammar);
    }
    for (span, most) in grammar.repetitions.iter().filter(|(_, most)| *most > MOST_REPETITIONS) {
        let message = format!("{most} repetitions are more than llama.cpp allows, {MOST_REPETITIONS}");
        findings.add(&GRAMMAR_REPETITION, span.clone(), message, "use a smaller bound, or `*`");
    }
    for span in &grammar.reversed {
        let message = format!("the range `{}` ends before it begins and matches nothing", &findings.text[span.clone()]);
        findings.add(&GRAMMAR_RANGE_REVERSED, span.clone(), message, "swap its ends");
    }
    findings.found
}

struct Findings<'a> {
    text: Arc<str>,
    places: Places,
    file: &'a str,
    found: Vec<Diagnostic>,
}

impl Findings<'_> {
    fn add(&mut self, code: &'static Code, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        let at = self.places.at(&self.text, span);
        let finding = Diagnostic::new(code, message).in_file(self.file).at(at).help(help).source(&self.text);
        self.found.push(finding);
    }

    fn names(&mut self, grammar: &Grammar) {
        let rules = || grammar.symbols.iter().filter_map(|symbol| Some((symbol.name.as_deref()?, symbol)));
        // Each guess looks at every rule, and whoever has more slips than this has another trouble.
        let mut guesses = 20_u32;
        for (name, symbol) in rules() {
            if symbol.defined.is_empty() {
                let guess = guesses > 0;
                guesses = guesses.saturating_sub(1);
                let near = rules().filter(|(_, other)| guess && !other.defined.is_empty()).map(|(other, _)| other);
                let near = near.min_by_key(|other| strsim::damerau_levenshtein(name, other));
                let near = near.filter(|other| strsim::damerau_levenshtein(name, other) <= 1 + name.len() / 4);
                let help = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("define it: `{name} ::= …`"),
                };
                let span = symbol.used.clone().unwrap_or_default();
                self.add(&GRAMMAR_UNDEFINED, span, format!("the rule `{name}` is not defined"), help);
            }
            for again in symbol.defined.iter().skip(1) {
                let message = format!("the rule `{name}` is defined twice, and the last one counts");
                self.add(&GRAMMAR_DUPLICATE_RULE, again.clone(), message, "keep one of them, or join them by `|`");
            }
        }
        if let Some((name, symbol)) = rules().find(|(name, symbol)| name.contains('_') && !symbol.defined.is_empty()) {
            let message = format!("the name `{name}` has an underscore, which older versions of llama.cpp refuse");
            self.add(&GRAMMAR_UNDERSCORE, symbol.defined[0].clone(), message, "use `-` instead");
        }
        let Some(root) = grammar.rule("root") else {
            let help = "name the rule that the whole output must match `root`";
            let at = At::span(&self.text, 0, 0);
            let finding = Diagnostic::new(&GRAMMAR_ROOT, "the grammar defines no `root`").in_file(self.file).at(at);
            self.found.push(finding.help(help).source(&self.text));
            return;
        };
        let reached = reached(grammar, root);
        for (symbol, _) in grammar.symbols.iter().zip(reached).filter(|(_, reached)| !reached) {
            if let (Some(name), Some(span)) = (&symbol.name, symbol.defined.first()) {
                let message = format!("`root` never comes to the rule `{name}`");
                self.add(&GRAMMAR_UNREACHABLE, span.clone(), message, "use it, or take it out");
            }
        }
    }

    /// One finding for each knot of rules that can begin with themselves.
    fn left_recursion(&mut self, grammar: &Grammar) {
        let empty = can_be_empty(grammar);
        let mut graph: DiGraph<(), ()> = DiGraph::with_capacity(grammar.symbols.len(), grammar.sequences.len());
        for _ in &grammar.symbols {
            graph.add_node(());
        }
        for sequence in &grammar.sequences {
            for item in &sequence.items {
                match *item {
                    Item::Terminal => break,
                    Item::Nothing => {}
                    Item::Symbol(next) => {
                        graph.add_edge(NodeIndex::new(sequence.of), NodeIndex::new(next), ());
                        if !empty[next] {
                            break;
                        }
                    }
                }
            }
        }
        let mut knots = kosaraju_scc(&graph);
        knots.retain(|knot| knot.len() > 1 || graph.contains_edge(knot[0], knot[0]));
        for knot in &mut knots {
            knot.sort_unstable();
            // A part that repeats what can be empty begins with itself, and no rule is to blame.
            let Some(first) = knot.iter().find(|node| grammar.symbols[node.index()].name.is_some()) else { continue };
            let names: Vec<&str> = circle(&graph, knot, *first)
                .into_iter()
                .filter_map(|node| grammar.symbols[node.index()].name.as_deref())
                .collect();
            let message = format!("a rule begins with itself: `{}`", names.join("` → `"));
            let help = "llama.cpp refuses it; put something before the recursion, or write it as a repetition: `term (op term)*`";
            let span = grammar.symbols[first.index()].defined.first().cloned().unwrap_or_default();
            self.add(&GRAMMAR_LEFT_RECURSION, span, message, help);
        }
    }
}

/// The shortest way from a node of a knot back to it.
fn circle(graph: &DiGraph<(), ()>, knot: &[NodeIndex], first: NodeIndex) -> Vec<NodeIndex> {
    let mut before: BTreeMap<NodeIndex, NodeIndex> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([first]);
    while let Some(node) = queue.pop_front() {
        let mut next: Vec<_> = graph.neighbors(node).filter(|next| knot.binary_search(next).is_ok()).collect();
        next.sort_unstable();
        for next in next {
            if next == first {
                let mut way = vec![first, node];
                while let Some(last) = way.last().filter(|last| **last != first) {
                    way.push(before[last]);
                }
                way.reverse();
                return way;
            }
            before.entry(next).or_insert_with(|| {
                queue.push_back(next);
                node
            });
        }
    }
    vec![first]
}

fn reached(grammar: &Grammar, root: usize) -> Vec<bool> {
    let mut uses: Vec<Vec<usize>> = vec![Vec::new(); grammar.symbols.len()];
    for sequence in &grammar.sequences {
        let symbols = sequence.items.iter().filter_map(|item| match item {
            Item::Symbol(symbol) => Some(*symbol),
            _ => None,
        });
        uses[sequence.of].extend(symbols);
    }
    let mut reached = vec![false; grammar.symbols.len()];
    let mut next = vec![root];
    while let Some(symbol) = next.pop() {
        if !std::mem::replace(&mut reached[symbol], true) {
            next.extend(&uses[symbol]);
        }
    }
    reached
}

/// Which symbols can stand for nothing: in one pass, as each sequence counts what in it is not known to be empty.
fn can_be_empty(grammar: &Grammar) -> Vec<bool> {
    let mut waits: Vec<Vec<usize>> = vec![Vec::new(); grammar.symbols.len()];
    let mut open: Vec<usize> = Vec::with_capacity(grammar.sequences.len());
    let mut next = Vec::new();
    for (i, sequence) in grammar.sequences.iter().enumerate() {
        open.push(sequence.items.iter().filter(|item| **item != Item::Nothing).count());
        for item in &sequence.items {
            if let Item::Symbol(symbol) = item {
                waits[*symbol].push(i);
            }
        }
        if open[i] == 0 {
            next.push(sequence.of);
        }
    }
    let mut empty = vec![false; grammar.symbols.len()];
    while let Some(symbol) = next.pop() {
        if std::mem::replace(&mut empty[symbol], true) {
            continue;
        }
        for sequence in std::mem::take(&mut waits[symbol]) {
            open[sequence] -= 1;
            if open[sequence] == 0 {
                next.push(grammar.sequences[sequence].of);
            }
        }
    }
    empty
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::base::At;

    /// Code, line and column of every finding.
    fn found(text: &str) -> Vec<(&'static str, u32, u32)> {
        let found = check(text.as_bytes(), "grammar.gbnf");
        let place = |at: &At| match at {
            At::Text { line, column, .. } => (*line, *column),
            other => panic!("{other:?}"),
        };
        found.iter().map(|d| (d.code.name, place(&d.at).0, place(&d.at).1)).collect()
    }

    #[test]
    fn what_llama_cpp_reads_is_fine() {
        for text in [
            "root ::= \"a\"",
            "root ::=\r\n  \"a\" |\r\n  \"b\"\r\n",
            "# comment\n\nroot ::= ( # inside\n  \"a\"\n\n  | [^a-z\\]\\x41-\\u00e9\\U0001F600]* # more\n)+ .? # end",
            "root ::= \"a\"{3} \"b\"{1,} \"c\"{0,2000} \"d\"{ 1 , 2 }",
            "root ::= | \"a\"\n\n\n",
            "root ::= item (\",\" item)*\nitem ::= \"é\" | \"\\n\\r\\t\\\\\\\"\\[\\]\\-\" | [-a] | [a-]",
            "root ::= <think> !</think>* <[42]> !<[43]>",
            "root ::= \"[a]\" \"(\" \"#\" [\"#()]",
            "root ::= \"a\" root | \"b\"",
            "root ::= x root? \"z\"\nx ::= \"y\"",
            "root::=(a|b)\na::=\"a\"\nb::=\"\"",
            "root ::= \"a\"*+?{2}",
            "root ::= \"a\nb\" [\n]",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn each_fault_has_its_code_and_place() {
        for (text, code, line, column) in [
            ("root ::= \"a", "grammar-syntax", 1, 10),
            ("root ::= [a", "grammar-syntax", 1, 10),
            ("root ::= \"a\nb\" \"c\" )", "grammar-syntax", 1, 10),
            ("root ::= (\"a\"\n", "grammar-syntax", 1, 10),
            ("root ::= \"a\")", "grammar-syntax", 1, 13),
            ("root = \"a\"", "grammar-syntax", 1, 6),
            ("root ::= *", "grammar-syntax", 1, 10),
            ("root ::= \"\"?", "grammar-syntax", 1, 12),
            ("root ::= \"\\q\"", "grammar-syntax", 1, 11),
            ("root ::= \"\\x4\"", "grammar-syntax", 1, 11),
            ("root ::= \"a\"{2,1}", "grammar-syntax", 1, 17),
            ("root ::= \"a\"{,1}", "grammar-syntax", 1, 14),
            ("root ::= \"a\"{99999999999999999999}", "grammar-syntax", 1, 14),
            ("root ::= \"a\"{1", "grammar-syntax", 1, 15),
            ("root ::= \"a\" = b", "grammar-syntax", 1, 14),
            ("root ::= <a", "grammar-syntax", 1, 10),
            ("root ::= <[a]>", "grammar-syntax", 1, 10),
            ("root ::= !\"a\"", "grammar-syntax", 1, 11),
            ("\u{feff}root ::= \"a\"", "grammar-syntax", 1, 1),
            ("root ::= \"a\"\0", "grammar-syntax", 1, 13),
            ("root ::= é", "grammar-syntax", 1, 10),
            ("root ::= quary\nquery ::= \"a\"", "grammar-undefined-rule", 1, 10),
            ("query ::= \"a\"", "grammar-no-root", 1, 1),
            ("", "grammar-no-root", 1, 1),
            ("root ::= \"a\"\nroot ::= \"b\"", "grammar-duplicate-rule", 2, 1),
            ("root ::= \"a\"{0,2001}", "grammar-repetition", 1, 13),
            ("root ::= [a-cz-x]", "grammar-range-reversed", 1, 14),
            ("root ::= \"a\"\nx ::= \"b\"", "grammar-unreachable-rule", 2, 1),
            ("root ::= a_b\na_b ::= \"b\"", "grammar-underscore", 2, 1),
            ("root ::= root \"a\"", "grammar-left-recursion", 1, 1),
            ("root ::= a\na ::= \" \"? (b | \"x\")\nb ::= a \"y\"", "grammar-left-recursion", 2, 1),
            ("root ::= x* root\nx ::= \"\" | \"y\"", "grammar-left-recursion", 1, 1),
        ] {
            let found: Vec<_> = found(text)
                .into_iter()
                .filter(|(name, ..)| *name != "grammar-unreachable-rule" || code == *name)
                .collect();
            assert_eq!(found, [(code, line, column)], "{text}");
        }
    }

    #[test]
    fn a_circle_is_shown_and_a_typo_guessed() {
        let found = check(b"root ::= e\ne ::= sum | \"1\"\nsum ::= e \"+\" e", "g");
        assert_eq!(found[0].message, "a rule begins with itself: `e` → `sum` → `e`");
        let found = check(b"root ::= quary\nquery ::= \"a\"", "g");
        assert_eq!(found[0].help.as_deref(), Some("did you mean `query`?"));
    }

    #[test]
    fn faults_of_several_rules_are_told_together() {
        let text = "root ::= a b\na ::= \"x\nb ::= [y\n\nc ::= (\"z\"))\nd ::= \"fine\"";
        assert_eq!(found(text).iter().map(|f| f.1).collect::<Vec<_>>(), [2, 3, 5]);
    }

    #[test]
    fn hostile_grammars_end_soon() {
        let deep = format!("root ::= {}", "(".repeat(300_000));
        assert_eq!(found(&deep).len(), 1);
        assert_eq!(found(&"a".repeat(1 << 20)).len(), 1);
        assert_eq!(found(&format!("root ::= a{}", "?".repeat(300_000))).len(), 1);
        let mut chain = String::from("root ::= a0\n");
        for i in 0..20_000 {
            chain.push_str(&format!("a{i} ::= a{}\n", i + 1));
        }
        assert_eq!(found(&chain).len(), 1);
        chain.push_str("a20000 ::= root");
        assert_eq!(found(&chain).iter().map(|f| f.0).collect::<Vec<_>>(), ["grammar-left-recursion"]);
        let many = format!("root ::= {}", "x? ".repeat(150_000));
        assert_eq!(found(&many).len(), 1);
    }
}
