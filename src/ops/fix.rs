//! `check --fix`: the safe edits that findings carry, applied to the files they were found in.
//!
//! Only the bytes that an edit names change: the rest of the file keeps its formatting, byte for byte. A file that is no
//! longer what it was when the findings were made is left alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::{Diagnostic, Error, Result};
use crate::store::{Output, fs, output};

/// A file that was mended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fixed {
    /// The file.
    pub file: PathBuf,
    /// The codes of the findings that were mended, in the order of their places.
    pub codes: Vec<&'static str>,
}

/// Applies the edits of these findings below the repo's root.
pub fn fix(root: &Path, found: &[Diagnostic]) -> Result<Vec<Fixed>> {
    let mut files: BTreeMap<PathBuf, Vec<&Diagnostic>> = BTreeMap::new();
    for finding in found.iter().filter(|finding| finding.edit.is_some()) {
        let Some(file) = &finding.file else { continue };
        let folder = finding.folder.as_deref().map_or_else(|| root.to_path_buf(), |folder| root.join(folder));
        files.entry(folder.join(file)).or_default().push(finding);
    }
    let mut fixed = Vec::new();
    for (file, findings) in files {
        fixed.extend(mend(file, findings)?);
    }
    Ok(fixed)
}

fn mend(file: PathBuf, mut findings: Vec<&Diagnostic>) -> Result<Option<Fixed>> {
    let Some((bytes, _)) = fs::read(&file, 64 << 20)? else { return Ok(None) };
    let Ok(text) = String::from_utf8(bytes) else { return Ok(None) };
    findings.retain(|finding| finding.source.as_deref().is_none_or(|source| source == text));
    findings.sort_by_key(|finding| finding.edit.as_ref().map(|edit| (edit.start, edit.end)));
    let mut mended = String::with_capacity(text.len() + 256);
    let (mut at, mut codes) = (0, Vec::new());
    for finding in findings {
        let Some(edit) = &finding.edit else { continue };
        let (start, end) = (edit.start as usize, edit.end as usize);
        // Two edits of one place cannot both be right; the other is found again next time.
        let Some(before) = text.get(at..start).filter(|_| end >= start && text.is_char_boundary(end)) else { continue };
        mended.push_str(before);
        mended.push_str(&edit.text);
        at = end;
        codes.push(finding.code.name);
    }
    if codes.is_empty() {
        return Ok(None);
    }
    mended.push_str(&text[at..]);
    output::tidy_beside(&file);
    let mut output = Output::create(&file)?;
    output.write(mended.as_bytes())?;
    output.keep_mode().map_err(|e| Error::io("set the mode of", &file, e))?;
    output.commit()?;
    Ok(Some(Fixed { file, codes }))
}

#[cfg(test)]
mod tests {
    use super::{Fixed, fix};
    use crate::base::Diagnostic;
    use crate::base::codes::manifest::HASH_UNFILLED;

    #[test]
    fn only_the_named_bytes_change_and_overlaps_wait() {
        let dir = tempfile::tempdir().expect("dir");
        std::fs::create_dir(dir.path().join("e")).expect("folder");
        let file = dir.path().join("e/manifest.json");
        std::fs::write(&file, "{ \"a\":  1,\t\"b\": 2 }").expect("write");
        let finding = |start, end, text: &str| {
            let mut found = Diagnostic::new(&HASH_UNFILLED, "x").in_file("manifest.json").edit(start, end, text);
            found.folder = Some("e".into());
            found
        };
        let found = [finding(16, 17, "22"), finding(8, 9, "11"), finding(7, 9, "no"), finding(17, 17, ", \"c\": 3")];
        let fixed = fix(dir.path(), &found).expect("fixed");
        let text = std::fs::read_to_string(&file).expect("read");
        assert_eq!(text, "{ \"a\": no,\t\"b\": 22, \"c\": 3 }");
        assert_eq!(fixed, [Fixed { file, codes: vec!["hash-unfilled"; 3] }]);
    }

    #[test]
    fn a_file_that_changed_is_left_alone() {
        let dir = tempfile::tempdir().expect("dir");
        std::fs::write(dir.path().join("manifest.json"), "{}").expect("write");
        let found = Diagnostic::new(&HASH_UNFILLED, "x").in_file("manifest.json").edit(0, 1, "[");
        let found = found.source(&std::sync::Arc::from("{ }"));
        assert!(fix(dir.path(), &[found]).expect("nothing").is_empty());
    }
}
