//! The verbs that read packages: `inspect`, `cat`, `extract`, `verify`, `sign`; and `keygen`.

use std::path::{Path, PathBuf};

use crate::base::{Error, Result};
use crate::cli::args::{
    Algorithm, CatArgs, DiffArgs, ExtractArgs, InspectArgs, KeygenArgs, Limit, ReproArgs, SignArgs, Threads, Trust,
    VerifyArgs,
};
use crate::cli::render::diagnostic::{Look, printable};
use crate::cli::render::{bytes, count, difference, inspection, json, verification};
use crate::cli::settings::{self, Settings};
use crate::cli::{exit, out};
use crate::ops::diff as diff_op;
use crate::ops::model_signature::{self, ENDING};
use crate::ops::repro as repro_op;
use crate::ops::trusted::{Trusted, trusted_key};
use crate::ops::unpacked;
use crate::ops::verify as verify_op;
use crate::ops::verify::Options;
use crate::ops::workspace;
use crate::ops::{
    Limits, Reading, cat as cat_op, extract as extract_op, inspect as inspect_op, keygen as keys, sign as sign_op,
};
use crate::spec::{Glob, Globs};

impl Limit {
    pub(super) fn limits(&self) -> Limits {
        let limits = Limits::default();
        Limits { max_size: self.max_size.unwrap_or(limits.max_size), ..limits }
    }
}

impl Threads {
    fn jobs(&self) -> usize {
        self.jobs.map_or_else(settings::cores, |jobs| usize::from(jobs.get()))
    }

    fn reading(&self, limit: &Limit) -> Reading {
        Reading { limits: limit.limits(), jobs: self.jobs() }
    }
}

impl Trust {
    /// A key that is named here counts instead of the lists: whoever names one asks about that one.
    pub(super) fn options(&self, limit: &Limit, settings: &Settings) -> Result<Options> {
        let named =
            |key: &String| Ok(Trusted { key: trusted_key(key)?, name: key.clone(), origin: "flag `--key`".to_owned() });
        let trusted = match self.key.is_empty() {
            true => workspace::trusted(settings.setup(&[]))?,
            false => self.key.iter().map(named).collect::<Result<Vec<_>>>()?,
        };
        Ok(Options { trusted, require_signature: self.require_signature, limits: limit.limits(), ..Options::default() })
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
    for (flag, given, what) in [
        ("--provenance", args.provenance.is_some(), "one file of provenance"),
        ("--model-signature", args.model_signature.is_some(), "one model signature"),
    ] {
        if given && args.packages.len() > 1 {
            return Err(Error::usage_help(
                format!("{what} cannot be about several packages"),
                format!("without `{flag}` each package's own is looked for beside it"),
            ));
        }
    }
    let trust = args.trust.options(&args.limit, settings)?;
    let options = Options {
        provenance: args.provenance.clone(),
        model_signature: args.model_signature.clone(),
        jobs: args.threads.jobs(),
        ..trust
    };
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
        let inspection = inspect_op::inspect(package, args.tensors, args.threads.reading(&args.limit))?;
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
    cat_op::cat(&args.package, &args.file, args.threads.reading(&args.limit), &mut stdout)?;
    std::io::Write::flush(&mut stdout).map_err(|e| Error::io("write", "the output", e))?;
    Ok(0)
}

/// `extract`
pub fn extract(args: &ExtractArgs, settings: &Settings) -> Result<u8> {
    let options = Options { jobs: args.threads.jobs(), ..args.trust.options(&args.limit, settings)? };
    let target = match &args.output {
        Some(target) => target.clone(),
        None => beside(&args.package)?,
    };
    let globs: Vec<Glob> =
        args.globs.iter().map(|glob| Glob::new(glob).map_err(Error::usage)).collect::<Result<_>>()?;
    let globs = Globs::new(globs);
    let extracted = extract_op::extract_matching(&args.package, &target, &globs, args.force, &options)?;
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
    let half = match (&args.public_of, &args.output, args.algorithm) {
        (Some(private), _, _) => keys::public_of(private)?,
        (None, Some(output), Algorithm::P256) => keys::model_pair(output)?,
        (None, Some(output), Algorithm::Ed25519) => return pair(&keys::keygen(output)?, settings),
        (None, None, _) => return Err(Error::usage("`keygen` needs `--output FILE` or `--public-of FILE`")),
    };
    if settings.json {
        json::answer(&half)?;
        return Ok(0);
    }
    out::answer(&half.key)?;
    if !settings.quiet {
        let public = half.public.display();
        match (&args.output, half.written) {
            (Some(private), _) => wrote(&private.display(), &public),
            (None, true) => out::tell(&format!("wrote {public} (for those who verify)")),
            (None, false) => out::tell(&format!("{public} holds it already")),
        }
    }
    Ok(0)
}

fn pair(pair: &keys::KeyPair, settings: &Settings) -> Result<u8> {
    if settings.json {
        json::answer(pair)?;
        return Ok(0);
    }
    out::answer(&pair.key.to_string())?;
    if !settings.quiet {
        let (private, public) = (pair.private.display(), pair.public.display());
        out::tell(&match pair.fresh {
            true => format!("wrote {private} (private: keep it to yourself) and {public} (for those who verify)"),
            false => {
                format!("wrote {public} (for those who verify), the missing half of {private}, which is as it was")
            }
        });
    }
    Ok(0)
}

fn wrote(private: &dyn std::fmt::Display, public: &dyn std::fmt::Display) {
    out::tell(&format!("wrote {private} (private: keep it to yourself) and {public} (for those who verify)"));
}

/// `sign`
pub fn sign(args: &SignArgs, settings: &Settings) -> Result<u8> {
    if args.output.is_some() && args.packages.len() > 1 {
        return Err(Error::usage_help(
            "several packages cannot be written to one file",
            "without `--output` each is signed in its place",
        ));
    }
    let key = match (&args.key, &args.key_env) {
        (Some(file), _) => Some(keys::private_key(file)?),
        (None, Some(name)) => match settings.env.get(name).filter(|value| !value.is_empty()) {
            Some(value) => Some(keys::private_key_of(name, value)?),
            None => return Err(Error::usage(format!("`{name}` is not set in the environment, or empty"))),
        },
        (None, None) => None,
    };
    if args.publisher.is_some() && key.is_none() {
        return Err(Error::usage_help("a model signature names no publisher", "`--publisher` goes with `--key`"));
    }
    let model_key = args.model_signing.as_deref().map(keys::model_key).transpose()?;
    each(&args.packages, settings, |package| {
        let limits = args.limit.limits();
        let mut model = (package, args.output.as_deref());
        if let Some(key) = &key {
            let options = sign_op::Options {
                key,
                publisher: args.publisher.as_deref(),
                created_at: None,
                output: args.output.as_deref(),
                limits,
            };
            let mut signed = sign_op::sign(package, &options)?;
            // A model signature that is made anew is not gone.
            signed.taken_away.retain(|gone| model_key.is_none() || !gone.to_string_lossy().ends_with(ENDING));
            tell_signed(&signed, settings)?;
            // The model signature is of the package that was just signed.
            model = (args.output.as_deref().unwrap_or(package), None);
        }
        let Some(key) = &model_key else { return Ok(0) };
        let bundled = model_signature::sign_model(model.0, key, model.1, limits)?;
        if settings.json {
            json::answer(&bundled)?;
        } else if !settings.quiet {
            let (files, model) = (count(bundled.files as u64, "file"), bundled.model.display());
            out::tell(&format!("wrote {}, a model signature of {model} ({files})", bundled.bundle.display()));
        }
        Ok(0)
    })
}

fn tell_signed(signed: &sign_op::Signed, settings: &Settings) -> Result<()> {
    if settings.json {
        return json::answer(signed);
    }
    if !settings.quiet {
        let by = match signed.publisher.is_empty() {
            true => String::new(),
            false => format!(" as `{}`", printable(&signed.publisher)),
        };
        let (files, path) = (count(signed.files as u64, "file"), signed.package.display());
        out::tell(&format!("signed {path}{by} ({}, {files}) with {}", bytes(signed.bytes), signed.key));
        for gone in &signed.taken_away {
            out::tell(&format!("took away {}, which spoke of the package as it was", gone.display()));
        }
    }
    Ok(())
}
