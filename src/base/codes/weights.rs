//! Codes of findings in weights.

super::codes! {}
