//! `lock` and `build --locked` as users type them.

use crate::expert::Expert;
use crate::space::Space;

#[test]
fn a_locked_version_keeps_its_bytes() {
    let space = Space::with(&[Expert::lora("expert-sql"), Expert::lora("expert-css")]);
    space.run("build --locked").exits(2).says("there is none");
    space.run("lock").ok().says("Expertfile.lock holds 2 packages, 2 of them new or changed");
    let lock = space.read("Expertfile.lock");
    space.run("build --locked").ok();
    space.run("lock").ok().says("0 of them new or changed");
    assert_eq!(space.read("Expertfile.lock"), lock);
    let before = space.packages();
    space.write("experts/expert-sql/README.md", "# other\n");
    let refused = space.run("build --locked").exits(1).says("error[locked-content-changed]");
    refused.says("`README.md`");
    assert_eq!(space.packages(), before, "nothing was overwritten");
    space.run("lock expert-sql").ok().says("1 of them new or changed");
    space.run("build --locked").ok();
}
