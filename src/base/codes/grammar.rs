//! Codes of findings in grammar.

super::codes! {}
