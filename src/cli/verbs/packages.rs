//! The verbs that read packages: `inspect`, `cat`, `extract`, `verify`, `sign`; and `keygen`.

use std::path::{Path, PathBuf};

use crate::base::{Error, RelPath, Result};
use crate::cli::args::{
    CatArgs, DiffArgs, ExtractArgs, InspectArgs, KeygenArgs, Limit, ReproArgs, SignArgs, Trust, VerifyArgs,
};
use crate::cli::render::diagnostic::{Look, printable};
use crate::cli::render::{bytes, count, difference, inspection, json, verification};
use crate::cli::settings::Settings;
use crate::cli::{exit, out};
use crate::ops::diff as diff_op;
use crate::ops::repro as repro_op;
use crate::ops::unpacked;
use crate::ops::verify as verify_op;
use crate::ops::verify::{Options, Trusted};
use crate::ops::{
    Limits, cat as cat_op, extract as extract_op, inspect as inspect_op, keygen as keys, sign as sign_op,
};
use crate::spec::{Glob, Globs};

impl Limit {
    pub(super) fn limits(&self) -> Limits {
        let limits = Limits::default();
        Limits { max_size: self.max_size.unwrap_or(limits.max_size), ..limits }
    }
}

impl Trust {
    pub(super) fn options(&self, limit: &Limit) -> Result<Options> {
        let trusted = self.key.iter().map(|key| Ok(Trusted { key: keys::public_key(key)?, name: key.clone() }));
        let trusted = trusted.collect::<Result<Vec<_>>>()?;
        Ok(Options { trusted, require_signature: self.require_signature, limits: limit.limits() })
    }
}

/// Does the same with each package; what fails is told, and the others are not left out. The gravest code counts.
pub(super) fn each(packages: &[PathBuf], settings: &Settings, mut act: impl FnMut(&Path) -> Result<u8>) -> Result<u8> {
    let mut codes = Vec::new();
    for package in packages {
        match act(package) {
            Ok(code) => codes.push(code),
            Err(error) if packages.len() == 1 => return Err(error),
            Err(error) => {
                if settings.json {
                    json::failed(&error, settings)?;
                }
                exit::tell(&error, None, &Look::new(settings));
                codes.push(error.exit_code());
            }
        }
    }
    Ok(exit::gravest(codes))
}

/// `verify`
pub fn verify(args: &VerifyArgs, settings: &Settings) -> Result<u8> {
    let options = args.trust.options(&args.limit)?;
    each(&args.packages, settings, |package| {
        let report = verify_op::verify(package, &options)?;
        if args.json || settings.json {
            json::answer(&report)?;
        } else if !settings.quiet || !report.ok {
            out::answer(&verification::report(&report, settings.verbose))?;
        }
        Ok(if report.ok { 0 } else { 5 })
    })
}

/// `diff`
pub fn diff(args: &DiffArgs, settings: &Settings) -> Result<u8> {
    let setup = settings.setup(&[]);
    let side = |path: &Path| unpacked::side(&setup, path, args.model.as_deref());
    let diff = diff_op::diff(&side(&args.old)?, &side(&args.new)?, args.limit.limits())?;
    if args.json || settings.json {
        json::answer(&diff)?;
    } else if !diff.equal || !settings.quiet {
        out::answer(&difference::report(&diff, settings.verbose, &Look::new(settings)))?;
    }
    Ok(u8::from(args.exit_code && !diff.equal))
}

/// `repro`
pub fn repro(args: &ReproArgs, settings: &Settings) -> Result<u8> {
    let repro = repro_op::repro(&settings.setup(&[]), &args.package, &args.manifest, exit::cancel_in_order())?;
    if settings.json {
        json::answer(&repro)?;
    } else if repro.identical {
        out::answer(&format!("identical: {}", repro.is))?;
    } else {
        let first = match &repro.first {
            Some(member) => format!("the first member to differ is `{}`", printable(member)),
            None => "the members are the same; compression or headers differ".to_owned(),
        };
        out::answer(&format!(
            "different: {first}
  package  {}
  rebuild  {}",
            repro.was, repro.is
        ))?;
    }
    Ok(u8::from(!repro.identical))
}

/// `inspect`
pub fn inspect(args: &InspectArgs, settings: &Settings) -> Result<u8> {
    let mut first = true;
    each(&args.packages, settings, |package| {
        let inspection = inspect_op::inspect(package, args.tensors, args.limit.limits())?;
        if args.json || settings.json {
            json::answer(&inspection)?;
        } else {
            let gap = if std::mem::take(&mut first) { "" } else { "\n" };
            out::answer(&format!("{gap}{}", inspection::table(&inspection)))?;
        }
        Ok(0)
    })
}

/// `cat`
pub fn cat(args: &CatArgs) -> Result<u8> {
    let mut stdout = std::io::stdout().lock();
    cat_op::cat(&args.package, &args.file, args.limit.limits(), &mut stdout)?;
    std::io::Write::flush(&mut stdout).map_err(|e| Error::io("write", "the output", e))?;
    Ok(0)
}

/// `extract`
pub fn extract(args: &ExtractArgs, settings: &Settings) -> Result<u8> {
    let options = args.trust.options(&args.limit)?;
    let target = match &args.output {
        Some(target) => target.clone(),
        None => beside(&args.package)?,
    };
    let globs: Vec<Glob> =
        args.globs.iter().map(|glob| Glob::new(glob).map_err(Error::usage)).collect::<Result<_>>()?;
    let globs = Globs::new(globs);
    let take = |path: &RelPath| args.globs.is_empty() || globs.takes(path);
    let extracted = extract_op::extract(&args.package, &target, &take, args.force, &options)?;
    if settings.json {
        json::answer(&extracted)?;
        return Ok(0);
    }
    if settings.verbose {
        for file in &extracted.files {
            out::answer(&target.join(file.path.as_str()).to_string_lossy())?;
        }
    }
    if !settings.quiet {
        let size = bytes(extracted.files.iter().map(|file| file.bytes).sum());
        let files = count(extracted.files.len() as u64, "file");
        let signature = verification::signature(&extracted.report.signature);
        out::tell(&format!("extracted {files} ({size}) into {}; {signature}", target.display()));
    }
    Ok(0)
}

/// The folder that a package is unpacked to when none is named: its name without the ending, where one stands.
fn beside(package: &Path) -> Result<PathBuf> {
    let name = package.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match name.strip_suffix(".expert").filter(|stem| !stem.is_empty()) {
        Some(stem) => Ok(PathBuf::from(stem)),
        None => Err(Error::usage_help(
            format!("`{}` does not end in `.expert`, so where to unpack it cannot be told", package.display()),
            "name the folder with `--output DIR`",
        )),
    }
}

/// `keygen`
pub fn keygen(args: &KeygenArgs, settings: &Settings) -> Result<u8> {
    let pair = keys::keygen(&args.output)?;
    if settings.json {
        json::answer(&pair)?;
        return Ok(0);
    }
    out::answer(&pair.key.to_string())?;
    if !settings.quiet {
        let (private, public) = (pair.private.display(), pair.public.display());
        out::tell(&format!("wrote {private} (private: keep it to yourself) and {public} (for those who verify)"));
    }
    Ok(0)
}

/// `sign`
pub fn sign(args: &SignArgs, settings: &Settings) -> Result<u8> {
    if args.output.is_some() && args.packages.len() > 1 {
        return Err(Error::usage_help(
            "several packages cannot be written to one file",
            "without `--output` each is signed in its place",
        ));
    }
    let key = keys::private_key(&args.key)?;
    each(&args.packages, settings, |package| {
        let options = sign_op::Options {
            key: &key,
            publisher: args.publisher.as_deref(),
            created_at: None,
            output: args.output.as_deref(),
            limits: args.limit.limits(),
        };
        let signed = sign_op::sign(package, &options)?;
        if settings.json {
            json::answer(&signed)?;
        } else if !settings.quiet {
            let by = match signed.publisher.is_empty() {
                true => String::new(),
                false => format!(" as `{}`", printable(&signed.publisher)),
            };
            let (files, path) = (count(signed.files as u64, "file"), signed.package.display());
            out::tell(&format!("signed {path}{by} ({}, {files}) with {}", bytes(signed.bytes), signed.key));
        }
        Ok(0)
    })
}
