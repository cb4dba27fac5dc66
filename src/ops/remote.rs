//! The remote cache of a run: whether there is one, how it is used, what was asked of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::base::event::{Observer, RemoteUse};
use crate::base::{Error, Event, Result, Sha256};
use crate::engine::remote::link::Figures;
use crate::engine::remote::task::Terms;
use crate::engine::remote::{Link, Policy, Worker};
use crate::format::elf::{HEAD, Linkage, linkage};
use crate::ops::workspace::Workspace;
use crate::spec::{Download, OnError, Remote as Settings, Write};
use crate::store::counters::RemoteCounters;
use crate::store::remote::CasDigest;
use crate::store::{Cache, Remote, fs};

/// What CI says of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ci {
    /// No CI.
    #[default]
    None,
    /// CI, for a branch or a tag.
    Branch,
    /// CI, for a pull request: whoever wrote it is not to be believed yet.
    PullRequest,
}

/// No certificate or key is longer.
#[cfg(feature = "remote")]
const PEM: u64 = 1 << 20;

/// Threads that may wait for the remote at once.
const AWAY: usize = 16;

/// The remote cache of a run.
pub(crate) enum Used {
    /// There is none.
    None,
    /// There is one, and it is not used: why.
    Off(String),
    /// It could not be reached.
    Unreached,
    /// It is used.
    By(Arc<Link>),
}

impl Used {
    /// The connection.
    pub(crate) fn link(&self) -> Option<&Arc<Link>> {
        match self {
            Self::By(link) => Some(link),
            _ => None,
        }
    }

    /// What was asked and answered.
    pub(crate) fn figures(&self) -> Option<RemoteUse> {
        match self {
            Self::None => None,
            Self::Off(why) => Some(RemoteUse { mode: format!("off: {why}"), ..RemoteUse::default() }),
            Self::Unreached => Some(RemoteUse { mode: "off: no connection".into(), errors: 1, ..RemoteUse::default() }),
            Self::By(link) => {
                let traffic = link.remote.traffic();
                let get = |figure: fn(&Figures) -> &std::sync::atomic::AtomicU64| {
                    figure(&link.figures).load(Ordering::Relaxed)
                };
                Some(RemoteUse {
                    mode: link.mode(),
                    hits: get(|f| &f.hits),
                    misses: get(|f| &f.misses),
                    errors: get(|f| &f.errors),
                    sent: get(|f| &f.sent),
                    executed: get(|f| &f.executed),
                    fell_back: get(|f| &f.fell_back),
                    calls: traffic.calls,
                    bytes_down: traffic.received,
                    bytes_up: traffic.sent,
                    saved_ms: get(|f| &f.saved_us) / 1000,
                })
            }
        }
    }

    /// The same, for the counters of the local cache.
    pub(crate) fn counters(&self) -> RemoteCounters {
        let Some(used) = self.figures() else { return RemoteCounters::default() };
        RemoteCounters {
            hits: used.hits,
            misses: used.misses,
            errors: used.errors,
            sent: used.sent,
            calls: used.calls,
            bytes_down: used.bytes_down,
            bytes_up: used.bytes_up,
            saved_us: used.saved_ms * 1000,
        }
    }

    /// Waits until all results are sent, and tells so. What fails then fails the run only where that was asked for.
    pub(crate) fn drain(&self, stopped: &dyn Fn() -> bool, observer: &mut dyn Observer) -> Result<()> {
        let Self::By(link) = self else { return Ok(()) };
        let drained = link.drain(stopped, &mut |left| {
            observer.on(&Event::Uploading { left, bytes: link.remote.traffic().sent });
        });
        link.notices().into_iter().for_each(|message| observer.on(&Event::Notice { message }));
        drained
    }
}

/// The remote cache of a run that has something to do. `whole`: its packages must be written here.
pub(crate) fn of(
    workspace: &Workspace,
    cache: Arc<dyn Cache>,
    whole: bool,
    observer: &mut dyn Observer,
) -> Result<Used> {
    let Some(settings) = &workspace.repo.cache.remote else { return Ok(Used::None) };
    if let Some(by) = workspace.offline() {
        return match settings.on_error.value {
            OnError::Warn => Ok(Used::Off(by.into())),
            OnError::Fail => Err(Error::usage_help(
                format!("the remote cache is required, and `{by}` forbids it"),
                "leave out one of the two",
            )),
        };
    }
    let mut policy = policy(workspace, settings);
    policy.minimal &= !whole;
    if !policy.read && !policy.write && !settings.exec.value {
        return Ok(Used::Off(policy.because.unwrap_or_else(|| "neither read nor written".into())));
    }
    if settings.exec.value {
        policy.worker = Some(worker(workspace, settings)?);
        policy.away = AWAY.max(settings.jobs.value.0);
    }
    let connected = match &workspace.connected {
        Some(remote) => Ok(Arc::clone(remote)),
        None => connect(workspace, settings),
    };
    match connected {
        Ok(remote) => Ok(Used::By(Arc::new(Link::new(remote, policy, cache)))),
        Err(error) if policy.required || !matches!(error, Error::Network { .. }) => Err(error),
        Err(error) => {
            let message = format!("{error}; results stay on this machine");
            observer.on(&Event::Notice { message });
            Ok(Used::Unreached)
        }
    }
}

/// How a build would use the remote cache that is set, without asking it.
pub(crate) fn intended(workspace: &Workspace) -> Option<String> {
    let settings = workspace.repo.cache.remote.as_ref()?;
    let mode = workspace.offline().map_or_else(|| policy(workspace, settings).mode(), |by| format!("off: {by}"));
    Some(format!("{} at {}", mode, settings.url.value.0))
}

fn policy(workspace: &Workspace, settings: &Settings) -> Policy {
    let (write, because) = match (settings.write.value, workspace.ci()) {
        (Write::Always, _) | (Write::Ci, Ci::Branch) => (true, None),
        (Write::Ci, Ci::PullRequest) => (false, Some("pull request")),
        (Write::Ci, Ci::None) => (false, Some("written in CI alone")),
        (Write::Never, _) => (false, None),
    };
    Policy {
        address: settings.url.value.0.clone(),
        read: settings.read.value,
        write,
        required: settings.on_error.value == OnError::Fail,
        minimal: settings.download.value == Download::Minimal,
        because: because.map(str::to_owned),
        terms: Terms {
            namespace: settings.namespace.value.clone(),
            platform: settings.platform.iter().map(|(name, value)| (name.clone(), value.value.clone())).collect(),
        },
        worker: None,
        away: AWAY,
    }
}

/// The program that workers run: they have none of this system's libraries.
fn worker(workspace: &Workspace, settings: &Settings) -> Result<Worker> {
    let (program, named): (PathBuf, bool) = match (&settings.exec_binary, workspace.program()) {
        (Some(path), _) => (workspace.host_path(&path.value)?, true),
        (None, Some(program)) => (program, false),
        (None, None) => {
            let help = "name one that is linked statically with `--remote-exec-binary`";
            return Err(Error::usage_help(
                "workers need a program to run, and this one is not known by its path",
                help,
            ));
        }
    };
    let (mut file, stat) = fs::open(&program)?;
    let io = |e| Error::io("read", &program, e);
    let mut head = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(&mut file, HEAD as u64), &mut head).map_err(io)?;
    if linkage(&head) != Linkage::Static {
        let what = if named { format!("`{}`", program.display()) } else { "this program".into() };
        return Err(Error::usage_help(
            format!("workers cannot run {what}: it is not a statically linked program for Linux"),
            "build one with `RUSTFLAGS=-C target-feature=+crt-static cargo build --release --target x86_64-unknown-linux-gnu`, and name it with `--remote-exec-binary`",
        ));
    }
    let sha256: Sha256 = fs::sha256(&program)?;
    Ok(Worker { program, digest: CasDigest { sha256, size: stat.size }, jobs: settings.jobs.value.0 })
}

#[cfg(not(feature = "remote"))]
fn connect(_: &Workspace, settings: &Settings) -> Result<Arc<dyn Remote>> {
    let url = &settings.url.value.0;
    let message = format!("`[cache.remote]` names `{url}`, but this program was built without the feature `remote`");
    Err(Error::Network { message, source: None })
}

#[cfg(feature = "remote")]
fn connect(workspace: &Workspace, settings: &Settings) -> Result<Arc<dyn Remote>> {
    use std::time::Duration;

    use zeroize::Zeroizing;

    use crate::spec::KeySource;
    use crate::spec::expertfile::Header;
    use crate::store::remote::{ClientIdentity, Connection, GrpcRemote, Patience};

    // What CI systems pass for an absent secret is empty: said here, as the server could only say that access is denied.
    let variable = |name: &str, what: &str| {
        workspace.variable(name).map(|value| Zeroizing::new(value.to_owned())).ok_or_else(|| Error::Network {
            message: format!("the remote cache `{}` needs {what}, and `{name}` is not set", settings.url.value.0),
            source: None,
        })
    };
    let file = |path: &crate::spec::HostPath| -> Result<Vec<u8>> {
        let path = workspace.host_path(path)?;
        let found = fs::read(&path, PEM)?.map(|(bytes, _)| bytes);
        found.ok_or_else(|| Error::usage(format!("`{}`, which `[cache.remote]` names, does not exist", path.display())))
    };
    let mut headers = Vec::new();
    for (name, header) in &settings.headers {
        let value = match &header.value {
            Header::Text(text) => Zeroizing::new(text.clone()),
            Header::Env { name: of, prefix } => {
                let value = variable(of, &format!("the header `{name}`"))?;
                Zeroizing::new(format!("{prefix}{}", value.as_str()))
            }
        };
        headers.push((name.clone(), value));
    }
    let identity = match (&settings.client_cert, &settings.client_key) {
        (Some(certificate), Some(key)) => {
            let key = match &key.value {
                KeySource::File(path) => Zeroizing::new(file(path)?),
                KeySource::Env(name) => Zeroizing::new(variable(name, "a client key")?.as_bytes().to_vec()),
                KeySource::None => Zeroizing::default(),
            };
            Some(ClientIdentity { certificate: file(&certificate.value)?, key })
        }
        _ => None,
    };
    let patience = Duration::from_secs(settings.timeout.value.0);
    let connection = Connection {
        url: settings.url.value.0.clone(),
        instance: settings.instance.value.clone(),
        headers,
        authorities: settings.ca.as_ref().map(|ca| file(&ca.value)).transpose()?,
        identity,
        server_name: None,
        // It is in every action already.
        namespace: String::new(),
        patience: Patience { connect: patience.min(Patience::default().connect), lookup: patience, idle: patience },
    };
    let remote = GrpcRemote::new(&connection)?;
    let told = remote.greet();
    told.map_err(|failure| Error::Network { message: format!("the remote cache: {failure}"), source: None })?;
    Ok(Arc::new(remote))
}
