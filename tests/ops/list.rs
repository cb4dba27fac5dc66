//! The list, the matrix and the graphs of a small repo.

use expert_build::ops::graph::{self, Format, Kind};
use expert_build::ops::list::{Matrix, State, list};

use crate::space::Space;

fn three() -> Space {
    let space = Space::new(
        "[workspace]\nmembers = [\"experts/*\"]\nexternals = { english = \"1.2.0\" }\n[[expert]]\npath = \"experts/b\"\ntags = [\"db\"]\n",
    );
    space.expert("experts/a", "alpha", 1, &["english@>=1.0.0"]);
    space.expert("experts/b", "beta", 2, &["alpha"]);
    space.expert("experts/c", "gamma", 3, &["alpha", "beta"]);
    space
}

#[test]
fn a_list_before_and_after_builds() {
    let space = three();
    let all = [0, 1, 2];
    let listed = list(&space.open(), &all, 2).unwrap();
    assert!(listed.iter().all(|e| e.state == State::New && e.packages.is_empty()));
    assert_eq!((listed[1].name.as_str(), &listed[1].tags[..]), ("beta", &["db".to_owned()][..]));
    space.build();
    space.write("experts/b/README.md", b"# changed\n");
    let listed = list(&space.open(), &all, 2).unwrap();
    assert_eq!(listed.iter().map(|e| e.state).collect::<Vec<_>>(), [State::Fresh, State::Stale, State::Fresh]);
    let package = &listed[0].packages[0];
    assert_eq!(package.path, "experts/a/weights/alpha.v1.0.0.expert");
    assert_eq!(package.bytes, Some(space.read(&package.path).len() as u64));
    let matrix = Matrix::of(&listed);
    let cells = matrix.cells();
    assert_eq!(cells[1][..5], ["beta", "1.0.0", "tiny-qwen3", "stale", "no"]);
    std::fs::remove_file(space.path(&package.path)).unwrap();
    let listed = list(&space.open(), &[0], 2).unwrap();
    assert_eq!((listed[0].packages[0].bytes, Matrix::of(&listed).rows[0].signed), (None, None));
    assert!(serde_json::to_string(&matrix).unwrap().contains("\"model\":\"tiny-qwen3\""));
}

#[test]
fn requirements_and_tasks_as_graphs() {
    let space = three();
    let workspace = space.open();
    let graph = graph::requirements(&workspace, &[0, 1, 2], 2);
    insta::assert_snapshot!(graph.write(Format::Text).unwrap(), @r"
    gamma 1.0.0
    ├── alpha 1.0.0
    │   └── english 1.2.0 (external)
    └── beta 1.0.0
        └── alpha 1.0.0 (*)
    ");
    assert_eq!((graph.nodes[3].kind, &graph.edges[..]), (Kind::External, &[(0, 3), (1, 0), (2, 0), (2, 1)][..]));
    assert_eq!(graph::requirements(&workspace, &[2, 1], 2).edges, [(0, 1)]);
    let tasks = graph::tasks(&workspace, &[0, 1], 2).unwrap();
    let at = |name: &str, expert: &str| {
        tasks
            .nodes
            .iter()
            .position(|n| n.name == name && n.detail == expert)
            .unwrap_or_else(|| panic!("{name} {expert}"))
    };
    assert!(tasks.edges.contains(&(at("archive tiny-qwen3", "alpha"), at("archive tiny-qwen3", "beta"))));
    assert!(tasks.edges.contains(&(at("hash README.md", "beta"), at("validate headers", "beta"))));
    let json: serde_json::Value = serde_json::from_str(&tasks.write(Format::Json).unwrap()).unwrap();
    assert_eq!(json["nodes"].as_array().unwrap().len(), tasks.nodes.len());
}
