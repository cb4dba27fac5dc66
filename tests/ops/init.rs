//! `init` on the disk, where links lead from one expert to another.

use expert_build::ops::init::init;

use crate::space::Space;

#[test]
fn an_expert_that_links_lead_to_is_a_member_once() {
    let space = Space::new("");
    space.expert("experts/css", "css", 1, &[]);
    space.expert("experts/sql", "sql", 2, &[]);
    std::os::unix::fs::symlink("sql", space.path("experts/latest")).unwrap();
    std::os::unix::fs::symlink("..", space.path("experts/all")).unwrap();
    let written = init(&space.setup().directory, true).unwrap();
    assert_eq!(written.experts, ["experts/css", "experts/sql"]);
    assert_eq!(space.build().built, 2);
}
