//! `Names`: the paths seen so far, and which further ones would be read differently by different systems.

use std::collections::BTreeMap;

use crate::base::RelPath;

enum What {
    File(RelPath),
    Folder,
}

/// Paths in lower case, so that two that differ by case alone meet.
pub struct Names {
    seen: BTreeMap<String, What>,
    bytes: u64,
    max: u64,
}

impl Names {
    /// None yet; at most `max` bytes of them.
    pub fn new(max: u64) -> Self {
        Self { seen: BTreeMap::new(), bytes: 0, max }
    }

    /// Takes in a file's path. The error is a phrase.
    pub fn file(&mut self, path: &RelPath) -> Result<(), String> {
        let key = self.key(path)?;
        match self.seen.get(&key) {
            Some(What::File(other)) if other == path => return Err(format!("the path `{path}` stands twice")),
            Some(What::File(other)) => return Err(format!("the paths `{other}` and `{path}` differ by case alone")),
            Some(What::Folder) => return Err(format!("`{path}` is both a folder and a file")),
            None => {}
        }
        let below = format!("{key}/");
        if self.seen.range(below.clone()..).next().is_some_and(|(other, _)| other.starts_with(&below)) {
            return Err(format!("`{path}` is both a folder and a file"));
        }
        self.above(&key)?;
        self.seen.insert(key, What::File(path.clone()));
        Ok(())
    }

    /// Takes in a folder's path, which may come again.
    pub fn folder(&mut self, path: RelPath) -> Result<(), String> {
        let key = self.key(&path)?;
        if let Some(What::File(_)) = self.seen.get(&key) {
            return Err(format!("`{path}` is both a folder and a file"));
        }
        self.above(&key)?;
        self.seen.insert(key, What::Folder);
        Ok(())
    }

    /// No file may stand where this path needs a folder.
    fn above(&self, key: &str) -> Result<(), String> {
        for (at, _) in key.match_indices('/') {
            if let Some(What::File(other)) = self.seen.get(&key[..at]) {
                return Err(format!("`{other}` is both a folder and a file"));
            }
        }
        Ok(())
    }

    fn key(&mut self, path: &RelPath) -> Result<String, String> {
        self.bytes += path.as_str().len() as u64;
        if self.bytes > self.max {
            return Err(format!("the paths have more than {} bytes together", self.max));
        }
        Ok(path.as_str().to_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::Names;
    use crate::base::RelPath;

    #[test]
    fn paths_that_systems_would_read_differently_are_refused() {
        for (paths, fault) in [
            (&["a", "b", "a.b", "a-b", "ab/c"][..], None),
            (&["d/", "d/", "d/a", "D/b"], None),
            (&["a", "a"], Some("stands twice")),
            (&["README.md", "readme.md"], Some("case alone")),
            (&["Ä", "ä"], Some("case alone")),
            (&["a", "a/b"], Some("both a folder and a file")),
            (&["a/b/c", "A"], Some("both a folder and a file")),
            (&["a/b", "a/b/c/d"], Some("both a folder and a file")),
            (&["a", "a/"], Some("both a folder and a file")),
            (&["a/", "a"], Some("both a folder and a file")),
            (&["a", "a/b/"], Some("both a folder and a file")),
            (&["0123456789", "0123456789a"], Some("together")),
        ] {
            let mut names = Names::new(20);
            let found = paths.iter().try_for_each(|path| match path.strip_suffix('/') {
                Some(folder) => names.folder(RelPath::new(folder).unwrap()),
                None => names.file(&RelPath::new(*path).unwrap()),
            });
            match fault {
                None => assert_eq!(found, Ok(()), "{paths:?}"),
                Some(phrase) => assert!(found.as_ref().unwrap_err().contains(phrase), "{paths:?}: {found:?}"),
            }
        }
    }
}
