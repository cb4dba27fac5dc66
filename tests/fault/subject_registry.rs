//! `push` and `pull`: a registry on loopback that has one package, or gets another under the same tag.

use std::collections::BTreeSet;
use std::path::PathBuf;

use expert_build::base::Sha256;

use crate::campaign::Campaign;
use crate::ground::{Files, Ground};
use crate::server::Server;
use crate::space::{EXPERT_BUILD, Space, files_below};
use crate::subject::{Subject, no_litter, tree, watched_space, went_well};

/// What is carried, and in which form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Push,
    PushModelPack,
    Pull,
    PullModelPack,
}

const PACKAGE: &str = "out/p.expert";
const PULLED: &str = "x/p.expert";
const SUM: &str = "x/p.expert.sha256";

/// A registry, a package that it has and the one that comes after it.
pub struct Registry {
    server: Server,
    space: Space,
    way: Way,
    arguments: &'static [&'static str],
    reference: String,
    old: Vec<u8>,
    new: Vec<u8>,
    /// What the registry keeps while it has the old package alone.
    stored: Files,
    /// The tags that it has in the end: the package's, and one for each signature.
    tags: BTreeSet<String>,
}

impl Registry {
    /// `None`, loudly, where no registry is installed.
    pub fn new(way: Way) -> Option<Self> {
        let server = Server::start()?;
        let mut ground = Ground::new("", 300_000);
        let space = watched_space();
        space.run("keygen --output key.pem").ok();
        let [old, new] = [(); 2].map(|()| {
            ground.space.run("build").ok();
            let plain = ground.space.read("experts/gamma/weights/gamma.v1.0.0.expert");
            ground.toggle();
            space.write(PACKAGE, plain);
            space.run("sign out/p.expert --key key.pem").ok();
            space.remove("out/p.expert.sha256");
            space.read(PACKAGE)
        });
        assert!(old != new);
        let reference = format!("{}/r:1", server.host());
        let is_model_pack = matches!(way, Way::PushModelPack | Way::PullModelPack);
        let form: &[&str] = if is_model_pack { &["--as", "modelpack"] } else { &[] };
        let push = [&["push"][..], form, &[reference.as_str(), PACKAGE][..]].concat();
        let pull = vec!["pull", reference.as_str(), "-o", "x", "--force"];
        let all = if matches!(way, Way::Push | Way::PushModelPack) { push.clone() } else { pull };
        // The campaign lives as long as the process.
        let leaked = |text: &&str| -> &'static str { Box::leak(text.to_string().into_boxed_str()) };
        let arguments = Vec::leak(all.iter().map(leaked).collect());
        let send = |bytes: &[u8]| {
            space.write(PACKAGE, bytes);
            space.run_as(EXPERT_BUILD, "", &push).ok();
        };
        send(&old);
        let stored = kept(&server);
        send(&new);
        drop(push);
        let tags = BTreeSet::new();
        let mut made = Self { server, space, way, arguments, reference, old, new, stored, tags };
        made.tags = made.tags();
        assert!(made.tags.len() == 3, "the tag, and a signature of each package: {:?}", made.tags);
        Some(made)
    }

    fn pushes(&self) -> bool {
        matches!(self.way, Way::Push | Way::PushModelPack)
    }

    fn storage(&self) -> PathBuf {
        self.server.folder.path().join("storage")
    }

    fn tags(&self) -> BTreeSet<String> {
        let all = self.storage().join("docker/registry/v2/repositories/r/_manifests/tags");
        std::fs::read_dir(all).unwrap().map(|tag| tag.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// What whoever pulls the tag gets now, verified.
    fn tagged(&self) -> Result<Vec<u8>, String> {
        let _ = std::fs::remove_dir_all(self.space.path("look"));
        let ran = self.space.run(&format!("pull {} -o look", self.reference));
        went_well("pulling what is there", &ran)?;
        Ok(self.space.read("look/p.expert"))
    }
}

/// What a registry keeps.
fn kept(server: &Server) -> Files {
    let storage = server.folder.path().join("storage");
    files_below(&storage).into_iter().map(|path| (path.clone(), std::fs::read(storage.join(&path)).unwrap())).collect()
}

impl Subject for Registry {
    fn name(&self) -> &'static str {
        match self.way {
            Way::Push => "push",
            Way::PushModelPack => "push --as modelpack",
            Way::Pull => "pull",
            Way::PullModelPack => "pull of a modelpack",
        }
    }

    fn arguments(&self) -> &'static [&'static str] {
        self.arguments
    }

    fn space(&self) -> &Space {
        &self.space
    }

    fn prepare(&mut self, campaign: &mut Campaign) {
        let _ = std::fs::remove_dir_all(self.space.path("x"));
        self.space.write(PACKAGE, &self.new);
        if self.pushes() {
            // The registry may still be busy with what a killed push began.
            while self.storage().exists() && std::fs::remove_dir_all(self.storage()).is_err() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            for (path, content) in &self.stored {
                let place = self.storage().join(path);
                std::fs::create_dir_all(place.parent().unwrap()).unwrap();
                std::fs::write(place, content).unwrap();
            }
        } else if campaign.below(2) == 0 {
            self.space.write(PULLED, &self.old);
            self.space.write(SUM, format!("{}  p.expert\n", Sha256::of(&self.old)));
        }
    }

    fn is_whole(&self) -> Result<(), String> {
        if self.space.read(PACKAGE) != self.new {
            return Err("the package that is pushed is not what it was".into());
        }
        if self.pushes() {
            let now = self.tagged()?;
            let known = now == self.old || now == self.new;
            return known.then_some(()).ok_or_else(|| "the tag names neither the old nor the new package".into());
        }
        if !self.space.exists("x") {
            return Ok(());
        }
        let now = tree(&self.space, "x");
        let package = now.get("p.expert");
        if package.is_some_and(|bytes| *bytes != self.old && *bytes != self.new) {
            return Err("the package is neither old nor new".into());
        }
        let is_sums = |sum: &Vec<u8>| package.is_none_or(|p| sum.starts_with(Sha256::of(p).to_string().as_bytes()));
        if !now.get("p.expert.sha256").is_none_or(is_sums) {
            return Err("the checksum beside the package is another's".into());
        }
        let known = |path: &str| path.starts_with("p.expert") || path.starts_with(".expert-build-");
        now.keys().find(|path| !known(path)).map_or(Ok(()), |path| Err(format!("`{path}` came along")))
    }

    fn is_done(&self) -> Result<(), String> {
        if self.pushes() {
            let is_new = self.tagged()? == self.new && self.tags() == self.tags;
            return is_new.then_some(()).ok_or_else(|| format!("not all of it was pushed: {:?}", self.tags()));
        }
        let wanted = Files::from([
            ("p.expert".to_owned(), self.new.clone()),
            ("p.expert.sha256".to_owned(), format!("{}  p.expert\n", Sha256::of(&self.new)).into_bytes()),
        ]);
        let now = tree(&self.space, "x");
        (now == wanted).then_some(()).ok_or_else(|| format!("not what was pulled: {:?}", now.keys()))
    }

    fn recovers(&mut self) -> Result<(), String> {
        went_well("again", &self.run())?;
        self.is_done()?;
        no_litter(&self.space)
    }
}
