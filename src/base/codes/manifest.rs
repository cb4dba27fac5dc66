//! Codes of findings in manifest.

super::codes! {}
