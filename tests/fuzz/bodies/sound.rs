//! Findings that can be shown: every place lies in its text, every edit too, every message is one tame line.

use expert_build::base::{At, Diagnostic};

/// Looks at findings about texts that the caller gave.
pub fn sound(found: &[Diagnostic]) {
    for found in found {
        let tame = !found.message.is_empty() && !found.message.contains(|c: char| c.is_control());
        assert!(tame, "{found:?}");
        let Some(source) = &found.source else { continue };
        if let At::Text { line, column, start, end, .. } = &found.at {
            assert!(*line > 0 && *column > 0, "{found:?}");
            assert!(source.get(*start as usize..(*end as usize).min(source.len())).is_some(), "{found:?}");
        }
        if let Some(edit) = &found.edit {
            assert!(source.get(edit.start as usize..edit.end as usize).is_some(), "{found:?}");
        }
    }
}
