//! `expert-cli`: the flags that this command always had, the behaviour of `expert-build`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::base::Result;
use crate::cli::args::{
    Algorithm, CheckArgs, Choice, Global, KeygenArgs, Kind, Limit, PackageArgs, Packing, SignArgs, Threads, Trust,
    VerifyArgs,
};
use crate::cli::exit;
use crate::cli::render::diagnostic::Look;
use crate::cli::run::parse;
use crate::cli::settings::{self, Settings};
use crate::cli::verbs::{build, package, packages};
use crate::ops::workspace;

const MORE: &str = "\
This is `expert-build` under the name and with the flags of the older tool; `expert-build --help` shows all it can do.
The exit codes are the same: 0 fine, 2 command line, 3 disk, 4 requirements, 5 signature or integrity, 11 validation.";

/// Makes, validates and signs packages of LLM adapters, with the flags of the older tool
#[derive(Debug, Parser)]
#[command(name = "expert-cli", version, propagate_version = true, after_help = MORE, max_term_width = 100)]
#[command(disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Package an expert
    Package {
        /// The expert's manifest.json
        #[arg(long, value_name = "FILE")]
        manifest: PathBuf,
        /// The folder that holds the weights, below the manifest's
        #[arg(long, value_name = "DIR")]
        weights: PathBuf,
        /// Write the package to this file, or into this folder [default: the expert's weights/]
        #[arg(long, value_name = "PATH")]
        output: Option<PathBuf>,
        /// Compress with gzip, zstd or none of them (none) [default: gzip]
        #[arg(long, value_name = "HOW", hide_possible_values = true)]
        compression: Option<Kind>,
        /// Package for this base model alone, where the manifest has several
        #[arg(long, value_name = "NAME")]
        model: Option<String>,
    },
    /// Validate an expert's folder, or verify a package
    Validate {
        /// A folder with a manifest.json, or a package
        #[arg(long, value_name = "PATH")]
        expert: PathBuf,
    },
    /// Sign a package
    Sign {
        /// The package
        #[arg(long, value_name = "PKG")]
        expert: PathBuf,
        /// The private key: PKCS#8 PEM, or the 32 raw bytes that the older tool wrote
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Make a key pair
    Keygen {
        /// Write the private key here, and the public one beside it with the ending `.pub`
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
    },
}

/// Runs `expert-cli`.
pub fn main() -> ExitCode {
    let cli: Cli = match parse(&settings::arguments()) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    exit::code(run(cli), &Look::default())
}

fn run(cli: Cli) -> Result<u8> {
    let mut global = Global::default();
    let code = match cli.verb {
        Verb::Package { manifest, weights, output, compression, model } => {
            let packing = Packing { compression, ..Packing::default() };
            let weights = Some(weights);
            let args = PackageArgs { manifest, weights, output, model, packing, ..PackageArgs::default() };
            package::package(&args, &Settings::new(&global)?)?
        }
        Verb::Validate { expert } if workspace::is_folder(&expert) => {
            global.directory = Some(expert);
            let choice = Choice { selectors: vec![".".into()] };
            let settings = Settings::new(&global)?;
            build::check(&CheckArgs { choice, ..CheckArgs::default() }, &[], &settings)?
        }
        Verb::Validate { expert } => {
            let (trust, limit) = (Trust::default(), Limit::default());
            let (packages, threads) = (vec![expert], Threads::default());
            let args =
                VerifyArgs { packages, json: false, provenance: None, model_signature: None, trust, limit, threads };
            packages::verify(&args, &Settings::new(&global)?)?
        }
        Verb::Sign { expert, key } => {
            let packages = vec![expert];
            let limit = Limit::default();
            let args = SignArgs {
                packages,
                key: Some(key),
                key_env: None,
                model_signing: None,
                publisher: None,
                output: None,
                limit,
            };
            packages::sign(&args, &Settings::new(&global)?)?
        }
        Verb::Keygen { output } => {
            let args = KeygenArgs { output: Some(output), algorithm: Algorithm::Ed25519, public_of: None };
            packages::keygen(&args, &Settings::new(&global)?)?
        }
    };
    Ok(code)
}
