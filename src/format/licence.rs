//! `Licence`: an SPDX licence expression, and which licence a text is.
//!
//! Expressions: `MIT`, `Apache-2.0 OR MIT`, `GPL-3.0-only WITH GCC-exception-3.1`, `LicenseRef-mine` (SPDX 2.3, annex
//! D). Ids are compared without regard to case, as the standard asks; the canonical spelling is kept beside. Texts are
//! told by phrases that stand in one family of licences and no other; most licences are not told at all.

use std::ops::Range;

use spdx::identifiers::{EXCEPTIONS, LICENSES};
use spdx::{Expression, ParseMode};

use crate::base::Malformed;

/// Longest expression that is read.
const MAX_BYTES: usize = 1000;

/// How much of a licence's text is looked at: the longest known ones have 36 KiB.
pub const MAX_TEXT: usize = 64 << 10;

/// A licence expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Licence {
    /// The expression with ids and operators as SPDX spells them; otherwise as written.
    pub canonical: String,
    /// The ids in it, as SPDX spells them.
    pub ids: Vec<&'static str>,
}

/// Licences whose texts can be told apart from others'.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// What people call it.
    pub name: &'static str,
    /// How its ids begin.
    ids: &'static [&'static str],
    /// Phrases of which any one tells it.
    marks: &'static [&'static str],
}

static FAMILIES: &[Family] = &[
    Family {
        name: "MIT",
        ids: &["MIT", "X11", "NCSA", "JSON"],
        marks: &["permission is hereby granted, free of charge, to any person obtaining a copy"],
    },
    Family {
        name: "Apache-2.0",
        ids: &["Apache-2.0"],
        marks: &["apache license version 2.0, january 2004", "licensed under the apache license, version 2.0"],
    },
    Family { name: "BSD", ids: &["BSD-"], marks: &["redistribution and use in source and binary forms"] },
    Family {
        name: "ISC",
        ids: &["ISC", "0BSD"],
        marks: &["permission to use, copy, modify, and/or distribute this software for any purpose"],
    },
    Family { name: "GPL-2.0", ids: &["GPL-2.0"], marks: &["gnu general public license version 2, june 1991"] },
    Family { name: "GPL-3.0", ids: &["GPL-3.0"], marks: &["gnu general public license version 3, 29 june 2007"] },
    Family {
        name: "LGPL-2.1",
        ids: &["LGPL-2.1"],
        marks: &["gnu lesser general public license version 2.1, february 1999"],
    },
    Family {
        name: "LGPL-3.0",
        ids: &["LGPL-3.0"],
        marks: &["gnu lesser general public license version 3, 29 june 2007"],
    },
    Family {
        name: "AGPL-3.0",
        ids: &["AGPL-3.0"],
        marks: &["gnu affero general public license version 3, 19 november 2007"],
    },
    Family { name: "MPL-2.0", ids: &["MPL-2.0"], marks: &["mozilla public license version 2.0"] },
    Family { name: "CC0-1.0", ids: &["CC0-1.0"], marks: &["cc0 1.0 universal"] },
    Family { name: "CC-BY-4.0", ids: &["CC-BY-4.0"], marks: &["creative commons attribution 4.0 international"] },
    Family {
        name: "CC-BY-SA-4.0",
        ids: &["CC-BY-SA-4.0"],
        marks: &["creative commons attribution-sharealike 4.0 international"],
    },
    Family {
        name: "CC-BY-NC-4.0",
        ids: &["CC-BY-NC-4.0"],
        marks: &["creative commons attribution-noncommercial 4.0 international"],
    },
    Family {
        name: "CC-BY-NC-SA-4.0",
        ids: &["CC-BY-NC-SA-4.0"],
        marks: &["creative commons attribution-noncommercial-sharealike 4.0 international"],
    },
    Family {
        name: "CC-BY-ND-4.0",
        ids: &["CC-BY-ND-4.0"],
        marks: &["creative commons attribution-noderivatives 4.0 international"],
    },
    Family {
        name: "CC-BY-NC-ND-4.0",
        ids: &["CC-BY-NC-ND-4.0"],
        marks: &["creative commons attribution-noncommercial-noderivatives 4.0 international"],
    },
    Family {
        name: "Unlicense",
        ids: &["Unlicense"],
        marks: &["this is free and unencumbered software released into the public domain"],
    },
    Family { name: "BSL-1.0", ids: &["BSL-1.0"], marks: &["boost software license - version 1.0"] },
    Family { name: "EPL-2.0", ids: &["EPL-2.0"], marks: &["eclipse public license - v 2.0"] },
];

impl Licence {
    /// Reads an expression.
    pub fn read(text: &str) -> Result<Self, Malformed> {
        if text.len() > MAX_BYTES {
            return Err(Malformed::new(0, "the licence expression is too long"));
        }
        let mut canonical = String::with_capacity(text.len());
        let mut ids = Vec::new();
        let mut last = 0;
        for word in words(text) {
            canonical.push_str(&text[last..word.start]);
            last = word.end;
            let word = &text[word];
            let (base, plus) = word.strip_suffix('+').map_or((word, ""), |base| (base, "+"));
            let licence = LICENSES.iter().map(|licence| licence.name).find(|name| name.eq_ignore_ascii_case(base));
            let exception = || EXCEPTIONS.iter().map(|item| item.name).find(|name| name.eq_ignore_ascii_case(word));
            match ["AND", "OR", "WITH"].into_iter().find(|operator| operator.eq_ignore_ascii_case(word)) {
                Some(operator) => canonical.push_str(operator),
                None => {
                    ids.extend(licence);
                    canonical.push_str(licence.or_else(exception).unwrap_or(base));
                    canonical.push_str(plus);
                }
            }
        }
        canonical.push_str(&text[last..]);
        let mode = ParseMode { allow_deprecated: true, allow_postfix_plus_on_gpl: true, ..ParseMode::STRICT };
        match Expression::parse_mode(&canonical, mode) {
            Ok(_) => Ok(Self { canonical, ids }),
            Err(fault) => Err(Malformed::new(fault.span.start as u64, fault.reason.to_string())),
        }
    }

    /// The families of its ids; `None` where one is of no family.
    pub fn families(&self) -> Option<Vec<&'static Family>> {
        let family = |id: &&str| FAMILIES.iter().find(|family| family.ids.iter().any(|start| id.starts_with(start)));
        let other = words(&self.canonical).any(|word| self.canonical[word].contains("Ref-"));
        if other { None } else { self.ids.iter().map(family).collect() }
    }

    /// The id that is spelled most like a text that is none.
    pub fn nearest(text: &str) -> Option<&'static str> {
        let text: String = text.chars().take(60).map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect();
        let most = 1 + text.len() / 6;
        let names = LICENSES.iter().map(|licence| licence.name).filter(|name| name.len().abs_diff(text.len()) <= most);
        let near = names.map(|name| (strsim::damerau_levenshtein(&text, &name.to_ascii_lowercase()), name)).min()?;
        (near.0 <= most).then_some(near.1)
    }
}

/// The words of an expression: whatever stands between spaces and parentheses.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut start = None;
    text.char_indices().chain([(text.len(), ' ')]).filter_map(move |(at, c)| {
        let part = c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | ':');
        match (part, start) {
            (true, None) => {
                start = Some(at);
                None
            }
            (false, Some(from)) => {
                start = None;
                Some(from..at)
            }
            _ => None,
        }
    })
}

/// The licences that a text is, or tells of. Most texts that are none of the common licences give nothing.
pub fn recognise(text: &str) -> Vec<&'static Family> {
    let mut plain = String::with_capacity(text.len().min(MAX_TEXT));
    for word in text.split_whitespace() {
        // Marks of comments, headings and quotes say nothing.
        let word = word.trim_matches(['#', '*', '=', '_', '"', '“', '”', '(', ')', '>', '/']);
        if !word.is_empty() && !word.bytes().all(|byte| byte == b'-') || word == "-" {
            plain.push_str(&word.to_lowercase());
            plain.push(' ');
        }
        if plain.len() >= MAX_TEXT {
            break;
        }
    }
    let told = |family: &&Family| family.marks.iter().any(|phrase| plain.contains(phrase));
    FAMILIES.iter().filter(told).collect()
}
