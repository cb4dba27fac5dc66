//! Times, counts and paths as people write them.

use std::path::{Component, Path, PathBuf};

/// `0.12 s`, `3 min 5 s`.
pub fn duration(millis: u64) -> String {
    match millis {
        0..10_000 => format!("{:.2} s", millis as f64 / 1000.0),
        10_000..60_000 => format!("{:.1} s", millis as f64 / 1000.0),
        60_000..3_600_000 => format!("{} min {} s", millis / 60_000, millis / 1000 % 60),
        _ => format!("{} h {} min", millis / 3_600_000, millis / 60_000 % 60),
    }
}

/// `1 file`, `2 files`.
pub fn count(number: impl Into<u64>, one: &str) -> String {
    let number = number.into();
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// A path as one would type it in the folder `here`. What shares nothing with it stays absolute.
pub fn relative(path: &Path, here: &Path) -> PathBuf {
    if !path.is_absolute() {
        return path.to_path_buf();
    }
    let shared = path.components().zip(here.components()).take_while(|(a, b)| a == b).count();
    let up = here.components().count() - shared;
    // The root alone is nothing to share.
    if shared < 2 || up > 3 {
        return path.to_path_buf();
    }
    let below = path.components().skip(shared);
    let relative: PathBuf = std::iter::repeat_n(Component::ParentDir, up).chain(below).collect();
    if relative.as_os_str().is_empty() { PathBuf::from(".") } else { relative }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{count, duration, relative};

    #[test]
    fn numbers() {
        let times = [0, 123, 9_999, 12_345, 185_000, 7_260_000].map(duration);
        assert_eq!(times, ["0.00 s", "0.12 s", "10.00 s", "12.3 s", "3 min 5 s", "2 h 1 min"]);
        assert_eq!([count(0_u64, "file"), count(1_u64, "file")], ["0 files", "1 file"]);
    }

    #[test]
    fn paths_are_as_one_would_type_them() {
        for (path, here, expected) in [
            ("/repo/a/x", "/repo", "a/x"),
            ("/repo/a/x", "/repo/b", "../a/x"),
            ("/repo", "/repo", "."),
            ("/etc/x", "/repo", "/etc/x"),
            ("/repo/x", "/repo/a/b/c/d", "/repo/x"),
            ("a/x", "/repo", "a/x"),
        ] {
            assert_eq!(relative(Path::new(path), Path::new(here)), Path::new(expected), "{path} in {here}");
        }
    }
}
