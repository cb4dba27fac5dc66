//! Which experts selectors name: from the index, from manifests, from where the user stands.

use expert_build::ops::experts::{Experts, select};
use expert_build::store::Index;

use crate::space::Space;

const FILE: &str = "[workspace]\nmembers = [\"experts/*\"]\n[[expert]]\npath = \"experts/b\"\ntags = [\"db\"]\n";

fn three() -> Space {
    let space = Space::new(FILE);
    space.expert("experts/a", "alpha", 1, &[]);
    space.expert("experts/b", "beta", 2, &["alpha@>=1.0.0"]);
    space.expert("experts/c", "gamma", 3, &["beta"]);
    space
}

#[test]
fn by_name_tag_path_and_requirement_before_and_after_a_build() {
    let space = three();
    for built in [false, true] {
        if built {
            space.build();
        }
        for (below, selectors, expected) in [
            ("", vec!["alpha"], vec![0]),
            ("", vec!["*a"], vec![0, 1, 2]),
            ("", vec!["tag:db"], vec![1]),
            ("", vec!["model:tiny-*"], vec![0, 1, 2]),
            ("", vec!["+beta"], vec![0, 1]),
            ("", vec!["beta+"], vec![1, 2]),
            ("", vec!["experts/c", "alpha"], vec![0, 2]),
            ("", vec![], vec![0, 1, 2]),
            ("experts/b", vec![], vec![1]),
            ("experts/b", vec!["."], vec![1]),
            ("experts/b", vec!["../c"], vec![2]),
            ("experts/b", vec!["../c", "experts/a"], vec![0, 2]),
            ("experts", vec!["./a"], vec![0]),
        ] {
            let selectors: Vec<String> = selectors.into_iter().map(str::to_owned).collect();
            let found = select(&space.open_at(below), &selectors, 2).unwrap();
            assert_eq!(found, expected, "{selectors:?} in `{below}`, built: {built}");
        }
        let absolute = std::fs::canonicalize(space.path("experts/c")).unwrap().display().to_string();
        assert_eq!(select(&space.open(), &[absolute], 2).unwrap(), [2]);
        assert!(select(&space.open(), &["delta".into()], 2).is_err());
    }
}

#[test]
fn what_the_index_knows_is_not_read_again() {
    let space = three();
    space.build();
    let workspace = space.open();
    let index = Index::load(&workspace.index);
    // The same size, times and place: only a reader of the content could tell.
    let path = space.path("experts/a/manifest.json");
    let names = |index: &Index| -> Vec<String> {
        Experts::of(&workspace, index, 2).summaries.into_iter().map(|s| s.name).collect()
    };
    assert_eq!(names(&index), ["alpha", "beta", "gamma"]);
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let stale = names(&index);
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    // A change of mode changes the file's ctime, so it is read again; root may read anything.
    assert!(stale[0] == "alpha" || stale[0].is_empty());
    space.manifest("experts/a", "omega", "1.0.0", &[]);
    assert_eq!(names(&index), ["omega", "beta", "gamma"]);
    assert_eq!(Experts::of(&workspace, &Index::default(), 2).edges(&workspace), [(2, 1)]);
}
