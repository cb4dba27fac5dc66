//! The verbs that speak to OCI registries: `push` and `pull`.

use std::path::PathBuf;

use serde::Serialize;

use crate::base::event::Observer;
use crate::base::{Error, Result};
use crate::cli::args::{As, PullArgs, PushArgs, Reaching};
use crate::cli::out;
use crate::cli::render::diagnostic::{Look, printable};
use crate::cli::render::human::{Human, Mode};
use crate::cli::render::json::{self, Json};
use crate::cli::render::{bytes, count, verification};
use crate::cli::settings::Settings;
use crate::cli::verbs::packages::each;
use crate::ops::Form;
use crate::ops::pull::{self as pull_op, Pulled};
use crate::ops::push::{self as push_op, Pushed, Pusher};
use crate::ops::reach::Reach;

impl Reaching {
    fn reach(&self, settings: &Settings) -> Reach {
        let named = settings.env.get("DOCKER_CONFIG").filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let home =
            || settings.env.get("HOME").filter(|home| !home.is_empty()).map(|home| PathBuf::from(home).join(".docker"));
        Reach {
            plain_http: self.plain_http,
            ca_file: self.ca_file.clone(),
            docker_config: named.or_else(home).map(|folder| folder.join("config.json")),
        }
    }
}

/// A registry is another machine.
fn online(settings: &Settings) -> Result<()> {
    let Some(by) = settings.offline else { return Ok(()) };
    let help = "leave out `--offline`, and unset EXPERT_BUILD_OFFLINE";
    Err(Error::usage_help(format!("a registry is not to be had with `{by}`"), help))
}

#[derive(Serialize)]
struct Answer<'a, T> {
    reason: &'static str,
    #[serde(flatten)]
    what: &'a T,
}

/// `push`
pub fn push(args: &PushArgs, settings: &Settings) -> Result<u8> {
    online(settings)?;
    let form = match args.form {
        As::Package => Form::Package,
        As::Modelpack => Form::ModelPack,
    };
    let options = push_op::Options { form, reach: args.reaching.reach(settings), limits: args.limit.limits() };
    let mut pusher = Pusher::new(&args.reference, args.packages.len(), options)?;
    each(&args.packages, settings, |package| {
        let pushed = watched(settings, |observer| pusher.push(package, observer))?;
        if settings.json {
            json::answer(&Answer { reason: "pushed", what: &pushed })?;
            return Ok(0);
        }
        out::answer(&format!("{}@{}", pushed.reference, pushed.digest))?;
        if !settings.quiet {
            out::tell(&told(&pushed));
        }
        Ok(0)
    })
}

/// What became of the package's blobs.
fn told(pushed: &Pushed) -> String {
    let mut parts = vec![match pushed.sent {
        0 => "nothing to send".to_owned(),
        sent => format!("{} sent ({})", count(sent as u64, "blob"), bytes(pushed.sent_bytes)),
    }];
    for (number, what) in [(pushed.mounted, "taken from another repository"), (pushed.present, "there before")] {
        if number > 0 {
            parts.push(format!("{number} {what}"));
        }
    }
    if pushed.signature.is_some() {
        parts.push("with its signature".into());
    }
    format!("pushed {}: {}", printable(&pushed.package.to_string_lossy()), parts.join(", "))
}

/// `pull`
pub fn pull(args: &PullArgs, settings: &Settings) -> Result<u8> {
    online(settings)?;
    let options = pull_op::Options {
        folder: args.output.clone(),
        force: args.force,
        reach: args.reaching.reach(settings),
        verify: args.trust.options(&args.limit, settings)?,
    };
    let pulled = watched(settings, |observer| pull_op::pull(&args.reference, &options, observer))?;
    if settings.json {
        json::answer(&Answer { reason: "pulled", what: &pulled })?;
        return Ok(0);
    }
    out::answer(&printable(&pulled.package.to_string_lossy()))?;
    if !settings.quiet {
        out::tell(&pulled_line(&pulled));
    }
    Ok(0)
}

fn pulled_line(pulled: &Pulled) -> String {
    let how = match (pulled.unchanged, pulled.received_bytes) {
        (true, _) => "it was there".to_owned(),
        (_, received) => format!("{}, {} received", bytes(pulled.bytes), bytes(received)),
    };
    let signature = verification::signature(&pulled.signature);
    format!("pulled {} ({}): {how}; {signature}", pulled.reference, pulled.digest)
}

/// Does work whose events are shown.
fn watched<T>(settings: &Settings, work: impl FnOnce(&mut dyn Observer) -> Result<T>) -> Result<T> {
    let look = Look::new(settings);
    if settings.json {
        let mut lines = Json::new(&look);
        let done = work(&mut lines);
        lines.finish()?;
        return done;
    }
    let mut human = Human::new(&look, Mode::Build, settings.quiet, settings.verbose, settings.progress);
    work(&mut human)
}
