//! The verbs that write single files beside or below others: `sign`, `extract`, `keygen`, `package`, `check --fix`,
//! `init`; and those that only read.

use std::os::unix::fs::PermissionsExt as _;

use expert_build::base::Sha256;
use expert_build::format::signature::{PrivateKey, PublicKey};

use crate::campaign::Campaign;
use crate::expert::Expert;
use crate::ground::{Files, Ground, noise};
use crate::space::Space;
use crate::subject::{Subject, no_litter, tree, watched_space, went_well};

const PACKAGE: &str = "out/p.expert";
const SUM: &str = "out/p.expert.sha256";

/// What is done to a package.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Sign,
    /// Into a folder that is not there.
    Extract,
    /// Into a folder that holds some of the files.
    ExtractInto,
}

/// `sign`, `extract`: a package, its signed form, and what is in it.
pub struct Package {
    space: Space,
    act: Act,
    plain: Vec<u8>,
    signed: Vec<u8>,
    content: Files,
}

impl Package {
    pub fn new(act: Act) -> Self {
        let ground = Ground::new("", 300_000);
        ground.space.run("build").ok();
        let plain = ground.space.read("experts/gamma/weights/gamma.v1.0.0.expert");
        let space = watched_space();
        space.run("keygen --output key.pem").ok();
        space.write(PACKAGE, &plain);
        space.run("sign out/p.expert --key key.pem").ok();
        let signed = space.read(PACKAGE);
        space.run("extract out/p.expert --output clean").ok();
        let content = tree(&space, "clean");
        assert!(plain != signed && content.len() > 3);
        Self { space, act, plain, signed, content }
    }

    /// The package is the old one or the new one, and a checksum beside it is its own.
    fn package(&self) -> Result<Vec<u8>, String> {
        let now = self.space.read(PACKAGE);
        if now != self.plain && now != self.signed {
            return Err("the package is neither old nor new".into());
        }
        if self.space.exists(SUM) && !self.space.read(SUM).starts_with(Sha256::of(&now).to_string().as_bytes()) {
            return Err("the checksum beside the package is another's".into());
        }
        Ok(now)
    }
}

impl Subject for Package {
    fn name(&self) -> &'static str {
        match self.act {
            Act::Sign => "sign",
            Act::Extract => "extract",
            Act::ExtractInto => "extract --force",
        }
    }

    fn arguments(&self) -> &'static [&'static str] {
        match self.act {
            Act::Sign => &["sign", PACKAGE, "--key", "key.pem"],
            Act::Extract => &["extract", PACKAGE, "--output", "x"],
            Act::ExtractInto => &["extract", PACKAGE, "--output", "x", "--force"],
        }
    }

    fn space(&self) -> &Space {
        &self.space
    }

    fn prepare(&mut self, _: &mut Campaign) {
        let _ = std::fs::remove_dir_all(self.space.path("x"));
        let package = if self.act == Act::Sign { &self.plain } else { &self.signed };
        self.space.write(PACKAGE, package);
        self.space.write(SUM, format!("{}  p.expert\n", Sha256::of(package)));
        if self.act == Act::ExtractInto {
            self.space.write("x/README.md", "old");
            self.space.write("x/manifest.json", "old");
        }
    }

    fn is_whole(&self) -> Result<(), String> {
        self.package()?;
        if !self.space.exists("x") {
            return Ok(());
        }
        let mut now = tree(&self.space, "x");
        now.retain(|path, _| !path.contains(".expert-build-tmp"));
        let torn = now.iter().find(|(path, bytes)| self.content.get(*path) != Some(bytes) && **bytes != b"old");
        match torn {
            Some((path, _)) => Err(format!("`{path}` is neither old nor new")),
            None if self.act == Act::Extract && now != self.content => Err("the new folder is not whole".into()),
            None => Ok(()),
        }
    }

    fn is_done(&self) -> Result<(), String> {
        let now = self.package()?;
        match self.act {
            Act::Sign if now != self.signed || !self.space.exists(SUM) => Err("it is not signed".into()),
            Act::Extract | Act::ExtractInto if tree(&self.space, "x") != self.content => Err("files differ".into()),
            _ => Ok(()),
        }
    }

    fn recovers(&mut self) -> Result<(), String> {
        let again = match self.act {
            Act::Extract | Act::ExtractInto => self.space.run("extract out/p.expert --output x --force"),
            _ => self.run(),
        };
        went_well("again", &again)?;
        self.is_done()?;
        no_litter(&self.space)
    }
}

/// `keygen`.
pub struct Keygen(Space);

impl Keygen {
    pub fn new() -> Self {
        Self(watched_space())
    }

    /// The halves that are there.
    fn halves(&self) -> Result<(Option<PublicKey>, Option<PublicKey>), String> {
        let private = self.0.exists("k.pem").then(|| {
            let mode = std::fs::metadata(self.0.path("k.pem")).unwrap().permissions().mode() & 0o777;
            let key = PrivateKey::read(&self.0.read("k.pem")).map_err(|e| format!("the private key: {e}"))?;
            if mode == 0o600 { Ok(key.public()) } else { Err(format!("the private key has the mode {mode:o}")) }
        });
        let public = self.0.exists("k.pub").then(|| PublicKey::read(&self.0.read("k.pub")));
        Ok((private.transpose()?, public.transpose().map_err(|e| format!("the public key: {e}"))?))
    }
}

impl Subject for Keygen {
    fn name(&self) -> &'static str {
        "keygen"
    }

    fn arguments(&self) -> &'static [&'static str] {
        &["keygen", "--output", "k.pem"]
    }

    fn space(&self) -> &Space {
        &self.0
    }

    fn prepare(&mut self, _: &mut Campaign) {
        for name in ["k.pem", "k.pub"] {
            let _ = std::fs::remove_file(self.0.path(name));
        }
    }

    fn is_whole(&self) -> Result<(), String> {
        match self.halves()? {
            (None, Some(_)) => Err("a public key without its private one".into()),
            (Some(private), Some(public)) if private != public => Err("the halves are of two pairs".into()),
            _ => Ok(()),
        }
    }

    fn is_done(&self) -> Result<(), String> {
        match self.halves()? {
            (Some(private), Some(public)) if private == public => Ok(()),
            other => Err(format!("no pair: {other:?}")),
        }
    }

    fn recovers(&mut self) -> Result<(), String> {
        let before = self.halves()?;
        let ran = self.run();
        if before.1.is_some() {
            // The pair was made; it is not made twice.
            let text = ran.shown();
            (ran.code == 2).then_some(()).ok_or(text)?;
            self.prepare(&mut Campaign::new("keygen"));
            went_well("a new pair", &self.run())?;
        } else {
            went_well("again", &ran)?;
        }
        self.is_done()?;
        if before.0.is_some() && before.1.is_none() && self.halves()?.0 != before.0 {
            return Err("a private key was replaced".into());
        }
        no_litter(&self.0)
    }
}

/// A verb that makes one file of another: old or new is all there may be of it.
pub struct OneFile {
    space: Space,
    name: &'static str,
    arguments: &'static [&'static str],
    path: &'static str,
    old: Option<Vec<u8>>,
    new: Vec<u8>,
    /// Nothing else may change.
    others: Files,
    /// Does the cache matter?
    cached: bool,
}

impl OneFile {
    fn new(
        space: Space,
        name: &'static str,
        arguments: &'static [&'static str],
        path: &'static str,
        cached: bool,
    ) -> Self {
        let old = space.exists(path).then(|| space.read(path));
        space.run_as(crate::space::EXPERT_BUILD, "", arguments).ok();
        let new = space.read(path);
        assert_ne!(old.as_ref(), Some(&new), "`{name}` has something to do");
        let mut others = tree(&space, "");
        others.retain(|other, _| other != path && !other.ends_with(".sha256"));
        Self { space, name, arguments, path, old, new, others, cached }
    }

    /// `package`, over a package of an older version of the expert.
    pub fn package() -> Self {
        let space = watched_space();
        let expert = Expert::lora("alpha").soft_prompt("short").file("vocab.model", noise("v", 200_000));
        space.add("alpha", &expert.clone().file("README.md", "before"));
        space.run("package --manifest alpha/manifest.json --output out.expert").ok();
        space.add("alpha", &expert);
        let arguments = &["package", "--manifest", "alpha/manifest.json", "--output", "out.expert", "-j", "2"];
        Self::new(space, "package", arguments, "out.expert", true)
    }

    /// `check --fix`, which edits a source.
    pub fn fix() -> Self {
        let space = watched_space();
        space.write("Expertfile.toml", "[workspace]\nmembers = [\"experts/*\"]\n");
        let expert = Expert::lora("alpha").set("/base_models/0/adapters/0/sha256", serde_json::json!(""));
        space.add("experts/alpha", &expert);
        Self::new(space, "check --fix", &["check", "--fix"], "experts/alpha/manifest.json", false)
    }

    /// `init`.
    pub fn init() -> Self {
        let space = watched_space();
        space.add("experts/alpha", &Expert::lora("alpha"));
        Self::new(space, "init", &["init"], "Expertfile.toml", false)
    }
}

impl Subject for OneFile {
    fn name(&self) -> &'static str {
        self.name
    }

    fn arguments(&self) -> &'static [&'static str] {
        self.arguments
    }

    fn space(&self) -> &Space {
        &self.space
    }

    fn prepare(&mut self, campaign: &mut Campaign) {
        match &self.old {
            Some(old) => self.space.write(self.path, old),
            None => drop(std::fs::remove_file(self.space.path(self.path))),
        }
        let _ = std::fs::remove_file(self.space.path(&format!("{}.sha256", self.path)));
        if self.cached && campaign.below(2) == 0 {
            let _ = std::fs::remove_dir_all(self.space.outer("cache"));
        }
    }

    fn is_whole(&self) -> Result<(), String> {
        let now = self.space.exists(self.path).then(|| self.space.read(self.path));
        if now != self.old && now.as_ref() != Some(&self.new) {
            return Err(format!("`{}` is neither old nor new", self.path));
        }
        let sum = format!("{}.sha256", self.path);
        let sum = self.space.exists(&sum).then(|| self.space.read(&sum));
        if let (Some(sum), Some(now)) = (sum, now)
            && !sum.starts_with(Sha256::of(&now).to_string().as_bytes())
        {
            return Err("the checksum beside the package is another's".into());
        }
        let there = tree(&self.space, "");
        let lost = self.others.iter().find(|(path, bytes)| there.get(*path) != Some(bytes));
        lost.map_or(Ok(()), |(path, _)| Err(format!("`{path}` is no longer what it was")))
    }

    fn is_done(&self) -> Result<(), String> {
        if self.space.read(self.path) == self.new { Ok(()) } else { Err(format!("`{}` is not new", self.path)) }
    }

    fn recovers(&mut self) -> Result<(), String> {
        // `init` never writes over an Expertfile.
        if self.name != "init" || !self.space.exists(self.path) {
            went_well("again", &self.run())?;
        }
        self.is_done()?;
        no_litter(&self.space)
    }
}

/// A verb that reads and leaves everything as it is.
pub struct ReadOnly {
    space: Space,
    name: &'static str,
    arguments: &'static [&'static str],
    files: Files,
}

const ALPHA: &str = "experts/alpha/weights/alpha.v1.0.0.expert";

impl ReadOnly {
    pub fn all() -> [Self; 4] {
        let verbs: [(&'static str, &'static [&'static str]); 4] = [
            ("verify", &["verify", ALPHA, "--key", "key.pub", "--require-signature"]),
            ("check", &["check", "-j", "2"]),
            ("inspect", &["inspect", "--tensors", ALPHA]),
            ("repro", &["repro", "plain.expert", "--manifest", "experts/alpha/manifest.json"]),
        ];
        verbs.map(|(name, arguments)| {
            let space = watched_space();
            space.write("Expertfile.toml", "[workspace]\nmembers = [\"experts/*\"]\n");
            space.add(
                "experts/alpha",
                &Expert::lora("alpha").soft_prompt("short").file("vocab.model", noise("v", 90_000)),
            );
            space.run("keygen --output key.pem").ok();
            space.run("build").ok();
            space.write("plain.expert", space.read(ALPHA));
            space.run_as(crate::space::EXPERT_BUILD, "", &["sign", ALPHA, "--key", "key.pem"]).ok();
            let files = tree(&space, "");
            Self { space, name, arguments, files }
        })
    }
}

impl Subject for ReadOnly {
    fn name(&self) -> &'static str {
        self.name
    }

    fn arguments(&self) -> &'static [&'static str] {
        self.arguments
    }

    fn space(&self) -> &Space {
        &self.space
    }

    fn prepare(&mut self, campaign: &mut Campaign) {
        if campaign.below(2) == 0 {
            let _ = std::fs::remove_dir_all(self.space.outer("cache"));
        }
    }

    fn is_whole(&self) -> Result<(), String> {
        if tree(&self.space, "") == self.files { Ok(()) } else { Err("a file changed".into()) }
    }

    fn is_done(&self) -> Result<(), String> {
        Ok(())
    }

    fn recovers(&mut self) -> Result<(), String> {
        went_well("again", &self.run())?;
        self.is_whole()?;
        no_litter(&self.space)
    }
}
